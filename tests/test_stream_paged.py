"""Arrays in temporary files."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from lazymu.stream.paged import PagedArray, set_aside
from tests.conftest import REPOSITORY

RESIDENT = """
import numpy as np
from lazymu.stream.paged import set_aside

def resident():
    status = open("/proc/self/status").read()
    return int(status.split("VmRSS:")[1].split()[0]) * 1024

values = np.ones(1 << 24)
held = resident()
values = set_aside(values)
print(held - resident(), float(values[123]))
"""


@pytest.mark.parametrize("shape", [(0,), (7,), (3, 5), (0, 4)])
def test_paged_array__begins_with_zeros_and_keeps_what_is_written(shape: tuple[int, ...]) -> None:
    paged = PagedArray(shape, np.float32)
    assert paged.values.shape == shape
    assert not paged.values.any()
    paged.values[...] = 3
    paged.let_go()
    assert np.all(paged.values == 3)


def test_set_aside__same_values_in_an_unnamed_file_of_the_folder(tmp_path: Path) -> None:
    values = np.random.default_rng(0).random((50, 3))
    aside = set_aside(values, tmp_path)
    assert aside.dtype == values.dtype
    np.testing.assert_array_equal(aside, values)
    aside[0] = 1  # results may be changed in place, as others
    assert not any(tmp_path.iterdir())


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="measures by /proc")
def test_set_aside__gives_memory_back() -> None:
    done = subprocess.run(
        [sys.executable, "-c", RESIDENT], capture_output=True, text=True, check=True, cwd=REPOSITORY
    )
    freed, value = map(float, done.stdout.split())
    assert freed > 0.9 * 8 * (1 << 24)
    assert value == 1
