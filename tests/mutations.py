"""Ways to damage bytes: what disks, networks and attackers do to files."""

from __future__ import annotations

import gzip
import json
import re
import zlib
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeAlias

import numpy as np

Mutation: TypeAlias = Callable[[np.random.Generator, bytes], bytes]

LENGTHS = (0, 1, 127, 255, 65535, 2**31 - 1, 2**31, 2**32 - 1, 2**40, 2**62, 2**63, 2**64 - 1)
WORDS = (
    *(b"", b"0", b"-1", b"1e400", b"nan", b"99999999999999999999", b"1000000000000000", b"\t"),
    *(b"\n", b"\0", b"\xff\xfe", b"../../x", b'"', b"2147483648", b"NA", b" ", b"\xc2\xb2"),
)
VALUES = (
    *(None, True, 0, -1, 1 << 40, 1 << 70, 0.5, float("nan"), "", "../x", "/etc/passwd", "pickle"),
    *([], {}, [0], [-1], [1 << 40], [1 << 40, 1 << 40], "csr_matrix", "|O", "<U1000000000"),
)


def truncated(rng: np.random.Generator, data: bytes) -> bytes:
    return data[: rng.integers(len(data) + 1)]


def bits_flipped(rng: np.random.Generator, data: bytes) -> bytes:
    out = bytearray(data)
    for at in rng.integers(len(data), size=2 ** rng.integers(6)) if data else ():
        out[at] ^= 1 << rng.integers(8)
    return bytes(out)


def bytes_replaced(rng: np.random.Generator, data: bytes) -> bytes:
    at, n = rng.integers(len(data) + 1), 2 ** rng.integers(10)
    return data[:at] + rng.bytes(n) + data[at + n :]


def spliced(rng: np.random.Generator, data: bytes) -> bytes:
    """Put one piece of the data in the place of another."""
    a, b = rng.integers(len(data) + 1, size=2)
    n, m = 2 ** rng.integers(12, size=2)
    return data[:a] + data[b : b + m] + data[a + n :]


def length_edited(rng: np.random.Generator, data: bytes) -> bytes:
    """Write an extreme number over one that is small: a length, a size, an address."""
    size = int(rng.choice([1, 2, 4, 8, 8]))
    if len(data) < size:
        return data
    small = [at for at in rng.integers(len(data) - size + 1, size=64) if 0 in data[at : at + size]]
    at = int(small[0]) if small else 0
    value = int(LENGTHS[rng.integers(len(LENGTHS))]) % 256**size
    return data[:at] + value.to_bytes(size, "little") + data[at + size :]


def all_random(rng: np.random.Generator, data: bytes) -> bytes:
    return data[: rng.integers(16)] + rng.bytes(int(rng.integers(2000)))


def word_replaced(rng: np.random.Generator, data: bytes) -> bytes:
    """Replace a field or a number of a text."""
    found = list(re.finditer(rb"[^\s,;=]+|\s", data[:100_000]))
    if not found:
        return data
    one = found[rng.integers(len(found))]
    return data[: one.start()] + WORDS[rng.integers(len(WORDS))] + data[one.end() :]


def repacked(rng: np.random.Generator, data: bytes) -> bytes:
    """Damage what is in gzip, so that the compression is sound."""
    with suppress(OSError, EOFError, zlib.error):
        return gzip.compress(damaged(rng, gzip.decompress(data), TEXT), mtime=0)
    return data


def json_edited(rng: np.random.Generator, data: bytes) -> bytes:
    """Replace, drop or add a value of JSON."""
    with suppress(ValueError, UnicodeDecodeError):
        tree = json.loads(data)
        places = list(_places(tree)) if isinstance(tree, dict | list) else []
        if places:
            parent, key = places[rng.integers(len(places))]
            value = VALUES[rng.integers(len(VALUES))]
            if isinstance(parent, dict) and rng.random() < 0.2:
                del parent[key]
            else:
                parent[key] = value
        return json.dumps(tree).encode()
    return bits_flipped(rng, data)


def _places(tree: Any) -> Any:
    items = tree.items() if isinstance(tree, dict) else enumerate(tree)
    for key, value in list(items):
        yield tree, key
        if isinstance(value, dict | list):
            yield from _places(value)


BINARY: tuple[Mutation, ...] = (
    *(truncated, bits_flipped, bits_flipped, bytes_replaced, spliced),
    *(length_edited, length_edited, length_edited, all_random),
)
TEXT: tuple[Mutation, ...] = (
    *(truncated, bits_flipped, bytes_replaced, spliced, all_random),
    *(word_replaced, word_replaced, word_replaced),
)
GZIP: tuple[Mutation, ...] = (*BINARY, repacked, repacked, repacked)
JSON: tuple[Mutation, ...] = (json_edited, json_edited, json_edited, *TEXT)


def damaged(rng: np.random.Generator, data: bytes, mutations: tuple[Mutation, ...]) -> bytes:
    """Return data after one to three of some mutations."""
    for _ in range(rng.choice([1, 1, 1, 2, 3])):
        data = mutations[rng.integers(len(mutations))](rng, data)
    return data


def mutations_of(name: str, data: bytes) -> tuple[Mutation, ...]:
    """Return the mutations that fit a file."""
    if data[:2] == b"\x1f\x8b":
        return GZIP
    if name in ("zarr.json", ".zgroup", ".zarray", ".zattrs", ".zmetadata"):
        return JSON
    binary = name.endswith((".h5", ".h5ad", ".h5mu", ".zip")) or b"\0" in data[:4096]
    return BINARY if binary else TEXT
