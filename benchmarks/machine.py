"""What a figure was measured on: processor, memory, versions; no names of hosts."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGES = ("lazymu", "muon", "scanpy", "snapatac2", "anndata", "mudata", "dask", "zarr", "zarrs")
LIBRARIES = ("numpy", "scipy", "numba", "scikit-learn", "igraph", "umap-learn", "pynndescent")


def processor() -> str:
    """Return the model of the processor."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.split(": ")[1] for line in lines if line.startswith("model name")), "unknown")


def memory_bytes(entry: str = "MemTotal") -> int:
    """Return an entry of /proc/meminfo in bytes."""
    lines = Path("/proc/meminfo").read_text().splitlines()
    return 1024 * int(next(line for line in lines if line.startswith(entry)).split()[1])


def load() -> float:
    """Return how many processes want to run, as a mean over the last minute."""
    return os.getloadavg()[0]


def versions() -> dict[str, str]:
    """Return the versions of the packages that are installed."""
    found = {"python": platform.python_version()}
    for name in (*PACKAGES, *LIBRARIES):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


def description() -> str:
    """Return machine and versions in two lines of text."""
    cores = len(os.sched_getaffinity(0))
    hardware = f"{processor()}, {cores} cores, {memory_bytes() / 2**30:.0f} GiB of memory"
    installed = ", ".join(f"{name} {number}" for name, number in versions().items())
    return f"Machine: {hardware}; Linux {platform.release().split('-')[0]}.\nVersions: {installed}."
