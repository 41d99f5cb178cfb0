"""Which cells or features lie within limits."""

from __future__ import annotations

import logging
from typing import NamedTuple

import numpy as np

from lazymu.errors import ArgumentError, EmptyResultError, explain
from lazymu.typing import Array, Bools

logger = logging.getLogger("lazymu")


class Limit(NamedTuple):
    """One criterion: ``minimum <= value`` or ``value <= maximum``."""

    name: str
    """The argument, such as ``min_genes``."""
    bound: float
    kind: str
    """What is limited, such as ``genes``."""

    def passes(self, values: Array) -> Bools:
        """Return which values keep to the limit."""
        kept: Bools = values >= self.bound if self.name.startswith("min") else values <= self.bound
        return kept


def limits_of(**bounds: float | None) -> list[Limit]:
    """Return the limits that are set, from arguments named ``min_...`` or ``max_...``.

    Raises
    ------
    ArgumentError
        If none is set.
    """
    limits = [
        Limit(name, bound, name.partition("_")[2])
        for name, bound in bounds.items()
        if bound is not None
    ]
    if not limits:
        names = list(bounds)
        fix = f"pass e.g. {names[1]}=10"
        raise ArgumentError(explain(", ".join(names), None, "at least one must be set", fix))
    return limits


def within(limits: list[Limit], values: dict[str, Array], what: str) -> Bools:
    """Return which entries keep to all limits, and log how many do not.

    Parameters
    ----------
    limits
        The limits.
    values
        Values of each kind that is limited.
    what
        ``"cells"`` or ``"genes"``, for messages.

    Raises
    ------
    EmptyResultError
        If none does, with the range of the values.
    """
    kept: Bools = np.all([limit.passes(values[limit.kind]) for limit in limits], axis=0)
    asked = ", ".join(f"{limit.name}={limit.bound:g}" for limit in limits)
    if not kept.any():
        kinds = dict.fromkeys(limit.kind for limit in limits)
        ranges = " and ".join(f"{span(values[kind])} {kind}" for kind in kinds)
        names = ", ".join(limit.name for limit in limits)
        bounds = ", ".join(f"{limit.bound:g}" for limit in limits)
        rule = f"none of the {len(kept)} {what} would be left: they have {ranges}"
        raise EmptyResultError(explain(names, bounds, rule, "choose limits within these ranges"))
    logger.info("filtered out %d %s (%s)", len(kept) - int(kept.sum()), what, asked)
    return kept


def span(values: Array) -> str:
    """Return the range of values in words."""
    return f"{values.min():g} to {values.max():g}" if len(values) else "no"
