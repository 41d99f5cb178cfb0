"""What drawn tables share: their size and place, the names of rows and columns, brackets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from lazymu.errors import ArgumentError, explain

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.cm import ScalarMappable
    from matplotlib.figure import Figure, SubFigure
    from matplotlib.gridspec import GridSpecBase, SubplotSpec

CELL_INCHES = 0.36
LETTER_INCHES = 0.085
_LEGEND_INCHES = 1.5
_HOOK = (1.02, 1.04, 1.04, 1.02)  # of a bracket, in heights or widths of the axes


@dataclass(frozen=True, kw_only=True)
class Brackets:
    """Labelled groups of columns (of rows with ``beside``): first, last and label of each."""

    groups: Sequence[tuple[int, int, str]] = ()
    rotation: float | None = None
    beside: bool = False
    cell_inches: float = CELL_INCHES

    @property
    def inches(self) -> float:
        """The room that brackets and labels take, away from the table."""
        if not self.groups:
            return 0.0
        reach = [len(group[2]) if self.beside or self._turn(group) else 2 for group in self.groups]
        return 0.25 + LETTER_INCHES * max(reach)

    def _turn(self, group: tuple[int, int, str]) -> float:
        """Return the angle of a label above its bracket: upright where it is wider than that."""
        first, last, label = group
        if self.rotation is not None:
            return self.rotation
        return 90.0 if LETTER_INCHES * len(label) > self.cell_inches * (last - first + 1) else 0.0

    def draw(self, ax: Axes) -> None:
        """Mark the groups beyond the last column or the first row of a drawn table."""
        for group in self.groups:
            first, last, label = group
            ends = np.repeat((first - 0.35, last + 0.35), 2)
            middle = (first + last) / 2
            if self.beside:
                across, turn = ax.get_yaxis_transform(), self.rotation or 0.0
                ax.plot(_HOOK, ends, "k", transform=across, lw=1, clip_on=False)
                ax.text(
                    _HOOK[1] + 0.01, middle, label, transform=across, va="center", rotation=turn
                )
            else:
                across, turn = ax.get_xaxis_transform(), self._turn(group)
                ax.plot(ends, _HOOK, "k", transform=across, lw=1, clip_on=False)
                ax.text(
                    middle, _HOOK[1] + 0.01, label, transform=across, ha="center", rotation=turn
                )


def table_inches(frame: pd.DataFrame, brackets: Brackets, title: str | None) -> tuple[float, float]:
    """Return the inches that a table as it is drawn, its names and the legends need."""
    wide, high = (
        LETTER_INCHES * max(len(str(name)) for name in axis)
        for axis in (frame.index, frame.columns)
    )
    beside, above = (brackets.inches, 0.0) if brackets.beside else (0.0, brackets.inches)
    return (
        CELL_INCHES * frame.shape[1] + wide + beside + _LEGEND_INCHES + 0.3,
        max(CELL_INCHES * frame.shape[0] + high + above + 0.4 * bool(title) + 0.3, 2.6),
    )


def places(
    inches: tuple[float, float], n_columns: int, ax: Axes | None
) -> tuple[Figure | SubFigure, SubplotSpec, SubplotSpec]:
    """Return a figure, and the places of a table and of its legends beside it.

    Raises
    ------
    ArgumentError
        If ``ax`` stands in no grid.
    """
    from matplotlib import pyplot

    layout: dict[str, Any] = {
        "width_ratios": (max(CELL_INCHES * n_columns, 0.8), _LEGEND_INCHES),
    }
    grid: GridSpecBase
    if ax is None:
        figure = pyplot.figure(figsize=inches, layout="constrained")
        grid = figure.add_gridspec(1, 2, **layout)
        return figure, grid[0, 0], grid[0, 1]
    place = ax.get_subplotspec()
    if place is None:
        rule = "it must stand in a grid, whose place the table and its legends share"
        raise ArgumentError(explain("ax", "free axes", rule, "take it from plt.subplots()"))
    ax.axis("off")
    grid = place.subgridspec(1, 2, **layout)
    return ax.figure, grid[0, 0], grid[0, 1]


def name_cells(ax: Axes, frame: pd.DataFrame, brackets: Brackets, title: str | None) -> None:
    """Write the names of rows and columns, brackets and title; the first row is at the top."""
    n_rows, n_columns = frame.shape
    ax.set_xlim(-0.5, n_columns - 0.5)
    ax.set_ylim(n_rows - 0.5, -0.5)
    ax.set_xticks(range(n_columns), [str(name) for name in frame.columns], rotation=90)
    ax.set_yticks(range(n_rows), [str(name) for name in frame.index])
    ax.tick_params(length=2)
    if title:
        above = 0.0 if brackets.beside else brackets.inches
        ax.set_title(title, pad=8 + 72 * above)
    brackets.draw(ax)


def flat_colorbar(ax: Axes, mappable: ScalarMappable, title: str | None) -> None:
    """Fill ``ax`` with a colour bar that lies, its title above."""
    bar = ax.figure.colorbar(mappable, cax=ax, orientation="horizontal")
    bar.outline.set_linewidth(0.5)
    ax.set_title(title or "", fontsize="small")
    ax.tick_params(labelsize="small")
