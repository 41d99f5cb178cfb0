"""What the decompositions ask of a pass: moments of the features, products, the Gram matrix."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from lazymu.settings import settings
from lazymu.stream import Block, Reducer, RowPieces, RowReducer
from lazymu.stream.plan import working_bytes
from lazymu.typing import CSR, Array, Float64s, Floats

SLAB_VALUES = 1 << 21
"""Values of a dense piece of a block: 16 MiB in float64."""
DENSE_SHARE = 0.2
"""Above this share of nonzeros a dense product is faster than a sparse one."""


class Moments(NamedTuple):
    """Number of cells, mean and sum of squared deviations of each feature."""

    n: float
    mean: Float64s
    m2: Float64s


class ColumnMoments(Reducer[Moments, Moments]):
    """Moments of each feature, merged without cancellation."""

    def __init__(self, n_vars: int) -> None:
        self.n_vars = n_vars

    @property
    def state_bytes(self) -> int:
        return 5 * 8 * self.n_vars

    def init(self) -> Moments:
        return Moments(0.0, np.zeros(self.n_vars), np.zeros(self.n_vars))

    def chunk(self, state: Moments, block: Block) -> Moments:
        from lazymu.kernels.moments import group_moments

        X = block.X
        groups = np.zeros(X.shape[0], dtype=np.int64)
        n, mean, m2 = group_moments(X.data, X.indices, X.indptr, groups, 1, self.n_vars)
        return self.combine(state, Moments(float(n[0]), mean[0], m2[0]))

    def combine(self, a: Moments, b: Moments) -> Moments:
        from lazymu.kernels.moments import merge_moments

        n_a, n_b = np.array([a.n]), np.array([b.n])
        n, mean, m2 = merge_moments(n_a, a.mean[None], a.m2[None], n_b, b.mean[None], b.m2[None])
        return Moments(float(n[0]), mean[0], m2[0])

    def finalize(self, state: Moments) -> Moments:
        return state


class Dot(RowReducer[Floats]):
    """``C V - 1 offset'`` (obs, k), summed in a dtype and returned as float32."""

    def __init__(
        self, n_obs: int, V: Floats, offset: Float64s, dtype: npt.DTypeLike = np.float64
    ) -> None:
        from lazymu.kernels.products import aligned, padded_columns

        self.n_obs, self.offset = n_obs, offset
        self.V = aligned((len(V), padded_columns(V.shape[1])), dtype)
        self.V[:, : V.shape[1]] = V
        self.V[:, V.shape[1] :] = 0

    @property
    def operand_bytes(self) -> int:
        return int(self.V.nbytes)

    def of_block(self, X: CSR) -> Floats:
        from lazymu.kernels.products import aligned, dot

        Y = aligned((X.shape[0], self.V.shape[1]), self.V.dtype)
        dot(X.data, X.indices, X.indptr, self.V, Y)
        return (Y[:, : len(self.offset)] - self.offset).astype(np.float32)

    def finalize(self, state: RowPieces) -> Floats:
        return state.assemble(self.n_obs, (len(self.offset),), np.float32)


class TDot(Reducer[Float64s, Float64s]):
    """``C' U`` (var, k), summed in float64, for ``U`` (obs, k)."""

    per_row = ("U",)

    def __init__(self, n_vars: int, U: Float64s) -> None:
        self.shape, self.U = (n_vars, U.shape[1]), U

    @property
    def state_bytes(self) -> int:
        return int(8 * self.shape[0] * self.shape[1])

    @property
    def row_bytes(self) -> int:
        return int(self.U.nbytes)

    def init(self) -> Float64s:
        from lazymu.kernels.products import padded_columns

        return np.zeros((self.shape[0], padded_columns(self.shape[1])))

    def chunk(self, state: Float64s, block: Block) -> Float64s:
        from lazymu.kernels.products import t_dot_add

        X = block.X
        t_dot_add(X.data, X.indices, X.indptr, block.of(self.U), state)
        return state

    def combine(self, a: Float64s, b: Float64s) -> Float64s:
        a += b
        return a

    def finalize(self, state: Float64s) -> Float64s:
        return state[:, : self.shape[1]]


class Product(NamedTuple):
    """``W = C'(C Q)`` (var, l), and the pieces of ``Y = C Q`` (obs, l) where they are kept."""

    W: Floats
    Y: RowPieces


class GramDot(Reducer[Product, Product]):
    """``C'(C Q)``, summed in float64; in float32 where that would take too much room.

    ``held_bytes`` is what the caller holds meanwhile, so that the block plan leaves room for it.
    """

    def __init__(self, Q: Floats, held_bytes: int = 0, *, keep_scores: bool = False) -> None:
        from lazymu.kernels.products import aligned

        self.Q, self.held_bytes = aligned(Q.shape, Q.dtype), held_bytes
        self.Q[:] = Q
        self.keep_scores = keep_scores
        of_all_threads = (settings.n_threads + 1) * 8 * Q.size
        roomy = of_all_threads <= working_bytes(settings.memory_limit) // 3
        self.dtype = np.dtype(np.float64 if roomy else np.float32)

    @property
    def state_bytes(self) -> int:
        return int(self.dtype.itemsize * self.Q.size)

    @property
    def operand_bytes(self) -> int:
        return int(self.Q.nbytes) + self.held_bytes

    def init(self) -> Product:
        return Product(np.zeros(self.Q.shape, dtype=self.dtype), RowPieces())

    def chunk(self, state: Product, block: Block) -> Product:
        from lazymu.kernels.products import gram_dot_add

        X = block.X
        Y = gram_dot_add(X.data, X.indices, X.indptr, self.Q, state.W)
        if self.keep_scores:
            state.Y.append((block.rows, Y))
        return state

    def combine(self, a: Product, b: Product) -> Product:
        np.add(a.W, b.W, out=a.W)
        a.Y.extend(b.Y)
        return a

    def finalize(self, state: Product) -> Product:
        return Product(state.W.astype(np.float64, copy=False), state.Y)


class Gram(Reducer[Float64s, Float64s]):
    """``C'C`` (var, var), summed in float64: entry by entry where ``C`` is sparse, else by BLAS."""

    def __init__(self, n_vars: int) -> None:
        self.n_vars = n_vars

    @property
    def state_bytes(self) -> int:
        return 8 * self.n_vars**2

    @property
    def operand_bytes(self) -> int:
        return self.state_bytes + 8 * SLAB_VALUES

    def init(self) -> Float64s:
        return np.zeros((self.n_vars, self.n_vars))

    def chunk(self, state: Float64s, block: Block) -> Float64s:
        from scipy.linalg.blas import dsyrk

        from lazymu.kernels.gram import add_gram

        X = block.X
        if X.nnz <= DENSE_SHARE * X.shape[0] * X.shape[1]:
            add_gram(X.data, X.indices, X.indptr, state)
            return state
        rows = max(1, SLAB_VALUES // max(self.n_vars, 1))
        for start in range(0, X.shape[0], rows):
            slab: Array = X[start : start + rows].toarray().astype(np.float64)
            # BLAS sees the transposes, for which the upper triangle is the lower one.
            dsyrk(1.0, slab.T, beta=1.0, c=state.T, lower=1, overwrite_c=1)
        return state

    def combine(self, a: Float64s, b: Float64s) -> Float64s:
        a += b
        return a

    def finalize(self, state: Float64s) -> Float64s:
        return np.triu(state) + np.triu(state, 1).T
