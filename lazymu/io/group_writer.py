"""Elements into groups in AnnData's and MuData's encodings, of HDF5 or Zarr."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Any

from lazymu.io.elements import Deferred, ModalityElements, RawElements, StoreElements, Values
from lazymu.io.joint import joint_parts
from lazymu.io.matrices import Job, origin_of, run_jobs, same_values
from lazymu.io.records import OWN, MatrixRecord, layer_name, records_to_uns
from lazymu.keys import LAZYMU
from lazymu.store.arrays import Layout
from lazymu.store.element_writer import write_element
from lazymu.store.fingerprint import fingerprint
from lazymu.stream.matrix import LazyMatrix

JOINT = ("obsm", "varm", "obsp", "varp")


@dataclass(frozen=True)
class Form:
    """In what form matrices are written."""

    layout: Layout
    counts: bool
    """Stored values without their transforms."""
    native: bool
    """As lazymu's own store: smallest types, transforms kept as recipes; else as first stored."""
    replaced: str | None = None
    """The local store that is being written over."""

    def write(self, group: Any, key: str, value: Any) -> None:
        """Write what is no matrix."""
        write_element(group, key, value, checksums=self.layout.checksums)


@dataclass
class Pending:
    """A modality whose tables are written, and whose matrices wait for their pass."""

    group: Any
    uns: dict[str, Any]
    jobs: dict[str, Job] = field(default_factory=dict)
    records: dict[str, MatrixRecord] = field(default_factory=dict)


def write_store(root: Any, elements: StoreElements, form: Form) -> None:
    """Write a MuData into the root group of a file."""
    parts = joint_parts(elements)
    for key in ("obs", "var"):
        form.write(root, key, parts[key])
    for key in (*JOINT, "uns", "obsmap", "varmap"):
        form.write(root, key, _values(parts[key]))
    mod = root.create_group("mod")
    pending = []
    for name, modality in elements.mod.items():
        pending.append(_write_tables(mod.create_group(name), modality, form, name))
    _write_matrices(pending, form)
    mod.attrs["mod-order"] = list(elements.mod)
    root.attrs["axis"] = elements.axis
    _stamp(root, "MuData")


def write_modality(root: Any, elements: ModalityElements, form: Form) -> None:
    """Write an AnnData into the root group of a file."""
    _write_matrices([_write_tables(root, elements, form, "")], form)


def _values(values: Values) -> dict[str, Any]:
    """Return values in memory."""
    return {key: value_of(value) for key, value in values.items()}


def value_of(value: Any) -> Any:
    """Return a value, read where that was put off."""
    return value.read() if isinstance(value, Deferred) else value


def _stamp(group: Any, encoding: str) -> None:
    """Set the attributes by which readers know a group; last, when all else is there."""
    group.attrs.update(
        {
            "encoding-type": encoding,
            "encoding-version": "0.1.0",
            "encoder": "lazymu",
            "encoder-version": version("lazymu"),
        }
    )


def _write_tables(group: Any, elements: ModalityElements, form: Form, name: str) -> Pending:
    """Write all but matrices and `uns`."""
    form.write(group, "obs", elements.obs)
    form.write(group, "var", elements.var)
    for key in JOINT:
        form.write(group, key, _values(getattr(elements, key)))
    pending = Pending(group, _without_own(_values(elements.uns)))
    form.write(group, "layers", {})
    label = f"write {name}".rstrip()
    if elements.X is not None:
        _plan(pending, group, "X", elements.X, "X", form, label)
    for key, layer in elements.layers.items():
        if _is_recipe(elements.X, layer, form):
            _plan_recipe(pending, layer_name(key), layer)
        else:
            _plan(pending, group["layers"], key, layer, layer_name(key), form, f"{label} {key}")
    if elements.raw is not None:
        _write_raw(pending, elements.X, elements.raw, form, f"{label} raw")
    return pending


def _without_own(uns: Mapping[str, Any]) -> dict[str, Any]:
    """Return `uns` without records of matrices, as another file may have brought them along."""
    kept = {key: value for key, value in uns.items() if key != LAZYMU}
    rest = {key: value for key, value in uns.get(LAZYMU, {}).items() if key not in OWN}
    return {**kept, LAZYMU: rest} if rest else kept


def _write_raw(
    pending: Pending, X: LazyMatrix | None, raw: RawElements, form: Form, label: str
) -> None:
    values = {"var": raw.var, "varm": _values(raw.varm)}
    if _is_recipe(X, raw.X, form):
        _plan_recipe(pending, "raw", raw.X)
        pending.uns[LAZYMU] = {**pending.uns.get(LAZYMU, {}), "raw": values}
        return
    group = pending.group.create_group("raw")
    for key, value in values.items():
        form.write(group, key, value)
    group.attrs.update({"encoding-type": "raw", "encoding-version": "0.1.0"})
    _plan(pending, group, "X", raw.X, "raw", form, label)


def _is_recipe(X: LazyMatrix | None, other: LazyMatrix, form: Form) -> bool:
    """Return whether a matrix has the stored values of `X`, so that its steps are enough."""
    return form.native and form.counts and X is not None and same_values(X, other)


def _plan_recipe(pending: Pending, name: str, matrix: LazyMatrix) -> None:
    origin, steps = origin_of(matrix)
    pending.records[name] = MatrixRecord(origin, None, steps)


def _plan(
    pending: Pending,
    parent: Any,
    key: str,
    matrix: LazyMatrix,
    name: str,
    form: Form,
    label: str,
) -> None:
    origin, steps = origin_of(matrix)
    stored = matrix.counts if form.counts else matrix
    if not form.counts:
        if steps:
            origin = origin._replace(dtype=str(matrix.dtype))
        steps = ()
    pending.jobs[name] = Job(
        stored, parent, key, label, origin, form.layout, not form.native, form.replaced
    )
    pending.records[name] = MatrixRecord(origin, None, steps)


def _write_matrices(pending: list[Pending], form: Form) -> None:
    """Write the matrices of all modalities, then what is kept of them, then the groups' stamps."""
    run_jobs([job for modality in pending for job in modality.jobs.values()])
    for modality in pending:
        uns = modality.uns
        if form.native and modality.records:
            for name, job in modality.jobs.items():
                record = modality.records[name]
                record.fingerprint, record.sums = fingerprint(job.node), job.sums
            uns = {**uns, LAZYMU: {**uns.get(LAZYMU, {}), **records_to_uns(modality.records)}}
        form.write(modality.group, "uns", uns)
        _stamp(modality.group, "anndata")
