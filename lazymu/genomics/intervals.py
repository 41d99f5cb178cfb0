"""Intervals on chromosomes, and their names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from lazymu.errors import ArgumentError, explain
from lazymu.typing import Array, Int64s

CHROMOSOME_SPAN = 1 << 36
"""Where all chromosomes are laid out on one line, each begins so many bases after the last."""
LONGEST_DIGITS = 10
"""Digits at most of a position; a chromosome's margin is then longer than the chromosome."""
NAME = rf"^(.*[^:_-])[:_-](\d{{1,{LONGEST_DIGITS}}})[-_](\d{{1,{LONGEST_DIGITS}}})$"


class Intervals(NamedTuple):
    """Intervals, each ``[start, end)`` of a chromosome, counted from 0."""

    chrom: Array
    start: Int64s
    end: Int64s

    def take(self, index: Array) -> Intervals:
        """Return some of the intervals."""
        return Intervals(self.chrom[index], self.start[index], self.end[index])

    @property
    def width(self) -> Int64s:
        """Number of bases of each."""
        return self.end - self.start


def parse_intervals(names: Sequence[str] | pd.Index | Array, argument: str) -> Intervals:
    """Return the intervals of names such as ``chr1:100-200``, ``chr1_100_200``, ``chr1-100-200``.

    Raises
    ------
    ArgumentError
        Naming ``argument`` and the first name that is no interval.

    Examples
    --------
    >>> parse_intervals(["chr1:100-200", "KI270728.1_5_9"], "var_names").end.tolist()
    [200, 9]
    """
    text = pd.Series(np.asarray(names, dtype=object), dtype=object).astype(str)
    parts = text.str.extract(NAME)
    unclear = parts[0].isna().to_numpy(dtype=bool)
    start, end = (parts[column].fillna("0").to_numpy(dtype=object) for column in (1, 2))
    start, end = start.astype(np.int64), end.astype(np.int64)
    wrong = unclear | (start >= end)
    if np.any(wrong):
        first = int(np.argmax(wrong))
        rule = "names of peaks are chromosome, start and end, with the start below the end"
        got = f"{text.iloc[first]!r} at position {first}"
        fix = "rename it as in 'chr1:100-200', or set var['interval']"
        raise ArgumentError(explain(argument, got, rule, fix))
    return Intervals(parts[0].to_numpy(dtype=object), start, end)


def interval_names(intervals: Intervals) -> Array:
    """Return names of the form ``chr1:100-200``."""
    places = zip(intervals.chrom, intervals.start.tolist(), intervals.end.tolist(), strict=True)
    return np.array([f"{chrom}:{start}-{end}" for chrom, start, end in places], dtype=object)


def offsets_of(*chroms: Array) -> list[Int64s]:
    """Return where each entry's chromosome begins if all chromosomes are laid out on one line.

    Examples
    --------
    >>> first, second = offsets_of(np.array(["chr1", "chr2"]), np.array(["chr2"]))
    >>> bool(first[1] == second[0]), bool(first[0] == second[0])
    (True, False)
    """
    codes, _ = pd.factorize(np.concatenate([np.asarray(c, dtype=object) for c in chroms]))
    starts = (codes.astype(np.int64) + 1) * CHROMOSOME_SPAN
    return np.split(starts, np.cumsum([len(c) for c in chroms])[:-1])


def require_common(peaks: Intervals, chrom: Array) -> None:
    """Raise where peaks and genes have no chromosome in common."""
    theirs = pd.unique(np.asarray(chrom, dtype=object))
    ours = pd.unique(peaks.chrom)
    if len(ours) and len(theirs) and not set(ours) & set(theirs):
        rule = f"peaks are on {', '.join(ours[:3])}, ..., and no chromosome is in common"
        fix = "name chromosomes alike"
        got = f"on {', '.join(map(str, theirs[:3]))}, ..."
        raise ArgumentError(explain("genes", got, rule, fix))
