"""Parameters of a run, from TOML and from tables of flags."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest

from lazymu.errors import ArgumentError
from lazymu.pipeline.params import RunParams, parameters


def test_from_toml__replaces_what_it_names(tmp_path: Path) -> None:
    path = tmp_path / "params.toml"
    path.write_text(
        '[rna]\nn_top_genes = 500\nflavor = "seurat_v3"\ntarget_sum = 5000\n'
        "[joint]\nresolution = [0.5, 1]\n"
    )
    params = RunParams.from_toml(path)
    assert (params.rna.n_top_genes, params.rna.flavor) == (500, "seurat_v3")
    assert params.rna.target_sum == 5000.0
    assert isinstance(params.rna.target_sum, float)
    assert params.joint.resolution == (0.5, 1.0)
    assert params.atac == RunParams().atac
    assert params.rna.min_genes == RunParams().rna.min_genes


def test_to_dict__round_trips_through_updated() -> None:
    params = RunParams().updated({"joint": {"resolution": [0.3, 2.0]}, "prot": {"n_comps": 7}})
    assert RunParams().updated(params.to_dict()) == params


def test_updated__one_number_is_one_resolution() -> None:
    assert RunParams().updated({"joint": {"resolution": 2}}).joint.resolution == (2.0,)


@pytest.mark.parametrize(
    ("toml", "message"),
    [
        ("[gex]\n", r"`params` is 'gex', but it is not a section; known are rna, atac, prot"),
        ("[rna]\nmin_gene = 3\n", r"'min_gene', but .* parameter of \[rna\]; known are min_genes"),
        ("rna = 3\n", r"`rna` is 3, but it is a section of parameters; write \[rna\]"),
        ("[rna]\nmin_genes = 2.5\n", r"`rna.min_genes` is 2.5, but it must be of type int"),
        ("[rna]\nmin_genes = true\n", r"`rna.min_genes` is True, but it must be of type int"),
        ("[rna]\nn_comps = 0\n", r"`rna.n_comps` is 0, but it must be at least 1"),
        ("[rna]\ntarget_sum = nan\n", r"`rna.target_sum` is nan, but it must be at least 1"),
        ('[rna]\nflavor = "s"\n', r"`rna.flavor` is 's', but known are seurat, cell_ranger"),
        ("[joint]\nresolution = []\n", r"`joint.resolution` is empty, but it must have a number"),
        ("[joint]\nresolution = [-1.0]\n", r"`joint.resolution` is -1.0, but .* at least 0"),
        ("[rna\n", r"`params` is .*params.toml, but it is not TOML"),
    ],
)
def test_from_toml__wrong_files_raise(toml: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "params.toml"
    path.write_text(toml)
    with pytest.raises(ArgumentError, match=message):
        RunParams.from_toml(path)


def test_from_toml__absent_file_raises(tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="there is no such file; name a TOML file"):
        RunParams.from_toml(tmp_path / "none.toml")


def test_parameters__every_default_is_of_its_type_and_explained() -> None:
    found = list(parameters())
    assert len({(p.section, p.name) for p in found}) == len(found)
    tables: dict[str, dict[str, object]] = {}
    for parameter in found:
        assert parameter.about.meaning
        tables.setdefault(parameter.section, {})[parameter.name] = parameter.default
    assert RunParams().updated(tables) == RunParams()


def test_to_dict__is_plain_toml() -> None:
    tables = RunParams().to_dict()
    text = "\n".join(
        f"[{section}]\n" + "\n".join(f"{k} = {json.dumps(v)}" for k, v in values.items())
        for section, values in tables.items()
    )
    assert tomllib.loads(text) == tables
