"""From marginals and cell types to the parameters of a simulated assay."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from lazymu.datasets.assay import SimulatedAssay
from lazymu.datasets.cells import Cells
from lazymu.datasets.celltypes import proportions
from lazymu.datasets.profiles import Profile
from lazymu.typing import Float64s

_MARKER_SPREAD = 0.3  # of the logarithm of a marker's factor
_LARGEST_TAIL_SHARE = 0.6


class Noise(NamedTuple):
    """Spread of the counts: their variance is ``mean (1 + floor + slope * mean)``."""

    floor: float
    slope: float
    single_ends: float | None = None
    """Of cut sites: the share of fragments with one end in the peak; the others bring two."""


class Signal(NamedTuple):
    """What tells programs and batches apart."""

    share: float
    """Share of the features that are markers of a program, at the profile's width."""
    fold: float
    """Median factor of a marker in its own program."""
    off: float = 0.03
    """Factor of a well-known marker outside its programs."""
    batch_share: float = 0.02
    batch_fold: float = 1.4


class Design(NamedTuple):
    """One modality of a simulation."""

    profile: Profile
    noise: Noise
    signal: Signal
    programs: Sequence[int]
    """Program of each cell type."""
    known: Mapping[str, frozenset[int]]
    """Programs in which a feature known by name is present."""
    depth_column: int
    """Which of the depth levels of a cell is this modality's."""
    n_tail: int = 0
    """Number of last features whose share of the counts varies between cells."""


def simulate_assay(
    cells: Cells, var: pd.DataFrame, base_means: Float64s, design: Design, depth: float, seed: int
) -> SimulatedAssay:
    """Return the assay in which feature means over all cells are proportional to ``base_means``.

    ``depth`` multiplies the library sizes, which go with the width: a matrix with half of the
    profile's features has half of its counts, as a random half of the features would.
    """
    stream = 1 + design.depth_column
    generator = np.random.default_rng([seed, stream])
    folds = _program_folds(var.index, base_means, design, generator)
    batches = _batch_factors(base_means, cells.n_batches, design.signal, generator)
    features = np.flatnonzero(base_means)
    means = base_means[features]
    folds, batches = (factors.take(features, axis=1) for factors in (folds, batches))
    folds /= proportions(cells.n_clusters) @ folds[list(design.programs)]
    shares = (means * folds[:, None, :] * batches[None, :, :]).reshape(-1, means.size)
    shares /= shares.sum(axis=1, keepdims=True)
    theta = design.noise.floor + design.noise.slope * means
    events = shares * (np.log1p(theta) / theta)
    states = np.asarray(design.programs)[cells.labels] * cells.n_batches + cells.batches
    head = means.size - design.n_tail
    scale = depth * base_means.size / design.profile.n_features
    if design.noise.single_ends is not None:
        scale /= 2 - design.noise.single_ends
    levels = cells.depth_levels[:, design.depth_column]
    tail_shares = shares[:, head:].sum(axis=1)[states] * cells.mitochondrial
    return SimulatedAssay(
        var=var,
        cells=cells,
        states=states,
        library_sizes=design.profile.library_sizes(levels) * scale,
        features=features.astype(np.int32),
        cumulative=_cumulative(events),
        events_per_count=_events_per_count(events, shares, head),
        tail_shares=np.minimum(tail_shares, _LARGEST_TAIL_SHARE),
        n_tail=design.n_tail,
        log_series=theta / (1 + theta),
        single_ends=design.noise.single_ends,
        seed=(seed, stream),
    )


def _program_folds(
    names: pd.Index[str], base_means: Float64s, design: Design, generator: np.random.Generator
) -> Float64s:
    """Return the factor of each feature in each program, (n_programs, n_features)."""
    n_programs = max(design.programs) + 1
    folds = np.ones((n_programs, base_means.size))
    present = np.flatnonzero(base_means)
    # Markers come from the better measured half; the few strongest features would upset every
    # cell's total.
    low, high = np.quantile(base_means[present], [0.5, 0.99])
    known = np.array([name in design.known for name in names])
    eligible = np.flatnonzero((base_means >= low) & (base_means <= high) & ~known)
    eligible = eligible[eligible < base_means.size - design.n_tail]
    # With a share that grows as the width falls, narrow matrices tell types apart as well.
    n_full = design.profile.n_features - design.profile.n_empty_features
    n_markers = round(design.signal.share * np.sqrt(present.size * n_full))
    n_markers = min(n_markers, eligible.size // 3)
    for program in range(n_programs):
        markers = generator.choice(eligible, n_markers, replace=False)
        spread = _MARKER_SPREAD * generator.standard_normal(n_markers)
        folds[program, markers] = design.signal.fold * np.exp(spread)
    for feature in np.flatnonzero(known).tolist():
        absent = sorted(set(range(n_programs)) - design.known[names[feature]])
        folds[absent, feature] = design.signal.off
    return folds


def _batch_factors(
    base_means: Float64s, n_batches: int, signal: Signal, generator: np.random.Generator
) -> Float64s:
    """Return the factor of each feature in each batch, (n_batches, n_features)."""
    touched = generator.random((n_batches, base_means.size)) < signal.batch_share
    up = generator.random((n_batches, base_means.size)) < 0.5
    return np.where(touched, np.where(up, signal.batch_fold, 1 / signal.batch_fold), 1.0)


def _cumulative(events: Float64s) -> Float64s:
    cumulative = np.ascontiguousarray(np.cumsum(events, axis=1))
    cumulative /= cumulative[:, -1:]
    cumulative[:, -1] = np.nextafter(1.0, 2.0)  # a draw rounded up to 1 still finds its feature
    return cumulative


def _events_per_count(events: Float64s, shares: Float64s, head: int) -> Float64s:
    """Return expected events per count in the features before and from ``head``, (n_states, 2)."""
    parts = (slice(None, head), slice(head, None))
    sums = [(events[:, part].sum(axis=1), shares[:, part].sum(axis=1)) for part in parts]
    ratios = [np.divide(e, s, out=np.zeros_like(e), where=s > 0) for e, s in sums]
    return np.stack(ratios, axis=1)
