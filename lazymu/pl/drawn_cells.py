"""Which cells a heat map draws where there are more of them than it has pixels."""

from __future__ import annotations

import numpy as np

from lazymu.typing import Int64s

_SEED = 0
_LEAST_SHARE = 0.25  # of an equal share: what a group has at least, as far as it has cells


def drawn_cells(codes: Int64s, shown: list[int], most: int) -> list[Int64s]:
    """Return the positions of the cells to draw of each group, about ``most`` in all.

    All of them where they are no more. Else each group has its share, but a rare one at least a
    quarter of an equal share; its cells are taken at random, with a fixed seed, and keep their
    order.

    Examples
    --------
    >>> [len(cells) for cells in drawn_cells(np.repeat([0, 1], [990, 10]), [0, 1], 100)]
    [90, 10]
    """
    members = [np.flatnonzero(codes == code) for code in shown]
    n_of = np.array([len(cells) for cells in members])
    if n_of.sum() <= most:
        return members
    least = np.minimum(n_of, int(np.ceil(_LEAST_SHARE * most / len(shown))))
    free = max(most - int(least.sum()), 0)
    asked = np.minimum(least + (free * (n_of - least) // (n_of - least).sum()), n_of)
    generator = np.random.default_rng(_SEED)
    return [
        np.sort(generator.choice(cells, n, replace=False))
        for cells, n in zip(members, asked, strict=True)
    ]
