"""Intervals, nearness and gene annotation, against plain loops and pandas."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from lazymu.errors import ArgumentError, DamagedFileError, MissingFileError, UnknownFormatError
from lazymu.genomics import as_genes, parse_intervals
from lazymu.genomics.genes import Genes
from lazymu.genomics.intervals import interval_names, offsets_of
from lazymu.genomics.pairs import (
    NONE,
    nearest_gaps,
    nearest_points,
    overlapping,
    points_within,
    signed_distance,
)

GTF = """\
#!genome-build GRCh38
chr1\thavana\tgene\t101\t1000\t.\t+\t.\tgene_id "G1"; gene_name "A";
chr1\thavana\ttranscript\t101\t1000\t.\t+\t.\tgene_id "G1"; transcript_id "T1"; gene_name "A"; \
tag "basic";
chr1\thavana\texon\t101\t200\t.\t+\t.\tgene_id "G1"; transcript_id "T1"; gene_name "A"; tag "basic";
chr1\thavana\ttranscript\t301\t900\t.\t+\t.\tgene_id "G1"; transcript_id "T2"; gene_name "A";
chr1\thavana\texon\t301\t900\t.\t+\t.\tgene_id "G1"; transcript_id "T2"; gene_name "A";
chr1\thavana\ttranscript\t151\t950\t.\t+\t.\tgene_id "G1"; transcript_id "T3"; tag "basic";
chr1\thavana\tCDS\t151\t950\t.\t+\t.\tanything
chr2\thavana\ttranscript\t51\t80\t.\t-\t.\tgene_id "G2"; transcript_id "T4";
chr2\thavana\ttranscript\t51\t90\t.\t-\t.\tgene_id "G2"; transcript_id "T5";
chr2\thavana\tgene\t11\t20\t.\t-\t.\tgene_id "G3"; gene_name "C";
"""


@pytest.fixture
def gtf(tmp_path: Path) -> Path:
    (tmp_path / "genes.gtf").write_text(GTF)
    return tmp_path / "genes.gtf"


# --- names of intervals --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "chrom", "start", "end"),
    [
        ("chr1:100-200", "chr1", 100, 200),
        ("chr1_100_200", "chr1", 100, 200),
        ("chr1-100-200", "chr1", 100, 200),
        ("1:0-1", "1", 0, 1),
        ("chrUn_KI270742v1:5-9", "chrUn_KI270742v1", 5, 9),
        ("chrUn_KI270742v1_5_9", "chrUn_KI270742v1", 5, 9),
        ("HLA-A*01:01-5-9", "HLA-A*01:01", 5, 9),
        ("chr1:4999999999-5000000000", "chr1", 4_999_999_999, 5_000_000_000),
    ],
)
def test_parse_intervals__reads_every_spelling(name: str, chrom: str, start: int, end: int) -> None:
    found = parse_intervals(["chr7:1-2", name], "var_names")
    assert (found.chrom[1], found.start[1], found.end[1]) == (chrom, start, end)
    assert parse_intervals(interval_names(found), "x").end.tolist() == found.end.tolist()


@pytest.mark.parametrize("name", ["GAPDH", "chr1", "chr1:5", "chr1:9-5", "chr1:5-5", "chr1:-5-9"])
def test_parse_intervals__names_the_first_that_is_none(name: str) -> None:
    names = ["chr1:1-5", "chr1-100-200", name, "FOO"]
    with pytest.raises(ArgumentError, match=rf"`var_names` is '{name}' at position 2"):
        parse_intervals(names, "var_names")


def test_parse_intervals__of_nothing() -> None:
    assert parse_intervals(pd.Index([], dtype=str), "var_names").start.tolist() == []


# --- nearness against plain loops ----------------------------------------------------------------

POSITIONS = st.integers(0, 60)
INTERVALS = st.lists(
    st.tuples(st.sampled_from("ab"), POSITIONS, st.integers(1, 25)), min_size=0, max_size=12
)
POINTS = st.lists(st.tuples(st.sampled_from("ab"), POSITIONS), min_size=0, max_size=12)


def arrays_of(entries: list[tuple[str, int, int]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    chrom = np.array([entry[0] for entry in entries], dtype=object)
    start = np.array([entry[1] for entry in entries], dtype=np.int64)
    return chrom, start, start + np.array([entry[2] for entry in entries], dtype=np.int64)


def gap(start: int, end: int, point: int) -> int:
    """Distance by the bases themselves."""
    return min(abs(base - point) for base in range(start, end))


@given(INTERVALS, POINTS, st.integers(0, 30))
@settings(deadline=None)
def test_nearest_points__equals_a_loop(
    entries: list[tuple[str, int, int]], points: list[tuple[str, int]], reach: int
) -> None:
    chrom, start, end = arrays_of(entries)
    points = sorted(points)
    where, place = arrays_of([(c, p, 1) for c, p in points])[:2]
    of_intervals, of_points = offsets_of(chrom, where)
    # As chromosomes are numbered by first appearance, points have to be sorted anew.
    order = np.argsort(place + of_points, kind="stable")
    sites = (place + of_points)[order]
    starts, ends = start + of_intervals, end + of_intervals
    nearest, within, gaps = set(), set(), []
    for i in range(len(entries)):
        at = {k: gap(start[i], end[i], p) for k, (c, p) in enumerate(points) if c == chrom[i]}
        gaps.append(min(at.values(), default=int(NONE)))
        within |= {(i, k) for k, d in at.items() if d <= reach}
        nearest |= {(i, k) for k, d in at.items() if d == gaps[-1] and d <= reach}
    assert nearest_gaps(starts, ends, sites).tolist() == gaps
    for function, expected in ((nearest_points, nearest), (points_within, within)):
        found = function(starts, ends, sites, reach)
        pairs = list(zip(found.first.tolist(), order[found.second].tolist(), strict=True))
        assert len(pairs) == len(expected)
        assert set(pairs) == expected


@given(INTERVALS, INTERVALS)
@settings(deadline=None)
def test_overlapping__equals_a_loop(
    entries: list[tuple[str, int, int]], others: list[tuple[str, int, int]]
) -> None:
    chrom, start, end = arrays_of(entries)
    chrom_b, start_b, end_b = arrays_of(others)
    a, b = offsets_of(chrom, chrom_b)
    found = overlapping(start + a, end + a, start_b + b, end_b + b)
    expected = [
        (i, j)
        for i in range(len(entries))
        for j in range(len(others))
        if chrom[i] == chrom_b[j]
        and set(range(start[i], end[i])) & set(range(start_b[j], end_b[j]))
    ]
    assert list(zip(found.first.tolist(), found.second.tolist(), strict=True)) == expected


@given(POSITIONS, st.integers(1, 20), POSITIONS, st.sampled_from([1, -1]))
def test_signed_distance__equals_bases(start: int, length: int, point: int, strand: int) -> None:
    one = np.array([start]), np.array([start + length]), np.array([point]), np.array([strand])
    found = int(signed_distance(*one)[0])
    assert abs(found) == gap(start, start + length, point)
    assert np.sign(found) == (0 if found == 0 else np.sign(start - point) * strand)


# --- GTF -----------------------------------------------------------------------------------------


def gene(genes: Genes, name: str) -> tuple[str, int, int, int, list[int]]:
    (at,) = np.flatnonzero(genes.name == name)
    sites = genes.sites.position[genes.sites.gene == at].tolist()
    body = genes.body
    return body.chrom[at], int(body.start[at]), int(body.end[at]), int(genes.strand[at]), sites


def test_gtf__positions_from_0_and_tss_of_basic_transcripts(gtf: Path) -> None:
    genes = as_genes(gtf, exons=True)
    assert gene(genes, "A") == ("chr1", 100, 1000, 1, [100, 150])
    assert gene(genes, "G2") == ("chr2", 50, 90, -1, [79, 89])  # none is basic
    assert gene(genes, "C") == ("chr2", 10, 20, -1, [19])  # no transcripts
    exons = set(zip(genes.exons.start.tolist(), genes.exons.end.tolist(), strict=True))
    assert exons == {(100, 200), (300, 900)}
    assert genes.gene_id.tolist() == ["G1", "G2", "G3"]
    assert len(as_genes(gtf).exons.gene) == 0


@pytest.mark.parametrize("suffix", [".gz", ".bgz"])
def test_gtf__compressed_in_several_members(gtf: Path, suffix: str) -> None:
    half = len(GTF) // 2
    packed = gtf.with_name(f"genes.gtf{suffix}")
    packed.write_bytes(b"".join(gzip.compress(p.encode()) for p in (GTF[:half], GTF[half:], "")))
    assert_array_equal(as_genes(packed).body.end, as_genes(gtf).body.end)


def test_gtf__take_keeps_what_belongs_to_genes(gtf: Path) -> None:
    taken = as_genes(gtf, exons=True).take(np.array([2, 0]))
    assert gene(taken, "C")[-1] == [19]
    assert gene(taken, "A")[-1] == [100, 150]
    assert set(taken.exons.gene.tolist()) == {1}


FIELD = "chr1\th\tgene\t5\t9\t.\t+\t.\t"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("chr1\tgene", "line 2.*9 fields separated by tabs, and here are 2"),
        (FIELD + "gene_id=G1;", 'line 2.*has no gene_id "..."'),
        (FIELD + '"gene_id ""G1"";"', 'line 2.*has no gene_id "..."'),
        (FIELD.replace("5", "0") + 'gene_id "G";', "line 2.*from 1.*here are '0' and '9'"),
        (FIELD.replace("5", "x") + 'gene_id "G";', "line 2.*here are 'x' and '9'"),
        (FIELD.replace("9", "4") + 'gene_id "G";', "line 2.*start not above the end"),
        (FIELD.replace("+", ".") + 'gene_id "G";', "line 2.*strand is . or -, and here is '.'"),
        ("x" * (1 << 20), "line 2.*fewer than 1,048,576 bytes"),
    ],
)
def test_gtf__names_the_line_that_is_wrong(tmp_path: Path, line: str, message: str) -> None:
    path = tmp_path / "bad.gtf"
    path.write_text("#comment\n" + line + "\n")
    with pytest.raises(DamagedFileError, match=message) as error:
        as_genes(path)
    assert str(path) in str(error.value)
    assert len(str(error.value)) < 600


def test_gtf__cut_short_or_no_text(tmp_path: Path, gtf: Path) -> None:
    cut = tmp_path / "cut.gtf.gz"
    cut.write_bytes(gzip.compress(GTF.encode())[:-20])
    with pytest.raises(DamagedFileError, match="cut short or broken"):
        as_genes(cut)
    gtf.write_bytes(b"chr1\t\xff\xfe\n")
    with pytest.raises(DamagedFileError, match=r"line 1, but a line of text was expected"):
        as_genes(gtf)
    gtf.write_text("#nothing\n")
    with pytest.raises(DamagedFileError, match="no genes or transcripts, only no records"):
        as_genes(gtf)


@pytest.mark.data
def test_gtf__real_files(data_dir: Path) -> None:
    folder = data_dir / "annotation_hg38"
    genes = as_genes(folder / "cropped_gencode.v41.gtf", exons=True)
    assert gene(genes, "DDX11L1") == ("chr1", 11868, 14409, 1, [11868])
    assert genes.exons.start.tolist() == [11868, 12612, 13220]
    with pytest.raises(DamagedFileError, match=r"line 6.*gene_id"):
        as_genes(folder / "cropped_corrupted_gencode.v41.gtf")
    with pytest.raises(DamagedFileError, match=r"line 1 .*gene_id"):
        as_genes(folder / "scframework_hg38_genes_part.gtf")
    with pytest.raises(UnknownFormatError, match="gff3"):
        as_genes(folder / "cropped_gencode.v41.gff3")


# --- tables --------------------------------------------------------------------------------------


@pytest.mark.data
def test_bed__real_file_equals_pandas(data_dir: Path) -> None:
    path = data_dir / "annotation_hg38" / "abc_CollapsedGeneBounds.hg38.bed"
    genes, table = as_genes(path), pd.read_csv(path, sep="\t")
    assert len(genes) == len(table) == 20_666
    assert_array_equal(genes.body.start, table["start"])
    assert_array_equal(genes.gene_id, table["Ensembl_ID"])
    assert_array_equal(genes.strand, np.where(table["strand"] == "+", 1, -1))
    expected = np.where(table["strand"] == "+", table["start"], table["end"] - 1)
    assert_array_equal(genes.sites.position, expected)
    assert_array_equal(genes.tss, expected)
    same = as_genes(table.rename(columns={"#chr": "chrom"}))
    assert_array_equal(same.body.end, genes.body.end)


def test_bed__of_six_columns(tmp_path: Path) -> None:
    path = tmp_path / "genes.bed"
    path.write_text("track name=x\nchr1\t5\t9\tA\t0\t+\nchr1\t5\t9\tB\t0\t-\t5\t9\n\n")
    genes = as_genes(str(path))
    assert gene(genes, "A") == ("chr1", 5, 9, 1, [5])
    assert gene(genes, "B") == ("chr1", 5, 9, -1, [8])


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("chr1\t5\t9", "line 2.*needs 6 fields separated by tabs, and here are 3"),
        ("chr1\t9\t5\tA\t0\t+", "line 2.*start below the end, and here are '9' and '5'"),
        ("chr1\t5\t9\tA\t0\t.", "line 2.*here is '.'"),
    ],
)
def test_bed__names_the_line_that_is_wrong(tmp_path: Path, line: str, message: str) -> None:
    path = tmp_path / "genes.bed"
    path.write_text("chr1\t5\t9\tA\t0\t+\n" + line)
    with pytest.raises(DamagedFileError, match=message):
        as_genes(path)


def test_frame__says_what_is_missing_or_wrong() -> None:
    frame = pd.DataFrame({"Chromosome": ["1"], "Start": [5], "End": [9], "Strand": ["+"]})
    with pytest.raises(ArgumentError, match="no column 'name'"):
        as_genes(frame)
    frame["gene_name"] = ["A"]
    assert gene(as_genes(frame), "A") == ("1", 5, 9, 1, [5])
    frame["Strand"] = "."
    with pytest.raises(ArgumentError, match="row 0, but a gene's strand"):
        as_genes(frame)
    assert len(as_genes(frame.iloc[:0])) == 0


def test_as_genes__errors_of_arguments(tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="path or a data frame"):
        as_genes(3)
    with pytest.raises(MissingFileError, match="no such file"):
        as_genes(tmp_path / "absent.gtf.gz")
    with pytest.raises(UnknownFormatError, match=r"known are \.gtf"):
        as_genes(tmp_path / "genes.xlsx")
    (tmp_path / "genes.bed").write_text("#only a comment\n")
    with pytest.raises(DamagedFileError, match="it has no genes"):
        as_genes(tmp_path / "genes.bed")
