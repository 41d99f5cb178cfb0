"""Sums of peaks' counts over intervals such as genes, for each cell."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp

from lazymu.errors import MemoryLimitError, explain
from lazymu.genomics.intervals import Intervals, offsets_of
from lazymu.genomics.pairs import overlapping
from lazymu.settings import settings
from lazymu.stream import LazyMatrix, RowPieces, RowReducer, matrix_sums, run_pass
from lazymu.typing import CSR, Int64s

INDEX_BYTES = 4


def incidence(peaks: Intervals, regions: Intervals) -> CSR:
    """Return which peaks overlap which regions, (peaks, regions), int8 ones."""
    of_peaks, of_regions = offsets_of(peaks.chrom, regions.chrom)
    pairs = overlapping(
        peaks.start + of_peaks,
        peaks.end + of_peaks,
        regions.start + of_regions,
        regions.end + of_regions,
    )
    ones = np.ones(len(pairs.first), dtype=np.int8)
    shape = (len(peaks.start), len(regions.start))
    return sp.csr_matrix((ones, (pairs.first, pairs.second)), shape=shape)


def overlap_sums(counts: LazyMatrix, overlaps: CSR) -> CSR:
    """Return ``counts @ overlaps`` (obs, regions), of whole numbers, exact. One pass.

    One more where the sums of the counts are not known.

    Raises
    ------
    MemoryLimitError
        If the result, of which no more is known than how many values it has at most, might not fit
        the memory limit twice: in the pieces of blocks and put together.
    """
    sums = matrix_sums(counts)
    # A sum over different peaks of a cell is at most the cell's total.
    largest = float(sums.cells.total.max(initial=0))
    dtype = np.dtype(np.int32 if largest <= np.iinfo(np.int32).max else np.int64)
    shape = (counts.shape[0], overlaps.shape[1])
    bound = _values_at_most(sums.cells.nnz, sums.features.nnz, overlaps)
    _require_room(shape, 2 * bound * (dtype.itemsize + INDEX_BYTES))
    (found,) = run_pass(counts, _OverlapSums(shape, overlaps, dtype), label="overlaps")
    result: CSR = found
    return result


class _OverlapSums(RowReducer[CSR]):
    """The product of a matrix with a sparse one of 0 and 1."""

    def __init__(self, shape: tuple[int, int], overlaps: CSR, dtype: np.dtype[Any]) -> None:
        self.shape, self.overlaps, self.dtype = shape, overlaps, dtype

    @property
    def operand_bytes(self) -> int:
        parts = (self.overlaps.data, self.overlaps.indices, self.overlaps.indptr)
        return sum(part.nbytes for part in parts)

    def of_block(self, X: CSR) -> CSR:
        whole = sp.csr_matrix((X.data.astype(self.dtype), X.indices, X.indptr), shape=X.shape)
        product: CSR = whole @ self.overlaps
        product.sort_indices()
        return product

    def finalize(self, state: RowPieces) -> CSR:
        return state.stack(self.shape, self.dtype)


def _values_at_most(of_cells: Int64s, of_peaks: Int64s, overlaps: CSR) -> int:
    """Return how many values a product has at most."""
    regions = np.diff(overlaps.indptr)
    by_peak = int(np.sum(of_peaks * regions, dtype=np.int64))
    most = min(int(regions.max(initial=0)) * int(of_cells.max(initial=0)), overlaps.shape[1])
    return min(by_peak, len(of_cells) * most)


def _require_room(shape: tuple[int, int], needed: int) -> None:
    if needed > settings.memory_limit:
        got = f"{shape[0]:,} cells × {shape[1]:,} genes"
        rule = (
            f"their sums may take {needed:,} bytes while they are made, and the memory limit is "
            f"{settings.memory_limit:,}"
        )
        fix = "select cells or genes, or raise lazymu.settings.memory_limit"
        raise MemoryLimitError(explain("genes", got, rule, fix))
