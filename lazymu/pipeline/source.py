"""What a run starts from: any file that lazymu reads, as a MuData over a Zarr store."""

from __future__ import annotations

from pathlib import Path

from lazymu import keys
from lazymu.containers import Modality, MuData, read
from lazymu.errors import ModalityNotFoundError, explain
from lazymu.io import convert
from lazymu.pipeline.run import KINDS, Run, is_store
from lazymu.stream.steps import Astype
from lazymu.stream.sums import matrix_sums


def open_source(source: str, working: Path) -> MuData:
    """Open a Zarr store as it is; convert any other file first, as every pass reads it again."""
    if not is_store(source):
        convert(source, _converted(working), overwrite=True)
    return opened_source(source, working)


def opened_source(source: str, working: Path) -> MuData:
    """Open a Zarr store, or what any other file was converted to."""
    return with_known_modalities(read(source if is_store(source) else _converted(working)))


def _converted(working: Path) -> str:
    return str(working / "counts.zarr")


def with_known_modalities(data: MuData | Modality) -> MuData:
    """Return a MuData; raise where the workflow knows none of its modalities."""
    mdata = as_mudata(data)
    if not any(name in mdata.mod for names in KINDS.values() for name in names):
        known = ", ".join(name for names in KINDS.values() for name in names)
        rule = f"the workflow knows modalities named {known}"
        got = f"a data set of {', '.join(mdata.mod)}"
        raise ModalityNotFoundError(explain("source", got, rule, "rename them in mdata.mod"))
    return mdata


def as_mudata(data: MuData | Modality) -> MuData:
    """Return a MuData with distinct feature names; one modality is named after its features."""
    mdata = data if isinstance(data, MuData) else MuData({kind_of(data): data})
    for modality in mdata.mod.values():
        if not modality.var_names.is_unique:
            modality.var_names_make_unique()
    return mdata


def use_counts(run: Run) -> None:
    """Let the run start from raw counts, with a note where `X` holds something else.

    Transforms that an earlier run or a user recorded in the store would else be applied twice.
    """
    for name in run.present().values():
        modality = run.mdata.mod[name]
        steps = [step for step in modality.X.steps if not isinstance(step, Astype)]
        if steps:
            names = ", ".join(type(step).__name__ for step in steps)
            run.note(f"{name}: X is transformed ({names}); this run starts from the counts beneath")
            modality.X = modality.X.counts
        whole = modality.X.counts.dtype.kind in "ui" or matrix_sums(modality.X).extremes.all_integer
        if not whole:
            run.note(f"{name}: X has fractions, but the workflow is made for raw counts")


def kind_of(modality: Modality) -> str:
    """Return `rna`, `atac` or `prot`, by the feature types that 10x writes; `rna` without them."""
    if keys.FEATURE_TYPES in modality.var:
        for feature_type in modality.var[keys.FEATURE_TYPES].unique():
            if feature_type in keys.MODALITY_OF_FEATURE_TYPE:
                return keys.MODALITY_OF_FEATURE_TYPE[feature_type]
    return keys.RNA
