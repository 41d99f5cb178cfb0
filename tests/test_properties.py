"""Reducers and kernels against plain NumPy, over matrices, types, block boundaries and merges.

The last test lists the kernels and reducers that no property test reaches, and keeps that true.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import rankdata

from lazymu.decomposition.reducers import ColumnMoments, Dot, Gram, GramDot, TDot
from lazymu.kernels import fuzzy, products, ranks, split
from lazymu.kernels import group_moments as moments_of_groups
from lazymu.pl.group_sums import GroupSums
from lazymu.pp.batch_moments import ClippedReducer
from lazymu.pp.l2norm import _RowLengths
from lazymu.pp.normalize_total import _HighlyExpressed
from lazymu.pp.per_cell import feature_sets, largest_values
from lazymu.prot.pp.background import Projection
from lazymu.stream import LazyMatrix
from lazymu.stream.axis_reducers import _ByColumn, _ByRow, _column_sums, _row_sums
from lazymu.stream.group_moments import GroupMomentsReducer
from lazymu.stream.passes import _Gather, _GatherDense
from lazymu.stream.rare import RareReducer
from lazymu.stream.reducers import Block, Reducer
from lazymu.stream.steps import Log1p, ScaleCols, ScaleRows
from lazymu.stream.sums import SumsReducer
from lazymu.typing import CSR

REPOSITORY = Path(__file__).resolve().parents[1]
DTYPES = ("uint8", "uint16", "int32", "int64", "float32", "float64")
examples = settings(deadline=None, max_examples=25)


class Case:
    """A matrix with perhaps some steps, its dense values, and how its rows are cut and merged."""

    def __init__(self, matrix: LazyMatrix, cuts: list[int], n_states: int, seed: int) -> None:
        self.matrix, self.cuts, self.n_states = matrix, cuts, n_states
        self.dense = matrix.toarray().astype(np.float64)
        self.rng = np.random.default_rng(seed)

    def fold(self, reducer: Reducer[Any, Any]) -> Any:
        """Give the blocks by turns to some states, which are then merged."""
        states = [reducer.init() for _ in range(self.n_states)]
        for number, (start, stop) in enumerate(zip(self.cuts, self.cuts[1:], strict=False)):
            block = Block(self.matrix.load(start, stop), slice(start, stop))
            chosen = number % self.n_states
            states[chosen] = reducer.chunk(states[chosen], block)
        while len(states) > 1:
            states.append(reducer.combine(states.pop(0), states.pop(0)))
        return reducer.finalize(states[0])


@st.composite
def cases(draw: Any, *, least: int = 0, steps: bool = True) -> Case:
    """Counts with empty rows and columns, in blocks of any size, some of them without rows."""
    n, p = draw(st.integers(least, 12)), draw(st.integers(least, 9))
    seed = draw(st.integers(0, 2**32 - 1))
    rng = np.random.default_rng(seed)
    density = draw(st.sampled_from([0.0, 0.3, 1.0]))
    dense = rng.poisson(3, (n, p)) * (rng.random((n, p)) < density)
    matrix = LazyMatrix(sp.csr_matrix(dense.astype(draw(st.sampled_from(DTYPES)))))
    if steps and draw(st.booleans()):
        scaled = ScaleRows(rng.random(n) + 0.5), ScaleCols(rng.random(p) + 0.5), Log1p()
        matrix = matrix.with_steps(*scaled[: draw(st.integers(1, 3))])
    if n and p and draw(st.booleans()):
        matrix = matrix[rng.permutation(n)[: max(least, n // 2)], rng.permutation(p)]
    inner = draw(st.lists(st.integers(0, matrix.shape[0]), max_size=4))
    return Case(matrix, [0, *sorted(inner), matrix.shape[0]], draw(st.integers(1, 3)), seed)


def close(found: Any, expected: Any, rtol: float = 1e-6) -> None:
    expected = np.asarray(expected, np.float64)
    size = np.abs(expected).max(initial=0)
    assert_allclose(np.asarray(found, np.float64), expected, rtol=rtol, atol=rtol * size)


# --- reducers -------------------------------------------------------------------------------------


@examples
@given(cases())
def test_sums__of_any_blocks(case: Case) -> None:
    found, dense = case.fold(SumsReducer(case.matrix.shape)), case.dense
    close(found.cells.total, dense.sum(axis=1))
    close(found.features.total, dense.sum(axis=0))
    assert_array_equal(found.cells.nnz, np.count_nonzero(dense, axis=1))
    assert_array_equal(found.features.nnz, np.count_nonzero(dense, axis=0))
    assert found.extremes.minimum == min(0, dense.min(initial=0))
    assert found.extremes.maximum == dense.max(initial=0)
    assert found.extremes.all_integer == bool(np.all(dense == np.rint(dense)))


@examples
@given(cases())
def test_by_axis__of_any_blocks(case: Case) -> None:
    n_vars = case.matrix.shape[1]
    close(case.fold(_ByColumn(n_vars, _column_sums, np.add)), case.dense.sum(axis=0))
    close(case.fold(_ByRow(case.matrix.shape, _row_sums, np.float64)), case.dense.sum(axis=1))


@examples
@given(cases(), st.integers(1, 4), st.booleans())
def test_group_moments__of_any_blocks(case: Case, n_groups: int, squares: bool) -> None:
    groups = case.rng.integers(0, n_groups, len(case.dense))
    reducer = GroupMomentsReducer(groups, n_groups, case.matrix.shape[1], squares=squares)
    found = case.fold(reducer)
    n_cells = np.bincount(groups, minlength=n_groups).astype(np.float64)[:, None]
    for g in range(n_groups):
        own = case.dense[groups == g]
        close(found.nnz[g], np.count_nonzero(own, axis=0))
        close(found.total[g], own.sum(axis=0))
    if squares:
        mean, m2 = found.with_zeros(n_cells)
        for g in range(n_groups):
            own = case.dense[groups == g]
            if len(own):
                close(mean[g], own.mean(axis=0))
                close(m2[g], ((own - own.mean(axis=0)) ** 2).sum(axis=0))


@examples
@given(cases(least=1), st.integers(1, 3))
def test_clipped_sums__of_any_blocks(case: Case, n_groups: int) -> None:
    groups = case.rng.integers(0, n_groups, len(case.dense))
    clip = case.rng.random((n_groups, case.dense.shape[1])) * 4
    found = case.fold(ClippedReducer(groups, clip))
    clipped = np.minimum(case.dense, clip[groups])
    for g in range(n_groups):
        close(found.total[g], clipped[groups == g].sum(axis=0))
        close(found.squares[g], (clipped[groups == g] ** 2).sum(axis=0))


@examples
@given(cases())
def test_moments_and_gram__of_any_blocks(case: Case) -> None:
    dense = case.dense
    found = case.fold(ColumnMoments(dense.shape[1]))
    assert found.n == len(dense)
    if len(dense):
        close(found.mean, dense.mean(axis=0))
        close(found.m2, ((dense - dense.mean(axis=0)) ** 2).sum(axis=0))
    close(case.fold(Gram(dense.shape[1])), dense.T @ dense)


@examples
@given(cases(least=1), st.integers(1, 20))
def test_products__of_any_blocks(case: Case, k: int) -> None:
    n, p = case.dense.shape
    V, U, offset = case.rng.random((p, k)), case.rng.random((n, k)), case.rng.random(k)
    Q = case.rng.random((p, 16)).astype(np.float32)
    close(case.fold(Dot(n, V, offset)), case.dense @ V - offset, 1e-5)
    close(case.fold(TDot(p, U)), case.dense.T @ U, 1e-5)
    close(case.fold(Projection(p, U[:, 0])), case.dense.T @ U[:, 0], 1e-5)
    product = case.fold(GramDot(Q, keep_scores=True))
    close(product.W, case.dense.T @ (case.dense @ Q), 1e-5)
    close(product.Y.assemble(n, (16,), np.float32), case.dense @ Q, 1e-5)


@examples
@given(cases())
def test_sums_of_groups__of_any_blocks(case: Case) -> None:
    groups = case.rng.integers(-1, 2, len(case.dense))
    found = case.fold(GroupSums(groups, (2, case.dense.shape[1]), cutoff=1.0))
    for g in range(2):
        own = case.dense[groups == g]
        close(found.sum[g], own.sum(axis=0))
        close(found.sum_above[g], np.where(own > 1.0, own, 0).sum(axis=0))
        assert_array_equal(found.n_above[g], np.sum(own > 1.0, axis=0))


@examples
@given(cases(least=1))
def test_of_cells__of_any_blocks(case: Case) -> None:
    n, p = case.dense.shape
    ks = np.unique(case.rng.integers(1, p + 1, 2))
    largest = np.cumsum(-np.sort(-case.dense, axis=1), axis=1)[:, ks - 1]
    close(case.fold(largest_values(n, [*ks])), largest)
    masks = case.rng.random((p, 3)) < 0.5
    close(case.fold(feature_sets(n, masks)), case.dense @ masks)
    close(case.fold(_RowLengths(n)), np.sqrt((case.dense**2).sum(axis=1)), 1e-5)
    most = case.dense.sum(axis=1, keepdims=True) * 0.3
    found = case.fold(_HighlyExpressed(p, 0.3))
    near = np.isclose(case.dense, most) & (case.dense > 0)
    if not near.any():
        assert_array_equal(found, (case.dense > most).any(axis=0))


@examples
@given(cases())
def test_gather_and_rare__of_any_blocks(case: Case) -> None:
    assert_array_equal(case.fold(_Gather(case.matrix)).toarray(), case.matrix.toarray())
    assert_array_equal(case.fold(_GatherDense(case.matrix)), case.matrix.toarray())
    p = case.matrix.shape[1]
    features = np.flatnonzero(case.rng.random(p) < 0.5)
    entries = case.fold(RareReducer(case.matrix.shape, features))
    assert_array_equal(entries.X.toarray(), case.dense[:, features])


# --- kernels --------------------------------------------------------------------------------------


@examples
@given(cases(least=1), st.integers(1, 4), st.integers(0, 12))
def test_group_moments_kernels__any_split_gives_the_whole(
    case: Case, n_groups: int, cut: int
) -> None:
    X: CSR = case.matrix.load(0, case.matrix.shape[0])
    groups = case.rng.integers(0, n_groups, X.shape[0])
    shape = (n_groups, X.shape[1])
    cut = min(cut, X.shape[0])
    states = []
    for part, own in ((X[:cut], groups[:cut]), (X[cut:], groups[cut:]), (X, groups)):
        state = tuple(np.zeros(shape) for _ in range(3))
        moments_of_groups.add_group_moments(part.data, part.indices, part.indptr, own, *state)
        states.append(state)
    first, second, whole = states
    moments_of_groups.merge_group_moments(*first, *second)
    for one, other in zip(first, whole, strict=True):
        close(one, other)
    n_cells = np.bincount(groups, minlength=n_groups).astype(np.float64)[:, None]
    mean, m2 = moments_of_groups.with_zeros(*whole, n_cells)
    for g in range(n_groups):
        if n_cells[g, 0]:
            own = case.dense[groups == g]
            close(mean[g], own.mean(axis=0))
            close(m2[g], own.var(axis=0) * len(own))


@examples
@given(
    st.lists(st.tuples(st.integers(-3, 4), st.integers(0, 2)), max_size=25),
    st.lists(st.integers(0, 5), min_size=3, max_size=3),
    st.lists(st.booleans(), min_size=3, max_size=3),
    st.sampled_from(["float32", "float64", "int8", "int64"]),
)
def test_ranks__are_scipys(
    entries: list[tuple[int, int]], zeros: list[int], members: list[bool], dtype: str
) -> None:
    stored = [(value, group) for value, group in entries if value]
    values = np.array([value for value, _ in stored], dtype)
    codes = np.array([group for _, group in stored], np.int64)
    sums = np.zeros(3)
    keys = ranks.sorted_keys(values, codes)
    ties = ranks.rank_sums(keys, np.array(zeros), np.array(members), sums)
    everything = np.concatenate([values.astype(np.float64), np.zeros(sum(zeros))])
    group_of = np.concatenate([codes, np.repeat(np.arange(3), zeros)])
    ranked = np.isin(group_of, np.flatnonzero(members))
    expected = rankdata(everything[ranked])
    for g in range(3):
        assert sums[g] == expected[group_of[ranked] == g].sum()
    _, counts = np.unique(everything[ranked], return_counts=True)
    assert ties == float(np.sum(counts.astype(np.float64) ** 3 - counts))


@examples
@given(cases(least=1, steps=False), st.integers(1, 3))
def test_columns__placed_and_summed(case: Case, n_groups: int) -> None:
    X = sp.csc_matrix(case.matrix.toarray())
    groups = case.rng.integers(0, n_groups, X.shape[0])
    cut = X.shape[0] // 2
    pieces = [(X[:cut].tocsc(), groups[:cut]), (X[cut:].tocsc(), groups[cut:])]
    cursor = X.indptr[:-1].astype(np.int64)
    data, codes = np.zeros_like(X.data), np.zeros(X.nnz, np.int64)
    for piece, own in pieces:
        ranks.place_columns(piece.data, own[piece.indices], piece.indptr, cursor, data, codes)
    assert_array_equal(cursor, X.indptr[1:])
    sums, nnz = np.zeros((n_groups, X.shape[1])), np.zeros((n_groups, X.shape[1]), np.int64)
    ranks.column_sums(data, codes, X.indptr.astype(np.int64), sums, nnz)
    for g in range(n_groups):
        close(sums[g], case.dense[groups == g].sum(axis=0))
        assert_array_equal(nnz[g], np.count_nonzero(case.dense[groups == g], axis=0))


@examples
@given(cases(least=1))
def test_products_with_a_vector__over_runs_of_rows(case: Case) -> None:
    X: CSR = case.matrix.load(0, case.matrix.shape[0])
    data = X.data.astype(np.float64)
    n, p = X.shape
    x, y = case.rng.random(p), case.rng.random(n)
    out, of_rows, of_both = np.zeros(n), np.zeros(p), np.zeros(p)
    for start, stop in zip(case.cuts, case.cuts[1:], strict=False):
        products.dot_vector(data, X.indices, X.indptr, start, stop, x, out)
        products.t_dot_vector_add(data, X.indices, X.indptr, start, stop, y, of_rows)
        products.gram_dot_vector_add(data, X.indices, X.indptr, start, stop, x, of_both)
    close(out, case.dense @ x)
    close(of_rows, case.dense.T @ y)
    close(of_both, case.dense.T @ (case.dense @ x))


@examples
@given(st.integers(1, 300), st.integers(0, 40), st.sampled_from(["float32", "float64"]))
def test_operands__begin_on_a_cache_line(n_rows: int, n_cols: int, dtype: str) -> None:
    width = products.padded_columns(n_cols)
    found = products.aligned((n_rows, width), dtype)
    assert width >= n_cols
    assert (found.shape, found.dtype) == ((n_rows, width), dtype)
    assert not found.size or found.ctypes.data % 64 == 0


@examples
@given(st.integers(1, 9), st.integers(0, 2**32 - 1))
def test_fuzzy_union__is_that_of_dense_weights(n: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    dense = rng.random((n, n)) * (rng.random((n, n)) < 0.4)
    A, T = sp.csr_matrix(dense), sp.csr_matrix(dense.T)
    starts = fuzzy.count_union(A.indices, A.indptr, T.indices, T.indptr)
    data, indices = np.empty(starts[-1]), np.empty(starts[-1], np.int64)
    parts = (A.data, A.indices, A.indptr, T.data, T.indices, T.indptr)
    fuzzy.fuzzy_union(*parts, starts, data, indices)
    union = sp.csr_matrix((data, indices, starts), shape=(n, n)).toarray()
    close(union, dense + dense.T - dense * dense.T)


@examples
@given(cases(least=1, steps=False), st.integers(1, 9))
def test_take_until__runs_of_columns_give_the_whole(case: Case, width: int) -> None:
    X: CSR = case.matrix.load(0, case.matrix.shape[0])
    cursor, ends = X.indptr[:-1].astype(np.int64), X.indptr[1:].astype(np.int64)
    parts = []
    for first in range(0, X.shape[1], width):
        stop = min(first + width, X.shape[1])
        data, indices = np.empty_like(X.data), np.empty_like(X.indices)
        lengths = np.zeros(X.shape[0], np.int64)
        n = split.take_until(X.data, X.indices, cursor, ends, first, stop, data, indices, lengths)
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        shape = (X.shape[0], stop - first)
        parts.append(sp.csr_matrix((data[:n], indices[:n], offsets), shape=shape).toarray())
    assert_array_equal(np.hstack(parts), X.toarray())


# --- what has no property test --------------------------------------------------------------------


@cache
def trees(folder: str, pattern: str = "*.py") -> dict[Path, ast.Module]:
    paths = sorted((REPOSITORY / folder).rglob(pattern))
    return {path: ast.parse(path.read_text()) for path in paths}


def names_in(node: ast.AST) -> Iterator[str]:
    for one in ast.walk(node):
        if isinstance(one, ast.Attribute):
            yield one.attr
        elif isinstance(one, ast.Name):
            yield one.id


@cache
def reached() -> frozenset[str]:
    """Return every name in the tests that are given examples, and in what these call beside."""
    found: set[str] = set()
    for tree in trees("tests", "test_*.py").values():
        functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
        for function in functions:
            if any("given" in set(names_in(one)) for one in function.decorator_list):
                found.update(names_in(function))
    return frozenset(found)


def kernels() -> set[str]:
    """Return the kernels that other packages import, as `module.function`."""
    used: set[str] = set()
    for path, tree in trees("lazymu").items():
        if path.parent.name != "kernels":
            used.update(names_in(tree))
            used.update(
                alias.name
                for node in ast.walk(tree)
                if isinstance(node, ast.ImportFrom) and "kernels" in (node.module or "")
                for alias in node.names
            )
    return {
        f"{path.stem}.{node.name}"
        for path, tree in trees("lazymu/kernels").items()
        if path.stem not in ("__init__", "jit")
        for node in tree.body
        if isinstance(node, ast.FunctionDef) and node.name in used and node.name[0] != "_"
    }


def reducers() -> set[str]:
    return {
        node.name
        for tree in trees("lazymu").values()
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
        and any(name.endswith("Reducer") for base in node.bases for name in names_in(base))
        and node.name != "RowReducer"  # what others are made of
    }


# These are tested by examples alone, most of them by searches and graphs made out of many.
WITHOUT_KERNELS = {
    *("draws.draw_cells", "draws.guides", "draws.place_rows"),
    *("fragments.add_length_classes", "fragments.name_table", "fragments.parse_lines"),
    "fuzzy.edge_strengths",
    *("intervals.find_overlaps", "intervals.layered_intervals", "intervals.pile_up"),
    *("inverted.fill_candidates", "inverted.name_found", "inverted.nearest_found"),
    *("layout.edges_by_blocks", "layout.power", "layout.visit_edges"),
    *("louvain.move_vertices", "louvain.sums_by_community", "louvain.weight_within"),
    *("mixture.background_means", "mixture.expect", "mixture.fit"),
    *("neighbors.drop_self", "neighbors.offer_distances", "neighbors.offer_products"),
    *("neighbors.order_by_distance", "neighbors.sort_heaps"),
    *("snf.diffused_rows", "snf.far_sums", "snf.largest_pairs", "snf.mean_of_pairs"),
    *("snf.most_affine", "snf.near_sums", "snf.pair_affinities", "snf.row_products"),
    *("snf.scale_pairs", "snf.strongest_pairs", "snf.union_columns"),
    *("wnn.add_affinities", "wnn.jaccard_rows", "wnn.keep_largest", "wnn.muon_bandwidths"),
    *("wnn.prediction_errors", "wnn.reverse_lists", "wnn.seurat_bandwidths"),
}
WITHOUT_REDUCERS = {
    *("BackgroundMeans", "ColumnsReducer", "RowLengths", "SpillReducer"),
    *("_Kept", "_OverlapSums", "_Values"),
    "PerCell",  # reached by what makes it: `largest_values`, `feature_sets`
}


@pytest.mark.parametrize(
    ("everything", "known", "short"),
    [
        (kernels, WITHOUT_KERNELS, lambda name: name.partition(".")[2]),
        (reducers, WITHOUT_REDUCERS, str),
    ],
    ids=["kernels", "reducers"],
)
def test_properties__every_kernel_and_reducer_has_a_test_or_is_listed(
    everything: Callable[[], set[str]], known: set[str], short: Callable[[str], str]
) -> None:
    assert {name for name in everything() if short(name) not in reached()} == known
