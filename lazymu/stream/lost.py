"""What distributed raises when its scheduler has gone, as one error."""

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

    Errors of tasks stay what they are.
    """
    try:
        yield
    except LazyMuError:
        raise
    except Exception as error:
        if not _lost(error, client):
            raise
        rule = f"the connection to its scheduler is lost ({first_line(error)})"
        fix = "start it again and repeat the step"
        raise ClusterLostError(explain("client", "a cluster's", rule, fix)) from error


def _lost(error: Exception, client: Any) -> bool:
    """Return whether an error is one of the connection, rather than one of a task or file."""
    if type(error).__name__ in _OF_CONNECTIONS:
        return True
    return isinstance(error, OSError | TimeoutError) and client.status != "running"


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message, or its name."""
    return (str(error) or type(error).__name__).splitlines()[0]
