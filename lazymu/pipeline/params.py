"""The parameters of a run: one frozen section a modality, from defaults, a TOML file and flags."""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, get_args, get_type_hints

import numpy as np

from lazymu.errors import ArgumentError, explain

ClrAxis = Literal["cell", "protein"]
Flavor = Literal["seurat", "cell_ranger", "seurat_v3", "seurat_v3_paper"]

MOST_BYTES = 1 << 20
"""Of a TOML file."""


class About(NamedTuple):
    """What a parameter means, and its least value where it is a number."""

    meaning: str
    least: float | None = None


@dataclass(frozen=True)
class RnaParams:
    """Gene expression."""

    min_genes: Annotated[int, About("keep cells with at least this many genes", 0)] = 200
    min_cells: Annotated[int, About("keep genes found in at least this many cells", 0)] = 3
    max_pct_mt: Annotated[
        float,
        About("keep cells with at most this percentage of mitochondrial counts; 100 keeps all", 0),
    ] = 20.0
    target_sum: Annotated[float, About("counts of a cell after normalisation", 1)] = 1e4
    n_top_genes: Annotated[int, About("number of highly variable genes", 1)] = 2000
    flavor: Annotated[Flavor, About("how they are chosen")] = "seurat"
    n_comps: Annotated[int, About("number of principal components", 1)] = 50


@dataclass(frozen=True)
class AtacParams:
    """Chromatin accessibility."""

    min_features: Annotated[int, About("keep cells with at least this many peaks", 0)] = 200
    min_cells: Annotated[int, About("keep peaks found in at least this many cells", 0)] = 3
    n_comps: Annotated[int, About("number of LSI components", 1)] = 50
    drop_depth: Annotated[bool, About("leave out components that follow sequencing depth")] = True


@dataclass(frozen=True)
class ProtParams:
    """Surface proteins."""

    clr_axis: Annotated[ClrAxis, About("what the log ratio is centred in")] = "cell"
    n_comps: Annotated[int, About("number of principal components", 1)] = 15


@dataclass(frozen=True)
class JointParams:
    """The joint graph, its clusters and its picture."""

    n_neighbors: Annotated[int, About("neighbours of a cell in the graph", 2)] = 20
    resolution: Annotated[
        tuple[float, ...],
        About("Leiden resolutions; the first names the clusters of the figures", 0),
    ] = (1.0,)
    min_dist: Annotated[float, About("UMAP: least distance of points", 0)] = 0.5
    truth: Annotated[
        str, About("column of obs, or CSV file, with known labels to compare the clusters with")
    ] = ""
    seed: Annotated[int, About("seed of the random numbers", 0)] = 0


@dataclass(frozen=True)
class RunParams:
    """All parameters of a run.

    Examples
    --------
    >>> params = RunParams().updated({"rna": {"n_top_genes": 3000}})
    >>> params.rna.n_top_genes, params.atac.n_comps
    (3000, 50)
    """

    rna: RnaParams = RnaParams()
    atac: AtacParams = AtacParams()
    prot: ProtParams = ProtParams()
    joint: JointParams = JointParams()

    @classmethod
    def from_toml(cls, path: str | Path) -> RunParams:
        """Read a TOML file with the tables ``[rna]``, ``[atac]``, ``[prot]`` and ``[joint]``.

        Raises
        ------
        ArgumentError
            If the file is absent or not TOML, or a key or value does not fit.
        """
        fix = "write e.g. [rna] and below it n_top_genes = 3000"
        found = Path(path)
        if found.exists() and not found.is_file() and not found.is_dir():
            raise ArgumentError(explain("params", path, "it is no regular file", fix))
        try:
            with open(path, "rb") as file:
                text = file.read(MOST_BYTES + 1)
            if len(text) > MOST_BYTES:
                rule = f"it is longer than {MOST_BYTES:,} bytes"
                raise ArgumentError(explain("params", path, rule, fix))
            tables = tomllib.loads(text.decode())
        except FileNotFoundError as error:
            rule = "there is no such file"
            raise ArgumentError(explain("params", path, rule, "name a TOML file")) from error
        except IsADirectoryError as error:
            raise ArgumentError(explain("params", path, "it is a folder", fix)) from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
            raise ArgumentError(explain("params", path, f"it is not TOML: {error}", fix)) from error
        return cls().updated(tables)

    def updated(self, tables: Mapping[str, Any]) -> RunParams:
        """Return the parameters with those of ``tables`` (section, then name) replaced.

        Raises
        ------
        ArgumentError
            If a section or parameter is not known, or a value is not of its type.
        """
        sections = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        _check_known("section", tables, sections)
        for name, values in tables.items():
            section = sections[name]
            if not isinstance(values, Mapping):
                rule = "it is a section of parameters"
                raise ArgumentError(explain(name, repr(values), rule, f"write [{name}] above them"))
            known = {p.name: p for p in parameters() if p.section == name}
            _check_known(f"parameter of [{name}]", values, known)
            checked = {key: _checked(known[key], value) for key, value in values.items()}
            sections[name] = dataclasses.replace(section, **checked)
        return RunParams(**sections)

    def to_dict(self) -> dict[str, dict[str, Any]]:
        """Return all parameters as nested dicts of plain values, as TOML and Zarr hold them."""
        sections = dataclasses.asdict(self)
        sections["joint"]["resolution"] = list(self.joint.resolution)
        return sections


def noting(params: RunParams, asked: dict[str, Any]) -> RunParams:
    """Return the same parameters, which note in ``asked`` each one whose value is asked for."""
    return RunParams(**{name: _noting(getattr(params, name), name, asked) for name in SECTIONS})


def _noting(section: Any, name: str, asked: dict[str, Any]) -> Any:
    known = {field.name for field in dataclasses.fields(section)}

    def get(self: object, key: str) -> Any:
        value = object.__getattribute__(self, key)
        if key in known:
            asked[f"{name}.{key}"] = value
        return value

    kind = type(section)
    return type(kind.__name__, (kind,), {"__getattribute__": get})(**vars(section))


class Parameter(NamedTuple):
    """One parameter of a section."""

    section: str
    title: str
    name: str
    kind: Any
    default: Any
    about: About


SECTIONS = {"rna": RnaParams, "atac": AtacParams, "prot": ProtParams, "joint": JointParams}


def parameters() -> Iterator[Parameter]:
    """Yield every parameter, in order."""
    for section, kind in SECTIONS.items():
        hints = get_type_hints(kind, include_extras=True)
        title = (kind.__doc__ or "").rstrip(".")
        for found in dataclasses.fields(kind):
            plain, about = get_args(hints[found.name])
            yield Parameter(section, title, found.name, plain, found.default, about)


def _check_known(what: str, given: Mapping[str, Any], known: Mapping[str, Any]) -> None:
    for key in given:
        if key not in known:
            rule = f"it is not a {what}; known are {', '.join(known)}"
            raise ArgumentError(explain("params", repr(key), rule, "use one of them"))


def _checked(parameter: Parameter, value: Any) -> Any:
    """Return a value as the parameter's type, or raise."""
    name = f"{parameter.section}.{parameter.name}"
    if isinstance(value, np.ndarray | np.generic):  # from a store
        value = value.tolist()
    if parameter.kind == tuple[float, ...]:
        values = value if isinstance(value, list | tuple) else [value]
        if not values:
            raise ArgumentError(explain(name, "empty", "it must have a number", "write [1.0]"))
        single = parameter._replace(kind=float)
        return tuple(_checked(single, one) for one in values)
    choices = get_args(parameter.kind)
    if choices and value not in choices:
        rule = f"known are {', '.join(choices)}"
        raise ArgumentError(explain(name, repr(value), rule, "use one of them"))
    if parameter.kind is float and type(value) is int:
        value = float(value)
    if not choices and type(value) is not parameter.kind:
        rule = f"it must be of type {parameter.kind.__name__}"
        raise ArgumentError(explain(name, repr(value), rule, "correct it"))
    if parameter.about.least is not None and not value >= parameter.about.least:
        rule = f"it must be at least {parameter.about.least:g}"
        raise ArgumentError(explain(name, value, rule, "correct it"))
    return value
