"""What the watch makes of Airflow's answers; a real Airflow gives them in tests/end_to_end/test_watch.py."""

import json
import threading
from collections.abc import Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

from tests.incidents.story import open_incidents
from tests.scenario import Shop
from tests.watching.watched import instant
from tidemark.airflow.rest import Api
from tidemark.airflow.watched import Airflow
from tidemark.errors import Refused, Unavailable
from tidemark.incidents.classes import CauseClass
from tidemark.incidents.conditions import Condition
from tidemark.watching.checks import Found, act_on, of_cause

NOW = instant("2025-01-08T12:00")


def ago(**options: float) -> str:
    return (NOW - timedelta(**options)).isoformat()


def dag(name: str, **options: Any) -> dict[str, Any]:
    return {
        "dag_id": name,
        "is_paused": False,
        "owners": ["pricing"],
        "bundle_name": "dags-folder",
        "relative_fileloc": f"{name}.py",
        "timetable_summary": "0 6 * * *",
        "has_import_errors": False,
        "next_dagrun_run_after": (NOW + timedelta(hours=18)).isoformat(),
        **options,
    }


def dag_run(name: str, number: int, state: str, **options: Any) -> dict[str, Any]:
    return {
        "dag_id": name,
        "dag_run_id": f"run {number}",
        "state": state,
        "end_date": ago(minutes=10 - number),
        **options,
    }


class Answers:
    """What an Airflow answers to one who is signed in: lists, by path; what is not there is not found."""

    def __init__(self) -> None:
        self.health: dict[str, Any] = {"metadatabase": {"status": "healthy"}}
        for name in ("scheduler", "triggerer", "dag_processor"):
            self.beats(name, ago(seconds=5))
        self.dags: list[dict[str, Any]] = [dag("prices")]
        self.runs: list[dict[str, Any]] = []
        self.errors: list[dict[str, Any]] = []
        self.tasks: dict[str, dict[str, str]] = {}
        self.judged: set[str] = set()
        self.password, self.token, self.signed_in = "secret", "t1", 0
        self.token_name = "access_token"

    def beats(self, name: str, at: str | None) -> None:
        self.health[name] = {"status": "any", f"latest_{name}_heartbeat": at}

    def answer(
        self, path: str, asked: dict[str, list[str]]
    ) -> tuple[str, list[dict[str, Any]]] | dict[str, Any] | None:
        match path.removeprefix("/api/v2").strip("/").split("/"):
            case ["dags"]:
                paused = asked.get("paused", [None])[0]
                return "dags", [each for each in self.dags if paused in (None, str(each["is_paused"]).lower())]
            case ["importErrors"]:
                return "import_errors", self.errors
            case ["dags", name, "dagRuns"]:
                since = asked.get("end_date_gt", [""])[0]
                return "dag_runs", [
                    run
                    for run in self.runs
                    if name in ("~", run["dag_id"])
                    and run["state"] in asked["state"]
                    and (run["end_date"] or "~") > since
                ]
            case ["dags", _, "dagRuns", run, "taskInstances"]:
                return "task_instances", [{"task_id": task, "state": state} for task, state in self.tasks[run].items()]
            case ["dags", _, "dagRuns", run, "taskInstances", "verdict", "xcomEntries", "told"]:
                return {"value": {}} if run in self.judged else None
        raise AssertionError(path)


@pytest.fixture
def answers() -> Answers:
    """An Airflow that is well, with one DAG that has never run."""
    return Answers()


@pytest.fixture
def address(answers: Answers) -> Iterator[str]:
    """Where it answers."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            given = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            answers.signed_in += 1
            well = given == {"username": "watch", "password": answers.password}
            self.say(201 if well else 401, {answers.token_name: answers.token} if well else {})

        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            path, asked = unquote(parts.path), parse_qs(parts.query)
            if path == "/api/v2/monitor/health":
                return self.say(200, answers.health)
            if self.headers["Authorization"] != f"Bearer {answers.token}":
                return self.say(401, {})
            found = answers.answer(path, asked)
            if found is None:
                return self.say(404, {})
            if isinstance(found, dict):
                return self.say(200, found)
            items, every = found
            first, most = (
                int(asked.get(name, [otherwise])[0]) for name, otherwise in (("offset", "0"), ("limit", "50"))
            )
            return self.say(200, {items: every[first : first + most], "total_entries": len(every)})

        def say(self, code: int, what: object) -> None:
            body = json.dumps(what).encode()
            self.send_response(code)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def airflow(shop: Shop, address: str) -> Iterator[Airflow]:
    """The same, as it is watched."""
    with shop.deployment() as deployment:
        yield Airflow(Api(address, "watch", "secret"), "http://airflow.test", deployment, 60)


def looked(airflow: Airflow, found: Found) -> list[str]:
    return [line.partition(": ")[0] for line in act_on(airflow.deployment, found)]


# -- processes


def test_a_process_is_missed_after_the_grace_and_one_that_never_was_is_not(airflow: Airflow, answers: Answers) -> None:
    """Whatever Airflow itself makes of it."""
    answers.beats("scheduler", ago(seconds=59))
    answers.beats("triggerer", None)
    assert airflow.processes(NOW).conditions == ()
    answers.beats("scheduler", ago(seconds=61))
    (wrong,) = airflow.processes(NOW).conditions
    assert wrong.key == ("", "scheduler", "heartbeat_missing")
    assert wrong.why == (
        "its last one was given 2025-01-08 11:58:59 UTC; meanwhile no run is started and no task goes on"
    )


def test_an_api_server_that_does_not_answer_is_missed_after_the_grace(shop: Shop) -> None:
    """From the first look that found it silent, which is kept in mind for those that look by cron."""
    with shop.deployment() as deployment:
        silent = Airflow(Api("http://127.0.0.1:9", "watch", "secret"), "", deployment, 60)
        wrong = Condition(CauseClass.HEARTBEAT_MISSING, "", "scheduler", "it was gone before", happened=0)
        act_on(deployment, Found((wrong,), of_cause(CauseClass.HEARTBEAT_MISSING)))
        for seconds in (0, 59):
            with pytest.raises(Unavailable, match="does not answer: ConnectError"):
                silent.processes(NOW + timedelta(seconds=seconds))
        assert looked(silent, silent.processes(NOW + timedelta(seconds=60))) == [
            "incident 2 opened (heartbeat_missing)"
        ]
    # Nobody has seen the scheduler meanwhile.
    assert set(open_incidents(shop)) == {"scheduler heartbeat_missing", "api-server heartbeat_missing"}


def test_an_api_server_that_answers_again_was_silent_for_no_longer(airflow: Airflow, shop: Shop) -> None:
    """The next silence has a grace of its own."""
    silent = Airflow(Api("http://127.0.0.1:9", "watch", "secret"), "", airflow.deployment, 60)
    with pytest.raises(Unavailable):
        silent.processes(NOW)
    assert airflow.processes(NOW + timedelta(seconds=30)).conditions == ()
    with pytest.raises(Unavailable):
        silent.processes(NOW + timedelta(seconds=61))


def test_without_its_database_airflow_says_nothing_of_its_processes(airflow: Airflow, answers: Answers) -> None:
    """What it says of them then is not known to be so."""
    answers.health = {"metadatabase": {"status": "unhealthy"}}
    found = airflow.processes(NOW)
    assert [each.key for each in found.conditions] == [("", "Airflow's database", "unreachable")]
    assert looked(airflow, found) == ["incident 1 opened (unreachable)"]
    answers.__init__()  # type: ignore[misc]
    assert looked(airflow, airflow.processes(NOW)) == ["incident 1 resolved (unreachable)"]


@pytest.mark.parametrize(
    ("dags", "runs", "stands"),
    [
        ([dag("prices", next_dagrun_run_after=ago(minutes=6))], [], True),
        ([dag("prices", next_dagrun_run_after=ago(minutes=4))], [], False),
        ([dag("prices", next_dagrun_run_after=ago(minutes=6), is_paused=True)], [], False),
        ([dag("prices", next_dagrun_run_after=ago(minutes=6), has_import_errors=True)], [], False),
        (
            [dag("prices", next_dagrun_run_after=ago(minutes=6))],
            [dag_run("prices", 1, "running", end_date=None)],
            False,
        ),
        ([dag("prices", next_dagrun_run_after=None)], [], False),
        ([dag("prices")], [dag_run("prices", 1, "queued", queued_at=ago(minutes=6), end_date=None)], True),
        ([dag("prices")], [dag_run("prices", 1, "queued", queued_at=ago(minutes=4), end_date=None)], False),
        (
            [dag("prices")],
            [
                dag_run("prices", 1, "running", end_date=None),
                dag_run("prices", 2, "queued", queued_at=ago(minutes=6), end_date=None),
            ],
            False,
        ),
        ([dag("prices")], [dag_run("theirs", 1, "queued", queued_at=ago(minutes=6), end_date=None)], False),
    ],
)
def test_a_scheduler_that_lives_and_does_not_schedule_is_missed(
    airflow: Airflow, answers: Answers, dags: list[dict[str, Any]], runs: list[dict[str, Any]], stands: bool
) -> None:
    """It has let something wait for over five minutes that nothing else keeps waiting."""
    answers.dags, answers.runs = dags, runs
    assert [each.asset for each in airflow.processes(NOW).conditions] == ["scheduler"] * stands


# -- DAGs


def error(
    file: str, bundle: str = "dags-folder", text: str = "Traceback\n  ...\nNameError: no such name\n"
) -> dict[str, Any]:
    return {"filename": file, "bundle_name": bundle, "stack_trace": text}


def test_a_broken_file_is_told_with_its_dags_and_only_of_our_bundles(airflow: Airflow, answers: Answers) -> None:
    """Of a file that has one DAG the incident is that pipeline's, so that silences and routes find it."""
    answers.dags += [dag("two", relative_fileloc="both.py"), dag("three", relative_fileloc="both.py")]
    answers.errors = [error("prices.py"), error("both.py"), error("new.py"), error("theirs.py", "their-bundle")]
    assert [(each.pipeline, each.asset, each.summary, each.why) for each in airflow.broken().conditions] == [
        (
            "prices",
            "prices.py",
            "prices.py: a DAG file cannot be imported, so prices cannot run",
            "NameError: no such name",
        ),
        (
            "",
            "both.py",
            "both.py: a DAG file cannot be imported, so three and two cannot run",
            "NameError: no such name",
        ),
        ("", "new.py", "new.py: a DAG file cannot be imported", "NameError: no such name"),
    ]
    answers.dags = []
    assert len(airflow.broken().conditions) == 4  # nobody knows yet which are ours


def test_a_paused_dag_is_told_if_it_has_a_schedule(airflow: Airflow, answers: Answers) -> None:
    """The owner is that of its tasks, and nobody is none."""
    answers.dags = [
        dag("prices", is_paused=True),
        dag("form", is_paused=True, timetable_summary=None),
        dag("runs", owners=["nobody"]),
        dag("stock", is_paused=True, owners=["nobody"], timetable_summary="Asset"),
    ]
    assert [(each.pipeline, each.owner, each.link) for each in airflow.paused().conditions] == [
        ("prices", "pricing", "http://airflow.test/dags/prices"),
        ("stock", "", "http://airflow.test/dags/stock"),
    ]


# -- runs

KILLED = {"plan": "success", "prices": "success", "verdict": "failed"}


@pytest.mark.parametrize(
    ("tasks", "judged", "told"),
    [
        (KILLED, False, True),
        (KILLED, True, False),
        ({"plan": "failed", "verdict": "upstream_failed"}, False, True),
        ({"plan": "skipped", "verdict": "skipped"}, False, True),
        ({"plan": "success", "verdict": "skipped"}, False, False),
        ({"plan": "success", "verdict": "success"}, False, False),
        ({"rollback": "failed"}, False, False),
    ],
)
def test_a_run_that_failed_is_told_unless_a_verdict_has_spoken(
    airflow: Airflow, answers: Answers, tasks: dict[str, str], judged: bool, told: bool
) -> None:
    """Once, whatever one looks; a later run that is well is the all-clear."""
    answers.runs, answers.tasks = [dag_run("prices", 1, "failed")], {"run 1": tasks}
    answers.judged = {"run 1"} if judged else set()
    assert looked(airflow, airflow.unjudged(NOW)) == ["incident 1 opened (run_failed)"] * told
    assert looked(airflow, airflow.unjudged(NOW)) == []
    answers.runs.append(dag_run("prices", 2, "success"))
    assert looked(airflow, airflow.unjudged(NOW)) == ["incident 1 resolved (run_failed)"] * told


@pytest.mark.parametrize("verdict", ["success", "skipped"])
@pytest.mark.parametrize(
    ("failed", "said"),
    [
        (["model.validate"], {"model": "prices: model.validate failed: run 1"}),
        (["model.promote"], {"model": "prices: model.promote failed: run 1"}),
        (
            ["model.retrain", "report.announce"],
            {"model": "prices: model.retrain failed: run 1", "report": "prices: report.announce failed: run 1"},
        ),
        (["mine"], {"": "prices: mine failed: run 1"}),
    ],
)
def test_a_task_for_which_no_verdict_speaks_is_told_by_its_name(
    airflow: Airflow, answers: Answers, shop: Shop, verdict: str, failed: list[str], said: dict[str, str]
) -> None:
    """Once; what never ran because of it is no more news."""
    tasks = {"plan": "success", "prices": "success", "verdict": verdict, "model.later": "upstream_failed"}
    answers.runs = [dag_run("prices", 1, "failed")]
    answers.tasks = {"run 1": {**tasks, **dict.fromkeys(failed, "failed")}}
    assert len(looked(airflow, airflow.unjudged(NOW))) == len(said)
    assert looked(airflow, airflow.unjudged(NOW)) == []
    found = open_incidents(shop).values()
    assert {one.asset: one.summary for one in found} == said
    assert {(one.cause, one.severity) for one in found} == {("run_failed", "critical")}
    assert all(f"clear {one.asset}." in one.detail["do"] for one in found if one.asset)
    answers.runs.append(dag_run("prices", 2, "success"))
    looked(airflow, airflow.unjudged(NOW))
    assert open_incidents(shop) == {}


def test_a_question_that_nobody_has_answered_in_time_is_told_once(
    airflow: Airflow, answers: Answers, shop: Shop
) -> None:
    """By the candidate that waits, if that is told already."""
    answers.runs = [dag_run("prices", 1, "failed")]
    answers.tasks = {"run 1": {"plan": "success", "verdict": "success", "model.approve": "failed"}}
    waits = Condition(CauseClass.APPROVAL_WAITING, "shop", "model", "it waits", happened=0)
    act_on(airflow.deployment, Found((waits,), of_cause(CauseClass.APPROVAL_WAITING)))
    assert airflow.unjudged(NOW).conditions == ()
    act_on(airflow.deployment, Found((), of_cause(CauseClass.APPROVAL_WAITING)))
    assert looked(airflow, airflow.unjudged(NOW)) == ["incident 2 opened (run_failed)"]
    one = open_incidents(shop)["model run_failed"]
    assert (one.severity, one.detail["why"]) == (
        "warning",
        "nobody has decided in time, or nobody could be asked",
    )


def test_a_validation_that_fails_because_the_candidate_did_not_pass_is_no_more_news(
    airflow: Airflow, answers: Answers, shop: Shop
) -> None:
    """That is an incident of its own, of just that run; nor is what a search lacks, which the model makes up for."""
    from tests.models.selling import SALES, begin
    from tidemark.models.presenting import present

    begin(shop, SALES.replace("at_most(20", "at_most(1.5"))
    run = {"run": "airflow shop run 1", "actor": "schedule"}
    made = present(airflow.deployment, shop.pipelines["shop"], "demand", **run)
    assert made is not None
    assert not made.passed
    answers.dags = [dag("shop")]
    failed = dict.fromkeys(["demand.validate", "demand.trial", "demand.search", "demand"], "failed")
    tasks = {"plan": "success", "verdict": "success", **failed}
    answers.runs, answers.tasks = [dag_run("shop", 1, "failed")], {"run 1": tasks, "run 2": tasks}
    assert looked(airflow, airflow.unjudged(NOW)) == []
    answers.runs = [dag_run("shop", 2, "failed")]
    assert looked(airflow, airflow.unjudged(NOW)) == ["incident 2 opened (run_failed)"]
    assert open_incidents(shop)["demand run_failed"].summary == "shop: demand.validate failed: run 2"


def test_what_was_put_right_meanwhile_is_not_told_again(airflow: Airflow, answers: Answers) -> None:
    """The next run's plan resolves it before that run has ended."""
    answers.runs, answers.tasks = [dag_run("prices", 1, "failed")], {"run 1": KILLED}
    looked(airflow, airflow.unjudged(NOW))
    act_on(airflow.deployment, Found((), of_cause(CauseClass.RUN_FAILED)))
    assert looked(airflow, airflow.unjudged(NOW)) == []


def test_what_the_verdict_says_of_a_run_without_a_plan_stays(airflow: Airflow, answers: Answers, shop: Shop) -> None:
    """It knows why; the watch does not."""
    link = "http://airflow.test/dags/prices/runs/run 1"
    told = Condition(CauseClass.RUN_FAILED, "prices", "", "no plan could be made", why="it says why", link=link)
    act_on(airflow.deployment, Found((told,), of_cause(CauseClass.DRIFT)))
    answers.runs, answers.tasks = [dag_run("prices", 1, "failed")], {"run 1": {"plan": "failed", "verdict": "failed"}}
    assert looked(airflow, airflow.unjudged(NOW)) == []
    assert open_incidents(shop)[" run_failed"].detail["why"] == "it says why"


def test_a_failed_run_that_a_later_one_has_put_right_already_is_no_news(airflow: Airflow, answers: Answers) -> None:
    """Nor are runs of DAGs that are none of ours, nor those of the day before yesterday."""
    answers.runs = [
        dag_run("prices", 1, "failed"),
        dag_run("prices", 2, "success"),
        dag_run("theirs", 3, "failed"),
        dag_run("prices", 4, "failed", end_date=ago(hours=25)),
    ]
    assert airflow.unjudged(NOW).conditions == ()


# -- the API


def test_a_list_is_read_to_its_end_and_a_token_renewed_when_it_has_run_out(airflow: Airflow, answers: Answers) -> None:
    """Signing in once is enough for as long as it lasts."""
    answers.dags = [dag(f"dag_{number}", is_paused=True) for number in range(230)]
    assert len(airflow.paused().conditions) == 230
    assert answers.signed_in == 1
    answers.token = "t2"
    assert len(airflow.paused().conditions) == 230
    assert answers.signed_in == 2


def test_who_gives_no_token_is_no_airflow(airflow: Airflow, answers: Answers) -> None:
    """A proxy's page, for instance; that is an outage, and says nothing about runs."""
    answers.token_name = "other"
    with pytest.raises(Unavailable, match=r"is no Airflow: it gives no token$"):
        airflow.paused()


def test_a_user_who_may_not_is_told_by_the_variables(airflow: Airflow, answers: Answers) -> None:
    """That is no outage: it would last."""
    answers.password = "changed"
    with pytest.raises(Refused, match=r"does not let 'watch' sign in .401.: see TIDEMARK_WATCH_USER"):
        airflow.paused()
