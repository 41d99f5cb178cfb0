"""What distributed raises when its scheduler has gone, as one error that says what to do."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from lazymu.errors import ClusterLostError, LazyMuError, explain

_OF_CONNECTIONS = ("CommClosedError", "FutureCancelledError", "FuturesCancelledError")


@contextmanager
def telling_of_a_lost_cluster() -> Iterator[None]:
    """Raise :class:`ClusterLostError` where the connection to a cluster breaks in a block."""
    try:
        yield
    except Exception as error:
        if not _lost(error):
            raise
        told = " ".join(str(error).split()) or type(error).__name__
        rule = f"its scheduler does not answer any more ({told})"
        fix = "restart the cluster and connect to it; `lazymu run --resume` goes on with a run"
        raise ClusterLostError(explain("client", "that of a Dask cluster", rule, fix)) from error


def _lost(error: Exception) -> bool:
    """Return whether an error is one of a connection, rather than one of a task or file."""
    if "distributed" not in sys.modules or isinstance(error, LazyMuError):
        return False
    if type(error).__name__ in _OF_CONNECTIONS or isinstance(error, ConnectionError):
        return True
    return isinstance(error, OSError | TimeoutError) and not _connected()


def _connected() -> bool:
    """Return whether there is a client whose scheduler answers it."""
    from distributed import get_client

    try:
        client = get_client()
    except ValueError:
        return False
    return str(client.status) == "running"
