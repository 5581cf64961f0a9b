"""What the DAG processor pays for pipeline files: CPU seconds a file, as Airflow parses it, again and again.

    python -m benchmarks.parsing [--pipelines 20] [--assets 20] [--budget 2] [--json]

Each file is parsed by Airflow's own function in a fork of a process that has loaded what the DAG processor's has, which
is how Airflow does it: imported, made a DAG, serialised. What a fork has to load of Tidemark and polars is in the
figure, for it is paid each time. A folder of plain Airflow DAGs of as many tasks is parsed beside it. Ends with 1 if a
file costs more than the budget or cannot be parsed.
"""

import argparse
import json
import multiprocessing
import os
import sys
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

PIPELINE = '''"""Pipeline {number} of many."""

import polars as pl

from shared_rules import weighted
from tidemark import Calendar, Daily, asset, pipeline, previous, source, trailing

DAYS = Daily(tz="Europe/London")

{source} = source("{source}", files="{source}/{{partition}}.csv", partitions=DAYS, expected=Calendar("MON-FRI"),
    due="1 day 02:00 Europe/London", schema={{"item": str, "units": int, "price": float}}, gate="{source}")

{assets}

dag = pipeline("{name}", [{members}], schedule="0 6 * * *", timezone="Europe/London", on_arrival=True, owner="bench")
'''
ASSET = '''
@asset(partitions=DAYS, inputs={{"{upstream}": {mapping}}}, key=["item"], gate="{source}")
def {name}({upstream}: pl.DataFrame) -> pl.DataFrame:
    """Step {step}."""
    return weighted({upstream}, {step})
'''
PLAIN = '''"""A plain DAG of as many tasks."""

from airflow.sdk import DAG, task

with DAG("{name}", schedule="0 6 * * *"):
    before = None
    for number in range({tasks}):

        @task(task_id=f"step_{{number}}")
        def step():
            return 1

        after = step()
        if before is not None:
            before >> after
        before = after
'''
SHARED = '''"""What every pipeline shares."""

import polars as pl

RATES = {"one": 1.0, "two": 2.0}


def weighted(frame: pl.DataFrame, step: int) -> pl.DataFrame:
    return frame.with_columns(price=pl.col("price") * RATES["two"] + step)
'''


def write(folder: Path, pipelines: int, assets: int) -> None:
    """Write so many pipelines of so many assets with their suites, and a plain DAG beside each, into ``plain``."""
    dags, suites, plain = folder / "dags", folder / "expectations", folder / "plain"
    for each in (dags, suites, plain):
        each.mkdir()
    (dags / "shared_rules.py").write_text(SHARED)
    for number in range(pipelines):
        name, source = f"bench_{number:02}", f"delivered_{number:02}"
        names = [f"step_{number:02}_{step:02}" for step in range(assets)]
        mappings = ["trailing(days=7)" if step % 5 == 4 else "trailing(days=1)" for step in range(assets)]
        made = [
            ASSET.format(upstream=upstream, mapping=mapping, source=source, name=each, step=step)
            for step, (upstream, each, mapping) in enumerate(zip([source, *names], names, mappings, strict=False))
        ]
        members = ", ".join([source, *names])
        text = PIPELINE.format(number=number, source=source, assets="\n".join(made), name=name, members=members)
        (dags / f"{name}.py").write_text(text)
        (plain / f"{name}.py").write_text(PLAIN.format(name=name, tasks=assets))
        rule = {"type": "expect_column_values_to_not_be_null", "kwargs": {"column": "item"}}
        (suites / f"{source}.json").write_text(json.dumps({"name": source, "expectations": [rule]}))


def parse(folder: Path) -> dict[str, dict[str, Any]]:
    """Parse every DAG file of a folder as the DAG processor does; returns what each cost and defines, by its name."""
    found = {}
    for file in sorted(folder.glob("bench_*.py")):
        forks = multiprocessing.get_context("fork")
        ours, theirs = forks.Pipe(duplex=False)
        process = forks.Process(target=_parse_in_fork, args=(theirs, file, folder))
        process.start()
        theirs.close()
        found[file.stem] = ours.recv()
        process.join()
    return found


def _parse_in_fork(answer: Connection, file: Path, folder: Path) -> None:
    import structlog
    from airflow.dag_processing import processor
    from airflow.dag_processing.bundles.base import BundleVersionLock  # noqa: F401  # as the manager has it

    with Path(os.devnull).open("w") as nowhere:
        os.dup2(nowhere.fileno(), 1)
        os.dup2(nowhere.fileno(), 2)
    request = processor.DagFileParseRequest(
        file=str(file), bundle_path=folder, bundle_name="bench", callback_requests=[]
    )
    cpu, wall = time.process_time(), time.perf_counter()
    result = processor._parse_file(request, structlog.get_logger())
    assert result is not None
    answer.send(
        {
            "cpu_s": round(time.process_time() - cpu, 4),
            "wall_s": round(time.perf_counter() - wall, 4),
            "tasks": sum(len(each.data["dag"]["tasks"]) for each in result.serialized_dags),
            "error": "; ".join((result.import_errors or {}).values())[-300:],
        }
    )


def play(pipelines: int, assets: int) -> dict[str, dict[str, dict[str, Any]]]:
    """Write files, parse them, and return what each cost: Tidemark's and the plain ones."""
    with tempfile.TemporaryDirectory(prefix="tidemark-benchmark-") as home:
        folder = Path(home)
        os.environ |= {"AIRFLOW_HOME": home, "AIRFLOW__CORE__LOAD_EXAMPLES": "False"}
        os.environ["AIRFLOW__CORE__MIGHT_CONTAIN_DAG_CALLABLE"] = "tidemark.airflow.discovery.might_contain_dag"
        write(folder, pipelines, assets)
        # What the DAG processor has loaded before it forks.
        import airflow.dag_processing.manager
        import airflow.dag_processing.processor  # noqa: F401

        return {"tidemark": parse(folder / "dags"), "plain": parse(folder / "plain")}


def main() -> int:
    """Measure and print; returns 1 if a file is over the budget or broken."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pipelines", type=int, default=20)
    parser.add_argument("--assets", type=int, default=20, help="of each pipeline")
    parser.add_argument("--budget", type=float, default=2.0, help="CPU seconds that a file may cost")
    parser.add_argument("--json", action="store_true", help="print an object of kinds and files, and nothing else")
    options = parser.parse_args()
    found = play(options.pipelines, options.assets)
    if options.json:
        json.dump(found, sys.stdout, indent=2)
        print()
    else:
        print(f"{'files':<10}{'count':>8}{'tasks each':>12}{'CPU s a file':>14}{'most':>8}{'CPU s in all':>14}")
        for kind, files in found.items():
            costs = [each["cpu_s"] for each in files.values()]
            tasks = max(each["tasks"] for each in files.values())
            middle, most = sorted(costs)[len(costs) // 2], max(costs)
            print(f"{kind:<10}{len(files):>8}{tasks:>12}{middle:>14.3f}{most:>8.3f}{sum(costs):>14.2f}")
    ours = found["tidemark"].values()
    errors = [each["error"] for each in ours if each["error"]]
    print(*errors[:3], sep="\n", file=sys.stderr, end="\n" if errors else "")
    return int(bool(errors) or any(each["cpu_s"] > options.budget for each in ours))


if __name__ == "__main__":
    sys.exit(main())
