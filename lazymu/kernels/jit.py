"""How every kernel is compiled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba
from numba.extending import intrinsic

F = TypeVar("F", bound=Callable[..., Any])


def kernel(function: F) -> F:
    """Compile a function on first use, without the GIL, divisions as in NumPy; keep it on disk."""
    compile_lazily = numba.njit(nogil=True, cache=True, error_model="numpy")
    return cast("F", compile_lazily(function))


def contracting_kernel(function: F) -> F:
    """Compile as :func:`kernel` does, with products and sums fused where the processor can."""
    compile_lazily = numba.njit(
        nogil=True, cache=True, error_model="numpy", fastmath={"contract", "nsz"}
    )
    return cast("F", compile_lazily(function))


def generated(function: Callable[..., Any]) -> Any:
    """Make a function that kernels call out of one that makes its signature and LLVM code."""
    return intrinsic(function)
