"""Every public function is documented in full, and every example in a docstring runs."""

from __future__ import annotations

import ast
import doctest
import importlib
import inspect
import pkgutil
import re
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from matplotlib import pyplot

import lazymu

NAMESPACES = (
    *("lazymu", "lazymu.pp", "lazymu.tl", "lazymu.pl", "lazymu.get", "lazymu.datasets"),
    *("lazymu.report", "lazymu.cluster"),
    *("lazymu.atac", "lazymu.atac.pl", "lazymu.atac.pp", "lazymu.atac.tl"),
    *("lazymu.prot", "lazymu.prot.pp"),
)
# Namespaces whose functions read X: how often is in their docstrings.
READING = ("pp", "tl")
# Functions that follow a publication, by the last part of their name.
CITING = {
    *("add_peak_annotation", "annotate_peaks", "gene_activity", "peak_gene_links"),
    *("clr", "dsb", "highly_variable_genes", "leiden", "louvain", "lsi", "mofa"),
    *("neighbors", "pca", "rank_genes_groups", "snf", "tfidf", "umap"),
}


def public_functions() -> dict[str, Callable[..., Any]]:
    """Return the functions of the namespaces' ``__all__``, each once, by their shortest name."""
    found: dict[str, Callable[..., Any]] = {}
    for namespace in NAMESPACES:
        module = importlib.import_module(namespace)
        for name in module.__all__:
            item = getattr(module, name)
            if inspect.isfunction(item) and item not in found.values():
                found[f"{namespace}.{name}"] = item
    return found


FUNCTIONS = public_functions()
MODULES = sorted(m.name for m in pkgutil.walk_packages(lazymu.__path__, "lazymu."))


def sections(function: Callable[..., Any]) -> dict[str, str]:
    """Return the numpydoc sections of a docstring; the text before the first one is ``""``."""
    doc = inspect.getdoc(function) or ""
    parts = re.split(r"^(\w[\w ]+)\n-{3,}\n", doc, flags=re.MULTILINE)
    return {"": parts[0], **dict(zip(parts[1::2], parts[2::2], strict=True))}


def documented_parameters(section: str) -> list[str]:
    """Return the names of a Parameters section: the lines that are not indented."""
    lines = [line for line in section.splitlines() if line and not line[0].isspace()]
    names = [name.strip() for line in lines for name in line.split(":")[0].split(",")]
    return [name.lstrip("*").strip("`") for name in names]


def raises(function: Callable[..., Any]) -> bool:
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    return any(isinstance(node, ast.Raise) for node in ast.walk(tree))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_docstring__parameters_are_those_of_the_signature(name: str) -> None:
    expected = [p.lstrip("*") for p in inspect.signature(FUNCTIONS[name]).parameters]
    described = documented_parameters(sections(FUNCTIONS[name]).get("Parameters", ""))
    assert sorted(described) == sorted(expected)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_docstring__says_what_comes_out(name: str) -> None:
    """A section Returns, or what is written and where for a function that returns None."""
    found = sections(FUNCTIONS[name])
    returned = str(inspect.signature(FUNCTIONS[name]).return_annotation)
    if returned != "None":
        assert "Returns" in found or "Yields" in found
    else:
        text = inspect.getdoc(FUNCTIONS[name]) or ""
        assert re.search(r"\b([Ww]rit(es|ten|e)|[Ss]ets?|[Aa]dds|[Rr]eplaces|[Ss]tores)\b", text)


@pytest.mark.parametrize("name", [name for name, f in FUNCTIONS.items() if raises(f)])
def test_docstring__names_the_errors(name: str) -> None:
    assert "Error" in sections(FUNCTIONS[name]).get("Raises", "")


@pytest.mark.parametrize("name", [n for n in FUNCTIONS if n.split(".")[-2] in READING])
def test_docstring__says_how_often_it_reads(name: str) -> None:
    text = inspect.getdoc(FUNCTIONS[name]) or ""
    assert re.search(r"\b([Pp]ass(es)?|[Rr]eads?|[Rr]eading)\b", text)


@pytest.mark.parametrize("name", [n for n in FUNCTIONS if n.split(".")[-1] in CITING])
def test_docstring__cites_its_source(name: str) -> None:
    assert sections(FUNCTIONS[name]).get("References")


@pytest.mark.parametrize("name", FUNCTIONS)
def test_docstring__has_an_example(name: str) -> None:
    assert ">>>" in sections(FUNCTIONS[name]).get("Examples", "")


def doctests() -> Iterator[doctest.DocTest]:
    finder = doctest.DocTestFinder(exclude_empty=True)
    for module_name in ("lazymu", *MODULES):
        if not module_name.endswith("__main__"):
            module = importlib.import_module(module_name)
            yield from (t for t in finder.find(module, module_name) if t.examples)


@pytest.mark.parametrize("test", list(doctests()), ids=lambda test: test.name)
def test_docstring__example_runs(
    test: doctest.DocTest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    report: list[str] = []
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    runner = doctest.DocTestRunner(optionflags=flags)
    runner.run(test, out=report.append)
    pyplot.close("all")
    assert runner.failures == 0, "".join(report)
    # What needs a cluster of its own is shown alone.
    shown = [one for one in test.examples if doctest.SKIP in one.options]
    assert not shown or test.name.startswith("lazymu.cluster.")
    assert runner.tries == len(test.examples) - len(shown)
