"""Keep features by their counts and numbers of cells."""

from __future__ import annotations

from lazymu import keys
from lazymu.containers import Modality, as_modality
from lazymu.containers.history import recorded
from lazymu.pp.thresholds import limits_of, within
from lazymu.pp.value_sums import value_sums_of_features
from lazymu.stream.sums import require_counts
from lazymu.typing import Array, Bools


@recorded
def filter_genes(
    data: Modality,
    *,
    min_counts: float | None = None,
    min_cells: int | None = None,
    max_counts: float | None = None,
    max_cells: int | None = None,
    inplace: bool = True,
    copy: bool = False,
) -> Modality | tuple[Bools, Array] | None:
    """Keep features whose sum and number of cells in which they are not 0 lie within limits.

    Feature ``j`` is kept where ``min_counts <= sum_i x_ij <= max_counts`` and
    ``min_cells <= #(x_ij > 0) <= max_cells``. Several limits may be given at once; scanpy takes
    one a call.

    Parameters
    ----------
    data
        A modality of any kind: genes, peaks, proteins.
    min_counts, min_cells, max_counts, max_cells
        The limits, each inclusive; at least one.
    inplace
        Subset the modality; otherwise leave it and return which features would be kept.
    copy
        Return a filtered copy instead.

    Returns
    -------
    Modality | tuple[numpy.ndarray, numpy.ndarray] | None
        None, the copy, or the mask and each feature's number: of cells where one of the limits is
        on cells, else of counts.

    Raises
    ------
    EmptyResultError
        If no feature would be left; the message has the range of the data.
    ArgumentError
        If no limit is given.
    NotCountsError
        If there are negative, NaN or infinite values.

    Notes
    -----
    Writes ``var["n_cells"]`` and ``var["n_counts"]``, each where it is limited. Logs one line.

    Passes over X: none where the sums of features are known (they are on a converted store, and
    after QC of the same cells), else one. Nothing is moved: later passes skip the features. Where
    those that go are rare, the cells' totals stay known, so that normalising needs no pass.
    Memory: 17 bytes for each feature, and 16 for each and thread in a pass; 12 MB for the entries
    of rare features.

    Examples
    --------
    >>> import lazymu as sc, numpy as np
    >>> rna = sc.Modality(np.array([[5, 0, 3], [0, 0, 1], [1, 1, 1]]))
    >>> sc.pp.filter_genes(rna, min_cells=2)
    >>> rna.var
       n_cells
    0        2
    2        3
    """
    limits = limits_of(
        min_counts=min_counts, min_cells=min_cells, max_counts=max_counts, max_cells=max_cells
    )
    modality = as_modality(data)
    sums = value_sums_of_features(modality.X)
    require_counts(modality.X, "filter_genes")
    values: dict[str, Array] = {"counts": sums.total, "cells": sums.nnz}
    kept = within(limits, values, "genes")
    columns = {"cells": keys.N_CELLS, "counts": keys.N_COUNTS}
    limited = [kind for kind in columns if any(limit.kind == kind for limit in limits)]
    if not inplace:
        return kept, values[limited[0]]
    modality = modality.copy() if copy else modality
    for kind in limited:
        modality.var[columns[kind]] = values[kind]
    modality.subset_var(kept)
    return modality if copy else None
