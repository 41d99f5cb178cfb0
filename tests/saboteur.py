"""Loaded by workers before all else: makes a function kill its process once, where told to.

A file ``kill-<function>`` in the folder `SABOTAGE` names the function; who removes it dies in the
middle of the work.
"""

from __future__ import annotations

import functools
import importlib
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

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


def sabotaged(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    order = Path(os.environ["SABOTAGE"]) / f"kill-{name}"

    @functools.wraps(function)
    def work(*arguments: Any, **options: Any) -> Any:
        result = function(*arguments, **options)
        try:
            order.rename(order.with_name(f"killed-{name}"))
        except FileNotFoundError:
            return result
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError("killed")

    return work


def dask_setup(worker: Any) -> None:
    """Wrap the targets (Dask calls this in each worker)."""
    for name, target in TARGETS.items():
        module, _, path = target.partition(":")
        owner: Any = importlib.import_module(module)
        *classes, attribute = path.split(".")
        for part in classes:
            owner = getattr(owner, part)
        setattr(owner, attribute, sabotaged(name, getattr(owner, attribute)))
