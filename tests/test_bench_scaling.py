"""The model of runs on a cluster, and the graphs of passes over ten million cells."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from benchmarks import scaling, scaling_page
from benchmarks.scaling_model import (
    Costs,
    Crew,
    Pass,
    Rates,
    Stage,
    exponent_between,
    merges_by_level,
    n_folds,
    pass_costs,
    stage_costs,
)
from lazymu.datasets import multiome

RATES = Rates(
    storage=1e8, storage_in_all=4e8, network=1e9, merge=2e9, latency=0.1, task_seconds=1e-3
)
FREE = Rates(*[math.inf] * 4, latency=0, task_seconds=0)
PASS = Pass("atac", "product", 7_500, 1.8, 1e-8, 50_000_000, 25_000_000)


def test_n_folds__few_whatever_the_cells() -> None:
    assert n_folds(10, Crew(2, 1)) == 1
    assert n_folds(16 * 2**23, Crew(1, 2)) == 8  # four a thread
    assert n_folds(1e7 * 7_500, Crew(64, 4)) < 2_000
    assert n_folds(1e8 * 7_500, Crew(64, 4)) == math.ceil(math.ceil(1e8 * 7_500 / 2**23) / 64)


def test_merges_by_level() -> None:
    assert merges_by_level(1) == []
    assert merges_by_level(16) == [4, 1]
    assert merges_by_level(17) == [5, 2, 1]


def test_pass_costs__each_by_hand() -> None:
    costs = pass_costs(PASS._replace(row_bytes=200), 1e6, Crew(4, 2), RATES, folds=16)
    assert costs.work == pytest.approx(7.5e9 * 1e-8 / 8)
    assert costs.storage == pytest.approx(7.5e9 * 1.8 / 4e8)
    assert costs.operands == pytest.approx(0.025 * 3)
    assert costs.reduction == pytest.approx(2 * 4 * (0.05 + 0.025))
    assert costs.results == pytest.approx(3 * 0.2)
    assert costs.scheduler == pytest.approx(0.1 + 21e-3)
    assert costs.total == pytest.approx(sum(costs))
    assert costs.largest == "storage"


def test_pass_costs__last_round_is_not_full() -> None:
    full = pass_costs(PASS, 1e6, Crew(4, 1), FREE, folds=8).work
    assert pass_costs(PASS, 1e6, Crew(4, 1), FREE, folds=9).work == pytest.approx(full * 12 / 9)


def test_pass_costs__storage_in_all_bounds() -> None:
    of = [pass_costs(PASS, 1e7, Crew(n, 4), RATES).storage for n in (1, 2, 4, 8)]
    assert of[0] == pytest.approx(2 * of[1]) == pytest.approx(4 * of[2])
    assert of[3] == of[2]


def test_stage_costs__sum_of_passes_and_growth() -> None:
    crew = Crew(4, 2)
    stage = Stage("s", [(PASS, 3, 0.5)], cpu_at_million=80, client_at_million=5, exponent=2)
    costs = stage_costs(stage, 2e6, crew, FREE)
    of_passes = 3 * pass_costs(PASS, 1e6, crew, FREE).work
    assert costs.work == pytest.approx(of_passes + 80 * 4 / 8)
    assert costs.client == pytest.approx(5 * 4)
    assert stage_costs(Stage("s", sent_per_cell=1e3), 1e6, crew, RATES) == Costs(results=1.0)


def test_exponent_between() -> None:
    assert exponent_between((1e5, 3), (1e6, 300)) == pytest.approx(2)


def test_graph_of__ten_million_cells() -> None:
    """Fewer than 2,000 folds, as many as the model says, and little sent with each."""
    crew = Crew(16, 4)
    ((name, graph),) = scaling.graphs([PASS], 10**7, crew).items()
    assert name == "atac product"
    assert graph.folds < 2_000
    assert graph.folds == pytest.approx(n_folds(1e7 * 7_500, crew), rel=0.25)
    assert graph.merges == sum(merges_by_level(graph.folds))
    assert graph.sent_bytes < 20 * 10**7


def test_table_of__stages_of_the_committed_run() -> None:
    table = scaling_page.table_of(scaling_page.MILLION)
    assert {"Import", "Neighbours", "Clusters", "UMAP", "Write"} <= set(table)
    assert all(wall >= 0 and cpu >= 0 for wall, cpu in table.values())


@pytest.mark.slow
def test_page__of_a_small_store(tmp_path: Path) -> None:
    store = tmp_path / "cells.zarr"
    multiome(store, 600, n_genes=300, n_peaks=500, n_clusters=3)
    passes, rows, rates = scaling.measure(store, repeats=1)
    assert {row.n_workers for row in rows} == {1, 2}
    assert all(row.seconds > 0 for row in rows)
    assert 0 < rates.task_seconds < 0.1
    text = scaling_page.page(passes, rows, rates, {}, 600, 0.0)
    assert "### 100 million cells" in text
    assert "atac product" in text
    assert np.isfinite(rates.network)
