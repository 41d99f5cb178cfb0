"""Pages of the README, the architecture and every public function, by Sphinx: `make docs`."""

from __future__ import annotations

import importlib
import inspect
from importlib import metadata
from pathlib import Path

HERE = Path(__file__).parent
REPOSITORY = HERE.parent

project = "lazymu"
author = "The lazymu developers"
version = release = metadata.version("lazymu")

extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "sphinx.ext.viewcode",
]
html_theme = "furo"
html_title = f"lazymu {release}"
html_show_sourcelink = False
exclude_patterns = ["_build"]
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3
autosummary_generate = True
autodoc_typehints = "none"  # the docstrings say more
autodoc_member_order = "bysource"
numpydoc_show_class_members = False
# The README links files of the repository, which are no pages here.
suppress_warnings = ["myst.xref_missing", "myst.header"]

NAMESPACES = {
    "lazymu": "Containers, reading and writing",
    "lazymu.pp": "Preprocessing",
    "lazymu.tl": "Embeddings, clusters, tests",
    "lazymu.atac.pp": "Chromatin accessibility: preprocessing",
    "lazymu.atac.tl": "Chromatin accessibility: analysis",
    "lazymu.prot.pp": "Proteins",
    "lazymu.pl": "Plots",
    "lazymu.atac.pl": "Chromatin accessibility: plots",
    "lazymu.get": "Tables out of containers",
    "lazymu.report": "Report",
    "lazymu.cluster": "Dask clusters",
    "lazymu.datasets": "Simulated data",
}
"""Modules whose public names are documented, with the titles of their sections."""


def public_names(module: str) -> list[str]:
    """Return the functions and classes of a module, and its settings; namespaces apart."""
    found = importlib.import_module(module)
    return [name for name in found.__all__ if not inspect.ismodule(getattr(found, name))]


def api_page() -> str:
    """Return the page that lists everything public."""
    parts = ["API", "===", ""]
    for module, title in NAMESPACES.items():
        parts += [title, "-" * len(title), "", f".. currentmodule:: {module}", ""]
        parts += [".. autosummary::", "   :toctree: generated", "   :nosignatures:", ""]
        parts += [f"   {name}" for name in public_names(module)] + [""]
    return "\n".join(parts)


(HERE / "api.rst").write_text(api_page())
