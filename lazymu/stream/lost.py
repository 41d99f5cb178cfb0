"""What distributed raises when its scheduler, or workers, have gone, as one error."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from lazymu.errors import ClusterLostError, LazyMuError, explain

_OF_CONNECTIONS = (
    *("CommClosedError", "ClosedClientError", "FutureCancelledError", "FuturesCancelledError"),
)


@contextmanager
def telling_of_a_lost_cluster(client: Any) -> Iterator[None]:
    """Raise :class:`ClusterLostError` where a client's connection breaks in a block.

    Likewise where workers die again and again of the same task. Errors of tasks stay what they are.
    """
    try:
        yield
    except LazyMuError:
        raise
    except Exception as error:
        told = (str(error) or type(error).__name__).splitlines()[0]
        if type(error).__name__ == "KilledWorker":
            rule = f"workers died again and again while they worked on it ({told})"
            fix = "give workers more memory or fewer threads, or lower lazymu.settings.memory_limit"
            task = repr(getattr(error, "task", ""))
            raise ClusterLostError(explain("task", task, rule, fix)) from error
        if not _lost(error, client):
            raise
        rule = f"the connection to its scheduler is lost ({told})"
        fix = "start it again and repeat the step"
        raise ClusterLostError(explain("client", "a cluster's", rule, fix)) from error


def _lost(error: Exception, client: Any) -> bool:
    """Return whether an error is one of the connection, rather than one of a task or file."""
    if type(error).__name__ in _OF_CONNECTIONS:
        return True
    return isinstance(error, OSError | TimeoutError) and client.status != "running"
