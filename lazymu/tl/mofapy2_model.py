"""MOFA by mofapy2: its surroundings, its model, what it found."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, redirect_stdout
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from lazymu.containers import MuData
from lazymu.errors import MissingPackageError, explain
from lazymu.tl.mofa_views import (
    Factors,
    Samples,
    View,
    dense_view,
    require_room,
    unique_names,
)


class Saving(NamedTuple):
    """Where the model is saved, and what of it."""

    outfile: str | Path | None
    data: bool
    parameters: bool
    expectations: list[str] | None
    metadata: bool
    interrupted: bool


class Options(NamedTuple):
    """What the model is told, under mofapy2's names."""

    data: dict[str, bool]
    model: dict[str, Any]
    training: dict[str, Any]
    stochastic: dict[str, Any] | None
    saving: Saving
    silent: bool


def stochastic(
    svi_mode: bool, learning_rate: float, forgetting_rate: float, batch_size: float, start: int
) -> dict[str, Any] | None:
    """Return the options of stochastic inference, None without it."""
    if not svi_mode:
        return None
    rates = {"learning_rate": learning_rate, "forgetting_rate": forgetting_rate}
    return {**rates, "batch_size": batch_size, "start_stochastic": start}


def train(
    mdata: MuData,
    views: list[View],
    samples: Samples,
    likelihoods: list[str] | None,
    options: Options,
) -> Factors:
    """Return what mofapy2 finds, and save its model where that is asked. One pass a view.

    Raises
    ------
    MissingPackageError
        If mofapy2 is not installed.
    MemoryLimitError
        If the dense views exceed the memory limit.
    """
    require_mofapy2()
    saving = options.saving
    path = None if saving.outfile is None else str(saving.outfile)
    save_interrupted = saving.interrupted and path is not None
    with mofapy2_surroundings(silent=options.silent):
        model = prepared_model(views, samples, likelihoods, options)
        model.set_model_options(**options.model)
        model.set_train_options(**options.training, outfile=path, save_interrupted=save_interrupted)
        if options.stochastic is not None:
            model.set_stochastic_options(**options.stochastic)
        model.build()
        model.run()
        if saving.metadata:
            add_metadata(model, mdata, views, samples)
        if path is not None:
            model.save(path, saving.data, saving.parameters, saving.expectations)
        return factors_of(model)


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
