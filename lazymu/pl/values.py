"""From a name such as ``"leiden_wnn"`` or ``"rna:CD3E"`` to a value for each cell."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

import numpy as np
import pandas as pd

from lazymu import keys
from lazymu.containers import Modality, MuData
from lazymu.errors import ArgumentError, DuplicateNamesError, MissingResultError, explain
from lazymu.pl.feature_sets import FeatureSet, set_values
from lazymu.stream import LazyMatrix
from lazymu.tl.grouping import natural
from lazymu.typing import Float64s, Int64s

Data: TypeAlias = Modality | MuData
Groups: TypeAlias = "pd.Categorical[Any]"
CellValues: TypeAlias = "Groups | Float64s"

_MOST_SEARCHED = 20_000


@dataclass(frozen=True)
class Column:
    """A column of ``owner.obs``; ``modality`` is the owner's name within the MuData, if any."""

    name: str
    owner: Data
    column: str
    modality: str | None = None


@dataclass(frozen=True)
class Feature:
    """A column of a lazy matrix whose rows are the cells of ``modality``."""

    name: str
    matrix: LazyMatrix
    position: int
    modality: str | None = None


@dataclass(frozen=True)
class Coordinate:
    """A column of ``owner.obsm[key]``; ``modality`` is the owner's name within the MuData."""

    name: str
    owner: Data
    key: str
    position: int
    modality: str | None = None

    def values(self) -> Float64s:
        """Return the coordinate of each of the owner's cells."""
        return np.asarray(self.owner.obsm[self.key], dtype=np.float64)[:, self.position]


F = TypeVar("F", Feature, FeatureSet)


@dataclass(frozen=True, kw_only=True)
class Lookup:
    """Which matrix of a modality a feature's values come from, and what features are called.

    ``use_raw=None`` takes `raw` where it is set and no ``layer`` is named, as scanpy does.
    ``gene_symbols`` is a column of `var` that holds the names to look for.
    """

    use_raw: bool | None = None
    layer: str | None = None
    gene_symbols: str | None = None

    def __post_init__(self) -> None:
        """Refuse what contradicts itself."""
        if self.use_raw and self.layer is not None:
            rule = f"layer={self.layer!r} names another matrix"
            raise ArgumentError(explain("use_raw", "True", rule, "leave out one of them"))

    def _in(self, mod: Modality, var: pd.DataFrame, name: str) -> Int64s:
        if self.gene_symbols is None:
            return var.index.get_indexer_for(pd.Index([name], dtype=object))
        if self.gene_symbols not in var:
            rule = f"var has the columns {', '.join(map(str, var.columns)) or 'none'}"
            raise MissingResultError(
                explain("gene_symbols", repr(self.gene_symbols), rule, "name one of them")
            )
        return np.flatnonzero((var[self.gene_symbols] == name).to_numpy())

    def find(self, mod: Modality, name: str) -> tuple[LazyMatrix, int] | None:
        """Return the matrix and the column of a feature, None where there is none of that name."""
        if self.use_raw and mod.raw is None:
            rule = "this modality has no raw"
            raise ArgumentError(explain("use_raw", "True", rule, "pass use_raw=False"))
        use_raw = self.use_raw is not False and self.layer is None and mod.raw is not None
        if use_raw and mod.raw is not None:
            position = _only(self._in(mod, mod.raw.var, name), name)
            if position is not None or self.use_raw:
                return None if position is None else (mod.raw.X, position)
        position = _only(self._in(mod, mod.var, name), name)
        if position is None:
            return None
        return (mod.X if self.layer is None else mod.layers[self.layer]), position


def _only(positions: Int64s, name: str) -> int | None:
    found = positions[positions >= 0]
    if len(found) > 1:
        rule = f"{len(found)} features have that name"
        fix = "call .var_names_make_unique() on the modality"
        raise DuplicateNamesError(explain("name", repr(name), rule, fix))
    return int(found[0]) if len(found) else None


def find(data: Data, name: str, lookup: Lookup) -> Column | Feature | Coordinate | FeatureSet:
    """Return what ``name`` means, without reading values.

    A set of features means itself. Else, in this order: a column of ``data.obs``; a column of
    `obsm` counted from 1, ``"X_umap:2"``; in a MuData ``"modality:name"``, a column of that
    modality's `obs`, one of its features or of its `obsm`; a column or feature of exactly one
    modality.

    Raises
    ------
    MissingResultError
        If nothing has that name; near names are shown.
    ArgumentError
        If several modalities have it.
    """
    if isinstance(name, FeatureSet):
        return name
    if name in data.obs:
        return Column(name, data, name)
    coordinate = _coordinate(data, name, name, None)
    if coordinate is not None:
        return coordinate
    if isinstance(data, Modality):
        found = _in_modality(data, name, name, None, lookup)
        if found is None:
            raise _unknown(data, name, lookup)
        return found
    prefix, _, bare = name.partition(":")
    if prefix in data.mod and bare:
        owner = data.mod[prefix]
        found = _in_modality(owner, bare, name, prefix, lookup)
        found = _coordinate(owner, bare, name, prefix) if found is None else found
        if found is not None:
            return found
    symbols = lookup.gene_symbols
    having = {key: mod for key, mod in data.mod.items() if symbols is None or symbols in mod.var}
    everywhere = [
        _in_modality(mod, name, name, key, lookup) for key, mod in (having or data.mod).items()
    ]
    several = [one for one in everywhere if one is not None]
    if not several:
        raise _unknown(data, name, lookup)
    if len(several) > 1:
        choices = [keys.of_modality(str(one.modality), name) for one in several]
        rule = f"{len(several)} modalities have it"
        raise ArgumentError(explain("name", repr(name), rule, f"write {' or '.join(choices)}"))
    return several[0]


def _in_modality(
    mod: Modality, bare: str, name: str, key: str | None, lookup: Lookup
) -> Column | Feature | Coordinate | None:
    if bare in mod.obs:
        return Column(name, mod, bare, key)
    feature = lookup.find(mod, bare)
    return None if feature is None else Feature(name, *feature, key)


def _coordinate(owner: Data, bare: str, name: str, modality: str | None) -> Coordinate | None:
    """Return a column of `obsm` by muon's name for it: ``"X_umap:1"`` is the first."""
    key, _, number = bare.rpartition(":")
    if key not in owner.obsm or not number.isdecimal():
        return None
    n = owner.obsm[key].shape[1]
    if not 1 <= int(number) <= n:
        rule = f"{key} has the columns 1 to {n}"
        raise ArgumentError(explain("name", repr(name), rule, f"write e.g. {key}:1"))
    return Coordinate(name, owner, key, int(number) - 1, modality)


def _unknown(data: Data, name: str, lookup: Lookup) -> MissingResultError:
    known = dict(_known(data, name, lookup))
    alike = difflib.get_close_matches(name.lower(), known, n=4)
    near = list(dict.fromkeys(known[one] for one in alike))[:3]
    fix = f"near it are {', '.join(near)}" if near else "check the spelling"
    rule = "no column of obs and no feature has that name"
    return MissingResultError(explain("name", repr(name), rule, fix))


def _known(data: Data, name: str, lookup: Lookup) -> Iterator[tuple[str, str]]:
    """Yield names near enough to be compared with ``name``, each after its lower case."""
    for column in map(str, data.obs.columns):
        yield column.lower(), column
    mods = {None: data} if isinstance(data, Modality) else data.mod
    for key, mod in mods.items():
        bare = name.removeprefix(f"{key}:")
        var = mod.var
        symbols = lookup.gene_symbols
        features = var[symbols] if symbols is not None and symbols in var else var.index
        alike = features[features.str.lower().str.startswith(bare[:1].lower(), na=False)]
        for known in (*map(str, mod.obs.columns), *map(str, alike[:_MOST_SEARCHED])):
            full = known if key is None else keys.of_modality(key, known)
            yield full.lower(), full
            yield known.lower(), full


def cell_values(
    data: Data,
    names: Sequence[str],
    lookup: Lookup | Sequence[Lookup] | None = None,
    cells: Int64s | None = None,
) -> list[CellValues]:
    """Return for each name the value of every cell of ``data``, missing where it has none.

    Features asked from the same matrix are fetched together: one pass over it, and
    ``n_obs x features`` values in memory; of some ``cells`` (ascending positions), only these are
    read and returned. Words and booleans become categories, numbers float64.
    """
    lookups = [lookup or Lookup()] * len(names) if isinstance(lookup, Lookup | None) else lookup
    found = [find(data, name, one) for name, one in zip(names, lookups, strict=True)]
    fetched = _fetch(data, [one for one in found if isinstance(one, Feature)], cells)
    made = _make(data, [one for one in found if isinstance(one, FeatureSet)], cells)
    values: list[CellValues] = []
    for one in found:
        if isinstance(one, Feature):
            values.append(fetched[id(one.matrix), one.position])
        elif isinstance(one, FeatureSet):
            values.append(made[id(one)])
        else:
            own = one.values() if isinstance(one, Coordinate) else _column(one)
            values.append(_placed(own, _rows_of(data, one.modality, cells)))
    return values


def _rows_of(data: Data, modality: str | None, cells: Int64s | None) -> Int64s | None:
    """Return the row of each asked cell in its modality, -1 for none; None where all are asked."""
    if modality is None or isinstance(data, Modality):
        return cells
    rows = data.obs_positions(modality)
    return rows if cells is None else rows[cells]


def _placed(values: CellValues, rows: Int64s | None) -> CellValues:
    """Return the values in these rows, missing in row -1."""
    if rows is None:
        return values
    if isinstance(values, pd.Categorical):
        codes = np.append(values.codes, -1)[rows]  # row -1, of absent cells, takes the last
        return pd.Categorical.from_codes(codes, dtype=values.dtype)
    return np.append(values, np.nan)[rows]


def _fetch(
    data: Data, features: Sequence[Feature], cells: Int64s | None
) -> dict[tuple[int, int], Float64s]:
    wanted: dict[int, tuple[Feature, set[int]]] = {}
    for one in features:
        wanted.setdefault(id(one.matrix), (one, set()))[1].add(one.position)
    fetched = {}
    for token, (one, positions) in wanted.items():
        ordered = sorted(positions)
        read, rows = _read_of(_rows_of(data, one.modality, cells), cells)
        matrix = one.matrix[:, ordered]
        dense = (matrix if read is None else matrix[read]).toarray()
        for column, position in enumerate(ordered):
            values = _placed(dense[:, column].astype(np.float64), rows)
            fetched[token, position] = np.asarray(values)
    return fetched


def _make(data: Data, sets: Sequence[FeatureSet], cells: Int64s | None) -> dict[int, Float64s]:
    """Return what each set makes of the asked cells, by its identity; one pass a matrix."""
    made = {}
    for members in by_matrix(sets):
        read, rows = _read_of(_rows_of(data, members[0].modality, cells), cells)
        values = set_values(members, read)
        for column, one in enumerate(members):
            made[id(one)] = np.asarray(_placed(values[:, column], rows))
    return made


def by_matrix(found: Sequence[F]) -> list[list[F]]:
    """Return features, or sets of them, those of each matrix together."""
    matrices = {id(one.matrix): one.matrix for one in found}.values()
    return [[one for one in found if one.matrix is matrix] for matrix in matrices]


def _read_of(rows: Int64s | None, cells: Int64s | None) -> tuple[Int64s | None, Int64s | None]:
    """Return which rows of a modality to read, None for all, and where each cell's is in these."""
    if cells is None or rows is None:
        return None, rows
    read = np.unique(rows[rows >= 0])
    return read, np.where(rows < 0, -1, np.searchsorted(read, rows))


def _column(found: Column) -> CellValues:
    return plain_values(found.owner.obs[found.column])


def plain_values(column: pd.Series) -> CellValues:
    """Return numbers as float64 and everything else as categories in natural order."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        return pd.Categorical(column)
    if pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column):
        return column.to_numpy(dtype=np.float64, na_value=np.nan)
    words = column.astype("object").where(column.notna(), None).map(str, na_action="ignore")
    order = pd.CategoricalDtype(natural_order(words.dropna().unique().tolist()))
    return pd.Categorical(words, dtype=order)


def natural_order(words: Sequence[str]) -> list[str]:
    """Return words sorted with the numbers in them by size.

    Examples
    --------
    >>> natural_order(["c10", "c2", "10", "2"])
    ['2', '10', 'c2', 'c10']
    """
    return sorted(words, key=natural)
