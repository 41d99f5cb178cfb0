"""Names that file systems, formats and plots dislike: they come back, or are refused beforehand."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from lazymu import pl
from lazymu.containers import Modality
from lazymu.errors import ArgumentError
from lazymu.io import ModalityElements, StoreElements, open_elements, write_elements
from lazymu.store import names as store_names
from lazymu.stream import LazyMatrix
from tests.store_samples import elements_of, value_of

X = sp.csr_matrix(np.eye(3, dtype=np.float32))
KEPT = [
    *("é", unicodedata.normalize("NFD", "é"), ".hidden", "c", " spaces ", "__x", "a:b", "a\nb"),
    *("CON", "*?<>|", "end.", "mod", "x" * 248, "<script>", "$frac$"),
]
REFUSED = ["", ".", "..", "a/b", "../x", "/etc", "nul\0x", "\ud800"]
REFUSED_BY_ZARR = ["a\\b", "zarr.json", ".zgroup", ".ZATTRS", "x" * 256, "é" * 128]
SLOTS: dict[str, Callable[[ModalityElements, str], Any]] = {
    "obs": lambda elements, name: elements.obs.insert(0, name, [1, 2, 3]),
    "obsm": lambda elements, name: elements.obsm.update({name: np.ones((3, 2))}),
    "layers": lambda elements, name: elements.layers.update({name: LazyMatrix(X * 2)}),
    "uns": lambda elements, name: elements.uns.update({name: 5}),
    "within": lambda elements, name: elements.uns.setdefault("uns", {}).update({name: 5}),
}


def named(slot: str, *names: str) -> Any:
    elements = elements_of(X)
    if slot == "mod":
        return StoreElements({name: elements for name in names})
    for name in names:
        SLOTS[slot](elements, name)
    return elements


def target_of(folder: Path, slot: str, suffix: str) -> Path:
    return folder / ("a.h5mu" if slot == "mod" and suffix == ".h5ad" else f"a{suffix}")


@pytest.mark.parametrize("suffix", [".zarr", ".h5ad"])
@pytest.mark.parametrize("slot", ["mod", *SLOTS])
def test_write_elements__names_come_back(slot: str, suffix: str, tmp_path: Path) -> None:
    names = KEPT if suffix == ".zarr" else [*KEPT, *REFUSED_BY_ZARR]
    path = target_of(tmp_path, slot, suffix)
    write_elements(named(slot, *names), path)
    found: Any = open_elements(path)
    kept = value_of(found.uns["uns"]) if slot == "within" else getattr(found, slot)
    assert sorted(kept) == sorted(names)
    if slot == "layers":
        assert all(layer.to_memory().sum() == 6 for layer in found.layers.values())


@pytest.mark.parametrize("suffix", [".zarr", ".h5ad"])
@pytest.mark.parametrize("slot", ["mod", *SLOTS])
def test_write_elements__names_that_cannot_be_kept(slot: str, suffix: str, tmp_path: Path) -> None:
    for name in [*REFUSED, *REFUSED_BY_ZARR] if suffix == ".zarr" else REFUSED:
        with pytest.raises(ArgumentError, match=r"`key` is .* keys of a|`key` is .* Zarr keeps"):
            write_elements(named(slot, name), target_of(tmp_path, slot, suffix))
        assert list(tmp_path.iterdir()) == []


def test_write_elements__names_that_would_be_one(tmp_path: Path) -> None:
    elements = elements_of(X)
    elements.uns["k"] = {1: "a", "1": "b"}
    with pytest.raises(ArgumentError, match=r"`key` is '1', but .* in the same place as 1"):
        write_elements(elements, tmp_path / "a.zarr")
    elements = elements_of(X)
    elements.obs = pd.DataFrame(np.ones((3, 2)), index=elements.obs.index, columns=["a", "a"])
    with pytest.raises(ArgumentError, match="same place"):
        write_elements(elements, tmp_path / "a.h5ad")


def test_write_elements__case_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    elements = elements_of(X)
    elements.obs["Sample"], elements.obs["sample"] = 1, 2
    if not store_names.folds_case(tmp_path / "a.zarr"):
        write_elements(elements, tmp_path / "a.zarr")
        assert list(open_elements(tmp_path / "a.zarr").obs) == ["Sample", "sample"]
    monkeypatch.setattr("lazymu.io.write.folds_case", lambda path: True)
    with pytest.raises(ArgumentError, match=r"'sample', but .* same place as 'Sample'"):
        write_elements(elements, tmp_path / "b.zarr")
    write_elements(elements, tmp_path / "a.h5ad")


@pytest.mark.parametrize("name", ["", "a\nb", "x" * 10_000, "a\0b", "end\0", "\ud800", "a#b", "é"])
@pytest.mark.parametrize("suffix", [".zarr", ".h5ad"])
def test_write_elements__any_text_names_a_cell(name: str, suffix: str, tmp_path: Path) -> None:
    elements = elements_of(X)
    texts = [name, "b", "c"]
    elements.obs = pd.DataFrame({"t": texts, "k": pd.Categorical(texts)}, index=texts)
    path = tmp_path / f"a{suffix}"
    if name == "\ud800" or (suffix == ".h5ad" and "\0" in name):
        with pytest.raises(ArgumentError, match=r"`obs` is .* cannot be stored"):
            write_elements(elements, path)
        assert list(tmp_path.iterdir()) == []
        return
    write_elements(elements, path)
    found = open_elements(path)
    assert [found.obs.index[0], found.obs["t"].iloc[0], found.obs["k"].iloc[0]] == [name] * 3


@pytest.mark.usefixtures("closed_figures")
@pytest.mark.parametrize("name", ["$\\frac$", "$x^$ and $y_$", "$\\frac", "a$b"])
def test_plots__names_are_no_formulas(name: str, tmp_path: Path) -> None:
    mod = Modality(sp.csr_matrix(np.arange(24, dtype=np.float32).reshape(12, 2)))
    mod.var_names = [name, "other"]
    mod.obs[name] = pd.Categorical([name, "b"] * 6)
    mod.obsm["X_umap"] = np.random.default_rng(0).random((12, 2))
    axes = pl.embedding(mod, "X_umap", color=[name, "other"], save=tmp_path / "a.svg")
    assert axes[0].get_title() == name
    pl.embedding(mod, "X_umap", color=name, legend_loc="on data", save=tmp_path / "b.png")
    pl.dotplot(mod, ["other"], groupby=name, save=tmp_path / "c.png")
    pl.violin(mod, "other", groupby=name, save=tmp_path / "d.png")
    pl.matrixplot(mod, ["other"], groupby=name, save=tmp_path / "e.png")
