"""Which embedding of a modality a graph is made from, as `use_rep` names it."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from lazymu import keys
from lazymu.containers import Modality
from lazymu.errors import ArgumentError, MissingResultError, explain
from lazymu.typing import Array

FEW_FEATURES = 50
"""Up to so many features a matrix is itself an embedding, as in scanpy."""
DEPTH_CORRELATION = 0.75
"""Beyond this correlation with depth a component is taken to show it (ArchR's threshold)."""
_log = logging.getLogger("lazymu")
_MADE_BY = {keys.X_PCA: "lazymu.pp.pca", keys.X_LSI: "lazymu.atac.tl.lsi"}


class Embedding(NamedTuple):
    """An embedding and what was asked for."""

    name: str
    """A key of `obsm`, perhaps with components, as in ``"X_lsi[1:]"``; or ``"X"``."""
    n_pcs: int | None
    values: Array
    """Shape (n_obs, d)."""

    def params(self) -> dict[str, Any]:
        """Return what names the embedding in a graph's `uns`, so that scanpy finds it too."""
        key, components = split_name(self.name)
        named: dict[str, Any] = {"use_rep": key}
        if components is not None:
            named["components"] = components
        if self.n_pcs is not None:
            named["n_pcs"] = self.n_pcs
        return named


def named_in(params: Mapping[str, Any]) -> tuple[str | None, int | None]:
    """Return `use_rep` and `n_pcs` from a graph's `uns`, as scanpy or lazymu wrote them."""
    name, components, n_pcs = (params.get(key) for key in ("use_rep", "components", "n_pcs"))
    if name is not None and components is not None:
        name = f"{name}[{components}]"
    return name, None if n_pcs is None else int(n_pcs)


def split_name(name: str) -> tuple[str, str | None]:
    """Return the key and the components of a name.

    Examples
    --------
    >>> split_name("X_lsi[1:]"), split_name("X_pca")
    (('X_lsi', '1:'), ('X_pca', None))
    """
    match = re.fullmatch(r"(.+)\[(-?\d*:-?\d*)\]", name)
    return (match[1], match[2]) if match else (name, None)


def components_of(name: str) -> slice:
    """Return the components that a name selects."""
    bounds = split_name(name)[1] or ":"
    return slice(*(int(bound) if bound else None for bound in bounds.split(":")))


def embedding_of(
    modality: Modality, use_rep: str | None, n_pcs: int | None, *, where: str = "data"
) -> Embedding:
    """Return the embedding that `use_rep` names, or the one that there is.

    Parameters
    ----------
    modality
        With embeddings in `obsm`.
    use_rep
        A key of `obsm`, which may select components, as in ``"X_lsi[1:]"``; ``"X"`` for the matrix
        itself; None for ``X_pca``, else ``X_lsi``, else the matrix where it has few features.
    n_pcs
        Use the first so many components.
    where
        The modality's name, for errors.

    Raises
    ------
    MissingResultError
        If it has not been computed.
    ArgumentError
        If it does not have ``n_pcs`` components.
    """
    name = default_name(modality, where) if use_rep is None else use_rep
    values = _values(modality, name, where)
    if n_pcs is not None:
        if not 0 < n_pcs <= values.shape[1]:
            rule = f"{name} has {values.shape[1]} components"
            raise ArgumentError(explain("n_pcs", n_pcs, rule, "pass at most that many"))
        values = values[:, :n_pcs]
    return Embedding(name, n_pcs, values)


def default_name(modality: Modality, where: str) -> str:
    """Return the name of the embedding that is taken where none is named; ``where`` for errors."""
    for name in (keys.X_PCA, keys.X_LSI):
        if name in modality.obsm:
            return name
    if modality.n_vars <= FEW_FEATURES:
        return "X"
    rule = f"{where} has neither {keys.X_PCA} nor {keys.X_LSI} in obsm"
    fix = f"call {_MADE_BY[keys.X_PCA]} or {_MADE_BY[keys.X_LSI]} first"
    raise MissingResultError(explain("use_rep", None, rule, fix))


def _values(modality: Modality, name: str, where: str) -> Array:
    if name == "X":
        return modality.X.toarray()
    key, components = split_name(name)[0], components_of(name)
    if key not in modality.obsm:
        known = ", ".join(modality.obsm) or "none"
        rule = f"obsm of {where} has no such embedding; it has: {known}"
        fix = f"call {_MADE_BY.get(key, 'the function that computes it')} first"
        raise MissingResultError(explain("use_rep", repr(name), rule, fix))
    whole = np.asarray(modality.obsm[key])
    values = whole[:, components]
    if values.shape[1] == 0:
        rule = "it selects no component"
        raise ArgumentError(explain("use_rep", repr(name), rule, f"select some of {key}"))
    if key == keys.X_LSI:
        _warn_of_depth(modality, name, components, whole.shape[1])
    return values


def _warn_of_depth(modality: Modality, name: str, components: slice, n_components: int) -> None:
    """Warn where the first component used follows sequencing depth."""
    known = modality.uns.get(keys.UNS_LSI, {})
    correlations = np.asarray(known.get("depth_corr", ()))
    # Of another length, they are not of these components: the user has left some out already.
    if len(correlations) != n_components:
        return
    first = components.indices(len(correlations))[0]
    if first < len(correlations) and abs(correlations[first]) > DEPTH_CORRELATION:
        _log.warning(
            "component %d of %s correlates with depth (r = %.2f) and is used; "
            'pass use_rep="%s[%d:]" to leave it out',
            *(first + 1, name, correlations[first], keys.X_LSI, first + 1),
        )
