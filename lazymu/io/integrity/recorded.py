"""What lazymu recorded of matrices: fingerprints, transforms, sums, and copies by feature."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from lazymu.errors import LazyMuError
from lazymu.io.integrity.chunks import Check
from lazymu.io.integrity.findings import AGAIN, REWRITE
from lazymu.io.integrity.matrices import Totals, check_sparse, named
from lazymu.io.records import LAYER, MatrixRecord, load_records, read_sums
from lazymu.keys import LAZYMU
from lazymu.store.by_feature import NAME, OF, copies_of
from lazymu.store.elements import keys_of
from lazymu.store.fingerprint import Fingerprint, still_holds
from lazymu.store.roots import ZarrRoot, reading
from lazymu.stream.sums import MatrixSums
from lazymu.typing import Array

TOLERANCE = 1e-6
"""Of sums of values that are not whole, which are added up in another order."""


def records_in(check: Check, prefix: str) -> dict[str, MatrixRecord]:
    """Return what is recorded of the stored matrices of a modality, by their paths."""
    try:
        records = load_records(check.root, prefix)
    except LazyMuError as error:
        check.damaged(f"{prefix}uns/{LAZYMU}", str(error))
        return {}
    return {
        _path(prefix, name): record
        for name, record in records.items()
        if record.fingerprint is not None
    }


def _path(prefix: str, name: str) -> str:
    inner = f"layers/{name.removeprefix(LAYER)}" if name.startswith(LAYER) else name
    return f"{prefix}{'raw/X' if name == 'raw' else inner}"


def _name(prefix: str, path: str) -> str:
    inner = path.removeprefix(prefix)
    if inner.startswith("layers/"):
        return f"{LAYER}{inner.removeprefix('layers/')}"
    return "raw" if inner == "raw/X" else inner


def check_record(
    check: Check, prefix: str, path: str, record: MatrixRecord, totals: Totals | None
) -> None:
    """Compare what is recorded of a matrix with what is stored of it."""
    assert record.fingerprint is not None  # of what is stored there is one
    if check.root.find(path) is None:
        found = "lazymu recorded this matrix, and it is not there"
        check.damaged(path, found, fix=f"{AGAIN}, or {REWRITE}")
        return
    if totals is None or not totals.is_complete:
        return
    if not _holds(check, path, record.fingerprint):
        found = "its values are others than lazymu recorded: its transforms and sums are not used"
        check.damaged(path, found, fix=f"{REWRITE}; or {AGAIN}")
        return
    place = f"{prefix}uns/{LAZYMU}/sums"
    if (name := _name(prefix, path)) not in keys_of(check.root, place):
        return
    try:
        stored = read_sums(check.root, f"{place}/{name}", record.fingerprint["shape"])
    except LazyMuError as error:
        if not check.findings.about(check.root, f"{place}/{name}"):
            check.damaged(f"{place}/{name}", str(error))
        return
    check.findings.checked["sums"] += 1
    for rows, found in differences(stored, totals.sums()):
        check.damaged(path, f"{found}; either may be damaged", rows=rows)


def _holds(check: Check, path: str, record: Fingerprint) -> bool:
    try:
        with reading(check.root, path):
            return still_holds(record, check.root.node(path), read=True)
    except LazyMuError:
        return False


def differences(stored: MatrixSums, found: MatrixSums) -> Iterator[tuple[str, str]]:
    """Yield where sums differ, and in what."""
    exact = stored.extremes.all_integer and found.extremes.all_integer
    for axis in ("cells", "features"):
        for part, what in (("total", "totals"), ("nnz", "numbers of values")):
            kept, now = (getattr(getattr(sums, axis), part) for sums in (stored, found))
            wrong = np.flatnonzero(~_same(kept, now, exact=exact))
            if len(wrong):
                said = f"{now[wrong[0]]:g}, where {kept[wrong[0]]:g} is recorded"
                rows = named(wrong) if axis == "cells" else ""
                of = f" of {named(wrong, 'column')}" if axis == "features" else ""
                yield rows, f"{what}{of} are {said}"
    if stored.extremes != found.extremes:
        yield "", f"values lie in {_range(found)}, where {_range(stored)} is recorded"


def _range(sums: MatrixSums) -> str:
    return f"{sums.extremes.minimum:g} to {sums.extremes.maximum:g}"


def _same(a: Array, b: Array, *, exact: bool) -> Array:
    if exact:
        return np.asarray(a == b)
    scale = float(np.max(np.abs(b[np.isfinite(b)]), initial=0.0))
    return np.isclose(a, b, rtol=TOLERANCE, atol=1e-12 * scale, equal_nan=True)


def check_copies(check: Check, totals: Mapping[str, Totals | None]) -> None:
    """Check the copies by feature beside a local store."""
    if not check.root.is_local or not isinstance(check.root, ZarrRoot):
        return
    for path, name in copies_of(Path(check.root.location), totals):
        copy = Check(ZarrRoot(path), None, check.findings, check.token)
        fix = f"write it again: lazymu convert {check.root} --by-feature all"
        try:
            record = dict(copy.root.node(NAME).attrs[OF])
            found = check_sparse(copy, NAME, is_ours=True)
        except (LazyMuError, KeyError) as error:
            copy.damaged("", f"the copy by feature cannot be read ({error})", fix=fix)
            continue
        check.findings.checked["copies by feature"] += 1
        own = totals.get(name)
        if name not in totals or not _holds(check, name, record):
            said = f"it is of another matrix than {name} is now, and is not used"
            copy.damaged(NAME, said, fix=fix)
        elif own is not None and found is not None and own.is_complete and found.is_complete:
            _compare(copy, own, found, name, fix)


def _compare(copy: Check, own: Totals, found: Totals, name: str, fix: str) -> None:
    exact = own.extremes.all_integer
    pairs = (
        ("totals", own.column_total, found.row_total),
        ("numbers of values", own.column_nnz, found.row_nnz),
        ("totals by cell", own.row_total, found.column_total),
        ("numbers of values by cell", own.row_nnz, found.column_nnz),
    )
    for what, a, b in pairs:
        wrong = np.flatnonzero(~_same(a, b, exact=exact))
        if len(wrong):
            rows = "" if what.endswith("cell") else named(wrong)
            copy.damaged(NAME, f"its {what} are not those of {name}", rows=rows, fix=fix)
