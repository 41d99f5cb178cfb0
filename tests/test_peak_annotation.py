"""Genes of peaks: Cell Ranger's tables against muon, computed ones against plain loops."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
import pytest

import lazymu
from lazymu.atac.tl import add_peak_annotation, add_peak_annotation_gene_names, annotate_peaks
from lazymu.errors import ArgumentError, DamagedFileError, MissingFileError, MissingResultError
from tests.counting import raise_if_dask_computes
from tests.matrix_cases import quiet

with quiet():
    mu = pytest.importorskip("muon")

PEAK = "peak\tgene\tdistance\tpeak_type\n"
PLACE = "chrom\tstart\tend\tgene\tdistance\tpeak_type\n"
VERSIONS = {
    "lists": PEAK + "chr1_1_5\tA;B\t0;-50\tpromoter;distal\nchr1_9_20\tA\t7\tdistal\n",
    "single": PEAK + "chr1_1_5\tA\t0\tpromoter\nchr1_9_20\tA\t7\tdistal\n",
    "colons": PEAK + "chr1:1-5\tA\t0\tpromoter\nchr1:9-20\t\t\tintergenic\n",
    "places": PLACE + "chr1\t1\t5\tA\t0\tpromoter\nchr1\t1\t5\tB\t-50\tdistal\n",
    "places with none": PLACE + "chr1\t1\t5\tA\t0\tpromoter\nchr2\t1\t5\t\t\tintergenic\n",
}


def modality(peaks: list[str]) -> lazymu.Modality:
    counts = np.ones((2, len(peaks)), dtype=np.uint8)
    return lazymu.Modality(counts, var=pd.DataFrame(index=peaks))


def table_of(mod: lazymu.Modality) -> pd.DataFrame:
    return mod.uns["atac"]["peak_annotation"]


def by_muon(annotation: Any) -> pd.DataFrame:
    with quiet():
        return mu.atac.tl.add_peak_annotation(
            ad.AnnData(np.ones((2, 1))), annotation, return_annotation=True
        )


# --- Cell Ranger's tables ------------------------------------------------------------------------


@pytest.mark.parametrize("text", VERSIONS.values(), ids=VERSIONS)
@pytest.mark.parametrize("as_frame", [False, True])
def test_add_peak_annotation__equals_muon(tmp_path: Path, text: str, as_frame: bool) -> None:
    path = tmp_path / "atac_peak_annotation.tsv"
    path.write_text(text)
    annotation = pd.read_csv(path, sep="\t") if as_frame else path
    before = annotation.copy() if as_frame else None
    mod = modality(["chr1:1-5"])
    with raise_if_dask_computes():
        found = add_peak_annotation(mod, annotation, return_annotation=True)
    pd.testing.assert_frame_equal(found, by_muon(path))
    pd.testing.assert_frame_equal(table_of(mod), found)
    if as_frame:
        pd.testing.assert_frame_equal(annotation, before)
    assert add_peak_annotation(mod, annotation) is None


def test_add_peak_annotation__lists_beside_peaks_without_genes(tmp_path: Path) -> None:
    """muon raises TypeError."""
    path = tmp_path / "annotation.csv"
    path.write_text(
        "peak,gene,distance,peak_type\nchr1_1_5,A;B,0;-50,promoter;distal\n"
        "chrUn_KI270742v1_1_5,,,intergenic\n"
    )
    mod = modality(["chr1:1-5"])
    add_peak_annotation(lazymu.MuData({"atac": mod}), str(path), sep=",")
    table = table_of(mod)
    assert table.index.tolist() == ["A", "B", ""]
    assert table["peak"].tolist() == ["chr1:1-5", "chr1:1-5", "chrUn_KI270742v1:1-5"]
    assert table["distance"].isna().tolist() == [False, False, True]


def test_add_peak_annotation__keeps_what_else_is_there(tmp_path: Path) -> None:
    mod = modality(["chr1:1-5"])
    mod.uns["atac"] = {"other": 1}
    add_peak_annotation(mod, pd.DataFrame(columns=["peak", "gene", "distance", "peak_type"]))
    assert mod.uns["atac"]["other"] == 1
    assert len(table_of(mod)) == 0


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("peak\tgene\n", ArgumentError, "no column 'distance'"),
        ("gene\tdistance\tpeak_type\n", ArgumentError, "no column 'chrom'"),
        (PEAK + "a\tA\t0\tx\nb\tA;B\t0\tx\n", DamagedFileError, "line 3.*as many entries"),
        (PEAK + "a\tA\t0\tx\nb\tA\tzero\tx\n", DamagedFileError, "line 3.*whole number"),
        (PEAK + "a\tA\t0.5\tx\n", DamagedFileError, "line 2.*whole number"),
        (PEAK + "a\tA\t0\tx\t1\t2\t3\nb\tA\t0\n\t\t\t\t\t\t\t\t\n", DamagedFileError, "no table"),
        ("", DamagedFileError, "no table"),
    ],
)
def test_add_peak_annotation__says_what_is_wrong(
    tmp_path: Path, text: str, error: type[Exception], message: str
) -> None:
    path = tmp_path / "annotation.tsv"
    path.write_text(text)
    with pytest.raises(error, match=message) as raised:
        add_peak_annotation(modality(["chr1:1-5"]), path)
    assert str(path) in str(raised.value)


def test_add_peak_annotation__missing_file(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match="no such file"):
        add_peak_annotation(modality(["chr1:1-5"]), tmp_path / "absent.tsv")


def as_cell_ranger(table: pd.DataFrame) -> str:
    """Return a table of genes and peaks as Cell Ranger 1.2 writes one: a line for each peak."""
    table = table.reset_index().astype(str)
    lines = table.groupby("peak", sort=False)[["gene", "distance", "peak_type"]].agg(";".join)
    lines.index = lines.index.str.replace("[:-]", "_", regex=True)
    return lines.reset_index().to_csv(sep="\t", index=False)


def test_add_peak_annotation__of_real_peaks_equals_muon(data_dir: Path, tmp_path: Path) -> None:
    """Ours of real peaks and genes, as Cell Ranger would write it; no table of its own is there."""
    path = data_dir / "multiome_pbmc40_10x" / "pbmc40_multiome.h5mu"
    mdata = lazymu.read(path)
    atac = mdata["atac"]
    atac.subset_var(np.arange(atac.n_vars) % 20 == 0)
    with raise_if_dask_computes():
        annotate_peaks(mdata, data_dir / "annotation_hg38" / "abc_CollapsedGeneBounds.hg38.bed")
        atac.var_names = atac.var["interval"]
        mdata["rna"].var["gene_ids"] = mdata["rna"].var_names
        own = table_of(atac)
        own["peak"] = own["peak"].str.replace("-", ":", n=1)
        tsv = tmp_path / "annotation.tsv"
        tsv.write_text(as_cell_ranger(own.assign(distance=own["distance"].fillna(0).astype(int))))
        found = add_peak_annotation(mdata, tsv, return_annotation=True)
        named = add_peak_annotation_gene_names(mdata, return_annotation=True)
    assert found is not None
    assert len(found) == len(own) > 5_000
    assert found.index.tolist() == own.index.tolist()
    adata = ad.AnnData(np.ones((2, 1)))
    with quiet():
        mu.atac.tl.add_peak_annotation(adata, tsv)
        pd.testing.assert_frame_equal(found, adata.uns["atac"]["peak_annotation"])
        mu.atac.tl.add_peak_annotation_gene_names(adata, mdata["rna"].var.copy())
    pd.testing.assert_frame_equal(named, adata.uns["atac"]["peak_annotation"])


# --- gene names ----------------------------------------------------------------------------------

NAMES = pd.DataFrame(
    {"gene_ids": ["E1", "E2", "E3"], "own": ["x", "y", "z"]}, index=["CD4", "CD8A", "CD8A"]
)
BY_ID = PEAK + "chr1:1-5\tE2\t0\tpromoter\nchr1:9-20\tE9\t7\tdistal\nchr1:1-5\tE1\t5\tdistal\n"
BY_NAME = BY_ID.replace("E2", "CD8A")
BY_NOTHING = BY_ID.replace("E2", "E8").replace("E1", "E7")


@pytest.mark.parametrize("text", [BY_ID, BY_NAME, BY_NOTHING, BY_NOTHING.replace("E7", "CD4")])
def test_add_peak_annotation_gene_names__equals_muon(tmp_path: Path, text: str) -> None:
    path = tmp_path / "annotation.tsv"
    path.write_text(text)
    adata, mod = ad.AnnData(np.ones((2, 1))), modality(["chr1:1-5"])
    with quiet():
        mu.atac.tl.add_peak_annotation(adata, path)
        mu.atac.tl.add_peak_annotation_gene_names(adata, NAMES)
    add_peak_annotation(mod, path)
    rna = lazymu.Modality(np.ones((2, 3)), var=NAMES)
    given = add_peak_annotation_gene_names(
        lazymu.MuData({"atac": mod, "rna": rna}), return_annotation=True
    )
    pd.testing.assert_frame_equal(given, adata.uns["atac"]["peak_annotation"])
    pd.testing.assert_frame_equal(table_of(mod), given)
    assert add_peak_annotation_gene_names(mod, NAMES) is None


def test_add_peak_annotation_gene_names__errors() -> None:
    mod = modality(["chr1:1-5"])
    with pytest.raises(
        MissingResultError, match=r"add_peak_annotation or atac\.tl\.annotate_peaks"
    ):
        add_peak_annotation_gene_names(mod, NAMES)
    add_peak_annotation(mod, pd.DataFrame(columns=["peak", "gene", "distance", "peak_type"]))
    with pytest.raises(ArgumentError, match="pass a table of them, or the MuData"):
        add_peak_annotation_gene_names(mod)
    with pytest.raises(MissingResultError, match="columns of gene_names are: gene_ids, own"):
        add_peak_annotation_gene_names(mod, NAMES, join_on="ids")


# --- computed from genes -------------------------------------------------------------------------

GTF = """\
chr1\t.\tgene\t10001\t20000\t.\t+\t.\tgene_id "P"; gene_name "PLUS";
chr1\t.\texon\t10001\t10200\t.\t+\t.\tgene_id "P"; gene_name "PLUS";
chr1\t.\texon\t19001\t20000\t.\t+\t.\tgene_id "P"; gene_name "PLUS";
chr1\t.\tgene\t30001\t40000\t.\t-\t.\tgene_id "M"; gene_name "MINUS";
chr1\t.\tgene\t12001\t12500\t.\t-\t.\tgene_id "I"; gene_name "INNER";
chr2\t.\tgene\t1001\t900000\t.\t+\t.\tgene_id "L"; gene_name "LONG";
chr2\t.\texon\t500001\t500100\t.\t+\t.\tgene_id "L"; gene_name "LONG";
"""
PLUS_TSS, MINUS_TSS, INNER_TSS = 10_000, 39_999, 12_499
EXPECTED = {
    # 1,000 bases before the TSS is the promoter's first base, from 0: 9,000.
    "chr1:8990-9001": [("PLUS", -1000, "promoter")],
    "chr1:8990-9000": [("PLUS", -1001, "distal")],
    # 100 bases after it, 10,100, is the promoter's last; the first exon reaches to 10,199.
    "chr1:10100-10110": [("PLUS", 100, "promoter")],
    "chr1:10101-10110": [("PLUS", 101, "exonic")],
    "chr1:10000-10001": [("PLUS", 0, "promoter")],
    "chr1:10190-10250": [("PLUS", 190, "exonic")],
    "chr1:10200-10250": [("PLUS", 200, "distal")],
    # On the other strand the promoter lies to the right, up to 40,999.
    "chr1:40999-41005": [("MINUS", -1000, "promoter")],
    "chr1:41000-41005": [("MINUS", -1001, "distal")],
    "chr1:39890-39900": [("MINUS", 100, "promoter")],
    "chr1:39890-39899": [("MINUS", 101, "distal")],
    # Within one gene, and at the promoter of another.
    "chr1:12400-12450": [("INNER", 50, "promoter"), ("PLUS", 0, "distal")],
    # As near to both: (12,499 + 39,999) / 2.
    "chr1:26249-26250": [("INNER", -13750, "distal"), ("MINUS", 13750, "distal")],
    "chr1:240000-240001": [("MINUS", -200_001, "intergenic")],
    "chr1:239999-240001": [("MINUS", -200_000, "distal")],
    "chr2:600000-600010": [("LONG", 0, "distal")],
    "chr2:500050-500110": [("LONG", 0, "exonic")],
    "chr3:1-5": [("", 0, "intergenic")],
}


def test_annotate_peaks__rules_at_their_borders(tmp_path: Path) -> None:
    path = tmp_path / "genes.gtf"
    path.write_text(GTF)
    mod = modality(list(EXPECTED))
    with raise_if_dask_computes():
        annotate_peaks(mod, path)
    table = table_of(mod).reset_index()
    found: dict[str, list[tuple[Any, ...]]] = {peak: [] for peak in EXPECTED}
    for row in table.itertuples():
        found[row.peak].append((row.gene, row.distance, row.peak_type))
    for peak, expected in EXPECTED.items():
        if expected[0][2] == "intergenic":
            ((name, distance, kind),) = found[peak]
            assert (name, kind) == ("", "intergenic"), peak
            assert distance is pd.NA
        else:
            assert sorted(found[peak]) == sorted(expected), peak
    assert list(table.columns) == ["gene", "peak", "distance", "peak_type"]
    assert table["peak"].drop_duplicates().tolist() == list(EXPECTED)


def test_annotate_peaks__several_tss_of_a_gene() -> None:
    genes = pd.DataFrame(
        {
            "chrom": ["1"] * 2,
            "start": [100, 5000],
            "end": [9000, 9000],
            "strand": ["+"] * 2,
            "gene_name": ["A", "B"],
        }
    )
    mod = lazymu.Modality(np.ones((1, 1)), var=pd.DataFrame({"interval": ["1:4900-5050"]}))
    annotate_peaks(mod, genes)
    assert table_of(mod)["peak"].tolist() == ["0", "0"]  # by name, found by interval
    assert table_of(mod).index.tolist() == ["B", "A"]
    assert table_of(mod)["peak_type"].tolist() == ["promoter", "distal"]


def test_annotate_peaks__published_example() -> None:
    """The peak of 10x Genomics' page that two TSS in the same place are 254 bases away from."""
    genes = pd.DataFrame(
        {
            "chrom": ["chr14", "chr14"],
            "start": [77_787_226, 77_741_298],
            "end": [77_797_939, 77_787_227],
            "strand": ["+", "-"],
            "gene_name": ["GSTZ1", "POMT2"],
        }
    )
    mod = modality(["chr14:77786487-77786973", "chr14:77787130-77787963"])
    annotate_peaks(mod, genes)
    rows = [tuple(row) for row in table_of(mod).reset_index().to_numpy()[:, [0, 2, 3]]]
    assert rows == [
        ("GSTZ1", -254, "promoter"),
        ("POMT2", 254, "distal"),
        ("GSTZ1", 0, "promoter"),
        ("POMT2", 0, "promoter"),
    ]


@pytest.mark.data
def test_annotate_peaks__real_peaks_and_genes_equal_loops(data_dir: Path) -> None:
    bed = pd.read_csv(
        data_dir / "multiome_profile_pbmc10k" / "pbmc_unsorted_3k_atac_peaks.bed",
        sep="\t",
        comment="#",
        header=None,
    )
    path = data_dir / "annotation_hg38" / "abc_CollapsedGeneBounds.hg38.bed"
    names = (bed[0] + ":" + bed[1].astype(str) + "-" + bed[2].astype(str)).tolist()
    mod = modality(names)
    annotate_peaks(mod, path)
    table = table_of(mod)
    assert set(table["peak"]) == set(names)
    shares = table["peak_type"].value_counts(normalize=True)
    assert shares["distal"] > 0.5
    assert 0.05 < shares["promoter"] < 0.4
    genes = pd.read_csv(path, sep="\t")
    genes["tss"] = np.where(genes["strand"] == "+", genes["start"], genes["end"] - 1)
    rng = np.random.default_rng(0)
    for at in rng.choice(len(names), 60, replace=False):
        chrom, start, end = bed.iloc[at, :3]
        near = genes[genes["#chr"] == chrom]
        sign = np.where(near["strand"] == "+", 1, -1)
        right, left = np.maximum(start - near["tss"], 0), np.maximum(near["tss"] - end + 1, 0)
        d = (right - left) * sign
        expected = set(near["name"][(d >= -1000) & (d <= 100)])
        rows = table[table["peak"] == names[at]]
        assert set(rows.index[rows["peak_type"] == "promoter"]) == expected
        expected |= set(near["name"][(d.abs() == d.abs().min()) & (d.abs() <= 200_000)])
        expected |= set(near["name"][(near["start"] < end) & (near["end"] > start)])
        assert set(rows.index) - {""} == expected


def test_annotate_peaks__round_trip(tmp_path: Path) -> None:
    mod = modality(["chr1:1-5", "chr2:1-5"])
    genes = pd.DataFrame(
        {"chr": ["chr1"], "start": [50], "end": [90], "strand": ["+"], "gene": ["A"]}
    )
    annotate_peaks(mod, genes)
    for name in ("x.h5ad", "x.zarr"):
        mod.write(tmp_path / name)
        back = table_of(lazymu.read(tmp_path / name))
        assert back.index.tolist() == ["A", ""]
        assert back["distance"].isna().tolist() == [False, True]
        assert back["distance"].iloc[0] == -46


def test_annotate_peaks__chromosomes_named_otherwise() -> None:
    genes = pd.DataFrame({"chr": ["1"], "start": [50], "end": [90], "strand": ["+"], "gene": ["A"]})
    with pytest.raises(ArgumentError, match=r"on 1, \.\.\., but peaks are on chr1, \.\.\., and no"):
        annotate_peaks(modality(["chr1:1-5"]), genes)
    with pytest.raises(ArgumentError, match=r"`var_names` is 'GAPDH' at position 1"):
        annotate_peaks(modality(["chr1:1-5", "GAPDH"]), genes)


def test_annotate_peaks__of_no_peaks_or_no_genes() -> None:
    genes = pd.DataFrame(
        {"chr": ["chr1"], "start": [50], "end": [90], "strand": ["+"], "gene": ["A"]}
    )
    none = modality([])
    annotate_peaks(none, genes)
    assert len(table_of(none)) == 0
    some = modality(["chr1:1-5"])
    annotate_peaks(some, genes.iloc[:0])
    assert table_of(some)["peak_type"].tolist() == ["intergenic"]
