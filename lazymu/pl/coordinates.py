"""From the name of an embedding to two coordinates for each cell."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from lazymu import keys
from lazymu.containers import Modality
from lazymu.errors import ArgumentError, MissingResultError, explain
from lazymu.pl.values import Data
from lazymu.typing import Floats

_AXIS_NAMES = {"pca": "PC", "diffmap": "DC", "tsne": "tSNE", "mofa": "Factor"}


class Embedding(NamedTuple):
    """Coordinates (n_obs, d), NaN for cells without; the `obsm` key, and whose it is."""

    coordinates: Floats
    key: str
    owner: Data

    @property
    def axis_name(self) -> str:
        """The name of an axis, to which its number is added: ``UMAP``, ``PC``."""
        bare = self.key.removeprefix("X_")
        return _AXIS_NAMES.get(bare, bare.upper())


def find_embedding(data: Data, basis: str) -> Embedding:
    """Return the embedding named ``basis``: ``"X_umap"``, ``"umap"`` or ``"rna:X_pca"``.

    In a MuData, a name that the joint `obsm` has not may be that of exactly one modality; its
    cells are put in place by name.

    Raises
    ------
    MissingResultError
        If there is none; near names are shown.
    ArgumentError
        If several modalities have it.
    """
    key = key_in(data.obsm, basis)
    if key is not None:
        return Embedding(_as_floats(data.obsm[key]), key, data)
    if isinstance(data, Modality):
        raise _unknown(basis, list(data.obsm))
    prefix, _, bare = basis.partition(":")
    wanted = {prefix: data.mod[prefix]} if prefix in data.mod and bare else dict(data.mod)
    name = bare if prefix in data.mod and bare else basis
    found = {mod: key for mod in wanted if (key := key_in(wanted[mod].obsm, name)) is not None}
    if not found:
        every = [keys.of_modality(mod, key) for mod in data.mod for key in data.mod[mod].obsm]
        raise _unknown(basis, [*data.obsm, *every])
    if len(found) > 1:
        rule = f"{len(found)} modalities have it"
        choices = " or ".join(keys.of_modality(mod, key) for mod, key in found.items())
        raise ArgumentError(explain("basis", repr(basis), rule, f"write {choices}"))
    ((mod, key),) = found.items()
    coordinates = _as_floats(wanted[mod].obsm[key])
    rows = data.obs_positions(mod)
    placed = np.full((len(rows), coordinates.shape[1]), np.nan, dtype=coordinates.dtype)
    placed[rows >= 0] = coordinates[rows[rows >= 0]]
    return Embedding(placed, key, wanted[mod])


def key_in(obsm: Mapping[str, Any], basis: str) -> str | None:
    """Return the key of an embedding: its name, or that after ``X_``; None where it is absent."""
    return next((key for key in (basis, f"X_{basis}") if key in obsm), None)


def _as_floats(values: Any) -> Floats:
    array = np.asarray(values.toarray() if hasattr(values, "toarray") else values)
    return array if array.dtype.kind == "f" else array.astype(np.float64)


def _unknown(basis: str, known: Sequence[str]) -> MissingResultError:
    near = difflib.get_close_matches(basis, known, n=3)
    there = f"obsm has {', '.join(near or known[:10]) or 'nothing'}"
    fix = "name one of them, or compute it first (tl.umap, pp.pca)"
    return MissingResultError(explain("basis", repr(basis), there, fix))


def dimension_pairs(
    components: str | Sequence[str] | None,
    dimensions: tuple[int, int] | Sequence[tuple[int, int]] | None,
    n: int,
) -> list[tuple[int, int]]:
    """Return pairs of columns from scanpy's ``components="1,2"`` or ``dimensions=(0, 1)``."""
    if components is not None and dimensions is not None:
        rule = "it says the same as `dimensions`"
        raise ArgumentError(explain("components", components, rule, "leave out one of them"))
    pairs: list[tuple[int, ...]]
    if components is not None:
        given = [components] if isinstance(components, str) else list(components)
        pairs = [_pair(text) for text in given]
    elif dimensions is None:
        pairs = [(0, 1)]
    else:
        nested = [dimensions] if isinstance(dimensions[0], int) else list(dimensions)
        pairs = [tuple(pair) for pair in nested]  # type: ignore[arg-type]  # pairs, by the test above
    for pair in pairs:
        if len(pair) != 2 or not all(0 <= one < n for one in pair):
            numbers = ",".join(str(one + 1) for one in pair)
            rule = f"the embedding has components 1 to {n}, of which it must name two"
            raise ArgumentError(explain("components", repr(numbers), rule, 'write e.g. "1,2"'))
    return [(pair[0], pair[1]) for pair in pairs]


def _pair(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(one) - 1 for one in text.split(","))
    except ValueError:
        rule = "it must be two numbers with a comma between"
        raise ArgumentError(explain("components", repr(text), rule, 'write e.g. "1,2"')) from None
