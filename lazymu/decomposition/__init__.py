"""Truncated SVD and PCA of lazy matrices, as sequences of passes; arrays out, no container."""

from lazymu.decomposition.pca import PCAResult, principal_components
from lazymu.decomposition.svd import SVDResult, truncated_svd

__all__ = ["PCAResult", "SVDResult", "principal_components", "truncated_svd"]
