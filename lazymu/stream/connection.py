"""A connection to the scheduler of a Dask cluster, by its address."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from lazymu.errors import ArgumentError, RemoteError, explain

CONNECT_SECONDS = 10.0
"""How long a scheduler may take to answer."""
_ADDRESS = re.compile(r"(tcp|tls|ws|wss|ucx)://(\[[0-9a-fA-F:.]+\]|[^\s/:@\[\]]+):\d{1,5}")
_PARTS_THAT_MATTER = {"python": 2, "dask": None, "distributed": None, "numpy": 1, "lazymu": None}
"""Of versions that must be the same: how many of the numbers, all where None."""


@contextmanager
def connected(address: str, *, timeout: float = CONNECT_SECONDS) -> Iterator[Any]:
    """Let work of a ``with`` block go to the workers of a cluster; the connection ends with it.

    Raises
    ------
    ArgumentError
        If the address is not that of a scheduler, or versions there are not those here.
    RemoteError
        If no scheduler answers within ``timeout`` seconds.
    """
    if _ADDRESS.fullmatch(address) is None:
        rule = "the address of a scheduler is a protocol, a host and a port"
        fix = "write it as `dask scheduler` shows it: tcp://host:8786"
        raise ArgumentError(explain("scheduler", repr(address), rule, fix))
    client = _client(address, timeout)
    try:
        _check_versions(client, address)
        with client.as_current():
            yield client
    finally:
        client.close(timeout=timeout)


def _client(address: str, timeout: float) -> Any:
    from distributed import Client

    try:
        with ThreadPoolExecutor(1) as loop:  # of its own, as a notebook has one that runs
            loop.submit(asyncio.run, _shake_hands(address, timeout)).result()
        return Client(address, timeout=timeout, name="lazymu", set_as_default=False)
    except ImportError as error:  # what the scheduler says where versions are too far apart
        raise _other_versions(address, " ".join(str(error).split())) from error
    except Exception as error:  # OSError; of servers of another kind, whatever they make of it
        told = (str(error) or type(error).__name__).splitlines()[0]
        rule = f"no scheduler answers there within {timeout:g} s ({told})"
        fix = "start one by `dask scheduler`, or correct host and port"
        raise RemoteError(explain("scheduler", repr(address), rule, fix)) from error


async def _shake_hands(address: str, timeout: float) -> None:
    """Raise where nobody answers, for which a client would wait without end."""
    from distributed.comm.core import connect
    from distributed.security import Security

    options = Security().get_connection_args("client")
    answer = connect(address, timeout=timeout, **options)
    (await asyncio.wait_for(answer, timeout)).abort()


def _check_versions(client: Any, address: str) -> None:
    """Raise where scheduler or workers could not unpack what this process sends them."""
    found = client.get_versions(packages=["lazymu", "numpy"])
    mine = found["client"]["packages"]
    others = {"its scheduler": found["scheduler"]}
    others |= {f"its worker {name}": one for name, one in found["workers"].items()}
    for where, other in others.items():
        for package, n_parts in _PARTS_THAT_MATTER.items():
            theirs = other["packages"].get(package)
            if _told(theirs, n_parts) != _told(mine[package], n_parts):
                there = f"{package} {theirs}" if theirs else f"no {package}"
                raise _other_versions(address, f"{where} has {there}, this process {mine[package]}")


def _told(version: str | None, n_parts: int | None) -> list[str] | None:
    return None if version is None else version.split(".")[:n_parts]


def _other_versions(address: str, rule: str) -> ArgumentError:
    packages = ", ".join(_PARTS_THAT_MATTER)
    fix = f"install the same versions on all machines ({packages})"
    return ArgumentError(explain("scheduler", repr(address), rule, fix))
