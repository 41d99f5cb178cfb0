"""Which cells are drawn where there are more than a page can hold."""

from __future__ import annotations

import numpy as np

from lazymu.typing import Int64s

LEAST_OF_GROUP = 200


def drawn_cells(groups: Int64s, most: int, *, seed: int = 0) -> Int64s:
    """Return positions of at most ``most`` cells in random order, rare groups kept.

    Of a group of ``n`` cells, ``min(n, floor)`` are drawn whatever the others are, and the rest of
    the room is shared out in proportion to what is left of each group; ``floor`` is 200 cells, or
    an equal share where there are too many groups for that.

    Parameters
    ----------
    groups
        (n,): a group's number from 0 for each cell; -1, none, is a group like the others.
    most
        The most cells to return.
    seed
        Seed of the draw.

    Examples
    --------
    >>> import numpy as np
    >>> groups = np.repeat([0, 1], [10_000, 30])
    >>> drawn = drawn_cells(groups, 500)
    >>> len(drawn), int((groups[drawn] == 1).sum())
    (500, 30)
    """
    generator = np.random.default_rng(seed)
    order = generator.permutation(len(groups))
    if len(groups) <= most:
        return order
    _, codes, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    quota = _quotas(sizes, most)
    # In the random order, a cell is drawn while its group's quota lasts.
    shuffled = codes[order]
    by_group = np.argsort(shuffled, kind="stable")
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    rank = np.empty(len(order), dtype=np.int64)
    rank[by_group] = np.arange(len(order)) - np.repeat(starts, sizes)
    drawn: Int64s = order[rank < quota[shuffled]]
    return drawn


def _quotas(sizes: Int64s, most: int) -> Int64s:
    """Return how many cells of each group are drawn; their sum is ``most``."""
    quota = np.minimum(sizes, min(LEAST_OF_GROUP, most // len(sizes)))
    left = sizes - quota
    room = most - int(quota.sum())
    exact = left * (room / left.sum())
    quota = quota + exact.astype(np.int64)
    # Whole cells that rounding left over go to the largest remainders.
    short = most - int(quota.sum())
    remainder = np.where(quota < sizes, exact % 1, -1.0)
    quota[np.argsort(-remainder, kind="stable")[:short]] += 1
    found: Int64s = np.minimum(quota, sizes)
    return found
