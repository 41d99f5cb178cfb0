"""Some columns of blocks, in an order of their own."""

from __future__ import annotations

import numpy as np

from lazymu.store.dtypes import index_dtype
from lazymu.store.sources import assemble_csr
from lazymu.typing import CSR, Int64s, Ints


class ColumnPicker:
    """Takes columns ``cols`` of blocks that have ``n_cols``; at -1 it makes an empty one."""

    def __init__(self, cols: Int64s, n_cols: int) -> None:
        self._n_picked = len(cols)
        # New position of each column, -1 of those dropped. Narrow, so that caches hold it.
        self._remap: Ints = np.full(n_cols, -1, index_dtype(len(cols), n_cols))
        taken = np.flatnonzero(cols >= 0)
        self._remap[cols[taken]] = taken

    @property
    def nbytes(self) -> int:
        return self._remap.nbytes

    def __call__(self, X: CSR) -> CSR:
        from lazymu.kernels.select import select_cols

        parts = select_cols(X.data, X.indices, X.indptr, self._remap)
        return assemble_csr(*parts, (X.shape[0], self._n_picked))
