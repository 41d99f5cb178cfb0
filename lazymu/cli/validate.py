"""`lazymu validate`: whether a store is whole, and what of it is not."""

from __future__ import annotations

from typing import Annotated

import typer

from lazymu.cli.common import command
from lazymu.cli.progress import ProgressDisplay
from lazymu.io.integrity import DAMAGE, Findings, check_store
from lazymu.store.locations import redacted


@command
def validate(
    store: Annotated[str, typer.Argument(help="Store, its URL, .zarr.zip, or HDF5 file.")],
) -> None:
    """Read a store from end to end and name what is damaged, lost, or contradicts itself."""
    with ProgressDisplay() as display:
        display("Validate", 1, 1)
        findings = check_store(store)
    for finding in findings.all:
        typer.echo(str(finding))
    typer.echo(summary(redacted(store), findings))
    if any(finding.kind == DAMAGE for finding in findings.all):
        raise typer.Exit(1)


def summary(store: str, findings: Findings) -> str:
    """Return what was checked and how much of it is damaged in one line."""
    looked = ", ".join(f"{n:,} {what}" for what, n in findings.checked.items() if n)
    n_damaged = sum(finding.kind == DAMAGE for finding in findings.all)
    n_notes = len(findings.all) - n_damaged
    found = f"{n_damaged:,} damaged or contradictory" if n_damaged else "no damage"
    notes = f", {n_notes:,} notes" if n_notes else ""
    return f"{store}: {found}{notes}; checked {looked or 'nothing'}."
