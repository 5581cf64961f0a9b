"""Claims about the library's build: floors, imports that point down, and what a definition file costs to import."""

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PLUGINS = ROOT / "plugins"
LIBRARY = PLUGINS / "tidemark"

# From the ground up: what is in a file or folder of these names may import its own floor and lower ones.
FLOORS: list[set[str]] = [
    {"errors", "hashing", "memory"},
    {"partitions", "drift", "figures", "installation"},
    {"calendars", "mappings", "places", "bucket"},
    {"fingerprint", "search", "validation", "execution", "assets", "definitions", "pipelines"},
    {"config", "checkouts", "commits", "ledger", "store", "landing", "frames", "gate", "backups"}
    | {"suites", "evaluation", "findings", "datadocs", "difference"},
    {"deployment"},
    {"survey", "facts", "changes"},
    {"selection", "observe", "plan", "explain", "versions", "causes"},
    {"running"},
    {"verdict", "telling", "outlook", "inspecting", "integrity", "conformity"}
    | {"comparing", "interventions", "reading", "catalog"},
    {"approvers", "incidents"},
    {"models", "metrics", "alerting", "retiring"},
    {"reports", "watching"},
    {"airflow", "checking", "cli", ""},  # the empty name is tidemark/__init__.py
]

# They cost seconds of CPU, or hundreds of megabytes, and the DAG processor imports definitions again and again.
HEAVY = {
    "dask",
    "distributed",
    "duckdb",
    "great_expectations",
    "matplotlib",
    "mlflow",
    "optuna",
    "pandas",
    "polars",
    "pyarrow",
    "pyspark",
    "scipy",
    "sklearn",
    "boto3",
    "botocore",
    "fsspec",
    "kubernetes",
    "paramiko",
    "alembic",
    "holidays",
}
# What tidemark.frames imports when it is first asked for data, Alembic alone runs, and an asset's own image asks for.
LATE = {
    "frames/": {"pyarrow", "polars"},
    "ledger/migrations/": {"alembic"},
    "airflow/pods.py": {"kubernetes"},
}


@dataclass(frozen=True)
class Import:
    """One import statement: of what, where, and whether it runs as its module is imported."""

    name: str
    line: int
    at_import: bool


def module_name(file: Path) -> str:
    """The name within the package, such as ``ledger.heads``; empty for the package itself."""
    parts = file.relative_to(LIBRARY).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports_of(file: Path) -> list[Import]:
    """Every import statement of a file, those for type checkers aside."""
    return list(_imports(ast.parse(file.read_text()), at_import=True))


def _imports(node: ast.AST, *, at_import: bool) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        match child:
            case ast.Import(names=names):
                yield from (Import(each.name, child.lineno, at_import) for each in names)
            case ast.ImportFrom(level=level, module=module, names=names):
                assert level == 0, f"line {child.lineno}: write the whole name"
                yield from (Import(f"{module}.{each.name}", child.lineno, at_import) for each in names)
            case ast.If(test=ast.Name(id="TYPE_CHECKING"), orelse=orelse):
                for other in orelse:
                    yield from _imports(other, at_import=at_import)
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.Lambda():
                yield from _imports(child, at_import=False)
            case _:
                yield from _imports(child, at_import=at_import)


FILES = {module_name(file): file for file in sorted(LIBRARY.rglob("*.py"))}
IMPORTS = {name: imports_of(file) for name, file in FILES.items()}


def ours(name: str) -> str | None:
    """The module of the package that an imported name is, or is of; None if it is none of ours."""
    if name != "tidemark" and not name.startswith("tidemark."):
        return None
    inner = name.removeprefix("tidemark").removeprefix(".")
    while inner not in FILES:
        inner = inner.rpartition(".")[0]
    return inner


def floor(module: str) -> int:
    """The number of a module's floor."""
    top = module.partition(".")[0]
    return next(number for number, names in enumerate(FLOORS) if top in names)


def edges(*, at_import_only: bool = False) -> Iterator[tuple[str, str, int]]:
    """Who imports whom, and in which line."""
    for module, imports in IMPORTS.items():
        for each in imports:
            target = ours(each.name)
            if target is not None and target != module and (each.at_import or not at_import_only):
                yield module, target, each.line


def outsiders() -> Iterator[tuple[str, str, Import]]:
    """Imports of what is not ours: the module, the top-level package, and the statement."""
    for module, imports in IMPORTS.items():
        for each in imports:
            if ours(each.name) is None:
                yield module, each.name.partition(".")[0], each


def shown(module: str, line: int) -> str:
    return f"{FILES[module].relative_to(ROOT)}:{line}"


def test_every_module_stands_on_a_floor() -> None:
    tops = {module.partition(".")[0] for module in FILES}
    assert tops == set().union(*FLOORS)


def test_imports_point_down() -> None:
    """Also those within functions: a late import hides a wrong direction, it does not mend it."""
    wrong = [
        f"{shown(module, line)}: tidemark.{module} on floor {floor(module)} imports {target} on floor {floor(target)}"
        for module, target, line in edges()
        if floor(target) > floor(module)
    ]
    assert not wrong, "\n".join(wrong)


def test_no_module_imports_itself_by_a_detour() -> None:
    graph: dict[str, set[str]] = {module: set() for module in FILES}
    for module, target, _ in edges():
        # A package's own parts are found by it when first asked for, and may know it.
        if not (module.startswith(f"{target}.") or target.startswith(f"{module}.")):
            graph[module].add(target)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as problem:
        pytest.fail(" -> ".join(map(str, problem.args[1])))


def test_packages_use_each_other_in_one_direction() -> None:
    """Two parts that need each other are one part."""
    pairs = {(module.partition(".")[0], target.partition(".")[0]) for module, target, _ in edges()}
    both = {pair for pair in pairs if pair[0] < pair[1] and pair[::-1] in pairs} - {("", "airflow"), ("", "cli")}
    assert not both


def test_only_the_airflow_part_knows_airflow() -> None:
    wrong = [
        f"{shown(module, each.line)}: {each.name}"
        for module, package, each in outsiders()
        if package == "airflow" and floor(module) < floor("airflow")
    ]
    others = [each.name for each in imports_of(PLUGINS / "tidemark_plugin.py") if each.name.startswith("airflow")]
    assert not wrong, "\n".join(wrong)
    assert others


def test_only_the_command_draws_on_the_terminal() -> None:
    wrong = [shown(module, each.line) for module, package, each in outsiders() if package in ("rich", "argparse")]
    # A program of its own: what it makes is Airflow's, and the command has no need of Airflow's database.
    commands = ("plugins/tidemark/cli/", "plugins/tidemark/airflow/roles.py")
    assert all(place.startswith(commands) for place in wrong), wrong


def test_what_is_heavy_is_imported_where_it_is_used() -> None:
    wrong = []
    for module, package, each in outsiders():
        place = FILES[module].relative_to(LIBRARY).as_posix()
        allowed = set().union(*(packages for prefix, packages in LATE.items() if place.startswith(prefix)))
        if package in HEAVY - allowed and each.at_import:
            wrong.append(f"{shown(module, each.line)}: import {package} within the function that needs it")
    assert not wrong, "\n".join(wrong)


def loaded_by(script: str) -> set[str]:
    """The top-level packages that a process has loaded after a script, among those that nobody may load unasked."""
    script += f"\nimport sys; print(*{{name.partition('.')[0] for name in sys.modules}} & {HEAVY | {'airflow'}!r})"
    environ = {name: value for name, value in os.environ.items() if not name.startswith("TIDEMARK_")}
    environ["PYTHONPATH"] = os.pathsep.join([str(PLUGINS), *sys.path])
    done = subprocess.run([sys.executable, "-c", script], env=environ, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.splitlines()[-1].split())


def test_importing_tidemark_loads_nothing_heavy() -> None:
    assert loaded_by("import tidemark") == set()


@pytest.mark.parametrize("name", ["price_list", "business_report"])
def test_a_definition_file_loads_nothing_but_what_it_imports_itself(name: str) -> None:
    """With its checks of annotations, schemas and suites: the DAG processor does this every half minute."""
    # The folder of DAG files is on the path, as Airflow puts it there: they may share modules.
    script = f"import runpy, sys; sys.path.append('dags'); assert runpy.run_path('dags/{name}.py')['dag']"
    assert loaded_by(script) == {"polars"}


def test_planning_without_news_loads_no_data_library() -> None:
    """What a run with nothing to do imports, up to the plan."""
    assert loaded_by("import tidemark.running.run, tidemark.verdict, tidemark.catalog") == set()


def test_asking_the_command_for_help_or_settings_loads_nothing_heavy() -> None:
    assert loaded_by("from tidemark.cli import main\nassert main(['config', '--json']) == 0").isdisjoint(HEAVY)
