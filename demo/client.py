"""Airflow's REST API, as far as the demo and the end-to-end tests need it: clicks in the UI, done by a program."""

import time
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import httpx

FINISHED = frozenset({"success", "failed"})


class ApiError(Exception):
    """Airflow's API refused a request; says which, and Airflow's own words."""


class Client:
    """A signed-in user of one Airflow.

    Args:
        url: where the API server is, such as `http://127.0.0.1:8080`.
        user: the name to sign in with.
        password: that user's password.

    """

    def __init__(self, url: str, user: str, password: str) -> None:
        self._user, self._password = user, password
        # A proxy has no business between two processes of one machine.
        self._http = httpx.Client(base_url=url, timeout=60, trust_env=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()

    def request(self, method: str, path: str, **options: Any) -> Any:
        """Call `/api/v2` + path, signing in first where needed; return the decoded answer. Raises ApiError."""
        if "Authorization" not in self._http.headers:
            self._sign_in()
        answer = self._http.request(method, f"/api/v2{path}", **options)
        if answer.status_code == httpx.codes.UNAUTHORIZED:
            self._sign_in()
            answer = self._http.request(method, f"/api/v2{path}", **options)
        if answer.is_error:
            raise ApiError(f"{method} {path} as {self._user}: {answer.status_code} {answer.text[:500]}")
        return answer.json() if answer.content else None

    def _sign_in(self) -> None:
        answer = self._http.post("/auth/token", json={"username": self._user, "password": self._password})
        if answer.is_error:
            raise ApiError(f"cannot sign in as {self._user}: {answer.status_code} {answer.text[:500]}")
        self._http.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"

    def _pages(self, path: str, items: str, **params: Any) -> Iterator[dict[str, Any]]:
        """Every item of a list that Airflow answers in pages."""
        offset = 0
        while True:
            page = self.request("GET", path, params={**params, "limit": 100, "offset": offset})
            yield from page[items]
            offset += len(page[items])
            if not page[items] or offset >= page["total_entries"]:
                return

    def dags(self) -> dict[str, dict[str, Any]]:
        """Every DAG by its id, the paused and the stale ones too."""
        return {dag["dag_id"]: dag for dag in self._pages("/dags", "dags", exclude_stale=False)}

    def unpause(self, dag: str) -> None:
        """Let a DAG run by itself."""
        self.request("PATCH", f"/dags/{quote(dag)}", json={"is_paused": False})

    def pause(self, dag: str) -> None:
        """Keep a DAG from running by itself."""
        self.request("PATCH", f"/dags/{quote(dag)}", json={"is_paused": True})

    def import_errors(self) -> dict[str, str]:
        """The import errors that the UI shows: file name -> message."""
        return {error["filename"]: error["stack_trace"] for error in self._pages("/importErrors", "import_errors")}

    def trigger(self, dag: str, params: Mapping[str, object] | None = None) -> str:
        """Start a run with the given params; return its run id."""
        body = {"logical_date": None, "conf": dict(params or {})}
        return str(self.request("POST", f"/dags/{quote(dag)}/dagRuns", json=body)["dag_run_id"])

    def runs(self, dag: str) -> list[dict[str, Any]]:
        """The runs of a DAG, the newest first."""
        return list(self._pages(f"/dags/{quote(dag)}/dagRuns", "dag_runs", order_by="-id"))

    def run(self, dag: str, run: str) -> dict[str, Any]:
        """One run, as Airflow tells it."""
        return dict(self.request("GET", self._run_path(dag, run)))

    def wait_run(self, dag: str, run: str, timeout: float = 300) -> dict[str, Any]:
        """Wait until a run has ended, and return it.

        Raises:
            TimeoutError: if it has not ended after `timeout` seconds; names the tasks that have not.

        """
        end = time.monotonic() + timeout
        while (found := self.run(dag, run))["state"] not in FINISHED:
            if time.monotonic() > end:
                open_tasks = [
                    f"{t['task_id']}: {t['state']}" for t in self.tasks(dag, run) if t["state"] not in FINISHED
                ]
                raise TimeoutError(f"{dag} {run} is {found['state']} after {timeout:g} s: {', '.join(open_tasks)}")
            time.sleep(0.2)
        return found

    def tasks(self, dag: str, run: str) -> list[dict[str, Any]]:
        """The task instances of a run, mapped ones each for itself."""
        return list(self._pages(f"{self._run_path(dag, run)}/taskInstances", "task_instances"))

    def mark(self, dag: str, run: str, task: str, state: str, map_index: int = -1) -> None:
        """Mark a task instance as `failed` or `success`; one that runs is ended."""
        path = f"{self._run_path(dag, run)}/taskInstances/{quote(task)}"
        path += f"/{map_index}" if map_index >= 0 else ""
        self.request("PATCH", path, json={"new_state": state})

    def log(self, dag: str, run: str, task: str, attempt: int = 1, map_index: int = -1) -> str:
        """The log of one attempt of a task instance, as lines of text."""
        path = f"{self._run_path(dag, run)}/taskInstances/{quote(task)}/logs/{attempt}"
        content = self.request("GET", path, params={"map_index": map_index, "full_content": True})["content"]
        return "\n".join(line if isinstance(line, str) else _line(line) for line in content)

    def xcom(self, dag: str, run: str, task: str, key: str = "return_value", map_index: int = -1) -> Any:
        """What a task handed on under a key."""
        path = f"{self._run_path(dag, run)}/taskInstances/{quote(task)}/xcomEntries/{quote(key)}"
        return self.request("GET", path, params={"map_index": map_index, "deserialize": True})["value"]

    def question(self, dag: str, run: str, task: str) -> dict[str, Any] | None:
        """What a task that waits for a person asks, and what was answered; None: it asks nothing yet."""
        try:
            return dict(self.request("GET", self._question_path(dag, run, task)))
        except ApiError as problem:
            if " 404 " in str(problem):
                return None
            raise

    def answer(self, dag: str, run: str, task: str, option: str, **values: object) -> None:
        """Answer what a task asks, with one of its options and the fields of its form. Raises ApiError."""
        body = {"chosen_options": [option], "params_input": values}
        self.request("PATCH", self._question_path(dag, run, task), json=body)

    def _question_path(self, dag: str, run: str, task: str) -> str:
        return f"{self._run_path(dag, run)}/taskInstances/{quote(task)}/-1/hitlDetails"

    def asset_events(self, **filters: object) -> list[dict[str, Any]]:
        """The asset events, the newest first; filters are the API's, such as `source_run_id`."""
        return list(self._pages("/assets/events", "asset_events", order_by="-timestamp", **filters))

    @staticmethod
    def _run_path(dag: str, run: str) -> str:
        return f"/dags/{quote(dag)}/dagRuns/{quote(run, safe='')}"


def _line(entry: Mapping[str, Any]) -> str:
    """One structured log entry as text: its message, then an exception's type and words where it has one."""
    errors = [f"{error.get('exc_type')}: {error.get('exc_value')}" for error in entry.get("error_detail") or []]
    return "\n".join([str(entry.get("event", "")), *errors])
