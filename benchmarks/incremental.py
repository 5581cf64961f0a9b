"""What knowing costs: cold, no-op, late, cosmetic, touched, code changed, reverted; CPU and wall seconds, what ran.

    python -m benchmarks.incremental --days 365 [--json]

In one process, with a durable SQLite ledger, leases on, real files written. Interpreter start and imports are not
counted. Each case's results are checked against a rebuild in memory; a wrong one ends the command with an error.
"""

import argparse
import json
import os
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from benchmarks import graph
from tidemark.assets import Pipeline
from tidemark.catalog import load_catalog
from tidemark.config import settings
from tidemark.deployment import Deployment, open_deployment
from tidemark.reading import live_parts
from tidemark.running.results import Result
from tidemark.running.run import prepare, run_plan

Case = dict[str, float | int]


def measure(days: int, folder: Path) -> dict[str, Case]:
    """Play every case on a fresh ledger in a folder and return its figures."""
    import pyarrow.parquet  # noqa: F401  imports are not what is measured

    landing = folder / "landing"
    graph.deliver_all(landing, days)
    file = folder / "dags" / "graph.py"
    file.parent.mkdir()
    graph.write_pipeline(file)
    given = settings({"TIDEMARK_HOME": str(folder), "TIDEMARK_LANDING_URL": str(landing)})
    as_of = datetime.combine(graph.START + timedelta(days), datetime.min.time(), UTC)
    time.sleep(4)  # so that no file is younger than what a stat token can tell apart
    cases: dict[str, Case] = {}
    with open_deployment(given) as deployment:

        def case(name: str, ran: int | None) -> None:
            pipeline = _pipeline(file)
            cases[name] = _timed(lambda: _run(deployment, pipeline, as_of))
            _check(deployment, landing, days)
            if ran is not None and cases[name]["ran"] != ran:
                raise SystemExit(f"{name}: {cases[name]['ran']} step-partitions ran, {ran} must")

        total = days * len(graph.STEPS)
        middle = graph.days(days)[days // 2]
        case("cold", total)
        case("noop", 0)
        cases["noop_full"] = _timed(lambda: _run(deployment, _pipeline(file), as_of, verify=True))
        (landing / "src0" / f"{middle}.txt").write_text(graph.delivery("src0", middle, 1))
        _age(landing / "src0" / f"{middle}.txt")
        case("late", 14)
        with (landing / "src0" / f"{graph.days(days)[days // 2 + 1]}.txt").open("a") as sink:
            sink.write("# delivered again\n")
        _age(Path(sink.name))
        case("cosmetic", 2)
        os.utime(landing / "src1" / f"{middle}.txt", (time.time() - 60,) * 2)
        case("touch", 0)
        graph.write_pipeline(file, changed=True)
        case("code_equal_output", days)
        graph.write_pipeline(file)
        case("revert", 0)
    return cases


def _age(file: Path) -> None:
    os.utime(file, (time.time() - 30,) * 2)


def _pipeline(file: Path) -> Pipeline:
    catalog = load_catalog(file.parent)
    pipeline = catalog.pipeline("graph")
    for asset in pipeline.assets:
        _ = asset.code  # the fingerprint belongs to the import
    return pipeline


def _run(deployment: Deployment, pipeline: Pipeline, as_of: datetime, verify: bool = False) -> int:
    prepared = prepare(deployment, pipeline, as_of=as_of, run="benchmark", actor="benchmark", verify=verify)
    reports = run_plan(deployment, pipeline, prepared, run="benchmark", actor="benchmark")
    return sum(result is Result.COMPUTED for report in reports for result, _ in report.results.values())


def _timed(what: Callable[[], int]) -> Case:
    cpu, wall = time.process_time(), time.perf_counter()
    ran = what()
    return {
        "cpu_s": round(time.process_time() - cpu, 4),
        "wall_s": round(time.perf_counter() - wall, 4),
        "peak_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        "ran": ran,
    }


def _check(deployment: Deployment, landing: Path, days: int) -> None:
    import pyarrow.parquet as pq

    wanted = graph.expected(landing, days)
    for step in graph.STEPS:
        parts = live_parts(deployment, step)
        if len(parts) != days:
            raise SystemExit(f"{step}: {len(parts)} partitions are live, {days} must be")
        for part in parts:
            if part.format == "parquet":
                table = pq.read_table(part.path).to_pydict()
                found = dict(sorted(zip(table["key"], table["value"], strict=True)))
            else:
                found = {key: int(value) for key, value in (line.split(",") for line in part.path.read_text().split())}
            if found != wanted[step, part.partition]:
                raise SystemExit(f"{step} {part.partition} is wrong")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--days", type=int, default=365)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="tidemark-benchmark-"))
    try:
        cases = measure(options.days, folder)
    finally:
        shutil.rmtree(folder)
    if options.json:
        json.dump(cases, sys.stdout, indent=2)
        return
    print(f"{options.days} days x {len(graph.STEPS)} steps = {options.days * len(graph.STEPS)} step-partitions")
    print(f"{'case':<20}{'CPU s':>10}{'wall s':>10}{'peak MiB':>10}{'ran':>8}")
    for name, each in cases.items():
        print(f"{name:<20}{each['cpu_s']:>10.3f}{each['wall_s']:>10.3f}{each['peak_mib']:>10}{each['ran']:>8}")


if __name__ == "__main__":
    main()
