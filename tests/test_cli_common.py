"""Shared options, errors as sentences, and the progress display."""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Callable

import pytest
import typer
from rich.console import Console
from typer.testing import CliRunner, Result

from lazymu.cli.common import command, sentence_of
from lazymu.cli.progress import ProgressDisplay
from lazymu.cli.text import duration, size, table
from lazymu.errors import ArgumentError
from lazymu.settings import settings
from lazymu.stream import progress


def invoke(body: Callable[[], None], *arguments: str) -> Result:
    """Run a command that does ``body`` with the shared options."""

    @command
    def work() -> None:
        body()

    app = typer.Typer(pretty_exceptions_enable=False)
    app.command()(work)
    return CliRunner().invoke(app, list(arguments))


def test_command__memory_and_threads_are_set_while_it_runs() -> None:
    seen = []
    before = settings.memory_limit, settings.n_threads
    result = invoke(
        lambda: seen.append((settings.memory_limit, settings.n_threads)),
        *("--memory", "3GB", "--threads", "1"),
    )
    assert result.exit_code == 0
    assert seen == [(3_000_000_000, 1)]
    assert (settings.memory_limit, settings.n_threads) == before


def test_command__wrong_memory_is_one_sentence() -> None:
    result = invoke(lambda: None, "--memory", "lots")
    assert result.exit_code == 1
    assert result.stderr.startswith("lazymu: `memory_limit` is 'lots'")
    assert result.stderr.count("\n") == 1


def raising(error: BaseException) -> Callable[[], None]:
    def body() -> None:
        raise error

    return body


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (ArgumentError("`x` is 1,\nbut it must be 2; pass 2."), "`x` is 1, but it must be 2"),
        (FileNotFoundError(2, "No such file", "a.h5"), "The system refuses a.h5: No such file."),
        (OSError(28, "No space left on device"), "The system refuses: No space left on device."),
        (MemoryError(), "The machine has no memory left"),
        (KeyError("k"), "Unexpected KeyError: 'k' (run again with --debug"),
    ],
)
def test_command__errors_are_one_sentence(error: Exception, sentence: str) -> None:
    result = invoke(raising(error))
    assert result.exit_code == 1
    assert result.stderr.startswith(f"lazymu: {sentence}")
    assert result.stderr.count("\n") == 1
    assert "Traceback" not in result.output
    assert sentence_of(error).startswith(sentence)


def test_command__debug_lets_the_error_through() -> None:
    result = invoke(raising(KeyError("k")), "--debug")
    assert isinstance(result.exception, KeyError)


def test_command__ctrl_c_leaves_with_130() -> None:
    result = invoke(raising(KeyboardInterrupt()))
    assert result.exit_code == 130
    assert result.stderr == "lazymu: stopped by Ctrl-C; files written before stay.\n"


@pytest.mark.parametrize(("flags", "shown"), [((), False), (("-v",), True)])
def test_command__verbose_shows_the_log(flags: tuple[str, ...], shown: bool) -> None:
    records: list[str] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            records.append(record.getMessage())

    logger = logging.getLogger("lazymu.test")
    handler = Keep()
    logger.addHandler(handler)
    try:
        invoke(lambda: logger.info("a remark"), *flags)
    finally:
        logger.removeHandler(handler)
    assert records == ["a remark"] * shown


def test_command__warnings_of_other_packages_are_not_shown() -> None:
    def body() -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("default")
            warnings.warn("for developers", stacklevel=1)

    result = invoke(body)
    assert result.exit_code == 0
    assert result.output == ""


def display(*, terminal: bool) -> tuple[ProgressDisplay, io.StringIO]:
    text = io.StringIO()
    console = Console(file=text, force_terminal=terminal, width=120, color_system=None)
    return ProgressDisplay(console=console), text


def test_progress_display__shows_stage_block_rate_and_time_left() -> None:
    shown, text = display(terminal=True)
    with shown:
        shown("RNA embedding", 3, 9)
        with progress.reporting("token", "PCA", 4, 4_000_000):
            progress.advance("token", 1_000_000)
            shown.refresh()
    assert "3/9  RNA embedding" in text.getvalue()
    assert "PCA: block 1 of 4" in text.getvalue()
    assert "M values/s" in text.getvalue()
    assert "left" in text.getvalue()


def test_progress_display__shows_the_bytes_of_a_sweep() -> None:
    shown, text = display(terminal=True)
    with shown:
        shown("TSS", 1, 1)
        with progress.reporting("token", "TSS enrichment", None, 400_000_000):
            progress.advance("token", 100_000_000)
            shown.refresh()
    assert "TSS enrichment: 100 of 400 MB, " in text.getvalue()
    assert " MB/s, " in text.getvalue()
    assert "block" not in text.getvalue()


def test_progress_display__plain_lines_where_there_is_no_terminal() -> None:
    shown, text = display(terminal=False)
    with shown:
        shown("Open", 1, 2)
        with progress.reporting("token", "PCA", 1, 10):
            progress.advance("token", 10)
        shown("Write", 2, 2)
    first, second = text.getvalue().splitlines()
    assert first.split()[:2] == ["1/2", "Open"]
    assert second.split()[:2] == ["2/2", "Write"]
    assert "block" not in text.getvalue()


def test_progress_display__watches_only_while_open() -> None:
    shown, text = display(terminal=True)
    with shown:
        shown("Open", 1, 1)
    before = text.getvalue()
    with settings.override(progress=False), progress.reporting("token", "PCA", 1, 10):
        progress.advance("token", 10)
    assert text.getvalue() == before


@pytest.mark.parametrize(
    ("n_bytes", "text"),
    [(0, "0 B"), (999, "999 B"), (999_960, "1.0 MB"), (1_500, "1.5 kB"), (2.5e13, "25.0 TB")],
)
def test_size__decimal_units(n_bytes: float, text: str) -> None:
    assert size(n_bytes) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0.0 s"), (59.94, "59.9 s"), (59.96, "1 min 00 s"), (3_600, "1 h 00 min")],
)
def test_duration__unit_that_suits(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_table__aligns_columns() -> None:
    assert table([("a", "10", "x"), ("bcd", "5", "yz")]) == ["a    10   x", "bcd   5  yz"]
