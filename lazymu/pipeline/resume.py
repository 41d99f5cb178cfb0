"""What of an earlier run may be taken over, and what is said about it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lazymu import keys
from lazymu.pipeline.params import RunParams
from lazymu.pipeline.state import FORMAT, Checkpoint, RunState, current, lazymu_version, located
from lazymu.store.elements import read_element
from lazymu.store.inputs import input_fingerprint
from lazymu.store.locations import redacted
from lazymu.store.roots import ZarrRoot

WRITING = "Write"
ANEW = "the run starts at the beginning"


@dataclass
class Resumption:
    """Checkpoints that hold for a run, the best first, and what is to be said."""

    candidates: list[Checkpoint] = field(default_factory=list)
    said: list[str] = field(default_factory=list)

    @property
    def skipped(self) -> list[str]:
        """The stages that are not done again, if the best checkpoint is whole."""
        return self.candidates[0].labels if self.candidates else []


def resumption(
    state: RunState, source: str, store: Path, figures: Path, params: RunParams
) -> Resumption:
    """Return what may be taken over of the state that an earlier run left; nothing is changed."""
    found, damaged = state.checkpoints()
    out = Resumption()
    for path in damaged:
        out.said.append(f"the checkpoint {path.name} of an earlier run is damaged")
    if not found:
        out.said.append(f"there is no earlier run of {store} to resume; {ANEW}")
        return out
    if (reason := _other_run(found[0].record, source)) is not None:
        out.said.append(f"{reason}; {ANEW}")
        return out
    for checkpoint in found:
        if (reason := _why_not(checkpoint, store, figures, params)) is None:
            out.candidates.append(checkpoint)
        elif not out.candidates and reason not in out.said:
            out.said.append(reason)
    if not out.candidates:
        out.said.append(ANEW)
    return out


def _other_run(record: dict[str, Any], source: str) -> str | None:
    """Return why nothing of a run holds for this one."""
    if record["format"] != FORMAT or record["version"] != lazymu_version():
        made = f"lazymu {record['version']}"
        return f"the earlier run was made by {made}, this is {lazymu_version()}"
    if record["source"] != located(source):
        return f"the earlier run was of {record['source']}"
    if record["input"] != input_fingerprint(source):
        return f"{redacted(source)} has changed since the earlier run"
    return None


def _why_not(checkpoint: Checkpoint, store: Path, figures: Path, params: RunParams) -> str | None:
    """Return why a checkpoint does not hold, None where it does."""
    for stage in checkpoint.record["stages"]:
        for name, value in stage["params"].items():
            now = current(params, name)
            if now != value:
                again = f"done again from the stage {stage['label']!r} on"
                return f"{_change(name, value, now)}: {again}"
    absent = [n for n in checkpoint.record["summary"]["figures"] if not (figures / n).is_file()]
    if absent:
        return f"{absent[0]} is not there any more: the stage that draws it is done again"
    written = checkpoint.record.get("written")
    if checkpoint.label == WRITING and written != input_fingerprint(str(store)):
        return f"{store} is not what the earlier run wrote: it is written again"
    return None


def _change(name: str, before: Any, now: Any) -> str:
    if isinstance(before, dict) and isinstance(now, dict) and before["value"] == now["value"]:
        return f"the file {now['value']} ({name}) has changed"
    return f"{name} is {_shown(now)} instead of {_shown(before)}"


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(_shown, value))
    return json.dumps(value["value"] if isinstance(value, dict) else value)


def may_replace(found: Resumption, source: str, store: Path, params: RunParams) -> bool:
    """Return whether a store that exists may be replaced without being asked again.

    Either the run that is resumed had been allowed to, or the store is what that run wrote just
    before it was stopped.
    """
    if not found.candidates:
        return False
    return found.candidates[0].record["overwrite"] or _is_result(source, store, params)


def _is_result(source: str, store: Path, params: RunParams) -> bool:
    # Nothing may be left that reads the store, which is about to be replaced.
    try:
        kept = read_element(ZarrRoot(str(store)), f"uns/{keys.LAZYMU}/{keys.RUN}")
        return bool(
            kept[keys.SOURCE] == source and RunParams().updated(kept[keys.PARAMS]) == params
        )
    except Exception:  # whatever stands there, it is not what a run wrote
        return False
