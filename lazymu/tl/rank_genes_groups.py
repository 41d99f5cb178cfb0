"""Features that distinguish groups of cells."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd

from lazymu import keys
from lazymu.containers import Modality, as_modality
from lazymu.containers.history import recorded
from lazymu.errors import ArgumentError, MissingResultError, explain
from lazymu.stream import LazyMatrix
from lazymu.tl.group_tests import GroupTests, t_test, wilcoxon
from lazymu.tl.grouping import Groups, chosen_groups, groups_of
from lazymu.tl.logistic import logistic_scores
from lazymu.typing import Array, Bools, Float64s, Int64s

METHODS = ("t-test", "t-test_overestim_var", "wilcoxon", "logreg")
CORRECTIONS = ("benjamini-hochberg", "bonferroni")
DTYPES = {"names": "O", "scores": "f4", "pvals": "f8", "pvals_adj": "f8", "logfoldchanges": "f4"}
Method = Literal["t-test", "t-test_overestim_var", "wilcoxon", "logreg"]
Correction = Literal["benjamini-hochberg", "bonferroni"]


class Ranking(NamedTuple):
    """One group's features, best first."""

    order: Int64s
    pvals_adj: Float64s
    logfoldchanges: Float64s


@recorded
def rank_genes_groups(
    data: Modality,
    groupby: str | pd.Series[Any] | Array,
    *,
    mask_var: str | Bools | None = None,
    use_raw: bool | None = None,
    groups: Literal["all"] | Iterable[str] = "all",
    reference: str = "rest",
    n_genes: int | None = None,
    rankby_abs: bool = False,
    pts: bool = False,
    key_added: str | None = None,
    copy: bool = False,
    method: Method | None = None,
    corr_method: Correction = "benjamini-hochberg",
    tie_correct: bool = False,
    layer: str | None = None,
    **kwds: Any,
) -> Modality | None:
    """Rank the features of each group of cells by a test against the other cells.

    ``t-test`` is Welch's: ``t = (m1 - m2) / sqrt(v1 / n1 + v2 / n2)``; ``t-test_overestim_var``
    takes the group's size for both. ``wilcoxon`` is the rank-sum test with its normal
    approximation, zeros and ties counted exactly. Fold changes are
    ``log2((expm1(m1) + 1e-9) / (expm1(m2) + 1e-9))``, so values are taken to be log1p-transformed.

    ``logreg`` ranks by the coefficients ``w_g`` of one logistic regression of the groups on all
    features, ``p(g | x) = exp(w_g x + b_g) / sum_h exp(w_h x + b_h)``, as scikit-learn fits it: a
    feature scores high where it tells the group apart beside the other features.

    Parameters
    ----------
    data
        A modality, log-normalised.
    groupby
        A column of `obs`; or a Series, which is aligned by cell names; or one label for each cell.
        Cells without a label are in no group, but in "the rest".
    mask_var
        Features to test: a column of `var` or a mask.
    use_raw
        Test `raw` instead of `X`; by default where there is one and no layer is named.
    groups
        Groups to test; all by default. ``logreg`` takes the cells of these alone.
    reference
        Compare with this group alone, instead of with all other cells. To ``logreg`` it is one
        more group.
    n_genes
        Keep only so many features of each group, the best.
    rankby_abs
        Order by the score's absolute value.
    pts
        Also give the shares of cells in which a feature is not 0 (not for ``logreg``).
    key_added
        Key of `uns`, ``"rank_genes_groups"`` by default.
    copy
        Return a copy with the result instead of changing ``data``.
    method
        ``"t-test"`` (default), ``"t-test_overestim_var"``, ``"wilcoxon"`` or ``"logreg"``.
    corr_method
        Correction of p-values for testing many features.
    tie_correct
        Make the variance of ``wilcoxon`` smaller where values are equal.
    layer
        Test this layer instead of `X`.
    **kwds
        Arguments of scikit-learn's ``LogisticRegression``, such as ``max_iter`` (``logreg``).

    Returns
    -------
    Modality | None
        None, or the copy.

    Raises
    ------
    ArgumentError
        If a group has fewer than two cells or does not exist, no cell has a label or no feature is
        to be tested, an argument is unknown, or ``logreg`` is left one group.
    MissingResultError
        If the column, layer or `raw` is not there.
    MemoryLimitError
        If the values of one feature exceed the memory limit (``wilcoxon``), or three numbers for
        each group and feature do (``t-test``), or all values, and what a fit takes, do
        (``logreg``): pass ``mask_var="highly_variable"`` then, or use a t-test.
    DiskSpaceError
        If the disk of the temporary file becomes full in spite of the room there was
        (``wilcoxon``).

    Notes
    -----
    Writes ``uns[key_added]`` as scanpy does: record arrays `names`, `scores`, `pvals`, `pvals_adj`
    and `logfoldchanges` with one field a group, `params`, and tables `pts` and `pts_rest`.
    ``logreg`` gives `names`, `scores` and `params`; of two groups, as scanpy, the first alone.

    Passes over X: one for a t-test, and for ``logreg``, which counts the values in another one
    where only their bound is known and exceeds the limit. ``wilcoxon`` brings values together by
    feature, in runs of features whose nonzero values, 16 bytes each, fit half of the memory limit:
    one pass for each run up to four. Where there are more, one pass writes the counts into a
    temporary file, apart by runs, and each run reads its own: two readings in all. The file takes
    some 2 bytes for each nonzero, and is made where there is room for 5 to 8 (`TMPDIR` says where;
    else it is a pass for each run). One pass more counts the features' values where these are not
    known. After ``data.store_by_feature()``, each run reads its own values alone from the
    beginning.

    On a Dask cluster runs of features are tasks. What workers read they cut into runs and send to
    each other: one pass for each half of their memory, together, that the values take. Kept by
    feature, each task reads its own run.

    Memory: 24 bytes for each group, feature and thread, and once more; for ``wilcoxon``, the memory
    limit. After the passes, 60 bytes for each group and feature beside the result's 32.
    ``logreg`` holds all values of the cells that take part, 8 bytes for each nonzero float32, twice
    while they are put together, or 32 bytes for each cell and group and 240 for each group and
    feature beside them.

    References
    ----------
    B. L. Welch, The generalization of "Student's" problem when several different population
    variances are involved, Biometrika 1947. F. Wilcoxon, Individual comparisons by ranking
    methods, Biometrics Bulletin 1945. V. Ntranos et al., A discriminative learning approach to
    differential expression analysis for single-cell RNA-seq, Nature Methods 2019. Results are
    those of scanpy's function of this name (Wolf et al., Genome Biology 2018,
    doi:10.1186/s13059-017-1382-0).

    Examples
    --------
    >>> import lazymu as sc, numpy as np
    >>> X = np.array([[4.0, 0.0], [5.0, 1.0], [0.0, 6.0], [1.0, 6.0]])
    >>> rna = sc.Modality(X, obs={"cluster": ["a", "a", "b", "b"]}, var={"n": [0, 1]})
    >>> sc.tl.rank_genes_groups(rna, "cluster", method="wilcoxon")
    >>> rna.uns["rank_genes_groups"]["names"]["b"].tolist()
    ['1', '0']
    """
    method = method or "t-test"
    check_choice("method", method, METHODS)
    check_choice("corr_method", corr_method, CORRECTIONS)
    if kwds and method != "logreg":
        rule = f"method={method!r} takes no further arguments"
        raise ArgumentError(explain(next(iter(kwds)), "given", rule, "leave it out"))
    if n_genes is not None and n_genes < 1:
        rule = "it is how many features to keep"
        raise ArgumentError(explain("n_genes", n_genes, rule, "pass 1 or more, or None for all"))
    modality = as_modality(data)
    modality = modality.copy() if copy else modality
    use_raw = resolve_use_raw(modality, use_raw, layer)
    matrix, names = values_to_test(modality, use_raw, layer, mask_var)
    found = groups_of(modality, groupby)
    chosen, reference_code = chosen_groups(found, groups, reference)
    params = {
        "groupby": chosen.label,
        "reference": reference,
        "method": method,
        "use_raw": use_raw,
        "layer": layer,
        "corr_method": corr_method,
    }
    result: dict[str, Any] = {"params": params}
    if method == "logreg":
        scores = scores_by_regression(matrix, found, chosen, **kwds)
        result |= records_of_scores(scores, names, chosen.names, n_genes, rankby_abs=rankby_abs)
    else:
        tests = run_tests(matrix, chosen, reference_code, method, tie_correct)
        tested = [g for g in range(len(chosen.names)) if g != reference_code]
        base = modality.uns.get(keys.LOG1P, {}).get("base")
        options = {"rankby_abs": rankby_abs, "corr_method": corr_method, "base": base}
        if pts:
            result |= share_tables(tests, names, chosen.names, with_rest=reference_code is None)
        result |= records_of_tests(tests, tested, names, chosen.names, n_genes, **options)
    modality.uns[key_added or keys.RANK_GENES_GROUPS] = result
    return modality if copy else None


def check_choice(argument: str, value: str, choices: tuple[str, ...]) -> None:
    """Raise where ``value`` is none of the choices.

    Raises
    ------
    ArgumentError
        Naming them.
    """
    if value not in choices:
        known = ", ".join(map(repr, choices))
        raise ArgumentError(
            explain(argument, repr(value), f"it must be one of {known}", "choose one")
        )


# --- what is compared -----------------------------------------------------------------------------


def resolve_use_raw(modality: Modality, use_raw: bool | None, layer: str | None) -> bool:
    """Return whether `raw` is tested."""
    if use_raw is None:
        return modality.raw is not None and layer is None
    if use_raw and layer is not None:
        rule = f"layer={layer!r} asks for another matrix"
        raise ArgumentError(explain("use_raw", True, rule, "leave one of the two out"))
    return use_raw


def values_to_test(
    modality: Modality,
    use_raw: bool,
    layer: str | None,
    mask_var: str | Bools | None,
) -> tuple[LazyMatrix, pd.Index]:
    """Return the matrix and the names of its features."""
    if use_raw:
        if modality.raw is None:
            rule = "the modality has no raw"
            raise MissingResultError(explain("use_raw", True, rule, "pass use_raw=False"))
        matrix, var = modality.raw.X, modality.raw.var
    else:
        matrix = modality.X if layer is None else modality.layers[layer]
        var = modality.var
    if not len(var):
        rule = "there is no feature to test"
        raise ArgumentError(explain("data", "without features", rule, "pass one that has some"))
    if mask_var is None:
        return matrix, var.index
    if isinstance(mask_var, str) and mask_var not in var:
        raise MissingResultError(
            explain("mask_var", repr(mask_var), "it is no column of var", "name another")
        )
    mask = np.asarray(var[mask_var] if isinstance(mask_var, str) else mask_var, dtype=bool)
    if mask.shape != (len(var),) or not mask.any():
        got = f"of shape {mask.shape} with {mask.sum()} features"
        rule = f"it says which of the {len(var)} features to test"
        raise ArgumentError(explain("mask_var", got, rule, "mark one or more"))
    return matrix[:, mask], var.index[mask]


# --- what comes out -------------------------------------------------------------------------------


def run_tests(
    matrix: LazyMatrix,
    groups: Groups,
    reference: int | None,
    method: str,
    tie_correct: bool,
) -> GroupTests:
    """Return the tests of every group that takes part."""
    if method == "wilcoxon":
        return wilcoxon(matrix, groups.codes, len(groups.names), reference, tie_correct=tie_correct)
    overestimate = method == "t-test_overestim_var"
    return t_test(
        matrix, groups.codes, len(groups.names), reference, overestimate_variance=overestimate
    )


def scores_by_regression(
    matrix: LazyMatrix, found: Groups, chosen: Groups, **options: Any
) -> Float64s:
    """Return the scores of the chosen groups, in their order.

    The regression has the groups in the order that they have among all: that of their classes
    moves its coefficients within the tolerance of the fit.
    """
    places = np.array([found.names.index(name) for name in chosen.names])
    order = np.argsort(places)
    codes = np.concatenate([np.argsort(order), [-1]])[chosen.codes]
    scores = logistic_scores(matrix, codes, len(places), **options)
    return scores[np.argsort(order)]


def rank(
    tests: GroupTests,
    group: int,
    n_genes: int | None,
    *,
    rankby_abs: bool,
    corr_method: str,
    base: float | None,
) -> Ranking:
    """Return one group's features, best first."""
    scores, pvals = tests.scores[group], tests.pvals[group]
    order = best_first(scores, n_genes, rankby_abs=rankby_abs)
    if corr_method == "bonferroni":
        pvals_adj = np.minimum(pvals * len(pvals), 1.0)
    else:
        from scipy.stats import false_discovery_control

        pvals_adj = false_discovery_control(pvals, method="bh")
    factor = 1.0 if base is None else np.log(base)
    numerator = np.expm1(tests.mean[group] * factor) + 1e-9
    denominator = np.expm1(tests.mean_other[group] * factor) + 1e-9
    with np.errstate(invalid="ignore", divide="ignore"):
        return Ranking(order, pvals_adj, np.log2(numerator / denominator))


def best_first(scores: Float64s, n_genes: int | None, *, rankby_abs: bool) -> Int64s:
    """Return features by falling score, by position where scores are equal."""
    return np.argsort(-np.abs(scores) if rankby_abs else -scores, kind="stable")[:n_genes]


def records_of_scores(
    scores: Float64s,
    features: pd.Index,
    group_names: list[str],
    n_genes: int | None,
    *,
    rankby_abs: bool,
) -> dict[str, Any]:
    """Return the record arrays of scores alone: of two groups, which mirror each other, one."""
    fields = group_names if len(group_names) > 2 else group_names[:1]
    orders = [best_first(own, n_genes, rankby_abs=rankby_abs) for own in scores[: len(fields)]]
    names = np.asarray(features, dtype=object)
    found = empty_records({"names": "O", "scores": "f4"}, fields, len(orders[0]))
    for g, (field, order) in enumerate(zip(fields, orders, strict=True)):
        found["names"][field], found["scores"][field] = names[order], scores[g][order]
    return found


def records_of_tests(
    tests: GroupTests,
    tested: list[int],
    features: pd.Index,
    group_names: list[str],
    n_genes: int | None,
    **options: Any,
) -> dict[str, Any]:
    """Return the record arrays of tests, filled group by group."""
    names = np.asarray(features, dtype=object)
    found = empty_records(DTYPES, [group_names[g] for g in tested], len(names[:n_genes]))
    for g in tested:
        field, ranking = group_names[g], rank(tests, g, n_genes, **options)
        found["names"][field] = names[ranking.order]
        found["scores"][field] = tests.scores[g][ranking.order]
        found["pvals"][field] = tests.pvals[g][ranking.order]
        found["pvals_adj"][field] = ranking.pvals_adj[ranking.order]
        found["logfoldchanges"][field] = ranking.logfoldchanges[ranking.order]
    return found


def empty_records(dtypes: dict[str, str], fields: list[str], length: int) -> dict[str, Any]:
    """Return scanpy's record arrays: a field for each group, best feature first."""
    return {
        # a list of pairs would rename a field without a name
        key: np.recarray(length, {"names": fields, "formats": [dtype] * len(fields)})
        for key, dtype in dtypes.items()
    }


def share_tables(
    tests: GroupTests, features: pd.Index, group_names: list[str], *, with_rest: bool
) -> dict[str, pd.DataFrame]:
    """Return the shares of cells in which a feature is not 0, features by groups."""
    tables = {"pts": pd.DataFrame(tests.share.T, index=features, columns=group_names)}
    if with_rest:
        rest = pd.DataFrame(tests.share_other.T, index=features, columns=group_names)
        tables["pts_rest"] = rest
    return tables
