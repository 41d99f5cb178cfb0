"""AnnData's `raw`."""

from __future__ import annotations

import pandas as pd

from lazymu.io.elements import RawElements
from lazymu.stream.matrix import LazyMatrix


class Raw:
    """AnnData's `raw`: a matrix of the same cells with features of its own."""

    def __init__(self, elements: RawElements, obs_names: pd.Index) -> None:
        self.elements, self.obs_names = elements, obs_names

    @property
    def X(self) -> LazyMatrix:
        """The matrix (obs, var), lazy."""
        return self.elements.X

    @property
    def var(self) -> pd.DataFrame:
        """Annotation of features."""
        return self.elements.var

    @property
    def var_names(self) -> pd.Index:
        """Names of the features."""
        return self.elements.var.index

    @property
    def shape(self) -> tuple[int, int]:
        """Cells and features."""
        return self.X.shape
