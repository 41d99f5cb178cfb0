"""Fragments piled up over windows around transcription start sites: counters and profiles."""

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
from lazymu.keys import COVERAGE, ENRICHMENT, TSS_POSITION
from lazymu.typing import Float64s, Int64s

FLANK = 100
"""Bases at each end of a window that are its background, and ..."""
CENTRE = 1001
"""... in its middle that are compared with them, as ENCODE says."""
PROFILE_BYTES = 40
"""Peak bytes for each position of a profile: differences, sums, and the table's columns."""


class Pileup(NamedTuple):
    """What fragments cover of all windows together."""

    counters: Int64s
    """Covered bases by cell (cells, 3): in the first flank, the last flank, the middle."""
    profiles: Int64s
    """Coverage by position (groups, positions), over the cells of each group."""


def margin_of(width: int) -> int:
    """Return how far the middle of a window is from its ends."""
    return (width - CENTRE) // 2


def pile_up_windows(
    fragments: FragmentFile,
    regions: Regions,
    codes: Int64s,
    n_groups: int,
    upstream: int,
    width: int,
) -> Pileup:
    """Pile up fragments over windows that begin ``upstream`` bases before the features' TSS.

    ``codes`` are the groups of the cells, -1 where a cell is in no group's profile.

    Raises
    ------
    MemoryLimitError
        If counters and profiles do not fit.
    """
    from lazymu.kernels.intervals import layered_intervals, pile_up

    n_features, n_cells = len(regions.start), len(codes)
    size = max(RUN_OVERLAPS, n_features)
    profile_bytes = PROFILE_BYTES * (n_groups + 1) * (width + 1)
    held = 24 * n_cells + profile_bytes
    require_memory(BYTES_PER_OVERLAP * size + BYTES_PER_FEATURE * n_features + held)
    minus = np.zeros(n_features, dtype=bool) if regions.minus is None else regions.minus
    tss = np.where(minus, np.maximum(regions.end - 1, regions.start), regions.start)
    first = np.where(minus, tss - (width - 1 - upstream), tss - upstream)
    intervals = layered_intervals(regions.chrom, first, first + width, len(regions.names))
    mirrored = minus[intervals.feature]
    counters = np.zeros((n_cells, 3), np.int64)
    steps, group = (
        np.zeros((n_groups + 1, width + 1), np.int64),
        np.where(codes < 0, n_groups, codes),
    )
    cursor, margin = intervals.layers[:-1].copy(), margin_of(width)
    for block in fragments.blocks(label="TSS enrichment"):
        for fragment, window in overlaps(block, intervals, cursor, size):
            begin, backwards = intervals.start[window], mirrored[window]
            windows = (begin, backwards, width, FLANK, margin)
            pile_up(block.values, fragment, *windows, counters, group, steps)
    return Pileup(counters, np.cumsum(steps[:n_groups, :-1], axis=1))


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


def profile_table(profiles: Int64s, upstream: int, groups: pd.DataFrame) -> pd.DataFrame:
    """Return positions from the TSS, coverage, and coverage over the mean of the flanks.

    ``groups`` has a row for each profile, whose columns come first in each row of its positions.
    """
    n_groups, width = profiles.shape
    table = groups.loc[groups.index.repeat(width)].reset_index(drop=True)
    table[TSS_POSITION] = np.tile(np.arange(-upstream, width - upstream), n_groups)
    table[COVERAGE] = profiles.ravel()
    table[ENRICHMENT] = enrichment(profiles).ravel()
    return table


def enrichment(profiles: Int64s) -> Float64s:
    """Return each profile (groups, positions) over the mean of its flanks, NaN where that is 0."""
    flank = np.hstack([profiles[:, :FLANK], profiles[:, -FLANK:]]).mean(axis=1, keepdims=True)
    found = np.full(profiles.shape, np.nan)
    np.divide(profiles, flank, out=found, where=flank > 0)
    return found
