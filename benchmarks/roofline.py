"""What the machine allows one core: bytes a second by a copy, operations a second by a product."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter
from typing import NamedTuple

import numpy as np
from threadpoolctl import threadpool_limits


class Cost(NamedTuple):
    """What a kernel cannot do without, for one nonzero."""

    n_bytes: float
    """Read and written in order: values of 4 bytes, indices of 4."""
    n_flops: float
    """Additions and multiplications."""


class Roofline(NamedTuple):
    """What one core reaches where nothing else holds it up."""

    bytes_per_second: float
    flops_per_second: float

    def rate(self, cost: Cost) -> float:
        """Return the millions of nonzeros a second that the slower of the two allows."""
        seconds = max(cost.n_bytes / self.bytes_per_second, cost.n_flops / self.flops_per_second)
        return 1e-6 / seconds


def measure(copied: int = 1 << 28, order: int = 2048) -> Roofline:
    """Measure a copy of so many bytes, and a product of float32 matrices of some order."""
    return Roofline(copy_rate(copied), product_rate(order))


def copy_rate(n_bytes: int) -> float:
    """Return the bytes read and written a second by a copy larger than the caches."""
    source = np.ones(n_bytes // 8)
    target = np.zeros_like(source)
    return 2 * source.nbytes / best_seconds(lambda: np.copyto(target, source))


def product_rate(order: int) -> float:
    """Return the operations a second of a matrix product in float32 on one core."""
    A = np.random.default_rng(0).random((order, order), dtype=np.float32)
    B, C = A.T.copy(), np.empty_like(A)
    with threadpool_limits(1):
        return 2 * order**3 / best_seconds(lambda: np.matmul(A, B, out=C))


def best_seconds(run: Callable[[], object], repeats: int = 5) -> float:
    """Return the least time that a call takes."""
    seconds = []
    for _ in range(repeats):
        start = perf_counter()
        run()
        seconds.append(perf_counter() - start)
    return min(seconds)
