"""A model from its training to the champion and back, through the real scheduler, MLflow server and REST API."""

import json
import re
import urllib.request
from collections.abc import Iterator

import pytest
from conftest import PATIENCE, Deployment, wait_for
from guests import APPROVE, DAYS, answered, deliver, open_shop, waiting

from demo.client import ApiError, Client
from tests.lacking import lacking

# What was live before the second promotion, which is taken back.
LIVE: dict[str, object] = {}

pytestmark = [pytest.mark.end_to_end, pytest.mark.timeout(1800)]


def correct(deployment: Deployment, per_hour: int) -> None:
    """Deliver a day that is learned from anew, and let the reader's pipeline take it in."""
    deliver(deployment, DAYS[0], per_hour)
    assert deployment.trigger("staffing").state == "success"


def alias(deployment: Deployment, name: str = "champion", version: str | None = None) -> str | None:
    """Which version an alias of the registry names; with a version it is moved there first, as anybody can."""
    url = f"{deployment.services.urls['mlflow']}/api/2.0/mlflow/registered-models/alias"
    if version is not None:
        body = json.dumps({"name": "guests_model", "alias": name, "version": version}).encode()
        request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
        urllib.request.urlopen(request).close()
    try:
        with urllib.request.urlopen(f"{url}?name=guests_model&alias={name}") as answer:
            return str(json.load(answer)["model_version"]["version"])
    except urllib.error.HTTPError:
        return None


def tracked(deployment: Deployment) -> dict[str, str | None]:
    """The runs of the tracking server by name, each with the name of the run that it is nested in."""
    url = f"{deployment.services.urls['mlflow']}/api/2.0/mlflow/runs/search"
    body = json.dumps({"experiment_ids": ["1"], "max_results": 100}).encode()
    with urllib.request.urlopen(urllib.request.Request(url, body, {"Content-Type": "application/json"})) as answer:
        runs = json.load(answer)["runs"]
    names = {each["info"]["run_id"]: each["info"]["run_name"] for each in runs}
    above = {}
    for each in runs:
        tags = {tag["key"]: tag["value"] for tag in each["data"]["tags"]}
        above[each["info"]["run_name"]] = names.get(tags.get("mlflow.parentRunId"))
    return above


@pytest.fixture(scope="module")
def shop(deployment: Deployment) -> Deployment:
    """The reader's pipeline has run, and the model's is there."""
    open_shop(deployment)
    return deployment


@pytest.fixture(scope="module")
def operator(shop: Deployment) -> Iterator[Client]:
    with shop.services.client("operator") as client:
        yield client


def test_a_candidate_waits_for_an_approver_who_makes_it_the_champion(shop: Deployment, operator: Client) -> None:
    """The question shows the comparison; nobody else can answer it; exactly the days from the start on run again."""
    before = {day: shop.tidemark("read", "staff", day) for day in DAYS}
    run = waiting(shop)
    asked = shop.client.question("guests", run, APPROVE)
    assert asked is not None
    assert [each["id"] for each in asked["assigned_users"]] == ["operator"]
    for said in (
        "at most 50",
        "**Champion** none",
        "`visits`",
        "2011-03-07 .. 2011-03-20",
        "Run in MLflow",
        "calibration",
    ):
        assert said in asked["body"], asked["body"]
    picture = re.search(r"!\[.*\]\((http.*)\)", asked["body"])
    assert picture is not None, asked["body"]
    with urllib.request.urlopen(picture[1]) as shown:  # as an approver's browser asks for it: without signing in
        assert shown.headers["Content-Type"] == "image/png"
    with shop.services.client("scientist") as scientist, pytest.raises(ApiError, match="403"):
        scientist.answer("guests", run, APPROVE, "Approve", why="mine", **{"from": None})
    done = answered(shop, operator, run, "Approve", "good enough", DAYS[10])
    assert (done.state, done.states["guests_model.promote"]) == ("success", "success")
    trials = [each for each in done.tasks if each["task_id"] == "guests_model.trial"]
    assert [each["state"] for each in trials] == ["success", "success"]
    assert all(each["rendered_map_index"].startswith("alpha=0.") for each in trials)
    runs = tracked(shop)
    (parent,) = (name for name in runs if name == "guests_model 2011-03-14")
    assert sorted(name for name, above in runs.items() if above == parent) == ["trial 1", "trial 2"]
    (reign,) = shop.tidemark("model", "show", "guests_model")
    assert (reign["by"], reign["why"], reign["begins"][:10]) == ("operator", "good enough", DAYS[10])
    assert alias(shop) == alias(shop, "candidate") == "1"

    run_again = shop.trigger("staffing")
    assert run_again.labels("staff") == [f"{DAYS[10]} … {DAYS[13]} (4)"]
    after = {day: shop.tidemark("read", "staff", day) for day in DAYS}
    assert {day for day in DAYS if after[day] != before[day]} == set(DAYS[10:])
    assert shop.trigger("guests").started == {"plan"}, "nobody is asked twice, and nothing else starts"


def test_a_rejection_needs_a_reason_and_changes_nothing(shop: Deployment, operator: Client) -> None:
    """An answer without one does not count: the task asks again, and the next answer does."""
    correct(shop, 3)
    run = waiting(shop)
    operator.answer("guests", run, APPROVE, "Reject", why="", **{"from": None})

    def asks_again() -> bool:
        asked = shop.client.question("guests", run, APPROVE)
        states = {each["task_id"]: each["state"] for each in shop.client.tasks("guests", run)}
        return states[APPROVE] == "awaiting_input" and asked is not None and not asked["response_received"]

    wait_for(asks_again, "the question once more")
    done = answered(shop, operator, run, "Reject", "too steep", None)
    assert (done.state, done.states["guests_model.promote"]) == ("success", "skipped")
    newest, champion = shop.tidemark("model", "list", "guests_model")[:2]
    assert (newest["state"], newest["decisions"][-1]["why"]) == ("rejected", "too steep")
    assert champion["state"] == "champion"
    assert alias(shop) == "1"
    assert shop.trigger("staffing").started == {"plan"}


def test_an_approval_that_came_too_late_is_refused(shop: Deployment, operator: Client) -> None:
    """What it was trained from was corrected meanwhile, or a newer candidate waits beside it: the champion stays."""
    correct(shop, 4)
    older = waiting(shop)
    correct(shop, 5)
    done = answered(shop, operator, older, "Approve", "fine", None)
    assert (done.state, done.states["guests_model.promote"]) == ("failed", "failed")
    assert "is stale" in done.log("guests_model.promote")
    older = waiting(shop)
    correct(shop, 6)
    newer = waiting(shop)
    done = answered(shop, operator, older, "Approve", "fine", None)
    assert (done.state, done.states["guests_model.promote"]) == ("failed", "failed")
    assert "is newer" in done.log("guests_model.promote")
    assert answered(shop, operator, newer, "Reject", "enough for today", None).state == "success"
    assert alias(shop) == "1"


def test_an_answer_at_once_counts_or_is_asked_for_again(
    shop: Deployment, operator: Client, airflow_database: str | None
) -> None:
    """Airflow fails a task that is answered as it goes to wait: whoever answers so fast is asked again."""
    if airflow_database is None:
        lacking("SQLite has no locks on rows: of two who write at once Airflow loses one; install PostgreSQL")
    correct(shop, 7)
    LIVE.update({day: shop.tidemark("read", "staff", day) for day in DAYS})
    run = shop.client.trigger("guests", {"guests_model_trials": 3})
    done = answered(shop, operator, run, "Approve", "at once", DAYS[12])
    assert (done.state, done.states["guests_model.promote"]) == ("success", "success")
    assert done.states["guests_model.trial"] == "success+success+success", "the form may ask for more of them"
    reigns = shop.tidemark("model", "show", "guests_model")
    assert [each["why"] for each in reigns] == ["good enough", "at once"]
    assert alias(shop) not in ("1", None)


def test_an_alias_that_somebody_else_moves_is_put_back_and_told(shop: Deployment) -> None:
    """What is champion is the ledger's to say, and the audit log has what was found."""
    right = alias(shop)
    assert alias(shop, version="1") == "1"
    run = shop.trigger("staffing")
    assert "was moved from version" in run.log("plan")
    assert alias(shop) == right
    assert "was moved" not in shop.trigger("staffing").log("plan")


def test_a_rollback_in_the_form_brings_back_the_same_bytes(shop: Deployment, operator: Client) -> None:
    """Of exactly the days that the promotion had changed."""
    assert shop.trigger("staffing").state == "success"
    changed = {day for day in DAYS if shop.tidemark("read", "staff", day) != LIVE[day]}
    assert changed == set(DAYS[12:])
    asked = {"model": "guests_model", "why": "too many people"}
    assert operator.wait_run("rollback_model", operator.trigger("rollback_model", asked))["state"] == "success"
    run = shop.trigger("staffing")
    assert (run.state, run.labels("staff")) == ("success", [f"{DAYS[12]} … {DAYS[13]} (2)"])
    assert {day: shop.tidemark("read", "staff", day) for day in DAYS} == LIVE
    assert alias(shop) == "1"
    assert [each["why"] for each in shop.tidemark("model", "show", "guests_model")] == ["good enough"]


WATCH = """
    import polars as pl

    from tidemark import Daily, Partition, asset, pipeline, ref

    @asset(partitions=Daily(), inputs={"visits": ref("visits")})
    def alarm(visits: pl.DataFrame, partition: Partition) -> pl.DataFrame:
        drifting = partition.key >= "2011-03-18"
        return pl.DataFrame({
            "retrain": [partition.key == "2011-03-19"],
            "since": pl.Series(["2011-03-18" if drifting else None], dtype=pl.String),
            "champion": ["abc"],
            "features": ["guests"],
        })

    product = pipeline("watching", [alarm], retrains={"guests_model": "alarm"})
    """


def test_drift_starts_one_training_and_not_one_a_day(shop: Deployment) -> None:
    """A run of the model's DAG that is named after the episode; a later day of it starts none."""
    shop.push("watching", WATCH)
    run = shop.trigger("watching")
    assert (run.state, run.states["guests_model.retrain"]) == ("success", "success")
    (started,) = (each for each in shop.client.runs("guests") if each["dag_run_id"].startswith("drift"))
    assert started["dag_run_id"] == "drift_2011-03-18_from_abc"
    assert started["conf"] == {"force": ["guests_model:2011-03-14"]}
    assert shop.client.wait_run("guests", started["dag_run_id"], PATIENCE)["state"] == "success"
    deliver(shop, DAYS[13], 7)
    assert shop.trigger("staffing").state == "success"
    run = shop.trigger("watching")
    assert (run.state, run.states["guests_model.retrain"]) == ("success", "skipped")
    assert len([each for each in shop.client.runs("guests") if each["dag_run_id"].startswith("drift")]) == 1
