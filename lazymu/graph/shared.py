"""The shared-neighbour graph: cells are as close as their lists of neighbours have in common."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np

from lazymu.store.dtypes import index_dtype
from lazymu.store.sources import assemble_csr
from lazymu.stream.threads import for_row_blocks
from lazymu.typing import CSR, Floats, Int64s, Ints

Graph: TypeAlias = tuple[Ints, Ints, Int64s, Ints]
"""Lists, their lengths, and the reverse lists' offsets and rows."""
PRUNE = 1 / 15
"""Weights below are left out, as Seurat does."""
BLOCK_ROWS = 1 << 13
FIRST_GUESS = 64
"""Weights a row that a block has room for at first."""


def shared_neighbors(lists: Ints, prune: float = PRUNE) -> CSR:
    r"""Return the Jaccard index of every two cells' neighbours.

    .. math:: J_{ij} = |N_i \cap N_j| / |N_i \cup N_j|

    Parameters
    ----------
    lists
        Neighbours of n cells, shape (n, k), each once; -1 stands for none.
    prune
        Least index that is kept.

    Returns
    -------
    float32, shape (n, n), symmetric, 1 on the diagonal of cells that have neighbours, columns of a
    row ascending.

    Notes
    -----
    Time is that of walking two steps in the lists, ``O(n k^2)``. Peak memory is the result, twice.

    References
    ----------
    Seurat's ``ComputeSNN``; Hao et al. 2021, https://doi.org/10.1016/j.cell.2021.04.048.

    Examples
    --------
    >>> import numpy as np
    >>> shared_neighbors(np.array([[1, 2], [2, 0], [1, 0]], dtype=np.int32)).toarray().round(2)
    array([[1.  , 0.33, 0.33],
           [0.33, 1.  , 0.33],
           [0.33, 0.33, 1.  ]], dtype=float32)
    """
    from lazymu.kernels.wnn import reverse_lists

    lists = np.ascontiguousarray(lists, np.int32)
    indptr, rows = reverse_lists(lists)
    sizes = (lists >= 0).sum(axis=1).astype(np.int32)
    graph = (lists, sizes, indptr, rows)
    lengths = np.zeros(len(lists), np.int64)

    def block(start: int, stop: int) -> tuple[Ints, Floats]:
        return _block(start, stop, graph, prune, lengths)

    pieces = for_row_blocks(block, 0, len(lists), BLOCK_ROWS)
    starts = np.concatenate([[0], np.cumsum(lengths)])
    index_type = index_dtype(int(starts[-1]), len(lists))
    columns = np.concatenate([np.zeros(0, np.int32), *(piece[0] for piece in pieces)])
    values = np.concatenate([np.zeros(0, np.float32), *(piece[1] for piece in pieces)])
    return assemble_csr(
        values, columns.astype(index_type, copy=False), starts.astype(index_type), (len(lists),) * 2
    )


def _block(
    start: int, stop: int, graph: Graph, prune: float, lengths: Int64s
) -> tuple[Ints, Floats]:
    """Return columns and values of some rows; once more where they are more than was guessed."""
    from lazymu.kernels.wnn import jaccard_rows

    room = FIRST_GUESS * (stop - start)
    while True:
        columns, values = np.empty(room, np.int32), np.empty(room, np.float32)
        n = jaccard_rows(start, stop, *graph, prune, lengths, columns, values)
        if n <= room:
            return columns[:n].copy(), values[:n].copy()
        room = n
