"""Claims about the tasks by which people decide in Airflow: whose answers count, and what becomes of each."""

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowSkipException

from tests.cli.conftest import enter
from tests.scenario import Shop
from tests.servers import free_port
from tests.test_models import FORECAST, SHOP, WEEK_1, days
from tidemark import Validation, Weekly, models
from tidemark.airflow.approving import ApproveOperator, PromoteOperator, ValidateOperator
from tidemark.airflow.factory import build_dag
from tidemark.airflow.operators import steps_of
from tidemark.definitions import model
from tidemark.errors import Unavailable
from tidemark.ledger import decisions
from tidemark.pipelines import pipeline

JUDGED = FORECAST.replace(
    "@model(",
    """from tidemark import Validation, at_most

    def held_out(model: str, lines: pl.DataFrame) -> pl.DataFrame:
        return lines

    def scores(rows: pl.DataFrame) -> dict[str, float]:
        return {"days": float(rows.height)}

    @model(validation=Validation(predictions=held_out, metrics=scores, limits={"days": at_most(7)}), """,
)
VALIDATE, APPROVE, PROMOTE = steps_of("forecast")


class Told:
    """What the tasks before have returned: stands in for a task instance, whose XComs are Airflow's."""

    def __init__(self) -> None:
        self.id = "0"
        self.try_number = 1
        self.returned: dict[str, Any] = {}

    def xcom_pull(self, task_ids: str) -> Any:
        return self.returned[task_ids]


class Candidate:
    """A candidate that was validated by its task, and the tasks that follow."""

    def __init__(self, shop: Shop) -> None:
        self.shop = shop
        self.ti = Told()
        self.dag = build_dag(shop.pipelines["forecasts"])
        self.skipped: list[str] = []

    def task(self, task_id: str) -> Any:
        return self.dag.get_task(task_id)

    def context(self, **params: Any) -> Any:
        run = SimpleNamespace(triggering_user_name="tester", run_type="manual", start_date=datetime.now(UTC))
        given = {**self.dag.params.dump(), **params}
        context = {"ti": self.ti, "task_instance": self.ti, "task": self.task(APPROVE), "dag": self.dag}
        return {**context, "run_id": "one", "dag_run": run, "params": given}

    def validated(self) -> dict[str, str]:
        self.ti.returned[VALIDATE] = self.task(VALIDATE).execute(self.context())
        return dict(self.ti.returned[VALIDATE])

    def answered(self, event: dict[str, Any]) -> Any:
        self.ti.returned[APPROVE] = self.task(APPROVE).execute_complete(self.context(), event)
        return self.ti.returned[APPROVE]

    def promoted(self) -> dict[str, Any]:
        return dict(self.task(PROMOTE).execute(self.context()))

    @property
    def state(self) -> str:
        with self.shop.deployment() as deployment:
            (version,) = models.versions(deployment, "forecast")
        return version.state

    def decided(self) -> list[tuple[str, str, str]]:
        """What was decided, by whom, and why."""
        with self.shop.deployment() as deployment:
            (version,) = models.versions(deployment, "forecast")
        return [(each.outcome, each.actor, each.why) for each in version.decisions]


def answer(
    choice: str = "Approve",
    who: str | None = "ann",
    why: str = "fine",
    begins: str | None = None,
    number: str | None = None,
) -> Any:
    """An answer as Airflow hands it to the task."""
    return {
        "chosen_options": [choice],
        "params_input": {"why": why, "from": begins},
        "responded_at": datetime(2025, 1, 6, 9, tzinfo=UTC),
        "responded_by_user": {"id": number or who, "name": who} if who else None,
    }


@pytest.fixture
def candidate(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> Candidate:
    """Ann and Bob decide; there is no registry."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    shop.more = {"TIDEMARK_APPROVERS": "ann,bob=7", "TIDEMARK_FOUR_EYES": "off"}
    shop.define(SHOP)
    shop.define(JUDGED, "forecasts")
    for day in days("2024-12-30", 7):
        shop.deliver("orders", day, "units\n1\n")
    shop.now("2025-01-06T06:00")
    shop.run()
    shop.run("forecasts")
    enter(shop, monkeypatch)
    monkeypatch.setenv("TIDEMARK_AS_OF", "2025-01-06T06:00Z")
    found = Candidate(shop)
    # Who rejects skips what follows, which is a message to Airflow.
    monkeypatch.setattr(
        ApproveOperator, "skip", lambda _, ti, tasks: found.skipped.extend(each.task_id for each in tasks)
    )
    return found


# -- the shape


def test_what_decides_follows_the_models_task(candidate: Candidate) -> None:
    """In a chain of its own: the verdict waits for nobody."""
    dag = candidate.dag
    assert set(dag.task_ids) == {"plan", "forecast", VALIDATE, APPROVE, PROMOTE, "verdict"}
    assert (VALIDATE, APPROVE, PROMOTE) == ("forecast.validate", "forecast.approve", "forecast.promote")
    assert [dag.get_task(each).upstream_task_ids for each in (VALIDATE, APPROVE, PROMOTE)] == [
        {"forecast"},
        {VALIDATE},
        {APPROVE},
    ]
    assert dag.get_task("verdict").upstream_task_ids == {"forecast"}
    assert [type(dag.get_task(each)) for each in (VALIDATE, APPROVE, PROMOTE)] == [
        ValidateOperator,
        ApproveOperator,
        PromoteOperator,
    ]


def test_a_validation_asks_the_ledger_and_the_rest_what_came_before(candidate: Candidate) -> None:
    """A red square of the model's task does not hide a candidate; a red validation leads to no question."""
    rules = [candidate.task(each).trigger_rule for each in (VALIDATE, APPROVE, PROMOTE)]
    assert rules == ["all_done", "all_success", "all_success"]


def test_a_run_that_waits_for_a_person_does_not_hold_up_the_next(candidate: Candidate) -> None:
    assert candidate.dag.max_active_runs == 16
    plain = build_dag(candidate.shop.pipelines["shop"])
    assert plain.max_active_runs == 1
    assert not [each for each in plain.task_ids if "." in each]


def test_an_approver_has_as_long_as_the_model_says() -> None:
    def predictions(model: str) -> None: ...

    def metrics(rows: object) -> dict[str, float]:
        return {}

    judged = Validation(predictions=predictions, metrics=metrics, decide_within=timedelta(days=2))

    @model(partitions=Weekly(start="2025-01-06"), validation=judged)
    def slow() -> str:
        return "x"

    dag = build_dag(pipeline("slowly", [slow]))
    assert dag.get_task("slow.approve").response_timeout == timedelta(days=2)


def test_a_question_has_two_answers_and_asks_why_and_from_when_on(candidate: Candidate) -> None:
    task = candidate.task(APPROVE)
    assert task.options == ["Approve", "Reject"]
    assert set(task.serialized_params) == {"why", "from"}, "what the run was asked with is no part of it"
    assert task.defaults is None, "nobody decides by doing nothing"
    assert task.retries == 20


# -- asking


def test_a_validation_says_what_the_approver_is_shown(candidate: Candidate) -> None:
    said = candidate.validated()
    version = candidate.shop.versions("forecast")[WEEK_1]
    assert said["version"] == version
    assert said["subject"] == f"forecast {version[:12]}, trained for {WEEK_1}: make it the champion?"
    assert "| days | 7 |  | at most 7 |" in said["page"]


def test_nobody_is_asked_twice(candidate: Candidate) -> None:
    candidate.validated()
    with pytest.raises(AirflowSkipException, match="no candidate awaits a decision that nobody was asked for yet"):
        candidate.validated()


def test_a_try_that_died_before_it_asked_is_made_up_for(candidate: Candidate) -> None:
    """All that the ledger knows by then is that the candidate was judged."""
    first = candidate.validated()
    candidate.ti.try_number = 2
    again = candidate.validated()
    assert (again["version"], again["subject"]) == (first["version"], first["subject"])


def test_nobody_is_asked_while_the_registry_is_down(candidate: Candidate, monkeypatch: pytest.MonkeyPatch) -> None:
    """Airflow tries that again, and so does the next run."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{free_port()}")
    for _ in range(2):
        with pytest.raises(Unavailable, match="MLflow cannot be told of the model"):
            candidate.validated()
    assert VALIDATE not in candidate.ti.returned
    assert candidate.state == models.CANDIDATE


def test_nobody_is_asked_about_what_did_not_pass(candidate: Candidate) -> None:
    candidate.shop.edit("at_most(7)", "at_most(6)", "forecasts.py")
    failing = Candidate(candidate.shop)
    with pytest.raises(AirflowFailException, match=r"did not pass: days is 7, and may be at most 6; the champion stay"):
        failing.validated()
    assert failing.state == models.INVALID


def test_those_are_asked_whom_the_settings_of_the_worker_name(
    candidate: Candidate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the number that Airflow knows them by, where that is another."""
    from airflow.providers.standard.operators import hitl
    from airflow.sdk.exceptions import TaskAwaitingInput

    asked: list[dict[str, Any]] = []
    monkeypatch.setattr(hitl, "upsert_hitl_detail", lambda **given: asked.append(given))
    with pytest.raises(TaskAwaitingInput):
        candidate.task(APPROVE).execute(candidate.context())
    assert asked[0]["assigned_users"] == [{"id": "ann", "name": "ann"}, {"id": "7", "name": "bob"}]
    monkeypatch.setenv("TIDEMARK_APPROVERS", "")
    with pytest.raises(AirflowFailException, match="nobody may decide: name the user ids of those who may in TIDEMARK"):
        candidate.task(APPROVE).execute(candidate.context())
    assert len(asked) == 1


# -- answers


def test_an_approvers_yes_makes_the_candidate_the_champion(candidate: Candidate) -> None:
    """Under the name with which he signs in, whatever his number is, from the day that he says."""
    version = candidate.validated()["version"]
    candidate.answered(answer(who="bob", number="7", why="better", begins="2025-01-03"))
    assert candidate.state == models.CANDIDATE, "it is the next task that promotes"
    done = candidate.promoted()
    assert done == {
        "version": version,
        "before": None,
        "begins": "2025-01-03T00:00:00+00:00",
        "readers": ["shop"],
    }
    assert candidate.decided() == [(decisions.PROMOTED, "bob", "better")]


def test_a_yes_without_a_reason_does_not_count_either(candidate: Candidate) -> None:
    """The UI's buttons wait for one; the API must not be a way around that."""
    candidate.validated()
    with pytest.raises(AirflowException, match="it says no why"):
        candidate.answered(answer(why=" "))
    assert candidate.decided() == []


@pytest.mark.parametrize("choice", ["Approve", "Reject"])
def test_an_answer_of_somebody_else_does_not_count_and_it_is_asked_again(candidate: Candidate, choice: str) -> None:
    """One of Airflow's modes lets anybody answer. The task is tried again, and so asks again; it does not fail."""
    candidate.validated()
    with pytest.raises(AirflowException, match=r"^this answer of eve does not count: eve may not decide") as refused:
        candidate.answered(answer(choice, who="eve"))
    assert not isinstance(refused.value, AirflowFailException | AirflowSkipException)
    assert str(refused.value).endswith("TIDEMARK_APPROVERS names ann, bob. It is asked again")
    assert (candidate.state, candidate.decided()) == (models.CANDIDATE, [])


def test_a_number_is_no_name(candidate: Candidate) -> None:
    """Who signs in as 7 is not who has that number."""
    candidate.validated()
    with pytest.raises(AirflowException, match="this answer of 7 does not count"):
        candidate.answered(answer(who="7"))


def test_a_no_is_written_down_and_what_follows_is_skipped(candidate: Candidate) -> None:
    candidate.validated()
    candidate.answered(answer("Reject", why="too steep"))
    assert candidate.decided() == [(decisions.REJECTED, "ann", "too steep")]
    assert candidate.state == models.REJECTED
    assert candidate.skipped == [PROMOTE]


@pytest.mark.parametrize("why", ["", "  \n"])
def test_a_no_without_a_reason_does_not_count(candidate: Candidate, why: str) -> None:
    candidate.validated()
    with pytest.raises(AirflowException, match=r"does not count: it says no why.*It is asked again") as refused:
        candidate.answered(answer("Reject", why=why))
    assert not isinstance(refused.value, AirflowFailException)
    assert (candidate.state, candidate.skipped) == (models.CANDIDATE, [])


def test_no_answer_in_time_says_what_can_still_be_done(candidate: Candidate) -> None:
    """And is no failure that trying again would mend."""
    candidate.validated()
    event = {"error": "no response within 6 days", "error_type": "timeout"}
    said = (
        r"^nobody has decided within 6 days, 0:00:00: the champion stays\. 'tidemark model promote forecast' is still "
        r"possible; so is asking again, by clearing this task$"
    )
    with pytest.raises(AirflowFailException, match=said):
        candidate.answered(event)
    assert candidate.state == models.CANDIDATE


def test_an_answer_of_nobody_counts_for_nothing(candidate: Candidate) -> None:
    candidate.validated()
    with pytest.raises(AirflowFailException, match="nobody knows who has answered: answer in the UI, or signed in to"):
        candidate.answered(answer(who=None))
    assert candidate.decided() == []


def test_who_is_no_approver_any_more_does_not_promote(candidate: Candidate, monkeypatch: pytest.MonkeyPatch) -> None:
    """The promotion asks again, and is final: another try would not mend it."""
    candidate.validated()
    candidate.answered(answer(who="bob", number="7"))
    monkeypatch.setenv("TIDEMARK_APPROVERS", "ann")
    with pytest.raises(AirflowFailException, match="bob may not decide about models: TIDEMARK_APPROVERS names ann"):
        candidate.promoted()
    assert (candidate.state, candidate.decided()) == (models.CANDIDATE, [])


def test_whoever_has_not_answered_does_not_promote(candidate: Candidate) -> None:
    """Not even where the task before was marked as done by hand."""
    candidate.validated()
    candidate.ti.returned[APPROVE] = answer(who="eve")
    with pytest.raises(AirflowFailException, match="eve may not decide about models"):
        candidate.promoted()
    candidate.ti.returned[APPROVE] = answer(who=None)
    with pytest.raises(AirflowFailException, match="nobody knows who has answered"):
        candidate.promoted()
    candidate.ti.returned[APPROVE] = None
    with pytest.raises(AirflowFailException, match="nobody has answered"):
        candidate.promoted()
    assert (candidate.state, candidate.decided()) == (models.CANDIDATE, [])


def test_a_yes_that_came_too_late_is_refused(candidate: Candidate) -> None:
    """What it was trained from was corrected in between."""
    candidate.validated()
    candidate.answered(answer())
    candidate.shop.deliver("orders", "2025-01-01", "units\n5\n")
    candidate.shop.run()
    with pytest.raises(AirflowFailException, match="is stale: "):
        candidate.promoted()
    assert candidate.state == models.CANDIDATE


def test_a_namesake_of_an_approver_is_none(candidate: Candidate) -> None:
    """Airflow's number of who answered has to be the one that the settings give the name."""
    candidate.validated()
    with pytest.raises(AirflowException, match=r"this answer of ann \(number 7\) does not count"):
        candidate.answered(answer(number="7"))
    assert candidate.decided() == []


def test_a_no_to_what_is_decided_already_ends_and_does_not_ask_again(candidate: Candidate) -> None:
    candidate.validated()
    with candidate.shop.deployment() as deployment:
        models.reject(deployment, "forecast", None, why="by command", actor="ann")
    with pytest.raises(AirflowFailException, match="was rejected by ann: by command"):
        candidate.answered(answer("Reject"))


def test_a_second_try_of_a_promotion_that_stands_is_no_failure(candidate: Candidate) -> None:
    """As after a worker that died with the promotion written down."""
    candidate.validated()
    candidate.answered(answer())
    candidate.promoted()
    candidate.ti.try_number = 2
    candidate.promoted()
    assert candidate.decided() == [(decisions.PROMOTED, "ann", "fine")]
    candidate.ti.try_number = 1
    with pytest.raises(AirflowFailException, match="is the champion already"):
        candidate.promoted()
