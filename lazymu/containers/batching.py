"""`batches`: cells in mini-batches for training loops."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from lazymu.containers.modality import Modality
from lazymu.containers.mudata import MuData
from lazymu.containers.resolve import as_modality
from lazymu.containers.together import chosen_modalities, common_cells, matrix_over
from lazymu.errors import ArgumentError, explain
from lazymu.stream.batches import Batches
from lazymu.stream.matrix import LazyMatrix
from lazymu.typing import Int64s, RandomState


def batches(
    data: MuData | Modality,
    batch_size: int = 128,
    *,
    mods: Sequence[str] | None = None,
    layer: str | None = None,
    shuffle: bool = True,
    random_state: RandomState = 0,
    dense: bool = False,
    dtype: Any = "float32",
    drop_last: bool = False,
) -> Batches:
    """Give the cells in mini-batches for training, each once an epoch, in bounded memory.

    Cells are shuffled in two steps: 16 runs of consecutive cells, each from anywhere in the data,
    make a buffer; the buffer's cells are drawn in random order. A batch so holds cells of up to
    16 places, and reading stays one of large blocks.

    Parameters
    ----------
    data
        A modality, or a MuData for several modalities of the same cells.
    batch_size
        Cells of a batch.
    mods
        Of a MuData, the modalities; None for all. Cells are those that all of them have.
    layer
        Values: None for `X` with its transforms, a layer, or ``"counts"`` for stored counts.
    shuffle
        Draw the order of cells anew in each epoch; else they come in their own order.
    random_state
        Seed. The same seed gives the same epochs, one after the other.
    dense
        Give dense arrays (batch_size, n_vars) instead of CSR.
    dtype
        Type of the values, ``"float32"`` or ``"float64"``.
    drop_last
        Leave out a last batch of fewer cells.

    Returns
    -------
    Batches
        An iterable of length `len()` over pairs ``(values, cells)``: values of a modality, or a
        dictionary of them by modality; ``cells`` are positions in ``data.obs``.

    Raises
    ------
    ArgumentError
        If ``batch_size`` is not a whole number above 0, ``dtype`` is another, ``mods`` come with a
        modality, or there is no such layer.
    NoCommonCellsError
        If no cell is in all modalities.
    MemoryLimitError
        If 16 of the largest cells, or dense batches, exceed the memory limit.

    Notes
    -----
    Each iteration over the result is the next epoch, in an order of its own; its ``epoch`` may be
    set to repeat one. Order depends on the seed, the epoch, and where the memory limit makes runs
    of fewer than 2^20 values, on the limit.

    Passes over X: one an epoch. Peak memory: `settings.memory_limit`, one buffer read ahead.
    PyTorch's ``DataLoader(batches, batch_size=None)`` takes it as it is.

    Examples
    --------
    >>> import lazymu, numpy as np
    >>> mod = lazymu.Modality(np.arange(20.0).reshape(10, 2))
    >>> train = lazymu.batches(mod, batch_size=4, dense=True)
    >>> [values.shape for values, cells in train]
    [(4, 2), (4, 2), (2, 2)]
    """
    matrices, cells = _matrices(data, mods, layer)
    return Batches(
        matrices,
        cells,
        batch_size=_checked_size(batch_size),
        shuffle=shuffle,
        random_state=random_state,
        dense=dense,
        dtype=_checked_dtype(dtype),
        drop_last=drop_last,
        single=isinstance(data, Modality),
    )


def _checked_size(batch_size: Any) -> int:
    whole = isinstance(batch_size, int | np.integer) and not isinstance(batch_size, bool)
    if not whole or batch_size < 1:
        rule = "it must be a whole number above 0"
        raise ArgumentError(explain("batch_size", batch_size, rule, "pass e.g. 128"))
    return int(batch_size)


def _checked_dtype(dtype: Any) -> np.dtype[Any]:
    for known in (np.float32, np.float64):
        if dtype is not None and np.dtype(known) == dtype:
            return np.dtype(known)
    rule = "values are float32 or float64"
    raise ArgumentError(explain("dtype", repr(dtype), rule, 'pass "float32"'))


def _matrices(
    data: MuData | Modality, mods: Sequence[str] | None, layer: str | None
) -> tuple[dict[str, LazyMatrix], Int64s]:
    """Return matrices of the same rows by modality, and the position of each row in the data."""
    if not isinstance(data, MuData):
        modality = as_modality(data)
        if mods is not None:
            rule = "it chooses among the modalities of a MuData"
            raise ArgumentError(explain("mods", mods, rule, "leave it out"))
        matrix = matrix_over(modality, layer, "the modality", modality.obs_names)
        return {"X": matrix}, np.arange(modality.n_obs, dtype=np.int64)
    chosen = chosen_modalities(data, mods)
    names = common_cells(chosen)
    matrices = {name: matrix_over(mod, layer, name, names) for name, mod in chosen.items()}
    return matrices, data.obs_names.get_indexer(names).astype(np.int64)
