"""What happened to data between two recorded calls: slices, assigned columns, layers, `raw`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from lazymu.containers import Modality, MuData
from lazymu.containers.arguments import ARRAY, KIND
from lazymu.containers.checksums import checksum_of_values
from lazymu.containers.history import states_of
from lazymu.pipeline.literals import Given

States = Mapping[str, Any]
AXES = {"obs": "cells", "var": "features"}


class Between:
    """Compares what a call found with what the call before had left.

    Parameters
    ----------
    variable
        Name of the container in the script.
    data
        What the store holds in the end, in which names and columns may be found again.
    given
        Where what cannot be found is asked for.
    now
        What each modality is after the lines written so far.
    """

    def __init__(
        self, variable: str, data: MuData | Modality, given: Given, now: dict[str, Any]
    ) -> None:
        self.variable, self.data, self.given, self.now = variable, data, given, now
        self.final = states_of(data)

    def where(self, name: str) -> str:
        """Return a modality, or the container where there is no name."""
        return f"{self.variable}[{name!r}]" if name else self.variable

    def target(self, name: str) -> str:
        """Return what a modality or the container is assigned to."""
        return f"{self.variable}.mod[{name!r}]" if name else self.variable

    def who_is(self, states: States) -> str:
        """Return whose state is like this one: the container's, or a modality's."""
        if list(states) != [""]:
            return self.variable
        keys = ("obs", "var")
        for name, state in self.now.items():
            if all(state.get(key) == states[""].get(key) for key in keys):
                return self.where(name)
        source = states[""].get("source")
        return f"mu.read({source!r})" if source else self.given.name("data", "a modality")

    def lines(self, name: str, found: States) -> Iterator[str]:
        """Yield the lines that bring a modality from what it is to what a call found."""
        now = self.now.get(name)
        self.now[name] = dict(found)
        where = self.where(name)
        if now is not None and not now and name in self.final:
            # No call found it: whether it was sliced is not known, what it became is.
            yield from (
                f"{where}.subset_{axis}({self._result(name)}.{axis}_names)" for axis in AXES
            )
        if not now:
            return
        if found.get("raw") != now.get("raw") and found.get("raw") == now["var"]:
            yield f"{where}.raw = {where}"
        for axis in AXES:
            if found[axis] != now[axis]:
                yield f"{where}.subset_{axis}({self._kept(name, axis, now, found)})"
        for axis in AXES:
            known = {*now["columns"][axis]}
            for column in found["columns"][axis]:
                if column not in known:
                    values = self._column(name, axis, column, found)
                    yield f"{where}.{axis}[{column!r}] = {values}"
        yield from self._matrices(where, now, found)
        if found.get("raw") != now.get("raw") and found.get("raw") not in (now["var"], None):
            yield f"{where}.raw = {where}"

    def _matrices(self, where: str, now: States, found: States) -> Iterator[str]:
        same = found.get("source") == now.get("source")
        if same and found.get("steps") != now.get("steps"):
            own = f"{where}.X.counts" if found.get("steps") == [] else self._matrix("X")
            yield f"{where}.X = {own}"
        for layer, steps in found.get("layers", {}).items():
            if layer not in now.get("layers", {}):
                known: dict[str, Any] = {"X": found.get("steps"), "X.counts": []}
                own = next((f"{where}.{x}" for x, one in known.items() if one == steps), "")
                yield f"{where}.layers[{layer!r}] = {own or self._matrix(layer)}"

    def _matrix(self, what: str) -> str:
        return self.given.name("matrix", f"what {what} was set to")

    def _kept(self, name: str, axis: str, now: States, found: States) -> str:
        """Return which cells or features were kept: the store's own, or what must be given."""
        of = f" of {name}" if name else ""
        if self._is_final(name, axis, found):
            return f"{self._result(name)}.{axis}_names"
        n, before, crc = found[axis][0], now[axis][0], found[axis][1]
        about = f"{n:,} of {before:,} {AXES[axis]}{of}: a mask or names (CRC-32 {crc})"
        return self.given.name(AXES[axis], about)

    def _column(self, name: str, axis: str, column: str, found: States) -> str:
        is_there = self._is_final(name, axis, found)
        if is_there and column in self.final[name]["columns"][axis]:
            return f"{self._result(name)}.{axis}[{column!r}]"
        of = f" of {name}" if name else ""
        return self.given.name("column", f"{axis}[{column!r}]{of}")

    def _is_final(self, name: str, axis: str, found: States) -> bool:
        return name in self.final and self.final[name][axis] == found[axis]

    def _result(self, name: str) -> str:
        self.given.needs_store = True
        return f"made[{name!r}]" if name else "made"

    def left(self, place: str, entry: Mapping[str, Any]) -> str:
        """Return a remark on how many cells and features a call has left."""
        kept = []
        for name, after in entry["output"].items():
            before = entry["input"].get(name)
            for axis, word in AXES.items():
                if before is not None and before[axis] != after[axis]:
                    of = f" of {name}" if name else ""
                    kept.append(f"{after[axis][0]:,} of {before[axis][0]:,} {word}{of}")
        return f"  # keeps {', '.join(kept)}" if kept else ""

    def known(self, value: Mapping[str, Any]) -> str | None:
        """Return where an array that was passed is found in the end: a column of an `obs`."""
        if value[KIND] != ARRAY or "name" not in value:
            return None
        mod = self.data.mod if isinstance(self.data, MuData) else {}
        tables = {self.variable: self.data, **{self.where(name): one for name, one in mod.items()}}
        for where, container in tables.items():
            column = container.obs.get(value["name"])
            if column is not None and checksum_of_values(column) == value["crc32"]:
                return f"{where}.obs[{value['name']!r}]"
        return None
