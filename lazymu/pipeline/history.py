"""The history of a store as a script that would make it again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from lazymu.containers import Modality, MuData, read
from lazymu.containers.history import JOIN, RUN_WORKFLOW, histories_of, states_of
from lazymu.errors import MissingResultError, explain
from lazymu.pipeline.between import Between, States
from lazymu.pipeline.literals import Given, call_lines, literal
from lazymu.store.locations import is_url, redacted

RESULT = "RESULT"
Entry = dict[str, Any]
MODULES = {"np": "numpy", "pd": "pandas"}
Event = tuple[str, Entry]
"""A modality's name, none for what is joint or the only one, and what was done."""


def script_of(store: str | Path) -> str:
    """Return the Python script that would make a store again: read, each call, write.

    Parameters
    ----------
    store
        Anything that :func:`lazymu.read` opens; a line of JSON for each call is in its
        ``uns["lazymu"]["history"]``, of a MuData in that of each modality too.

    Notes
    -----
    What the caller passed and the store does not keep (masks of slices, long arrays) stands at the
    head of the script, to be filled in, with its checksum. Passes over X: none.

    Raises
    ------
    MissingResultError
        If nothing was recorded.
    """
    data = read(store)
    events = in_order(histories_of(data))
    if not events:
        got, rule = f"that of {redacted(store)}", "nothing is recorded in it"
        fix = "it is kept from the first call of lazymu that writes results"
        raise MissingResultError(explain("history", got, rule, fix))
    script = _Script(data, str(store))
    variable = "mdata" if isinstance(data, MuData) else "mod"
    written = script.replay(variable, events, states_of(data), RESULT)
    if not written:
        script.lines.append(f"{variable}.write({RESULT})")
    return script.text([entry for _, entry in events])


def in_order(histories: Mapping[str, list[Entry]]) -> list[Event]:
    """Return what was done to a container and its modalities, by time."""
    events = [(name, entry) for name, entries in histories.items() for entry in entries]
    return sorted(events, key=lambda event: event[1]["time"])


class _Script:
    """Lines of a script, and what must be filled in."""

    def __init__(self, data: MuData | Modality, store: str) -> None:
        self.data, self.store = data, store
        self.lines: list[str] = []
        self.given = Given()

    def text(self, entries: list[Entry]) -> str:
        """Return the whole."""
        versions = ", ".join(dict.fromkeys(entry["lazymu"] for entry in entries))
        first, last = (entries[n]["time"][:16].replace("T", " ") for n in (0, -1))
        when = first if first == last else f"{first} to {last}"
        ran = any(line.startswith("run_workflow(") for line in self.lines)
        modules = [f"import {MODULES[short]} as {short}" for short in sorted(self.given.modules)]
        head = [
            f"# {redacted(self.store)}: made by lazymu {versions}, {when} (UTC).",
            *([*modules, ""] if modules else []),
            "import lazymu as mu",
            *(["from lazymu.pipeline import RunParams, run_workflow"] if ran else []),
            "",
            f"{RESULT} = {_again(self.store)!r}",
            *([f"made = mu.read({redacted(self.store)!r})"] if self.given.needs_store else []),
            "",
        ]
        return "\n".join([*head, *self.given.lines(), *self.lines, ""])

    def replay(self, variable: str, events: list[Event], final: States, out: str) -> bool:
        """Write what was done to one container; return whether a run has written it to ``out``."""
        begins = [n for n, (_, entry) in enumerate(events) if entry["call"] in (RUN_WORKFLOW, JOIN)]
        start = begins[-1] if begins else -1
        begin = events[start][1] if begins else {}
        if not begins:
            now = self._read(variable, events, final)
        elif begin["call"] == JOIN:
            now = self._join(variable, begin)
        else:
            now = self._run(begin, events[:start], out)
        between = Between(variable, self.data, self.given, now)
        opened = len(self.lines)
        for place, entry in events[start + 1 :]:
            self._call(between, place, entry)
        self.lines += [line for name in final for line in between.lines(name, final[name])]
        if begin.get("call") != RUN_WORKFLOW:
            return False
        if changed := len(self.lines) > opened:
            self.lines.insert(opened, f"{variable} = mu.read({out})")
        return not changed

    def _read(self, variable: str, events: list[Event], final: States) -> dict[str, Any]:
        """Write where the data were read; return the states of modalities as they were."""
        first = first_states(events, final)
        sources = {name: state.get("source") for name, state in first.items() if state}
        unknown = [name for name in first if name not in sources]
        if list(sources) == [""]:
            (source,) = sources.values()
            self.lines.append(f"{variable} = {self._opened(source, '')}")
        elif (common := common_path(sources)) is not None:
            self.lines.append(f"{variable} = mu.read({common!r})")
        else:
            sources |= dict.fromkeys(unknown)
            pairs = [f"{name!r}: {self._opened(sources[name], name)}" for name in first]
            self.lines += call_lines(f"{variable} = mu.MuData", [f"{{{', '.join(pairs)}}}"])
        return first

    def _opened(self, source: str | None, name: str) -> str:
        if source is not None:
            return f"mu.read({source!r})"
        about = f"the data of {name}".removesuffix(" of ") + ", which were in memory"
        return f"mu.Modality({self.given.name('data', about)})"

    def _join(self, variable: str, entry: Entry) -> dict[str, Any]:
        samples = {}
        for number, (key, part) in enumerate(entry["parts"].items()):
            samples[key] = f"sample_{number}"
            self.replay(samples[key], in_order(part["histories"]), part["states"], repr(key))
        pairs = ", ".join(f"{key!r}: {sample}" for key, sample in samples.items())
        chosen = [f"{name}={literal(one, self.given, name)}" for name, one in arguments(entry)]
        self.lines += call_lines(f"{variable} = mu.concat", [f"{{{pairs}}}", *chosen])
        return dict(entry["output"])

    def _run(self, entry: Entry, before: list[Event], out: str) -> dict[str, Any]:
        given = entry["arguments"]
        if before:
            self.lines.append(f"# {given['source']} has a history of its own.")
        params = literal(given["params"], self.given, "params")
        values = [repr(given["source"]), out, f"RunParams().updated({params})"]
        self.lines += call_lines("run_workflow", values)
        return dict(entry["output"])

    def _call(self, between: Between, place: str, entry: Entry) -> None:
        """Write a call, after what was done since the one before it without a call."""
        made = entry.get("returned") == "made"
        if made:
            subject = between.who_is(entry["input"])
        else:
            subject = between.where(place)
            for name, state in entry["input"].items():
                self.lines += between.lines(name or place, state)
        chosen = [
            f"{name}={literal(one, self.given, name, between.known)}"
            for name, one in arguments(entry)
        ]
        target = between.target(place) + " = " if "returned" in entry else ""
        call = call_lines(f"{target}mu.{entry['call']}", [subject, *chosen])
        left = "" if made else between.left(place, entry)
        self.lines += [*call[:-1], call[-1] + left]
        between.now.update({name or place: one for name, one in entry["output"].items()})


def arguments(entry: Entry) -> Iterator[tuple[str, Any]]:
    """Yield the arguments that were given."""
    yield from entry["arguments"].items()


def first_states(events: list[Event], final: States) -> dict[str, Any]:
    """Return each modality as its first call found it; those that calls made are left out."""
    first: dict[str, Any] = {}
    made: set[str] = set()
    for place, entry in events:
        if entry.get("returned") == "made" and place not in first:
            made.add(place)
            continue
        for name, state in entry["input"].items():
            opened = entry.get("opened", {}).get(name, {})
            first.setdefault(name or place, opened if "obs" in opened else state)
    rest: dict[str, Any] = {name: {} for name in final if name not in first and name not in made}
    return {name: one for name, one in (first | rest).items() if name not in made}


def common_path(sources: Mapping[str, str | None]) -> str | None:
    """Return the path of the file that holds all modalities, None where they are from several."""
    paths = {
        None if source is None or not source.endswith(f"/{name}") else source[: -len(name) - 1]
        for name, source in sources.items()
    }
    return paths.pop() if len(paths) == 1 else None


def _again(store: str) -> str:
    """Return the name of the store that a script writes: ``pbmc.zarr`` -> ``pbmc-again.zarr``."""
    name = redacted(store).rstrip("/").rsplit("/", 1)[-1] if is_url(store) else store.rstrip("/")
    stem, dot, suffix = name.rpartition(".")
    return f"{stem or suffix}-again{dot}{suffix}" if stem else f"{name}-again.zarr"
