"""One matrix of several feature types as one modality for each type."""

from __future__ import annotations

import numpy as np
import pandas as pd

from lazymu.io.elements import ModalityElements, StoreElements
from lazymu.keys import FEATURE_TYPES, MODALITY_OF_FEATURE_TYPE, RNA
from lazymu.store.sources import MatrixSource
from lazymu.stream.matrix import LazyMatrix
from lazymu.stream.steps import Astype
from lazymu.typing import Int64s


def split_by_feature_type(
    source: MatrixSource,
    obs: pd.DataFrame,
    var: pd.DataFrame,
    *,
    keep: Int64s | None = None,
) -> StoreElements:
    """Return a modality for each feature type, in the order in which the types first appear.

    Gene expression is ``rna``, peaks are ``atac``, antibodies are ``prot``; other types keep
    their names. Files without feature types are ``rna``. Values are float32, as scanpy gives them.

    Parameters
    ----------
    source
        All features, (obs, var).
    obs, var
        Its tables.
    keep
        Positions of the features wanted; all where None.
    """
    X = LazyMatrix(source)
    if keep is not None:
        X, var = X[:, keep], var.iloc[keep]
    if X.dtype.kind in "iu":
        X = X.with_steps(Astype("float32"))
    if FEATURE_TYPES not in var:
        return StoreElements({RNA: ModalityElements(X, obs, var)})
    types = var[FEATURE_TYPES].to_numpy()
    mod = {}
    for kind in pd.unique(types):
        cols = np.flatnonzero(types == kind)
        name = MODALITY_OF_FEATURE_TYPE.get(str(kind), str(kind))
        mod[name] = ModalityElements(X[:, cols], obs.copy(), var.iloc[cols].copy())
    return StoreElements(mod)
