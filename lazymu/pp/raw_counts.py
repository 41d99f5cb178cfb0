"""The raw counts of a modality whose `X` may have been transformed."""

from __future__ import annotations

from lazymu import keys
from lazymu.containers import Modality
from lazymu.errors import NotCountsError, explain
from lazymu.pp.representation import matrix_of
from lazymu.stream import LazyMatrix, matrix_sums, require_counts


def raw_counts(modality: Modality, layer: str | None, function: str) -> LazyMatrix:
    """Return a layer's counts, by default ``layers["counts"]``, else those that `X` is made of.

    One pass where it is not known whether they are whole numbers.

    Raises
    ------
    NotCountsError
        If they are not whole numbers from 0.
    """
    if layer is None and keys.COUNTS in modality.layers:
        layer = keys.COUNTS
    counts = matrix_of(modality, layer=layer).counts
    require_counts(counts, function)
    if not matrix_sums(counts).extremes.all_integer:
        name = "X" if layer is None else f"layers[{layer!r}]"
        rule = f"{function} needs counts, which are whole numbers"
        fix = f"put them into layers[{keys.COUNTS!r}], or name their layer"
        raise NotCountsError(explain(name, "with values that are not whole", rule, fix))
    return counts
