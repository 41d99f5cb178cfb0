"""What was done to a container, kept in its `uns["lazymu"]["history"]`: a line of JSON a call.

A function that writes results is `recorded`: after it has returned, its name, the arguments that
were given, its seed, the version, the time, and what it found and left (cells and features by
number and checksum of their names, the steps of `X`) are appended. What it calls itself is not.
"""

from __future__ import annotations

import functools
import inspect
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from typing import Any, ParamSpec, TypeVar

import numpy as np

from lazymu.containers.arguments import to_json
from lazymu.containers.checksums import checksum_of_names
from lazymu.io.elements import ModalityElements
from lazymu.keys import HISTORY, LAZYMU
from lazymu.store.notes import fingerprint_of_source, note_opened, opened_note
from lazymu.stream.steps import Astype

P = ParamSpec("P")
T = TypeVar("T")
Entry = dict[str, Any]
JOIN, RUN_WORKFLOW = "concat", "pipeline.run_workflow"
_inside: ContextVar[bool] = ContextVar("inside a recorded call", default=False)
_last = datetime.min.replace(tzinfo=UTC)


def recorded(function: Callable[P, T]) -> Callable[P, T]:
    """Have each call of a function that writes results into its first argument recorded there.

    A container that it returns is recorded instead: a copy, or data that were made.
    """
    signature = inspect.signature(function)

    @functools.wraps(function)
    def recording(*args: P.args, **kwargs: P.kwargs) -> T:
        if _inside.get():
            return function(*args, **kwargs)
        with unrecorded():
            given = signature.bind_partial(*args, **kwargs).arguments
            subject = next(iter(given.values()), None)
            before, opened = states_of(subject), opened_of(subject)
            result = function(*args, **kwargs)
            target = result if is_container(result) else subject
            if is_container(target) and (target is result or _writes(signature, given)):
                entry = _entry(called(function), signature, given, before)
                if not entries_of(subject):
                    entry["opened"] = opened
                entry["output"] = states_of(target)
                if target is result:
                    entry["returned"] = "copy" if _is_copy(result, subject) else "made"
                append(target, entry)
        return result

    return recording


def _writes(signature: inspect.Signature, given: Mapping[str, Any]) -> bool:
    """Return whether a call changed its first argument; one that was told not to returns values."""
    inplace = signature.parameters.get("inplace")
    return inplace is None or given.get("inplace", inplace.default) is not False


def _is_copy(result: Any, subject: Any) -> bool:
    """Return whether a container has the counts of another, and so its history."""
    if type(result) is not type(subject) or hasattr(result, "mod"):
        return type(result) is type(subject)
    ours, theirs = result.to_elements().X, subject.to_elements().X
    return ours is not None and theirs is not None and ours.source is theirs.source


@contextmanager
def unrecorded() -> Iterator[None]:
    """Record nothing of what is called in a ``with`` block: it is part of something larger."""
    token = _inside.set(True)
    try:
        yield
    finally:
        _inside.reset(token)


def called(function: Callable[..., Any]) -> str:
    """Return the name by which a function is called after ``mu.``: ``pp.log1p``."""
    folder = function.__module__.removeprefix("lazymu.").rpartition(".")[0]
    return f"{folder}.{function.__name__}"


def _entry(call: str, signature: inspect.Signature, given: Mapping[str, Any], before: Any) -> Entry:
    """Return what is known of a call: of its arguments those that are not the defaults."""
    arguments: dict[str, Any] = {}
    for name in [*given][1:]:
        parameter = signature.parameters[name]
        if parameter.kind is inspect.Parameter.VAR_KEYWORD:
            arguments.update({key: to_json(value) for key, value in given[name].items()})
        elif given[name] is not parameter.default:
            arguments[name] = to_json(given[name])
    entry = stamped({"call": call, "arguments": arguments})
    if "random_state" in signature.parameters:
        default = signature.parameters["random_state"].default
        entry["seed"] = to_json(given.get("random_state", default))
    return {**entry, "input": before}


def record_join(joined: Any, parts: Mapping[str, Any], arguments: Mapping[str, Any]) -> None:
    """Begin the history of joined samples, with the history of each."""
    kept = {
        key: {
            "histories": histories_of(part),
            "states": states_of(part),
        }
        for key, part in parts.items()
    }
    entry = {"call": JOIN, "arguments": {key: to_json(one) for key, one in arguments.items()}}
    append(joined, {**stamped(entry), "parts": kept, "input": {}, "output": states_of(joined)})


def record_run(mdata: Any, before: Mapping[str, Any], arguments: Mapping[str, Any]) -> None:
    """Append a run of the whole workflow to the history of what it makes.

    Its arguments name the source; modalities were perhaps read from a store of the run's own.
    """
    entry = stamped({"call": RUN_WORKFLOW, "arguments": dict(arguments)})
    states = {"input": dict(before), "output": states_of(mdata)}
    for state in (one for side in states.values() for one in side.values()):
        state.pop("source", None)
    append(mdata, {**entry, **states})


def stamped(entry: Entry) -> Entry:
    """Return an entry with version and time; times of one process differ and rise."""
    global _last
    _last = max(datetime.now(UTC), _last + timedelta(microseconds=1))
    return {**entry, "lazymu": version("lazymu"), "time": _last.isoformat(timespec="microseconds")}


def is_container(data: Any) -> bool:
    """Return whether something is a modality or a MuData of lazymu."""
    return hasattr(data, "to_elements") and hasattr(data, "uns")


def append(container: Any, entry: Entry) -> None:
    """Append an entry to the history of a container."""
    own = dict(container.uns.get(LAZYMU, {}))
    lines = [*own.get(HISTORY, ()), json.dumps(entry)]
    container.uns[LAZYMU] = {**own, HISTORY: np.array(lines, dtype=object)}


def entries_of(container: Any) -> list[Entry]:
    """Return the history of a container, oldest first; of a MuData only what is joint."""
    found = container.uns.get(LAZYMU, {})
    lines = found.get(HISTORY, ()) if isinstance(found, Mapping) else ()
    return [json.loads(str(line)) for line in lines]


def histories_of(container: Any) -> dict[str, list[Entry]]:
    """Return the history of a container, and of its modalities by their names."""
    mod = getattr(container, "mod", {})
    return {"": entries_of(container), **{name: entries_of(part) for name, part in mod.items()}}


def states_of(data: Any) -> dict[str, Any]:
    """Return what tells the data: of a MuData the modalities by name, else one without a name."""
    return {name: state_of(modality.to_elements()) for name, modality in _modalities(data).items()}


def _modalities(data: Any) -> dict[str, Any]:
    """Return modalities by name, a single one without a name; none of what is no container."""
    if not is_container(data):
        return {}
    return dict(data.mod) if hasattr(data, "mod") else {"": data}


def opened_of(data: Any) -> dict[str, Any]:
    """Return modalities as they were read, with a fingerprint of their stored counts."""
    matrices = {name: one.to_elements().X for name, one in _modalities(data).items()}
    return {
        name: {**opened_note(X.source), "counts": fingerprint_of_source(X.source)}
        for name, X in matrices.items()
        if X is not None
    }


def keep_opened(parts: ModalityElements, location: str) -> None:
    """Let the counts of a modality that is read say from where, and what else was read."""
    if parts.X is not None:
        note_opened(parts.X.source, {**state_of(parts), "source": location})


def state_of(parts: ModalityElements) -> dict[str, Any]:
    """Return cells, features and columns of a modality, the steps of its matrices, its source."""
    state: dict[str, Any] = {
        axis: [len(table), checksum_of_names(table.index)]
        for axis, table in (("obs", parts.obs), ("var", parts.var))
    }
    state["columns"] = {
        axis: [*map(str, table.columns)] for axis, table in (("obs", parts.obs), ("var", parts.var))
    }
    if parts.X is not None:
        state["steps"] = _steps(parts.X)
        state["source"] = opened_note(parts.X.source).get("source")
    if parts.layers:
        state["layers"] = {name: _steps(layer) for name, layer in parts.layers.items()}
    if parts.raw is not None:
        state["raw"] = [len(parts.raw.var), checksum_of_names(parts.raw.var.index)]
    return state


def _steps(matrix: Any) -> list[str]:
    return [type(step).__name__ for step in matrix.steps if not isinstance(step, Astype)]
