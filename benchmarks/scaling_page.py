"""The page of `benchmarks.scaling`: rates, the model beside measurements, graphs, projections."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.pages import RESULTS, markdown
from benchmarks.scaling_model import (
    Costs,
    Crew,
    Pass,
    Rates,
    Stage,
    exponent_between,
    pass_costs,
    stage_costs,
)

if TYPE_CHECKING:
    from benchmarks.scaling import Checked, Graph

MILLION = RESULTS / "run-1000000.md"
NEIGHBOURS_OF_100_000 = 30.4
"""CPU seconds of weighted neighbours of 100,000 simulated cells, in `results/wnn.md`."""
STORAGE, STORAGE_IN_ALL, NETWORK = 0.5e9, 10e9, 1.1e9
"""Assumed of the cluster that is projected to: bytes a second of a worker, of all, of a link."""
THREADS, CLIENT_THREADS = 4, 16
WORKERS, CELLS = (8, 16, 32, 64), (10**7, 10**8)
SENT_OF_NEIGHBOURS = 2 * (3 * 50 * 4 + 199 * 4 + 20 * 12)
"""Bytes a cell of two modalities: its components to workers three times, its lists back."""
HELD = {"Neighbours": 3290, "Clusters": 3800, "UMAP": 2230}
"""Bytes a cell of the script's process: peaks of the run of a million cells."""


def table_of(path: Path) -> dict[str, tuple[float, float]]:
    """Return wall and CPU seconds of each stage in the page of a run."""
    rows = (line.strip("| ").split(" | ") for line in path.read_text().splitlines())
    return {row[0]: (float(row[1]), float(row[2])) for row in rows if _is_stage(row)}


def _is_stage(row: list[str]) -> bool:
    return len(row) == 4 and row[1].replace(".", "").isdigit()


def stages(passes: Sequence[Pass], million: Mapping[str, tuple[float, float]]) -> list[Stage]:
    """Return the stages of `lazymu run` as passes, shared work, and work of the script's process.

    From a million cells on, scores of all products leave too little of the limit, so that the last
    of LSI's passes is for scores; the start multiplies a sixteenth of the cells four times.
    """
    by_name = {(of.modality, of.label): of for of in passes}
    rna = [by_name["rna", label] for label in ("moments", "Gram matrix", "scores")]
    product = by_name["atac", "product"]
    lsi = [(by_name["atac", "sums"], 1, 1.0), (product, 4, 1 / 16), (product, 4, 1.0)]
    growth = exponent_between((1e5, NEIGHBOURS_OF_100_000), (1e6, million["Neighbours"][1]))
    return [
        Stage("RNA embedding", [(of, 1, 1.0) for of in rna]),
        Stage("ATAC embedding", [*lsi, (by_name["atac", "scores"], 1, 1.0)]),
        Stage(
            "Neighbours",
            cpu_at_million=million["Neighbours"][1],
            exponent=growth,
            sent_per_cell=SENT_OF_NEIGHBOURS,
        ),
        Stage("Clusters", client_at_million=million["Clusters"][0], exponent=1.1),
        Stage("UMAP", client_at_million=million["UMAP"][1] / CLIENT_THREADS),
        Stage("Markers", [(rna[0], 1, 1.0)]),
        Stage("Write", client_at_million=million["Write"][0]),
    ]


def projection(all_stages: Sequence[Stage], n_cells: int, rates: Rates) -> str:
    """Return a table: a line a stage, a column for each number of workers."""
    crews = [Crew(n, THREADS) for n in WORKERS]
    by_stage = [
        [stage_costs(stage, n_cells, crew, rates) for crew in crews] for stage in all_stages
    ]
    totals = [sum_of([costs[i] for costs in by_stage]) for i in range(len(crews))]
    rows = [
        (stage.label, *(seconds(c) for c in costs), costs[-1].largest)
        for stage, costs in zip(all_stages, by_stage, strict=True)
    ]
    rows.append(("**all**", *(seconds(c) for c in totals), totals[-1].largest))
    rows += [
        (f"*of all: {name}*", *(f"{getattr(c, name):,.0f}" for c in totals), "")
        for name in Costs._fields
    ]
    header = ("seconds", *(f"{n} workers" for n in WORKERS), f"most of it, {WORKERS[-1]} workers")
    return markdown(header, rows)


def sum_of(costs: Sequence[Costs]) -> Costs:
    """Return the sum of the costs of stages."""
    total = Costs()
    for of_stage in costs:
        total = total.plus(of_stage)
    return total


def seconds(costs: Costs) -> str:
    return f"{costs.total:,.0f}"


def comparison(rows: Sequence[Checked], n_cells: int, rates: Rates) -> str:
    """Return what passes took beside what the model says."""
    lines = []
    for row in rows:
        costs = pass_costs(row.of, n_cells, Crew(row.n_workers, 1), rates, row.folds)
        lines.append(
            (
                f"{row.of.modality} {row.of.label}",
                str(row.n_workers),
                str(row.folds),
                f"{costs.total:.2f}",
                f"{row.seconds:.2f}",
                f"{row.seconds / costs.total:.2f}",
                f"{row.n_workers * costs.work:.2f}",
                f"{row.worker_seconds:.2f}",
                f"{row.worker_seconds / (row.n_workers * costs.work):.2f}",
            )
        )
    header = ("pass", "workers", "folds", "model s", "measured s", "ratio")
    return markdown((*header, "model CPU s", "workers' CPU s", "ratio"), lines)


def million_comparison(
    all_stages: Sequence[Stage], million: Mapping[str, tuple[float, float]], merge: float
) -> str:
    """Return the embeddings of a million cells in two threads of one process, beside the model."""
    here = Rates(float("inf"), float("inf"), float("inf"), merge, latency=0, task_seconds=0)
    lines = []
    for stage in all_stages:
        if stage.label.endswith("embedding"):
            costs = stage_costs(stage, 1e6, Crew(1, 2), here)
            wall, cpu = million[stage.label]
            lines.append(
                (stage.label, f"{costs.total:.0f}", f"{wall:.0f}", f"{cpu:.0f}",
                 f"{wall / costs.total:.2f}")
            )  # fmt: skip
    return markdown(("stage", "model s", "measured s", "CPU s", "ratio"), lines)


def rates_table(passes: Sequence[Pass]) -> str:
    rows = (
        (
            f"{of.modality} {of.label}",
            f"{of.values_per_cell:,.0f}",
            f"{of.bytes_per_value:.2f}",
            f"{1e-6 / of.seconds_per_value:.0f}",
            f"{of.state_bytes / 1e6:.1f}",
            f"{of.operand_bytes / 1e6:.1f}",
            str(of.row_bytes),
        )
        for of in passes
    )
    header = ("pass", "nonzeros a cell", "bytes stored", "M nonzeros/s and thread")
    return markdown((*header, "state MB", "operands MB", "results, bytes a cell"), rows)


def graphs_table(graphs: Mapping[str, Graph]) -> str:
    rows = (
        (name, str(graph.folds), str(graph.merges), f"{graph.sent_bytes / 1e6:.0f}")
        for name, graph in graphs.items()
    )
    return markdown(("pass", "folds", "merges", "sent with them, MB"), rows)


def held_table() -> str:
    rows = [
        (name, *(f"{each * n / 1e9:,.0f}" for n in (10**6, *CELLS))) for name, each in HELD.items()
    ]
    return markdown(
        ("GB in the script's process", "1 M", *(f"{n // 10**6} M" for n in CELLS)), rows
    )


def page(
    passes: Sequence[Pass],
    rows: Sequence[Checked],
    rates: Rates,
    graphs: Mapping[str, Graph],
    n_cells: int,
    load_after: float,
) -> str:
    """Return the text of the page."""
    million = table_of(MILLION)
    all_stages = stages(passes, million)
    assumed = rates._replace(storage=STORAGE, storage_in_all=STORAGE_IN_ALL, network=NETWORK)
    imports = million["Import"][0]
    parts = [
        f"Load after: {load_after:.1f}. The formula is in `benchmarks/scaling_model.py`. Times are "
        "sums of work, storage, operands, reduction, results by cell, scheduler and the script's "
        "process; nothing is taken to overlap.",
        f"## Measured on this machine, {n_cells:,} cells\n\n{rates_table(passes)}",
        f"Between workers {rates.network / 1e9:.2f} GB/s; states are added at "
        f"{rates.merge / 1e9:.2f} GB/s; a pass without work takes {1e3 * rates.latency:.0f} ms, a "
        f"task {1e3 * rates.task_seconds:.2f} ms of the scheduler.",
        "## Model and measurement\n\nWorkers of one thread, counts in the page cache. The rates of "
        "passes are those of one thread without a cluster, by processor time. Wall times hold on "
        "an idle machine alone: where the load is above the processors, compare processor times."
        f"\n\n{comparison(rows, n_cells, rates)}",
        "A million cells in two threads of one process ([run-1000000.md](run-1000000.md)), reading "
        f"not counted:\n\n{million_comparison(all_stages, million, rates.merge)}",
        f"## Graphs of 10 million cells\n\nBuilt, not run, for 16 workers of {THREADS} threads and "
        f"8 GB.\n\n{graphs_table(graphs)}",
        "## Projection\n\nNot measured. Assumed: workers like this machine's cores, "
        f"{THREADS} threads each; storage {STORAGE / 1e9:g} GB/s a worker, "
        f"{STORAGE_IN_ALL / 1e9:g} GB/s in all; links of {NETWORK / 1e9:g} GB/s; "
        f"{CLIENT_THREADS} processors where the script runs. Neighbours, clusters, layout and "
        "writing are those of the run of a million cells; neighbours grow with a power of "
        f"{all_stages[2].exponent:.2f} of the cells, as simulated cells of a type do (drawn ones: "
        "about 1), clusters with 1.1, the rest with 1.",
        *(f"### {n // 10**6} million cells\n\n{projection(all_stages, n, assumed)}" for n in CELLS),
        "### Memory where the script runs\n\nPeaks of a million cells, times the cells.\n\n"
        f"{held_table()}",
        f"Import is not in these sums: {imports:,.0f} s for a million cells in one process, "
        "shared out by samples where there are several.",
    ]
    return "\n\n".join(parts)
