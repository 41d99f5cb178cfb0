"""Parameters of the tasks, the same for all tools."""

from __future__ import annotations

import os

MIN_GENES, MIN_CELLS = 200, 3
TARGET = 1e4
HVG = 2000
N_COMPS = 50
N_NEIGHBORS = 20
MEMORY = 10**9
"""lazymu's memory limit in bytes; the peers have none."""

POOLS = ("OMP", "OPENBLAS", "MKL", "NUMBA", "RAYON", "NUMEXPR")


def thread_variables(n_threads: int) -> dict[str, str]:
    """Return an environment in which every library keeps to a number of threads."""
    return {f"{name}_NUM_THREADS": str(n_threads) for name in POOLS} | {
        "POLARS_MAX_THREADS": str(n_threads)
    }


def threads() -> int:
    """Return the number of threads of this process."""
    return int(os.environ["OMP_NUM_THREADS"])
