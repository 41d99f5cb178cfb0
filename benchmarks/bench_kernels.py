"""Kernels on one block: seconds, and millions of nonzeros a second, on one core.

`python -m benchmarks.bench_kernels` prints the throughput of every kernel, and its share of what
memory bandwidth and arithmetic allow.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.sparse as sp

from benchmarks import machine
from benchmarks.pages import markdown, save
from benchmarks.roofline import Cost, Roofline, best_seconds, measure
from lazymu.kernels import (
    gram,
    group_moments,
    mixture,
    moments,
    products,
    select,
    sums,
    top,
    transform,
    transpose,
)

# Cells, features and nonzeros of a cell: peaks and genes as they are in a Multiome sample.
SHAPES = {"atac": (2000, 100_000, 7500), "rna": (4000, 20_000, 2000), "hvg": (8000, 2000, 250)}
N_COLUMNS = 64
"""Of a block of 50 components: 10 more, and up to a multiple of 16."""
L = N_COLUMNS

# Values and indices are 4 bytes each; operands that stay in the caches are not counted.
COSTS = {
    "scale_rows": Cost(8, 1),
    "scale_cols": Cost(12, 1),
    "log1p": Cost(8, 2),
    "row_sums": Cost(4, 1),
    "row_nnz": Cost(4, 1),
    "add_col_sums": Cost(8, 1),
    "add_col_nnz": Cost(8, 1),
    "extremes": Cost(4, 2),
    "top_sums": Cost(4, 1),
    "group_moments": Cost(8, 4),
    "add_group_moments": Cost(8, 7),
    "dot": Cost(8, 2 * L),
    "t_dot_add": Cost(8, 2 * L),
    "gram_dot_add": Cost(16, 4 * L),
    "gram_dot_vector_add": Cost(16, 4),
    "select_cols": Cost(8 + 8 / 3, 0),
    "is_canonical": Cost(8, 1),
    "transpose_counts": Cost(4, 1),
}
"""What each kernel cannot do without, for one nonzero."""


def block(n_obs: int, n_vars: int, n_values: int, seed: int = 0) -> sp.csr_matrix:
    """Return counts whose features differ in popularity as those of real data do."""
    rng = np.random.default_rng(seed)
    edges = np.cumsum(rng.gamma(0.5, size=n_vars))
    rows = [
        np.unique(np.searchsorted(edges, edges[-1] * rng.random(2 * n_values)))[:n_values]
        for _ in range(min(n_obs, 100))
    ]
    rows = [rows[i % len(rows)] for i in range(n_obs)]
    indptr = np.cumsum([0, *(len(row) for row in rows)]).astype(np.int32)
    indices = np.concatenate(rows).astype(np.int32)
    data = rng.geometric(0.6, len(indices)).astype(np.float32)
    return sp.csr_matrix((data, indices, indptr), shape=(n_obs, n_vars))


class OneBlock:
    """Benchmarks of kernels that take the pieces of a block."""

    params = (*SHAPES,)
    param_names = ("kind",)
    shapes = SHAPES

    def setup(self, kind: str) -> None:
        X = block(*self.shapes[kind])
        rng = np.random.default_rng(1)
        self.X, self.pieces = X, (X.data, X.indices, X.indptr)
        self.values = X.data.copy()
        self.by_row, self.by_col = rng.random(X.shape[0]), rng.random(X.shape[1])
        self.col_sums, self.col_counts = np.zeros(X.shape[1]), np.zeros(X.shape[1], np.int64)
        self.Q = products.aligned((X.shape[1], N_COLUMNS), np.float32)
        self.Q[:] = rng.random(self.Q.shape)
        self.Y, self.W = np.zeros((X.shape[0], N_COLUMNS)), np.zeros(self.Q.shape)
        self.Y32 = self.Y.astype(np.float32)
        self.groups = np.arange(X.shape[0]) % 4
        self.group_tables = [np.zeros((4, X.shape[1])) for _ in range(3)]
        self.remap = np.where(np.arange(X.shape[1]) % 3 == 0, np.arange(X.shape[1]) // 3, -1)
        self.ks = np.array([50, 100, 200, 500])
        for name in KERNELS:  # compile outside of the measurement
            getattr(self, f"time_{name}")(kind)

    def time_scale_rows(self, kind: str) -> None:
        transform.scale_rows(self.values, self.X.indptr, self.by_row)

    def time_scale_cols(self, kind: str) -> None:
        transform.scale_cols(self.values, self.X.indices, self.by_col)

    def time_log1p(self, kind: str) -> None:
        np.log1p(self.X.data, out=self.values)

    def time_row_sums(self, kind: str) -> None:
        sums.row_sums(self.X.data, self.X.indptr)

    def time_add_col_sums(self, kind: str) -> None:
        sums.add_col_sums(self.col_sums, self.X.data, self.X.indices)

    def time_row_nnz(self, kind: str) -> None:
        sums.row_nnz(self.X.data, self.X.indptr)

    def time_add_col_nnz(self, kind: str) -> None:
        sums.add_col_nnz(self.col_counts, self.X.data, self.X.indices)

    def time_add_group_moments(self, kind: str) -> None:
        group_moments.add_group_moments(*self.pieces, self.groups, *self.group_tables)

    def time_extremes(self, kind: str) -> None:
        sums.extremes(self.X.data)

    def time_top_sums(self, kind: str) -> None:
        top.top_sums(self.X.data, self.X.indptr, self.ks)

    def time_group_moments(self, kind: str) -> None:
        moments.group_moments(*self.pieces, self.groups, 4, self.X.shape[1])

    def time_dot(self, kind: str) -> None:
        products.dot(*self.pieces, self.Q, self.Y)

    def time_t_dot_add(self, kind: str) -> None:
        products.t_dot_add(*self.pieces, self.Y32, self.W)

    def time_gram_dot_add(self, kind: str) -> None:
        products.gram_dot_add(*self.pieces, self.Q, self.W)

    def time_gram_dot_vector_add(self, kind: str) -> None:
        rows = self.X.shape[0]
        products.gram_dot_vector_add(*self.pieces, 0, rows, self.by_col, self.col_sums)

    def time_select_cols(self, kind: str) -> None:
        select.select_cols(*self.pieces, self.remap)

    def time_is_canonical(self, kind: str) -> None:
        select.is_canonical(*self.pieces)

    def time_transpose_counts(self, kind: str) -> None:
        transpose.transpose_counts(self.X.indices, self.col_counts)


KERNELS = [name.removeprefix("time_") for name in vars(OneBlock) if name.startswith("time_")]


class Throughput(OneBlock):
    """Millions of nonzeros a second of the kernels that passes spend their time in."""

    def track_gram_dot_add(self, kind: str) -> float:
        return self.rate(self.time_gram_dot_add, kind)

    def track_dot(self, kind: str) -> float:
        return self.rate(self.time_dot, kind)

    def track_log1p(self, kind: str) -> float:
        return self.rate(self.time_log1p, kind)

    def rate(self, run: Callable[[str], None], kind: str) -> float:
        """Return millions of nonzeros a second, the best of three."""
        return float(self.X.nnz / best_seconds(lambda: run(kind), 3) / 1e6)


for _name in ("track_gram_dot_add", "track_dot", "track_log1p"):
    setattr(getattr(Throughput, _name), "unit", "M nonzeros/s")  # noqa: B010 - asv reads it


class GramMatrix:
    """The Gram matrix of some thousand variable genes."""

    params = (500, 2000)
    param_names = ("n_vars",)
    n_obs = 4000

    def setup(self, n_vars: int) -> None:
        self.X = block(self.n_obs, n_vars, n_vars // 8)
        self.G = np.zeros((n_vars, n_vars))
        self.time_add_gram(n_vars)

    def time_add_gram(self, n_vars: int) -> None:
        gram.add_gram(self.X.data, self.X.indices, self.X.indptr, self.G)


class Mixture:
    """Background means of cells, by the number of proteins."""

    params = (20, 150)
    param_names = ("n_vars",)
    n_obs = 2000

    def setup(self, n_vars: int) -> None:
        rng = np.random.default_rng(0)
        self.Z = rng.normal(size=(self.n_obs, n_vars)) + 4 * (rng.random(n_vars) < 0.3)
        start = rng.random((n_vars, 2))
        self.start = start / start.sum(1, keepdims=True)
        self.time_background_means(n_vars)

    def time_background_means(self, n_vars: int) -> None:
        mixture.background_means(self.Z, self.start)


def table(shapes: dict[str, Any], roofline: Roofline) -> str:
    """Return millions of nonzeros a second of every kernel on every shape, and the roofline's."""
    benches = {}
    for kind in shapes:
        benches[kind] = Throughput()
        benches[kind].shapes = shapes
        benches[kind].setup(kind)
    rows = []
    for name in KERNELS:
        allowed = roofline.rate(COSTS[name])
        rates = [b.rate(getattr(b, f"time_{name}"), kind) for kind, b in benches.items()]
        rows.append(
            [name, f"{allowed:.0f}", *(f"{rate:.0f} ({rate / allowed:.0%})" for rate in rates)]
        )
    return markdown(("kernel", "allowed", *shapes), rows)


def main() -> None:
    load, roofline = machine.load(), measure()
    limits = (
        f"The core copies {roofline.bytes_per_second / 1e9:.1f} GB/s (read and written) and does "
        f"{roofline.flops_per_second / 1e9:.0f} GFLOP/s in a product of float32 matrices."
    )
    title = "Kernels on one core, millions of nonzeros a second"
    save("kernels", title, f"{limits}\n\n{table(SHAPES, roofline)}", load)


if __name__ == "__main__":
    main()
