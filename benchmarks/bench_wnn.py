"""Weighted neighbours: schemes of candidates, beside muon, at a million: `make bench-wnn`.

Embeddings are lazymu's of the simulated Multiome, made once; of the real data, principal
components of two halves of the genes of a blood sample.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from time import perf_counter, process_time
from typing import Any, NamedTuple

import numpy as np

from benchmarks import compare, data, machine
from benchmarks.pages import markdown, save
from benchmarks.settings import N_NEIGHBORS, thread_variables
from benchmarks.stages import FIRST, IMPORT, Stages, peak_bytes, read_stages
from benchmarks.tasks import embedded

CELLS, MILLION = 100_000, 1_000_000
WIDTHS = {"rna": 50, "prot": 30}
"""Dimensions of the million's embeddings."""
MEMORY = 4 << 30
ASKED_SECONDS = 900
COMPARED_CELLS = 5000
REAL = Path(__file__).parents[2] / "shared" / "data" / "rna_pbmc5k_hvg" / "rna_pbmc5k_hvg.h5ad"


def simulated(cells: int, n_threads: int) -> dict[str, Any]:
    """Return lazymu's embeddings of a simulated data set; make what is missing."""
    of = data.make(cells)
    out = of.folder / "embeddings"
    out.mkdir(exist_ok=True)
    for task in ("rna", "atac"):
        if not (out / f"{task}_lazymu.npz").exists():
            outcome = compare.run_worker(task, "lazymu", of, out, n_threads, float("inf"))
            if outcome != compare.OK:
                raise RuntimeError(f"{out / f'{task}_lazymu.log'} says why it {outcome}")
    return {name: np.asarray(modality.X) for name, modality in embedded(out).items()}


def real() -> dict[str, Any] | None:
    """Return principal components of two halves of the genes of a blood sample, if it is there."""
    import anndata as ad
    from sklearn.decomposition import PCA

    folder = os.environ.get("LAZYMU_DATA")
    path = Path(folder) / REAL.parent.name / REAL.name if folder else REAL
    if not path.exists():
        print(f"Without real cells: {path} is absent; $LAZYMU_DATA says where data are")
        return None
    counts = np.log1p(ad.read_h5ad(path).X.toarray().astype(np.float64))
    halves = {"odd genes": counts[:, ::2], "even genes": counts[:, 1::2]}
    return {
        name: PCA(30, random_state=0).fit_transform(half).astype(np.float32)
        for name, half in halves.items()
    }


def drawn(cells: int, widths: dict[str, int], seed: int = 0) -> dict[str, Any]:
    """Return embeddings of 40 types along a hierarchy, with noise as of principal components.

    Variances fall from component to component; each modality tells other types apart.
    """
    rng = np.random.default_rng(seed)
    types, found = rng.integers(0, 40, cells), {}
    for name, width in widths.items():
        variances = 1 / np.arange(1, width + 1)
        coarse = rng.normal(size=(8, width))[np.arange(40) % 8]
        centres = 3 * (coarse + 0.5 * rng.normal(size=(40, width))) * np.sqrt(variances)
        X = np.empty((cells, width), np.float32)
        for start in range(0, cells, 1 << 16):
            some = types[start : start + (1 << 16)]
            noise = rng.normal(size=(len(some), width)) * np.sqrt(variances)
            X[start : start + len(some)] = centres[some] + noise
        found[name] = X
    return found


class Row(NamedTuple):
    """One scheme on one data set."""

    scheme: str
    ranked: float
    overlap: float
    correlation: float
    rand: float
    seconds: float
    cpu_seconds: float
    peak_bytes: int
    """Beyond what the process held before."""


def resident() -> int:
    """Return the bytes that this process holds."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def overlap(found: Any, expected: Any) -> float:
    """Return the mean share of the expected neighbours that were found, of some cells."""
    step = max(1, len(found) // COMPARED_CELLS)
    pairs = zip(found[::step], expected[::step], strict=True)
    return float(np.mean([len(np.intersect1d(*pair)) / len(pair[1]) for pair in pairs]))


def clusters(graph: Any) -> Any:
    from lazymu.graph.connectivities import umap_connectivities
    from lazymu.graph.leiden import leiden_labels

    return leiden_labels(umap_connectivities(graph.lists)).labels


def scheme_rows(embeddings: dict[str, Any]) -> Iterator[Row]:
    """Yield how near each scheme comes to exact neighbours, with its time and memory."""
    from sklearn.metrics import adjusted_rand_score

    from benchmarks.wnn_schemes import EXACT, SCHEMES
    from lazymu.stream.memory import return_freed

    few = {name: X[:2000] for name, X in embeddings.items()}
    exact, expected = None, None
    for name, scheme in {"exact": EXACT, **SCHEMES}.items():
        scheme(few)  # compiles
        gc.collect()
        return_freed()
        Path("/proc/self/clear_refs").write_text("5")
        before, begun, cpu = resident(), perf_counter(), process_time()
        graph = scheme(embeddings)
        seconds, cpu = perf_counter() - begun, process_time() - cpu
        peak = peak_bytes() - before
        if exact is None:
            exact, expected = graph, clusters(graph)
        yield Row(
            *(name, graph.n_ranked, overlap(graph.lists.indices, exact.lists.indices)),
            float(np.corrcoef(graph.weights[:, 0], exact.weights[:, 0])[0, 1]),
            float(adjusted_rand_score(expected, clusters(graph))),
            *(seconds, cpu, peak),
        )


def scheme_table(rows: Iterator[Row]) -> str:
    header = (
        *("candidates", "ranked a cell", "overlap", "r of weights", "ARI of clusters"),
        *("wall s", "CPU s", "MB"),
    )
    lines = (
        (
            *(row.scheme, f"{row.ranked:.0f}", f"{row.overlap:.4f}", f"{row.correlation:.4f}"),
            *(f"{row.rand:.3f}", f"{row.seconds:.1f}", f"{row.cpu_seconds:.1f}"),
            f"{row.peak_bytes / 1e6:.0f}",
        )
        for row in rows
    )
    return markdown(header, lines)


def beside_muon(cells: int, n_threads: int) -> str:
    """Return the table of lazymu and muon on the same embeddings, each in a process."""
    of = data.place(cells)
    out = of.folder / "embeddings"
    lines, totals = [], {}
    for tool in ("lazymu", "muon"):
        stages_path = out / f"joint_{tool}.jsonl"
        stages_path.unlink(missing_ok=True)
        outcome = compare.run_worker("joint", tool, of, out, n_threads, float("inf"))
        stages = read_stages(stages_path)
        work = [stage for stage in stages if stage.label not in (IMPORT, FIRST)]
        held = next(s.peak_bytes for s in stages if s.label == FIRST)
        peak = max((stage.peak_bytes for stage in work), default=0)
        totals[tool] = (sum(s.seconds for s in work), work[-1].seconds, peak, peak - held)
        lines += [
            (tool, s.label, f"{s.seconds:.1f}", f"{s.cpu_seconds:.1f}", f"{s.peak_bytes / 1e9:.2f}")
            for s in stages
        ]
        if outcome != compare.OK:
            raise RuntimeError(f"{tool} {outcome}: see {out / f'joint_{tool}.log'}")
    own, other = totals["lazymu"], totals["muon"]
    names = ("all stages", "its `neighbors` alone", "peak memory", "peak beyond the first run's")
    ratios = [
        f"{name} {theirs / ours:.1f}" for name, ours, theirs in zip(names, own, other, strict=True)
    ]
    table = markdown(("tool", "stage", "wall s", "CPU s", "peak GB"), lines)
    return f"{table}\n\nmuon's figure over lazymu's: {', '.join(ratios)}. {agreement(out)}"


def agreement(out: Path) -> str:
    """Return how far muon's graph and weights are from lazymu's of the same flavour."""
    with np.load(out / "joint_lazymu.npz") as ours, np.load(out / "joint_muon.npz") as theirs:
        lists = [
            np.split(graph["indices"], graph["indptr"][1:-1])[:COMPARED_CELLS]
            for graph in (ours, theirs)
        ]
        shares = [len(np.intersect1d(a, b)) / len(a) for a, b in zip(*lists, strict=True)]
        r = np.corrcoef(ours["weights"], theirs["weights"])[0, 1]
    return f"Shared neighbours: {np.mean(shares):.3f}; correlation of weights: {r:.3f}."


def large(cells: int, stages_path: Path, n_threads: int) -> None:
    """Find the neighbours of drawn cells in this process; keep a digest of the graph."""
    import hashlib

    from lazymu.graph.connectivities import umap_connectivities
    from lazymu.graph.search import NeighborLists
    from lazymu.graph.wnn import weighted_neighbors
    from lazymu.settings import settings

    settings.memory_limit, settings.n_threads = MEMORY, n_threads
    stages = Stages(stages_path)
    with stages("draw"):
        embeddings = drawn(cells, WIDTHS)
    with stages("weighted neighbours"):
        found = weighted_neighbors(embeddings, n_neighbors=N_NEIGHBORS)
    with stages("connectivities"):
        umap_connectivities(NeighborLists(found.indices, found.distances))
    digest = hashlib.sha256(found.indices.tobytes() + found.distances.tobytes()).hexdigest()
    stages_path.with_suffix(".json").write_text(json.dumps([digest, found.recall]))


def run_large(cells: int, n_threads: int) -> tuple[list[Any], str, dict[str, float]]:
    """Return the stages, the digest and the recall of a run in a fresh process."""
    stages_path = data.FOLDER / f"wnn_{cells}_{n_threads}.jsonl"
    stages_path.parent.mkdir(parents=True, exist_ok=True)
    stages_path.unlink(missing_ok=True)
    command = [sys.executable, "-m", "benchmarks.bench_wnn", "--large", str(cells)]
    arguments = ["--stages", str(stages_path), "--threads", str(n_threads)]
    environment = os.environ | thread_variables(n_threads)
    subprocess.run([*command, *arguments], env=environment, check=True)
    digest, recall = json.loads(stages_path.with_suffix(".json").read_text())
    return read_stages(stages_path), digest, recall


def large_table(cells: int, n_threads: int) -> str:
    """Return the stages at a million cells; whether threads change the graph, at a tenth."""
    stages, _, recall = run_large(cells, n_threads)
    digests = {run_large(cells // 10, n)[1] for n in (1, n_threads)}
    rows = (
        (s.label, f"{s.seconds:.1f}", f"{s.cpu_seconds:.1f}", f"{s.peak_bytes / 2**30:.2f}")
        for s in stages
    )
    found = ", ".join(f"{name} {share:.3f}" for name, share in recall.items())
    same = "the same graph" if len(digests) == 1 else "another graph"
    return "\n\n".join(
        (
            markdown(("stage", "wall s", "CPU s", "peak GiB"), rows),
            f"Recall of each modality's neighbours on a sample: {found}. With 1 thread and with "
            f"{n_threads}, {cells // 10:,} cells have {same}. Asked at a million: "
            f"{ASKED_SECONDS} s, {MEMORY / 2**30:g} GiB.",
        )
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cells", type=int, default=CELLS)
    parser.add_argument("--million", type=int, default=MILLION)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--large", type=int, help="neighbours of drawn cells, in this process")
    parser.add_argument("--stages", type=Path)
    chosen = parser.parse_args()
    if chosen.large is not None:
        large(chosen.large, chosen.stages, chosen.threads)
        return
    load = machine.load()
    embeddings = simulated(chosen.cells, chosen.threads)
    sets = {f"{chosen.cells:,} simulated cells": embeddings, "3,994 real cells": real()}
    parts = [
        f"## Candidates, {name}\n\n{scheme_table(scheme_rows(of))}"
        for name, of in sets.items()
        if of is not None
    ]
    parts += [
        f"## Beside muon, {chosen.cells:,} cells\n\n{beside_muon(chosen.cells, chosen.threads)}",
        f"## {chosen.million:,} cells, {' and '.join(map(str, WIDTHS.values()))} dimensions\n\n"
        + large_table(chosen.million, chosen.threads),
    ]
    save("wnn", "Weighted nearest neighbours", "\n\n".join(parts), load)


if __name__ == "__main__":
    main()
