"""What is known of a matrix's raw counts without reading them, and what of it a selection keeps."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from lazymu.typing import Int64s

if TYPE_CHECKING:
    from lazymu.stream.rare import RareEntries
    from lazymu.stream.sums import CellSums, Extremes, FeatureSums, MatrixSums


class KnownSums(NamedTuple):
    """What is known of a selection without reading it; None where it is not."""

    cells: CellSums | None
    features: FeatureSums | None
    extremes: Extremes | None
    feature_bounds: Int64s | None


class SumsCache:
    """Sums of one selection of raw counts, made when first needed.

    Selecting cells keeps the cells' sums, selecting features keeps the features' sums. The other
    half is lost, but for the cells' sums where all features that were dropped are rare ones whose
    entries are known. That all values are finite, whole and not negative holds for every selection
    of a matrix for which it holds.
    """

    def __init__(
        self,
        *,
        loader: Callable[[], MatrixSums | None] | None = None,
        parent: SumsCache | None = None,
        rows: Int64s | None = None,
        cols: Int64s | None = None,
    ) -> None:
        self._loader, self._parent, self._rows, self._cols = loader, parent, rows, cols
        self._cells: CellSums | None = None
        self._features: FeatureSums | None = None
        self._extremes: Extremes | None = None
        self._rare: RareEntries | None = None
        self._bounds: Int64s | None = None

    @classmethod
    def of(cls, known: KnownSums) -> SumsCache:
        """Return a cache that knows what another knew."""
        cache = cls()
        cache._cells, cache._features, cache._extremes, cache._bounds = known
        return cache

    def known(self) -> KnownSums:
        """Return what is known without reading the matrix."""
        return KnownSums(self.cells(), self.features(), self.extremes(), self.feature_bounds())

    def fill(self, sums: MatrixSums, rare: RareEntries | None = None) -> None:
        """Keep all sums, as a pass has made them, and the entries of rare features."""
        self._cells, self._features, self._extremes = sums.cells, sums.features, sums.extremes
        self._rare = rare

    def _load(self) -> None:
        if self._loader is not None:
            sums = self._loader()  # what raises is asked again: damaged sums are not unknown ones
            self._loader = None
            if sums is not None:
                self.fill(sums)

    def cells(self) -> CellSums | None:
        """Return the cells' sums where they are known."""
        self._load()
        if self._cells is None and self._parent is not None:
            whole, cols = self._parent, self._cols
            known = whole.cells() if cols is None else whole.cells_of(cols)
            self._cells = known if known is None or self._rows is None else known.take(self._rows)
        return self._cells

    def cells_of(self, cols: Int64s) -> CellSums | None:
        """Return the cells' sums over some features, where all others are known entry by entry."""
        cells, features, rare = self.cells(), self.features(), self._rare
        if cells is None or features is None or rare is None:
            return None
        entries = rare.of(np.setdiff1d(np.arange(len(features.nnz)), cols))
        return None if entries is None else cells.less(entries)

    def features(self) -> FeatureSums | None:
        """Return the features' sums where they are known."""
        self._load()
        if self._features is None and self._parent is not None and self._rows is None:
            known = self._parent.features()
            keep = self._cols
            self._features = known if known is None or keep is None else known.take(keep)
        return self._features

    def feature_bounds(self) -> Int64s | None:
        """Return upper bounds on the features' numbers of values: of this or of more cells."""
        if (known := self.features()) is not None:
            return known.nnz
        if self._bounds is not None:
            return self._bounds
        if self._parent is None or (bounds := self._parent.feature_bounds()) is None:
            return None
        return bounds if self._cols is None else bounds[self._cols]

    def extremes(self) -> Extremes | None:
        """Return bounds on the values where they are known."""
        self._load()
        if self._extremes is None and self._parent is not None:
            known = self._parent.extremes()
            if known is not None and known.are_counts:
                self._extremes = known
        return self._extremes
