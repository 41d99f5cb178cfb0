"""`lazymu convert`: any known format into a store."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

import typer

from lazymu import io
from lazymu.cli.common import command
from lazymu.cli.progress import ProgressDisplay
from lazymu.containers import read
from lazymu.errors import ArgumentError, explain
from lazymu.pipeline.by_feature import chosen, store_by_feature
from lazymu.store.locations import redacted


class ZarrFormat(StrEnum):
    """Versions of Zarr's format that can be written."""

    V2 = "2"
    V3 = "3"


@command
def convert(
    source: Annotated[
        str, typer.Argument(metavar="SRC", help="File of any known format, or URL of a store.")
    ],
    target: Annotated[
        str | None,
        typer.Argument(
            metavar="DST",
            help="Zarr store to write, or its URL; none where SRC is one, with --by-feature.",
        ),
    ] = None,
    zarr_format: Annotated[
        ZarrFormat, typer.Option("--zarr-format", help="Version of Zarr's format.")
    ] = ZarrFormat.V3,
    shards: Annotated[
        int | None,
        typer.Option(
            "--shards",
            help="Values in a shard; by default 8 chunks behind a URL, and no shards in a folder.",
        ),
    ] = None,
    checksums: Annotated[
        bool,
        typer.Option(
            "--checksums", help="Keep a checksum of each chunk, which every reader compares."
        ),
    ] = False,
    by_feature: Annotated[
        list[str] | None,
        typer.Option(
            "--by-feature",
            metavar="NAME",
            help="Keep this modality's counts also by feature, beside the store, so that genes are "
            "read at once: rna, or all; may be repeated.",
        ),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the store.")] = False,
) -> None:
    """Convert .h5mu, .h5ad, a 10x .h5 or folder, or another store into a store, streaming."""
    names, total = by_feature or [], (target is not None) + bool(by_feature)
    if not total:
        rule = "a conversion writes a store"
        raise ArgumentError(explain("DST", "missing", rule, "name it, or pass --by-feature"))
    if names:
        chosen(read(source), names)  # names that are wrong are told at once
    version: Literal[2, 3] = 2 if zarr_format is ZarrFormat.V2 else 3
    with ProgressDisplay() as display:
        if target is not None:
            display("Convert", 1, total)
            io.convert(
                source,
                target,
                overwrite=overwrite,
                zarr_format=version,
                shards="auto" if shards is None else shards,
                checksums=checksums,
            )
        if names:
            display("Store by feature", total, total)
            store_by_feature(target or source, names)
    typer.echo(redacted(target or source))
