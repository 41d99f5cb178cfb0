"""Matrix plots: a table as coloured squares."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from lazymu.pl.draw.scale import ColorScale
from lazymu.pl.draw.table_frame import Brackets, flat_colorbar, name_cells, places, table_inches

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True, kw_only=True)
class MatrixStyle:
    """How squares look, and the words beside them."""

    swap_axes: bool = False
    title: str | None = None
    colorbar_title: str | None = None
    brackets: Brackets = field(default_factory=Brackets)
    scale: ColorScale = field(default_factory=lambda: ColorScale(cmap="viridis"))


def draw_matrix(
    values: pd.DataFrame,
    style: MatrixStyle,
    *,
    figsize: tuple[float, float] | None = None,
    ax: Axes | None = None,
) -> dict[str, Axes]:
    """Draw a square for each group (row) and feature (column); return the axes by name."""
    if style.swap_axes:
        values = values.T
    inches = table_inches(values, style.brackets, style.title) if figsize is None else figsize
    figure, table, legends = places(inches, values.shape[1], ax)
    spare = max(inches[1] - 0.2, 0.4) / 2
    beside = legends.subgridspec(3, 1, height_ratios=(spare, 0.2, spare))
    main, bar = figure.add_subplot(table), figure.add_subplot(beside[1])
    numbers = values.to_numpy(dtype=np.float64)
    squares = main.pcolormesh(
        np.arange(values.shape[1] + 1) - 0.5,
        np.arange(values.shape[0] + 1) - 0.5,
        numbers,
        cmap=style.scale.cmap,
        norm=style.scale.normalize(numbers),
        edgecolors="0.5",
        linewidth=0.1,
    )
    name_cells(main, values, style.brackets, style.title)
    flat_colorbar(bar, squares, style.colorbar_title)
    return {"mainplot_ax": main, "color_legend_ax": bar}
