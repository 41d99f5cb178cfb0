"""The neutral record of a container's parts: what readers give and writers take.

Matrices are lazy; annotation tables are in memory; the values of `obsm`, `varm`, `obsp`, `varp`
and `uns` may be :class:`Deferred`, read when first asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from lazymu.stream.matrix import LazyMatrix


@dataclass(frozen=True)
class Deferred:
    """A value that is read when it is first needed."""

    read: Callable[[], Any]


Values = dict[str, Any]
"""Named arrays of one axis, each perhaps :class:`Deferred`."""


@dataclass
class RawElements:
    """AnnData's `raw`: a matrix of the same cells with features of its own."""

    X: LazyMatrix
    var: pd.DataFrame
    varm: Values = field(default_factory=dict)


@dataclass
class ModalityElements:
    """The parts of one modality."""

    X: LazyMatrix | None
    obs: pd.DataFrame
    var: pd.DataFrame
    layers: dict[str, LazyMatrix] = field(default_factory=dict)
    obsm: Values = field(default_factory=dict)
    varm: Values = field(default_factory=dict)
    obsp: Values = field(default_factory=dict)
    varp: Values = field(default_factory=dict)
    uns: Values = field(default_factory=dict)
    raw: RawElements | None = None


@dataclass
class StoreElements:
    """The parts of a MuData: modalities in order, and what belongs to all of them."""

    mod: dict[str, ModalityElements]
    obs: pd.DataFrame | None = None
    """Joint annotation of cells; None where the modalities' names are all there is."""
    var: pd.DataFrame | None = None
    obsm: Values = field(default_factory=dict)
    varm: Values = field(default_factory=dict)
    obsp: Values = field(default_factory=dict)
    varp: Values = field(default_factory=dict)
    uns: Values = field(default_factory=dict)
    axis: int = 0
    """The axis that modalities share: 0 cells, 1 features, -1 both."""
