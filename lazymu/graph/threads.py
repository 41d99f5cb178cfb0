"""Row blocks of a graph step in threads."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache

from threadpoolctl import ThreadpoolController

from lazymu.settings import settings


@lru_cache(maxsize=1)
def _native_threads() -> ThreadpoolController:
    return ThreadpoolController()


def for_row_blocks(
    work: Callable[[int, int], object], start: int, stop: int, block_rows: int
) -> None:
    """Call ``work(first, last)`` on runs of ``block_rows`` rows between ``start`` and ``stop``.

    The runs go to ``settings.n_threads`` threads, BLAS keeping to one in each. ``work`` writes what
    it finds into its own rows of an array, so that the order of the calls does not matter.
    """
    firsts = range(start, stop, block_rows)
    lasts = [min(first + block_rows, stop) for first in firsts]
    with _native_threads().limit(limits=1, user_api="blas"):
        with ThreadPoolExecutor(settings.n_threads) as pool:
            for _ in pool.map(work, firsts, lasts):
                pass
