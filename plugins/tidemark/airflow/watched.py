"""What the watch asks of Airflow: do its processes live, can its DAGs be imported and run, and were its runs judged?

All of it is asked of the API server, as anybody could: the watch needs no access to Airflow's database.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

from tidemark.airflow.context import TOLD, run_name
from tidemark.airflow.operators import PLAN, VERDICT, search_steps_of, steps_of
from tidemark.airflow.rest import Api
from tidemark.deployment import Deployment
from tidemark.errors import Unavailable
from tidemark.incidents.classes import CauseClass, Severity
from tidemark.incidents.conditions import Condition
from tidemark.ledger import heartbeats, incidents, registry, validations
from tidemark.ledger.incidents import Incident
from tidemark.watching.checks import Found, of_cause
from tidemark.watching.standing import heartbeat_name

API_SERVER, SCHEDULER = "api-server", "scheduler"
DATABASE = "Airflow's database"

# What its health tells of each process, beside the names that people start them by.
_PROCESSES = {SCHEDULER: "scheduler", "triggerer": "triggerer", "dag-processor": "dag_processor"}

_DOES = {
    API_SERVER: "no task can start or end, and nobody can look or answer",
    SCHEDULER: "no run is started and no task goes on",
    "triggerer": "deliveries start no run before the next scheduled one, and answers of approvers are not taken",
    "dag-processor": "changes to DAG files are not seen",
}

_STUCK = timedelta(minutes=5)
"""So long a run may wait though nothing keeps it from being started."""

_AT_FIRST = timedelta(days=1)
"""So far a watch looks back that has never looked at runs before."""

_OVERLAP = timedelta(minutes=1)

_TAG = "tidemark"


@dataclass(frozen=True)
class Airflow:
    """One Airflow, as it is watched.

    Attributes:
        api: its API, signed in.
        url: where people look at it.
        deployment: where it is remembered what was seen.
        grace: for how many seconds a process may show no sign of life.

    """

    api: Api
    url: str
    deployment: Deployment
    grace: float

    # -- processes

    def processes(self, now: datetime | None = None) -> Found:
        """Find every process that shows no sign of life, and a scheduler that lives and does not schedule.

        A process that has never given one is not missed: not every Airflow has all of them.

        Raises:
            Unavailable: the API server does not answer, and has not for long; or the ledger cannot be used.
            Refused: the user may not see it.

        """
        instant = now or datetime.now(UTC)
        try:
            health = self.api.health()
        except Unavailable as problem:
            return self._silent(instant, str(problem))
        self._remember(_API, {})
        if health["metadatabase"]["status"] != "healthy":
            wrong = Condition(
                CauseClass.UNREACHABLE,
                "",
                DATABASE,
                f"{DATABASE} {CauseClass.UNREACHABLE.said.title}",
                instead="everything that was live before",
                happened=0,
            )
            # Nothing that it says of its processes is known to be so.
            return Found((wrong,), of_cause(CauseClass.UNREACHABLE, [DATABASE]))
        conditions = [
            _missing(name, at)
            for name, key in _PROCESSES.items()
            if (at := _instant(health[key][f"latest_{key}_heartbeat"])) is not None
            and (instant - at).total_seconds() > self.grace
        ]
        if not any(each.asset == SCHEDULER for each in conditions):
            conditions += self._stuck(instant)
        return Found(tuple(conditions), _of_processes)

    def _silent(self, now: datetime, problem: str) -> Found:
        """Find an API server that has not answered for long; what it does not say, nobody sees."""
        since = _instant(self._recall(_API).get("since"))
        if since is None:
            self._remember(_API, {"since": now.isoformat()})
        if since is None or (now - since).total_seconds() < self.grace:
            raise Unavailable(problem)
        wrong = _missing(API_SERVER, None, problem)
        return Found((wrong,), of_cause(CauseClass.HEARTBEAT_MISSING, [API_SERVER]))

    def _stuck(self, now: datetime) -> list[Condition]:
        """Find what waits for a scheduler that says it is well: runs that are due, or queued though none runs."""
        # Of a DAG that cannot be imported no run is started, and that has an incident of its own.
        dags = {each["dag_id"]: each for each in self._dags(paused=False) if not each["has_import_errors"]}
        waits = [
            f"{name}: no run was started at {each['next_dagrun_run_after']}"
            for name, each in dags.items()
            if _is_old(each["next_dagrun_run_after"], now) and not self._has_active(name)
        ]
        queued = self.api.all("/dags/~/dagRuns", "dag_runs", state="queued")
        waits += [
            f"{run['dag_id']}: the run {run['dag_run_id']} waits since {run['queued_at']}"
            for run in queued
            if run["dag_id"] in dags and _is_old(run["queued_at"], now) and not self._runs(run["dag_id"])
        ]
        if not waits:
            return []
        summary = f"the {SCHEDULER} says that it is well, and does not schedule"
        return [_process(SCHEDULER, summary, "; ".join(waits[:3]))]

    def _has_active(self, dag: str) -> bool:
        path = f"/dags/{quote(dag)}/dagRuns"
        return bool(self.api.get(path, state=["queued", "running"], limit=1)["dag_runs"])

    def _runs(self, dag: str) -> bool:
        return bool(self.api.get(f"/dags/{quote(dag)}/dagRuns", state="running", limit=1)["dag_runs"])

    # -- DAGs

    def broken(self) -> Found:
        """Find every file of our bundles that cannot be imported.

        Raises:
            Unavailable: the API server does not answer.
            Refused: the user may not see it.

        """
        ours = list(self._dags(exclude_stale=False))
        bundles = {each["bundle_name"] for each in ours}
        errors = self.api.all("/importErrors", "import_errors")
        # Before any DAG of ours was ever imported, whatever is broken may be ours.
        wrong = tuple(_broken(each, ours) for each in errors if not bundles or each["bundle_name"] in bundles)
        return Found(wrong, of_cause(CauseClass.DAG_BROKEN))

    def paused(self) -> Found:
        """Find every DAG of ours that is paused and has a schedule; who means it silences that.

        Raises:
            Unavailable: the API server does not answer.
            Refused: the user may not see it.

        """
        wrong = tuple(
            Condition(
                CauseClass.DAG_PAUSED,
                each["dag_id"],
                "",
                f"{each['dag_id']}: {CauseClass.DAG_PAUSED.said.title}, and has a schedule",
                why=each["timetable_summary"],
                instead="everything that was live before; deliveries are not looked at",
                owner=_owner(each),
                link=f"{self.url}/dags/{each['dag_id']}",
                happened=0,
            )
            for each in self._dags(paused=True)
            if each["timetable_summary"]
        )
        return Found(wrong, of_cause(CauseClass.DAG_PAUSED))

    def _dags(self, **asked: Any) -> Iterable[dict[str, Any]]:
        return self.api.all("/dags", "dags", tags=_TAG, **asked)

    # -- runs

    def unjudged(self, now: datetime | None = None) -> Found:
        """Find every pipeline whose newest run, if it ended since the last look, has failed of what no verdict tells.

        Raises:
            Unavailable: the API server does not answer, or the ledger cannot be used.
            Refused: the user may not see it.

        """
        instant = now or datetime.now(UTC)
        known = self._recall(_RUNS)
        since, looked_at = _instant(known.get("since")) or instant - _AT_FIRST, set(known.get("looked_at", ()))
        ours = {each["dag_id"]: each for each in self._dags(exclude_stale=False)}
        ended = {_name_of(run): run for run in self._ended(since) if run["dag_id"] in ours}
        # A later run may have put right what was told of one that was looked at, and not have ended yet.
        newest = {run["dag_id"]: run for name, run in ended.items() if name not in looked_at}
        told = self._told_of()
        wrong = tuple(
            condition
            for name, run in newest.items()
            if run["state"] == "failed" and run["dag_run_id"] not in told
            for condition in self._untold(ours[name], run)
        )
        well = {name for name, run in newest.items() if run["state"] == "success"}
        # Ends become visible a little later than they are, and not in order.
        until = max([since, *(_ends(run) - _OVERLAP for run in ended.values())])
        kept = sorted(name for name, run in ended.items() if _ends(run) > until)
        return Found(
            wrong,
            lambda one: one.cause == CauseClass.RUN_FAILED and one.pipeline in well,
            lambda: self._remember(_RUNS, {"since": until.isoformat(), "looked_at": kept}),
        )

    def _told_of(self) -> set[str]:
        """Return the runs of which an open incident tells already, with what their own verdict knew of them."""
        with self.deployment.ledger.read() as connection:
            known = incidents.open_ones(connection, self.deployment.environment)
        links = (str(one.detail.get("link", "")) for one in known if one.cause == CauseClass.RUN_FAILED)
        return {link.rpartition("/runs/")[2] for link in links}

    def _ended(self, since: datetime) -> Iterable[dict[str, Any]]:
        """Return the runs that ended since an instant, in the order of their ends."""
        asked = {"end_date_gt": since.isoformat(), "state": ["success", "failed"], "order_by": "end_date"}
        return self.api.all("/dags/~/dagRuns", "dag_runs", **asked)

    def _untold(self, dag: Mapping[str, Any], run: Mapping[str, Any]) -> Iterator[Condition]:
        """Yield what a run has failed of and nobody has told: no verdict, or tasks for which no verdict speaks."""
        path = f"/dags/{quote(run['dag_id'])}/dagRuns/{quote(run['dag_run_id'], safe='')}/taskInstances"
        states = {each["task_id"]: each["state"] for each in self.api.all(path, "task_instances")}
        if VERDICT not in states:  # no pipeline: a form
            return
        if not self._is_judged(path, states):
            why = "no incident says what came of it: a worker died or was ended, or its log has a mistake of ours"
            yield _failed(dag, run, self.url, "", f"{CauseClass.RUN_FAILED.said.title}: {run['dag_run_id']}", why)
            return
        steps: dict[str, list[str]] = {}
        for task in self._failed_steps(run, states):
            steps.setdefault(task.rpartition(".")[0], []).append(task)
        for about, tasks in steps.items():
            said = f"{' and '.join(tasks)} failed: {run['dag_run_id']}"
            asked = [steps_of(about)[1]] == tasks
            why = (
                "nobody has decided in time, or nobody could be asked" if asked else "it was ended, or its log says why"
            )
            found = _failed(dag, run, self.url, about, said, why)
            do = f"clear {' and '.join(tasks)} on the run's page to try again; no other run does that by itself"
            # The champion stays while nobody has decided.
            yield replace(found, do=do, severity=Severity.WARNING if asked else None)

    def _is_judged(self, path: str, states: Mapping[str, str]) -> bool:
        """Return whether incidents say what a run that failed came to: its verdict leaves word of that."""
        if states[VERDICT] == "skipped":
            return states.get(PLAN) == "success"
        return states[VERDICT] == "success" or self.api.is_there(f"{path}/{VERDICT}/xcomEntries/{TOLD}")

    def _failed_steps(self, run: Mapping[str, Any], states: Mapping[str, str]) -> list[str]:
        """Return the tasks that failed, beside those for which a verdict speaks and what is told elsewhere."""
        with self.deployment.ledger.read() as connection:
            known = registry.assets(connection)
            opened = incidents.open_ones(connection, self.deployment.environment)
            invalid = validations.failed_in(connection, run_name(run["dag_id"], run["dag_run_id"]))
        waiting = {one.asset for one in opened if one.cause == CauseClass.APPROVAL_WAITING}
        told = {
            PLAN,
            VERDICT,
            *known,
            *(steps_of(name)[0] for name in invalid),
            *(steps_of(name)[1] for name in waiting),
        }
        for name in known:  # what of a search was not done, the model's own task does
            told.update(search_steps_of(name))
        return sorted(task for task, state in states.items() if state == "failed" and task not in told)

    # -- what is kept in mind

    def _recall(self, what: str) -> dict[str, Any]:
        with self.deployment.ledger.read() as connection:
            found = heartbeats.read(connection, heartbeat_name(self.deployment.environment))
        return dict(found.detail.get(what, {})) if found else {}

    def _remember(self, what: str, detail: Mapping[str, Any]) -> None:
        if self._recall(what) != detail:
            with self.deployment.ledger.write() as connection:
                heartbeats.remember(connection, heartbeat_name(self.deployment.environment), what, dict(detail))


_API, _RUNS = "silence of the API server", "runs"


def _failed(dag: Mapping[str, Any], run: Mapping[str, Any], url: str, about: str, said: str, why: str) -> Condition:
    name = run["dag_id"]
    return Condition(
        CauseClass.RUN_FAILED,
        name,
        about,
        f"{name}: {said}",
        why=why,
        instead="everything that was live before, and what the run had published by then",
        owner=_owner(dag),
        link=f"{url}/dags/{name}/runs/{run['dag_run_id']}",
    )


def _of_processes(one: Incident) -> bool:
    if one.cause == CauseClass.UNREACHABLE:
        return one.asset == DATABASE
    return one.cause == CauseClass.HEARTBEAT_MISSING and one.asset in (API_SERVER, *_PROCESSES)


def _missing(name: str, at: datetime | None, problem: str = "") -> Condition:
    why = problem or f"its last one was given {at:%Y-%m-%d %H:%M:%S} UTC"
    return _process(name, f"the {name} {CauseClass.HEARTBEAT_MISSING.said.title}", why)


def _process(name: str, summary: str, why: str) -> Condition:
    return Condition(
        CauseClass.HEARTBEAT_MISSING,
        "",
        name,
        summary,
        why=f"{why}; meanwhile {_DOES[name]}",
        instead="everything that was live before",
        happened=0,
    )


def _broken(error: Mapping[str, Any], dags: Iterable[Mapping[str, Any]]) -> Condition:
    file = error["filename"]
    lost = [each for each in dags if each["relative_fileloc"] == file and each["bundle_name"] == error["bundle_name"]]
    lines = [line for line in error["stack_trace"].splitlines() if line.strip()]
    names = sorted(each["dag_id"] for each in lost)
    return Condition(
        CauseClass.DAG_BROKEN,
        names[0] if len(names) == 1 else "",
        file,
        f"{file}: {CauseClass.DAG_BROKEN.said.title}" + (f", so {' and '.join(names)} cannot run" if names else ""),
        why=lines[-1].strip() if lines else "",
        instead="everything that was live before; nothing of it is computed",
        owner=_owner(lost[0]) if lost else "",
        happened=0,
    )


def _owner(dag: Mapping[str, Any]) -> str:
    """Return the owner of a DAG, if it has one: Airflow names those of its tasks."""
    owners = [each for each in dag["owners"] if each not in ("nobody", "airflow")]
    return owners[0] if owners else ""


def _instant(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def _name_of(run: Mapping[str, Any]) -> str:
    return f"{run['dag_id']}/{run['dag_run_id']}"


def _ends(run: Mapping[str, Any]) -> datetime:
    return _instant(run["end_date"]) or datetime.fromtimestamp(0, UTC)


def _is_old(text: str | None, now: datetime) -> bool:
    at = _instant(text)
    return at is not None and now - at > _STUCK
