"""The values of `obsm`, `varm`, `obsp`, `varp` and `uns`, read when first needed."""

from __future__ import annotations

from functools import partial

from lazymu.io.elements import Deferred, Values
from lazymu.store.elements import keys_of, read_element
from lazymu.store.roots import Root


def read_values(root: Root, name: str) -> Values:
    """Return the values of a dictionary group, each read when first needed."""
    return {
        key: Deferred(partial(read_element, root, f"{name}/{key}")) for key in keys_of(root, name)
    }
