"""Claims about the file that Airflow scans: a scheduler that forks its workers has loaded what tasks need."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

SCRIPT = """
import gc, sys
from tidemark_plugin import TidemarkPlugin
before = set(sys.modules)
sys.argv = ["airflow", sys.argv[1]]
TidemarkPlugin.on_load()
wanted = {"great_expectations", "tidemark.airflow.factory", "tidemark.frames.inputs", "tidemark.running.run"}
print(sorted(wanted & sys.modules.keys() - before), gc.get_freeze_count() > 100_000)
"""


def loaded_in(component: str, executor: str, home: Path) -> str:
    environ = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "AIRFLOW_HOME": str(home)}
    environ["AIRFLOW__CORE__EXECUTOR"] = executor
    command = [sys.executable, "-c", SCRIPT, component]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1]


@pytest.mark.parametrize("component", ["scheduler", "dag-processor"])
def test_only_a_scheduler_that_forks_its_workers_loads_what_tasks_need(component: str, tmp_path: Path) -> None:
    """And keeps it from the garbage collection of each; others neither need it nor wait for it."""
    wanted = ["great_expectations", "tidemark.airflow.factory", "tidemark.frames.inputs", "tidemark.running.run"]
    here = f"{wanted if component == 'scheduler' else []} {component == 'scheduler'}"
    assert loaded_in(component, "LocalExecutor", tmp_path) == here


def test_a_scheduler_whose_workers_start_elsewhere_loads_nothing(tmp_path: Path) -> None:
    """They would not have it, and it would only be in the way."""
    assert loaded_in("scheduler", "CeleryExecutor", tmp_path) == "[] False"
