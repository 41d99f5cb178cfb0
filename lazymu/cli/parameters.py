"""The workflow's parameters as flags: ``--rna-min-genes`` for TOML's ``[rna] min_genes``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal, get_args, get_origin

import typer

from lazymu.cli.common import with_parameters
from lazymu.pipeline.params import Parameter, RunParams, parameters


def with_run_parameters(function: Callable[..., None]) -> Callable[..., None]:
    """Add a flag for every parameter of a run; the function gets those given, by flag name."""
    added: dict[str, tuple[Any, Any]] = {}
    for parameter in parameters():
        origin, arguments = get_origin(parameter.kind), get_args(parameter.kind)
        repeated, choices = origin is tuple, arguments if origin is Literal else ()
        kind: Any = list[arguments[0]] if repeated else str if choices else parameter.kind  # type: ignore[valid-type] # made at run time
        shown = ", ".join(map(str, parameter.default if repeated else [parameter.default]))
        name = _flag(parameter)
        flag = name.replace("_", "-")
        option = typer.Option(
            f"--{flag}/--no-{flag}" if parameter.kind is bool else f"--{flag}",
            metavar=(choices and "|".join(choices)) or None,
            help=parameter.about.meaning + (f" (default {shown})" if shown else ""),
            rich_help_panel=parameter.title,
            show_default=False,
        )
        added[name] = (Annotated[kind | None, option], None)
    return with_parameters(function, added)


def run_parameters(file: str | None, flags: dict[str, Any]) -> RunParams:
    """Return the parameters of a TOML file, if there is one, with the flags given over them."""
    tables: dict[str, dict[str, Any]] = {}
    for parameter in parameters():
        value = flags.get(_flag(parameter))
        if value is not None and value != []:
            tables.setdefault(parameter.section, {})[parameter.name] = value
    params = RunParams.from_toml(file) if file else RunParams()
    return params.updated(tables)


def _flag(parameter: Parameter) -> str:
    """Return the name of a flag; joint parameters go without their section's name."""
    joint = parameter.section == "joint"
    return parameter.name if joint else f"{parameter.section}_{parameter.name}"
