"""One assay: AnnData's attributes with a lazy `X`."""

from __future__ import annotations

import copy as copying
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from lazymu.containers.mappings import AxisArrays, Layers, LazyDict, as_lazy
from lazymu.containers.names import make_unique, positions_of
from lazymu.containers.raw import Raw
from lazymu.containers.tables import Tables, as_names, as_table
from lazymu.errors import ArgumentError, explain
from lazymu.io import write_elements
from lazymu.io.elements import ModalityElements, RawElements
from lazymu.stream.matrix import LazyMatrix
from lazymu.typing import Array, Int64s

if TYPE_CHECKING:
    import anndata as ad
    import xarray as xr

    from lazymu.stream.batches import Batches

SLOTS = ("obs", "var", "uns", "obsm", "varm", "layers", "obsp", "varp")


class Modality:
    """Cells by features of one assay, with annotation: AnnData's attributes, `X` lazy.

    Parameters
    ----------
    X
        A lazy matrix, a NumPy array or scipy matrix (obs, var), an AnnData (then nothing else may
        be given), or None. What is in memory is copied.
    obs, var
        Annotation of cells and features; their index holds the names.
    layers
        Further matrices of X's shape.
    obsm, varm, obsp, varp, uns
        As in AnnData.
    raw
        A modality of the same cells, kept as `raw`.

    Notes
    -----
    Selections (`mod[cells, genes]`) are modalities of their own: they share the stored counts,
    but changing one does not change the other. Nor does changing, in place, an AnnData or an array
    that a modality was made of: its matrices, tables and arrays are copied. That takes their size
    in memory once more, until you let go of yours; ``lazymu.read`` of a file takes none.

    Examples
    --------
    >>> import lazymu, numpy as np
    >>> mod = lazymu.Modality(np.eye(3))
    >>> mod[mod.obs_names != "1"].shape
    (2, 3)
    """

    def __init__(
        self,
        X: Any = None,
        obs: pd.DataFrame | Mapping[str, Any] | None = None,
        var: pd.DataFrame | Mapping[str, Any] | None = None,
        *,
        uns: Mapping[str, Any] | None = None,
        obsm: Mapping[str, Any] | None = None,
        varm: Mapping[str, Any] | None = None,
        layers: Mapping[str, Any] | None = None,
        obsp: Mapping[str, Any] | None = None,
        varp: Mapping[str, Any] | None = None,
        raw: Modality | Raw | None = None,
    ) -> None:
        if hasattr(X, "obs_names"):
            from lazymu.containers.interchange import elements_of_anndata

            self._fill(elements_of_anndata(X))
            return
        matrix = None if X is None else as_lazy(X, None, "X")
        shape = (None, None) if matrix is None else matrix.shape
        self._fill(
            ModalityElements(
                X=matrix,
                obs=as_table(obs, shape[0], "obs"),
                var=as_table(var, shape[1], "var"),
                layers=dict(layers or {}),
                obsm=dict(obsm or {}),
                varm=dict(varm or {}),
                obsp=dict(obsp or {}),
                varp=dict(varp or {}),
                uns=dict(uns or {}),
            )
        )
        if raw is not None:
            self.raw = raw

    @classmethod
    def from_elements(cls, elements: ModalityElements) -> Modality:
        """Return a modality of the parts that a reader gives."""
        modality = cls.__new__(cls)
        modality._fill(elements)
        return modality

    def _fill(self, parts: ModalityElements) -> None:
        # Mappings that refer to the modality would keep its matrices until garbage is collected.
        tables = self._tables = Tables(parts.obs, parts.var)
        self._X = None if parts.X is None else as_lazy(parts.X, self.shape, "X")
        self._uns = LazyDict(parts.uns)
        self._layers = Layers(parts.layers, shape=lambda: tables.shape)
        self._obsm = AxisArrays(parts.obsm, name="obsm", names=lambda: tables.obs.index)
        self._varm = AxisArrays(parts.varm, name="varm", names=lambda: tables.var.index)
        self._obsp = AxisArrays(
            parts.obsp, name="obsp", names=lambda: tables.obs.index, pairwise=True
        )
        self._varp = AxisArrays(
            parts.varp, name="varp", names=lambda: tables.var.index, pairwise=True
        )
        self._raw = None if parts.raw is None else Raw(parts.raw, tables.obs.index)

    def to_elements(self) -> ModalityElements:
        """Return the parts that a writer takes; what has not been read stays unread."""
        return ModalityElements(
            X=self._X,
            obs=self._tables.obs,
            var=self._tables.var,
            layers=dict(self._layers),
            obsm=self._obsm.deferred(),
            varm=self._varm.deferred(),
            obsp=self._obsp.deferred(),
            varp=self._varp.deferred(),
            uns=self._uns.deferred(),
            raw=None if self._raw is None else self._raw.elements,
        )

    # --- axes ------------------------------------------------------------------------------------

    @property
    def n_obs(self) -> int:
        """Number of cells."""
        return len(self._tables.obs)

    @property
    def n_vars(self) -> int:
        """Number of features."""
        return len(self._tables.var)

    @property
    def shape(self) -> tuple[int, int]:
        """Cells and features."""
        return self._tables.shape

    def __len__(self) -> int:
        return self.n_obs

    @property
    def obs(self) -> pd.DataFrame:
        """Annotation of cells."""
        return self._tables.obs

    @obs.setter
    def obs(self, table: pd.DataFrame) -> None:
        self._tables.obs = as_table(table, self.n_obs, "obs")
        self._obsm.relabel(self.obs_names)

    @property
    def var(self) -> pd.DataFrame:
        """Annotation of features."""
        return self._tables.var

    @var.setter
    def var(self, table: pd.DataFrame) -> None:
        self._tables.var = as_table(table, self.n_vars, "var")
        self._varm.relabel(self.var_names)

    @property
    def obs_names(self) -> pd.Index:
        """Names of the cells."""
        return self._tables.obs.index

    @obs_names.setter
    def obs_names(self, names: Any) -> None:
        self._tables.obs.index = as_names(names)
        self._obsm.relabel(self.obs_names)

    @property
    def var_names(self) -> pd.Index:
        """Names of the features."""
        return self._tables.var.index

    @var_names.setter
    def var_names(self, names: Any) -> None:
        self._tables.var.index = as_names(names)
        self._varm.relabel(self.var_names)

    def obs_names_make_unique(self, join: str = "-") -> None:
        """Append ``-1``, ``-2``, ... to repeated cell names."""
        self.obs_names = make_unique(self.obs_names, join)

    def var_names_make_unique(self, join: str = "-") -> None:
        """Append ``-1``, ``-2``, ... to repeated feature names."""
        self.var_names = make_unique(self.var_names, join)

    def obs_keys(self) -> list[str]:
        """Return the columns of `obs`."""
        return list(self._tables.obs.columns)

    def var_keys(self) -> list[str]:
        """Return the columns of `var`."""
        return list(self._tables.var.columns)

    # --- matrices and arrays ---------------------------------------------------------------------

    @property
    def X(self) -> LazyMatrix:
        """The matrix (obs, var), lazy."""
        if self._X is None:
            rule = "this modality has annotation only"
            raise ArgumentError(explain("X", None, rule, "assign a matrix to .X first"))
        return self._X

    @X.setter
    def X(self, matrix: Any) -> None:
        self._X = None if matrix is None else as_lazy(matrix, self.shape, "X")

    @property
    def layers(self) -> Layers:
        """Further matrices of X's shape, lazy."""
        return self._layers

    @property
    def obsm(self) -> AxisArrays:
        """Arrays with a row for each cell, such as embeddings."""
        return self._obsm

    @property
    def varm(self) -> AxisArrays:
        """Arrays with a row for each feature, such as loadings."""
        return self._varm

    @property
    def obsp(self) -> AxisArrays:
        """Graphs over cells."""
        return self._obsp

    @property
    def varp(self) -> AxisArrays:
        """Graphs over features."""
        return self._varp

    @property
    def uns(self) -> LazyDict:
        """Whatever belongs to neither axis."""
        return self._uns

    @uns.setter
    def uns(self, values: Mapping[str, Any]) -> None:
        self._uns = LazyDict(values)

    @property
    def raw(self) -> Raw | None:
        """The matrix and features as they were when `raw` was set."""
        return self._raw

    @raw.setter
    def raw(self, value: Modality | Raw | None) -> None:
        if isinstance(value, Modality):
            elements = RawElements(value.X, value.var.copy(), value.varm.copies())
            value = Raw(elements, value.obs_names)
        if value is not None and value.X.shape[0] != self.n_obs:
            got, rule = f"{value.X.shape[0]} cells", f"it must have the modality's {self.n_obs}"
            raise ArgumentError(explain("raw", got, rule, "select the same cells"))
        self._raw = value

    def obs_vector(self, key: str, layer: str | None = None) -> Array:
        """Return an `obs` column, or the values of a feature (one pass over `X` or a layer)."""
        if key in self._tables.obs:
            return self._tables.obs[key].to_numpy()
        matrix = self.X if layer is None else self.layers[layer]
        position = positions_of(key, self.var_names, axis=1)
        assert position is not None
        return matrix[:, position[:1]].toarray()[:, 0]

    # --- selections ------------------------------------------------------------------------------

    def __getitem__(self, key: Any) -> Modality:
        cells, features = key if isinstance(key, tuple) else (key, slice(None))
        rows = positions_of(cells, self.obs_names, axis=0)
        cols = positions_of(features, self.var_names, axis=1)
        parts = self.to_elements()
        if rows is None:
            parts.obsm, parts.obsp = self._obsm.copies(), self._obsp.copies()
        else:
            parts = self._with_obs(parts, rows)
        if cols is None:
            parts.varm, parts.varp = self._varm.copies(), self._varp.copies()
        else:
            parts = self._with_vars(parts, cols)
        selected = Modality.from_elements(parts)
        selected._detach()
        return selected

    def _with_obs(self, parts: ModalityElements, rows: Int64s) -> ModalityElements:
        parts.X = None if parts.X is None else parts.X[rows]
        parts.layers = {name: layer[rows] for name, layer in parts.layers.items()}
        parts.obs = parts.obs.iloc[rows]
        parts.obsm, parts.obsp = self._obsm.take(rows), self._obsp.take(rows)
        if parts.raw is not None:
            parts.raw = RawElements(parts.raw.X[rows], parts.raw.var, parts.raw.varm)
        return parts

    def _with_vars(self, parts: ModalityElements, cols: Int64s) -> ModalityElements:
        parts.X = None if parts.X is None else parts.X[:, cols]
        parts.layers = {name: layer[:, cols] for name, layer in parts.layers.items()}
        parts.var = parts.var.iloc[cols]
        parts.varm, parts.varp = self._varm.take(cols), self._varp.take(cols)
        return parts

    def _detach(self) -> None:
        """Give the modality tables and `uns` of its own."""
        self._tables.obs, self._tables.var = self._tables.obs.copy(), self._tables.var.copy()
        if self._raw is not None:
            raw = self._raw.elements
            own = RawElements(raw.X, raw.var.copy(), copying.deepcopy(raw.varm))
            self._raw = Raw(own, self.obs_names)
        self._uns = LazyDict(copying.deepcopy(self._uns.deferred()))

    def subset_obs(self, cells: Any) -> None:
        """Keep some cells, in place: a mask, positions or names. Reads nothing."""
        rows = positions_of(cells, self.obs_names, axis=0)
        if rows is not None:
            parts = self._with_obs(self.to_elements(), rows)
            parts.obs = parts.obs.copy()
            self._fill(parts)

    def subset_var(self, features: Any) -> None:
        """Keep some features, in place: a mask, positions or names. Reads nothing."""
        cols = positions_of(features, self.var_names, axis=1)
        if cols is not None:
            parts = self._with_vars(self.to_elements(), cols)
            parts.var = parts.var.copy()
            self._fill(parts)

    def copy(self) -> Modality:
        """Return a modality that shares stored counts, but nothing else, with this one."""
        return self[:, :]

    # --- to others -------------------------------------------------------------------------------

    def write(self, path: str | Path, *, overwrite: bool = True, **options: Any) -> None:
        """Write to ``.h5ad`` or ``.zarr``, streaming; options are `io.write_elements`'s."""
        write_elements(self.to_elements(), path, overwrite=overwrite, **options)

    def store_by_feature(self) -> None:
        """Keep the stored counts of `X` once more, by feature, beside their store.

        Single features (:func:`lazymu.get.obs_df`, plots) are then read at once, and Wilcoxon's
        test reads each value once. The copy, in ``<store>.lazymu``, is used while the counts are
        the same. Passes over X: one, and one for each third of the memory limit that counts take,
        or one for all, into a temporary file, where these are more than four. An ArgumentError says
        that the counts stand in no local store that lazymu wrote.
        """
        from lazymu.stream.by_feature import store_by_feature

        store_by_feature(self.X)

    def to_anndata(self) -> ad.AnnData:
        """Return an AnnData in memory, `X` with its transforms. One pass for each matrix.

        Raises
        ------
        MemoryLimitError
            If a matrix exceeds the memory limit.
        """
        from lazymu.containers.interchange import anndata_of

        return anndata_of(self)

    def batches(self, batch_size: int = 128, **options: Any) -> Batches:
        """Give the cells in mini-batches for training; options are those of `lazymu.batches`."""
        from lazymu.containers.batching import batches  # it imports this module

        return batches(self, batch_size, **options)

    def to_xarray(self) -> xr.Dataset:
        """Return the modality as a labelled lazy dataset with dims `obs`, `var`, `component`."""
        from lazymu.containers.labelled import dataset_of

        return dataset_of(self)

    def __repr__(self) -> str:
        lines = [f"Modality object with n_obs × n_vars = {self.n_obs} × {self.n_vars}"]
        lines += [
            f"    {slot}: {', '.join(map(repr, keys))}"
            for slot in SLOTS
            if (keys := list(getattr(self, slot)))
        ]
        return "\n".join(lines)
