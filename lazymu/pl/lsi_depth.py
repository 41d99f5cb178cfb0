"""Which LSI components follow sequencing depth."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lazymu import keys
from lazymu.atac.tl.lsi import DEPTH_LIMIT
from lazymu.containers import Modality, MuData
from lazymu.containers.resolve import as_modality
from lazymu.errors import MissingResultError, explain
from lazymu.pl.draw.bars import draw_signed_bars
from lazymu.pl.draw.panels import Shown, finish, grid

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_BAR_INCHES = 0.2


def lsi_depth(
    data: Modality | MuData,
    *,
    ax: Axes | None = None,
    show: bool | None = None,
    save: str | Path | None = None,
    return_fig: bool = False,
) -> Shown:
    """Draw the correlation of each LSI component with sequencing depth.

    Bars are ``uns["lsi"]["depth_corr"]``: Pearson's correlation of a component with ``log1p`` of
    the cells' total counts. Lines mark 0.75 and -0.75, beyond which ``drop="auto"`` of
    :func:`lazymu.atac.tl.lsi` drops a component; bars beyond are orange.

    Parameters
    ----------
    data
        The modality with peaks, or a MuData with one named atac, peaks or chromatin.
    ax, show, save, return_fig
        As in :func:`lazymu.pl.embedding`.

    Returns
    -------
        None if shown, else the axes, or the figure with ``return_fig``.

    Raises
    ------
    MissingResultError
        If LSI was not computed.

    Notes
    -----
    Writes nothing and reads no ``X``. Components are counted from 1, those that were dropped
    included, but only kept ones have a bar.

    References
    ----------
    T. Stuart et al., Single-cell chromatin state analysis with Signac, Nature Methods 2021,
    doi:10.1038/s41592-021-01282-5, whose ``DepthCor`` this is.

    Examples
    --------
    >>> import lazymu, numpy as np
    >>> atac = lazymu.Modality(np.eye(3), uns={"lsi": {"depth_corr": [-0.99, 0.1]}})
    >>> ax = lazymu.pl.lsi_depth(atac, show=False)
    >>> [round(float(bar.get_height()), 2) for bar in ax.patches]
    [-0.99, 0.1]
    """
    modality = as_modality(data, kinds=keys.ATAC_ALIASES)
    result = modality.uns.get(keys.UNS_LSI, {})
    if "depth_corr" not in result:
        rule = f"uns[{keys.UNS_LSI!r}] has no depth_corr"
        fix = "run lazymu.atac.tl.lsi first"
        raise MissingResultError(explain("data", "without LSI", rule, fix))
    heights = np.asarray(result["depth_corr"], dtype=np.float64)
    dropped = np.asarray(result.get("dropped", []), dtype=np.int64)
    numbers = np.setdiff1d(np.arange(len(heights) + len(dropped)), dropped) + 1
    own = ax is None
    if ax is None:
        width = max(_BAR_INCHES * len(heights) + 1.0, 3.0)
        ax = grid(1, 1, (width, 3.0), hspace=None, wspace=None)[1][0]
    draw_signed_bars(ax, numbers, heights, DEPTH_LIMIT)
    ax.set_xlabel("LSI component")
    ax.set_ylabel("correlation with depth")
    return finish(ax.figure.figure, ax, own=own, show=show, save=save, return_fig=return_fig)
