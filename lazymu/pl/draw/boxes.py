"""Boxes of several variables side by side in each group."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from lazymu.typing import Float64s

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_GROUP_WIDTH = 0.8


def box_statistics(sample: Float64s) -> dict[str, Any]:
    """Return Tukey's numbers: median, quartiles, and the last values within 1.5 box lengths."""
    low, median, high = np.percentile(sample, (25, 50, 75))
    inside = sample[(sample >= low - 1.5 * (high - low)) & (sample <= high + 1.5 * (high - low))]
    return {
        "med": median,
        "q1": low,
        "q3": high,
        "whislo": inside.min(),
        "whishi": inside.max(),
        "fliers": [],
    }


def draw_boxes(
    ax: Axes,
    samples: Sequence[Sequence[Float64s]],
    groups: Sequence[str],
    variables: Sequence[str],
    colors: Sequence[str],
) -> None:
    """Draw ``samples[variable][group]`` as boxes, one colour for each variable; NaN are left out.

    Values beyond the whiskers are not drawn: of a million cells they would be a bar.
    """
    from matplotlib.patches import Patch

    width = _GROUP_WIDTH / len(variables)
    for rank, (of_groups, color) in enumerate(zip(samples, colors, strict=True)):
        kept = [sample[np.isfinite(sample)] for sample in of_groups]
        offset = (rank - (len(variables) - 1) / 2) * width
        ax.bxp(
            [box_statistics(sample) for sample in kept if sample.size],
            positions=[place + offset for place, sample in enumerate(kept) if sample.size],
            widths=0.85 * width,
            showfliers=False,
            patch_artist=True,
            manage_ticks=False,
            boxprops={"facecolor": color, "linewidth": 0.6},
            medianprops={"color": "black"},
            whiskerprops={"linewidth": 0.6},
            capprops={"linewidth": 0.6},
        )
    ax.set_xticks(range(len(groups)), groups, rotation=90 if max(map(len, groups)) > 3 else 0)
    ax.set_xlim(-0.6, len(groups) - 0.4)
    ax.spines[["top", "right"]].set_visible(False)
    handles = [
        Patch(facecolor=color, label=name) for name, color in zip(variables, colors, strict=True)
    ]
    ax.legend(handles=handles, loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
