from __future__ import annotations

from pathlib import Path
from typing import Any

import anndata as ad
import h5py
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import zarr

from lazymu.errors import ArgumentError
from lazymu.store.element_writer import write_element
from tests.store_samples import assert_tables_equal, assert_values_equal, peers

GROUPS = ["h5", "zarr2", "zarr3"]


def group_of(kind: str, folder: Path) -> Any:
    if kind == "h5":
        return h5py.File(folder / "a.h5", "w")
    return zarr.open_group(folder / "a.zarr", mode="w", zarr_format=int(kind[-1]))


def encoding(node: Any) -> str:
    return str(node.attrs["encoding-type"])


TABLE = pd.DataFrame(
    {
        "text": ["a", "ü"],
        "string": pd.array(["q", "w"], dtype="string"),
        "group": pd.Categorical(["y", "x"], categories=["y", "x"], ordered=True),
        "numbers": pd.Categorical([3, 1]),
        "count": pd.array([1, None], dtype="Int64"),
        "flag": [True, False],
        "depth": np.array([1.5, np.nan], dtype=np.float32),
    },
    index=pd.Index(["i", "j"], name="barcode"),
)


@pytest.mark.parametrize("kind", GROUPS)
def test_write_element__table_in_plain_encodings(kind: str, tmp_path: Path) -> None:
    group = group_of(kind, tmp_path)
    before = TABLE.copy(deep=True)
    write_element(group, "obs", TABLE)
    pd.testing.assert_frame_equal(TABLE, before)
    for name in ("text", "string", "barcode", "group/categories"):
        assert encoding(group[f"obs/{name}"]) == "string-array"
    with peers():
        assert_tables_equal(ad.io.read_elem(group["obs"]), TABLE)


@pytest.mark.parametrize("kind", GROUPS)
@pytest.mark.parametrize("missing", [None, np.nan, pd.NA])
def test_write_element__text_with_missing_values(kind: str, missing: Any, tmp_path: Path) -> None:
    """anndata before 0.13 writes the word None or nan into Zarr stores instead."""
    group = group_of(kind, tmp_path)
    write_element(group, "obs", pd.DataFrame({"text": ["a", missing]}, index=["i", "j"]))
    assert encoding(group["obs/text"]) == "nullable-string-array"
    with peers():
        found = ad.io.read_elem(group["obs"])["text"]
    assert found.isna().tolist() == [False, True]
    assert found.iloc[0] == "a"


RECORDS = np.array([("a", 1.0), ("bb", 2.0)], dtype=[("gene", "O"), ("score", "f4")])


@pytest.mark.parametrize("kind", GROUPS)
@pytest.mark.parametrize(
    "value",
    [
        {"a": {"b": 1, "c": "x"}, "d": np.arange(3)},
        np.array(["a", "b"], dtype=object),
        np.array(["a", "b"]),
        np.zeros((0, 3)),
        [1, 2],
        np.float32(0.5),
        "text",
        sp.csr_matrix(np.eye(3)),
        sp.csc_matrix(np.eye(3)),
        RECORDS,
        {},
    ],
    ids=lambda value: type(value).__name__,
)
def test_write_element__values(kind: str, value: Any, tmp_path: Path) -> None:
    group = group_of(kind, tmp_path)
    write_element(group, "x", value)
    with peers():
        assert_values_equal(ad.io.read_elem(group["x"]), value)


@pytest.mark.parametrize("kind", GROUPS)
def test_write_element__forms_that_anndata_has_no_writer_for(kind: str, tmp_path: Path) -> None:
    group = group_of(kind, tmp_path)
    series = pd.Series(["a", "b"], index=["i", "j"])
    for name, value, expected in (
        ("series", series, ["a", "b"]),
        ("tuple", (1, 2), [1, 2]),
        ("coo", sp.coo_matrix(np.eye(2)), np.eye(2)),
    ):
        write_element(group, name, value)
        with peers():
            found = ad.io.read_elem(group[name])
        found = found.toarray() if sp.issparse(found) else found
        np.testing.assert_array_equal(found, expected)


def test_write_element__long_tables_have_few_chunks(tmp_path: Path) -> None:
    group = group_of("zarr3", tmp_path)
    table = pd.DataFrame({"a": np.arange(300_000)}, index=[f"c{i}" for i in range(300_000)])
    write_element(group, "obs", table)
    write_element(group, "X_pca", np.zeros((70_000, 5), dtype=np.float32))
    assert group["obs/a"].nchunks == 3
    assert group["X_pca"].chunks == (1 << 15, 5)


def test_write_element__raises_on_slash_in_a_key(tmp_path: Path) -> None:
    group = group_of("zarr3", tmp_path)
    with pytest.raises(ArgumentError, match="`key` is 'a/b', but keys of a store cannot hold"):
        write_element(group, "a/b", 1)
    with pytest.raises(ArgumentError, match="`key` is 'c/d'"):
        write_element(group, "uns", {"x": {"c/d": 1}})


def test_write_element__error_names_the_element(tmp_path: Path) -> None:
    group = group_of("zarr3", tmp_path).create_group("mod")
    with pytest.raises(Exception, match="No method registered") as raised:
        write_element(group, "uns", {"x": {"bad": object()}})
    assert "raised while writing 'uns' below /mod" in "".join(raised.value.__notes__)
