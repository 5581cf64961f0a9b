"""What people try to do in Airflow, and how each is asked of its API: the rows of the table in docs/security.md.

An attempt that is allowed must harm nobody, for every role makes every one: DAGs are paused, so that what is started
waits; what is removed is not there; what is made has a body that Airflow refuses after it has looked at who asks.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import httpx

PAGE = Path(__file__).parents[2] / "docs" / "security.md"
_REFUSED = (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN)

PIPELINE, WITH_MODEL = "staffing", "guests"


@dataclass(frozen=True)
class Somebody:
    """A signed-in user who tries things.

    Attributes:
        http: a client with a token, or without one.
        run: a run of the pipeline that has ended.

    """

    http: httpx.Client
    run: str

    def may(self, method: str, path: str, json: object = None) -> bool:
        """Ask, and return whether it was allowed; whatever else is wrong with it, nothing may break."""
        answer = self.http.request(method, path, json=json)
        assert answer.status_code < 500, f"{method} {path}: {answer.status_code} {answer.text[:500]}"
        return answer.status_code not in _REFUSED

    def api(self, method: str, path: str, json: object = None) -> bool:
        """Ask Airflow's API."""
        return self.may(method, f"/api/v2{path}", json)

    def starts(self, dag: str) -> bool:
        """Start a run of a DAG; a form's answers do not fit it."""
        return self.api("POST", f"/dags/{dag}/dagRuns", {"logical_date": None, "conf": {"no": "answer"}})

    def pauses(self, dag: str) -> bool:
        """Pause a DAG, which is paused already."""
        return self.api("PATCH", f"/dags/{dag}", {"is_paused": True})

    def clears(self, dag: str, run: str) -> bool:
        """See what would be cleared: who may not clear may not see that either."""
        return self.api("POST", f"/dags/{dag}/clearTaskInstances", {"dry_run": True, "dag_run_id": run})

    def answers(self, dag: str) -> bool:
        """Answer what no run has asked."""
        path = f"/dags/{dag}/dagRuns/none/taskInstances/none/-1/hitlDetails"
        return self.api("PATCH", path, {"chosen_options": ["Approve"], "params_input": {}})


def _of_run(rest: str) -> Callable[[Somebody], str]:
    return lambda who: f"/dags/{PIPELINE}/dagRuns/{who.run}{rest}"


def _gets(path: str) -> Callable[[Somebody], bool]:
    return lambda who: who.api("GET", path)


def _gets_of_run(rest: str) -> Callable[[Somebody], bool]:
    where = _of_run(rest)
    return lambda who: who.api("GET", where(who))


def _posts(path: str) -> Callable[[Somebody], bool]:
    return lambda who: who.api("POST", path, {"nothing": "that it knows"})


_MARKED = {"new_state": "success"}

ACTIONS: dict[str, Callable[[Somebody], bool]] = {
    "see DAGs, runs and tasks": lambda who: all(
        [who.api("GET", path) for path in ("/dags", f"/dags/{PIPELINE}/dagRuns", _of_run("/taskInstances")(who))]
    ),
    "see what a task handed on (XComs)": _gets_of_run("/taskInstances/verdict/xcomEntries"),
    "see DAG files that cannot be imported": _gets("/importErrors"),
    "read a task's log": _gets_of_run("/taskInstances/verdict/logs/1"),
    "read a DAG's code": _gets(f"/dagSources/{PIPELINE}"),
    "see assets and their events": lambda who: all([who.api("GET", path) for path in ("/assets", "/assets/events")]),
    "find the reports in the menu, and read them": lambda who: all(
        [who.api("GET", "/plugins"), who.may("GET", "/tidemark/reports")]
    ),
    "see what waits for an approver": _gets("/dags/~/dagRuns/~/hitlDetails"),
    "see pools": _gets("/pools"),
    "start a run of a pipeline": lambda who: who.starts(PIPELINE),
    "clear a pipeline's tasks": lambda who: who.clears(PIPELINE, who.run),
    "mark a pipeline's tasks": lambda who: who.api(
        "PATCH", _of_run("/taskInstances/verdict/dry_run")(who), {"new_state": "success"}
    ),
    "pause a pipeline": lambda who: who.pauses(PIPELINE),
    "pause a pipeline with a model": lambda who: who.pauses(WITH_MODEL),
    "start a form of incidents": lambda who: who.starts("acknowledge_incident"),
    "pause a form of incidents": lambda who: who.pauses("acknowledge_incident"),
    "answer whether a model is to be champion": lambda who: who.answers(WITH_MODEL),
    "start the form that rolls a model back": lambda who: who.starts("rollback_model"),
    "say that an asset has changed": _posts("/assets/events"),
    "delete a run": lambda who: who.api("DELETE", f"/dags/{PIPELINE}/dagRuns/none"),
    "delete a DAG": lambda who: who.api("DELETE", "/dags/none"),
    "change an XCom": lambda who: who.api("DELETE", _of_run("/taskInstances/verdict/xcomEntries/none")(who)),
    "change pools": _posts("/pools"),
    "see connections": _gets("/connections"),
    "change connections": _posts("/connections"),
    "see variables": _gets("/variables"),
    "change variables": _posts("/variables"),
    "see the configuration": _gets("/config"),
    "see Airflow's audit log": _gets("/eventLogs"),
    "see users and roles": lambda who: all(
        [who.may("GET", path) for path in ("/auth/fab/v1/users", "/auth/fab/v1/roles")]
    ),
    "change users and roles": lambda who: any(
        [who.may("POST", path, {"nothing": "known"}) for path in ("/auth/fab/v1/users", "/auth/fab/v1/roles")]
    ),
}
"""Each asks Airflow, and returns whether it was allowed."""


def table(name: str = "roles") -> dict[str, dict[str, bool]]:
    """Return what a table of the page says: by action and role, whether it may be."""
    text = PAGE.read_text().partition(f"<!-- tried: {name} -->")[2]
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in re.match(r"\s*((?:\|.*\|\n)+)", text)[1].splitlines()  # type: ignore[index]
    ]
    (_, *roles), _, *said = rows
    known = {"yes": True, "–": False}
    return {action: {role: known[cell] for role, cell in zip(roles, cells, strict=True)} for action, *cells in said}
