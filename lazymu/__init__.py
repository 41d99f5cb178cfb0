"""lazymu: muon for single-cell data that does not fit in memory."""

from lazymu.containers import Modality, MuData, read
from lazymu.settings import settings
from lazymu.stream import LazyMatrix

__version__ = "0.1.0"

__all__ = ["LazyMatrix", "Modality", "MuData", "read", "settings"]
