"""The page as one text: sections, style, script and data in the template."""

from __future__ import annotations

import base64
import hashlib
from importlib.metadata import version
from importlib.resources import files
from string import Template

from lazymu.report.markup import Html, joined, paragraphs, script_json, tag
from lazymu.report.sections.cells import cells_section
from lazymu.report.sections.components import components_section
from lazymu.report.sections.markers import markers_section
from lazymu.report.sections.quality import quality_section
from lazymu.report.sections.run import run_section
from lazymu.report.sections.summary import summary_section
from lazymu.report.sections.weights import weights_section
from lazymu.report.subject import Section, Subject

_PACKAGE = "lazymu.report"


def page_of(subject: Subject) -> str:
    """Return the whole page.

    Its policy lets the browser run the one script and use the one style sheet that are part of
    it, and load nothing.
    """
    cells = cells_section(subject)
    sections = [
        summary_section(subject),
        quality_section(subject),
        components_section(subject),
        cells.section,
        weights_section(subject),
        markers_section(subject),
        run_section(subject),
    ]
    style, script = _part("page.css"), _part("page.js")
    return Template(_part("page.html")).substitute(
        title=joined([subject.title]),
        policy=f"default-src 'none'; style-src '{_digest(style)}'; script-src '{_digest(script)}'; "
        "img-src data:; base-uri 'none'; form-action 'none'",
        style=style,
        links=joined(tag("a", one.title, href=f"#{one.key}") for one in sections),
        missing=_missing(sections),
        sections=joined(_section(one) for one in sections),
        data=script_json(cells.data),
        script=script,
        version=joined([version("lazymu")]),
    )


def _part(name: str) -> str:
    return files(_PACKAGE).joinpath(name).read_text(encoding="utf-8")


def _digest(text: str) -> str:
    digest = hashlib.sha256(text.encode("utf-8")).digest()
    return f"sha256-{base64.b64encode(digest).decode('ascii')}"


def _section(section: Section) -> Html:
    heading = f"{section.key}-heading"
    return tag(
        "section",
        tag("h2", section.title, id=heading),
        *section.content,
        *paragraphs(section.missing, "missing"),
        id=section.key,
        aria_labelledby=heading,
    )


def _missing(sections: list[Section]) -> Html:
    """Return in which sections something is missing, nothing where it is in none."""
    lacking = [one for one in sections if one.missing]
    if not lacking:
        return Html("")
    items = [
        tag("li", tag("a", one.title, href=f"#{one.key}"), ": ", " ".join(one.missing))
        for one in lacking
    ]
    title = tag("summary", "What is missing in this report")
    return tag("details", title, tag("ul", *items), id="missing", open=True)
