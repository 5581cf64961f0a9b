"""What a run costs through a real scheduler, in seconds and in worker processes.

    python -m benchmarks.airflow_runs [--days 365] [--ordinary-days 30] [--database postgresql] [--landing FOLDER]

The benchmark's graph, all days in one run and then nothing to do; the same graph as an ordinary DAG with one mapped
task instance a partition, on the same Airflow with as many workers, run for fewer days and scaled by their number; and
the price list, seven months of deliveries in one run and then nothing to do. Without a folder of real deliveries for
that, 212 days of the simulated shop are taken. Seconds are those between a run's start and its end as Airflow records
them; workers are the task instances for which a process was started.
"""

import argparse
import datetime as dt
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from benchmarks import graph, ordinary
from demo.client import Client
from demo.services import Services
from samples import simulate

ROOT = Path(__file__).resolve().parent.parent
LAST_DAY = dt.date(2011, 6, 30)
WORKERS = 2
LONGEST = 7200
"""Seconds after which a run is given up."""

Run = dict[str, float]


def measure_graph(folder: Path, *, days: int, ordinary_days: int, database: str | None) -> dict[str, Run]:
    """Run the graph on a scheduler, as a pipeline and as an ordinary DAG; return the figures of the runs."""
    landing, dags, results = folder / "landing", folder / "dags", folder / "results"
    graph.deliver_all(landing, graph.days(days))
    dags.mkdir()
    graph.write_pipeline(dags / "graph.py")
    ordinary.write_dag(dags / "ordinary.py", landing=landing, results=results, count=ordinary_days)
    with _airflow(folder, landing, graph.AS_OF, database, {"graph", "ordinary"}) as client:
        everything = _run(client, "graph")
        nothing = _run(client, "graph")
        one_each = _run(client, "ordinary")
        ordinary.check(results, landing, ordinary_days)
    scaled = {name: round(figure * days / ordinary_days, 1) for name, figure in one_each.items()}
    times = {name: round(scaled[name] / everything[name], 1) for name in everything}
    return {
        f"graph_{days}_days": everything,
        "graph_nothing_to_do": nothing,
        f"ordinary_{ordinary_days}_days": one_each,
        f"ordinary_scaled_to_{days}_days": scaled,
        "ordinary_over_graph": times,
    }


def measure_price_list(folder: Path, landing: Path, database: str | None) -> dict[str, Run]:
    """Run the price list twice and return the figures of both runs."""
    (folder / "dags").mkdir()
    for name in ("price_list.py", "price_rules.py"):
        shutil.copy(ROOT / "dags" / name, folder / "dags")
    as_of = dt.datetime.combine(LAST_DAY + dt.timedelta(1), dt.time(5), dt.UTC)
    with _airflow(folder, landing, as_of, database, {"price_list"}) as client:
        _run(client, "price_list")
        for run in client.runs("price_list"):
            client.wait_run("price_list", run["dag_run_id"], timeout=LONGEST)
        nothing = _run(client, "price_list")
        # The doorbell may have rung before we could: the first run that computed anything is the one.
        first = min(client.runs("price_list"), key=lambda run: run["start_date"])
        return {"price_list_seven_months": _figures(client, first), "price_list_nothing_to_do": nothing}


@contextmanager
def _airflow(
    folder: Path, landing: Path, as_of: dt.datetime, database: str | None, wanted: set[str]
) -> Iterator[Client]:
    """Run an Airflow that has read the wanted DAGs, none of them paused."""
    settings = {
        "TIDEMARK_HOME": str(folder / "tidemark"),
        "TIDEMARK_LANDING_URL": str(landing),
        "TIDEMARK_AS_OF": as_of.isoformat(),
        "TIDEMARK_EXPECTATIONS": str(ROOT / "expectations"),
    }
    services = Services(
        folder / "services",
        dags=folder / "dags",
        settings=settings,
        with_mlflow=False,
        database_url=database,
        workers=WORKERS,
    )
    with services:
        client = services.client()
        while not wanted <= client.dags().keys():
            if client.import_errors():
                raise SystemExit(str(client.import_errors()))
            time.sleep(1)
        for dag in wanted:
            client.unpause(dag)
        yield client


def _run(client: Client, dag: str) -> Run:
    run = client.trigger(dag)
    return _figures(client, client.wait_run(dag, run, timeout=LONGEST))


def _figures(client: Client, run: dict[str, str]) -> Run:
    if run["state"] != "success":
        raise SystemExit(f"the run {run['dag_run_id']} of {run['dag_id']} ended {run['state']}")
    started, ended = (dt.datetime.fromisoformat(run[name]) for name in ("start_date", "end_date"))
    tasks = client.tasks(run["dag_id"], run["dag_run_id"])
    return {
        "seconds": round((ended - started).total_seconds(), 2),
        "workers": sum(bool(task["pid"]) for task in tasks),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=("graph", "price_list"))
    parser.add_argument("--days", type=int, default=365, help="of the graph")
    parser.add_argument("--ordinary-days", type=int, default=30, help="of the ordinary DAG")
    parser.add_argument("--database", choices=("sqlite", "postgresql"), default="sqlite", help="Airflow's own")
    parser.add_argument("--landing", default=os.environ.get("TIDEMARK_TEST_DATA"), help="folder of real deliveries")
    options = parser.parse_args()
    figures: dict[str, Run] = {}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tidemark-benchmark-")))
        if options.only != "price_list":
            database = _database(stack, options.database)
            (folder / "graph").mkdir()
            figures |= measure_graph(
                folder / "graph", days=options.days, ordinary_days=options.ordinary_days, database=database
            )
        if options.only != "graph":
            landing = folder / "prices" / "landing"
            if options.landing:
                for source in ("orders", "fx_rates"):
                    shutil.copytree(Path(options.landing) / source, landing / source)
            else:
                simulate(landing, days=212, until=LAST_DAY)
            figures |= measure_price_list(folder / "prices", landing, _database(stack, options.database))
    json.dump(figures, sys.stdout, indent=2)
    print()


def _database(stack: ExitStack, kind: str) -> str | None:
    """Return the URL of a new database for Airflow; None for SQLite's file."""
    if kind == "sqlite":
        return None
    from benchmarks.server import durable_server  # brings pytest

    return f"{stack.enter_context(durable_server())}postgres"


if __name__ == "__main__":
    main()
