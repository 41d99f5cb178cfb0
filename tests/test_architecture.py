"""The rules of ARCHITECTURE.md, read from the sources."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
PACKAGE = REPOSITORY / "lazymu"
FILES = sorted(PACKAGE.rglob("*.py"))

# Where a package may be imported: folders or files under lazymu/, each with everything below it.
# A folder named pl is a plotting folder wherever it stands.
CONFINED = {
    "dask": ("stream", "cluster"),
    "distributed": ("stream", "cluster"),
    "dask_jobqueue": ("cluster",),
    "dask_kubernetes": ("cluster",),
    "asyncssh": ("cluster",),
    "zarr": ("store", "io", "datasets"),
    "h5py": ("store", "io", "datasets"),
    "typer": ("cli",),
    "matplotlib": ("pl",),
    "numba": ("kernels",),
}
# Slow to import or optional: imported inside the function that uses them, never by `import lazymu`.
DEFERRED = (
    "distributed",
    *("igraph", "leidenalg", "matplotlib", "mofapy2", "numba", "pynndescent"),
    *("skmisc", "sklearn", "umap"),
)
# Only in tests and benchmarks.
PEERS = ("scanpy", "muon", "pytest")
MAX_BODY_LINES = 60
MAX_FILE_LINES = 400
MAX_IMPORT_SECONDS = 2.5  # some 0.8 on an idle machine; other tests run beside this one


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), str(path))


def where(path: Path, node: ast.AST | None = None) -> str:
    line = getattr(node, "lineno", 1)
    return f"{path.relative_to(REPOSITORY)}:{line}"


def module_name(path: Path) -> str:
    parts = path.relative_to(REPOSITORY).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports_in(tree: ast.AST) -> Iterator[tuple[ast.stmt, str]]:
    """Yield every imported module; of ``from a import b`` both ``a`` and ``a.b``."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node, alias.name
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node, node.module
            for alias in node.names:
                yield node, f"{node.module}.{alias.name}"


def imports_at_import_time(tree: ast.Module) -> Iterator[tuple[ast.stmt, str]]:
    """Yield the imports that run when the module is imported, those inside functions apart."""
    pending: list[ast.AST] = list(tree.body)
    while pending:
        node = pending.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield from imports_in(node)
        pending.extend(ast.iter_child_nodes(node))


def layers() -> dict[str, int]:
    """Return the height of every part of the package, as ARCHITECTURE.md draws the tree."""
    text = (REPOSITORY / "ARCHITECTURE.md").read_text()
    drawing = text.split("```")[1].strip().splitlines()
    heights = {}
    for height, line in enumerate(reversed(drawing)):
        names = line.split("  ")[0].replace(",", " ").split()
        heights.update({name.rstrip("/"): height for name in names})
    return heights


def part_of(module: str) -> str | None:
    """Return ``stream`` for ``lazymu.stream.matrix``, None for the package and `python -m`."""
    package, part = [*module.split("."), ""][:2]
    return part if package == "lazymu" and part not in {"", "__main__"} else None


def functions() -> Iterator[tuple[Path, ast.FunctionDef | ast.AsyncFunctionDef]]:
    for path in FILES:
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield path, node


def body_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Return the number of lines of a function's body, its docstring apart."""
    body = function.body[1:] if ast.get_docstring(function) else function.body
    return 1 + (body[-1].end_lineno or 0) - body[0].lineno if body else 0


def run_in_new_process(code: str) -> str:
    command = [sys.executable, "-c", code]
    return subprocess.run(
        command, check=True, capture_output=True, text=True, cwd=REPOSITORY
    ).stdout


def test_layers__drawing_is_read() -> None:
    heights = layers()
    assert heights["cli"] > heights["pp"] == heights["prot"] > heights["stream"] > heights["errors"]


def test_layers__every_part_of_the_package_is_drawn() -> None:
    parts = {path.relative_to(PACKAGE).parts[0].removesuffix(".py") for path in FILES}
    assert parts - {"__init__", "__main__"} <= set(layers())


def test_imports__go_only_down_the_tree() -> None:
    heights = layers()
    upward = [
        f"{where(path, node)} imports {target}"
        for path in FILES
        if (own := part_of(module_name(path)))
        for node, target in imports_in(tree_of(path))
        if (other := part_of(target)) in heights and heights[str(other)] > heights[own]
    ]
    assert not upward, "\n".join(upward)


def test_imports__no_layer_imports_the_package_root() -> None:
    of_root = [
        f"{where(path, node)} imports {target}"
        for path in FILES
        if part_of(module_name(path)) not in {None, "cli"}
        for node, target in imports_in(tree_of(path))
        if target == "lazymu" and isinstance(node, ast.Import)
    ]
    assert not of_root, "\n".join(of_root)


@pytest.mark.parametrize("package", CONFINED)
def test_imports__package_stays_where_it_belongs(package: str) -> None:
    allowed = CONFINED[package]
    outside = [
        f"{where(path, node)} imports {target}"
        for path in FILES
        for node, target in imports_in(tree_of(path))
        if target.split(".")[0] == package
        and path.relative_to(PACKAGE).parts[0] not in allowed
        and not ("pl" in allowed and "pl" in path.relative_to(PACKAGE).with_suffix("").parts)
    ]
    assert not outside, "\n".join(sorted(set(outside)))


def test_imports__peers_are_never_run_time_dependencies() -> None:
    used = [
        f"{where(path, node)} imports {target}"
        for path in FILES
        for node, target in imports_in(tree_of(path))
        if target.split(".")[0] in PEERS
    ]
    assert not used, "\n".join(used)


def test_imports__no_private_modules_of_other_packages() -> None:
    private = [
        f"{where(path, node)} imports {target}"
        for path in FILES
        for node, target in imports_in(tree_of(path))
        if any(name.startswith("_") and name != "__future__" for name in target.split("."))
    ]
    assert not private, "\n".join(private)


def test_imports__slow_packages_are_deferred() -> None:
    """Where a package is confined to one part, that part as a whole is imported late."""
    eager = [
        f"{where(path, node)} imports {target}"
        for path in FILES
        for node, target in imports_at_import_time(tree_of(path))
        if (package := target.split(".")[0]) in DEFERRED
        and part_of(module_name(path)) not in CONFINED.get(package, ())
    ]
    assert not eager, "\n".join(sorted(set(eager)))


def test_compute__only_in_stream_compute() -> None:
    """``.compute()``, ``dask.compute`` and ``persist`` are spelt in one file alone."""
    calls = [
        f"{where(path, node)} calls {ast.unparse(node.func)}"
        for path in FILES
        if path != PACKAGE / "stream" / "compute.py"
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in {"compute", "persist"}
    ]
    assert not calls, "\n".join(calls)


def test_functions__bodies_fit_a_screen() -> None:
    long = [
        f"{where(path, node)} {node.name} has {body_lines(node)} lines"
        for path, node in functions()
        if body_lines(node) > MAX_BODY_LINES
    ]
    assert not long, "\n".join(long)


def test_files__hold_one_subject() -> None:
    lengths = {path: len(path.read_text().splitlines()) for path in FILES}
    long = [f"{where(path)} {n} lines" for path, n in lengths.items() if n > MAX_FILE_LINES]
    assert not long, "\n".join(long)


def test_files__no_catch_all_modules() -> None:
    names = {"utils.py", "_utils.py", "helpers.py", "misc.py"}
    assert not [where(path) for path in FILES if path.name in names]


def test_import_lazymu__leaves_slow_packages_alone() -> None:
    loaded = run_in_new_process(
        f"import sys, lazymu; print(*(m for m in {DEFERRED!r} if m in sys.modules))"
    )
    assert loaded.split() == []


def test_import_lazymu__is_quick() -> None:
    """Processor time, as other tests run at the same moment; the first run fills the caches."""
    code = "from time import process_time as now; t = now(); import lazymu; print(now() - t)"
    seconds = min(float(run_in_new_process(code)) for _ in range(3))
    assert seconds < MAX_IMPORT_SECONDS


def test_package__tells_type_checkers_that_it_has_types() -> None:
    assert (PACKAGE / "py.typed").is_file()
