"""Fragments files: `locate_fragments`, `count_fragments_features`, `tss_enrichment`,
`nucleosome_signal`, against plain loops and against muon.

muon reads through pysam. Where that is not installed a stand-in of its one class is given to muon,
so that muon's own code runs in any case.
"""

from __future__ import annotations

import gzip
import pickle
import sys
import tracemalloc
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

import lazymu
from lazymu.atac.tl import (
    count_fragments_features,
    locate_fragments,
    nucleosome_signal,
    tss_enrichment,
    tss_pileup,
)
from lazymu.errors import (
    ArgumentError,
    DamagedFileError,
    DuplicateNamesError,
    MemoryLimitError,
    MissingFileError,
    MissingResultError,
    ModalityNotFoundError,
)
from lazymu.io import fragment_counts
from lazymu.io import fragments as reader
from lazymu.stream import progress
from lazymu.stream.progress import Tick, watching
from tests.counting import raise_if_dask_computes
from tests.fragment_files import (
    BGZF_END,
    Fragment,
    bgzf,
    loop_counts,
    loop_pileup,
    random_fragments,
    scores_of,
    stand_in_for_pysam,
    text_of,
    written,
)
from tests.matrix_cases import quiet

with quiet():
    muon = pytest.importorskip("muon")

CELLS = [f"bc{i}" for i in (3, 0, 5, 1, 9)]  # bc9 has no fragments; bc2, bc4, ... are no cells
GENES = pd.DataFrame(
    {
        "Chromosome": ["chr1", "chr2", "chr10", "chr2", "chr2", "chr3", "chr1"],
        "Start": [5_000, 9_000, 12_000, 2_500, 3_000, 100, 20_000],
        "End": [9_000, 9_400, 30_000, 29_000, 3_001, 900, 20_000],
        "Strand": ["+", "-", "-", "+", "-", "+", "."],
    },
    index=list("ABCDEFG"),
)


def modality(path: Path | None = None, cells: list[str] = CELLS) -> lazymu.Modality:
    atac = lazymu.Modality(np.ones((len(cells), 2)), obs=pd.DataFrame(index=cells))
    if path is not None:
        locate_fragments(atac, path)
    return atac


@pytest.fixture
def fragments(rng: np.random.Generator) -> list[Fragment]:
    return random_fragments(rng)


@pytest.fixture
def path(tmp_path: Path, fragments: list[Fragment]) -> Path:
    return written(tmp_path / "fragments.tsv.gz", text_of(fragments))


@pytest.fixture(params=[16 << 20, 1000, 37, 1], ids=["whole", "1000", "37", "1"])
def any_blocks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of text of some size, and few overlaps at once."""
    monkeypatch.setattr(reader, "BLOCK_BYTES", request.param)
    if request.param < 10_000:
        monkeypatch.setattr(fragment_counts, "RUN_OVERLAPS", 50)


def dense(counted: lazymu.Modality) -> np.ndarray:
    return counted.X.to_memory().toarray()


def windows_of(genes: pd.DataFrame, up: int, down: int, stranded: bool) -> list[Any]:
    found = []
    for gene in genes.itertuples():
        minus = stranded and gene.Strand == "-"
        before, after = (down, up) if minus else (up, down)
        found.append((gene.Chromosome, gene.Start - before, gene.End + after))
    return found


# --- locating -------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["bgzf", "gzip", "text"])
def test_locate_fragments__stores_the_path(
    tmp_path: Path, fragments: list[Fragment], kind: str
) -> None:
    path = written(tmp_path / "fragments.tsv.gz", b"# made\n" + text_of(fragments), kind)
    atac = modality()
    atac.uns["files"] = {"genome": "genome.fa"}
    mdata = lazymu.MuData({"atac": atac})
    locate_fragments(mdata, path)
    assert mdata["atac"].uns["files"] == {"genome": "genome.fa", "fragments": str(path)}


def test_locate_fragments__survives_a_store(tmp_path: Path, path: Path) -> None:
    lazymu.MuData({"atac": modality(path)}).write(tmp_path / "m.zarr")
    mdata = lazymu.read(tmp_path / "m.zarr")
    nucleosome_signal(mdata)
    assert mdata["atac"].obs["nucleosome_signal"].notna().all()


def test_locate_fragments__file_absent(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match="there is no such file"):
        locate_fragments(modality(), tmp_path / "none.tsv.gz")
    with pytest.raises(MissingFileError, match="there is no such file"):
        locate_fragments(modality(), tmp_path)
    with pytest.raises(ModalityNotFoundError):
        locate_fragments(lazymu.MuData({"rna": modality()}), tmp_path)


LINES = [
    (b"\x89PNG\r\n\x1a\n", 1, "it has 1 fields"),
    (b"chr1\t10\t20\tA\n", 1, "it has 4 fields"),
    (b"chr1\t10\t20\tA\t1\t+\n", 1, "it has 6 fields"),
    (b"# c\n\nchr1\t1\t2\tA\t1\n", 2, "it has 1 fields"),
    (b"chr1 10 20 A 1\n", 1, "it has 1 fields"),
    (b"chr1\t10\t20\t\t1\n", 1, "one of its fields is empty"),
    (b"\t10\t20\tA\t1\n", 1, "one of its fields is empty"),
    (b"chr1\t\t20\tA\t1\n", 1, "must be whole numbers below 2\\^31"),
    (b"chr1\t1.5\t20\tA\t1\n", 1, "must be whole numbers"),
    (b"chr1\tstart\tend\tA\t1\n", 1, "must be whole numbers"),
    (b"chr1\t10\t2147483648\tA\t1\n", 1, "must be whole numbers"),
    (b"chr1\t10\t99999999999999999999999\tA\t1\n", 1, "must be whole numbers"),
    (b"chr1\t10\t20\tA\tx\n", 1, "must be whole numbers"),
    (b"chr1\t10\t20\tA\t\n", 1, "must be whole numbers"),
    (b"chr1\t1\t2\tA\t1\nchr1\t-10\t20\tA\t1\n", 2, "one is negative"),
    (b"chr1\t1\t2\tA\t1\nchr1\t-10\t-2\tA\t1\n", 2, "one is negative"),
    (b"chr1\t1\t2\tA\t1\nchr1\t1\t-\tA\t1\n", 2, "must be whole numbers"),
    (b"#c\n#c\nchr1\t30\t20\tA\t1\n", 3, "its end lies before its start"),
    (b"chr1\t1\t2\tA\t1\nchr1\t1\t2", 2, "it has 3 fields"),
    (b"", None, "it holds no fragments"),
    (b"# nothing\n", None, "it holds no fragments"),
]


@pytest.mark.parametrize(("text", "number", "message"), LINES)
@pytest.mark.parametrize("kind", ["bgzf", "text"])
def test_locate_fragments__names_the_bad_line(
    tmp_path: Path, text: bytes, number: int | None, message: str, kind: str
) -> None:
    path = written(tmp_path / "bad.tsv.gz", text, kind)
    with pytest.raises(DamagedFileError, match=message) as error:
        locate_fragments(modality(), path)
    assert "bad.tsv.gz" in str(error.value)
    assert number is None or f"line {number}:" in str(error.value)


@pytest.mark.usefixtures("any_blocks")
@pytest.mark.parametrize(("text", "number", "message"), [case for case in LINES if case[1]])
def test_sweep__names_the_bad_line_far_into_the_file(
    tmp_path: Path, fragments: list[Fragment], text: bytes, number: int, message: str
) -> None:
    atac = modality(written(tmp_path / "f.tsv.gz", text_of(fragments)))
    written(tmp_path / "f.tsv.gz", text_of(fragments) + text)
    with pytest.raises(DamagedFileError, match=message) as error:
        nucleosome_signal(atac)
    assert f"line {len(fragments) + number}:" in str(error.value)
    assert "nucleosome_signal" not in atac.obs


def test_sweep__compressed_data_cut_short(tmp_path: Path, fragments: list[Fragment]) -> None:
    path, text = tmp_path / "f.tsv.gz", text_of(fragments)
    atac = modality(written(path, text))
    path.write_bytes(bgzf(text)[: -len(BGZF_END)])
    for sweep in (nucleosome_signal, lambda atac: locate_fragments(atac, path)):
        with pytest.raises(DamagedFileError, match=r"ends a file with an empty block"):
            sweep(atac)
    path.write_bytes(gzip.compress(text)[:-9])
    with pytest.raises(DamagedFileError, match=r"cannot be read after line \d+ .*[Ee]nd") as error:
        nucleosome_signal(atac)
    assert int(str(error.value).split("after line ")[1].split()[0]) > len(fragments) // 2
    path.write_bytes(gzip.compress(text)[:5])
    with pytest.raises(DamagedFileError, match="cannot be read after line 0"):
        locate_fragments(atac, path)


@pytest.mark.usefixtures("any_blocks")
@pytest.mark.parametrize("where", [0.02, 0.5, 0.98])
@pytest.mark.parametrize("kind", ["bgzf", "gzip"])
def test_sweep__compressed_data_damaged(
    tmp_path: Path, fragments: list[Fragment], where: float, kind: str
) -> None:
    path = tmp_path / "f.tsv.gz"
    atac = modality(written(path, text_of(fragments), kind))
    packed = bytearray(path.read_bytes())
    for at in range(int(where * len(packed)), int(where * len(packed)) + 8):
        packed[at] ^= 0xFF
    path.write_bytes(packed)
    with pytest.raises(DamagedFileError, match=r"after line \d+ |line \d+:"):
        nucleosome_signal(atac)


def test_sweep__line_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "LONGEST_LINE", 1000)
    monkeypatch.setattr(reader, "FIRST_BYTES", 600)
    path = written(tmp_path / "f", bytes(2000), "text")
    with pytest.raises(DamagedFileError, match="longer than any"):
        locate_fragments(modality(), path)


# --- counting -------------------------------------------------------------------------------------


@pytest.mark.usefixtures("any_blocks")
@pytest.mark.parametrize("stranded", [None, True, False])
@pytest.mark.parametrize("count_reads", [True, False])
def test_count__equals_a_plain_loop(
    path: Path, fragments: list[Fragment], stranded: bool | None, count_reads: bool
) -> None:
    atac = modality(path)
    with raise_if_dask_computes():
        counted = count_fragments_features(atac, GENES, stranded, 700, 50, count_reads)
    windows = windows_of(GENES, 700, 50, stranded is not False)
    assert_array_equal(dense(counted), loop_counts(fragments, CELLS, windows, count_reads))
    assert list(counted.obs_names) == CELLS
    assert list(counted.var_names) == list(GENES.index)
    assert counted.X.dtype == (np.int64 if count_reads else np.int32)
    X = counted.X.to_memory()
    assert X.has_canonical_format
    assert np.all(X.data > 0)


TABLES = st.lists(
    st.tuples(st.sampled_from(["a", "b", "c1"]), st.integers(0, 60), st.integers(0, 40)),
    min_size=1,
    max_size=12,
)
LISTS = st.lists(
    st.tuples(
        st.sampled_from(["b", "a", "c1", "c"]),
        st.integers(0, 80),
        st.integers(0, 20),
        st.sampled_from(["x", "y", "xy", "z"]),
        st.integers(0, 3),
    ),
    max_size=40,
)


@given(
    rows=LISTS,
    table=TABLES,
    strands=st.lists(st.sampled_from(["+", "-", "."]), min_size=12, max_size=12),
    up=st.integers(0, 15),
    down=st.integers(0, 15),
    block=st.integers(1, 200),
    overlaps=st.integers(1, 30),
    comments=st.booleans(),
)
@hypothesis_settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_count__any_features_fragments_and_blocks(
    tmp_path: Path,
    rows: list[Any],
    table: list[Any],
    strands: list[str],
    up: int,
    down: int,
    block: int,
    overlaps: int,
    comments: bool,
) -> None:
    """In whatever order fragments come; one that is known is always there."""
    fragments = [
        Fragment("a", 1, 2, "x", 1),
        *(Fragment(c, s, s + n, b, k) for c, s, n, b, k in rows),
    ]
    genes = pd.DataFrame(
        {
            "Chromosome": ["a", *(chrom for chrom, _, _ in table)],
            "Start": [7, *(start for _, start, _ in table)],
            "End": [70, *(start + size for _, start, size in table)],
            "Strand": ["+", *strands[: len(table)]],
        }
    )
    text = text_of(fragments)
    if comments:
        text = text.replace(b"\n", b"\n#\tc\n")[:-1]
    path = written(tmp_path / "f.tsv.gz", text)
    cells = ["x", "xy", "none"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reader, "BLOCK_BYTES", block)
        patch.setattr(fragment_counts, "RUN_OVERLAPS", overlaps)
        patch.setattr(fragment_counts, "MAX_GROUPS", 2)
        counted = count_fragments_features(modality(path, cells), genes, True, up, down, True)
    expected = loop_counts(fragments, cells, windows_of(genes, up, down, True), reads=True)
    assert_array_equal(dense(counted), expected)


def test_count__merges_groups_of_cells_apart(
    path: Path, fragments: list[Fragment], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fragment_counts, "RUN_OVERLAPS", 64)
    monkeypatch.setattr(fragment_counts, "MAX_GROUPS", 3)
    monkeypatch.setattr(fragment_counts, "working_bytes", lambda limit: 200 * 100)
    monkeypatch.setattr(reader, "BLOCK_BYTES", 512)
    counted = count_fragments_features(modality(path), GENES, False, 0)
    windows = windows_of(GENES, 0, 0, False)
    assert_array_equal(dense(counted), loop_counts(fragments, CELLS, windows, reads=False))


def test_count__many_layers_and_unsorted_fragments(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    """Nested features, and fragments in no order, over more of them than are passed one by one."""
    fragments = random_fragments(rng, 150)
    order = rng.permutation(len(fragments))
    fragments = [fragments[i] for i in order]
    start = np.concatenate([rng.integers(0, 30_000, 300), np.zeros(20, int), np.arange(20) * 100])
    end = start + np.concatenate([rng.integers(0, 300, 300), [30_000] * 20, 29_000 - start[320:]])
    genes = pd.DataFrame({"chr": "chr2", "START": start, "end": end, "x": 1})
    counted = count_fragments_features(
        modality(written(tmp_path / "f.tsv", text_of(fragments), "text")), genes, None, 0, 0
    )
    windows = [("chr2", s, e) for s, e in zip(start.tolist(), end.tolist(), strict=True)]
    assert_array_equal(dense(counted), loop_counts(fragments, CELLS, windows, reads=False))


def test_count__barcodes_of_a_column(path: Path, fragments: list[Fragment]) -> None:
    atac = modality(path)
    atac.obs["barcode"] = pd.Categorical(["bc0", None, "bc7", "bc2", "none"])
    counted = count_fragments_features(atac, GENES, None, 0, barcodes="barcode")
    known = ["bc0", "", "bc7", "bc2", "none"]
    windows = windows_of(GENES, 0, 0, True)
    assert_array_equal(dense(counted), loop_counts(fragments, known, windows, reads=False))
    atac.obs["barcode"] = ["bc0", "bc1", "bc1", "bc2", "bc3"]
    with pytest.raises(DuplicateNamesError, match="'bc1' twice"):
        count_fragments_features(atac, GENES, barcodes="barcode")
    with pytest.raises(MissingResultError, match="columns of obs are: barcode"):
        count_fragments_features(atac, GENES, barcodes="none")


def test_count__genes_of_rna(path: Path, fragments: list[Fragment]) -> None:
    var = pd.DataFrame(
        {
            "interval": ["chr1:5000-9000", "", "NA", "chr-2:1:100-200", "chr10:50-7000"],
            "gene_ids": list("vwxyz"),
        },
        index=list("abcde"),
    )
    rna = lazymu.Modality(np.ones((2, 5)), var=var)
    mdata = lazymu.MuData({"rna": rna, "atac": modality(path)})
    counted = count_fragments_features(mdata)
    assert list(counted.var_names) == ["a", "d", "e"]
    assert counted.var["Chromosome"].tolist() == ["chr1", "chr-2:1", "chr10"]
    assert counted.var["gene_id"].tolist() == ["v", "y", "z"]
    windows = [("chr1", 3000, 9000), ("chr-2:1", 0, 200), ("chr10", 0, 7000)]
    assert_array_equal(dense(counted), loop_counts(fragments, CELLS, windows, reads=False))
    with pytest.raises(ArgumentError, match="there is no RNA modality with var"):
        count_fragments_features(mdata["atac"])


def test_count__result_stands_alone(tmp_path: Path, path: Path) -> None:
    """It can be written, pickled and selected from, when the modality and the file are gone."""
    atac = modality(path)
    counted = count_fragments_features(atac, GENES)
    whole = dense(counted)
    atac.obs["x"] = 1
    path.unlink()
    assert "x" not in counted.obs
    assert_array_equal(dense(counted[["bc0", "bc5"], ["D", "A"]]), whole[[1, 2]][:, [3, 0]])
    again = pickle.loads(pickle.dumps(counted.X))
    assert_array_equal(again.to_memory().toarray(), whole)
    counted.write(tmp_path / "genes.h5ad")
    with quiet():
        assert_array_equal(ad.read_h5ad(tmp_path / "genes.h5ad").X.toarray(), whole)


def test_count__sums_beyond_int32(tmp_path: Path) -> None:
    rows = [Fragment("chr1", 1, 5, "bc0", 2**31 - 1)] * 3
    atac = modality(written(tmp_path / "f", text_of(rows)))
    counted = count_fragments_features(atac, GENES.iloc[[0]], None, 10**4, 0, True)
    assert dense(counted)[1, 0] == 3 * (2**31 - 1)


@pytest.mark.parametrize(
    ("features", "message"),
    [
        (GENES.drop(columns="Start"), "no column start"),
        (GENES.rename(columns={"Chromosome": "seqname"}), "no column chromosome or chrom or chr"),
        (GENES.assign(End=0), "it ends before it starts"),
        (GENES.assign(Start=-1), "whole numbers from 0 on"),
        (GENES.assign(Start="x"), "whole numbers from 0 on"),
        (GENES.assign(Start=1.5), "whole numbers from 0 on"),
        (GENES.assign(End=[np.nan, *GENES.End[1:]]), "'nan' at 'A'"),
        (
            GENES.assign(Chromosome="1"),
            "of '1', but none of its names is in the first 1,200 .*begins with 'chr2'",
        ),
        (GENES.iloc[:0], "it has no rows"),
        ("genes.bed", "it must be a table of features"),
    ],
)
def test_count__features_that_are_none(path: Path, features: Any, message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        count_fragments_features(modality(path), features)


def test_count__arguments(path: Path) -> None:
    with pytest.raises(ArgumentError, match="no column Strand"):
        count_fragments_features(modality(path), GENES.drop(columns="Strand"), True)
    with pytest.raises(ArgumentError, match="`extend_downstream` is -1"):
        count_fragments_features(modality(path), GENES, extend_downstream=-1)
    with pytest.raises(MissingResultError, match=r"run atac\.tl\.locate_fragments first"):
        count_fragments_features(modality(), GENES)
    with pytest.raises(ArgumentError, match=r"of 'A', but none of its names is in .*'bc"):
        count_fragments_features(modality(path, ["A", "B"]), GENES)
    atac = modality(path)
    with (
        lazymu.settings.override(memory_limit="300MB"),
        pytest.raises(MemoryLimitError, match=r"set lazymu\.settings\.memory_limit to at least"),
    ):
        count_fragments_features(atac, GENES)


# --- TSS ------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("any_blocks")
@pytest.mark.parametrize(("up", "down"), [(1000, 1000), (500, 500), (1500, 600), (700, 900)])
def test_tss_enrichment__equals_a_plain_loop(
    path: Path, fragments: list[Fragment], up: int, down: int
) -> None:
    atac = modality(path)
    profile = tss_enrichment(atac, GENES, up, down)
    tss = [
        (g.Chromosome, g.End - 1 if g.Strand == "-" else g.Start, g.Strand)
        for g in GENES.itertuples()
    ]
    piled = loop_pileup(fragments, CELLS, tss, up, down)
    assert_array_equal(profile["coverage"], piled.sum(axis=0))
    assert_array_equal(profile["TSS_position"], np.arange(-up, down + 1))
    flanks = np.concatenate([piled[:, :100], piled[:, -100:]], axis=1)
    assert_allclose(profile["enrichment"], piled.sum(0) / flanks.sum(0).mean(), rtol=1e-12)
    assert_allclose(atac.obs["tss_score"], scores_of(piled), rtol=1e-12)
    assert atac.obs["tss_score"]["bc9"] == 0


def test_tss_enrichment__no_flanks(tmp_path: Path) -> None:
    path = written(tmp_path / "f", text_of([Fragment("chr1", 5000, 5100, "bc0", 1)]))
    atac = modality(path)
    profile = tss_enrichment(atac, GENES)
    assert profile["coverage"].sum() == 100
    assert profile["enrichment"].isna().all()
    assert atac.obs["tss_score"].isna().all()


@pytest.mark.usefixtures("any_blocks")
def test_tss_enrichment__profiles_of_groups(path: Path, fragments: list[Fragment]) -> None:
    atac = modality(path)
    atac.obs["cluster"] = pd.Categorical(["10", "2", "2", None, "10"], categories=["2", "9", "10"])
    atac.obs["batch"] = [1, 1, 0, 0, 1]
    tss = [(g.Chromosome, g.Start, "+") for g in GENES.itertuples()]
    piled = loop_pileup(fragments, CELLS, tss, 600, 500)
    genes = GENES.drop(columns="Strand")
    found = tss_enrichment(atac, genes, 600, 500, groupby="cluster")
    assert list(found.columns) == ["cluster", "TSS_position", "coverage", "enrichment"]
    assert found["cluster"].unique().tolist() == ["2", "10"]
    expected = {"2": piled[[1, 2]].sum(axis=0), "10": piled[[0, 4]].sum(axis=0)}
    for name, own in found.groupby("cluster", observed=True):
        assert_array_equal(own["coverage"], expected[name])
        assert_array_equal(own["TSS_position"], np.arange(-600, 501))
        flanks = np.concatenate([expected[name][:100], expected[name][-100:]])
        assert_allclose(own["enrichment"], expected[name] / flanks.mean(), rtol=1e-12)
    assert_allclose(atac.obs["tss_score"], scores_of(piled), rtol=1e-12)
    series = atac.obs["batch"].iloc[::-1].rename("lane")
    found = tss_enrichment(atac, genes, 600, 500, groupby=["cluster", series])
    labels = found[["cluster", "lane"]].drop_duplicates()
    assert labels.to_numpy().tolist() == [["2", "0"], ["2", "1"], ["10", "1"]]
    both = found["coverage"].to_numpy().reshape(3, -1)
    assert_array_equal(both, [piled[2], piled[1], piled[[0, 4]].sum(axis=0)])


def test_tss_enrichment__groups_of_the_joint_axis_and_none(path: Path) -> None:
    mdata = lazymu.MuData({"atac": modality(path)})
    mdata.obs["leiden"] = list("aabbb")
    own = tss_enrichment(mdata, GENES, groupby="leiden")
    whole = tss_enrichment(mdata, GENES)
    both = own["coverage"].to_numpy().reshape(2, -1).sum(axis=0)
    assert_array_equal(both, whole["coverage"])
    mdata.obs["leiden"] = np.nan
    assert len(tss_enrichment(mdata, GENES, groupby="leiden")) == 0
    with pytest.raises(MissingResultError, match="of the joint obs: leiden"):
        tss_enrichment(mdata, GENES, groupby="gone")
    with pytest.raises(ArgumentError, match="`groupby` is empty"):
        tss_enrichment(mdata, GENES, groupby=[])


def test_tss_enrichment__profiles_that_do_not_fit(path: Path) -> None:
    cells = [*CELLS, *(f"x{i}" for i in range(20_000))]
    atac = modality(path, cells)
    atac.obs["own"] = cells
    with (
        lazymu.settings.override(memory_limit="1.5GB"),
        pytest.raises(MemoryLimitError, match="for these cells and features"),
    ):
        tss_enrichment(atac, GENES, groupby="own")


def test_tss_enrichment__draws_sites_by_seed(path: Path, fragments: list[Fragment]) -> None:
    atac = modality(path)
    assert tss_enrichment(atac, GENES, n_tss=3, random_state=5, return_tss=False) is None
    drawn = GENES.sample(3, random_state=5)
    one = atac.obs["tss_score"].copy()
    tss_enrichment(atac, drawn)
    assert_array_equal(atac.obs["tss_score"], one)


def test_tss_enrichment__arguments(path: Path) -> None:
    atac = modality(path)
    with pytest.raises(ArgumentError, match="1001 in the middle"):
        tss_enrichment(atac, GENES, 499, 500)
    with pytest.raises(ArgumentError, match="`extend_upstream` is -5"):
        tss_enrichment(atac, GENES, -5)
    with pytest.raises(ArgumentError, match="`n_tss` is 0"):
        tss_enrichment(atac, GENES, n_tss=0)
    with pytest.raises(ArgumentError, match="there is no RNA modality"):
        tss_enrichment(atac)
    with (
        lazymu.settings.override(memory_limit="300MB"),
        pytest.raises(MemoryLimitError, match="takes"),
    ):
        tss_enrichment(atac, GENES)


# --- nucleosomes ----------------------------------------------------------------------------------


@pytest.mark.usefixtures("any_blocks")
@pytest.mark.parametrize("n", [None, 7, 500.0, 10**9])
@pytest.mark.parametrize("bounds", [(147, 294), (60, 400)])
def test_nucleosome_signal__equals_a_plain_loop(
    path: Path, fragments: list[Fragment], n: float | None, bounds: tuple[int, int]
) -> None:
    atac = modality(path)
    nucleosome_signal(atac, n, *bounds)
    expected = []
    for cell in CELLS:
        own = [f for f in fragments[: None if n is None else int(n)] if f.barcode == cell]
        free = sum(f.end - f.start < bounds[0] for f in own)
        mono = sum(bounds[0] <= f.end - f.start < bounds[1] for f in own)
        expected.append(mono / free if free else mono + 1)
    assert_allclose(atac.obs["nucleosome_signal"], expected, rtol=1e-15)


def test_nucleosome_signal__arguments(path: Path) -> None:
    for bounds in [(294, 147), (0, 5), (7, 7)]:
        with pytest.raises(ArgumentError, match="mononuleosomal_upper_bound"):
            nucleosome_signal(modality(path), None, *bounds)
    with pytest.raises(ArgumentError, match="`n` is 0"):
        nucleosome_signal(modality(path), 0)
    for n in (None, 5):
        with pytest.raises(ArgumentError, match="name a column of obs"):
            nucleosome_signal(modality(path, ["A"]), n)
    with (
        lazymu.settings.override(memory_limit="100MB"),
        pytest.raises(MemoryLimitError, match="takes"),
    ):
        nucleosome_signal(modality(path))


def test_sweep__carriage_returns_and_no_last_newline(
    tmp_path: Path, fragments: list[Fragment]
) -> None:
    plain = modality(written(tmp_path / "a", text_of(fragments)))
    other = modality(written(tmp_path / "b", text_of(fragments).replace(b"\n", b"\r\n")[:-2]))
    nucleosome_signal(plain)
    nucleosome_signal(other)
    assert_array_equal(plain.obs["nucleosome_signal"], other.obs["nucleosome_signal"])


SWEEPS: dict[str, Any] = {
    "nucleosome_signal": (nucleosome_signal, 0),
    "tss_enrichment": (lambda atac: tss_enrichment(atac, GENES), 0),
    # Zarr holds a chunk of 2^20 values of two arrays, and what is made of it.
    "count": (lambda atac: count_fragments_features(atac, GENES), 40 << 20),
}


@pytest.mark.parametrize("kind", ["gzip", "text"])
@pytest.mark.parametrize("name", SWEEPS)
def test_sweeps__memory_is_bounded(
    tmp_path: Path,
    fragments: list[Fragment],
    kind: str,
    name: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What is held at the same time is what is planned for, in files of 12 and 48 blocks."""
    n_overlaps = 1 << 14
    monkeypatch.setattr(reader, "BLOCK_BYTES", 1 << 18)
    monkeypatch.setattr(fragment_counts, "RUN_OVERLAPS", n_overlaps)
    monkeypatch.setattr(tss_pileup, "RUN_OVERLAPS", n_overlaps)
    sweep, more = SWEEPS[name]
    planned = reader.BYTES_PER_TEXT * reader.BLOCK_BYTES
    planned += fragment_counts.BYTES_PER_OVERLAP * n_overlaps
    for n in (100, 400):
        atac = modality(written(tmp_path / "f", text_of(fragments) * n, kind))
        sweep(atac)  # compiles
        tracemalloc.start()
        sweep(atac)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert 2 * reader.BLOCK_BYTES < peak < planned + more


# --- muon and real data ---------------------------------------------------------------------------


@pytest.fixture
def pysam(monkeypatch: pytest.MonkeyPatch) -> None:
    try:
        import pysam  # noqa: F401
    except ImportError:
        monkeypatch.setitem(sys.modules, "pysam", stand_in_for_pysam())


def for_muon(path: Path, cells: list[str] = CELLS) -> ad.AnnData:
    """Return cells with a located file, whose index pysam itself would need."""
    if "stand_in" not in getattr(sys.modules["pysam"].asBed, "__qualname__", ""):
        path = Path(sys.modules["pysam"].tabix_index(str(path), preset="bed", force=True))
    adata = ad.AnnData(np.ones((len(cells), 2)), obs=pd.DataFrame(index=cells))
    muon.atac.tl.locate_fragments(adata, str(path))
    return adata


@pytest.mark.usefixtures("pysam")
@pytest.mark.parametrize("count_reads", [True, False])
def test_count__equals_muon(path: Path, count_reads: bool) -> None:
    genes = GENES.drop(index="F").drop(columns="Strand")  # muon 0.1.9 takes the wrong column of it
    genes = genes.assign(Start=genes.Start + 3000, End=genes.End + 3000)  # it fetches none below 0
    with quiet():
        theirs = muon.atac.tl.count_fragments_features(
            for_muon(path), genes, extend_upstream=2000, count_reads=count_reads
        )
    ours = count_fragments_features(modality(path), genes, count_reads=count_reads)
    assert_array_equal(dense(ours), theirs.X.toarray())
    assert list(ours.var_names) == list(theirs.var_names)
    assert_array_equal(ours.var["Start"], theirs.var["Start"])


@pytest.mark.usefixtures("pysam")
def test_tss_enrichment__equals_muon(tmp_path: Path, fragments: list[Fragment]) -> None:
    """But for fragments that begin at a window's last base, which muon does not fetch."""
    genes = GENES.drop(columns="Strand")
    lasts = {(g.Chromosome, g.Start + 1000) for g in genes.itertuples()}
    kept = [f for f in fragments if (f.chrom, f.start) not in lasts]
    path = written(tmp_path / "f.tsv.gz", text_of(kept))
    genes = genes.drop(index="F")
    adata, atac = for_muon(path), modality(path)
    with quiet():
        theirs = muon.atac.tl.tss_enrichment(adata, genes, n_tss=4, random_state=1)
    profile = tss_enrichment(atac, genes, n_tss=4, random_state=1)
    assert_allclose(atac.obs["tss_score"], adata.obs["tss_score"], rtol=1e-12)
    assert_array_equal(profile["TSS_position"], theirs.var["TSS_position"])


@pytest.mark.usefixtures("pysam")
def test_tss_enrichment__profiles_are_muons_summed_by_group(
    tmp_path: Path, fragments: list[Fragment]
) -> None:
    genes = GENES.drop(columns="Strand").drop(index="F")
    lasts = {(g.Chromosome, g.Start + 1000) for g in genes.itertuples()}
    kept = [f for f in fragments if (f.chrom, f.start) not in lasts]
    path = written(tmp_path / "f.tsv.gz", text_of(kept))
    adata, atac = for_muon(path), modality(path)
    atac.obs["group"] = adata.obs["group"] = list("abbab")
    with quiet():
        piled = muon.atac.tl._tss_pileup(adata, genes)
    profile = tss_enrichment(atac, genes, groupby="group")
    expected = pd.DataFrame(np.asarray(piled.X)).groupby(adata.obs["group"].to_numpy()).sum()
    assert_array_equal(profile["coverage"], expected.to_numpy().ravel())
    ax = lazymu.atac.pl.tss_enrichment(profile, color="group", show=False)
    for line, own in zip(ax.lines, expected.to_numpy(), strict=True):
        flank = np.concatenate([own[:100], own[-100:]]).mean()
        assert_allclose(line.get_ydata(), own / flank, rtol=1e-12)


# --- progress -------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["bgzf", "gzip", "text"])
def test_sweep__tells_how_much_of_the_file_was_read(
    tmp_path: Path, fragments: list[Fragment], kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader, "BLOCK_BYTES", 4000)
    path = written(tmp_path / "f", text_of(fragments), kind)
    told: list[tuple[str, int]] = []
    atac = modality(path)

    def watch(tick: Tick) -> None:
        assert (tick.n_blocks, tick.n_values) == (None, path.stat().st_size)
        told.append((tick.label, tick.done_values))

    with watching(watch):
        tss_enrichment(atac, GENES)
        nucleosome_signal(atac)
        count_fragments_features(atac, GENES)
    for label in ("TSS enrichment", "nucleosome signal", "counting fragments"):
        done = [n for name, n in told if name == label]
        assert done[0] == 0
        assert done == sorted(done)
        assert done[-1] == path.stat().st_size
    assert len(told) > 20


def test_sweep__tells_no_more_where_it_ends_early(
    tmp_path: Path, fragments: list[Fragment], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader, "BLOCK_BYTES", 1000)
    path = written(tmp_path / "f", text_of(fragments), "text")
    told: list[int] = []
    with watching(lambda tick: told.append(tick.done_values)):
        nucleosome_signal(modality(path), n=100)
    assert 0 < told[-1] < path.stat().st_size
    assert not progress._running


def test_sweep__draws_a_bar_where_asked_for(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    atac = modality(path)
    for shown in (None, False):
        with lazymu.settings.override(progress=shown):
            nucleosome_signal(atac)
    assert capsys.readouterr().err == ""
    with lazymu.settings.override(progress=True):
        nucleosome_signal(atac)
    drawn = capsys.readouterr().err
    assert drawn.startswith("\rnucleosome signal        [                        ] 0 of 0 MB")
    assert f"[{'#' * 24}] 0 of 0 MB" in drawn
    assert "MB/s" in drawn
    assert drawn.endswith("\n")


@pytest.mark.usefixtures("pysam")
@pytest.mark.parametrize("n", [None, 300])
def test_nucleosome_signal__equals_muon(
    path: Path, fragments: list[Fragment], n: int | None
) -> None:
    """muon stops at an error where a file has fewer fragments than it would read."""
    adata, atac = for_muon(path), modality(path)
    with quiet():
        muon.atac.tl.nucleosome_signal(adata, n or len(fragments))
    nucleosome_signal(atac, n)
    assert_array_equal(atac.obs["nucleosome_signal"], adata.obs["nucleosome_signal"])


def test_sweeps__real_file(data_dir: Path) -> None:
    path = data_dir / "tiny_10x" / "tenxio_pbmc_3k_atac_ex_fragments.tsv.gz"
    with gzip.open(path, "rt") as file:
        rows = [line.split() for line in file if not line.startswith("#")]
    fragments = [Fragment(c, int(s), int(e), b, int(k)) for c, s, e, b, k in rows]
    cells = ["ATTGCGCCACCACAAC-1", "CGTTGCGTTAGAGCC-1", "AAACCGCGTGAGGTAG-1", fragments[3].barcode]
    genes = pd.DataFrame({"chrom": "chr1", "start": [12_100, 10_170], "end": [12_500, 10_171]})
    atac = modality(path, cells)
    counted = count_fragments_features(atac, genes, count_reads=True)
    windows = [("chr1", 10_100, 12_500), ("chr1", 8_170, 10_171)]
    assert_array_equal(dense(counted), loop_counts(fragments, cells, windows, reads=True))
    nucleosome_signal(atac)
    lengths = [[f.end - f.start for f in fragments if f.barcode == cell] for cell in cells]
    assert lengths == [[29], [], [29], [471]]
    assert atac.obs["nucleosome_signal"].tolist() == [0, 1, 0, 1]
    tss_enrichment(atac, genes.iloc[:1].assign(start=11_050))
    piled = loop_pileup(fragments, cells, [("chr1", 11_050, "+")], 1000, 1000)
    assert_allclose(atac.obs["tss_score"], scores_of(piled), rtol=1e-12)
    assert atac.obs["tss_score"].iloc[3] > 0.03
    assert len(fragments) == 10
