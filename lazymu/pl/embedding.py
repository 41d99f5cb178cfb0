"""Scatter plots of embeddings, coloured by annotation or by features of any modality."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

import numpy as np

from lazymu import keys
from lazymu.errors import MissingResultError, explain
from lazymu.pl.colorings import Coloring, colorings_of, of_cells, sizes_of
from lazymu.pl.coordinates import Embedding, dimension_pairs, find_embedding
from lazymu.pl.draw.embedding import GridStyle, Panel, draw_embedding
from lazymu.pl.draw.legend import LegendStyle
from lazymu.pl.draw.panels import Shown, finish, one_or_all
from lazymu.pl.draw.points import PointStyle
from lazymu.pl.draw.scale import Bound, ColorScale, panel_scales
from lazymu.pl.groups import Palette
from lazymu.pl.values import Data, Lookup
from lazymu.typing import Bools

if TYPE_CHECKING:
    from typing import Unpack

    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap, Normalize


class EmbeddingOptions(TypedDict, total=False):
    """The keyword arguments of :func:`embedding` that :func:`umap` and :func:`pca` take too."""

    color: str | Sequence[str] | None
    use_raw: bool | None
    layer: str | None
    gene_symbols: str | None
    mask_obs: Bools | str | None
    groups: str | Sequence[str] | None
    sort_order: bool
    components: str | Sequence[str] | None
    dimensions: tuple[int, int] | Sequence[tuple[int, int]] | None
    color_map: str | Colormap | None
    cmap: str | Colormap | None
    palette: Palette
    na_color: str
    na_in_legend: bool
    size: float | Sequence[float] | None
    alpha: float | None
    marker: str
    frameon: bool | None
    legend_loc: str | None
    legend_fontsize: float | str | None
    legend_fontweight: int | str
    legend_fontoutline: float | None
    colorbar_loc: str | None
    vmin: Bound | Sequence[Bound]
    vmax: Bound | Sequence[Bound]
    vcenter: Bound | Sequence[Bound]
    norm: Normalize | None
    ncols: int
    hspace: float | None
    wspace: float | None
    title: str | Sequence[str] | None
    ax: Axes | None
    show: bool | None
    save: str | Path | None
    return_fig: bool
    annotate_var_explained: bool


def embedding(
    data: Data,
    basis: str,
    color: str | Sequence[str] | None = None,
    use_raw: bool | None = None,
    layer: str | None = None,
    *,
    gene_symbols: str | None = None,
    mask_obs: Bools | str | None = None,
    groups: str | Sequence[str] | None = None,
    sort_order: bool = True,
    components: str | Sequence[str] | None = None,
    dimensions: tuple[int, int] | Sequence[tuple[int, int]] | None = None,
    color_map: str | Colormap | None = None,
    cmap: str | Colormap | None = None,
    palette: Palette = None,
    na_color: str = "lightgray",
    na_in_legend: bool = True,
    size: float | Sequence[float] | None = None,
    alpha: float | None = None,
    marker: str = ".",
    frameon: bool | None = None,
    legend_loc: str | None = "right margin",
    legend_fontsize: float | str | None = None,
    legend_fontweight: int | str = "bold",
    legend_fontoutline: float | None = None,
    colorbar_loc: str | None = "right",
    vmin: Bound | Sequence[Bound] = None,
    vmax: Bound | Sequence[Bound] = None,
    vcenter: Bound | Sequence[Bound] = None,
    norm: Normalize | None = None,
    ncols: int = 4,
    hspace: float | None = None,
    wspace: float | None = None,
    title: str | Sequence[str] | None = None,
    ax: Axes | None = None,
    show: bool | None = None,
    save: str | Path | None = None,
    return_fig: bool = False,
    annotate_var_explained: bool = False,
) -> Shown:
    """Draw two coordinates of each cell, coloured by annotation or by features of any modality.

    Points have an area of ``120000 / n_obs`` square points (1 at least) and are rasterized in
    vector files. Missing values are grey, beneath all others. Categories are mixed at random with
    a fixed seed, rare ones towards the top, so that none is buried; numbers are drawn in
    increasing order.

    Parameters
    ----------
    data
        A MuData or a modality.
    basis
        ``"X_umap"`` or ``"umap"`` in `obsm`, or a modality's: ``"rna:X_pca"``.
    color
        One name or several, a panel each: a column of `obs`; ``"rna:total_counts"``, a column of a
        modality; ``"rna:CD3E"``, a feature; or a column or feature that one modality alone has.
    use_raw, layer
        Where values of features come from: `raw` (by default where it is set and no layer is
        named, as in scanpy), a layer, else `X` with its transforms.
    gene_symbols
        Column of `var` in which features are looked up instead of `var_names`.
    mask_obs
        Cells to colour, as a mask or a boolean column; all others are drawn as missing.
    groups
        Categories to colour; all others are drawn as missing.
    sort_order
        Whether large numbers are drawn on top of small ones.
    components, dimensions
        Pairs of coordinates: ``"1,2"`` or, from 0, ``(0, 1)``; one, or a list with a panel each.
    color_map, cmap
        Colour map of numbers (one meaning, two names); matplotlib's default one by default.
    palette
        Colours of categories: a colour map's name, a list, or a mapping by category. By default
        those in ``uns[f"{color}_colors"]``, else colours that colour-blind readers tell apart.
    na_color, na_in_legend
        The colour of missing values, and whether the legend has them.
    size, alpha, marker
        Area in square points (a number, or one for each cell), opacity, and shape of points.
    frameon
        True for a frame, False for neither frame nor names of axes.
    legend_loc
        ``"right margin"``, ``"on data"`` (at the medians of the categories, pushed apart), a place
        within the axes such as ``"upper left"``, or None.
    legend_fontsize, legend_fontweight, legend_fontoutline
        Text of the legend; weight and white outline are for ``"on data"``.
    colorbar_loc
        The side of the colour bar, or None.
    vmin, vmax, vcenter
        Ends and middle of the colour scale: numbers, percentiles such as ``"p99"``, or functions
        of the values; one for all panels or a list. A percentile that leaves no scale, as that of
        a gene in few cells, gives way to the extreme.
    norm
        A matplotlib norm instead of them.
    ncols, hspace, wspace
        Panels in a row, and the space between as a fraction of a panel.
    title
        Titles, where not the names of the colours.
    ax
        Where to draw a single panel.
    show
        Whether to show the figure; by default where there is a screen and no ``ax`` is given.
    save
        Path of a file to write.
    return_fig
        Return the figure.
    annotate_var_explained
        Add to the names of axes the percentage of variance from ``uns["pca"]``.

    Returns
    -------
        None if shown, else the axes (a list for several panels), or the figure with ``return_fig``.

    Raises
    ------
    MissingResultError
        If nothing has the name of a colour or of the basis; near names are shown.
    ArgumentError
        If several modalities have the name, or an argument does not fit.

    Notes
    -----
    Writes ``uns[f"{color}_colors"]`` of the container whose `obs` has the column, as scanpy does.
    One pass over each matrix from which features are asked, for all of them together; in memory
    ``n_obs`` values for each panel.

    Examples
    --------
    >>> import anndata as ad, numpy as np, lazymu
    >>> mdata = lazymu.MuData({"rna": ad.AnnData(np.eye(5))})
    >>> mdata.obsm["X_umap"] = np.random.default_rng(0).normal(size=(5, 2))
    >>> axes = lazymu.pl.embedding(mdata, "X_umap", color=["rna:0", "rna:1"], show=False)
    >>> [ax.get_title() for ax in axes]
    ['rna:0', 'rna:1']
    """
    found = find_embedding(data, basis)
    pairs = dimension_pairs(components, dimensions, found.coordinates.shape[1])
    lookup = Lookup(use_raw=use_raw, layer=layer, gene_symbols=gene_symbols)
    colorings = colorings_of(data, color, lookup, mask_obs, groups, palette)
    n_panels = len(colorings) * len(pairs)
    colormap = color_map if cmap is None else cmap
    scales = panel_scales(n_panels, vmin=vmin, vmax=vmax, vcenter=vcenter, norm=norm, cmap=colormap)
    used = found.coordinates[:, np.unique(pairs)]
    present: Bools = np.isfinite(used.sum(axis=1))
    panels = _panels(found, pairs, colorings, present, scales, title, annotate_var_explained)
    figure, axes = draw_embedding(
        panels,
        PointStyle(
            size=sizes_of(size, present),
            alpha=alpha,
            marker=marker,
            na_color=na_color,
            sort_order=sort_order,
        ),
        LegendStyle(
            loc=legend_loc,
            fontsize=legend_fontsize,
            fontweight=legend_fontweight,
            fontoutline=legend_fontoutline,
            na_in_legend=na_in_legend,
            colorbar_loc=colorbar_loc,
        ),
        GridStyle(ncols=ncols, hspace=hspace, wspace=wspace, frameon=frameon),
        ax,
    )
    result = one_or_all(axes)
    return finish(figure, result, own=ax is None, show=show, save=save, return_fig=return_fig)


def umap(data: Data, **options: Unpack[EmbeddingOptions]) -> Shown:
    """Draw the UMAP, ``obsm["X_umap"]``.

    Parameters
    ----------
    data
        A MuData or a modality.
    **options
        The arguments of :func:`embedding`, but for ``basis``.

    Returns
    -------
        As :func:`embedding`, which also says what is written and read.

    References
    ----------
    McInnes, Healy and Melville, UMAP: uniform manifold approximation and projection (2018),
    doi:10.48550/arXiv.1802.03426; McInnes et al., the Python package umap-learn.

    Examples
    --------
    >>> import anndata as ad, numpy as np, lazymu
    >>> mdata = lazymu.MuData({"rna": ad.AnnData(np.eye(5))})
    >>> mdata.obsm["X_umap"] = np.random.default_rng(0).normal(size=(5, 2))
    >>> lazymu.pl.umap(mdata, color="rna:0", vmax="p99", show=False).get_xlabel()
    'UMAP1'
    """
    return embedding(data, keys.X_UMAP, **options)


def pca(data: Data, **options: Unpack[EmbeddingOptions]) -> Shown:
    """Draw principal components, ``obsm["X_pca"]``.

    Of a MuData in which several modalities have them, ``embedding(mdata, "rna:X_pca")`` says whose.

    Parameters
    ----------
    data
        A MuData or a modality.
    **options
        The arguments of :func:`embedding`, but for ``basis``.

    Returns
    -------
        As :func:`embedding`, which also says what is written and read.

    References
    ----------
    Wolf, Angerer and Theis, SCANPY: large-scale single-cell gene expression data analysis, Genome
    Biology (2018), doi:10.1186/s13059-017-1382-0, whose ``pl.pca`` this is.

    Examples
    --------
    >>> import numpy as np, lazymu
    >>> components = np.random.default_rng(0).normal(size=(5, 3))
    >>> mod = lazymu.Modality(np.eye(5), obsm={"X_pca": components})
    >>> lazymu.pl.pca(mod, components="2,3", show=False).get_ylabel()
    'PC3'
    """
    return embedding(data, keys.X_PCA, **options)


def mofa(mdata: Data, **options: Unpack[EmbeddingOptions]) -> Shown:
    """Draw MOFA factors, ``obsm["X_mofa"]``.

    Cells that :func:`lazymu.tl.mofa` left out have no place and are not drawn.

    Parameters
    ----------
    mdata
        A MuData, or a modality.
    **options
        The arguments of :func:`embedding`, but for ``basis``.

    Returns
    -------
        As :func:`embedding`, which also says what is written and read.

    References
    ----------
    R. Argelaguet et al., MOFA+: a statistical framework for comprehensive integration of
    multi-modal single-cell data, Genome Biology 2020, doi:10.1186/s13059-020-02015-1.

    Examples
    --------
    >>> import anndata as ad, numpy as np, lazymu
    >>> mdata = lazymu.MuData({"rna": ad.AnnData(np.eye(5))})
    >>> mdata.obsm["X_mofa"] = np.random.default_rng(0).normal(size=(5, 3))
    >>> lazymu.pl.mofa(mdata, color="rna:0", components="1,3", show=False).get_ylabel()
    'Factor3'
    """
    return embedding(mdata, keys.X_MOFA, **options)


def _panels(
    found: Embedding,
    pairs: Sequence[tuple[int, int]],
    colorings: Sequence[Coloring],
    present: Bools,
    scales: Sequence[ColorScale],
    title: str | Sequence[str] | None,
    variance: bool,
) -> list[Panel]:
    """Return a panel for each colouring and pair of coordinates, of the cells that have them."""
    titles = [title] if isinstance(title, str) else list(title or [])
    panels: list[Panel] = []
    for coloring, pair in product(colorings, pairs):
        rank = len(panels)
        panels.append(
            Panel(
                points=found.coordinates[present][:, pair],
                values=of_cells(coloring.values, present),
                title=titles[rank] if rank < len(titles) else coloring.name or "",
                axis_labels=_axis_labels(found, pair, variance),
                scale=scales[rank],
            )
        )
    return panels


def _axis_labels(found: Embedding, pair: tuple[int, int], variance: bool) -> tuple[str, str]:
    labels = [f"{found.axis_name}{one + 1}" for one in pair]
    if variance:
        bare = found.key.removeprefix("X_")
        if bare not in found.owner.uns or "variance_ratio" not in found.owner.uns[bare]:
            rule = f"uns[{bare!r}] has no variance_ratio"
            fix = "compute it with pp.pca"
            raise MissingResultError(explain("annotate_var_explained", "True", rule, fix))
        ratio = found.owner.uns[bare]["variance_ratio"]
        labels = [
            f"{label} ({100 * ratio[one]:.1f}%)" for label, one in zip(labels, pair, strict=True)
        ]
    return labels[0], labels[1]
