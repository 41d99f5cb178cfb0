"""Figures of the workflow: written and closed, as nobody looks at them on a screen."""

from __future__ import annotations

from pathlib import Path

from lazymu.errors import ArgumentError, explain

_DOTS_PER_INCH = 150


def check_picture(path: Path) -> None:
    """Raise unless pictures of the path's suffix can be written.

    Raises
    ------
    ArgumentError
        If the suffix is missing or no picture's.
    """
    from matplotlib.backend_bases import FigureCanvasBase

    if path.suffix[1:].lower() not in FigureCanvasBase.get_supported_filetypes():
        rule = "its suffix must be that of a picture, such as .png, .pdf or .svg"
        fix = f"name it {path.with_suffix('.png')}"
        raise ArgumentError(explain("out", repr(str(path)), rule, fix))


def write_figure(figure: object, path: Path) -> None:
    """Write a figure, and let go of its memory, which pyplot would keep."""
    from matplotlib import pyplot
    from matplotlib.figure import Figure

    assert isinstance(figure, Figure)  # the plot was asked to return_fig
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=_DOTS_PER_INCH, bbox_inches="tight")
    pyplot.close(figure)
