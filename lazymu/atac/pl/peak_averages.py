"""The accessibility of a gene: an average over the peaks that were annotated with it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, TypeAlias

import numpy as np
import pandas as pd

from lazymu import keys
from lazymu.containers import Modality
from lazymu.errors import ArgumentError, MissingResultError, explain
from lazymu.stream import LazyMatrix, RowPieces, RowReducer, run_pass
from lazymu.typing import CSR, Float64s, Int64s

Average: TypeAlias = Literal["total", "peak_type"] | None
"""One value for all peaks of a gene, one for each type of peak, or each peak by itself."""

FUNCTIONS: dict[str, Callable[..., Float64s]] = {
    "mean": np.mean,
    "sum": np.sum,
    "max": np.max,
    "min": np.min,
    "median": np.median,
}


def source(
    mod: Modality, *, use_raw: bool | None, layer: str | None
) -> tuple[LazyMatrix, pd.Index]:
    """Return the matrix that values come from, and the names of its peaks.

    Raises
    ------
    ArgumentError
        If ``use_raw`` is True and there is no `raw`, or a layer is named too.
    MissingResultError
        If there is no such layer.
    """
    if use_raw and (mod.raw is None or layer is not None):
        rule = "this modality has no raw" if mod.raw is None else f"layer={layer!r} is another"
        raise ArgumentError(explain("use_raw", "True", rule, "pass use_raw=False"))
    if layer is not None and layer not in mod.layers:
        rule = f"there are the layers {', '.join(mod.layers) or 'none'}"
        raise MissingResultError(explain("layer", repr(layer), rule, "name one of them"))
    if mod.raw is not None and layer is None and use_raw is not False:
        return mod.raw.X, mod.raw.var.index
    return (mod.X if layer is None else mod.layers[layer]), mod.var_names


def peaks_of(mod: Modality, peaks: pd.Index, gene: str, average: Average) -> dict[str, Int64s]:
    """Return where a gene's peaks are among ``peaks``, under the name of each value to draw.

    Raises
    ------
    MissingResultError
        If there is no annotation, or it knows no peak of the gene that is in the data.
    """
    annotation = mod.uns.get(keys.ATAC, {}).get(keys.PEAK_ANNOTATION)
    if not isinstance(annotation, pd.DataFrame):
        rule = "it is no feature, and uns['atac']['peak_annotation'] says no gene's peaks"
        raise MissingResultError(explain("color", repr(gene), rule, "annotate the peaks first"))
    rows = annotation.loc[annotation.index == gene]
    positions = peaks.get_indexer_for(pd.Index(rows[keys.PEAK], dtype=object))
    rows, positions = rows[positions >= 0], positions[positions >= 0].astype(np.int64)
    if not len(rows):
        rule = "it is no feature, and no peak here is annotated with such a gene"
        raise MissingResultError(explain("color", repr(gene), rule, "check the spelling"))
    if average == "total":
        return {f"{gene} (all peaks)": np.unique(positions)}
    if average == "peak_type":
        types = rows[keys.PEAK_TYPE].astype(str).to_numpy()
        return {
            f"{gene} ({one} peaks)": np.unique(positions[types == one])
            for one in dict.fromkeys(types)
        }
    return {str(peaks[one]): np.array([one]) for one in positions.tolist()}


class _Averages(RowReducer[Float64s]):
    """(cells, sets): a function over the features of each set."""

    def __init__(self, n_rows: int, sets: Sequence[Int64s], func: str) -> None:
        self.n_rows, self.sets, self.function = n_rows, sets, FUNCTIONS[func]

    @property
    def state_bytes(self) -> int:
        """Bytes of the averages."""
        return 8 * self.n_rows * len(self.sets)

    def of_block(self, X: CSR) -> Float64s:
        """Return the averages of a block of cells."""
        columns = [self.function(X[:, one].toarray(), axis=1) for one in self.sets]
        return np.stack(columns, axis=1).astype(np.float64)

    def finalize(self, state: RowPieces) -> Float64s:
        """Return the averages of all cells."""
        return state.assemble(self.n_rows, (len(self.sets),), np.float64)


def averages(matrix: LazyMatrix, sets: Sequence[Int64s], func: str) -> Float64s:
    """Return (cells, sets): ``func`` of each cell's values in each set of features. One pass."""
    if func not in FUNCTIONS:
        rule = f"known are {', '.join(FUNCTIONS)}"
        raise ArgumentError(explain("func", repr(func), rule, "pass one of them"))
    every = np.unique(np.concatenate(list(sets)))
    within = [np.searchsorted(every, one) for one in sets]
    reducer = _Averages(matrix.shape[0], within, func)
    (found,) = run_pass(matrix[:, every], reducer, label="peaks of genes")
    return np.asarray(found)
