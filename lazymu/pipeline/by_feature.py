"""Copies by feature of a store's modalities."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from lazymu.containers import Modality, MuData, read
from lazymu.errors import ArgumentError, ModalityNotFoundError, explain

ALL = "all"


def store_by_feature(store: str | Path, names: Sequence[str]) -> None:
    """Keep the counts of modalities of a store once more by feature: `Modality.store_by_feature`.

    Raises
    ------
    ArgumentError
        If a modality's counts are not in a local store that lazymu wrote, or it has none.
    ModalityNotFoundError
        If there is no modality of a name.
    """
    for modality in chosen(read(store), names):
        modality.store_by_feature()


def chosen(data: MuData | Modality, names: Sequence[str]) -> list[Modality]:
    """Return the modalities of some names; for `ALL`, each that has a matrix.

    Raises
    ------
    ModalityNotFoundError
        If there is no modality of a name.
    """
    known = {} if isinstance(data, Modality) else dict(data.mod)
    if ALL in names:
        of_any = [data] if isinstance(data, Modality) else list(known.values())
        return [modality for modality in of_any if _has_matrix(modality)]
    unknown = [name for name in names if name not in known]
    if unknown:
        rule = f"modalities are {', '.join(known)}" if known else "the one there is has no name"
        fix = f"name one of them, or {ALL}" if known else f"name {ALL}"
        raise ModalityNotFoundError(explain("by_feature", repr(unknown[0]), rule, fix))
    return [known[name] for name in dict.fromkeys(names)]


def _has_matrix(modality: Modality) -> bool:
    with suppress(ArgumentError):  # annotation only
        return len(modality.X.shape) == 2
    return False
