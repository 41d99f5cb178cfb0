"""A table of numbers on coloured squares."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from lazymu.pl.draw.scale import ColorScale

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_DARK = 0.5  # luminance below which text on a square is white


def draw_numbers(ax: Axes, table: pd.DataFrame, scale: ColorScale) -> None:
    """Draw each number of the table, with one decimal, on a square of its colour."""
    values = table.to_numpy(dtype=np.float64)
    image = ax.imshow(values, aspect="auto", cmap=scale.cmap, norm=scale.normalize(values))
    red, green, blue, _ = np.moveaxis(image.to_rgba(values), -1, 0)
    luminance = 0.299 * red + 0.587 * green + 0.114 * blue
    for (row, column), value in np.ndenumerate(values):
        color = "white" if luminance[row, column] < _DARK else "black"
        words = f"{value:.1f}" if np.isfinite(value) else "-"
        ax.text(column, row, words, ha="center", va="center", color=color, fontsize="small")
    ax.set_xticks(range(table.shape[1]), [str(name) for name in table.columns])
    ax.set_yticks(range(table.shape[0]), [str(name) for name in table.index])
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
