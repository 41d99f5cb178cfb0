"""What `uns["lazymu"]` keeps of a modality's matrices.

`matrices` is a JSON text: for each matrix the type and encoding that it had in the file it first
came from, and the fingerprint of what is stored; or, of a matrix that has the same stored values
as `X`, just that. `recipes` holds the steps from stored values to the matrix; `sums` the totals,
which are read when a function asks for them. All of it is void where another tool has written
the matrix since.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from lazymu.errors import DamagedFileError
from lazymu.io.elements import Deferred, Values
from lazymu.keys import LAZYMU
from lazymu.store.dtypes import narrowest
from lazymu.store.elements import keys_of, read_element
from lazymu.store.fingerprint import Fingerprint, still_holds
from lazymu.store.roots import Root, reading
from lazymu.store.sources import Origin
from lazymu.stream.steps import Step, from_record, to_record
from lazymu.stream.sums import CellSums, Extremes, FeatureSums, MatrixSums

LAYER = "layers:"
OWN = ("matrices", "recipes", "sums", "raw")
"""Keys of `uns["lazymu"]` that are made anew by each write and hidden from a user's `uns`."""


@dataclass
class MatrixRecord:
    """What is kept of one matrix."""

    origin: Origin
    fingerprint: Fingerprint | None = None
    """None where the stored values are those of `X`."""
    steps: tuple[Step, ...] = ()
    sums: MatrixSums | None = None


def records_to_uns(records: Mapping[str, MatrixRecord]) -> dict[str, Any]:
    """Return records of matrices, by name (`X`, `raw`, ``layers:counts``), as they are written."""
    infos = {name: _info(record) for name, record in records.items()}
    recipes = {
        name: {str(n): to_record(step) for n, step in enumerate(record.steps)}
        for name, record in records.items()
        if record.steps
    }
    sums = {name: _pack(record.sums) for name, record in records.items() if record.sums is not None}
    out: dict[str, Any] = {"matrices": json.dumps(infos)}
    return out | ({"recipes": recipes} if recipes else {}) | ({"sums": sums} if sums else {})


def layer_name(key: str) -> str:
    """Return the name of a layer's record."""
    return f"{LAYER}{key}"


def _info(record: MatrixRecord) -> dict[str, Any]:
    return {"origin": list(record.origin), "fingerprint": record.fingerprint}


def load_records(root: Root, prefix: str) -> dict[str, MatrixRecord]:
    """Return the records of a modality's matrices, none where another tool wrote it."""
    place = f"{prefix}uns/{LAZYMU}"
    if "matrices" not in keys_of(root, place):
        return {}
    text = str(read_element(root, f"{place}/matrices"))
    recipes = read_element(root, f"{place}/recipes") if "recipes" in keys_of(root, place) else {}
    with reading(root, place):
        return {
            name: MatrixRecord(
                Origin(*info["origin"]), info["fingerprint"], _steps(recipes.get(name, {}))
            )
            for name, info in json.loads(text).items()
        }


def _steps(recipe: Mapping[str, Any]) -> tuple[Step, ...]:
    return tuple(from_record(recipe[key]) for key in sorted(recipe, key=int))


def warn_of_lost(path: str, names: list[str], root: Root) -> None:
    """Warn that the transforms of matrices are not applied, as stored values have changed."""
    warnings.warn(
        f"the stored values of {path!r} in {root} are others than lazymu wrote; "
        f"the transforms recorded for {', '.join(names)} are not applied",
        UserWarning,
        stacklevel=2,
    )


def sums_loader(
    root: Root, prefix: str, name: str, record: MatrixRecord, path: str
) -> Callable[[], MatrixSums | None]:
    """Return a function that reads the sums of a matrix where they still hold, else None."""
    return partial(_load_sums, root, f"{prefix}uns/{LAZYMU}/sums", name, record, path)


def _load_sums(
    root: Root, place: str, name: str, record: MatrixRecord, path: str
) -> MatrixSums | None:
    if name not in keys_of(root, place) or record.fingerprint is None:
        return None
    try:
        with reading(root, path):
            holds = still_holds(record.fingerprint, root.node(path), read=True)
    except DamagedFileError:  # the pass that makes the sums will say which rows
        return None
    if not holds:
        return None
    return read_sums(root, f"{place}/{name}", tuple(record.fingerprint["shape"]))


def read_sums(root: Root, place: str, shape: tuple[int, int]) -> MatrixSums:
    """Return the stored sums of a matrix.

    Raises
    ------
    DamagedFileError
        If they cannot be read or are not of a matrix of that shape.
    """
    packed = read_element(root, place)
    with reading(root, place):
        sums = _unpack(packed)
        if (len(sums.cells.nnz), len(sums.features.nnz)) != tuple(shape):
            raise ValueError(f"they are not of {shape[0]} cells and {shape[1]} features")
    return sums


def _pack(sums: MatrixSums) -> dict[str, Any]:
    """Return sums as arrays of the narrowest types."""
    arrays = {
        "cell_total": sums.cells.total,
        "cell_nnz": sums.cells.nnz,
        "feature_total": sums.features.total,
        "feature_nnz": sums.features.nnz,
    }
    packed = {name: values.astype(narrowest(values)) for name, values in arrays.items()}
    return {**packed, "extremes": np.array(sums.extremes, dtype=np.float64)}


def _unpack(packed: Mapping[str, Any]) -> MatrixSums:
    low, high, finite, integer = packed["extremes"].tolist()
    return MatrixSums(
        CellSums(packed["cell_total"].astype(np.float64), packed["cell_nnz"].astype(np.int64)),
        FeatureSums(
            packed["feature_total"].astype(np.float64), packed["feature_nnz"].astype(np.int64)
        ),
        Extremes(low, high, all_finite=bool(finite), all_integer=bool(integer)),
    )


def without_records(root: Root, prefix: str, uns: Values) -> Values:
    """Return `uns` without what is kept of matrices, which is no concern of a user."""
    place = f"{prefix}uns/{LAZYMU}"
    rest = [key for key in keys_of(root, place) if key not in OWN]
    kept = {key: value for key, value in uns.items() if key != LAZYMU}
    return {**kept, LAZYMU: Deferred(partial(_read_rest, root, place, rest))} if rest else kept


def _read_rest(root: Root, place: str, keys: list[str]) -> dict[str, Any]:
    return {key: read_element(root, f"{place}/{key}") for key in keys}
