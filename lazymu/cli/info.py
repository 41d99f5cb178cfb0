"""`lazymu info`: what a store holds, how it is stored, and how it will be read."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated

import typer

from lazymu.cli.common import command
from lazymu.cli.text import size, table
from lazymu.pipeline.describe import ArrayInfo, PartInfo, StoreInfo, describe, total_bytes
from lazymu.settings import settings

_OF_MATRIX = re.compile(r"(mod/[^/]+/)?(X|layers|raw|matrix)(/|$)")


@command
def info(
    store: Annotated[str, typer.Argument(help="Store, its URL, or file of any known format.")],
) -> None:
    """Show axes, chunks, sizes on disk, and the blocks in which passes will read."""
    for line in lines_of(describe(store)):
        typer.echo(line)


def lines_of(found: StoreInfo) -> Iterator[str]:
    """Yield the lines that describe a store."""
    yield f"{found.path}  ({_size(found.stored_bytes)} in {len(found.arrays)} arrays)"
    for part in found.parts:
        yield ""
        yield f"{part.name or 'all cells'}: {part.shape[0]:,} cells x {part.shape[1]:,} features"
        for slot, names in part.contents.items():
            yield f"  {slot}: {', '.join(names)}"
        copies = [
            f"{matrix.name} ({size(matrix.by_feature_bytes)})"
            for matrix in part.matrices
            if matrix.by_feature_bytes is not None
        ]
        if copies:
            yield f"  by feature: {', '.join(copies)}"
    yield ""
    yield f"Block plan under a memory limit of {size(settings.memory_limit)}"
    yield from _plan_lines(found.parts)
    yield ""
    yield "On disk"
    yield from _array_lines(found.arrays)


def _plan_lines(parts: list[PartInfo]) -> Iterator[str]:
    rows = [("matrix", "values", "blocks", "threads", "a block", "a pass")]
    for part in parts:
        for matrix in part.matrices:
            plan = matrix.plan
            rows.append(
                (
                    f"{part.name}/{matrix.name}".strip("/"),
                    f"{plan.n_values:,}",
                    f"{plan.n_blocks:,}",
                    f"{plan.n_threads}",
                    size(plan.block_bytes),
                    size(plan.projected_bytes),
                )
            )
    yield from (f"  {line}" for line in table(rows))


def _array_lines(arrays: list[ArrayInfo]) -> Iterator[str]:
    rows = [("array", "type", "shape", "chunks", "shards", "codec", "bytes")]
    rows += [
        (
            array.name,
            array.dtype,
            _dims(array.shape),
            _dims(array.chunks),
            _dims(array.shards),
            array.codec,
            _size(array.stored_bytes),
        )
        for array in arrays
        if _OF_MATRIX.match(array.name)
    ]
    others = [array for array in arrays if not _OF_MATRIX.match(array.name)]
    if others:
        total = _size(total_bytes(others))
        rows.append((f"{len(others)} other arrays", "", "", "", "", "", total))
    yield from (f"  {line}" for line in table(rows))


def _size(n_bytes: int | None) -> str:
    return "unknown size" if n_bytes is None else size(n_bytes)


def _dims(dims: tuple[int, ...] | None) -> str:
    return "-" if dims is None else " x ".join(f"{dim:,}" for dim in dims)
