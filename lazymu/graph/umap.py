"""Layout of a neighbour graph in few dimensions by UMAP."""

from __future__ import annotations

import warnings
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np
import scipy.sparse as sp
from scipy.sparse.csgraph import connected_components

from lazymu.errors import ArgumentError, explain
from lazymu.graph.checks import require_at_least, require_choice
from lazymu.graph.descent import descend
from lazymu.typing import CSR, Array, Floats

Start: TypeAlias = Literal["spectral", "random", "components"]
STARTS = ("spectral", "random")
SERIAL_MAX_CELLS = 20_000
"""Cells up to which umap-learn's own optimiser runs, in one thread: 10 to 20 s there."""
SPECTRAL_MAX_CELLS = 100_000
"""Cells up to which a spectral start is tried: there it takes a minute or two."""
SPECTRAL_MAX_COMPONENTS = 100
"""Connected components up to which it is tried: each is laid out by itself."""
SPECTRAL_MAX_RESTARTS = 50
"""Restarts of the eigensolver; where its gap is too small for them it would run for hours."""
FEW_CELLS = 10_000
EXTENT = 10.0


class Layout(NamedTuple):
    """Coordinates of cells."""

    coordinates: Floats
    """float32, shape (n, n_components)."""
    a: float
    b: float
    start: str
    """``"spectral"``, ``"random"``, ``"components"`` or ``"given"``."""


def umap_layout(
    connectivities: CSR,
    *,
    n_components: int = 2,
    min_dist: float = 0.5,
    spread: float = 1.0,
    a: float | None = None,
    b: float | None = None,
    alpha: float = 1.0,
    gamma: float = 1.0,
    negative_sample_rate: int = 5,
    n_epochs: int | None = None,
    init: Literal["spectral", "random"] | Array = "spectral",
    data: Array | None = None,
    metric: str = "euclidean",
    random_state: int | None = 0,
) -> Layout:
    """Place cells so that the graph's neighbours are close: UMAP's optimisation.

    Parameters
    ----------
    connectivities
        Weights of the graph, shape (n, n), symmetric.
    n_components
        Dimensions.
    min_dist, spread
        Where ``a`` or ``b`` is None they are fitted so that ``1 / (1 + a x^{2b})`` is 1 up to
        ``min_dist`` and falls off over ``spread``.
    a, b
        That curve.
    alpha
        Initial learning rate.
    gamma
        Weight of repulsion.
    negative_sample_rate
        Cells repelled for each edge that attracts.
    n_epochs
        Rounds; None: 500 up to 10,000 cells, 200 beyond.
    init
        Coordinates to start from, shape (n, n_components), or ``"spectral"`` (the graph
        Laplacian's eigenvectors) or ``"random"``.
    data
        The embedding that the graph was made of, shape (n, d): its first columns are the start
        where the spectral one is out of reach, and it places components that are not connected.
    metric
        Distance between such components.
    random_state
        Seed. With None the layout differs from run to run.

    Raises
    ------
    ArgumentError
        If ``init`` is neither a name nor an array of that shape, or ``n_components`` is below 1.

    Notes
    -----
    Up to 20,000 cells the coordinates are those of ``scanpy.tl.umap`` with the same seed. Beyond,
    the same steps are taken in another order (:mod:`lazymu.graph.descent`), in
    `settings.n_threads` threads; with a seed the layout is the same for any number of them. The
    spectral start is not tried above 100,000 cells or 100 connected components, nor pursued where
    its solver does not converge within 50 restarts; `Layout.start` says which start it was.

    Peak memory up to 20,000 cells is the graph twice and 24 bytes an edge; beyond, 6 bytes an edge
    and 50 a cell; with the spectral start the graph once more and ``8 n^{1.5}`` bytes (250 MB for
    100,000 cells).

    References
    ----------
    McInnes, Healy & Melville 2018, https://arxiv.org/abs/1802.03426; the package umap-learn.

    Examples
    --------
    >>> import numpy as np
    >>> from lazymu.graph.connectivities import umap_connectivities
    >>> from lazymu.graph.knn import nearest_neighbors
    >>> lists = nearest_neighbors(np.random.default_rng(0).random((40, 5)), 5)
    >>> layout = umap_layout(umap_connectivities(lists), n_epochs=5)
    >>> layout.coordinates.shape, layout.start
    ((40, 2), 'spectral')
    """
    require_at_least("n_components", n_components, 1)
    with warnings.catch_warnings():
        # umap says at import that its optional parametric variant is absent.
        warnings.filterwarnings("ignore", "Tensorflow not installed", ImportWarning)
        from umap.umap_ import find_ab_params, simplicial_set_embedding

    if a is None or b is None:
        a, b = map(float, find_ab_params(spread, min_dist))
    n_cells = connectivities.shape[0]
    epochs = (500 if n_cells <= FEW_CELLS else 200) if n_epochs is None else n_epochs
    state = np.random.RandomState(random_state)
    start: Any
    start, name = _start(connectivities, init, n_components, data, metric, epochs, state)
    force: dict[str, Any] = {
        **{"a": a, "b": b, "gamma": gamma, "negative_sample_rate": negative_sample_rate},
        **{"n_epochs": epochs, "random_state": state},
    }
    if n_cells > SERIAL_MAX_CELLS:
        if name == "random":
            start = state.uniform(-EXTENT, EXTENT, (n_cells, n_components))
        coordinates = descend(connectivities, _from_zero(start), alpha=alpha, **force)
        return Layout(coordinates, a, b, name)
    coordinates, _ = simplicial_set_embedding(
        data=None,
        graph=sp.coo_matrix(connectivities, copy=True),
        n_components=n_components,
        initial_alpha=alpha,
        init=start,
        metric=metric,
        metric_kwds={},
        densmap=False,
        densmap_kwds={},
        output_dens=False,
        parallel=random_state is None,
        **force,
    )
    return Layout(np.asarray(coordinates, np.float32), a, b, name)


def _start(
    connectivities: CSR,
    init: str | Array,
    n_components: int,
    data: Array | None,
    metric: str,
    epochs: int,
    state: np.random.RandomState,
) -> tuple[Array | str, str]:
    """Return coordinates to start from (or the name of a random start) and what they are."""
    if not isinstance(init, str):
        return _given(init, (connectivities.shape[0], n_components)), "given"
    require_choice("init", init, STARTS)
    if init == "spectral":
        coordinates = None
        if n_components + 1 < connectivities.shape[0] <= SPECTRAL_MAX_CELLS:
            graph = _without_weak_edges(connectivities, epochs)
            coordinates = _spectral(graph, n_components, data, metric, state)
        if coordinates is not None:
            return _spread(coordinates, state), "spectral"
        if data is not None and data.shape[1] >= n_components:
            return _spread(np.array(data[:, :n_components], np.float64), state), "components"
    return "random", "random"


def _given(init: Array, shape: tuple[int, int]) -> Floats:
    coordinates = np.asarray(init, np.float32)
    if coordinates.shape != shape or not np.isfinite(coordinates).all():
        got, rule = f"an array of shape {coordinates.shape}", f"it must be finite, of shape {shape}"
        raise ArgumentError(explain("init", got, rule, "pass one row of coordinates for each cell"))
    return coordinates


def _without_weak_edges(connectivities: CSR, epochs: int) -> sp.coo_matrix[Any]:
    """Return the graph without the edges that the optimisation would never visit."""
    graph = sp.coo_matrix(connectivities, copy=True)
    default = 500 if graph.shape[0] <= FEW_CELLS else 200
    rounds = epochs if epochs > 10 else default
    graph.data[graph.data < graph.data.max() / rounds] = 0.0
    graph.eliminate_zeros()
    return graph


def _spectral(
    graph: sp.coo_matrix[Any],
    n_components: int,
    data: Array | None,
    metric: str,
    state: np.random.RandomState,
) -> Floats | None:
    """Return the graph's spectral layout, or None where it is out of reach."""
    from umap.spectral import multi_component_layout, spectral_layout

    n_parts, parts = connected_components(graph)
    # Where there are more parts than directions in the plane, their places come from the data.
    placeable = n_parts <= 2 * n_components or data is not None
    if not (placeable and n_parts <= SPECTRAL_MAX_COMPONENTS):
        return None
    settings = {"metric": metric, "maxiter": SPECTRAL_MAX_RESTARTS}
    with warnings.catch_warnings():
        warnings.filterwarnings("error", "Spectral initialisation failed", UserWarning)
        # That is said of the parts' centres, far from each other as they are.
        warnings.filterwarnings("ignore", "Graph is not fully connected", UserWarning)
        try:
            if n_parts == 1:
                found = spectral_layout(data, graph, n_components, state, **settings)
            else:
                found = multi_component_layout(
                    data, graph, n_parts, parts, n_components, state, **settings
                )
        except UserWarning:
            return None
    coordinates: Floats = found
    return coordinates


def _from_zero(coordinates: Floats) -> Floats:
    """Return coordinates between 0 and 10 in every dimension, as umap-learn's descent begins."""
    least, most = coordinates.min(axis=0), coordinates.max(axis=0)
    scaled: Floats = EXTENT * (coordinates - least) / np.where(most > least, most - least, 1)
    return scaled


def _spread(coordinates: Floats, state: np.random.RandomState) -> Floats:
    """Return coordinates scaled to +-10, with a little noise, as umap-learn starts from."""
    from umap.umap_ import noisy_scale_coords

    scaled: Floats = noisy_scale_coords(coordinates, state, max_coord=EXTENT, noise=0.0001)
    return scaled
