"""Figures of the workflow: written and closed, as nobody looks at them on a screen."""

from __future__ import annotations

from pathlib import Path

_DOTS_PER_INCH = 150


def write_figure(figure: object, path: Path) -> None:
    """Write a figure, and let go of its memory, which pyplot would keep."""
    from matplotlib import pyplot
    from matplotlib.figure import Figure

    assert isinstance(figure, Figure)  # the plot was asked to return_fig
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=_DOTS_PER_INCH, bbox_inches="tight")
    pyplot.close(figure)
