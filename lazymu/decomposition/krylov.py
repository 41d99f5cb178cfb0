"""Block Krylov iteration on `B'B` with one pass for each block: for matrices that stay on disk."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from lazymu.decomposition.basis import Basis, Ritz
from lazymu.decomposition.eigen import inverse
from lazymu.decomposition.reducers import ColumnMoments, Dot, GramDot, Moments
from lazymu.decomposition.shifted import Shift, shift_of
from lazymu.decomposition.staged import StagedMatrix
from lazymu.decomposition.tall import add_blocks, cross
from lazymu.settings import settings
from lazymu.stream import LazyMatrix, RowPieces
from lazymu.stream.memory import return_freed
from lazymu.stream.plan import working_bytes
from lazymu.typing import Float64s, Floats, Int64s

ROOM_BETWEEN = 16
"""Bytes for each entry of a block of the basis: what is made of a product before the next pass."""
KEPT_PRODUCTS = 10
"""Products with a matrix whose blocks are kept: they cost no reading."""
SCORE_TOLERANCE = 1e-6
"""Singular values below this share of the first are rounding errors of the float32 scores."""
START_SHARE = 16
"""The first block comes from cells that hold this part of the nonzeros, `START_VALUES` at least."""
START_VALUES = 1 << 24
START_RUNS = 64
"""Runs of neighbouring cells that are drawn for it: chunks are read whole."""
START_PRODUCTS = 4
START_LABEL = "SVD start"


class Streamed(NamedTuple):
    """Leading triplets of a matrix that was streamed."""

    U: Floats
    S: Float64s
    Vt: Float64s
    residuals: Float64s
    n_passes: int
    moments: Moments | None


def block_krylov(
    C: LazyMatrix,
    m: Float64s | None,
    n_comps: int,
    *,
    n_oversamples: int,
    max_passes: int,
    tol: float,
    rng: np.random.Generator,
    with_moments: bool = True,
) -> Streamed:
    """Return the leading triplets of ``B = C - 1 m'``; with ``m`` None, of ``C`` centred.

    Each pass multiplies the newest block with ``B'B``. The cells' scores are put together from
    what the passes made of them; where that takes too much room, the last pass is for scores. A
    matrix whose blocks can be kept is read once and multiplied `KEPT_PRODUCTS` times. The moments
    of the features come with the first pass; without them, ``m`` has to be 0.
    """
    n_obs, n_vars = C.shape
    width = block_width(n_comps + n_oversamples, C.shape)
    staged = StagedMatrix(C)
    keep = not staged.fits and scores_fit(n_obs, width, max_passes)
    n_products = KEPT_PRODUCTS if staged.fits else max_passes if keep else max_passes - 1
    start = rng.standard_normal((n_vars, width), dtype=np.float32)
    if not staged.fits:
        start = start_from_sample(C, m, start)
    grown = grow_basis(
        staged,
        m,
        start,
        n_comps,
        n_products=n_products,
        tol=tol,
        keep_scores=keep,
        with_moments=with_moments,
    )
    found, m, moments = grown.found, grown.shift.m, grown.moments
    if keep:
        V = grown.basis.times(found.Y)
        Y = grown.scores.times(found.Y, m @ V)
    else:
        V = grown.basis.refined(grown.R, found)
        del grown, start  # room for the pass
        return_freed()
        (Y,) = staged.look(Dot(n_obs, V, m @ V, np.float32), label="SVD scores")
    return Streamed(*triplets(Y, V), found.residuals, staged.n_passes, moments)


class Grown(NamedTuple):
    """A Krylov basis after its last product."""

    basis: Basis
    R: Float64s
    """What is new of the last product, (var, l)."""
    found: Ritz
    scores: Scores
    shift: Shift
    moments: Moments | None


def grow_basis(
    staged: StagedMatrix,
    m: Float64s | None,
    start: Floats,
    n_comps: int,
    *,
    n_products: int,
    tol: float,
    keep_scores: bool,
    with_moments: bool,
    label: str = "SVD",
) -> Grown:
    """Multiply blocks, first ``start`` (var, l), with ``B'B`` until all residuals are small."""
    n_obs, n_vars = staged.matrix.shape
    basis = Basis(start)
    del start
    of_features = [ColumnMoments(n_vars)] if with_moments else []
    first = GramDot(basis.blocks[-1], keep_scores=keep_scores)
    product, *found_moments = staged.look(first, *of_features, label=label)
    moments = found_moments[0] if found_moments else None
    shift, scores = shift_of(moments, m), Scores(n_obs)
    while True:
        scores.append(product.Y)
        R = shift.gram_dot(product.W, basis.blocks[-1])
        basis.grow(R)
        found = basis.leading(R, n_comps)
        converged = np.max(found.residuals) <= tol
        if converged or len(basis.blocks) == n_products or not basis.extend(R):
            return Grown(basis, R, found, scores, shift, moments)
        del R, product  # room for the pass
        held = basis.nbytes + scores.nbytes + ROOM_BETWEEN * basis.blocks[-1].size
        next_product = GramDot(basis.blocks[-1], held, keep_scores=keep_scores)
        (product,) = staged.look(next_product, label=label)


def start_from_sample(C: LazyMatrix, m: Float64s | None, start: Floats) -> Floats:
    """Return the leading right vectors of some of the cells, as many as ``start`` has columns.

    They are as near to those of all cells as some passes from a random start, ``start``, come.
    """
    rows = sampled_rows(C)
    if rows is None:
        return start
    grown = grow_basis(
        StagedMatrix(C[rows]),
        m,
        start,
        start.shape[1],
        n_products=START_PRODUCTS,
        tol=0.0,
        keep_scores=False,
        with_moments=m is None or bool(m.any()),
        label=START_LABEL,
    )
    return grown.basis.refined(grown.R, grown.found)


def sampled_rows(C: LazyMatrix) -> Int64s | None:
    """Return the cells of the first block; None where they would be most of a small matrix."""
    n_values, n_obs = int(C.row_values.sum()), C.shape[0]
    wanted = max(n_values // START_SHARE, START_VALUES)
    if 2 * wanted > n_values:
        return None
    run = max(1, round(n_obs * wanted / n_values / START_RUNS))
    firsts = np.linspace(0, n_obs - run, min(START_RUNS, n_obs // run)).astype(np.int64)
    return np.unique(firsts[:, None] + np.arange(run))


def block_width(n_wanted: int, shape: tuple[int, int]) -> int:
    """Return the columns of a block: those wanted, and as many more as products give for nothing.

    Examples
    --------
    >>> block_width(60, (1000, 2000)), block_width(60, (1000, 62))
    (64, 62)
    """
    from lazymu.kernels.products import padded_columns

    return min(padded_columns(n_wanted), *shape)


def scores_fit(n_obs: int, width: int, n_products: int) -> bool:
    """Return whether the scores of all blocks of a basis leave most of the memory limit free."""
    n_bytes = 4 * n_obs * width * (n_products + 1)
    return n_bytes <= working_bytes(settings.memory_limit) // 3


class Scores:
    """``C K`` (obs, basis) for a basis ``K``, in the blocks that the passes made of it."""

    def __init__(self, n_obs: int) -> None:
        self.n_obs, self.blocks = n_obs, list[Floats]()

    @property
    def nbytes(self) -> int:
        # One block more is in pieces while it is put together.
        return sum(block.nbytes for block in self.blocks) + self.blocks[-1].nbytes

    def append(self, pieces: RowPieces) -> None:
        """Take in the scores of the newest block of the basis."""
        width = pieces[0][1].shape[1] if pieces else 0
        self.blocks.append(pieces.assemble(self.n_obs, (width,), np.float32))

    def times(self, Y: Float64s, offset: Float64s) -> Floats:
        """Return ``C K Y - 1 offset'`` (obs, k) in float32."""
        out = np.tile(-offset, (self.n_obs, 1))
        add_blocks(out, self.blocks, Y)
        return out.astype(np.float32)


def triplets(Y: Floats, V: Floats) -> tuple[Floats, Float64s, Float64s]:
    """Return ``U``, ``S``, ``V'`` with ``Y = B V = U S``, for a rotation of ``V``.

    With ``Y'Y = R S^2 R'``, the columns of ``U = Y R / S`` are orthonormal.
    """
    squares, R = np.linalg.eigh(cross(Y, Y))
    singular, R = np.sqrt(np.maximum(squares[::-1], 0)), R[:, ::-1]
    weights = inverse(singular, SCORE_TOLERANCE * singular[0])
    return Y @ (R * weights).astype(np.float32), singular, (V @ R).T
