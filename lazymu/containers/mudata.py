"""Several modalities of the same cells, joined by cell name."""

from __future__ import annotations

import copy as copying
from collections.abc import Iterator, Mapping, MutableMapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from lazymu.containers.joint import joint_names, joint_positions
from lazymu.containers.mappings import AxisArrays, LazyDict
from lazymu.containers.modality import Modality
from lazymu.containers.names import positions_of
from lazymu.containers.tables import as_table
from lazymu.errors import ArgumentError, ModalityNotFoundError, explain
from lazymu.io import write_elements
from lazymu.io.elements import StoreElements
from lazymu.typing import Int64s

if TYPE_CHECKING:
    import mudata as md

JOINT_SLOTS = ("obs", "var", "uns", "obsm", "varm", "obsp", "varp")


class Modalities(MutableMapping[str, Modality]):
    """`mdata.mod`: modalities by name, in order."""

    def __init__(self, mod: Mapping[str, Any]) -> None:
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


class MuData:
    """Modalities of the same cells, each in its own order, and what belongs to all of them.

    Parameters
    ----------
    mod
        Modalities by name: AnnData objects or :class:`Modality`.
    axis
        The axis that modalities share: 0 cells, 1 features, -1 both.

    Notes
    -----
    The joint `obs` has the union of the modalities' cells. It follows the modalities by itself:
    after one of them has been filtered or replaced, the joint tables, embeddings and graphs are
    brought in line by name on next access.

    Examples
    --------
    >>> import anndata as ad, numpy as np, lazymu
    >>> mdata = lazymu.MuData({"rna": ad.AnnData(np.eye(3)), "prot": ad.AnnData(np.ones((3, 2)))})
    >>> mdata
    MuData object with n_obs × n_vars = 3 × 5
      2 modalities
        rna: 3 × 3
        prot: 3 × 2
    """

    def __init__(self, mod: Mapping[str, Any], *, axis: int = 0) -> None:
        self._fill(mod, StoreElements(mod={}, axis=axis))

    @classmethod
    def from_elements(cls, elements: StoreElements) -> MuData:
        """Return a MuData of the parts that a reader gives."""
        mdata = cls.__new__(cls)
        mod = {name: Modality.from_elements(parts) for name, parts in elements.mod.items()}
        mdata._fill(mod, elements)
        return mdata

    def _fill(self, mod: Mapping[str, Any], parts: StoreElements) -> None:
        if parts.axis not in (0, 1, -1):
            rule = "modalities share cells (0), features (1) or both (-1)"
            raise ArgumentError(explain("axis", parts.axis, rule, "pass 0"))
        self.axis = parts.axis
        self._mod = Modalities(mod)
        self._seen = self._indices()
        self._tables = [
            pd.DataFrame(index=self._joint_names(axis)) if table is None else table
            for axis, table in enumerate((parts.obs, parts.var))
        ]
        self._arrays = {
            slot: AxisArrays(
                getattr(parts, slot),
                name=slot,
                length=self._n_vars_now if slot.startswith("var") else self._n_obs_now,
                pairwise=slot.endswith("p"),
            )
            for slot in ("obsm", "varm", "obsp", "varp")
        }
        self._uns = LazyDict(parts.uns)
        for axis in (0, 1):
            self._realign(axis)

    # --- keeping in line with the modalities -----------------------------------------------------

    def _indices(self) -> list[tuple[pd.Index, pd.Index]]:
        return [(mod.obs_names, mod.var_names) for mod in self._mod.values()]

    def _joint_names(self, axis: int) -> pd.Index:
        return joint_names(self._mod, axis, shared=self._shares(axis))

    def _n_obs_now(self) -> int:
        return len(self._tables[0])

    def _n_vars_now(self) -> int:
        return len(self._tables[1])

    def _shares(self, axis: int) -> bool:
        return self.axis in (axis, -1)

    def _sync(self) -> None:
        """Bring joint tables and arrays in line where a modality's names have changed."""
        now = self._indices()
        same = len(now) == len(self._seen) and all(
            a[0] is b[0] and a[1] is b[1] for a, b in zip(now, self._seen, strict=True)
        )
        if same:
            return
        for axis in (0, 1):
            self._realign(axis)
        self._seen = self._indices()

    def _realign(self, axis: int) -> None:
        """Give a joint axis the modalities' names: known ones in their order, then new ones."""
        table, names = self._tables[axis], self._joint_names(axis)
        if table.index.equals(names):
            return
        unique = table.index.is_unique and names.is_unique
        if unique:
            kept = table.index[table.index.isin(names)]
            names = kept.append(names[~names.isin(kept)])
        self._tables[axis] = table.reindex(names) if unique else pd.DataFrame(index=names)
        for slot in (("obsm", "obsp"), ("varm", "varp"))[axis]:
            arrays = self._arrays[slot]
            taken = arrays.take(table.index.get_indexer(names)) if unique else {}
            arrays.clear()
            arrays.update(taken)

    def update(self) -> None:
        """Do nothing, as joint tables follow the modalities; kept for muon's scripts."""

    # --- axes ------------------------------------------------------------------------------------

    @property
    def mod(self) -> Modalities:
        """Modalities by name."""
        return self._mod

    @property
    def n_mod(self) -> int:
        """Number of modalities."""
        return len(self._mod)

    @property
    def obs(self) -> pd.DataFrame:
        """Joint annotation of cells."""
        self._sync()
        return self._tables[0]

    @obs.setter
    def obs(self, table: pd.DataFrame) -> None:
        self._tables[0] = as_table(table, self.n_obs, "obs").reindex(self.obs_names)

    @property
    def var(self) -> pd.DataFrame:
        """Joint annotation of features."""
        self._sync()
        return self._tables[1]

    @var.setter
    def var(self, table: pd.DataFrame) -> None:
        self._tables[1] = as_table(table, self.n_vars, "var").set_axis(self.var_names, axis=0)

    @property
    def obs_names(self) -> pd.Index:
        """Names of all cells."""
        return self.obs.index

    @property
    def var_names(self) -> pd.Index:
        """Names of all features, one modality's after the other."""
        return self.var.index

    @property
    def n_obs(self) -> int:
        """Number of cells in any modality."""
        return len(self.obs)

    @property
    def n_vars(self) -> int:
        """Number of features in all modalities."""
        return len(self.var)

    @property
    def shape(self) -> tuple[int, int]:
        """Cells and features."""
        return self.n_obs, self.n_vars

    def __len__(self) -> int:
        return self.n_obs

    def obs_positions(self, modality: str) -> Int64s:
        """Return the row in a modality of each joint cell, -1 where the modality has it not."""
        shared = self._shares(0)
        return joint_positions(self._mod, modality, 0, self.obs_names, shared=shared)

    def var_positions(self, modality: str) -> Int64s:
        """Return the column in a modality of each joint feature, -1 where it has it not."""
        shared = self._shares(1)
        return joint_positions(self._mod, modality, 1, self.var_names, shared=shared)

    # --- arrays ----------------------------------------------------------------------------------

    @property
    def obsm(self) -> AxisArrays:
        """Arrays with a row for each cell."""
        self._sync()
        return self._arrays["obsm"]

    @property
    def varm(self) -> AxisArrays:
        """Arrays with a row for each feature."""
        self._sync()
        return self._arrays["varm"]

    @property
    def obsp(self) -> AxisArrays:
        """Joint graphs over cells."""
        self._sync()
        return self._arrays["obsp"]

    @property
    def varp(self) -> AxisArrays:
        """Joint graphs over features."""
        self._sync()
        return self._arrays["varp"]

    @property
    def uns(self) -> LazyDict:
        """Whatever belongs to neither axis."""
        return self._uns

    @uns.setter
    def uns(self, values: Mapping[str, Any]) -> None:
        self._uns = LazyDict(values)

    # --- columns between the joint table and the modalities --------------------------------------

    def pull_obs(self, columns: list[str] | None = None, mods: list[str] | None = None) -> None:
        """Copy modalities' `obs` columns into the joint `obs`, each as ``modality:column``."""
        for name in mods or self._mod:
            table = self._mod[name].obs
            for column in table.columns if columns is None else columns:
                if column in table:
                    self.obs[f"{name}:{column}"] = table[column].reindex(self.obs_names)

    def push_obs(self, columns: list[str] | None = None, mods: list[str] | None = None) -> None:
        """Copy joint `obs` columns into the modalities; ``rna:x`` goes to `rna` alone, as ``x``."""
        for column in list(self.obs.columns) if columns is None else columns:
            prefix, _, bare = column.partition(":")
            own = prefix in self._mod and bool(bare)
            for name in mods or self._mod:
                if not own or name == prefix:
                    mod = self._mod[name]
                    target = bare if own else column
                    mod.obs[target] = self.obs[column].reindex(mod.obs_names)

    # --- selections ------------------------------------------------------------------------------

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, str) and key in self._mod:
            return self._mod[key]
        if isinstance(key, str) and key not in self.obs_names:
            return self._mod[key]  # raises, naming the modalities
        cells, features = key if isinstance(key, tuple) else (key, slice(None))
        rows = positions_of(cells, self.obs_names, axis=0)
        cols = positions_of(features, self.var_names, axis=1)
        return self._select(rows, cols)

    def _select(self, rows: Int64s | None, cols: Int64s | None) -> MuData:
        parts = self.to_elements()
        mod = {}
        for name, modality in self._mod.items():
            own_rows = None if rows is None else self.obs_positions(name)[rows]
            own_cols = None if cols is None else self.var_positions(name)[cols]
            mod[name] = modality[
                slice(None) if own_rows is None else own_rows[own_rows >= 0],
                slice(None) if own_cols is None else own_cols[own_cols >= 0],
            ]
        for axis, index in enumerate((rows, cols)):
            if index is not None:
                table, slots = (("obs", ("obsm", "obsp")), ("var", ("varm", "varp")))[axis]
                setattr(parts, table, self._tables[axis].iloc[index])
                for slot in slots:
                    setattr(parts, slot, self._arrays[slot].take(index))
        parts.obs, parts.var = _copied(parts.obs), _copied(parts.var)
        parts.uns = copying.deepcopy(parts.uns)
        selected = MuData.__new__(MuData)
        selected._fill(mod, parts)
        return selected

    def copy(self) -> MuData:
        """Return a MuData that shares stored counts, but no annotation, with this one."""
        return self._select(None, None)

    # --- to others -------------------------------------------------------------------------------

    def to_elements(self) -> StoreElements:
        """Return the parts that a writer takes."""
        self._sync()
        return StoreElements(
            mod={name: modality.to_elements() for name, modality in self._mod.items()},
            obs=self._tables[0],
            var=self._tables[1],
            **{slot: arrays.deferred() for slot, arrays in self._arrays.items()},
            uns=self._uns.deferred(),
            axis=self.axis,
        )

    def write(self, path: str | Path, *, overwrite: bool = True, **options: Any) -> None:
        """Write to ``.h5mu`` or ``.zarr``, streaming; options are those of `io.write_elements`."""
        write_elements(self.to_elements(), path, overwrite=overwrite, **options)

    def to_mudata(self) -> md.MuData:
        """Return a `mudata.MuData` in memory, each `X` with its transforms. One pass a matrix.

        Raises
        ------
        MemoryLimitError
            If a matrix exceeds the memory limit.
        """
        from lazymu.containers.interchange import mudata_of

        return mudata_of(self)

    def __repr__(self) -> str:
        lines = [f"MuData object with n_obs × n_vars = {self.n_obs} × {self.n_vars}"]
        lines += [
            f"  {slot}: {', '.join(map(repr, keys))}"
            for slot in JOINT_SLOTS
            if (keys := list(getattr(self, slot)))
        ]
        lines.append(f"  {self.n_mod} modalit{'y' if self.n_mod == 1 else 'ies'}")
        for name, modality in self._mod.items():
            _, *rest = repr(modality).splitlines()
            lines.append(f"    {name}: {modality.n_obs} × {modality.n_vars}")
            lines += [f"  {line}" for line in rest]
        return "\n".join(lines)


def _copied(table: pd.DataFrame | None) -> pd.DataFrame | None:
    return None if table is None else table.copy()
