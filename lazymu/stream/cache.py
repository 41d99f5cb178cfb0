"""What is known of a matrix's raw counts without reading them, and what of it a selection keeps."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from lazymu.typing import Int64s

if TYPE_CHECKING:
    from lazymu.stream.sums import CellSums, Extremes, FeatureSums, MatrixSums


class SumsCache:
    """Sums of one selection of raw counts, made when first needed.

    Selecting cells keeps the cells' sums, selecting features keeps the features' sums; the other
    half is lost. That all values are finite, whole and not negative holds for every selection of
    a matrix for which it holds.
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

    def fill(self, sums: MatrixSums) -> None:
        """Keep all sums, as a pass has made them."""
        self._cells, self._features, self._extremes = sums.cells, sums.features, sums.extremes

    def _load(self) -> None:
        if self._loader is not None:
            loader, self._loader = self._loader, None
            if (sums := loader()) is not None:
                self.fill(sums)

    def cells(self) -> CellSums | None:
        """Return the cells' sums where they are known."""
        self._load()
        if self._cells is None and self._parent is not None and self._cols is None:
            known = self._parent.cells()
            self._cells = known if known is None or self._rows is None else known.take(self._rows)
        return self._cells

    def features(self) -> FeatureSums | None:
        """Return the features' sums where they are known."""
        self._load()
        if self._features is None and self._parent is not None and self._rows is None:
            known = self._parent.features()
            keep = self._cols
            self._features = known if known is None or keep is None else known.take(keep)
        return self._features

    def extremes(self) -> Extremes | None:
        """Return bounds on the values where they are known."""
        self._load()
        if self._extremes is None and self._parent is not None:
            known = self._parent.extremes()
            if known is not None and known.are_counts:
                self._extremes = known
        return self._extremes
