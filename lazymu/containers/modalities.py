"""`mdata.mod`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, MutableMapping
from typing import Any

from lazymu.containers.modality import Modality
from lazymu.errors import ArgumentError, ModalityNotFoundError, explain


class Modalities(MutableMapping[str, Modality]):
    """`mdata.mod`: modalities by name, in order."""

    def __init__(self, mod: Mapping[str, Any]) -> None:
        if not isinstance(mod, Mapping):
            rule = "it must be modalities by name"
            got = f"a {type(mod).__name__}"
            raise ArgumentError(explain("mod", got, rule, "pass a dict; of a MuData, its .mod"))
        self._mod: dict[str, Modality] = {}
        for name, modality in mod.items():
            self[name] = modality

    def __getitem__(self, name: str) -> Modality:
        if name not in self._mod:
            known = ", ".join(self._mod) or "none"
            raise ModalityNotFoundError(
                explain("modality", repr(name), f"this MuData has: {known}", "name one of them")
            )
        return self._mod[name]

    def __setitem__(self, name: str, modality: Any) -> None:
        if "/" in name:
            rule = "it is a folder's name in the store"
            raise ArgumentError(explain("modality", repr(name), rule, "use a name without '/'"))
        self._mod[name] = modality if isinstance(modality, Modality) else Modality(modality)

    def __delitem__(self, name: str) -> None:
        del self._mod[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._mod)

    def __len__(self) -> int:
        return len(self._mod)

    def __repr__(self) -> str:
        return "MuData modalities: " + ", ".join(f"{k} {v.shape}" for k, v in self._mod.items())
