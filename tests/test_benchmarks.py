"""The benchmarks measure what they say: a ledger that was filled is one that a run has left."""

import json
import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest
import sqlalchemy as sa

from benchmarks import graph
from benchmarks.filled import fill
from benchmarks.measured import measured
from tidemark.assets import Pipeline
from tidemark.catalog import load_catalog
from tidemark.checking import BUDGET
from tidemark.config import settings
from tidemark.deployment import Deployment, open_deployment
from tidemark.ledger import schema
from tidemark.running.run import prepare, run_plan

DAYS = 10

# What has to be the same, by table. The rest is made up (versions, blobs, seconds), a number, or a moment; of a run's
# words only the reasons differ.
SAME = {
    schema.asset: ["name", "pipeline", "kind", "scheme", "definition"],
    schema.partition: ["scheme", "key", "starts_at", "ends_at"],
    schema.code_version: ["fingerprint", "components"],
    schema.materialization: ["asset_id", "partition_id", "status", "format", "parameters", "declared", "rows", "error"],
    schema.materialization_input: ["asset_id", "position", "parameter", "mapping"],
    schema.head_log: ["environment", "asset_id", "partition_id", "missing", "follows", "to_seq"],
    schema.observation: ["environment", "asset_id", "partition_id", "outcome", "token", "settled", "declaration"],
    schema.outbox: ["environment", "asset_id", "partition_id", "state"],
}


@pytest.fixture(scope="module")
def landing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The graph's deliveries, older than what a stat token can tell apart."""
    folder = tmp_path_factory.mktemp("landing")
    graph.deliver_all(folder, graph.days(DAYS))
    for file in folder.glob("*/*"):
        os.utime(file, (1e9, 1e9))
    return folder


def rows_of(deployment: Deployment, table: sa.Table, columns: Iterable[str]) -> list[str]:
    """Rows as text, with names in the place of numbers, in an order of their own."""
    with deployment.ledger.read() as connection:
        names = dict(connection.execute(sa.select(schema.asset.c.id, schema.asset.c.name)).all())
        keys = dict(connection.execute(sa.select(schema.partition.c.id, schema.partition.c.key)).all())
        found = connection.execute(sa.select(*(table.c[name] for name in columns))).mappings().all()
    spelled = {"asset_id": names.get, "partition_id": keys.get}
    return sorted(str({name: spelled.get(name, str)(value) for name, value in row.items()}) for row in found)


def run(deployment: Deployment, pipeline: Pipeline) -> int:
    prepared = prepare(deployment, pipeline, as_of=graph.AS_OF, run="test", actor="test")
    run_plan(deployment, pipeline, prepared, run="test", actor="test")
    return len(prepared.plan.items)


def test_a_filled_ledger_holds_what_a_run_leaves(tmp_path: Path, landing: Path) -> None:
    """Row by row; and a plan finds nothing to do in it, so that its action keys are those that a run would compute."""
    (tmp_path / "dags").mkdir()
    graph.write_pipeline(tmp_path / "dags" / "graph.py")
    pipeline = load_catalog(tmp_path / "dags").pipeline("graph")
    left = {}
    for name in ("run", "filled"):
        given = settings({"TIDEMARK_HOME": str(tmp_path / name), "TIDEMARK_LANDING_URL": str(landing)})
        with open_deployment(given) as deployment:
            if name == "run":
                assert run(deployment, pipeline) == DAYS * len(graph.STEPS)
            else:
                fill(deployment, pipeline, as_of=graph.AS_OF)
            left[name] = {table.name: rows_of(deployment, table, columns) for table, columns in SAME.items()}
            assert run(deployment, pipeline) == 0
    assert len(left["run"]["materialization"]) == DAYS * 24
    assert left["filled"] == left["run"]


def test_a_peak_of_memory_is_that_of_its_own_case() -> None:
    """What was used and given back before is not in it."""

    def take(mib: int) -> int:
        return len(bytearray(mib << 20)) >> 20

    much = measured(lambda: take(200))
    little = measured(lambda: take(1))
    assert much["ran"] == 200
    assert much["peak_mib"] >= 200
    assert little["peak_mib"] <= much["peak_mib"] - 150


def test_what_incremental_prints_as_json_is_an_object_of_cases() -> None:
    """Every case with its four figures, and nothing else, for whoever compares them with others."""
    command = [sys.executable, "-m", "benchmarks.incremental", "--days", "16", "--json"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=Path(__file__).parents[1])
    assert done.returncode == 0, done.stderr
    cases = json.loads(done.stdout)
    assert list(cases) == ["cold", "noop", "noop_full", "late", "cosmetic", "touch", "code_equal_output", "revert"]
    assert all(list(each) == ["cpu_s", "wall_s", "peak_mib", "ran"] for each in cases.values())
    assert [each["ran"] for each in cases.values()] == [320, 0, 0, 14, 2, 0, 16, 0]


def test_a_look_of_the_watch_finds_what_is_late() -> None:
    """Nothing, a day, and every hour."""
    from benchmarks.watch import play

    assert [(case, each["ran"]) for case, each in play(48).items()] == [
        ("nothing late", 0),
        ("a day late", 24),
        ("everything late", 48),
    ]


def parsing(*options: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "benchmarks.parsing", *options, "--json"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.run(command, env=environment, capture_output=True, text=True, cwd=Path(__file__).parents[1])


def test_each_of_20_pipelines_of_20_assets_is_parsed_within_the_budget() -> None:
    """Each asset is a task, with the plan and the verdict; beside it a plain DAG of as many. Seconds are of CPU."""
    done = parsing("--pipelines", "20", "--assets", "20", "--budget", str(BUDGET))
    assert done.returncode == 0, done.stderr + done.stdout
    found = json.loads(done.stdout)
    assert {kind: [each["tasks"] for each in files.values()] for kind, files in found.items()} == {
        "tidemark": [22] * 20,
        "plain": [20] * 20,
    }
    assert not [each["error"] for files in found.values() for each in files.values() if each["error"]]
    assert max(each["cpu_s"] for each in found["tidemark"].values()) <= BUDGET


def test_a_file_that_costs_more_than_the_budget_of_parsing_is_told() -> None:
    assert parsing("--pipelines", "1", "--assets", "1", "--budget", "0.001").returncode == 1
