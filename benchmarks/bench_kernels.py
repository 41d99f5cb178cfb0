"""Kernels on one block: seconds, and millions of nonzeros a second, on one core.

`python -m benchmarks.bench_kernels` prints the throughput of every kernel.
"""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter
from typing import Any

import numpy as np
import scipy.sparse as sp

from lazymu.kernels import (
    gram,
    mixture,
    moments,
    products,
    select,
    sums,
    top,
    transform,
)

# Cells, features and nonzeros of a cell: peaks and genes as they are in a Multiome sample.
SHAPES = {"atac": (2000, 100_000, 7500), "rna": (4000, 20_000, 2000), "hvg": (8000, 2000, 250)}
N_COLUMNS = 60


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
        self.Q = rng.random((X.shape[1], N_COLUMNS), dtype=np.float32)
        self.Y, self.W = np.zeros((X.shape[0], N_COLUMNS)), np.zeros(self.Q.shape)
        self.groups = np.arange(X.shape[0]) % 4
        self.remap = np.where(np.arange(X.shape[1]) % 3 == 0, np.arange(X.shape[1]) // 3, -1)
        self.ks = np.array([50, 100, 200, 500])
        for name in KERNELS:  # compile outside of the measurement
            getattr(self, f"time_{name}")(kind)

    def time_scale_rows(self, kind: str) -> None:
        transform.scale_rows(self.values, self.X.indptr, self.by_row)

    def time_scale_cols(self, kind: str) -> None:
        transform.scale_cols(self.values, self.X.indices, self.by_col)

    def time_log1p_scaled(self, kind: str) -> None:
        transform.log1p_scaled(self.X.data, self.X.indptr, self.by_row, self.values)

    def time_row_sums(self, kind: str) -> None:
        sums.row_sums(self.X.data, self.X.indptr)

    def time_add_col_sums(self, kind: str) -> None:
        sums.add_col_sums(self.col_sums, self.X.data, self.X.indices)

    def time_extremes(self, kind: str) -> None:
        sums.extremes(self.X.data)

    def time_top_sums(self, kind: str) -> None:
        top.top_sums(self.X.data, self.X.indptr, self.ks)

    def time_group_moments(self, kind: str) -> None:
        moments.group_moments(*self.pieces, self.groups, 4, self.X.shape[1])

    def time_dot(self, kind: str) -> None:
        products.dot(*self.pieces, self.Q, self.Y)

    def time_gram_dot_add(self, kind: str) -> None:
        products.gram_dot_add(*self.pieces, self.Q, self.W)

    def time_gram_dot_vector_add(self, kind: str) -> None:
        rows = self.X.shape[0]
        products.gram_dot_vector_add(*self.pieces, 0, rows, self.by_col, self.col_sums)

    def time_select_cols(self, kind: str) -> None:
        select.select_cols(*self.pieces, self.remap)

    def time_is_canonical(self, kind: str) -> None:
        select.is_canonical(*self.pieces)


KERNELS = [name.removeprefix("time_") for name in vars(OneBlock) if name.startswith("time_")]


class Throughput(OneBlock):
    """Millions of nonzeros a second of the kernels that passes spend their time in."""

    def track_gram_dot_add(self, kind: str) -> float:
        return self.rate(self.time_gram_dot_add, kind)

    def track_dot(self, kind: str) -> float:
        return self.rate(self.time_dot, kind)

    def track_log1p_scaled(self, kind: str) -> float:
        return self.rate(self.time_log1p_scaled, kind)

    def rate(self, run: Callable[[str], None], kind: str) -> float:
        """Return millions of nonzeros a second, the best of three."""
        seconds = []
        for _ in range(3):
            start = perf_counter()
            run(kind)
            seconds.append(perf_counter() - start)
        return float(self.X.nnz / min(seconds) / 1e6)


for _name in ("track_gram_dot_add", "track_dot", "track_log1p_scaled"):
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


def table(shapes: dict[str, Any]) -> str:
    """Return the throughput of every kernel on every shape, in millions of nonzeros a second."""
    lines = [f"{'M nonzeros/s':<22}" + "".join(f"{kind:>9}" for kind in shapes)]
    benches = {}
    for kind in shapes:
        benches[kind] = Throughput()
        benches[kind].shapes = shapes
        benches[kind].setup(kind)
    for name in KERNELS:
        rates = [b.rate(getattr(b, f"time_{name}"), kind) for kind, b in benches.items()]
        lines.append(f"{name:<22}" + "".join(f"{rate:>9.1f}" for rate in rates))
    return "\n".join(lines)


if __name__ == "__main__":
    print(table(SHAPES))
