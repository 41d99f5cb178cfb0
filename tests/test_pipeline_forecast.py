"""The plan of a run says what the run then does."""

from __future__ import annotations

from pathlib import Path

import pytest

from lazymu.datasets import citeseq_10x, multiome
from lazymu.errors import MemoryLimitError, ModalityNotFoundError
from lazymu.pipeline import RunParams, forecast_workflow, run_workflow
from lazymu.settings import settings
from tests.test_pipeline_workflow import N_CELLS, PARAMS, SMALL, pytestmark  # noqa: F401 - warnings

JOINT = PARAMS.updated({"joint": {"truth": ""}})


@pytest.fixture(scope="module")
def h5mu(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("forecast")
    return multiome(folder / "m.h5mu", N_CELLS, n_peaks=4000, **SMALL)


@pytest.fixture(scope="module")
def tenx(h5mu: Path) -> Path:
    return citeseq_10x(h5mu.with_name("c.h5"), N_CELLS, n_antibodies=15, **SMALL)


@pytest.mark.parametrize("kind", ["h5mu", "tenx"])
@pytest.mark.parametrize("flavor", ["seurat", "seurat_v3"])
def test_forecast__passes_are_those_of_the_run(
    kind: str, flavor: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    source: Path = request.getfixturevalue(kind)
    params = JOINT.updated({"rna": {"flavor": flavor}})
    planned = {stage.label: stage for stage in forecast_workflow(source, params)}
    made = run_workflow(source, tmp_path / "o.zarr", params).stages
    assert [stage.label for stage in made] == [*planned]
    for stage in made[1:]:  # opening reads the 10x file once, not once for each modality
        assert stage.n_passes == planned[stage.label].n_passes, stage.label
        # All cells and features are planned with.
        assert stage.n_values <= planned[stage.label].n_values
        if stage.n_passes and kind == "h5mu":  # a view of the 10x file's one matrix reads all
            assert stage.n_values > 0.5 * planned[stage.label].n_values
    assert not any(stage.n_passes for stage in planned.values() if stage.label == "UMAP")


def test_forecast__store_is_not_imported_and_memory_follows_the_limit(
    h5mu: Path, tmp_path: Path
) -> None:
    store = multiome(tmp_path / "m.zarr", N_CELLS, n_peaks=4000, **SMALL)
    labels = [stage.label for stage in forecast_workflow(h5mu)]
    assert [stage.label for stage in forecast_workflow(store)] == labels[1:]
    assert labels[0] == "Open"
    with settings.override(memory_limit="1GB"):
        assert 4e8 < max(stage.peak_bytes for stage in forecast_workflow(store)) < 1.05e9
    with settings.override(memory_limit="1MB"), pytest.raises(MemoryLimitError):
        forecast_workflow(store)


def test_forecast__unknown_modalities(tmp_path: Path, h5mu: Path) -> None:
    import lazymu

    mdata = lazymu.MuData({"x": lazymu.read(h5mu)["rna"]})
    mdata.write(tmp_path / "x.zarr")
    with pytest.raises(ModalityNotFoundError, match="the workflow knows modalities named"):
        forecast_workflow(tmp_path / "x.zarr", RunParams())
