"""The report page in a headless Chromium: no complaint, pictures, sorting, filtering."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import lazymu
from lazymu.containers import Modality
from lazymu.report import write_report
from tests.browser import Page, browser
from tests.test_pipeline_workflow import pytestmark  # noqa: F401 - warnings
from tests.test_report import EVIL, EVIL_TOO, parsed, run_in, small_mudata


@pytest.fixture(scope="module")
def report(chrome: Page, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a run, made where there is a Chromium to look at it."""
    path = run_in(tmp_path_factory.mktemp("browser")).report
    assert path is not None
    return path


@pytest.fixture(scope="module")
def chrome() -> Iterator[Page]:
    with browser() as page:
        yield page


def colours(page: Page, number: int) -> str:
    return str(page.run(f"document.getElementById('cells-{number}').toDataURL()"))


def pick(page: Page, number: int, name: str) -> None:
    page.run(
        f"""(() => {{
            const list = document.getElementById('pick-{number}');
            list.value = [...list.options].find(one => one.text === {json.dumps(name)}).value;
            list.dispatchEvent(new Event('change'));
        }})()"""
    )


def column_of(page: Page, table: str, column: int) -> list[str]:
    code = f"[...document.querySelectorAll('#{table} tbody tr')].filter(row => !row.hidden)"
    return list(page.run(f"{code}.map(row => row.children[{column}].textContent)"))


def test_page__opens_without_complaint_and_fits(chrome: Page, report: Path) -> None:
    chrome.events.clear()
    for width in (1280, 400):
        for dark in (False, True):
            chrome.open(report, width=width, dark=dark)
            assert chrome.run("document.documentElement.scrollWidth") == width
            assert chrome.run("getComputedStyle(document.body).backgroundColor") == (
                "rgb(22, 25, 29)" if dark else "rgb(255, 255, 255)"
            )
    assert chrome.complaints() == []
    assert set(chrome.requested()) == {report.as_uri()}


def test_page__picking_a_feature_recolours_the_cells(chrome: Page, report: Path) -> None:
    chrome.open(report)
    first, second = colours(chrome, 0), colours(chrome, 1)
    assert first != second
    feature = parsed(report).data["columns"][-1]["name"]
    pick(chrome, 0, feature)
    assert colours(chrome, 0) not in (first, second)
    assert colours(chrome, 1) == second
    label = chrome.run("document.getElementById('cells-0').getAttribute('aria-label')")
    assert label == f"cells coloured by {feature}"
    pick(chrome, 0, "leiden_wnn")
    assert colours(chrome, 0) == first
    assert chrome.complaints() == []


def test_page__canvas_has_the_colours_of_the_clusters(chrome: Page, report: Path) -> None:
    chrome.open(report)
    seen = chrome.run(
        """(() => {
            const canvas = document.getElementById('cells-0');
            const size = [canvas.width, canvas.height];
            const pixels = canvas.getContext('2d').getImageData(0, 0, ...size).data;
            const found = {};
            for (let n = 0; n < pixels.length; n += 4) {
                if (pixels[n + 3] !== 255) continue;
                const part = (at) => pixels[n + at].toString(16).padStart(2, '0');
                const hex = `#${part(0)}${part(1)}${part(2)}`;
                found[hex] = (found[hex] ?? 0) + 1;
            }
            return found;
        })()"""
    )
    clusters = next(c for c in parsed(report).data["columns"] if c["name"] == "leiden_wnn")
    assert all(seen.get(color, 0) > 50 for color in clusters["colors"])


def test_page__one_category_alone(chrome: Page, report: Path) -> None:
    chrome.open(report)
    before = colours(chrome, 0)
    button = "document.querySelector('#legend-0 button')"
    chrome.run(f"{button}.click()")
    assert chrome.run(f"{button}.getAttribute('aria-pressed')") == "true"
    assert colours(chrome, 0) != before
    chrome.run(f"{button}.click()")
    assert colours(chrome, 0) == before


def test_page__markers_sort_by_the_keyboard_and_filter(chrome: Page, report: Path) -> None:
    chrome.open(report)
    chrome.run("document.querySelector('#markers-rna th:nth-child(3) button').focus()")
    chrome.press("Tab")  # to the next column, of scores
    chrome.press("Enter")
    head = "document.querySelector('#markers-rna th:nth-child(4)')"
    assert chrome.run(f"{head}.getAttribute('aria-sort')") == "ascending"
    rows = "[...document.querySelectorAll('#markers-rna tbody tr')]"
    code = f"{rows}.map(row => Number(row.children[3].dataset.value))"
    scores = chrome.run(code)
    assert scores == sorted(scores)
    chrome.press("Enter")
    assert chrome.run(f"{head}.getAttribute('aria-sort')") == "descending"
    assert chrome.run(code) == scores[::-1] == sorted(scores, reverse=True)
    chrome.run("document.querySelector('#markers-rna th:nth-child(1) button').click()")
    clusters = column_of(chrome, "markers-rna", 0)
    assert clusters == sorted(clusters, key=int)
    assert chrome.run(f"{head}.getAttribute('aria-sort')") == "none"
    name = column_of(chrome, "markers-rna", 2)[5]
    chrome.run(
        f"""(() => {{
            const box = document.querySelector('[data-filter="markers-rna"]');
            box.value = {json.dumps(name.lower())};
            box.dispatchEvent(new Event('input'));
        }})()"""
    )
    left = column_of(chrome, "markers-rna", 2)
    assert left
    assert all(name.lower() in one.lower() for one in left)
    told = chrome.run("document.querySelector('output').textContent")
    assert told == f"{len(left)} rows"
    assert chrome.complaints() == []


def test_page__names_of_the_data_do_nothing(chrome: Page, tmp_path: Path) -> None:
    mdata = small_mudata()
    rna = mdata.mod["rna"]
    rna.obs["leiden"] = mdata.obs["leiden"]
    lazymu.tl.rank_genes_groups(rna, "leiden")
    path = write_report(mdata, tmp_path / "evil.html")
    chrome.events.clear()
    chrome.open(path)
    for name in (EVIL, EVIL_TOO, "prot:depth", "leiden"):
        pick(chrome, 1, name)
    assert EVIL in chrome.run("document.getElementById('legend-0').textContent")
    assert chrome.run("document.querySelectorAll('img, script').length") == 2
    assert chrome.complaints() == []
    assert not [e for e in chrome.events if e.get("method") == "Page.javascriptDialogOpening"]
    assert set(chrome.requested()) == {path.as_uri()}


def test_page__without_an_embedding_opens_too(chrome: Page, tmp_path: Path) -> None:
    path = write_report(Modality(np.eye(5)), tmp_path / "bare.html")
    chrome.events.clear()
    chrome.open(path)
    assert chrome.complaints() == []
