"""Every error that lazymu raises on purpose: one class for each condition.

A message always says four things: the argument, the value that it got, the rule, and the fix.
:func:`explain` puts them into one sentence, so that no message can leave one out.
"""

from __future__ import annotations


def explain(argument: str, got: object, rule: str, fix: str) -> str:
    """Return the sentence of an error: ``argument`` is ``got``, but ``rule``; ``fix``.

    Examples
    --------
    >>> explain("n_comps", 80, "it must be below min(n_obs, n_vars) = 40", "pass n_comps=39")
    '`n_comps` is 80, but it must be below min(n_obs, n_vars) = 40; pass n_comps=39.'
    """
    return f"`{argument}` is {got}, but {rule}; {fix}."


class LazyMuError(ValueError):
    """Base class of all errors raised by lazymu."""

    def __str__(self) -> str:
        # KeyError, a second base of some subclasses, would show the repr of the message.
        return str(self.args[0]) if self.args else ""

    def __reduce__(self) -> tuple[type, tuple[object, ...]]:
        # Dask sends errors by tblib, which else fails on those that are an OSError, too.
        return type(self), self.args


class ArgumentError(LazyMuError):
    """An argument has a value that the function cannot take."""


class NotCountsError(LazyMuError):
    """The matrix holds negative, NaN or infinite values where counts are needed."""


class UnknownFormatError(LazyMuError):
    """A path has a suffix, or a file a layout, that no reader knows."""


class DamagedFileError(LazyMuError):
    """A file or store contradicts itself or is cut short."""


class ModalityNotFoundError(LazyMuError, KeyError):
    """The MuData has no modality of that name or kind."""


class DuplicateNamesError(LazyMuError):
    """Cell or feature names that must be unique are not."""


class NoCommonCellsError(LazyMuError):
    """No cell is present in all modalities."""


class EmptyResultError(LazyMuError):
    """A filter would leave no cells or no features."""


class MissingResultError(LazyMuError, KeyError):
    """An embedding, graph, column or layer that a step needs has not been computed."""


class MemoryLimitError(LazyMuError, MemoryError):
    """A step cannot keep the memory limit, found out before it starts."""


class StoreExistsError(LazyMuError, FileExistsError):
    """The target of a write exists and overwriting was not asked for."""


class MissingPackageError(LazyMuError, ImportError):
    """An optional package is needed for what was asked."""


class MissingFileError(LazyMuError, FileNotFoundError):
    """A path to read from does not exist."""


class ClusterLostError(LazyMuError, ConnectionError):
    """The scheduler of a Dask cluster, or what its workers held, is gone."""


class WorkerKilledError(ClusterLostError):
    """A task has taken one worker of a Dask cluster after another down."""


class AccessError(LazyMuError, PermissionError):
    """An object store refuses the request, or the credentials."""


class RemoteError(LazyMuError, ConnectionError):
    """A server did not answer, or answered with errors, also when asked again."""


class DiskSpaceError(LazyMuError, OSError):
    """A disk has no room for a temporary file."""


class RunningError(LazyMuError):
    """Another process is at work on the same target."""
