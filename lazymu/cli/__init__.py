"""The command line: arguments to one call each."""

from lazymu.cli.main import main

__all__ = ["main"]
