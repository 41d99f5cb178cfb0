"""The shared-neighbour graph: cells are as close as their lists of neighbours have in common."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import numpy as np

from lazymu.store.dtypes import index_dtype
from lazymu.store.sources import assemble_csr
from lazymu.stream.spread import Shared, over_rows
from lazymu.typing import CSR, Floats, Int64s, Ints

PRUNE = 1 / 15
"""Weights below are left out, as Seurat does."""
BLOCK_ROWS = 1 << 13
FIRST_GUESS = 64
"""Weights a row that a block has room for at first."""


class Graph(NamedTuple):
    """Lists, their lengths, and the reverse lists' offsets and rows."""

    lists: Ints
    sizes: Ints
    indptr: Int64s
    rows: Ints


class Indices(NamedTuple):
    """Jaccard indices of some rows: how many each has, their columns and values."""

    lengths: Int64s
    columns: Ints
    values: Floats


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
    found = over_rows(
        partial(_indices, prune=prune),
        (np.arange(len(lists), dtype=np.int32),),
        (Shared(Graph(lists, sizes, indptr, rows)),),
        block_rows=BLOCK_ROWS,
        label="shared neighbours",
    )
    starts = np.concatenate([[0], *(own.lengths for own in found)]).cumsum()
    index_type = index_dtype(int(starts[-1]), len(lists))
    columns = np.concatenate([np.zeros(0, np.int32), *(own.columns for own in found)])
    values = np.concatenate([np.zeros(0, np.float32), *(own.values for own in found)])
    return assemble_csr(
        values, columns.astype(index_type, copy=False), starts.astype(index_type), (len(lists),) * 2
    )


def _indices(asked: Ints, graph: Graph, *, prune: float) -> Indices:
    """Return the indices of some rows; once more where they are more than was guessed."""
    from lazymu.kernels.wnn import jaccard_rows

    lengths = np.zeros(len(asked), np.int64)
    room = FIRST_GUESS * len(asked)
    while True:
        columns, values = np.empty(room, np.int32), np.empty(room, np.float32)
        n = jaccard_rows(asked, *graph, prune, lengths, columns, values)
        if n <= room:
            return Indices(lengths, columns[:n].copy(), values[:n].copy())
        room = n
