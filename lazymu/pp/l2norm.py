"""Scaling of cells to length 1."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from lazymu.containers import Modality, MuData, as_modality
from lazymu.containers.history import recorded
from lazymu.errors import ArgumentError, explain
from lazymu.pp.embeddings import components_of, default_name, embedding_of, split_name
from lazymu.stream import LazyMatrix, RowPieces, RowReducer, run_pass
from lazymu.stream.steps import ScaleRows
from lazymu.typing import CSR, Array, Float64s


@recorded
def l2norm(
    data: Modality | MuData,
    mod: str | Sequence[str] | None = None,
    rep: str | Sequence[str] | None = None,
    n_pcs: int | Sequence[int] | None = None,
    copy: bool = False,
) -> Modality | MuData | None:
    """Scale each cell to Euclidean length 1 in an embedding: ``x_i / |x_i|``; 0 stays 0.

    :func:`lazymu.pp.neighbors` does this by itself where its ``flavor`` is Seurat's, and leaves the
    embedding as it is.

    Parameters
    ----------
    data
        A modality or a MuData.
    mod
        Modalities to scale; None: all.
    rep
        Embedding in `obsm` (``"X_lsi[1:]"`` for some of its components), or ``"X"``; one for all
        modalities or one each. None: ``X_pca``, else ``X_lsi``, else ``X`` of at most 50 features.
    n_pcs
        Scale the first so many components, the others left as they are; one number or one each.
    copy
        Return a copy instead of changing ``data``.

    Returns
    -------
    Modality | MuData | None
        None, or the copy.

    Raises
    ------
    MissingResultError
        If an embedding has not been computed.
    ArgumentError
        If there is not one name or number for each modality, or ``n_pcs`` goes with `X`.

    Notes
    -----
    Replaces the array in ``obsm``, or adds a step to `X`. Passes over X: none, or one where it is
    `X` that is scaled. Peak memory: the embedding twice.

    References
    ----------
    The package muon.

    Examples
    --------
    >>> import numpy as np, lazymu as mu
    >>> rna = mu.Modality(np.ones((2, 3)), obsm={"X_pca": np.array([[3.0, 4.0], [0.0, 2.0]])})
    >>> mu.pp.l2norm(rna)
    >>> rna.obsm["X_pca"].tolist()
    [[0.6, 0.8], [0.0, 1.0]]
    """
    target = data.copy() if copy else data
    if isinstance(target, MuData):
        names = list(target.mod) if mod is None else [mod] if isinstance(mod, str) else list(mod)
        modalities = [target.mod[name] for name in names]
    else:
        modalities = [as_modality(target)]
    reps, numbers = _for_each("rep", rep, modalities), _for_each("n_pcs", n_pcs, modalities)
    for modality, name, number in zip(modalities, reps, numbers, strict=True):
        _scale(modality, name, number)
    return target if copy else None


def _for_each(argument: str, value: Any, modalities: list[Modality]) -> list[Any]:
    """Return a value for each modality from one for all or one each."""
    if value is None or isinstance(value, str | int):
        return [value] * len(modalities)
    values = list(value)
    if len(values) != len(modalities):
        rule = f"there are {len(modalities)} modalities"
        raise ArgumentError(explain(argument, values, rule, "pass one for all, or one for each"))
    return values


def _scale(modality: Modality, rep: str | None, n_pcs: int | None) -> None:
    name = default_name(modality, "data") if rep is None else rep
    if name == "X":
        if n_pcs is not None:
            rule = "X has features, not components"
            raise ArgumentError(explain("n_pcs", n_pcs, rule, "leave it out, or name an embedding"))
        lengths = row_lengths(modality.X)
        factor = np.divide(1.0, lengths, out=np.zeros(len(lengths)), where=lengths > 0)
        modality.X = modality.X.with_steps(ScaleRows(factor))
        return
    part = embedding_of(modality, name, n_pcs).values
    lengths = np.linalg.norm(part.astype(np.float64), axis=1)
    key = split_name(name)[0]
    values = np.array(modality.obsm[key], dtype=np.result_type(part, np.float32))
    values[:, components_of(name)][:, :n_pcs] = part / np.where(lengths > 0, lengths, 1)[:, None]
    modality.obsm[key] = values


def row_lengths(matrix: LazyMatrix) -> Float64s:
    """Return the Euclidean length of each row. One pass."""
    (lengths,) = run_pass(matrix, _RowLengths(matrix.shape[0]), label="lengths")
    return np.asarray(lengths)


class _RowLengths(RowReducer[Array]):
    """Each row's Euclidean length."""

    def __init__(self, n_obs: int) -> None:
        self.n_obs = n_obs

    def of_block(self, X: CSR) -> Float64s:
        from lazymu.kernels.sums import row_sums

        return np.sqrt(row_sums(X.data.astype(np.float64) ** 2, X.indptr))

    def finalize(self, state: RowPieces) -> Array:
        return state.assemble(self.n_obs, (), np.float64)
