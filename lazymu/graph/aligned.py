"""Embeddings of several modalities, brought into the order of all cells."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from lazymu.errors import ArgumentError, explain
from lazymu.graph.candidates import Candidates
from lazymu.graph.checks import as_embedding
from lazymu.graph.search import NeighborLists
from lazymu.stream.spread import Shared
from lazymu.typing import Array, Float64s, Floats, Int64s, Ints


class Vectors(NamedTuple):
    """What tasks on a cluster need to know of an :class:`Aligned`: its first four arrays."""

    X: Floats
    scale: Float64s
    cells: Ints
    row_of: Ints


class Aligned(NamedTuple):
    """A modality's embedding among all N cells: row ``i`` is ``scale[i] * X[i]``.

    Rows stand in the order of all cells, so that no result depends on the modality's own order.
    """

    X: Floats
    """Shape (n, d)."""
    scale: Float64s
    """Shape (n,): 1, or 1 over the rows' lengths (0 for a row of zeros)."""
    cells: Ints
    """int32, shape (n,): the cell of each row, ascending."""
    row_of: Ints
    """int32, shape (N,): the row of each cell, -1 where it has none."""
    origin: Int64s
    """Shape (n,): the row of the embedding that each row was."""
    shared: Shared[Vectors]
    """The same for tasks."""

    @classmethod
    def of(cls, vectors: Vectors, origin: Int64s) -> Aligned:
        """Return an embedding whose rows were ``origin``."""
        return cls(*vectors, origin, Shared(vectors))

    def reorder(self, lists: NeighborLists) -> NeighborLists:
        """Return neighbour lists within the embedding as lists of these rows."""
        now = np.empty(len(self.origin), np.int32)
        now[self.origin] = np.arange(len(self.origin))
        indices = now[lists.indices[self.origin]]
        return NeighborLists(indices, np.asarray(lists.distances[self.origin], np.float64))


class Fitted(NamedTuple):
    """What is known of one modality before its weights are."""

    view: Aligned
    candidates: Candidates
    lists: NeighborLists
    sigma: Float64s


def align(
    embeddings: Mapping[str, Array], positions: Mapping[str, Int64s] | None, *, l2_norm: bool
) -> dict[str, Aligned]:
    """Return each modality's embedding in the order of all cells.

    Parameters
    ----------
    embeddings
        Modality -> matrix, shape (n_r, d_r).
    positions
        Modality -> row of each of N cells in it, -1 where it has none; None: all are 0 to N - 1.
    l2_norm
        Whether rows are scaled to length 1.

    Raises
    ------
    ArgumentError
        If an embedding or its positions cannot be used, or a cell is in no modality.
    """
    views = {}
    for mod, embedding in embeddings.items():
        X = as_embedding(embedding, f"embeddings[{mod!r}]")
        rows = np.arange(len(X)) if positions is None else np.asarray(positions[mod], np.int64)
        views[mod] = _view(mod, X, rows, l2_norm=l2_norm)
    lengths = {mod: len(view.row_of) for mod, view in views.items()}
    if len(set(lengths.values())) != 1:
        rule = "all modalities must speak of the same number of cells"
        raise ArgumentError(explain("positions", f"of lengths {lengths}", rule, "pass -1 for none"))
    n_absent = int(np.all([view.row_of < 0 for view in views.values()], axis=0).sum())
    if n_absent:
        rule = "every cell must be in a modality"
        raise ArgumentError(explain("positions", f"-1 for {n_absent} cells", rule, "drop them"))
    return views


def _view(mod: str, X: Floats, rows: Int64s, *, l2_norm: bool) -> Aligned:
    row_of = np.full(len(rows), -1, np.int32)
    cells = np.flatnonzero(rows >= 0)
    row_of[cells] = np.arange(len(cells))
    rows = rows[cells]
    if len(rows) != len(X) or not np.array_equal(np.sort(rows), np.arange(len(X))):
        raise ArgumentError(
            explain(
                f"positions[{mod!r}]",
                f"{len(rows)} rows for an embedding of {len(X)}",
                "it must name every row of the embedding once",
                "pass the embedding of these cells alone",
            )
        )
    if not np.array_equal(rows, np.arange(len(X))):
        X = X[rows]
    scale = np.ones(len(X))
    if l2_norm and X.shape[1] == 1:
        # x * (1 / |x|) is not always 1; the rounding would order cells that are all alike.
        X = np.sign(X)
    elif l2_norm:
        lengths = np.sqrt(np.einsum("ij,ij->i", X, X, dtype=np.float64))
        scale = np.divide(1.0, lengths, out=np.zeros(len(X)), where=lengths > 0)
    return Aligned.of(Vectors(X, scale, cells.astype(np.int32), row_of), rows)
