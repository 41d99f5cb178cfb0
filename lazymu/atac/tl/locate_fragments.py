"""Say where the fragments file is."""

from __future__ import annotations

from pathlib import Path

from lazymu import keys
from lazymu.containers import Modality, MuData, as_modality
from lazymu.containers.history import recorded
from lazymu.io.fragments import check_fragments


@recorded
def locate_fragments(data: Modality | MuData, fragments: str | Path) -> None:
    r"""Say which file holds the fragments of the cells.

    A fragments file has a line for each fragment, ``chromosome start end barcode count`` between
    tabs: where it begins (from 0), where it ends (exclusive), the cell's barcode, and how many
    read pairs it was seen in. Lines that begin with ``#`` are comments. It may be compressed with
    bgzip or gzip, or not; an index is not needed.

    Parameters
    ----------
    data
        A modality of peak counts, or a MuData with one (``"atac"``).
    fragments
        Path of the file, such as ``atac_fragments.tsv.gz``.

    Raises
    ------
    MissingFileError
        If there is no such file.
    DamagedFileError
        If bgzip wrote it and its end is missing, if it holds no fragments, or if a line is wrong;
        the message names the line.

    Notes
    -----
    Writes the path, as given, to ``uns["files"]["fragments"]``. Passes over X: none. Reads the
    file's first lines (64 KiB of text) and checks them; functions that use the file check all.

    Examples
    --------
    >>> import lazymu as mu, numpy as np
    >>> from pathlib import Path
    >>> _ = Path("fragments.tsv").write_text("chr1\t100\t250\tAAAC-1\t2\n")
    >>> atac = mu.Modality(np.ones((1, 1)))
    >>> mu.atac.tl.locate_fragments(atac, "fragments.tsv")
    >>> atac.uns["files"]
    {'fragments': 'fragments.tsv'}
    """
    modality = as_modality(data, kinds=keys.ATAC_ALIASES)
    check_fragments(fragments)
    files = modality.uns.get(keys.FILES, {})
    modality.uns[keys.FILES] = {**files, keys.FRAGMENTS: str(fragments)}
