"""Multi-omics factor analysis, by mofapy2."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, redirect_stdout
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from lazymu import keys
from lazymu.containers import Modality, MuData
from lazymu.errors import ArgumentError, MissingPackageError, explain
from lazymu.tl.mofa_views import (
    USE_OBS,
    Samples,
    View,
    dense_view,
    require_room,
    select_samples,
    select_view,
    unique_names,
)
from lazymu.typing import Array, Float64s

LIKELIHOODS = ("gaussian", "bernoulli", "poisson")


class Options(NamedTuple):
    """What the model is told, under mofapy2's names."""

    data: dict[str, bool]
    model: dict[str, bool]
    training: dict[str, Any]


class Factors(NamedTuple):
    """A trained model, factors in falling order of the variance that they explain."""

    scores: Float64s
    """(samples, factors)."""
    loadings: list[Float64s]
    """(features, factors) of each view."""
    variance: list[Float64s]
    """Percent of variance explained, (views, factors), of each group."""
    likelihoods: list[str]


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
) -> MuData | Modality | None:
    """Find factors that explain the variance of all modalities together.

    MOFA: ``X_m = Z W_m' + noise`` for each modality m, with factors ``Z`` (cells, factors) shared
    and sparse loadings ``W_m`` (features, factors), trained by variational Bayes in mofapy2.

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

    Returns
    -------
    MuData | Modality | None
        None, or the copy.

    Raises
    ------
    MissingPackageError
        If mofapy2 is not installed.
    MemoryLimitError
        If the dense views exceed the memory limit, before anything is read.
    ArgumentError
        If modalities have different cells and ``use_obs`` is None, or an argument is unknown.

    Notes
    -----
    Writes ``obsm["X_mofa"]`` (obs, factors; NaN for cells left out), ``varm["LFs"]``
    (var, factors; 0 for features left out) and ``uns["mofa"]`` (`params`, and `variance`:
    percent of variance explained, by view, and by group where there are several).

    Passes over X: one a modality. Memory: not bounded by the number of cells: mofapy2 works on
    dense views, which take up to ``9 * 8 * cells * features used`` bytes in all while it trains.

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
    require_mofapy2()
    mdata = as_mudata(data)
    samples = select_samples(mdata, groups_label, use_obs)
    views = [
        select_view(mdata, name, samples, use_raw=use_raw, use_layer=use_layer, use_var=use_var)
        for name in mdata.mod
    ]
    options = Options(
        data={
            "scale_views": scale_views,
            "scale_groups": scale_groups,
            "center_groups": center_groups,
            "use_float32": use_float32,
        },
        model={
            "ard_factors": ard_factors,
            "ard_weights": ard_weights,
            "spikeslab_weights": spikeslab_weights,
            "spikeslab_factors": spikeslab_factors,
        },
        training={"convergence_mode": convergence_mode, "gpu_mode": gpu_mode, "seed": seed},
    )
    path = None if outfile is None else str(outfile)
    with mofapy2_surroundings(silent=quiet and not verbose):
        model = prepared_model(views, samples, checked_likelihoods(likelihoods, views), options)
        model.set_model_options(factors=n_factors, **options.model)
        model.set_train_options(
            iter=n_iterations,
            gpu_device=gpu_device,
            verbose=verbose,
            quiet=quiet,
            outfile=path,
            save_interrupted=save_interrupted and path is not None,
            **options.training,
        )
        if svi_mode:
            model.set_stochastic_options(
                learning_rate=svi_learning_rate,
                forgetting_rate=svi_forgetting_rate,
                batch_size=svi_batch_size,
                start_stochastic=svi_start_stochastic,
            )
        model.build()
        model.run()
        if save_metadata:
            add_metadata(model, mdata, views, samples)
        if path is not None:
            model.save(path, save_data, save_parameters, expectations)
        factors = factors_of(model)
    target = data.copy() if copy else data
    inputs = {"groups_label": groups_label, "use_raw": use_raw, "use_layer": use_layer}
    inputs |= {"features_subset": use_var, "use_obs": USE_OBS[use_obs]}
    numbers = {"n_factors": n_factors, "n_iterations": n_iterations}
    store_result(target, mdata, views, samples, factors)
    target.uns[keys.MOFA] = record(views, samples, factors, options, inputs, numbers)
    return target if copy else None


def require_mofapy2() -> None:
    """Raise where mofapy2 is not installed.

    Raises
    ------
    MissingPackageError
        Saying how to install it.
    """
    try:
        import mofapy2  # noqa: F401 - whether it is there
    except ImportError as error:
        rule = "mu.tl.mofa needs it"
        fix = "pip install 'lazymu[mofa]'"
        raise MissingPackageError(explain("mofapy2", "not installed", rule, fix)) from error


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


@contextmanager
def mofapy2_surroundings(*, silent: bool) -> Iterator[None]:
    """Keep what mofapy2 changes to itself: NumPy's global random state, and standard output."""
    state = np.random.get_state()
    try:
        # mofapy2's bound has log(1 - S), also where the posterior S of a weight has come to 1.
        with (
            np.errstate(divide="ignore", invalid="ignore"),
            redirect_stdout(io.StringIO()) if silent else nullcontext(),
        ):
            yield
    finally:
        np.random.set_state(state)


def prepared_model(
    views: list[View],
    samples: Samples,
    likelihoods: list[str] | None,
    options: Options,
) -> Any:
    """Return mofapy2's model with the data in it. One pass a view."""
    from mofapy2.run.entry_point import entry_point

    dtype: np.dtype[Any] = np.dtype(np.float32 if options.data["use_float32"] else np.float64)
    require_room(views, dtype.itemsize)
    model = entry_point()
    model.set_data_options(**options.data)
    ends = np.cumsum([len(names) for names in samples.groups.values()])[:-1]
    model.set_data_matrix(
        [np.split(dense_view(view, dtype), ends) for view in views],
        likelihoods=likelihoods,
        views_names=[view.name for view in views],
        groups_names=list(samples.groups),
        samples_names=list(samples.groups.values()),
        features_names=unique_names(views),
    )
    return model


def factors_of(model: Any) -> Factors:
    """Return the trained factors, those that explain most variance first."""
    nodes = model.model.getNodes()
    explained = np.array(model.model.calculate_variance_explained())  # (groups, views, factors)
    order = np.argsort(-np.nansum(explained, axis=(0, 1)), kind="stable")
    loadings = [np.asarray(node["E"])[:, order] for node in nodes["W"].getExpectations()]
    scores = np.asarray(nodes["Z"].getExpectations()["E"])[:, order]
    variance = [100 * group[:, order] for group in explained]
    return Factors(scores, loadings, variance, list(model.likelihoods))


def add_metadata(model: Any, mdata: MuData, views: list[View], samples: Samples) -> None:
    """Give the model the annotation of cells and features that its file is to hold."""
    model.data_opts["samples_metadata"] = [
        mdata.obs.loc[names] for names in samples.groups.values() if mdata.obs.shape[1]
    ] or None
    tables = [mdata.mod[view.name].var[view.used] for view in views]
    model.data_opts["features_metadata"] = (
        tables if all(table.shape[1] for table in tables) else None
    )


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


def record(
    views: list[View],
    samples: Samples,
    factors: Factors,
    options: Options,
    inputs: dict[str, Any],
    numbers: dict[str, int],
) -> dict[str, Any]:
    """Return what muon keeps in ``uns["mofa"]``."""
    likelihoods = np.array(factors.likelihoods)
    return {
        "params": {
            "data": {**inputs, "likelihoods": likelihoods, **options.data},
            "model": {**options.model, "n_factors": numbers["n_factors"]},
            "training": {"n_iterations": numbers["n_iterations"], **options.training},
        },
        "variance": variance_by_view(views, samples, factors),
    }


def variance_by_view(views: list[View], samples: Samples, factors: Factors) -> dict[str, Any]:
    """Return percent of variance explained by each factor, by view (and group)."""
    if len(samples.groups) == 1:
        return {view.name: factors.variance[0][m] for m, view in enumerate(views)}
    return {
        view.name: {g: own[m] for g, own in zip(samples.groups, factors.variance, strict=True)}
        for m, view in enumerate(views)
    }
