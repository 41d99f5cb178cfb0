"""UMAP: cells in two dimensions."""

from __future__ import annotations

from typing import Any

import numpy as np

from lazymu import keys
from lazymu.containers import Modality, MuData
from lazymu.containers.history import recorded
from lazymu.errors import MissingResultError, explain
from lazymu.graph.umap import umap_layout
from lazymu.pp.embeddings import embedding_of, named_in, split_name
from lazymu.tl.graphs import Graph, container_of, graph_of
from lazymu.typing import CSR, Array, Bools


@recorded
def umap(
    data: Modality | MuData,
    min_dist: float = 0.5,
    spread: float = 1.0,
    n_components: int = 2,
    maxiter: int | None = None,
    alpha: float = 1.0,
    gamma: float = 1.0,
    negative_sample_rate: int = 5,
    init_pos: str | Array = "spectral",
    *,
    random_state: int | None = 0,
    a: float | None = None,
    b: float | None = None,
    key_added: str | None = None,
    neighbors_key: str | None = None,
) -> None:
    """Place cells so that the neighbours in a graph are close.

    Maximises ``sum_ij w_ij log v_ij + (1 - w_ij) log(1 - v_ij)`` over coordinates y, where ``w``
    are the graph's weights and ``v_ij = 1 / (1 + a |y_i - y_j|^{2b})``.

    Parameters
    ----------
    data
        A modality or MuData with a neighbour graph.
    min_dist, spread
        Where ``a`` or ``b`` is None they are fitted so that ``v`` is 1 up to ``min_dist`` and falls
        off over ``spread``.
    n_components
        Dimensions.
    maxiter
        Rounds; None: 500 up to 10,000 cells, 200 beyond.
    alpha
        Initial learning rate.
    gamma
        Weight of repulsion.
    negative_sample_rate
        Cells repelled for each edge that attracts.
    init_pos
        Where to start: "spectral", "random", a key of `obsm`, or coordinates
        (n_obs, n_components).
    random_state
        Seed. With None the layout differs from run to run.
    a, b
        The curve itself.
    key_added
        Key of `obsm` and `uns`; None: "X_umap" and "umap".
    neighbors_key
        Name of the graph, as given to ``pp.neighbors(key_added=...)``; None: "neighbors".

    Notes
    -----
    Writes ``obsm["X_umap"]`` (float32, n_obs x n_components) and ``uns["umap"]``. Up to 20,000
    cells the coordinates are scanpy's for the same graph and seed; beyond, the same optimisation
    runs in `settings.n_threads` threads, and gives the same layout for any number of them. Above
    100,000 cells, and where the spectral start is out of reach, it starts from the embedding's
    first components.

    Passes over X: none. Peak memory: up to 20,000 cells the graph twice and 24 bytes an edge;
    beyond, 6 bytes an edge and 50 a cell; with the spectral start the graph once more and
    ``8 n^{1.5}`` bytes.

    Raises
    ------
    MissingResultError
        If there is no such graph or starting embedding.
    ArgumentError
        If the coordinates to start from do not fit.

    References
    ----------
    McInnes, Healy & Melville 2018, https://doi.org/10.48550/arXiv.1802.03426.

    Examples
    --------
    >>> import numpy as np, lazymu
    >>> rng = np.random.default_rng(0)
    >>> rna = lazymu.Modality(np.ones((40, 2)), obsm={"X_pca": rng.random((40, 5))})
    >>> lazymu.pp.neighbors(rna)
    >>> lazymu.tl.umap(rna, maxiter=5)
    >>> rna.obsm["X_umap"].shape
    (40, 2)
    """
    container = container_of(data)
    graph = graph_of(container, neighbors_key)
    layout = umap_layout(
        graph.connectivities,
        n_components=n_components,
        min_dist=min_dist,
        spread=spread,
        a=a,
        b=b,
        alpha=alpha,
        gamma=gamma,
        negative_sample_rate=negative_sample_rate,
        n_epochs=maxiter,
        init=_start(container, init_pos),
        data=_embedding(container, graph),
        metric=str(graph.params.get("metric", "euclidean")),
        random_state=random_state,
    )
    container.obsm[keys.X_UMAP if key_added is None else key_added] = layout.coordinates
    params: dict[str, Any] = {"a": layout.a, "b": layout.b}
    if random_state:
        params["random_state"] = random_state
    container.uns[keys.UMAP if key_added is None else key_added] = {"params": params}


def _start(container: Modality | MuData, init_pos: str | Array) -> Any:
    """Return coordinates, or the name of a way to find them."""
    if not isinstance(init_pos, str) or init_pos in ("spectral", "random"):
        return init_pos
    if init_pos not in container.obsm:
        rule = f"obsm has no such array, only: {', '.join(container.obsm) or 'none'}"
        fix = 'pass "spectral", "random" or one of them'
        raise MissingResultError(explain("init_pos", repr(init_pos), rule, fix))
    return container.obsm[init_pos]


def _embedding(container: Modality | MuData, graph: Graph) -> Array | None:
    """Return the embedding that a graph was made of, None where it is gone or not known.

    Of a joint graph that of the modality with the largest weights; cells that it lacks stand at
    the mean of their neighbours.
    """
    if isinstance(container, Modality):
        name, n_pcs = named_in(graph.params)
        held = name is not None and (name == "X" or split_name(name)[0] in container.obsm)
        return embedding_of(container, name, n_pcs).values if held else None
    names = dict(graph.params.get("mod_use_rep", {}))
    weights = str(graph.params.get("use_rep"))
    if weights not in container.obsm or not set(names) <= set(container.mod):
        return None
    main = list(graph.params["modalities"])[int(container.obsm[weights].mean(axis=0).argmax())]
    rows = container.obs_positions(main)
    values = embedding_of(container.mod[main], names[main], None, where=main).values[rows]
    return values if np.all(rows >= 0) else _filled(values, rows >= 0, graph.connectivities)


def _filled(values: Array, known: Bools, connectivities: CSR) -> Array:
    """Return coordinates with unknown rows at the weighted mean of known neighbours, or at 0."""
    towards_known = connectivities[~known][:, known]
    totals = np.asarray(towards_known.sum(axis=1)).reshape(-1, 1)
    filled = np.zeros(values.shape, np.float64)
    filled[known] = values[known]
    filled[~known] = (towards_known @ values[known]) / np.where(totals > 0, totals, 1)
    return filled
