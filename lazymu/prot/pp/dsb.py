"""Antibody counts, denoised and scaled by background."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from lazymu import keys
from lazymu.containers import Modality, MuData
from lazymu.containers.history import recorded
from lazymu.decomposition.reducers import ColumnMoments, Moments
from lazymu.errors import ArgumentError, explain
from lazymu.prot.pp.background import noise_slopes, technical_noise
from lazymu.prot.pp.droplets import Range, find_droplets
from lazymu.stream import LazyMatrix, require_counts, run_pass
from lazymu.stream.steps import Dsb, Log1p, ScaleCols
from lazymu.typing import Float64s, RandomState

SCALE_FACTORS = ("standardize", "mean_subtract")


@recorded
def dsb(
    data: Modality | MuData,
    data_raw: Modality | MuData | str | Path | None = None,
    pseudocount: float = 10,
    denoise_counts: bool = True,
    isotype_controls: Iterable[str] | None = None,
    empty_counts_range: Range | None = None,
    cell_counts_range: Range | None = None,
    scale_factor: Literal["standardize", "mean_subtract"] = "standardize",
    quantile_clipping: bool = False,
    quantile_clip: tuple[float, float] = (0.001, 0.9995),
    add_layer: bool = False,
    random_state: RandomState = 0,
) -> MuData | None:
    """DSB: antibody counts denoised and scaled by the background in empty droplets.

    Step I: ``z_ij = (log(x_ij + pseudocount) - m_j) / s_j`` with mean and standard deviation (of
    ``n - 1``) of the same logarithm over empty droplets. Step II: the noise of a cell is the mean
    of the lower of two normal distributions fitted to its ``z`` (of a fit with one variance and
    one with two, that with the better BIC); with isotype controls it is the first principal
    component of them and that mean. What each protein owes to it by linear regression is taken off.

    Parameters
    ----------
    data
        Antibody counts of cells, or a MuData with them (``"prot"``, ``"protein"``, ...). Without
        ``data_raw``, an unfiltered MuData with RNA too.
    data_raw
        Unfiltered antibody counts: a modality, a MuData, or the path of a file that
        :func:`lazymu.read` opens. Proteins are matched by name.
    pseudocount
        Added before the logarithm.
    denoise_counts
        Do step II.
    isotype_controls
        Names of isotype controls.
    empty_counts_range
        Range of ``log10(RNA counts + 1)`` of empty droplets. With ``data_raw`` all droplets that
        are not cells by default.
    cell_counts_range
        The same for cells, without ``data_raw``.
    scale_factor
        ``"mean_subtract"`` leaves out the division by ``s_j``.
    quantile_clipping
        Clip the result to two of its quantiles.
    quantile_clip
        These quantiles.
    add_layer
        Write the layer ``"dsb"`` instead of `X`.
    random_state
        Seed of the memberships from which the fits start; they are the same for all cells.

    Returns
    -------
    MuData | None
        The cells of all modalities where ``data`` was unfiltered, else None.

    Raises
    ------
    ArgumentError
        If an argument is out of range, or ranges are missing or overlap, or a protein has the same
        count in all empty droplets, so that nothing can be scaled by its deviation.
    MissingResultError
        If the background lacks a protein, or no isotype control is there.
    EmptyResultError
        If there are no cells, or fewer than 2 empty droplets.
    NotCountsError
        If values are negative or not finite.

    Notes
    -----
    Replaces `X` or writes ``layers["dsb"]``, with steps that are applied when values are read.
    Passes over the empty droplets: one. Passes over X: two with step II (the noise; its
    regression), else none; one more to check that values are counts where that is not known.
    ``quantile_clipping`` takes another and holds the dense result. Memory: some vectors.

    References
    ----------
    M. P. Mulè, A. J. Martins and J. S. Tsang, Normalizing and denoising protein expression data
    from droplet-based single cell profiling, Nature Communications 2022,
    doi:10.1038/s41467-022-29356-8.

    Examples
    --------
    >>> import lazymu as mu, numpy as np
    >>> rng = np.random.default_rng(0)
    >>> droplets = mu.Modality(rng.poisson(5.0, (100, 8)))
    >>> cells = mu.Modality(rng.poisson(50.0, (20, 8)), obs={"name": list("abcdefghijklmnopqrst")})
    >>> cells.obs_names = cells.obs["name"]
    >>> mu.prot.pp.dsb(cells, droplets)
    >>> cells.X
    LazyMatrix 20 × 8, dense float32, Dsb
    """
    check_arguments(pseudocount, scale_factor, quantile_clip)
    found = find_droplets(data, data_raw, empty_counts_range, cell_counts_range)
    cells = found.cells
    counts = cells.X
    require_counts(counts, "dsb")
    require_counts(found.empty, "dsb")
    moments = log_moments(found.empty, pseudocount)
    std = None
    if scale_factor == "standardize":
        std = np.sqrt(moments.m2 / (moments.n - 1))
        check_spread(std, cells.var_names)
    step = Dsb(pseudocount, moments.mean, std)
    if denoise_counts:
        noise = technical_noise(
            counts.with_steps(step), cells.var_names, isotype_controls, random_state
        )
        step = replace(step, noise=noise, slope=noise_slopes(counts.with_steps(step), noise))
    if quantile_clipping:
        low, high = np.quantile(counts.with_steps(step).toarray(), quantile_clip)
        step = replace(step, low=float(min(low, high)), high=float(max(low, high)))
    if add_layer:
        cells.layers[keys.DSB] = counts.with_steps(step)
    else:
        cells.X = counts.with_steps(step)
    return found.selected


def check_arguments(
    pseudocount: float, scale_factor: str, quantile_clip: tuple[float, float]
) -> None:
    """Raise where an argument is out of its range."""
    if not pseudocount > 0:
        rule = "it must be above 0, as the logarithm of 0 is not finite"
        raise ArgumentError(explain("pseudocount", pseudocount, rule, "pass e.g. 10"))
    if scale_factor not in SCALE_FACTORS:
        rule = f"known are {', '.join(SCALE_FACTORS)}"
        raise ArgumentError(explain("scale_factor", repr(scale_factor), rule, "pass one of them"))
    if not all(0 <= q <= 1 for q in quantile_clip):
        rule = "it must be two numbers between 0 and 1"
        raise ArgumentError(explain("quantile_clip", quantile_clip, rule, "pass (0.001, 0.9995)"))


def check_spread(std: Float64s, proteins: pd.Index) -> None:
    """Raise where the background of a protein does not vary, so that nothing can be divided by it.

    Raises
    ------
    ArgumentError
        Naming such proteins.
    """
    flat = [str(name) for name in proteins[std == 0]]
    if flat:
        rule = "DSB divides by the standard deviation of each protein in empty droplets"
        fix = "leave these proteins out, or pass scale_factor='mean_subtract'"
        raise ArgumentError(explain("data_raw", f"without spread in {', '.join(flat)}", rule, fix))


def log_moments(counts: LazyMatrix, pseudocount: float) -> Moments:
    """Return the moments of ``log(x + a) = log(a) + log1p(x / a)``, whose second term is sparse."""
    n_vars = counts.shape[1]
    scaled = counts.with_steps(ScaleCols(np.full(n_vars, 1 / pseudocount)), Log1p())
    (moments,) = run_pass(scaled, ColumnMoments(n_vars), label="DSB background")
    return Moments(moments.n, moments.mean + np.log(pseudocount), moments.m2)
