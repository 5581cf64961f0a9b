"""Waiting for Airflow, with a word on the screen all the while; and what it has to say when a run goes wrong."""

import time
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from typing import Any, TypeVar
from urllib.parse import quote

import httpx

from demo.client import FINISHED, ApiError, Client
from demo.services import Services

APPEARS_WITHIN = STARTS_WITHIN = 90.0
ENDS_WITHIN = 1800.0
"""Seconds after which a DAG, a run's start or its end is waited for no longer."""
LOOK_EVERY = 0.4
_LAST_LINES = 15

Found = TypeVar("Found")

Run = dict[str, Any]
"""A DAG run, as Airflow's API tells it."""

Look = Callable[[], None]
"""Is called at each look, to show how far things are."""


class WatchError(Exception):
    """What is waited for does not come; says what, and where to look."""


class Watch:
    """Looks at one running Airflow.

    Args:
        services: what runs; whatever is waited for, it is an error if one of them ends.
        client: its API.

    """

    def __init__(self, services: Services, client: Client) -> None:
        self._services = services
        self._client = client

    def appears(self, dag: str, look: Look) -> None:
        """Wait for a DAG, and let it run by itself. Raises WatchError if it does not come."""

        def there() -> bool:
            found = self._client.dags().get(dag)
            return found is not None and not found["is_stale"]

        def late() -> str:
            errors = "".join(f"\n{file}: {error}" for file, error in self._client.import_errors().items())
            log = self._services.log("dag-processor")
            return f"The DAG {dag} has not appeared after {APPEARS_WITHIN:g} s; see {log}.{errors}"

        self._wait(there, APPEARS_WITHIN, late, look)
        self._client.unpause(dag)

    def by_arrival(self, dag: str, since: datetime, look: Look) -> Run:
        """Wait for the run that an arrival starts, to its end. Raises WatchError if none does."""

        def found() -> Run | None:
            return next((run for run in self._client.runs(dag) if _started_by_arrival(run, since)), None)

        def late() -> str:
            log = self._services.log("triggerer")
            return f"No run of {dag} has started {STARTS_WITHIN:g} s after the delivery; see {log}"

        started = self._wait(found, STARTS_WITHIN, late, look)
        return self.ends(dag, str(started["dag_run_id"]), look)

    def by_hand(self, dag: str, look: Look) -> Run:
        """Press the button, and wait for the run to its end."""
        return self.ends(dag, self._client.trigger(dag), look)

    def ends(self, dag: str, run: str, look: Look) -> Run:
        """Wait for a run's end. Raises WatchError if it does not end."""

        def ended() -> Run | None:
            now = self._client.run(dag, run)
            return now if now["state"] in FINISHED else None

        return self._wait(ended, ENDS_WITHIN, lambda: self._open(dag, run), look)

    def quiet(self, dag: str, look: Look) -> None:
        """Wait until no run of a DAG is under way or about to be."""

        def none() -> bool:
            return all(run["state"] in FINISHED for run in self._client.runs(dag)[:20])

        self._wait(none, ENDS_WITHIN, lambda: f"The runs of {dag} do not come to an end", look)

    def end_leftovers(self, before: datetime) -> None:
        """Fail the runs that started before a moment and still count as under way: their workers are gone."""
        for dag in self._client.dags():
            for run in self._client.runs(dag):
                if run["state"] == "running" and datetime.fromisoformat(run["start_date"]) < before:
                    self._client.request("PATCH", _path(dag, run["dag_run_id"]), json={"state": "failed"})

    def ran(self, dag: str, run: Run) -> tuple[set[str], set[str]]:
        """Return the tasks of a run that a worker was started for, and those of them that failed."""
        tasks = self._client.tasks(dag, run["dag_run_id"])
        ended, failed = (
            {task["task_id"] for task in tasks if task["state"] in some} for some in (FINISHED, {"failed"})
        )
        return ended, failed

    def why_failed(self, dag: str, run: Run) -> str:
        """Return the end of the log of the first task that failed, and where it is."""
        tasks = [task for task in self._client.tasks(dag, run["dag_run_id"]) if task["state"] == "failed"]
        if not tasks:
            return f"the run {run['dag_run_id']} is {run['state']}, though no task of it failed"
        first = min(tasks, key=lambda task: str(task["end_date"]))
        attempt, index = max(1, first["try_number"]), first["map_index"]
        name = f"attempt={attempt}.log"
        folder = f"dag_id={dag}/run_id={run['dag_run_id']}/task_id={first['task_id']}"
        path = self._services.folder / "airflow" / "logs" / folder
        path = path / name if index < 0 else path / f"map_index={index}" / name
        lines: list[str] = []
        with suppress(ApiError, httpx.HTTPError):
            text = self._client.log(dag, run["dag_run_id"], first["task_id"], attempt, index)
            lines = [line for line in text.splitlines() if not line.startswith("::")]
        end = "\n".join(f"  {line}" for line in lines[-_LAST_LINES:])
        return f"the task {first['task_id']} failed. The end of its log, {path}:\n{end}"

    def _open(self, dag: str, run: str) -> str:
        tasks = self._client.tasks(dag, run)
        open_tasks = ", ".join(f"{task['task_id']}: {task['state']}" for task in tasks if task["state"] not in FINISHED)
        return f"The run {run} of {dag} has not ended after {ENDS_WITHIN:g} s: {open_tasks}"

    def _wait(self, wanted: Callable[[], Found | None], within: float, late: Callable[[], str], look: Look) -> Found:
        """Look until there is what is wanted; a request that fails on a busy machine is made again."""
        end = time.monotonic() + within
        while True:
            self._services.check()
            trouble = ""
            try:
                found = wanted()
                look()
            except (ApiError, httpx.HTTPError) as problem:
                found, trouble = None, f" ({problem})"
            if found:
                return found
            if time.monotonic() > end:
                raise WatchError(late() + trouble)
            time.sleep(LOOK_EVERY)


def _started_by_arrival(run: Run, since: datetime) -> bool:
    """Whether a run looked into the landing zone after a moment, and because of what arrived."""
    started = run["start_date"]
    return run["run_type"] == "asset_triggered" and bool(started) and datetime.fromisoformat(started) > since


def _path(dag: str, run: str) -> str:
    return f"/dags/{quote(dag)}/dagRuns/{quote(run, safe='')}"
