"""Files that cannot be read by rows, converted on a cluster: a task for each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from lazymu.store.converted import Conversion, ConvertedSource
from lazymu.store.sources import MatrixSource
from lazymu.stream.cluster import active_client, workers
from lazymu.stream.compute import compute, task
from lazymu.stream.matrix import LazyMatrix


def convert_by_tasks(matrices: Iterable[LazyMatrix]) -> None:
    """Have the active cluster convert what matrices are read from; nothing where there is none.

    Workers write into this process's temporary folder (`TMPDIR`), which they must see.
    """
    if active_client() is None:
        return
    sources = {id(source): source for matrix in matrices for source in _unprepared(matrix.source)}
    limit = workers().memory_limit
    tasks = [
        task("convert", Conversion.run, Conversion(source, source.new_folder(), limit))
        for source in sources.values()
    ]
    if tasks:
        for source, rows in zip(sources.values(), compute(tasks), strict=True):
            source.take(rows)


def _unprepared(source: MatrixSource) -> Iterator[ConvertedSource]:
    for part in getattr(source, "sources", ()):
        yield from _unprepared(part)
    if isinstance(source, ConvertedSource) and not source.is_prepared:
        yield source
