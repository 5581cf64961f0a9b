"""What a deployment needs: room for ledger and store, time for a backup, memory and connections of its processes.

    python -m benchmarks.capacity room [--days 365]        bytes a partition takes in the ledger and in the store
    python -m benchmarks.capacity backup [--days 5000]     a dump and a restore of a ledger, and a verification after it
    python -m benchmarks.capacity processes [--days 30]    memory and connections of each process, idle and in a run

All with the ledger on a PostgreSQL of its own, with `fsync` on. Room is measured after a real run of the benchmark's
graph; the backup is of a ledger that was filled as one (`benchmarks.filled`); processes are those of a real Airflow
whose own database is on the same server.
"""

import argparse
import json
import subprocess
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import psycopg2

from benchmarks import graph
from benchmarks.filled import fill
from benchmarks.server import durable_server, ledger_server
from demo.services import Services
from tests.postgres import administer, programs
from tidemark.assets import Pipeline
from tidemark.catalog import load_catalog
from tidemark.config import settings
from tidemark.deployment import Deployment, open_deployment
from tidemark.integrity import lost_blobs
from tidemark.ledger import Ledger
from tidemark.running.run import prepare, run_plan

MIB = 2**20


def room(folder: Path, days: int) -> dict[str, Any]:
    """Run the graph once; return the bytes of each table with its indexes, and of the store, a step-partition."""
    with ledger_server() as server, _graph(folder, days, server.url) as (deployment, pipeline):
        prepared = prepare(deployment, pipeline, as_of=graph.AS_OF, run="benchmark", actor="benchmark")
        run_plan(deployment, pipeline, prepared, run="benchmark", actor="benchmark")
        sizes = _asked(
            server.url,
            "SELECT relname, pg_total_relation_size(oid) FROM pg_class WHERE relkind = 'r' "
            "AND relnamespace = 'public'::regnamespace ORDER BY 2 DESC",
        )
        blobs = [each.stat() for each in (folder / "store").glob("??/*")]
        steps = days * len(graph.STEPS)
    total = sum(size for _, size in sizes)
    return {
        "step_partitions": steps,
        "deliveries": days * len(graph.SOURCES),
        "ledger_mib": round(total / MIB, 1),
        "ledger_bytes_a_step_partition": round(total / steps),
        "step_partitions_a_gib": round(2**30 / (total / steps)),
        "tables_bytes_a_step_partition": {name: round(size / steps) for name, size in sizes[:8]},
        "blobs": len(blobs),
        "store_mib": round(sum(each.st_size for each in blobs) / MIB, 1),
        "store_mib_on_disk": round(sum(each.st_blocks * 512 for each in blobs) / MIB, 1),
    }


def backup(folder: Path, days: int) -> dict[str, Any]:
    """Dump a filled ledger, restore it into another database, verify everything; return seconds and sizes."""
    dump, found = folder / "ledger.dump", {}
    with durable_server() as root:
        administer(root, "CREATE DATABASE ledger")
        administer(root, "CREATE DATABASE restored")
        ledger = Ledger(f"{root}ledger")
        ledger.upgrade()
        ledger.close()
        with _graph(folder, days, f"{root}ledger") as (deployment, pipeline):
            fill(deployment, pipeline, as_of=graph.AS_OF)
            prepare(deployment, pipeline, as_of=graph.AS_OF, run="benchmark", actor="benchmark")
        size = _asked(f"{root}ledger", "SELECT pg_database_size('ledger')")[0][0]
        found["step_partitions"], found["ledger_mib"] = days * len(graph.STEPS), round(size / MIB)
        found["dump_s"] = _timed(
            [f"{programs()}/pg_dump", "--format=custom", f"--file={dump}", f"{root}ledger"],
        )
        found["dump_mib"] = round(dump.stat().st_size / MIB)
        found["restore_s"] = _timed(
            [f"{programs()}/pg_restore", "--no-owner", "--exit-on-error", f"--dbname={root}restored", str(dump)]
        )
        administer(root, "ALTER DATABASE ledger RENAME TO lost")
        with _graph(folder, days, f"{root}restored", again=True) as (deployment, pipeline):
            began = time.perf_counter()
            made = prepare(deployment, pipeline, as_of=graph.AS_OF, run="benchmark", actor="benchmark", verify=True)
            found["verify_s"], found["planned"] = round(time.perf_counter() - began, 1), len(made.plan.items)
            began = time.perf_counter()
            deployment.store.put(b"the only one")  # nothing else was stored: each is asked for
            lost_blobs(deployment)
            found["store_check_s"] = round(time.perf_counter() - began, 1)
    return found


def processes(folder: Path, days: int) -> dict[str, Any]:
    """Run the graph through Airflow; return the MiB and the connections of each process, idle and at most in the run.

    Memory is PSS: what forked processes share is counted once among them.
    """
    landing, dags = folder / "landing", folder / "dags"
    graph.deliver_all(landing, graph.days(days))
    dags.mkdir()
    graph.write_pipeline(dags / "graph.py")
    with durable_server() as root:
        for name in ("airflow", "ledger"):
            administer(root, f"CREATE DATABASE {name}")
        ledger = Ledger(f"{root}ledger")
        ledger.upgrade()
        ledger.close()
        services = Services(
            folder / "services",
            dags=dags,
            settings={
                "TIDEMARK_HOME": str(folder / "tidemark"),
                "TIDEMARK_LEDGER_URL": f"{root}ledger",
                "TIDEMARK_LANDING_URL": str(landing),
                "TIDEMARK_AS_OF": graph.AS_OF.isoformat(),
            },
            database_url=f"{root}airflow".replace("postgresql:", "postgresql+psycopg2:"),
        )
        with services, services.client() as client:
            while "graph" not in client.dags():
                time.sleep(1)
            client.unpause("graph")
            time.sleep(15)
            idle = _sample(services, root)
            with _sampled(services, root) as busiest:
                run = client.trigger("graph")
                state = client.wait_run("graph", run, timeout=3600)["state"]
            if state != "success":
                raise SystemExit(f"the run ended {state}")
    return {"idle": idle, "at most in a run": dict(busiest)}


Sample = dict[str, dict[str, int]]


@contextmanager
def _sampled(services: Services, server: str) -> Iterator[Sample]:
    """Look again and again while something happens; yields the most that each process had."""
    most: Sample = defaultdict(lambda: defaultdict(int))
    over = threading.Event()

    def look() -> None:
        while not over.wait(0.5):
            for name, figures in _sample(services, server).items():
                for what, figure in figures.items():
                    most[name][what] = max(most[name][what], figure)

    looking = threading.Thread(target=look)
    looking.start()
    try:
        yield most
    finally:
        over.set()
        looking.join()


def _sample(services: Services, server: str) -> Sample:
    found: Sample = defaultdict(lambda: defaultdict(int))
    clients = dict(_asked(f"{server}postgres", "SELECT client_port, datname FROM pg_stat_activity WHERE datname <> ''"))
    for process in services.processes:
        try:
            name = _named(process)
            found[name]["processes"] += 1
            found[name]["mib"] += round(process.memory_full_info().pss / MIB)
            for each in process.net_connections(kind="tcp"):
                if each.laddr.port in clients:
                    found[name][f"connections to {clients[each.laddr.port]}"] += 1
        except psutil.NoSuchProcess:
            continue
    return {name: dict(figures) for name, figures in found.items()}


def _named(process: psutil.Process) -> str:
    """Return which of the services a process is, or is of; what a scheduler has forked for a task is a task."""
    for each in (process, *process.parents()):
        words = " ".join(each.cmdline())
        if "task supervisor" in words or "task runner" in words:
            return "task"
        for name, mark in _MARKS.items():
            if mark in words:
                return name
    return "other"


_MARKS = {
    "api-server": "api_server",
    "scheduler": "scheduler",
    "dag-processor": "dag-processor",
    "triggerer": "triggerer",
    "mlflow": "mlflow",
    "watch": "'watch'",
}


@contextmanager
def _graph(folder: Path, days: int, url: str, *, again: bool = False) -> Iterator[tuple[Deployment, Pipeline]]:
    """Open the graph's deployment in a folder, made and delivered unless it is there."""
    if not again:
        graph.deliver_all(folder / "landing", graph.days(days))
        (folder / "dags").mkdir()
        graph.write_pipeline(folder / "dags" / "graph.py")
        time.sleep(4)  # so that no file is younger than what a stat token can tell apart
    given = {
        "TIDEMARK_HOME": str(folder),
        "TIDEMARK_LANDING_URL": str(folder / "landing"),
        "TIDEMARK_LEDGER_URL": url,
    }
    with open_deployment(settings(given)) as deployment:
        yield deployment, load_catalog(folder / "dags").pipeline("graph")


def _asked(url: str, query: str) -> list[Any]:
    connection = psycopg2.connect(url)
    try:
        with connection.cursor() as cursor:
            cursor.execute(query)
            return list(cursor.fetchall())
    finally:
        connection.close()


def _timed(command: Sequence[str]) -> float:
    began = time.perf_counter()
    subprocess.run(command, check=True)
    return round(time.perf_counter() - began, 1)


PARTS = {"room": (room, 365), "backup": (backup, 5000), "processes": (processes, 30)}


def main() -> None:
    """Measure a part, and print its figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=PARTS)
    parser.add_argument("--days", type=int, help="how many days the graph has")
    options = parser.parse_args()
    measure, usual = PARTS[options.part]
    with tempfile.TemporaryDirectory(prefix="tidemark-capacity-") as folder:
        print(json.dumps(measure(Path(folder), options.days or usual), indent=2))


if __name__ == "__main__":
    main()
