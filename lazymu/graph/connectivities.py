"""The two matrices of a neighbour graph: distances, and UMAP's fuzzy connectivities."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from lazymu.graph.search import NeighborLists
from lazymu.store.dtypes import index_dtype
from lazymu.store.sources import assemble_csr
from lazymu.typing import CSR, Floats, Ints


def distance_matrix(lists: NeighborLists) -> CSR:
    """Return the lists as a matrix with one row of distances for each cell.

    Parameters
    ----------
    lists
        Neighbours of n cells; an index of -1 stands for none.

    Returns
    -------
    float32, shape (n, n), columns of a row ascending. Distances of 0 are stored.

    Examples
    --------
    >>> import numpy as np
    >>> from lazymu.graph.knn import nearest_neighbors
    >>> distance_matrix(nearest_neighbors(np.array([[0.0], [1.0], [1.0]]), 1)).toarray()
    array([[0., 1., 0.],
           [0., 0., 0.],
           [0., 0., 0.]], dtype=float32)
    """
    return _matrix(lists.indices, lists.distances)


def umap_connectivities(lists: NeighborLists, *, first_is_self: bool = False) -> CSR:
    """Return the weights of UMAP's fuzzy union of the cells' neighbourhoods.

    ``w_ij = p_ij + p_ji - p_ij p_ji`` with ``p_ij = exp(-max(0, d_ij - rho_i) / s_i)``, where
    ``rho_i`` is the distance of the nearest neighbour above 0 and ``s_i`` solves ``sum_j p_ij =
    log2(k + 1)``: k neighbours and the cell itself, as in scanpy's ``n_neighbors``.

    Parameters
    ----------
    lists
        Neighbours of n cells, the cells themselves not among them; an index of -1 stands for none.
    first_is_self
        Count the first neighbour as the cell itself, as muon does: ``s_i`` is then that of k.

    Returns
    -------
    float32, shape (n, n), symmetric, columns of a row ascending.

    References
    ----------
    McInnes, Healy & Melville 2018, https://arxiv.org/abs/1802.03426; the package umap-learn.

    Examples
    --------
    >>> import numpy as np
    >>> from lazymu.graph.knn import nearest_neighbors
    >>> umap_connectivities(nearest_neighbors(np.array([[0.0], [1.0], [3.0]]), 1)).toarray()
    array([[0., 1., 0.],
           [1., 0., 1.],
           [0., 1., 0.]], dtype=float32)
    """
    from lazymu.kernels.fuzzy import edge_strengths

    indices = lists.indices
    distances = np.ascontiguousarray(lists.distances, np.float64)
    n, k = indices.shape
    n_counted = k + (not first_is_self)
    mean = float(distances.sum()) / (n * n_counted)
    strengths = edge_strengths(distances, int(first_is_self), n_counted, mean)
    directed = _matrix(indices, strengths)
    directed.eliminate_zeros()
    return _fuzzy_union(directed)


def _fuzzy_union(A: CSR) -> CSR:
    """Return ``A + A' - A A'``, entry by entry: SciPy's own sums hold five such matrices."""
    from lazymu.kernels.fuzzy import count_union, fuzzy_union

    T = A.T.tocsr()
    starts = count_union(A.indices, A.indptr, T.indices, T.indptr)
    data = np.empty(starts[-1], A.dtype)
    cols = np.empty(starts[-1], index_dtype(int(starts[-1]), A.shape[1]))
    fuzzy_union(A.data, A.indices, A.indptr, T.data, T.indices, T.indptr, starts, data, cols)
    return assemble_csr(data, cols, starts.astype(cols.dtype), A.shape)


def _matrix(indices: Ints, values: Floats) -> CSR:
    """Return lists as a matrix, columns of a row ascending; an index of -1 stands for none."""
    found = indices >= 0
    indptr = np.concatenate([[0], np.cumsum(found.sum(axis=1))])
    index_type = index_dtype(int(indptr[-1]), len(indices))
    data = values[found].astype(np.float32)
    cols: Ints = indices[found].astype(index_type)
    shape = (len(indices),) * 2
    matrix: CSR = sp.csr_matrix((data, cols, indptr.astype(index_type)), shape=shape)
    matrix.sort_indices()
    return matrix
