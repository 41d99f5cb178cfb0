"""A network of one process's own, and a link to it that can be cut."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import pytest

NOBODY = "02:00:00:00:00:99"
"""An Ethernet address that no interface has: what is sent there is lost without a word."""


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True)


class Network(NamedTuple):
    """A network namespace at the other end of a pair of virtual interfaces."""

    name: str
    device: str
    here: str
    """The address of this end."""
    there: str

    def run_in(self) -> list[str]:
        """Return the words before a command that runs it in the namespace."""
        return ["ip", "netns", "exec", self.name]

    def cut(self) -> None:
        """Lose every packet, in both directions, as a pulled cable does: no side is told."""
        ip("neigh", "replace", self.there, "lladdr", NOBODY, "dev", self.device, "nud", "permanent")
        inner = ("replace", self.here, "lladdr", NOBODY, "dev", "inner", "nud", "permanent")
        ip("-n", self.name, "neigh", *inner)

    def restore(self) -> None:
        """Let packets through again."""
        ip("neigh", "del", self.there, "dev", self.device)
        ip("-n", self.name, "neigh", "del", self.here, "dev", "inner")


@contextmanager
def linked_network() -> Iterator[Network]:
    """Give a network with a link to it; skip the test where this machine does not allow one."""
    if shutil.which("ip") is None:
        pytest.skip("a network namespace needs the command ip")
    number = os.getpid() % 2**14
    block = f"198.18.{number // 64}.{number % 64 * 4}".rsplit(".", 1)
    here, there = (f"{block[0]}.{int(block[1]) + n}" for n in (1, 2))
    network = Network(f"lazymu{number}", f"lazymu{number}", here, there)
    try:
        try:
            _make(network)
        except subprocess.CalledProcessError as error:
            pytest.skip(f"this machine gives no network namespace: {error.stderr.strip()}")
        yield network
    finally:
        for words in (("link", "del", network.device), ("netns", "del", network.name)):
            subprocess.run(["ip", *words], check=False, capture_output=True)


def _make(network: Network) -> None:
    ip("netns", "add", network.name)
    pair = ("type", "veth", "peer", "name", "inner", "netns", network.name)
    ip("link", "add", network.device, *pair)
    ip("addr", "add", f"{network.here}/30", "dev", network.device)
    ip("link", "set", network.device, "up")
    inside = ("-n", network.name)
    ip(*inside, "addr", "add", f"{network.there}/30", "dev", "inner")
    ip(*inside, "link", "set", "inner", "up")
    ip(*inside, "link", "set", "lo", "up")
