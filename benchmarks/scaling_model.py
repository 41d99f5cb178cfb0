"""What a pass and a whole run take on a cluster, as a formula of what was measured on one core.

A pass over ``v`` values by ``w`` workers of ``t`` threads, in ``n`` folds, takes the sum of

- work: ``v * seconds_per_value / (w t)``, more where tasks do not fill the last round,
- storage: ``v * bytes_per_value / min(w * storage, storage_in_all)``,
- operands: ``operand_bytes / network`` for each doubling of the workers that have them,
- reduction: four states are fetched and added at each level of the tree of merges,
- results by cell: up the tree, to the scheduler, to the client: three times over the network,
- scheduler: ``latency + (n + merges) * task_seconds``.

Nothing is taken to overlap: sums are upper bounds of what overlaps in truth.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from lazymu.stream.folds import BLOCKS_PER_REMOTE_TASK, STATES_PER_MERGE, TASKS_PER_THREAD
from lazymu.stream.plan import MAX_VALUES

RESULT_HOPS = 3
"""Times that results by cell cross a link: the upper levels of the tree, scheduler, client."""


class Crew(NamedTuple):
    """The workers of a cluster."""

    n_workers: int
    threads: int

    @property
    def slots(self) -> int:
        return self.n_workers * self.threads


class Rates(NamedTuple):
    """What machines and network do in a second."""

    storage: float
    """Bytes that one worker reads."""
    storage_in_all: float
    """Bytes that all workers together read."""
    network: float
    """Bytes from one process to another."""
    merge: float
    """Bytes of one state added to another."""
    latency: float
    """Seconds of a pass without work."""
    task_seconds: float
    """Of the scheduler, for each task."""


class Pass(NamedTuple):
    """One kind of pass over one modality."""

    modality: str
    label: str
    values_per_cell: float
    bytes_per_value: float
    """On disk."""
    seconds_per_value: float
    """Of one thread, data in the page cache."""
    state_bytes: int
    operand_bytes: int
    row_bytes: int = 0
    """Of results for each cell."""


class Costs(NamedTuple):
    """Seconds, by what they are for."""

    work: float = 0.0
    storage: float = 0.0
    operands: float = 0.0
    reduction: float = 0.0
    results: float = 0.0
    scheduler: float = 0.0
    client: float = 0.0

    @property
    def total(self) -> float:
        return sum(self)

    @property
    def largest(self) -> str:
        """What most of the time goes into."""
        return max(zip(self, self._fields, strict=True))[1]

    def plus(self, other: Costs, times: float = 1.0) -> Costs:
        """Return the sum with another's."""
        return Costs(*(a + times * b for a, b in zip(self, other, strict=True)))


def n_folds(n_values: float, crew: Crew) -> int:
    """Return the tasks of folding of a pass, where memory allows the largest blocks."""
    blocks = max(math.ceil(n_values / MAX_VALUES), 1)
    step = min(max(blocks // (TASKS_PER_THREAD * crew.slots), 1), BLOCKS_PER_REMOTE_TASK)
    return math.ceil(blocks / step)


def merges_by_level(n_states: int) -> list[int]:
    """Return the merges at each level of the tree, the widest first."""
    levels = []
    while n_states > 1:
        n_states = math.ceil(n_states / STATES_PER_MERGE)
        levels.append(n_states)
    return levels


def pass_costs(
    of: Pass, n_cells: float, crew: Crew, rates: Rates, folds: int | None = None
) -> Costs:
    """Return what a pass takes; ``folds`` is the number of its tasks where that is known."""
    n_values = n_cells * of.values_per_cell
    folds = n_folds(n_values, crew) if folds is None else folds
    rounds = math.ceil(folds / crew.slots)
    levels = merges_by_level(folds)
    of_one_merge = STATES_PER_MERGE * of.state_bytes * (1 / rates.network + 1 / rates.merge)
    storage = min(crew.n_workers * rates.storage, rates.storage_in_all)
    return Costs(
        work=n_values * of.seconds_per_value * rounds / folds,
        storage=n_values * of.bytes_per_value / storage,
        operands=of.operand_bytes / rates.network * math.ceil(math.log2(crew.n_workers + 1)),
        reduction=of_one_merge * sum(math.ceil(merges / crew.slots) for merges in levels),
        results=RESULT_HOPS * n_cells * of.row_bytes / rates.network,
        scheduler=rates.latency + (folds + sum(levels)) * rates.task_seconds,
    )


class Stage(NamedTuple):
    """One stage of the workflow."""

    label: str
    passes: Sequence[tuple[Pass, float, float]] = ()
    """Each with how often it is made, and the share of the cells that it reads."""
    cpu_at_million: float = 0.0
    """Seconds of processors that workers share."""
    client_at_million: float = 0.0
    """Seconds of the process that runs the script."""
    client_always: float = 0.0
    """Seconds there, whatever the number of cells."""
    exponent: float = 1.0
    """Of the number of cells, by which the seconds at a million grow."""
    sent_per_cell: float = 0.0
    """Bytes between client and workers, passes apart."""


def stage_costs(stage: Stage, n_cells: float, crew: Crew, rates: Rates) -> Costs:
    """Return what a stage takes."""
    costs = Costs()
    for of, times, share in stage.passes:
        costs = costs.plus(pass_costs(of, share * n_cells, crew, rates), times)
    growth = (n_cells / 1e6) ** stage.exponent
    return costs.plus(
        Costs(
            work=stage.cpu_at_million * growth / crew.slots,
            results=stage.sent_per_cell * n_cells / rates.network,
            client=stage.client_at_million * growth + stage.client_always,
        )
    )


def exponent_between(few: tuple[float, float], many: tuple[float, float]) -> float:
    """Return the power of cells by which seconds grow, from two pairs of cells and seconds."""
    return math.log(many[1] / few[1]) / math.log(many[0] / few[0])
