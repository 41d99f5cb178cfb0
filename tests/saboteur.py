"""Loaded by workers before all else: makes a function go wrong, where told to.

A file ``<order>-<function>`` in the folder `SABOTAGE` names what happens and in which function: who
removes it obeys in the middle of the work, and leaves ``obeyed-<order>-<function>``. A file
``always-...`` is obeyed by all and stays.
"""

from __future__ import annotations

import functools
import importlib
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

TARGETS = {
    "block": "lazymu.stream.folds:Part.block",
    "merge": "lazymu.stream.folds:combine",
    "convert": "lazymu.store.converted:Conversion.run",
    "write": "lazymu.store.parts:RangeWriter.append",
    "ask": "lazymu.graph.sharded:scan",
    "join": "lazymu.graph.sharded:merge",
    "bandwidths": "lazymu.graph.bandwidth:_seurat",
    "weights": "lazymu.graph.weights:_prediction_errors",
    "affinities": "lazymu.graph.affinity:_best",
    "cut": "lazymu.tl.shared_ranks:RankExchange.cut",
    "rank": "lazymu.tl.shared_ranks:rank_columns",
}
"""What each kind of step calls in its middle."""
PAUSE_SECONDS = 120
PIECE_BYTES, MOST_BYTES = 16 << 20, 1500 << 20


def kill(obeyed: Path) -> None:
    """Die at once."""
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("killed")


def pause(obeyed: Path) -> None:
    """Wait until the file that says so is removed."""
    deadline = time.monotonic() + PAUSE_SECONDS
    while obeyed.exists() and time.monotonic() < deadline:
        time.sleep(0.02)


def fill(obeyed: Path) -> None:
    """Take memory, at a pace that the nanny sees, until killed for it."""
    taken = []
    for _ in range(MOST_BYTES // PIECE_BYTES):
        taken.append(np.ones(PIECE_BYTES, np.uint8))
        time.sleep(0.03)
    time.sleep(10)
    raise AssertionError("nobody has killed this process")


ORDERS: dict[str, Callable[[Path], None]] = {"kill": kill, "pause": pause, "fill": fill}


def sabotaged(name: str, function: Callable[..., Any], folder: Path) -> Callable[..., Any]:
    @functools.wraps(function)
    def work(*arguments: Any, **options: Any) -> Any:
        result = function(*arguments, **options)
        for order, obey in ORDERS.items():
            if (always := folder / f"always-{order}-{name}").exists():
                obey(always)
            obeyed = folder / f"obeyed-{order}-{name}"
            try:
                (folder / f"{order}-{name}").rename(obeyed)
            except FileNotFoundError:
                continue
            obey(obeyed)
        return result

    return work


def dask_setup(worker: Any) -> None:
    """Wrap the targets (Dask calls this in each worker)."""
    folder = Path(os.environ["SABOTAGE"])
    for name, target in TARGETS.items():
        module, _, path = target.partition(":")
        owner: Any = importlib.import_module(module)
        *classes, attribute = path.split(".")
        for part in classes:
            owner = getattr(owner, part)
        setattr(owner, attribute, sabotaged(name, getattr(owner, attribute), folder))
