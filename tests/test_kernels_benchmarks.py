"""The kernels' benchmarks run, on small shapes."""

import numpy as np
import pytest

from benchmarks import bench_kernels
from benchmarks.bench_kernels import COSTS, KERNELS, GramMatrix, Mixture, Throughput
from benchmarks.roofline import Roofline

SMALL = {"rna": (30, 200, 20), "hvg": (20, 50, 10)}


class SmallThroughput(Throughput):
    shapes = SMALL


@pytest.fixture(params=[*SMALL])
def bench(request: pytest.FixtureRequest) -> tuple[Throughput, str]:
    bench = SmallThroughput()
    bench.setup(request.param)
    return bench, request.param


def test_throughput__positive_rates(bench: tuple[Throughput, str]) -> None:
    tracked = [name for name in dir(Throughput) if name.startswith("track_")]
    assert len(tracked) == 3
    for name in tracked:
        assert getattr(Throughput, name).unit == "M nonzeros/s"
        assert getattr(bench[0], name)(bench[1]) > 0


def test_block__shape_and_canonical_form() -> None:
    X = bench_kernels.block(*SMALL["rna"])
    assert X.shape == (30, 200)
    assert X.has_canonical_format
    assert 0 < X.nnz <= 30 * 20
    assert np.all(X.data >= 1)


@pytest.mark.parametrize("bench_class", [GramMatrix, Mixture])
def test_time__runs(bench_class: type, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench_class, "n_obs", 5)
    bench = bench_class()
    bench.setup(16)
    timed = [name for name in dir(bench_class) if name.startswith("time_")]
    assert timed
    for name in timed:
        getattr(bench, name)(16)


def test_table__a_line_for_every_kernel() -> None:
    lines = bench_kernels.table(SMALL, Roofline(1e9, 1e9)).splitlines()
    assert lines[0] == "| kernel | allowed | rna | hvg |"
    assert [line.split()[1] for line in lines[2:]] == KERNELS
    assert {*COSTS} == {*KERNELS}
