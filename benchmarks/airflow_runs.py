"""What a run costs through a real scheduler: seven months of deliveries in one run, and a run with nothing to do.

    python -m benchmarks.airflow_runs [--landing FOLDER]

Without a folder of real deliveries, 212 days of the simulated shop are taken. Seconds are those between a run's start
and its end as Airflow records them; workers are the task instances for which a process was started.
"""

import argparse
import datetime as dt
import json
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

from demo.client import Client
from demo.services import Services
from samples import simulate

ROOT = Path(__file__).resolve().parent.parent
AS_OF = "2011-07-01T05:00:00+00:00"
LAST_DAY = dt.date(2011, 6, 30)


def measure(folder: Path, landing: Path) -> dict[str, dict[str, float]]:
    """Run the price list twice and return the figures of both runs."""
    dags = folder / "dags"
    dags.mkdir()
    shutil.copy(ROOT / "dags" / "price_list.py", dags)
    settings = {
        "TIDEMARK_HOME": str(folder / "tidemark"),
        "TIDEMARK_LANDING_URL": str(landing),
        "TIDEMARK_AS_OF": AS_OF,
        "TIDEMARK_EXPECTATIONS": str(ROOT / "expectations"),
    }
    with Services(folder / "services", dags=dags, settings=settings, with_mlflow=False) as services:
        client = services.client()
        while "price_list" not in client.dags():
            time.sleep(1)
        client.unpause("price_list")
        _settle(client)
        figures = {"nothing_to_do": _run(client)}
        # The doorbell may have rung before we could: the first run that computed anything is the one.
        first = min(client.runs("price_list"), key=lambda run: run["start_date"])
        return {"seven_months": _figures(client, first)} | figures


def _settle(client: Client) -> None:
    """Run until nothing is left to do."""
    client.wait_run("price_list", client.trigger("price_list"), timeout=1800)
    for run in client.runs("price_list"):
        client.wait_run("price_list", run["dag_run_id"], timeout=1800)


def _run(client: Client) -> dict[str, float]:
    run = client.trigger("price_list")
    return _figures(client, client.wait_run("price_list", run))


def _figures(client: Client, run: dict[str, str]) -> dict[str, float]:
    if run["state"] != "success":
        raise SystemExit(f"the run {run['dag_run_id']} ended {run['state']}")
    started, ended = (dt.datetime.fromisoformat(run[name]) for name in ("start_date", "end_date"))
    tasks = client.tasks("price_list", run["dag_run_id"])
    return {
        "seconds": round((ended - started).total_seconds(), 2),
        "workers": sum(bool(task["pid"]) for task in tasks),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--landing", default=os.environ.get("TIDEMARK_TEST_DATA"), help="folder of real deliveries")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="tidemark-benchmark-"))
    try:
        landing = folder / "landing"
        if options.landing:
            for source in ("orders", "fx_rates"):
                shutil.copytree(Path(options.landing) / source, landing / source)
        else:
            simulate(landing, days=212, until=LAST_DAY)
        json.dump(measure(folder, landing), sys.stdout, indent=2)
        print()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
