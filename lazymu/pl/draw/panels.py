"""Figures of several panels: their size, their layout, what is done with them in the end."""

from __future__ import annotations

from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias, TypeVar

from lazymu.errors import ArgumentError, explain

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Shown: TypeAlias = "Figure | Axes | list[Axes] | None"
"""What a plot returns: None once shown; else its axes, or its figure where that was asked for."""

T = TypeVar("T")

_LINE_INCHES = 0.25
_BACKENDS_TO_FILES = {"agg", "cairo", "pdf", "pgf", "ps", "svg", "template"}


def grid(
    n: int, ncols: int, panel: tuple[float, float], *, hspace: float | None, wspace: float | None
) -> tuple[Figure, list[Axes]]:
    """Return a new figure and ``n`` axes, each of about ``panel`` inches, ``ncols`` a row."""
    from matplotlib import pyplot

    if ncols < 1:
        raise ArgumentError(explain("ncols", ncols, "it must be at least 1", "pass e.g. 3"))
    columns = min(n, ncols)
    rows = ceil(n / columns)
    figure, axes = pyplot.subplots(
        rows,
        columns,
        figsize=(columns * panel[0], rows * panel[1]),
        squeeze=False,
        layout="constrained",
    )
    engine = figure.get_layout_engine()
    if engine is not None:
        engine.set(w_pad=0.06, h_pad=0.06, hspace=hspace or 0.03, wspace=wspace or 0.03)  # type: ignore[call-arg]  # of the constrained engine just asked for
    flat: list[Axes] = list(axes.flat)
    for unused in flat[n:]:
        unused.remove()
    return figure, flat[:n]


def widen(figure: Figure, inches: float) -> None:
    """Make the figure wider, for legends that stand beside the axes."""
    width, height = figure.get_size_inches()
    figure.set_size_inches(width + inches, height)


def heighten(figure: Figure, axes: list[Axes]) -> None:
    """Make the figure taller by what upright names below the axes take beyond a line of text."""
    rows = axes[0].get_gridspec().nrows  # type: ignore[union-attr]  # they stand in a grid of ours
    without_formulas(figure)
    names = [label for ax in axes for label in ax.get_xticklabels()]
    tallest = max((name.get_window_extent().height for name in names), default=0.0) / figure.dpi
    width, height = figure.get_size_inches()
    figure.set_size_inches(width, height + rows * max(tallest - _LINE_INCHES, 0.0))


def without_formulas(drawn: Artist) -> None:
    """Show names with dollar signs as they are: a gene is no formula, and may be none that parses.

    Numbers on logarithmic axes are, and stay.
    """
    from matplotlib.text import Text

    for text in drawn.findobj(Text):
        if "$" in text.get_text() and "mathdefault" not in text.get_text():
            text.set_parse_math(False)


def settle(figure: Figure) -> None:
    """Give the axes their final places, so that text can be measured against them."""
    without_formulas(figure)
    engine = figure.get_layout_engine()
    if engine is not None:
        engine.execute(figure)


def check_one_panel(n: int) -> None:
    """Raise unless there is one panel, as all there is to draw into is one ``ax``."""
    if n > 1:
        rule = f"there are {n} panels to draw"
        raise ArgumentError(explain("ax", "one axes", rule, "leave it out, or ask for one panel"))


def one_or_all(axes: list[Axes]) -> Axes | list[Axes]:
    """Return the only axes of a list itself, as scanpy's plots do."""
    return axes[0] if len(axes) == 1 else axes


def finish(
    figure: Figure,
    axes: T,
    *,
    own: bool,
    show: bool | None,
    save: str | Path | None,
    return_fig: bool = False,
) -> T | Figure | None:
    """Save and show the figure as asked; return None once shown, else what was asked for.

    With ``show=None`` a figure of our ``own`` is shown where the backend has a screen.
    """
    without_formulas(figure)
    if save is not None:
        figure.savefig(save, bbox_inches="tight")
    if return_fig:
        return figure
    if show or (show is None and own and _has_screen()):
        from matplotlib import pyplot

        pyplot.show()
        return None
    return axes


def _has_screen() -> bool:
    from matplotlib import get_backend

    return get_backend().lower() not in _BACKENDS_TO_FILES
