"""Recorded arguments as Python, and what a script must be given because nothing keeps it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from lazymu.containers.arguments import ARRAY, DATA, FLOAT, FUNCTION, KIND

WIDTH = 96
Known = Callable[[Mapping[str, Any]], str | None]


class Given:
    """Names that stand for values of the caller, with what is known of each."""

    def __init__(self) -> None:
        self.values: dict[str, str] = {}
        self.modules: set[str] = set()
        self.needs_store = False
        """Whether names or columns are taken from the store that the script is of."""

    def name(self, word: str, about: str) -> str:
        """Return a new name for a value."""
        number = 1 + sum(name.rpartition("_")[0] == word for name in self.values)
        self.values[f"{word}_{number}"] = about
        return f"{word}_{number}"

    def lines(self) -> list[str]:
        """Return the head of a script: a line for each value."""
        if not self.values:
            return []
        head = ["# The store does not keep these, which came from the caller: fill them in."]
        return [*head, *(f"{name} = ...  # {about}" for name, about in self.values.items()), ""]


def call_lines(function: str, arguments: list[str], end: str = ")") -> list[str]:
    """Return a call, on one line where it fits."""
    line = f"{function}({', '.join(arguments)}{end}"
    if len(line) <= WIDTH:
        return [line]
    return [f"{function}(", *(f"    {argument}," for argument in arguments), end]


def literal(value: Any, given: Given, word: str, known: Known = lambda value: None) -> str:
    """Return an argument as Python: itself, where ``known`` finds it, or a name to be filled in."""
    if isinstance(value, list):
        return f"[{', '.join(literal(one, given, word, known) for one in value)}]"
    if not isinstance(value, Mapping):
        return repr(value)
    if KIND not in value:
        pairs = (f"{key!r}: {literal(one, given, word, known)}" for key, one in value.items())
        return f"{{{', '.join(pairs)}}}"
    return known(value) or _of_kind(value, given, word)


def _of_kind(value: Mapping[str, Any], given: Given, word: str) -> str:
    kind = value[KIND]
    if kind == FLOAT:
        return f"float({value['text']!r})"
    if kind == FUNCTION and "source" in value:
        given.modules.update(name for name in ("np", "pd") if f"{name}." in value["source"])
        return str(value["source"])
    if kind == ARRAY and "values" in value:
        given.modules.add("np")
        values = ", ".join(literal(one, given, word) for one in value["values"])
        dtype = "object" if value["dtype"] in ("object", "str") else value["dtype"]
        return f"np.array([{values}], dtype={dtype!r})"
    return given.name(word, _about(value))


def _about(value: Mapping[str, Any]) -> str:
    if value[KIND] == FUNCTION:
        return f"the function {value['name']}"
    about = f"a {value['type']}"
    if value[KIND] in (ARRAY, DATA):
        about += f" of {' x '.join(f'{n:,}' for n in value['shape'])}"
    about += f", {value['dtype']}" if "dtype" in value else ""
    about += f", named {value['name']!r}" if "name" in value else ""
    return about + (f", CRC-32 {value['crc32']}" if "crc32" in value else "")
