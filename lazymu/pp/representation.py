"""Which of a modality's matrices a function works on: `X`, a layer, an array of `obsm`, `raw`."""

from __future__ import annotations

from lazymu.containers import Modality
from lazymu.errors import ArgumentError, MissingResultError, explain
from lazymu.stream import LazyMatrix


def matrix_of(
    modality: Modality,
    *,
    layer: str | None = None,
    obsm: str | None = None,
    use_raw: bool = False,
) -> LazyMatrix:
    """Return `X`, or what was named instead of it.

    Raises
    ------
    ArgumentError
        If more than one of them is named.
    MissingResultError
        If it is not there.
    """
    named = {"layer": layer, "obsm": obsm, "use_raw": use_raw or None}
    given = [name for name, value in named.items() if value is not None]
    if len(given) > 1:
        rule = "only one matrix can be worked on"
        raise ArgumentError(explain(given[0], named[given[0]], rule, f"leave out {given[1]}"))
    if layer is not None:
        return modality.layers[layer]
    if obsm is not None:
        return LazyMatrix(modality.obsm[obsm])
    if not use_raw:
        return modality.X
    if modality.raw is None:
        rule = "the modality has no raw"
        raise MissingResultError(explain("use_raw", use_raw, rule, "set .raw, or pass False"))
    return modality.raw.X


def store_matrix(
    modality: Modality, matrix: LazyMatrix, *, layer: str | None = None, obsm: str | None = None
) -> None:
    """Put a matrix in the place from which :func:`matrix_of` took it; `obsm` holds arrays."""
    if layer is not None:
        modality.layers[layer] = matrix
    elif obsm is not None:
        modality.obsm[obsm] = matrix.to_memory()
    else:
        modality.X = matrix
