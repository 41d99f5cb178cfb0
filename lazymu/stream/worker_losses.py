"""What is said of workers that a cluster has lost, and how much of it memory explains."""

from __future__ import annotations

from typing import Any, NamedTuple

from lazymu.errors import explain
from lazymu.settings import settings
from lazymu.stream.cluster import WORKING_SHARE, active_client, known_workers, workers

MEMORY_TOPIC = "worker-restart-memory"
"""Under which a nanny tells the scheduler that it kills a worker for its memory."""


def memory_kills() -> list[dict[str, Any]]:
    """Return what nannies told of workers that they killed for their memory, oldest first."""
    client = active_client()
    return [] if client is None else [event for _, event in client.get_events(MEMORY_TOPIC)]


class Crew(NamedTuple):
    """What a cluster was like before its workers were lost."""

    limits: str
    """The memory and threads of one of them."""
    planned: int
    """Bytes that work was planned with."""
    n_kills: int
    """Workers killed for their memory until then."""


def crew() -> Crew:
    """Return what is to be known of the active cluster, should its workers be lost."""
    client = active_client()
    known = [] if client is None else known_workers(client)
    limits = [_limit(worker["memory_limit"], worker["nthreads"]) for worker in known]
    return Crew(limits[0] if limits else "too small", workers().memory_limit, len(memory_kills()))


def why_killed(error: Any) -> str:
    """Return what is to be said of a task that took one worker after another down."""
    worker, name = error.last_worker, str(error.task)
    times = f"{error.allowed_failures + 1} workers in turn"
    if worker.address in {event["worker"] for event in memory_kills()}:
        rule = f"task {name!r} went beyond it on {times}, which were killed for it"
    else:
        rule = f"{times} died while they worked on task {name!r}; their logs may say why"
    limit = _limit(worker.memory_limit, worker.nthreads)
    # The scheduler may have no workers at this moment.
    planned = min(settings.memory_limit, int(WORKING_SHARE * worker.memory_limit))
    return explain("--memory-limit", limit, rule, _fix(planned))


def why_lost(n_attempts: int, before: Crew) -> str:
    """Return what is to be said of workers that were lost, with what they held, again and again."""
    kills = memory_kills()[before.n_kills :]
    if not kills:
        rule = f"workers were lost in each of {n_attempts} attempts, with what its tasks take"
        fix = "see in their logs why, and repeat the step when workers stay"
        return explain("client", "a cluster's", rule, fix)
    most = max(event["rss"] for event in kills)
    rule = (
        f"in {n_attempts} attempts {len(kills)} workers went beyond it (up to {most:,} bytes), "
        "were killed for it, and lost what tasks take"
    )
    return explain("--memory-limit", before.limits, rule, _fix(before.planned))


def _limit(memory: int, n_threads: int) -> str:
    return f"{memory:,} bytes for {n_threads} thread{'s' if n_threads > 1 else ''} of a worker"


def _fix(planned: int) -> str:
    lower = (
        f"set lazymu.settings.memory_limit, by which work is planned, to {planned // 2:,} or less"
    )
    return f"start workers with more memory or fewer threads, or {lower}"
