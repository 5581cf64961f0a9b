"""What the weekly run of the demand model costs through a real scheduler with a real MLflow server, in CPU seconds.

    python -m benchmarks.weekly_model [--landing FOLDER] [--week 2011-06-20]

The price list is played over seven months; the model is trained for the week before, whose candidate is promoted; then
the week's run is measured until it waits for an approver. Its figure is the CPU of all task processes and, apart, that
of the servers meanwhile: without fitting it is to be 60 s at most. The clock's seconds of trials and training are the
ledger's.
Without a folder of real deliveries 212 days of the simulated shop are taken.
"""

import argparse
import datetime as dt
import json
import os
import shutil
import sqlite3
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil

from benchmarks.airflow_runs import LAST_DAY, LONGEST, ROOT
from demo.client import FINISHED, Client
from demo.services import Services
from samples import simulate

FILES = ("price_list.py", "price_rules.py", "demand_model.py", "demand_rows.py")
APPROVE = "demand_model.approve"


def measure(folder: Path, landing: Path, week: dt.date) -> dict[str, Any]:
    """Play the story and return the figures."""
    (folder / "dags").mkdir()
    for name in FILES:
        shutil.copy(ROOT / "dags" / name, folder / "dags")
    settings = {
        "TIDEMARK_HOME": str(folder / "tidemark"),
        "TIDEMARK_LANDING_URL": str(landing),
        "TIDEMARK_AS_OF": _morning_after(week - dt.timedelta(7)),
        "TIDEMARK_EXPECTATIONS": str(ROOT / "expectations"),
        "TIDEMARK_APPROVERS": "operator",
        "TIDEMARK_FOUR_EYES": "off",
    }
    services = Services(folder / "services", dags=folder / "dags", settings=settings, usual_ports={})
    with services, services.client() as client, services.client("operator") as operator:
        while not {"price_list", "demand_model"} <= client.dags().keys():
            time.sleep(1)
        client.wait_run("price_list", client.trigger("price_list"), timeout=LONGEST)
        before = {"from": str(week - dt.timedelta(7)), "to": str(week - dt.timedelta(7))}
        run = client.trigger("demand_model", before)
        _wait(client, run)
        while client.run("demand_model", run)["state"] not in FINISHED:
            asked = client.question("demand_model", run, APPROVE)
            if asked is not None and not asked["response_received"]:
                operator.answer("demand_model", run, APPROVE, "Approve", why="the first", **{"from": None})
            time.sleep(3)
        now = {"as_of": _morning_after(week), "from": str(week), "to": str(week)}
        client.wait_run("price_list", client.trigger("price_list", {"as_of": now["as_of"]}), timeout=LONGEST)
        time.sleep(5)  # until what the run has left behind is over
        started, ledger = _cpu(services), sqlite3.connect(folder / "tidemark" / "ledger.db")
        marks = [ledger.execute(f"SELECT max({key}) FROM {table}").fetchone()[0] for table, key in _MARKS]
        run = client.trigger("demand_model", now)
        _wait(client, run)
        time.sleep(5)
        ended = _cpu(services)
        trials, trained = (
            ledger.execute(f"SELECT count(*), sum(seconds) FROM {table} WHERE {key} > ?", [mark]).fetchone()
            for (table, key), mark in zip(_MARKS, marks, strict=True)
        )
        tasks = {each["task_id"] for each in client.tasks("demand_model", run) if each["pid"]}
        ledger.close()
    spent = {name: round(ended[name] - started[name], 1) for name in ended}
    return {
        "cpu_s_of_tasks": spent["tasks"],
        "cpu_s_of_servers_meanwhile": spent["servers"],
        "trials": trials[0],
        "weeks_trained": trained[0],
        "seconds_of_trials_and_training": round(trials[1] + trained[1], 1),
        "tasks_started": sorted(tasks),
    }


_MARKS = (("trial", "at"), ("materialization", "created_at"))


def _morning_after(week: dt.date) -> str:
    return dt.datetime.combine(week + dt.timedelta(7), dt.time(7), dt.UTC).isoformat()


def _wait(client: Client, run: str) -> None:
    """Wait until a run waits for an approver."""
    end = time.monotonic() + LONGEST
    while time.monotonic() < end:
        states = {each["task_id"]: each["state"] for each in client.tasks("demand_model", run)}
        if states[APPROVE] == "awaiting_input":
            return
        if client.run("demand_model", run)["state"] in FINISHED:
            raise SystemExit(f"the run ended without asking: {states}")
        time.sleep(0.5)


def _cpu(services: Services) -> dict[str, float]:
    """Return the CPU seconds so far of what the scheduler has started, and of everything else."""
    spent = {"tasks": 0.0, "servers": 0.0}
    for process in services.processes:
        try:
            words, times = process.cmdline(), process.cpu_times()
            below = any("scheduler" in each.cmdline() for each in process.parents()[:3])
        except psutil.NoSuchProcess:
            continue
        is_scheduler = "scheduler" in words and not below
        own = times.user + times.system
        ended = times.children_user + times.children_system
        spent["servers" if is_scheduler or not below else "tasks"] += own
        spent["tasks" if is_scheduler or below else "servers"] += ended
    return spent


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--landing", default=os.environ.get("TIDEMARK_TEST_DATA"), help="folder of real deliveries")
    parser.add_argument("--week", type=dt.date.fromisoformat, default=dt.date(2011, 6, 20), help="its Monday")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tidemark-benchmark-") as made:
        folder = Path(made)
        landing = folder / "landing"
        if options.landing:
            for source in ("orders", "fx_rates"):
                shutil.copytree(Path(options.landing) / source, landing / source)
        else:
            simulate(landing, days=212, until=LAST_DAY)
        json.dump(measure(folder, landing, options.week), sys.stdout, indent=2)
    print()


if __name__ == "__main__":
    main()
