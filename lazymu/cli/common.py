"""What all commands share: memory, threads, verbosity, and errors as one sentence."""

from __future__ import annotations

import functools
import inspect
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Annotated, Any

import typer

from lazymu.errors import LazyMuError
from lazymu.settings import settings

INTERRUPTED = 130

MACHINE_PANEL = "Machine"
_Memory = Annotated[
    str | None,
    typer.Option(
        "--memory",
        metavar="SIZE",
        help="Peak memory to plan for, such as 4GB; a quarter of the machine's if not given.",
        rich_help_panel=MACHINE_PANEL,
    ),
]
_Threads = Annotated[
    int | None,
    typer.Option(
        "--threads", help="Threads; all processors if not given.", rich_help_panel=MACHINE_PANEL
    ),
]
_Verbose = Annotated[
    bool,
    typer.Option("--verbose", "-v", help="Say more on the way.", rich_help_panel=MACHINE_PANEL),
]
_Debug = Annotated[
    bool,
    typer.Option("--debug", help="Show the traceback of an error.", rich_help_panel=MACHINE_PANEL),
]
_SHARED: dict[str, tuple[Any, Any]] = {
    "memory": (_Memory, None),
    "threads": (_Threads, None),
    "verbose": (_Verbose, False),
    "debug": (_Debug, False),
}

# What messages tell callers in Python, as one tells it on the command line.
_FLAGS = {
    "pass overwrite=True": "pass --overwrite",
    "set lazymu.settings.memory_limit to": "pass --memory with",
    "lower lazymu.settings.memory_limit": "pass a smaller --memory",
    "pass storage_options={'anon': True}": "set AWS_SKIP_SIGNATURE=true",
    "the profile in ~/.aws, or storage_options": "or the profile in ~/.aws (AWS_PROFILE)",
    ", or pass storage_options": " in the environment",
    'pass index_unique="-"': "pass --index-unique=-",
    'pass join="outer"': "pass --join outer",
    "pass as many different keys": "pass --key once for each",
    "pass another label, or label=None to keep the column": "pass another --label",
    "pass the modality of each, as mdata[name]": "name the modality of each, as in a.zarr/mod/rna",
}


def command(function: Callable[..., None]) -> Callable[..., None]:
    """Give a command the shared options, and turn its errors into a sentence and a status."""

    @functools.wraps(function)
    def with_shared_options(**arguments: Any) -> None:
        shared = {name: arguments.pop(name) for name in _SHARED}
        with reported_errors(debug=shared["debug"]), configured(**shared):
            function(**arguments)

    return with_parameters(with_shared_options, _SHARED)


def with_parameters(
    function: Callable[..., None], added: dict[str, tuple[Any, Any]]
) -> Callable[..., None]:
    """Append parameters, each an annotation and a default, to the signature that typer reads."""
    signature = inspect.signature(function, eval_str=True)
    extra = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=kind)
        for name, (kind, default) in added.items()
    ]
    kept = [
        parameter
        for parameter in signature.parameters.values()
        if parameter.kind is not inspect.Parameter.VAR_KEYWORD
    ]
    function.__signature__ = signature.replace(parameters=[*kept, *extra])  # type: ignore[attr-defined] # inspect reads it
    kinds = {name: kind for name, (kind, _) in added.items()}
    function.__annotations__ = {**function.__annotations__, **kinds}
    return function


@contextmanager
def configured(
    *, memory: str | None, threads: int | None, verbose: bool, debug: bool
) -> Iterator[None]:
    """Set memory limit, threads and logging for the length of a command."""
    level = logging.DEBUG if debug else logging.INFO if verbose else logging.WARNING
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    # Warnings of the packages beneath are for developers.
    levels = {"lazymu": level, "py.warnings": level if verbose or debug else logging.ERROR}
    before = {name: logging.getLogger(name).level for name in levels}
    chosen = {"memory_limit": memory, "n_threads": threads}
    logging.captureWarnings(True)
    try:
        _set_levels(levels)
        with settings.override(**{k: v for k, v in chosen.items() if v is not None}):
            yield
    finally:
        logging.captureWarnings(False)
        _set_levels(before)


def _set_levels(levels: Mapping[str, int]) -> None:
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)


@contextmanager
def reported_errors(*, debug: bool) -> Iterator[None]:
    """Write an error as one sentence and leave with status 1; with ``debug`` let it through."""
    try:
        yield
    except (typer.Exit, typer.Abort):
        raise
    except KeyboardInterrupt as error:
        if debug:
            raise
        typer.echo("lazymu: stopped by Ctrl-C; files written before stay.", err=True)
        raise typer.Exit(INTERRUPTED) from error
    except Exception as error:
        if debug:
            raise
        typer.echo(f"lazymu: {sentence_of(error)}", err=True)
        raise typer.Exit(1) from error


def sentence_of(error: Exception) -> str:
    """Return an error as one sentence on one line."""
    if isinstance(error, LazyMuError):
        text = " ".join(str(error).split())
        for in_python, flag in _FLAGS.items():
            text = text.replace(in_python, flag)
        return text
    if isinstance(error, OSError) and error.strerror:
        where = f" {error.filename}" if error.filename else ""
        return f"The system refuses{where}: {error.strerror}."
    if isinstance(error, MemoryError):
        return "The machine has no memory left; pass a smaller --memory, or fewer --threads."
    text = " ".join(str(error).split())
    return f"Unexpected {type(error).__name__}: {text} (run again with --debug for the traceback)."
