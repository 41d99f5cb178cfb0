"""The facade: a store or data in memory to a page."""

from __future__ import annotations

from pathlib import Path

from lazymu.containers import Modality, MuData, read
from lazymu.errors import ArgumentError, MissingFileError, explain
from lazymu.report.page import page_of
from lazymu.report.subject import Subject, title_of
from lazymu.store.replace import replacing

_SUFFIXES = (".html", ".htm")


def write_report(data: MuData | Modality | str | Path, path: str | Path) -> Path:
    """Write one self-contained HTML page of what a store holds.

    Sizes, quality before and after the filters with the cells lost at each, components and their
    correlation with depth, cells on the UMAP coloured by columns and features, modality weights
    and markers by cluster, stages, parameters and versions. What :func:`lazymu.pipeline
    .run_workflow` kept in ``uns["lazymu"]["run"]`` is taken from there; the page says what is
    missing.

    Parameters
    ----------
    data
        A MuData, a modality, or the path of anything that :func:`lazymu.read` takes.
    path
        Page to write, ``.html``; what is there is replaced.

    Returns
    -------
    pathlib.Path
        The page.

    Raises
    ------
    ArgumentError
        If the suffix is no page's.
    MissingFileError
        If there is nothing at ``data``, or the page's folder does not exist.

    Notes
    -----
    Writes the page and changes nothing in ``data``. The page loads nothing and runs only its own
    script. More than 100,000 cells are drawn as a sample with a fixed seed: of each cluster all
    cells up to 200, then in proportion.

    Passes over X: one over each modality of which features are shown, for the cells drawn.
    Memory: the tables of cells, the blocks of a pass, 30 features of a modality for the cells
    drawn, and the page: some 12 MB at most.

    Examples
    --------
    >>> import lazymu, numpy as np, tempfile
    >>> rna = lazymu.Modality(np.eye(4), obs={"leiden": list("aabb")})
    >>> rna.obsm["X_umap"] = np.random.default_rng(0).random((4, 2))
    >>> page = lazymu.report.write_report(rna, tempfile.mkdtemp() + "/report.html")
    >>> page.read_text().startswith("<!DOCTYPE html>")
    True
    """
    target = _checked(Path(path))
    opened = data if isinstance(data, MuData | Modality) else read(data)
    title = "data in memory" if opened is data else title_of(str(data))
    page = page_of(Subject.of(opened, title))
    with replacing(target, overwrite=True) as temporary:
        # Names from a file system may hold what UTF-8 has no form for.
        temporary.write_bytes(page.encode("utf-8", "xmlcharrefreplace"))
    return target


def _checked(path: Path) -> Path:
    if path.suffix.lower() not in _SUFFIXES:
        rule = "a report is an HTML page"
        fix = f"name it {path.with_suffix('.html') if path.name else 'report.html'}"
        raise ArgumentError(explain("path", repr(str(path)), rule, fix))
    if path.is_dir():
        raise ArgumentError(explain("path", repr(str(path)), "it is a folder", "name a file in it"))
    if not path.absolute().parent.is_dir():
        rule = "there is no such folder"
        raise MissingFileError(explain("path", repr(str(path)), rule, f"make {path.parent} first"))
    return path
