"""Multi-omics factor analysis: in streaming passes, or by mofapy2."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from lazymu import keys
from lazymu.containers import Modality, MuData
from lazymu.containers.history import recorded
from lazymu.decomposition.factor_model import gaussian_factors
from lazymu.decomposition.factor_posteriors import Priors
from lazymu.errors import ArgumentError, explain
from lazymu.stream.passes import gather_dense
from lazymu.tl import mofapy2_model
from lazymu.tl.mofa_views import USE_OBS, Factors, Samples, View, select_samples, select_view
from lazymu.typing import Array

Engine = Literal["auto", "lazymu", "mofapy2"]
GAUSSIAN = "gaussian"
LIKELIHOODS = (GAUSSIAN, "bernoulli", "poisson")
LOOKED_AT = 256
"""Cells whose values say whether a view is continuous."""


@recorded
def mofa(
    data: MuData | Modality,
    groups_label: str | None = None,
    use_raw: bool = False,
    use_layer: str | None = None,
    use_var: str | None = keys.HIGHLY_VARIABLE,
    use_obs: Literal["union", "intersection", "all"] | None = None,
    likelihoods: str | Sequence[str] | None = None,
    n_factors: int = 10,
    scale_views: bool = False,
    scale_groups: bool = False,
    center_groups: bool = True,
    ard_weights: bool = True,
    ard_factors: bool = True,
    spikeslab_weights: bool = True,
    spikeslab_factors: bool = False,
    n_iterations: int = 1000,
    convergence_mode: Literal["fast", "medium", "slow"] = "fast",
    use_float32: bool = False,
    gpu_mode: bool = False,
    gpu_device: int | None = None,
    svi_mode: bool = False,
    svi_batch_size: float = 0.5,
    svi_learning_rate: float = 1.0,
    svi_forgetting_rate: float = 0.5,
    svi_start_stochastic: int = 1,
    *,
    save_parameters: bool = False,
    save_data: bool = True,
    save_metadata: bool = True,
    seed: int = 1,
    outfile: str | Path | None = None,
    expectations: list[str] | None = None,
    save_interrupted: bool = True,
    verbose: bool = False,
    quiet: bool = True,
    copy: bool = False,
    engine: Engine = "auto",
) -> MuData | Modality | None:
    """Find factors that explain the variance of all modalities together.

    MOFA: ``X_m = Z W_m' + noise`` for each modality m, centred, with factors ``Z`` (cells, factors)
    shared and sparse loadings ``W_m`` (features, factors), trained by variational Bayes: for
    continuous values in streaming passes, else by mofapy2, which holds them in memory.

    Parameters
    ----------
    data
        A MuData, or a modality, which is then the only view.
    groups_label
        A column of the joint `obs` that puts cells into groups with factors of their own scale.
    use_raw
        Take the modalities' features from `raw`.
    use_layer
        Take this layer of each modality instead of `X`.
    use_var
        A column of `var` that marks the features to use; modalities without it use all.
    use_obs
        Cells to use where modalities differ: ``"union"`` (``"all"`` means the same), with values
        missing in some, or ``"intersection"``.
    likelihoods
        ``"gaussian"``, ``"bernoulli"`` or ``"poisson"``, for all modalities or one each; guessed
        from the values by default.
    n_factors
        Number of factors.
    scale_views, scale_groups
        Scale each view, or group, to unit variance.
    center_groups
        Centre each group.
    ard_weights, ard_factors
        Automatic relevance determination priors on loadings and factors.
    spikeslab_weights, spikeslab_factors
        Spike-and-slab priors on loadings and factors.
    n_iterations
        Largest number of iterations.
    convergence_mode
        ``"fast"``, ``"medium"`` or ``"slow"``.
    use_float32
        Train in float32, in half of the memory.
    gpu_mode, gpu_device
        Train on a graphics card, with cupy.
    svi_mode
        Train by stochastic variational inference.
    svi_batch_size, svi_learning_rate, svi_forgetting_rate, svi_start_stochastic
        Its share of cells in a batch, learning and forgetting rates, and first iteration.
    save_parameters, save_data, save_metadata, expectations
        What goes into ``outfile``.
    seed
        Seed of the initial values.
    outfile
        Also save the model here (HDF5), as MOFA's other tools read it.
    save_interrupted
        On an interrupt, save the model as it is.
    verbose, quiet
        How much mofapy2 prints.
    copy
        Return a copy with the result instead of changing ``data``.
    engine
        ``"lazymu"``: the Gaussian model in streaming passes (one group, no spike-and-slab on
        factors, no ``outfile``). ``"mofapy2"``: all that mofapy2 does. ``"auto"``: lazymu where it
        can do what is asked.

    Returns
    -------
    MuData | Modality | None
        None, or the copy.

    Raises
    ------
    MissingPackageError
        If mofapy2 is needed and not installed.
    MemoryLimitError
        If what mofapy2 makes of the dense views exceeds the memory limit, before anything is read.
    ArgumentError
        If modalities have different cells and ``use_obs`` is None, an argument is unknown, or
        ``engine="lazymu"`` cannot do what is asked.

    Notes
    -----
    Writes ``obsm["X_mofa"]`` (obs, factors; NaN for cells left out), ``varm["LFs"]``
    (var, factors; 0 for features left out) and ``uns["mofa"]`` (`params`, and `variance`:
    percent of variance explained, by view, and by group where there are several).

    ``params`` says which engine it was; lazymu's adds ``uns["mofa"]["elbo"]``, the bound after each
    iteration.

    Passes over X: one a modality where the features used take a third of the limit at most, as
    their blocks are then kept; else two an iteration (some ten to fifty) and ten before. Where
    likelihoods are not given, 256 cells are looked at first. Memory:
    ``24 * cells * factors + 64 * features * factors`` bytes. mofapy2 makes one pass and holds
    dense views, up to ``9 * 8 * cells * features used`` bytes.

    lazymu's factors start from a varimax rotation of the leading components; it and mofapy2 find
    the same factors where the data tell them apart, in another order of iterations.

    References
    ----------
    R. Argelaguet et al., MOFA+: a statistical framework for comprehensive integration of
    multi-modal single-cell data, Genome Biology 2020, doi:10.1186/s13059-020-02015-1.

    Examples
    --------
    >>> import lazymu as mu, numpy as np
    >>> rng = np.random.default_rng(0)
    >>> Z = rng.normal(size=(30, 1))
    >>> views = {name: Z @ rng.normal(size=(1, 8)) for name in ("rna", "protein")}
    >>> mdata = mu.MuData({name: mu.Modality(X) for name, X in views.items()})
    >>> mu.tl.mofa(mdata, n_factors=2, n_iterations=5)
    >>> mdata.obsm["X_mofa"].shape, mdata.varm["LFs"].shape
    ((30, 2), (16, 2))
    """
    mdata = as_mudata(data)
    samples = select_samples(mdata, groups_label, use_obs)
    chosen: dict[str, Any] = {"use_raw": use_raw, "use_layer": use_layer, "use_var": use_var}
    views = [select_view(mdata, name, samples, **chosen) for name in mdata.mod]
    check_n_factors(n_factors, len(samples.cells), views)
    asked = checked_likelihoods(likelihoods, views)
    used = chosen_engine(
        *(engine, asked, views),
        groups_label=len(samples.groups) > 1,
        spikeslab_factors=spikeslab_factors,
        svi_mode=svi_mode,
        gpu_mode=gpu_mode,
        outfile=outfile is not None,
        expectations=expectations is not None,
    )
    priors = {"ard_factors": ard_factors, "ard_weights": ard_weights}
    priors |= {"spikeslab_weights": spikeslab_weights, "spikeslab_factors": spikeslab_factors}
    scaling = {"scale_views": scale_views, "scale_groups": scale_groups}
    scaling |= {"center_groups": center_groups, "use_float32": use_float32}
    training = {"convergence_mode": convergence_mode, "gpu_mode": gpu_mode, "seed": seed}
    if used == "lazymu":
        factors, bound = own_factors(
            *(views, len(samples.cells), n_factors),
            priors=Priors(ard_weights, ard_factors, spikeslab_weights),
            scale_views=scale_views,
            n_iterations=n_iterations,
            convergence_mode=convergence_mode,
            random_state=seed,
        )
    else:
        talk = {"verbose": verbose, "quiet": quiet}
        saving = mofapy2_model.Saving(
            *(outfile, save_data, save_parameters, expectations, save_metadata, save_interrupted)
        )
        options = mofapy2_model.Options(
            data=scaling,
            model={"factors": n_factors, **priors},
            training={**training, "iter": n_iterations, "gpu_device": gpu_device, **talk},
            stochastic=mofapy2_model.stochastic(
                *(svi_mode, svi_learning_rate, svi_forgetting_rate),
                *(svi_batch_size, svi_start_stochastic),
            ),
            saving=saving,
            silent=quiet and not verbose,
        )
        factors, bound = mofapy2_model.train(mdata, views, samples, asked, options), {}
    target = data.copy() if copy else data
    store_result(target, mdata, views, samples, factors)
    inputs = {"groups_label": groups_label, "use_raw": use_raw, "use_layer": use_layer}
    inputs |= {"features_subset": use_var, "use_obs": USE_OBS[use_obs]}
    params = {
        "data": {**inputs, "likelihoods": np.array(factors.likelihoods), **scaling},
        "model": {**priors, "n_factors": n_factors},
        "training": {"n_iterations": n_iterations, **training},
        "engine": used,
    }
    variance = variance_by_view(views, samples, factors)
    target.uns[keys.MOFA] = {"params": params, "variance": variance, **bound}
    return target if copy else None


def own_factors(
    views: list[View], n_cells: int, n_factors: int, **options: Any
) -> tuple[Factors, dict[str, Array]]:
    """Return what lazymu's engine finds, and its bound after each iteration."""
    present = [view.rows >= 0 for view in views]
    matrices = [view.matrix[view.rows[own]] for view, own in zip(views, present, strict=True)]
    cells = [np.flatnonzero(own) for own in present]
    model = gaussian_factors(matrices, cells, n_cells, n_factors, **options)
    factors = Factors(model.scores, model.loadings, [model.variance], [GAUSSIAN] * len(views))
    return factors, {"elbo": model.elbo}


def chosen_engine(
    engine: Engine, likelihoods: list[str] | None, views: list[View], **mofapy2_alone: bool
) -> str:
    """Return which engine does what is asked, given which of mofapy2's own arguments are.

    Raises
    ------
    ArgumentError
        If the engine is unknown, or lazymu's is asked for what it has not.
    """
    if engine not in ("auto", "lazymu", "mofapy2"):
        rule = "it must be 'auto', 'lazymu' or 'mofapy2'"
        raise ArgumentError(explain("engine", repr(engine), rule, "pass one of these"))
    if engine == "mofapy2":
        return engine
    unusual = [name for name, given in mofapy2_alone.items() if given]
    if not unusual and likelihoods is None:
        counted = [view.name for view in views if is_whole(view)]
        unusual = [f"whole numbers in {', '.join(counted)}"] if counted else []
    elif likelihoods is not None and set(likelihoods) != {GAUSSIAN}:
        unusual = [*unusual, "likelihoods"]
    if unusual and engine == "lazymu":
        rule = f"it is Gaussian, of one group: not for {', '.join(unusual)}"
        fix = "pass engine='mofapy2', or likelihoods='gaussian' for whole numbers"
        raise ArgumentError(explain("engine", repr(engine), rule, fix))
    return "mofapy2" if unusual else "lazymu"


def check_n_factors(n_factors: int, n_cells: int, views: list[View]) -> None:
    """Raise where there are more factors than cells, or than features of all views."""
    most = min(n_cells, sum(len(view.features) for view in views))
    if not 1 <= n_factors <= most:
        rule = f"{n_cells} cells and the features of all views have at most {most}"
        raise ArgumentError(explain("n_factors", n_factors, rule, f"pass 1 to {most}"))


def is_whole(view: View) -> bool:
    """Return whether the first cells of a view hold whole numbers from 0 on, as counts do."""
    rows = view.rows[view.rows >= 0][:LOOKED_AT]
    values = gather_dense(view.matrix[np.sort(rows)])
    return bool(np.all((values == np.rint(values)) & (values >= 0)))


def as_mudata(data: MuData | Modality) -> MuData:
    """Return a MuData; a modality becomes the only one, named ``data``."""
    if isinstance(data, MuData):
        return data
    if isinstance(data, Modality):
        return MuData({"data": data})
    rule = "it must be a lazymu MuData or modality"
    fix = "wrap AnnData objects: lazymu.MuData({'rna': adata})"
    raise ArgumentError(explain("data", f"a {type(data).__name__}", rule, fix))


def checked_likelihoods(
    likelihoods: str | Sequence[str] | None, views: list[View]
) -> list[str] | None:
    """Return one likelihood for each view, None where they are to be guessed."""
    if likelihoods is None:
        return None
    each = [likelihoods] * len(views) if isinstance(likelihoods, str) else list(likelihoods)
    if len(each) != len(views) or not set(each) <= set(LIKELIHOODS):
        rule = f"it must be one of {', '.join(LIKELIHOODS)}, or one for each of {len(views)} views"
        raise ArgumentError(explain("likelihoods", repr(likelihoods), rule, "choose"))
    return each


def store_result(
    target: MuData | Modality,
    mdata: MuData,
    views: list[View],
    samples: Samples,
    factors: Factors,
) -> None:
    """Write factors and loadings, each to its cells and features."""
    n_factors = factors.scores.shape[1]
    scores = np.full((mdata.n_obs, n_factors), np.nan)
    scores[samples.cells] = factors.scores
    loadings = np.zeros((mdata.n_vars, n_factors))
    for view, own in zip(views, factors.loadings, strict=True):
        positions = mdata.var_positions(view.name)
        used: Array = np.zeros(len(positions), dtype=bool)
        used[positions >= 0] = view.used[positions[positions >= 0]]
        loadings[used] = own
    target.obsm[keys.X_MOFA] = scores
    target.varm[keys.LFS] = loadings


def variance_by_view(views: list[View], samples: Samples, factors: Factors) -> dict[str, Any]:
    """Return percent of variance explained by each factor, by view (and group)."""
    if len(samples.groups) == 1:
        return {view.name: factors.variance[0][m] for m, view in enumerate(views)}
    return {
        view.name: {g: own[m] for g, own in zip(samples.groups, factors.variance, strict=True)}
        for m, view in enumerate(views)
    }
