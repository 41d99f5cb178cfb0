"""Settings and the sentences of errors."""

from __future__ import annotations

import pytest

from lazymu import errors
from lazymu.settings import Settings, available_cpus, machine_memory, parse_bytes, settings


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("4GB", 4 * 10**9),
        ("4 GiB", 4 << 30),
        ("500m", 5 * 10**8),
        ("1.5k", 1500),
        ("2e6", 2_000_000),
        (3e9, 3 * 10**9),
        (7, 7),
    ],
)
def test_parse_bytes__units(text: str | float, size: int) -> None:
    assert parse_bytes(text) == size


@pytest.mark.parametrize("bad", ["4 bananas", "", "-1GB", 0, -5, "GB"])
def test_parse_bytes__raises(bad: str | int) -> None:
    with pytest.raises(errors.ArgumentError, match=r"`memory_limit` is .* write e\.g\. \"4GB\""):
        parse_bytes(bad)


def test_settings__defaults_fit_the_machine() -> None:
    fresh = Settings()
    assert fresh.memory_limit == max(1 << 30, machine_memory() // 4)
    assert fresh.n_threads == available_cpus()
    assert fresh.progress is None


def test_settings__set_and_override() -> None:
    before = settings.memory_limit
    with settings.override(memory_limit="2GB", n_threads=1):
        assert (settings.memory_limit, settings.n_threads) == (2 * 10**9, 1)
    assert settings.memory_limit == before


def test_settings__override_restores_after_error() -> None:
    before = settings.n_threads
    with pytest.raises(RuntimeError), settings.override(n_threads=1):
        raise RuntimeError
    assert settings.n_threads == before


def test_settings__unknown_name() -> None:
    with pytest.raises(errors.ArgumentError, match="known are memory_limit, n_threads, progress"):
        settings.memory = 5  # type: ignore[attr-defined] # what the test is about


@pytest.mark.parametrize("bad", [0, -2, 1.5, "2"])
def test_settings__bad_threads(bad: object) -> None:
    with pytest.raises(errors.ArgumentError, match=r"`n_threads` is .* whole number above 0"):
        settings.n_threads = bad  # type: ignore[assignment] # what the test is about


def test_errors__are_caught_by_the_classes_users_expect() -> None:
    assert issubclass(errors.LazyMuError, ValueError)
    assert issubclass(errors.MissingResultError, KeyError)
    assert issubclass(errors.MemoryLimitError, MemoryError)
    assert issubclass(errors.StoreExistsError, FileExistsError)


def test_errors__key_errors_show_the_plain_sentence() -> None:
    error = errors.MissingResultError(errors.explain("x", 1, "it must be 2", "pass 2"))
    assert str(error) == "`x` is 1, but it must be 2; pass 2."
