"""Row blocks of a step on arrays in memory, in threads; BLAS keeps to one thread in each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import lru_cache
from typing import TypeVar

from threadpoolctl import ThreadpoolController

from lazymu.settings import settings

T = TypeVar("T")


@lru_cache(maxsize=1)
def _native_threads() -> ThreadpoolController:
    return ThreadpoolController()


@contextmanager
def one_native_thread() -> Iterator[None]:
    """Hold BLAS and OpenMP to one thread for the length of a ``with`` block.

    What is parallel is the blocks, and short vectors are slower with threads than without.
    """
    with _native_threads().limit(limits=1):
        yield


def for_row_blocks(
    work: Callable[[int, int], T], start: int, stop: int, block_rows: int
) -> list[T]:
    """Return ``work(first, last)`` of runs of ``block_rows`` rows between ``start`` and ``stop``.

    The runs go to ``settings.n_threads`` threads. ``work`` returns what it finds, or writes it into
    its own rows of an array, so that the order of the calls does not matter.
    """
    firsts = range(start, stop, block_rows)
    lasts = [min(first + block_rows, stop) for first in firsts]
    with one_native_thread(), ThreadPoolExecutor(settings.n_threads) as pool:
        return list(pool.map(work, firsts, lasts))
