"""Fragments piled up over windows around transcription start sites: counters and a profile."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd

from lazymu.atac.tl.regions import Regions
from lazymu.io.fragment_counts import (
    BYTES_PER_FEATURE,
    BYTES_PER_OVERLAP,
    RUN_OVERLAPS,
    overlaps,
)
from lazymu.io.fragments import FragmentFile, require_memory
from lazymu.keys import TSS_POSITION
from lazymu.typing import Float64s, Int64s

FLANK = 100
"""Bases at each end of a window that are its background, and ..."""
CENTRE = 1001
"""... in its middle that are compared with them, as ENCODE says."""


class Pileup(NamedTuple):
    """What fragments cover of all windows together."""

    counters: Int64s
    """Covered bases by cell (cells, 3): in the first flank, the last flank, the middle."""
    profile: Int64s
    """Coverage by position, over all cells."""


def margin_of(width: int) -> int:
    """Return how far the middle of a window is from its ends."""
    return (width - CENTRE) // 2


def pile_up_windows(
    fragments: FragmentFile, regions: Regions, n_cells: int, upstream: int, width: int
) -> Pileup:
    """Pile up fragments over windows that begin ``upstream`` bases before the features' TSS."""
    from lazymu.kernels.intervals import layered_intervals, pile_up

    n_features = len(regions.start)
    size = max(RUN_OVERLAPS, n_features)
    require_memory(BYTES_PER_OVERLAP * size + BYTES_PER_FEATURE * n_features + 24 * n_cells)
    minus = np.zeros(n_features, dtype=bool) if regions.minus is None else regions.minus
    tss = np.where(minus, np.maximum(regions.end - 1, regions.start), regions.start)
    first = np.where(minus, tss - (width - 1 - upstream), tss - upstream)
    intervals = layered_intervals(regions.chrom, first, first + width, len(regions.names))
    mirrored = minus[intervals.feature]
    counters, steps = np.zeros((n_cells, 3), np.int64), np.zeros(width + 1, np.int64)
    cursor, margin = intervals.layers[:-1].copy(), margin_of(width)
    for block in fragments.blocks():
        for fragment, window in overlaps(block, intervals, cursor, size):
            begin, backwards = intervals.start[window], mirrored[window]
            pile_up(block.values, fragment, begin, backwards, width, FLANK, margin, counters, steps)
    return Pileup(counters, np.cumsum(steps[:-1]))


def tss_scores(counters: Int64s, width: int) -> Float64s:
    """Return the mean of the middle over the mean of the flanks, of each cell.

    Flanks of 0 are replaced by the mean over all cells; the score is NaN where that is 0 too.
    """
    flank = (counters[:, 0] + counters[:, 1]) / (2 * FLANK)
    flank[flank == 0] = flank.mean() if len(flank) else 0.0
    centre = counters[:, 2] / (width - 2 * margin_of(width))
    scores = np.full(len(flank), np.nan)
    np.divide(centre, flank, out=scores, where=flank > 0)
    return scores


def profile_table(profile: Int64s, upstream: int) -> pd.DataFrame:
    """Return positions from the TSS, coverage, and coverage over the mean of the flanks."""
    flank = np.concatenate([profile[:FLANK], profile[-FLANK:]]).mean()
    enrichment = np.full(len(profile), np.nan)
    np.divide(profile, flank, out=enrichment, where=bool(flank > 0))
    positions = np.arange(-upstream, len(profile) - upstream)
    return pd.DataFrame({TSS_POSITION: positions, "coverage": profile, "enrichment": enrichment})
