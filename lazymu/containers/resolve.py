"""From a function's first argument to the modality that it means."""

from __future__ import annotations

from typing import Any

from lazymu.containers.modality import Modality
from lazymu.containers.mudata import MuData
from lazymu.errors import ArgumentError, ModalityNotFoundError, explain


def as_modality(data: Any, *, kinds: tuple[str, ...] = ()) -> Modality:
    """Return ``data`` itself where it is a modality, or the one of a MuData that ``kinds`` names.

    Parameters
    ----------
    data
        A modality, or a MuData where ``kinds`` are given.
    kinds
        Names under which the modality may stand, best first.

    Raises
    ------
    ModalityNotFoundError
        If a MuData has no modality of these names.
    ArgumentError
        If ``data`` is something else, such as an AnnData in memory.
    """
    if isinstance(data, Modality):
        return data
    if isinstance(data, MuData):
        return _modality_of(data, kinds)
    rule = "it must be a lazymu modality" + (" or MuData" if kinds else "")
    fix = 'wrap an AnnData: mdata = lazymu.MuData({"rna": adata}); then pass mdata["rna"]'
    raise ArgumentError(explain("data", f"a {type(data).__name__}", rule, fix))


def _modality_of(mdata: MuData, kinds: tuple[str, ...]) -> Modality:
    for name in kinds:
        if name in mdata.mod:
            return mdata.mod[name]
    known = ", ".join(mdata.mod)
    if not kinds:
        rule, fix = "this function works on one modality", f"pass one of mdata[...]: {known}"
        raise ArgumentError(explain("data", "a MuData", rule, fix))
    rule = f"it has no modality named {' or '.join(map(repr, kinds))}, only {known}"
    raise ModalityNotFoundError(
        explain("data", "a MuData", rule, "pass the modality itself, as mdata[name]")
    )
