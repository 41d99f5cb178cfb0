"""`lazymu history`: how a store was made, as a script that would do it again."""

from __future__ import annotations

from typing import Annotated

import typer

from lazymu.cli.common import command
from lazymu.pipeline import script_of


@command
def history(
    store: Annotated[str, typer.Argument(help="Store, its URL, or file of any known format.")],
) -> None:
    """Print how a store was made, as a Python script that would do it again."""
    typer.echo(script_of(store), nl=False)
