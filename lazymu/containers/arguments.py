"""Arguments of a call as JSON: plain values as they are, all else by what tells it."""

from __future__ import annotations

import ast
import inspect
import math
import textwrap
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp

from lazymu.containers.checksums import checksum_of_values
from lazymu.store.locations import redacted

MOST_VALUES = 64
"""Longer lists and arrays are told by their checksum alone."""
KIND = "kind"
ARRAY, FUNCTION, DATA, FLOAT, OTHER = "array", "function", "data", "float", "other"
# What the source of a lambda may refer to and still mean the same in another script.
MODULES = {"np": "numpy", "numpy": "numpy", "pd": "pandas", "pandas": "pandas"}


def to_json(value: Any) -> Any:
    """Return a value as JSON holds it; what is not plain is a dictionary with a ``"kind"``.

    Examples
    --------
    >>> to_json((1, 2.5)), to_json(float("nan"))
    ([1, 2.5], {'kind': 'float', 'text': 'nan'})
    """
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return {KIND: FLOAT, "text": str(value)}
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, str | Path):
        return redacted(value)
    if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        return {key: to_json(one) for key, one in value.items()}
    if isinstance(value, list | tuple | set | frozenset | pd.Index | range):
        return _of_sequence(value)
    if isinstance(value, np.ndarray | pd.Series | pd.DataFrame) or sp.issparse(value):
        return _of_array(value)
    if hasattr(value, "obs_names"):
        return _of_data(value)
    if callable(value):
        return {KIND: FUNCTION, **_of_function(value)}
    return {KIND: OTHER, "type": type(value).__name__}


def _of_sequence(value: Any) -> Any:
    values = sorted(value, key=str) if isinstance(value, set | frozenset) else list(value)
    if len(values) <= MOST_VALUES:
        return [to_json(one) for one in values]
    known = {"type": type(value).__name__, "shape": [len(values)]}
    return {KIND: ARRAY, **known, "crc32": checksum_of_values(np.array(values, dtype=object))}


def _of_array(value: Any) -> dict[str, Any]:
    known: dict[str, Any] = {KIND: ARRAY, "type": type(value).__name__, "shape": list(value.shape)}
    if hasattr(value, "dtype"):
        known["dtype"] = str(value.dtype)
    if isinstance(value, pd.Series) and isinstance(value.name, str):
        known["name"] = value.name
    if isinstance(value, np.ndarray) and value.ndim == 1 and value.size <= MOST_VALUES:
        known["values"] = [to_json(one) for one in value]
    return {**known, "crc32": checksum_of_values(value)}


def _of_data(value: Any) -> dict[str, Any]:
    shape = [int(n) for n in value.shape]
    return {KIND: DATA, "type": type(value).__name__, "shape": shape}


def _of_function(function: Callable[..., Any]) -> dict[str, Any]:
    """Return a function's name and, of a lambda that needs nothing around it, its source."""
    name = getattr(function, "__name__", type(function).__name__)
    source = _source_of_lambda(function)
    return {"name": name} if source is None else {"name": name, "source": source}


def _source_of_lambda(function: Any) -> str | None:
    code = getattr(function, "__code__", None)
    if code is None or function.__name__ != "<lambda>" or code.co_freevars:
        return None
    if not all(_means_the_same(name, function.__globals__) for name in code.co_names):
        return None
    try:
        text = textwrap.dedent("".join(inspect.getsourcelines(function)[0]))
    except (OSError, TypeError):
        return None
    nodes = [node for node in ast.walk(_parsed(text)) if isinstance(node, ast.Lambda)]
    same = {text for text in map(ast.unparse, nodes) if _alike(_compiled(text), code)}
    return same.pop() if len(same) == 1 else None


def _means_the_same(name: str, known: Mapping[str, Any]) -> bool:
    """Return whether a name is that of an attribute or a builtin, or of NumPy or pandas."""
    return name not in known or getattr(known[name], "__name__", None) == MODULES.get(name, name)


def _parsed(text: str) -> ast.AST:
    """Return the syntax of lines that may be cut out of a statement."""
    for candidate in (text, f"f({text.strip()}", f"f({text.strip()})"):
        try:
            return ast.parse(candidate)
        except SyntaxError:
            continue
    return ast.Module(body=[], type_ignores=[])


def _compiled(source: str) -> Any:
    return compile(source, "<history>", "eval").co_consts[0]


def _alike(a: Any, b: Any) -> bool:
    # Not the instructions, which differ by what was imported around the lambda.
    parts = ("co_consts", "co_names", "co_varnames", "co_argcount")
    return all(getattr(a, part) == getattr(b, part) for part in parts)
