"""What stages would read, hold and take: the plan that `lazymu run --dry-run` prints.

Passes and memory follow from the same decisions that the functions make, with all cells and
features kept. Times are a guide: the rates below were measured on two cores of a server.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from lazymu import keys
from lazymu.containers import Modality
from lazymu.decomposition.in_memory import fits_in_memory
from lazymu.decomposition.krylov import (
    KEPT_PRODUCTS,
    START_PRODUCTS,
    block_width,
    sampled_rows,
)
from lazymu.decomposition.pca import GRAM_VARS
from lazymu.decomposition.reducers import Gram, GramDot
from lazymu.decomposition.staged import StagedMatrix
from lazymu.decomposition.svd import MAX_PASSES, N_OVERSAMPLES
from lazymu.settings import settings
from lazymu.stream import LazyMatrix, Reducer
from lazymu.stream.passes import pass_plan
from lazymu.stream.plan import RUNTIME_BYTES
from lazymu.typing import Array

if TYPE_CHECKING:
    from lazymu.pipeline.run import Run

INDEX_BYTES = 4
# Nonzeros a second and thread.
SUMS, MOMENTS, GRAM, PRODUCTS = 250e6, 150e6, 40e6, 100e6
IMPORT, EXPORT = 20e6, 50e6
# Seconds a cell, of a million.
GRAPH, CLUSTERING, LAYOUT = 6e-4, 6e-5, 1.2e-4


class Reading(NamedTuple):
    """Passes of one kind over a matrix."""

    matrix: LazyMatrix
    rate: float
    n_passes: int = 1
    reducers: tuple[Reducer[Any, Any], ...] = ()


class StageForecast(NamedTuple):
    """What one stage would do."""

    label: str
    n_passes: int
    n_values: int
    """Nonzeros read."""
    n_bytes: int
    """What they take decompressed."""
    peak_bytes: int
    """Memory of the process that its passes are planned for, results apart; 0 without passes."""
    seconds: float


def of_readings(label: str, readings: Iterable[Reading], seconds: float = 0.0) -> StageForecast:
    """Return the forecast of a stage that makes these passes, and needs some time beside them.

    Raises
    ------
    MemoryLimitError
        If a pass cannot keep the memory limit.
    """
    n_passes = n_values = n_bytes = peak = 0
    for reading in readings:
        plan = pass_plan(reading.matrix, reading.reducers)
        n_passes += reading.n_passes
        n_values += plan.n_values * reading.n_passes
        width = reading.matrix.source.dtype.itemsize + INDEX_BYTES
        n_bytes += plan.n_values * reading.n_passes * width
        peak = max(peak, plan.projected_bytes + RUNTIME_BYTES)
        seconds += plan.n_values * reading.n_passes / reading.rate / settings.n_threads
    return StageForecast(label, n_passes, n_values, n_bytes, peak, seconds)


def import_reads(run: Run, modality: Modality) -> Iterator[Reading]:
    """Yield the pass that brings counts into a store."""
    yield Reading(modality.X.counts, IMPORT)


def export_reads(run: Run, modality: Modality) -> Iterator[Reading]:
    """Yield the pass that writes the counts of the cells that were kept."""
    yield Reading(modality.X.counts, EXPORT)


def quality_reads(run: Run, modality: Modality) -> Iterator[Reading]:
    """Yield a pass where sums are not known, or mitochondrial genes are to be summed."""
    X = modality.X.counts
    mitochondrial = modality.var_names.str.upper().str.startswith(keys.MITOCHONDRIAL_PREFIX)
    if mitochondrial.any() or (run.starts_from_store and X.cache.cells() is None):
        yield Reading(X, SUMS)


def rna_reads(run: Run, modality: Modality) -> Iterator[Reading]:
    """Yield the passes for rare genes, variable genes, and principal components."""
    X = modality.X.counts
    yield Reading(X, SUMS)
    yield Reading(X, MOMENTS, 2 if run.params.rna.flavor.startswith("seurat_v3") else 1)
    n_top = min(run.params.rna.n_top_genes, X.shape[1])
    chosen = X[:, _most_frequent(X, n_top)]
    if n_top > GRAM_VARS:
        yield from _svd_reads(chosen, run.params.rna.n_comps)
        return
    yield Reading(chosen, GRAM, 1 if StagedMatrix(chosen).fits else 2, (Gram(n_top),))


def atac_reads(run: Run, modality: Modality) -> Iterator[Reading]:
    """Yield the passes for rare peaks, and LSI."""
    X = modality.X.counts
    yield Reading(X, SUMS)
    yield from _svd_reads(X, run.params.atac.n_comps)


def prot_reads(run: Run, modality: Modality) -> Iterator[Reading]:
    """Yield the passes for CLR, and principal components."""
    yield Reading(modality.X.counts, MOMENTS, 2)


def look_up_reads(run: Run, modality: Modality) -> Iterator[Reading]:
    """Yield a pass that takes a few features or groups."""
    yield Reading(modality.X.counts, MOMENTS)


def _most_frequent(X: LazyMatrix, n: int) -> slice | Array:
    """Return the features with most values, the worst choice for memory, where that is known."""
    bounds = X.cache.feature_bounds()
    return slice(0, n) if bounds is None else np.sort(np.argsort(bounds)[-n:])


def _svd_reads(X: LazyMatrix, n_comps: int) -> Iterator[Reading]:
    if fits_in_memory(X):
        yield Reading(X, PRODUCTS)
        return
    if StagedMatrix(X).fits:
        yield Reading(X, PRODUCTS / KEPT_PRODUCTS)
        return
    width = block_width(n_comps + N_OVERSAMPLES, X.shape)
    product = GramDot(np.zeros((X.shape[1], width), np.float32))
    if (rows := sampled_rows(X)) is not None:
        sample = X[rows]
        held = StagedMatrix(sample).fits
        rate = PRODUCTS / START_PRODUCTS if held else PRODUCTS
        yield Reading(sample, rate, 1 if held else START_PRODUCTS, (product,))
    yield Reading(X, PRODUCTS, MAX_PASSES, (product,))
