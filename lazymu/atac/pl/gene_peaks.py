"""Genes as sets of the peaks that were annotated with them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias

import numpy as np
import pandas as pd

from lazymu import keys
from lazymu.containers import Modality
from lazymu.errors import ArgumentError, MissingResultError, explain
from lazymu.pl.feature_sets import FeatureSet
from lazymu.stream import LazyMatrix
from lazymu.typing import Int64s

Average: TypeAlias = Literal["total", "peak_type"] | None
"""One value for all peaks of a gene, one for each type of peak, or each peak by itself."""


class GenePeaks:
    """What names mean where a gene's stands for its peaks.

    Parameters
    ----------
    mod
        The modality with peaks.
    average, func
        Which peaks are put together, and how.
    use_raw, layer
        Where values come from.
    key
        The modality's name in the MuData that is drawn; None where it is drawn itself.

    Raises
    ------
    ArgumentError
        If ``average`` is none of the above, ``use_raw`` is True and there is no `raw`, or a layer
        is named too.
    MissingResultError
        If there is no such layer.
    """

    def __init__(
        self,
        mod: Modality,
        average: Average,
        func: str,
        *,
        use_raw: bool | None,
        layer: str | None,
        key: str | None = None,
    ) -> None:
        if average not in ("total", "peak_type", None):
            rule = 'it is "total", "peak_type" or None'
            raise ArgumentError(explain("average", repr(average), rule, "pass one of them"))
        self._mod, self._average, self._func, self._key = mod, average, func, key
        self._matrix, self._peaks = _source(mod, use_raw=use_raw, layer=layer)

    def named(self, names: Sequence[str], argument: str) -> list[str]:
        """Return names in which sets of peaks stand for each gene.

        Raises
        ------
        MissingResultError
            If a name is no column, no feature, and no gene that any peak here is annotated with.
        """
        found: list[str] = []
        for name in names:
            if name in self._mod.obs or name in self._peaks or name in self._mod.var_names:
                found.append(name if self._key is None else keys.of_modality(self._key, name))
            else:
                found.extend(self._sets(name, argument))
        return found

    def _sets(self, gene: str, argument: str) -> list[FeatureSet]:
        rows = self._annotated(gene, argument)
        positions = self._peaks.get_indexer_for(pd.Index(rows[keys.PEAK], dtype=object))
        rows, positions = rows[positions >= 0], positions[positions >= 0].astype(np.int64)
        if not len(rows):
            rule = "it is no feature, and no peak here is annotated with such a gene"
            raise MissingResultError(explain(argument, repr(gene), rule, "check the spelling"))
        if self._average == "total":
            return [self._set(f"{gene} (all peaks)", np.unique(positions))]
        if self._average is None:
            each = dict.fromkeys(positions.tolist())
            return [self._set(str(self._peaks[one]), np.array([one])) for one in each]
        types = rows[keys.PEAK_TYPE].astype(str).to_numpy()
        return [
            self._set(f"{gene} ({one} peaks)", np.unique(positions[types == one]))
            for one in dict.fromkeys(types)
        ]

    def _set(self, name: str, positions: Int64s) -> FeatureSet:
        return FeatureSet(name, self._matrix, positions, self._func, self._key)

    def _annotated(self, gene: str, argument: str) -> pd.DataFrame:
        annotation = self._mod.uns.get(keys.ATAC, {}).get(keys.PEAK_ANNOTATION)
        if not isinstance(annotation, pd.DataFrame):
            rule = "it is no feature, and uns['atac']['peak_annotation'] says no gene's peaks"
            raise MissingResultError(
                explain(argument, repr(gene), rule, "annotate the peaks first")
            )
        return annotation.loc[annotation.index == gene]


def _source(
    mod: Modality, *, use_raw: bool | None, layer: str | None
) -> tuple[LazyMatrix, pd.Index]:
    """Return the matrix that values come from, and the names of its peaks."""
    if use_raw and (mod.raw is None or layer is not None):
        rule = "this modality has no raw" if mod.raw is None else f"layer={layer!r} is another"
        raise ArgumentError(explain("use_raw", "True", rule, "pass use_raw=False"))
    if layer is not None and layer not in mod.layers:
        rule = f"there are the layers {', '.join(mod.layers) or 'none'}"
        raise MissingResultError(explain("layer", repr(layer), rule, "name one of them"))
    if mod.raw is not None and layer is None and use_raw is not False:
        return mod.raw.X, mod.raw.var.index
    return (mod.X if layer is None else mod.layers[layer]), mod.var_names
