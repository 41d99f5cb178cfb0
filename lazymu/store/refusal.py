"""What other packages raise on a damaged file, as errors of lazymu."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from errno import EDQUOT, EMFILE, ENFILE, ENOSPC

from lazymu.errors import DamagedFileError, LazyMuError, MemoryLimitError, explain

OF_THE_SYSTEM = (EDQUOT, EMFILE, ENFILE, ENOSPC)


def is_told(error: Exception) -> bool:
    """Return whether an error says what is wrong, and not that a file is damaged.

    Errors of lazymu do, and those of the system: no permission, no room, too many open files.
    """
    if isinstance(error, LazyMuError | PermissionError | Warning):
        return True
    return isinstance(error, OSError) and error.errno in OF_THE_SYSTEM


@contextmanager
def refusing(
    argument: str, got: str, rule: str = "it cannot be read", fix: str = "copy or write it again"
) -> Iterator[None]:
    """Turn whatever a damaged file makes other packages raise into an error of lazymu.

    h5py, zarr, zipfile, pandas and anndata document no closed set of exceptions, and a damaged
    file reaches most of them.
    """
    try:
        yield
    except MemoryError as error:
        if isinstance(error, LazyMuError):
            raise
        rule = "reading it takes more memory than there is"
        larger = "check that the file is what it should be, or use a machine with more"
        raise MemoryLimitError(explain(argument, got, rule, larger)) from error
    except Exception as error:
        if is_told(error):
            raise
        said = "; ".join([" ".join(str(error).split()), *getattr(error, "__notes__", [])])
        told = f"{rule} ({type(error).__name__}: {said})"
        raise DamagedFileError(explain(argument, got, told, fix)) from error
