"""Functions have the parameters of scanpy's and muon's, in their order, with their defaults."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import muon
import pytest
import scanpy as sc

from lazymu import pp

PEERS: dict[str, Callable[..., Any]] = {
    **{
        name: getattr(sc.pp, name)
        for name in (
            "calculate_qc_metrics",
            "filter_cells",
            "filter_genes",
            "normalize_total",
            "log1p",
            "highly_variable_genes",
        )
    },
    **{
        name: getattr(muon.pp, name)
        for name in ("filter_obs", "filter_var", "intersect_obs", "sample_obs")
    },
}
OWN = {"random_state", "obsm", "filter_unexpressed_genes"}
"""Parameters that one version of a peer, or all of them, lacks."""


@pytest.mark.parametrize("name", PEERS)
def test_signature__is_the_peers(name: str) -> None:
    theirs = inspect.signature(PEERS[name]).parameters
    ours = inspect.signature(getattr(pp, name)).parameters
    assert set(ours) - set(theirs) <= OWN
    assert [p for p in ours if p in theirs] == list(theirs)
    for parameter, expected in theirs.items():
        assert ours[parameter].kind == expected.kind, parameter
        assert ours[parameter].default == expected.default, parameter
