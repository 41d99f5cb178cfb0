"""What runs have written, compared array by array."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from matplotlib import pyplot
from matplotlib.figure import Figure

HISTORY = "uns/lazymu/history"
# They differ from run to run.
MEASURED = ("uns/lazymu/run/stages/seconds", "uns/lazymu/run/stages/peak_bytes")


def write_figure(figure: Figure, path: Path) -> None:
    """Write less than the picture, which takes longest."""
    path.parent.mkdir(exist_ok=True)
    path.write_text(str(len(figure.axes)))
    pyplot.close(figure)


def arrays_of(store: Path) -> dict[str, Any]:
    """Return attributes, type, shape, chunks and bytes of all that a store holds."""
    root = zarr.open_group(store, mode="r", use_consolidated=False)
    found: dict[str, Any] = {"": dict(root.attrs)}
    for path, node in root.members(max_depth=None):
        found[path] = dict(node.attrs)
        if isinstance(node, zarr.Array) and path not in MEASURED:
            values = np.asarray(node[...])
            text = values.dtype.kind in "OT"
            stored: Any = values.tolist() if text else values.tobytes()
            if path == HISTORY:
                stored = [without_time_and_place(line) for line in stored]
            found[path] = (dict(node.attrs), str(node.dtype), node.shape, node.chunks, stored)
    return found


def without_time_and_place(line: str) -> dict[str, Any]:
    entry = json.loads(line)
    del entry["time"], entry["arguments"]["out"]
    return dict(entry)


@cache
def arrays_of_reference(store: Path) -> dict[str, Any]:
    return arrays_of(store)


def assert_same(store: Path, reference: Path) -> None:
    """Compare two stores to the last byte of their arrays."""
    mine, theirs = arrays_of(store), arrays_of_reference(reference)
    assert set(mine) == set(theirs)
    others = [path for path in theirs if mine[path] != theirs[path]]
    assert not others, {path: (mine[path], theirs[path]) for path in others}
