"""Which features a decomposition uses: scanpy's `mask_var` and `use_highly_variable`."""

from __future__ import annotations

from enum import Enum
from typing import Final, NamedTuple

import numpy as np

from lazymu import keys
from lazymu.containers import Modality
from lazymu.errors import ArgumentError, MissingResultError, explain
from lazymu.typing import Bools, Int64s


class Unset(Enum):
    """The value of an argument that was not given, where None means something."""

    token = "unset"


UNSET: Final = Unset.token


class FeatureMask(NamedTuple):
    """Features to use."""

    name: Bools | str | None
    """As it was asked for: what `uns` records."""
    positions: Int64s | None
    """None for all features."""


def feature_mask(
    modality: Modality,
    mask_var: Bools | str | Unset | None,
    use_highly_variable: bool | None,
    *,
    default: bool,
) -> FeatureMask:
    """Return the features that the two arguments mean.

    Parameters
    ----------
    modality
        Where columns of `var` are looked up.
    mask_var
        A mask, a column of `var`, None for all features, or `UNSET`.
    use_highly_variable
        True for the column ``"highly_variable"``, False for all features, None for neither.
    default
        Whether neither argument means the column ``"highly_variable"`` where there is one.

    Raises
    ------
    ArgumentError
        If both are given, or the mask is not boolean, not of the right length, or empty.
    MissingResultError
        If the column does not exist.
    """
    given = not isinstance(mask_var, Unset)
    if given and use_highly_variable is not None:
        rule = "`use_highly_variable` says the same in another way"
        raise ArgumentError(explain("mask_var", repr(mask_var), rule, "pass one of the two"))
    by_default = default and not given and keys.HIGHLY_VARIABLE in modality.var
    if use_highly_variable or (use_highly_variable is None and by_default):
        mask_var = keys.HIGHLY_VARIABLE
    if isinstance(mask_var, Unset) or mask_var is None:
        return FeatureMask(None, None)
    return FeatureMask(mask_var, positions_of_mask(modality, mask_var))


def positions_of_mask(modality: Modality, mask_var: Bools | str) -> Int64s:
    """Return the positions of the features in a mask or in a boolean column of `var`."""
    if isinstance(mask_var, str) and mask_var not in modality.var:
        rule = f"`var` has the columns {', '.join(modality.var_keys()) or '(none)'}"
        fix = "run pp.highly_variable_genes first, or pass mask_var=None for all features"
        raise MissingResultError(explain("mask_var", repr(mask_var), rule, fix))
    mask = np.asarray(modality.var[mask_var] if isinstance(mask_var, str) else mask_var)
    if mask.dtype != bool or mask.shape != (modality.n_vars,):
        rule = f"it must be a boolean mask of the {modality.n_vars} features"
        got = f"of {mask.dtype} and shape {mask.shape}"
        raise ArgumentError(explain("mask_var", got, rule, "pass a mask or a boolean column"))
    if not mask.any():
        rule = "at least one feature must be in it"
        raise ArgumentError(explain("mask_var", "empty", rule, "pass mask_var=None for all"))
    return np.flatnonzero(mask).astype(np.int64)
