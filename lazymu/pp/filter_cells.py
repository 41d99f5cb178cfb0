"""Keep cells by their counts and numbers of features."""

from __future__ import annotations

from lazymu import keys
from lazymu.containers import Modality, as_modality
from lazymu.containers.history import recorded
from lazymu.pp.thresholds import limits_of, within
from lazymu.pp.value_sums import value_sums_of_cells
from lazymu.stream.sums import require_counts
from lazymu.typing import Array, Bools


@recorded
def filter_cells(
    data: Modality,
    *,
    min_counts: float | None = None,
    min_genes: int | None = None,
    max_counts: float | None = None,
    max_genes: int | None = None,
    inplace: bool = True,
    copy: bool = False,
) -> Modality | tuple[Bools, Array] | None:
    """Keep cells whose sum and number of features that are not 0 lie within limits.

    Cell ``i`` is kept where ``min_counts <= sum_j x_ij <= max_counts`` and
    ``min_genes <= #(x_ij > 0) <= max_genes``. Several limits may be given at once; scanpy takes
    one a call.

    Parameters
    ----------
    data
        A modality of any kind; for peaks, read "genes" as "peaks".
    min_counts, min_genes, max_counts, max_genes
        The limits, each inclusive; at least one.
    inplace
        Subset the modality; otherwise leave it and return which cells would be kept.
    copy
        Return a filtered copy instead.

    Returns
    -------
    Modality | tuple[numpy.ndarray, numpy.ndarray] | None
        None, the copy, or the mask and each cell's number: of features where one of the limits is
        on features, else of counts.

    Raises
    ------
    EmptyResultError
        If no cell would be left; the message has the range of the data.
    ArgumentError
        If no limit is given.
    NotCountsError
        If there are negative, NaN or infinite values.

    Notes
    -----
    Writes ``obs["n_genes"]`` and ``obs["n_counts"]``, each where it is limited. Logs one line.

    Passes over X: none where the sums of cells are known (they are on a converted store, after QC,
    and after other cells were filtered out), else one. Nothing is moved: later passes skip the
    cells. Memory: 17 bytes for each cell.

    Examples
    --------
    >>> import lazymu as sc, numpy as np
    >>> rna = sc.Modality(np.array([[5, 0, 3], [0, 0, 1], [1, 1, 1]]))
    >>> sc.pp.filter_cells(rna, min_genes=2, min_counts=4)
    >>> rna.obs
       n_genes  n_counts
    0        2       8.0
    """
    limits = limits_of(
        min_counts=min_counts, min_genes=min_genes, max_counts=max_counts, max_genes=max_genes
    )
    modality = as_modality(data)
    sums = value_sums_of_cells(modality.X)
    require_counts(modality.X, "filter_cells")
    values: dict[str, Array] = {"counts": sums.total, "genes": sums.nnz}
    kept = within(limits, values, "cells")
    columns = {"genes": keys.N_GENES, "counts": keys.N_COUNTS}
    limited = [kind for kind in columns if any(limit.kind == kind for limit in limits)]
    if not inplace:
        return kept, values[limited[0]]
    modality = modality.copy() if copy else modality
    for kind in limited:
        modality.obs[columns[kind]] = values[kind]
    modality.subset_obs(kept)
    return modality if copy else None
