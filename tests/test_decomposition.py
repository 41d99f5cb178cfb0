"""Truncated SVD and PCA of lazy matrices, against NumPy on the dense matrix."""

from collections.abc import Callable

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal

from lazymu import LazyMatrix, settings
from lazymu.decomposition import (
    eigen,
    in_memory,
    krylov,
    pca,
    principal_components,
    reducers,
    truncated_svd,
)
from lazymu.decomposition.reducers import ColumnMoments, Gram, GramDot
from lazymu.decomposition.staged import StagedMatrix, fold_pieces
from lazymu.errors import ArgumentError
from lazymu.stream import RowPieces, passes, recorded_passes, run_pass
from lazymu.stream.steps import Log1p, Standardize
from tests.counting import counting_scheduler
from tests.matrix_cases import low_rank_counts, small_blocks

__all__ = ["small_blocks"]  # a fixture


def triplets(dense: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The leading triplets, each with its largest loading positive."""
    U, S, Vt = np.linalg.svd(dense.astype(np.float64), full_matrices=False)
    sign = np.sign(Vt[np.arange(len(Vt)), np.argmax(np.abs(Vt), axis=1)])
    return (U * sign)[:, :k], S[:k], (Vt * sign[:, None])[:k]


@pytest.fixture
def streaming(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make every matrix too large to be held."""
    monkeypatch.setattr(in_memory, "MAX_VALUES", 0)
    monkeypatch.setattr(StagedMatrix, "fits", False)


@pytest.fixture
def iterating(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make every matrix too large to be diagonalised directly."""
    monkeypatch.setattr(eigen, "DENSE_SIDE", 10)
    monkeypatch.setattr(in_memory, "DENSE_SIDE", 10)


SHAPES = [(150, 60), (60, 150)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", ["uint16", "float32", "float64"])
def test_truncated_svd__in_memory_is_exact(shape: tuple[int, int], dtype: str) -> None:
    X = low_rank_counts(*shape).astype(dtype)
    with counting_scheduler() as scheduler:
        svd = truncated_svd(LazyMatrix(X), 8)
    U, S, Vt = triplets(X.toarray(), 8)
    assert scheduler.n_computes == svd.n_passes == 1
    assert_allclose(svd.S, S, rtol=1e-10)
    assert_allclose(svd.Vt, Vt, atol=1e-8)
    assert_allclose(svd.U, U, atol=1e-8)
    assert svd.residuals.max() < 1e-8


@pytest.mark.usefixtures("iterating")
@pytest.mark.parametrize("shape", SHAPES)
def test_truncated_svd__lanczos_on_either_side(shape: tuple[int, int]) -> None:
    X = low_rank_counts(*shape)
    svd = truncated_svd(LazyMatrix(X), 8)
    U, S, Vt = triplets(X.toarray(), 8)
    assert_allclose(svd.S, S, rtol=1e-9)
    assert_allclose(svd.Vt, Vt, atol=1e-6)
    assert_allclose(svd.U, U, atol=1e-6)
    assert svd.residuals.max() < 1e-8


@pytest.mark.usefixtures("streaming")
@pytest.mark.parametrize("shape", SHAPES)
def test_truncated_svd__streamed_finds_what_stands_out(shape: tuple[int, int]) -> None:
    X = low_rank_counts(*shape)
    with counting_scheduler() as scheduler:
        svd = truncated_svd(LazyMatrix(X), 6)
    U, S, Vt = triplets(X.toarray(), 6)
    assert scheduler.n_computes == svd.n_passes
    assert 1 <= svd.n_passes <= 5
    assert_allclose(svd.S, S, rtol=1e-5)
    assert_allclose(svd.Vt, Vt, atol=2e-3)
    assert_allclose(svd.U, U, atol=2e-3)
    assert_allclose(svd.U.T @ svd.U, np.eye(6), atol=1e-5)
    assert_allclose(svd.Vt @ svd.Vt.T, np.eye(6), atol=1e-5)


@pytest.mark.usefixtures("streaming")
def test_truncated_svd__residuals_fall_with_passes_and_bound_the_error() -> None:
    X = low_rank_counts(200, 300)
    exact = triplets(X.toarray(), 6)[2]
    results = [truncated_svd(LazyMatrix(X), 6, max_passes=n, tol=0) for n in (2, 3, 5)]
    worst = [svd.residuals.max() for svd in results]
    error = [np.abs(svd.Vt - exact).max() for svd in results]
    assert [svd.n_passes for svd in results] == [2, 3, 5]
    assert worst[2] < worst[1] < worst[0]
    assert error[2] < error[1] < error[0]


@pytest.mark.usefixtures("streaming")
def test_truncated_svd__scores_of_the_passes_or_of_one_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    X = low_rank_counts(200, 300)
    exact = triplets(X.toarray(), 6)
    of_passes = truncated_svd(LazyMatrix(X), 6, tol=0)
    monkeypatch.setattr(krylov, "scores_fit", lambda *sizes: False)
    of_one_more = truncated_svd(LazyMatrix(X), 6, tol=0)
    assert of_passes.n_passes == of_one_more.n_passes == 5
    # One pass more for directions makes them better.
    assert of_passes.residuals.max() < of_one_more.residuals.max()
    for svd, atol in ((of_passes, 1e-3), (of_one_more, 5e-3)):
        assert_allclose(svd.U, exact[0], atol=atol)
        assert_allclose(svd.S, exact[1], rtol=1e-5)
        assert_allclose((svd.U * svd.S) @ svd.Vt, X @ svd.Vt.T @ svd.Vt, atol=1e-4)


@pytest.mark.usefixtures("streaming")
@pytest.mark.parametrize("shifted", [False, True])
def test_truncated_svd__first_block_from_some_of_the_cells(
    shifted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    X = low_rank_counts(2000, 300)
    matrix = LazyMatrix(X)
    dense = X.toarray()
    if shifted:
        matrix = matrix.with_steps(Standardize(dense.mean(axis=0), dense.std(axis=0) + 1))
        dense = (dense - dense.mean(axis=0)) / (dense.std(axis=0) + 1)
    U = triplets(dense, 6)[0]
    random = truncated_svd(matrix, 6, max_passes=2)
    monkeypatch.setattr(krylov, "START_VALUES", X.nnz // 16)
    with recorded_passes() as read:
        sampled = truncated_svd(matrix, 6, max_passes=2)
    assert sampled.n_passes == random.n_passes == 2
    labels = [entry.label for entry in read]
    assert labels == ["SVD start"] * krylov.START_PRODUCTS + ["SVD"] * 2
    assert sum(entry.n_values for entry in read[: krylov.START_PRODUCTS]) < X.nnz // 3
    errors = [np.abs(np.abs(svd.U.T @ U) - np.eye(6)).max() for svd in (random, sampled)]
    assert errors[1] < errors[0] / 3


def test_sampled_rows__hold_the_share_of_nonzeros_and_are_spread(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    X = low_rank_counts(6400, 50)
    monkeypatch.setattr(krylov, "START_VALUES", 1)
    rows = krylov.sampled_rows(LazyMatrix(X))
    assert rows is not None
    assert 0.05 < np.diff(X.indptr)[rows].sum() / X.nnz < 0.08
    starts = rows[np.flatnonzero(np.diff(rows, prepend=-2) > 1)]
    assert len(starts) == krylov.START_RUNS
    assert (rows[0], rows[-1]) == (0, 6399)
    monkeypatch.setattr(krylov, "START_VALUES", X.nnz)
    assert krylov.sampled_rows(LazyMatrix(X)) is None


def test_truncated_svd__kept_blocks_are_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    X = low_rank_counts(200, 300)
    exact = triplets(X.toarray(), 6)
    monkeypatch.setattr(in_memory, "MAX_VALUES", 0)
    with counting_scheduler() as scheduler:
        kept = truncated_svd(LazyMatrix(X), 6)
    assert scheduler.n_computes == kept.n_passes == 1
    monkeypatch.setattr(StagedMatrix, "fits", False)
    assert kept.residuals.max() < truncated_svd(LazyMatrix(X), 6).residuals.max()
    for found, expected in zip(kept[:3], exact, strict=True):
        assert_allclose(found, expected, rtol=1e-5, atol=2e-5)


@pytest.mark.parametrize("n_threads", [1, 3])
@pytest.mark.parametrize("n_rows", [1, 2, 60])
def test_fold_pieces__is_a_pass_over_them(n_threads: int, n_rows: int) -> None:
    X = low_rank_counts(60, 20)
    rows = [slice(start, min(start + n_rows, 60)) for start in range(0, 60, n_rows)]
    pieces = RowPieces((run, X[run]) for run in rows)
    Q = np.ones((20, 2), dtype=np.float32)
    with settings.override(n_threads=n_threads):
        product, G = fold_pieces(pieces, [GramDot(Q, keep_scores=True), Gram(20)])
    dense = X.toarray().astype(np.float64)
    assert_allclose(product.W, dense.T @ (dense @ Q), rtol=1e-5)
    assert_allclose(product.Y.assemble(60, (2,), np.float32), dense @ Q, rtol=1e-5)
    assert_allclose(G, dense.T @ dense, rtol=1e-12)


@pytest.mark.usefixtures("streaming")
def test_truncated_svd__stops_when_converged() -> None:
    X = low_rank_counts(100, 15)  # the block spans all features: exact after one product
    svd = truncated_svd(LazyMatrix(X), 5)
    assert svd.n_passes == 1
    assert svd.residuals.max() < 1e-5
    assert_allclose(svd.S, triplets(X.toarray(), 5)[1], rtol=1e-6)


@pytest.mark.parametrize("mode", ["streaming", "direct"])
def test_truncated_svd__rank_below_n_comps(mode: str, request: pytest.FixtureRequest) -> None:
    if mode == "streaming":
        request.getfixturevalue("streaming")
    rng = np.random.default_rng(0)
    dense = np.outer(rng.poisson(3, 30), rng.poisson(3, 20)) + np.outer(
        rng.poisson(2, 30), rng.poisson(4, 20)
    )
    svd = truncated_svd(LazyMatrix(sp.csr_matrix(dense.astype(np.float32))), 5)
    assert_allclose(svd.S, [*np.linalg.svd(dense)[1][:2], 0, 0, 0], rtol=1e-5, atol=2e-3)
    assert_allclose((svd.U * svd.S) @ svd.Vt, dense, atol=1e-3)
    assert np.all(np.isfinite(svd.U))
    assert np.all(np.isfinite(svd.residuals))


@pytest.mark.usefixtures("streaming")
def test_truncated_svd__does_not_depend_on_blocks_or_threads(
    small_blocks: Callable[[], None],
) -> None:
    X = LazyMatrix(low_rank_counts(400, 50)).with_steps(Log1p())
    whole = truncated_svd(X, 8)
    small_blocks()
    with settings.override(n_threads=1), counting_scheduler() as scheduler:
        blocks = truncated_svd(X, 8)
    assert passes.pass_plan(X).n_blocks > 10
    assert scheduler.n_computes == blocks.n_passes == whole.n_passes
    for a, b in zip(blocks[:3], whole[:3], strict=True):
        assert_allclose(a, b, atol=1e-4)


@pytest.mark.usefixtures("streaming")
def test_truncated_svd__short_of_room_sums_in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    X = LazyMatrix(low_rank_counts(200, 80))
    roomy = truncated_svd(X, 6)
    monkeypatch.setattr(reducers, "working_bytes", lambda limit: 1000)
    assert GramDot(np.zeros((80, 16), np.float32)).state_bytes == 4 * 80 * 16
    tight = truncated_svd(X, 6)
    assert_allclose(tight.S, roomy.S, rtol=1e-5)
    assert_allclose(tight.U, roomy.U, atol=1e-3)


@pytest.mark.usefixtures("streaming")
def test_truncated_svd__seed_repeats_and_matters_little() -> None:
    X = LazyMatrix(low_rank_counts(200, 80))
    first, again, other = (truncated_svd(X, 6, random_state=seed) for seed in (1, 1, 2))
    assert_array_equal(first.U, again.U)
    assert_array_equal(first.Vt, again.Vt)
    assert not np.array_equal(first.Vt, other.Vt)
    assert_allclose(first.Vt, other.Vt, atol=2e-3)


@pytest.mark.parametrize("n_comps", [0, 20, 21])
def test_truncated_svd__n_comps_out_of_range(n_comps: int) -> None:
    with pytest.raises(ArgumentError, match=r"`n_comps` is .* below min\(n_obs, n_vars\) = 20"):
        truncated_svd(LazyMatrix(low_rank_counts(30, 20)), n_comps)


def test_truncated_svd__one_pass_is_not_enough() -> None:
    with pytest.raises(ArgumentError, match="`max_passes` is 1"):
        truncated_svd(LazyMatrix(low_rank_counts(30, 20)), 3, max_passes=1)


# --- PCA -----------------------------------------------------------------------------------------


def dense_pca(dense: np.ndarray, k: int, *, centre: bool) -> tuple[np.ndarray, ...]:
    """Scores, components, variance and its share, from the dense matrix."""
    U, S, Vt = triplets(dense - dense.mean(0) if centre else dense, k)
    scores = U * S
    ddof = int(centre)
    variance = scores.var(0, ddof=ddof)
    return scores, Vt, variance, variance / dense.var(0, ddof=ddof).sum()


def only_gram(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(in_memory, "MAX_VALUES", 0)


def only_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pca, "SMALL_GRAM_VARS", 0)


def only_krylov(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pca, "SMALL_GRAM_VARS", 0)
    monkeypatch.setattr(pca, "GRAM_VARS", 0)
    monkeypatch.setattr(in_memory, "MAX_VALUES", 0)
    monkeypatch.setattr(StagedMatrix, "fits", False)


WAYS = [(only_gram, 2, 1e-5), (only_memory, 1, 1e-5), (only_krylov, 5, 5e-3)]


@pytest.mark.parametrize("zero_center", [True, False])
@pytest.mark.parametrize("max_value", ["not scaled", None, 1.5])
@pytest.mark.parametrize(("way", "n_passes", "atol"), WAYS)
@pytest.mark.parametrize("shape", SHAPES)
def test_principal_components__every_way_matches_dense(
    way: Callable[[pytest.MonkeyPatch], None],
    n_passes: int,
    atol: float,
    max_value: float | str | None,
    zero_center: bool,
    shape: tuple[int, int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    way(monkeypatch)
    X = low_rank_counts(*shape, rank=3)
    matrix, dense = LazyMatrix(X), X.toarray().astype(np.float64)
    if max_value != "not scaled":
        mean, std = dense.mean(0), np.maximum(dense.std(0, ddof=1), 0.5)
        matrix = matrix.with_steps(Standardize(mean, std, max_value))
        dense = (dense - mean) / std
        dense = dense if max_value is None else np.clip(dense, -max_value, max_value)
        assert_allclose(matrix.toarray(), dense, atol=1e-5)
    with counting_scheduler() as scheduler:
        found = principal_components(matrix, 2, zero_center=zero_center)
    scores, components, variance, ratio = dense_pca(dense, 2, centre=zero_center)
    assert scheduler.n_computes == found.n_passes <= n_passes
    assert found.scores.dtype == np.float32
    assert_allclose(found.scores, scores, atol=atol * np.abs(scores).max())
    assert_allclose(found.components, components, atol=atol)
    assert_allclose(found.variance, variance, rtol=1e-4)
    assert_allclose(found.variance_ratio, ratio, rtol=1e-4)


def test_principal_components__gram_that_does_not_fit_is_not_made(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pca, "SMALL_GRAM_VARS", 0)
    monkeypatch.setattr(in_memory, "MAX_VALUES", 0)
    X = LazyMatrix(low_rank_counts(150, 60))
    gram = principal_components(X, 3)
    monkeypatch.setattr(StagedMatrix, "fits", False)
    with settings.override(memory_limit=300_000, n_threads=2):
        krylov = principal_components(X, 3)
    assert (gram.n_passes, krylov.n_passes) == (1, 5)
    assert_allclose(krylov.scores, gram.scores, atol=5e-3 * np.abs(gram.scores).max())


def test_principal_components__far_from_zero() -> None:
    rng = np.random.default_rng(0)
    dense = 1e4 + rng.normal(size=(200, 12)) * np.arange(1, 13)
    found = principal_components(LazyMatrix(dense), 3)
    scores, _, variance, _ = dense_pca(dense, 3, centre=True)
    assert_allclose(found.variance, variance, rtol=1e-6)
    assert_allclose(found.scores, scores, rtol=1e-5, atol=1e-5)


def test_principal_components__constant_matrix() -> None:
    found = principal_components(LazyMatrix(np.ones((8, 5))), 2)
    assert_allclose(found.scores, 0, atol=1e-6)
    assert_allclose(found.variance, 0, atol=1e-12)
    assert_array_equal(found.variance_ratio, 0)


def test_column_moments__blocks_and_empty_matrix(small_blocks: Callable[[], None]) -> None:
    X = low_rank_counts(300, 20)
    small_blocks()
    (moments,) = run_pass(LazyMatrix(X), ColumnMoments(20), label="test")
    dense = X.toarray().astype(np.float64)
    assert moments.n == 300
    assert_allclose(moments.mean, dense.mean(0))
    assert_allclose(moments.m2, dense.var(0) * 300)
    empty = sp.csr_matrix((0, 20), dtype=np.float32)
    (none,) = run_pass(LazyMatrix(empty), ColumnMoments(20), label="test")
    assert none.n == 0
    assert_array_equal(none.mean, 0)


@pytest.mark.parametrize("density", [0.05, 0.9])
def test_gram__sparse_and_dense_blocks(density: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lazymu.decomposition.reducers.SLAB_VALUES", 50)
    X = sp.random(60, 15, density, format="csr", dtype=np.float32, random_state=0)
    (G,) = run_pass(LazyMatrix(X), Gram(15), label="test")
    dense = X.toarray().astype(np.float64)
    assert_allclose(G, dense.T @ dense, atol=1e-10)
