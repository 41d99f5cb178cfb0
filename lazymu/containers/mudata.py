"""Several modalities of the same cells, joined by cell name."""

from __future__ import annotations

import copy as copying
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from lazymu.containers.joint import (
    joint_names,
    joint_positions,
    matches,
    matches_by_modality,
    own_names,
)
from lazymu.containers.mappings import AxisArrays, LazyDict, take_entries
from lazymu.containers.modalities import Modalities
from lazymu.containers.modality import Modality
from lazymu.containers.names import positions_of, warn_of_repeats
from lazymu.containers.tables import as_table, in_order
from lazymu.errors import ArgumentError, explain
from lazymu.io import write_elements
from lazymu.io.elements import StoreElements
from lazymu.typing import Int64s

if TYPE_CHECKING:
    import anndata as ad
    import mudata as md

    from lazymu.stream.batches import Batches

JOINT_SLOTS = ("obs", "var", "uns", "obsm", "varm", "obsp", "varp")
ARRAYS = (("obsm", "obsp"), ("varm", "varp"))
"""Slots along each axis."""


class MuData:
    """Modalities of the same cells, each in its own order, and what belongs to all of them.

    Parameters
    ----------
    mod
        Modalities by name: AnnData objects, which are copied, or :class:`Modality`.
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
        self._seen: list[dict[str, pd.Index] | None] = [None, None]
        self._tables = [
            pd.DataFrame(index=self._joint_names(axis)) if table is None else table
            for axis, table in enumerate((parts.obs, parts.var))
        ]
        self._arrays = {
            slot: AxisArrays(
                getattr(parts, slot),
                name=slot,
                names=partial(_names_now, self._tables, int(slot.startswith("var"))),
                pairwise=slot.endswith("p"),
            )
            for slot in ("obsm", "varm", "obsp", "varp")
        }
        self._uns = LazyDict(parts.uns)
        for axis in (0, 1):
            self._realign(axis)

    # --- keeping in line with the modalities -----------------------------------------------------

    def _joint_names(self, axis: int) -> pd.Index:
        return joint_names(self._mod, axis, shared=self._shares(axis))

    def _shares(self, axis: int) -> bool:
        return self.axis in (axis, -1)

    def _sync(self) -> None:
        """Bring joint tables and arrays in line where a modality's names have changed."""
        for axis, seen in enumerate(self._seen):
            if not _same(seen, own_names(self._mod, axis)):
                self._realign(axis)

    def _realign(self, axis: int) -> None:
        """Give a joint axis the modalities' names.

        A shared axis keeps the names that it knows in its own order, new ones follow; another has
        the modalities one after the other, each in its order.
        """
        table, names = self._tables[axis], self._joint_names(axis)
        before, now = self._seen[axis], own_names(self._mod, axis)
        if self._shares(axis) and not table.index.equals(names):
            kept = table.index[table.index.isin(names)].unique()
            names = kept.append(names[~names.isin(kept)])
        if self._shares(axis) or before is None:
            former = matches(table.index, names)
            unclear = names[(former < 0) & names.isin(table.index)].unique()
        else:
            former, unclear = matches_by_modality(before, now)
        self._move(axis, former, names, unclear)
        self._seen[axis] = now

    def _move(self, axis: int, former: Int64s, names: pd.Index, unclear: pd.Index) -> None:
        """Take the entries of a joint axis from where they stood before, -1 where they are new."""
        table, slots = self._tables[axis], ARRAYS[axis]
        arrays = [self._arrays[slot] for slot in slots]
        if len(unclear) and (len(table.columns) or any(map(len, arrays))):
            warn_of_repeats(unclear, axis)
        if table.index.equals(names) and np.array_equal(former, np.arange(len(table))):
            return
        self._tables[axis] = take_entries(table, former).set_axis(names, axis=0)
        for slot_arrays in arrays:
            taken = slot_arrays.take(former, names)
            slot_arrays.clear()
            slot_arrays.update(taken)

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
        self._tables[0] = in_order(as_table(table, self.n_obs, "obs"), self.obs_names, "obs")

    @property
    def var(self) -> pd.DataFrame:
        """Joint annotation of features."""
        self._sync()
        return self._tables[1]

    @var.setter
    def var(self, table: pd.DataFrame) -> None:
        self._tables[1] = in_order(as_table(table, self.n_vars, "var"), self.var_names, "var")

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
        rows, cols = self._by_modality(rows, 0), self._by_modality(cols, 1)
        mod = {}
        for name, modality in self._mod.items():
            own_rows = None if rows is None else self.obs_positions(name)[rows]
            own_cols = None if cols is None else self.var_positions(name)[cols]
            mod[name] = modality[
                slice(None) if own_rows is None else own_rows[own_rows >= 0],
                slice(None) if own_cols is None else own_cols[own_cols >= 0],
            ]
        for axis, index in enumerate((rows, cols)):
            table = self._tables[axis] if index is None else self._tables[axis].iloc[index]
            setattr(parts, ("obs", "var")[axis], table.copy())
            for slot in ARRAYS[axis]:
                arrays = self._arrays[slot]
                setattr(parts, slot, arrays.copies() if index is None else arrays.take(index))
        parts.uns = copying.deepcopy(parts.uns)
        selected = MuData.__new__(MuData)
        selected._fill(mod, parts)
        return selected

    def _by_modality(self, index: Int64s | None, axis: int) -> Int64s | None:
        """Return positions in the order that the axis will have: by modality where not shared."""
        if index is None or self._shares(axis):
            return index
        lengths = [len(names) for names in own_names(self._mod, axis).values()]
        owner = np.repeat(np.arange(len(lengths)), lengths)
        return index[np.argsort(owner[index], kind="stable")]

    def copy(self) -> MuData:
        """Return a MuData that shares stored counts, but nothing else, with this one."""
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

    def to_anndata(self, mods: Sequence[str] | None = None, **options: Any) -> ad.AnnData | None:
        """Put modalities side by side in one AnnData, in memory or a file: `lazymu.to_anndata`."""
        from lazymu.containers.wide import to_anndata  # it imports this module

        return to_anndata(self, mods, **options)

    def batches(self, batch_size: int = 128, **options: Any) -> Batches:
        """Give the cells in mini-batches for training; options are those of `lazymu.batches`."""
        from lazymu.containers.batching import batches  # it imports this module

        return batches(self, batch_size, **options)

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


def _same(seen: Mapping[str, pd.Index] | None, now: Mapping[str, pd.Index]) -> bool:
    """Return whether modalities and their names are the very same as when last looked at."""
    return (
        seen is not None
        and list(seen) == list(now)
        and all(seen[name] is names for name, names in now.items())
    )


def _names_now(tables: list[pd.DataFrame], axis: int) -> pd.Index:
    """Return the joint names; arrays ask for them without holding the MuData in memory."""
    return tables[axis].index
