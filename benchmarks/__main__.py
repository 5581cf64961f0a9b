"""``python -m benchmarks``: run every benchmark that docs/benchmarks.md quotes, each in a process of its own."""

import subprocess
import sys

COMMANDS = (
    ("what knowing costs, and Hamilton beside it", ["-m", "benchmarks.incremental", "--peer", "hamilton"]),
    ("the same on PostgreSQL", ["-m", "benchmarks.incremental", "--ledger", "postgresql"]),
    ("a window of a year over ten years", ["-m", "benchmarks.scale", "--days", "3650", "--window", "365"]),
    ("a million step-partitions", ["-m", "benchmarks.scale"]),
    ("what a scrape costs", ["-m", "benchmarks.metrics"]),
    ("the same on PostgreSQL", ["-m", "benchmarks.metrics", "--ledger", "postgresql"]),
    ("a look of the watch at ten years of hours", ["-m", "benchmarks.watch"]),
    ("code edits, and peers beside us", ["-m", "benchmarks.code_matrix", "--peer", "all"]),
    ("what the DAG processor pays for 20 pipelines of 20 assets", ["-m", "benchmarks.parsing"]),
    ("runs through a real scheduler", ["-m", "benchmarks.airflow_runs"]),
    ("a large partition by polars, Dask and Spark", ["-m", "benchmarks.engines"]),
    ("the weekly run of the demand model", ["-m", "benchmarks.weekly_model"]),
)


def main() -> int:
    """Run the benchmarks one after the other; returns how many failed."""
    failed = 0
    for title, command in COMMANDS:
        print(f"== {title}: python {' '.join(command)}", flush=True)
        failed += subprocess.run([sys.executable, *command]).returncode != 0
    return failed


if __name__ == "__main__":
    sys.exit(main())
