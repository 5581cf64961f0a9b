"""What operators, scientists and ordinary DAGs meet, through the real scheduler."""

import os
import signal
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import httpx
import psutil
import pytest
import sqlalchemy as sa
from conftest import Deployment, wait_for

from demo.client import ApiError
from demo.mail import text
from demo.services import ROOT
from tidemark import models
from tidemark.ledger import notices
from tidemark.ledger.schema import notice

pytestmark = [pytest.mark.end_to_end, pytest.mark.timeout(1800)]

DAYS = ["2011-03-18", "2011-03-19", "2011-03-20"]


def test_a_file_without_the_words_that_airflow_looks_for_gives_its_dag(deployment: Deployment) -> None:
    """A scientist's file need not mention Airflow."""
    file = """
        from tidemark import asset, pipeline

        @asset()
        def answer() -> str:
            return "42"

        product = pipeline("ten_lines", [answer])
        """
    assert "dag" not in file
    deployment.push("ten_lines", file)
    run = deployment.trigger("ten_lines")
    assert run.state == "success"
    assert deployment.trigger("ten_lines").started == {"plan"}, "nothing to do is one worker"


def test_a_definition_error_is_an_import_error_and_harms_no_other_dag(deployment: Deployment) -> None:
    """The UI shows the message with the mend."""
    (deployment.dags / "typo.py").write_text(
        "from tidemark import asset, pipeline\n\n"
        "@asset()\ndef answer(questions: str) -> str:\n    return '42'\n\n"
        "product = pipeline('typo', [answer])\n"
    )
    errors = wait_for(lambda: deployment.client.import_errors(), "the import error")
    (deployment.dags / "typo.py").unlink()
    assert "parameter 'questions' names no member of the pipeline" in errors["typo.py"]
    assert "typo" not in deployment.client.dags()
    wait_for(lambda: not deployment.client.import_errors(), "the end of the import error")


FAILING = """
    from tidemark import Daily, Unpartitioned, asset, latest, pipeline, source

    numbers = source("numbers", files="numbers/{partition}.txt", partitions=Daily())

    @asset(partitions=Daily())
    def inverse(numbers: str) -> str:
        return str(1 / int(numbers))

    @asset(partitions=Daily())
    def shown(inverse: str) -> str:
        return "inverse: " + inverse

    product = pipeline("inverses", [numbers, inverse, shown])
    """


def test_one_failing_partition_keeps_no_other_from_being_published(deployment: Deployment) -> None:
    """The task and the run are red, the table and one mail say why; a new definition repairs it."""
    for day, number in zip(DAYS, "102", strict=True):
        deployment.deliver(f"numbers/{day}.txt", number)
    deployment.push("inverses", FAILING)
    run = deployment.trigger("inverses")
    assert run.state == "failed"
    assert run.states == {"plan": "success", "inverse": "failed", "shown": "success", "verdict": "failed"}
    assert [task["try_number"] for task in run.tasks if task["state"] == "failed"] == [1, 1], "no retry mends it"
    assert run.labels("inverse") == ["2011-03-18 … 2011-03-20 (3)"]
    log = run.log("verdict")
    assert "ZeroDivisionError" in log
    assert "inverses: 1 failed; the table above says what and why" in log
    assert "AirflowFailException" not in log, "it comes with a traceback of Airflow's own machinery"
    assert deployment.tidemark("read", "shown", "2011-03-20")
    said = text(wait_for(lambda: deployment.mails("inverse 2011-03-19: failed"), "the mail")[0])
    assert "ZeroDivisionError" in said
    # A failed task can tell Airflow of nothing: the next run's plan does.
    assert {key for name, key in run.events() if name == "inverse"} == set()

    deployment.push("inverses", FAILING.replace("1 / int(numbers)", "1 / (int(numbers) or 1)"))
    wait_for(lambda: deployment.trigger("inverses").state == "success", "a run with the mended definition")
    told = deployment.client.asset_events(source_dag_id="inverses")
    assert {each["partition_key"] for each in told if each["name"] == "inverse"} == set(DAYS)


def test_the_form_of_the_trigger_button_is_checked_and_obeyed(deployment: Deployment) -> None:
    """A person can ask to compute a partition again; an asset that there is not is refused before a run starts."""
    for day in DAYS:
        deployment.deliver(f"words/{day}.txt", "x")
    deployment.push(
        "form",
        """
        from tidemark import Daily, asset, pipeline, source

        words = source("words", files="words/{partition}.txt", partitions=Daily())

        @asset(partitions=Daily())
        def loud(words: str) -> str:
            return words.upper()

        product = pipeline("form", [words, loud])
        """,
    )
    assert deployment.trigger("form", to="2011-03-19").labels("loud") == ["2011-03-18 … 2011-03-19 (2)"]
    assert deployment.trigger("form").labels("loud") == ["2011-03-20"]
    assert deployment.trigger("form", force=["loud:2011-03-19"]).labels("loud") == ["2011-03-19"]
    with pytest.raises(ApiError, match="force"):
        deployment.trigger("form", force=["quiet"])
    with deployment.services.client("viewer") as viewer, pytest.raises(ApiError, match="403"):
        viewer.trigger("form")


def test_ordinary_dags_schedule_on_our_assets(deployment: Deployment) -> None:
    """One run for each published partition; an asset without partitions starts a plain asset schedule."""
    for day in DAYS:
        deployment.deliver(f"letters/{day}.txt", "x")
    deployment.push(
        "upstream",
        """
        from tidemark import Daily, asset, pipeline, source

        letters = source("letters", files="letters/{partition}.txt", partitions=Daily())

        @asset(partitions=Daily())
        def capitals(letters: str) -> str:
            return letters.upper()

        @asset()
        def alphabet() -> str:
            return "abc"

        product = pipeline("upstream", [letters, capitals, alphabet])
        """,
    )
    for name, schedule in (
        ("each_day", 'PartitionedAssetTimetable(assets=Asset("capitals"))'),
        ("whole", '[Asset("alphabet")]'),
    ):
        deployment.push(
            name,
            f"""
            from airflow.sdk import DAG, Asset, PartitionedAssetTimetable, task

            with DAG("{name}", schedule={schedule}):
                @task
                def said(partition_key=None):
                    return partition_key

                said()
            """,
        )
    deployment.trigger("upstream")
    wait_for(lambda: len(deployment.client.runs("each_day")) == len(DAYS), "a run for each day")
    runs = deployment.client.runs("each_day")
    assert {run["partition_key"] for run in runs} == set(DAYS)
    for run in runs:
        assert deployment.client.wait_run("each_day", run["dag_run_id"])["state"] == "success"
        assert deployment.client.xcom("each_day", run["dag_run_id"], "said") == run["partition_key"]
    wait_for(lambda: len(deployment.client.runs("whole")) == 1, "a run for the whole")


def test_a_landing_zone_that_is_away_is_waited_for(deployment: Deployment) -> None:
    """Airflow retries what a moment can mend; nothing is taken for withdrawn."""
    deployment.deliver("patience/2011-03-20.txt", "x")
    deployment.push(
        "patience_product",
        """
        from tidemark import Daily, asset, pipeline, source

        patience = source("patience", files="patience/{partition}.txt", partitions=Daily())

        @asset(partitions=Daily())
        def patient(patience: str) -> str:
            return patience

        product = pipeline("patience_product", [patience, patient])
        """,
    )
    away = deployment.landing.with_name("away")
    deployment.landing.rename(away)
    try:
        run = deployment.client.trigger("patience_product")
        wait_for(
            lambda: any(task["state"] == "up_for_retry" for task in deployment.client.tasks("patience_product", run)),
            "a plan that waits for its next try",
        )
        assert "cannot be listed" in deployment.client.log("patience_product", run, "plan")
    finally:
        away.rename(deployment.landing)
    assert deployment.client.wait_run("patience_product", run)["state"] == "success"
    assert deployment.tidemark("read", "patient", "2011-03-20")


MANY_DAYS = [f"2011-03-{day:02}" for day in range(1, 21)]


@dataclass(frozen=True)
class Journal:
    """What a slow asset wrote down: each call's partition and process."""

    file: Path

    @property
    def calls(self) -> list[tuple[str, int]]:
        """The calls so far, in order."""
        lines = self.file.read_text().splitlines()
        return [(line.split()[0], int(line.split()[1])) for line in lines]


def push_slow_product(deployment: Deployment, name: str, folder: Path) -> Journal:
    """Push a product whose one asset takes its time for each of twenty partitions, and says when it is called."""
    journal = Journal(folder / "journal")
    journal.file.touch()
    for day in MANY_DAYS:
        deployment.deliver(f"{name}_steps/{day}.txt", day)
    deployment.push(
        name,
        f"""
        import os, time
        from pathlib import Path
        from tidemark import Daily, Partition, asset, pipeline, source

        steps = source("{name}_steps", files="{name}_steps/{{partition}}.txt", partitions=Daily())
        JOURNAL = {str(journal.file)!r}

        @asset(partitions=Daily())
        def {name}_asset({name}_steps: str, partition: Partition) -> str:
            with Path(JOURNAL).open("a") as journal:
                journal.write(f"{{partition}} {{os.getpid()}}\\n")
            time.sleep(0.6)
            return {name}_steps

        product = pipeline("{name}", [steps, {name}_asset])
        """,
    )
    return journal


def test_a_killed_worker_loses_nothing_and_repeats_nothing(deployment: Deployment, tmp_path: Path) -> None:
    """Airflow starts the batch again, which goes on where the dead worker stopped."""
    journal = push_slow_product(deployment, "killed", tmp_path)
    run = deployment.client.trigger("killed")
    wait_for(lambda: len(journal.calls) >= 8, "eight partitions")
    os.kill(journal.calls[-1][1], signal.SIGKILL)
    assert deployment.client.wait_run("killed", run, 300)["state"] == "success"
    assert {day for day, _ in journal.calls} == set(MANY_DAYS)
    assert len({process for _, process in journal.calls}) == 2
    # A commit covers about a second's work: no more than that is computed twice.
    assert len(journal.calls) - len(MANY_DAYS) <= 4
    assert deployment.trigger("killed").started == {"plan"}


def test_a_task_that_a_person_ends_publishes_what_it_has_finished(deployment: Deployment, tmp_path: Path) -> None:
    """And blocks nobody: the next run computes the rest at once."""
    journal = push_slow_product(deployment, "ended", tmp_path)
    run = deployment.client.trigger("ended")
    wait_for(lambda: len(journal.calls) >= 8, "eight partitions")
    deployment.client.mark("ended", run, "ended_asset", "failed", map_index=0)
    assert deployment.client.wait_run("ended", run)["state"] == "failed"
    worker = journal.calls[-1][1]
    wait_for(lambda: not psutil.pid_exists(worker), "the end of the worker")
    assert len(journal.calls) < len(MANY_DAYS)
    assert deployment.trigger("ended").state == "success"
    # The partition that was in work when the task was ended.
    assert len(journal.calls) - len(MANY_DAYS) <= 1


READER = """
    from tidemark import Daily, asset, in_force, pipeline, ref, source

    remarks = source("remarks", files="remarks/{partition}.txt", partitions=Daily())

    @asset(partitions=Daily(), inputs={"model": ref("guess", in_force())})
    def comment(remarks: str, model: str | None) -> str:
        return f"{remarks} by {model}"

    product = pipeline("comments", [remarks, comment])
    """

MODEL = """
    from tidemark import Weekly, latest, model, pipeline, ref

    @model(partitions=Weekly(), inputs={"remarks": ref("remarks", latest())})
    def guess(remarks: str) -> str:
        return "a model of " + remarks

    product = pipeline("guesses", [guess])
    """


def test_a_report_is_a_page_of_the_ui_for_those_who_are_signed_in(deployment: Deployment) -> None:
    """In the navigation, by the session of the browser; and the newest one goes into the outbox, once."""
    deployment.push(
        "takings",
        """
        from tidemark import Daily, asset, pipeline, source
        from tidemark.figures import Figures, Number

        takings_in = source("takings_in", files="takings_in/{partition}.csv", partitions=Daily())

        @asset(partitions=Daily())
        def takings(takings_in: str) -> str:
            return Figures("Shop", (Number("Taken", float(len(takings_in)), "GBP"),)).to_text()

        dag = pipeline("takings", [takings_in, takings], reports=["takings"])
        """,
    )
    for day in ("2011-01-04", "2011-01-05"):
        deployment.deliver(f"takings_in/{day}.csv", "a\n1\n")
    first = deployment.trigger("takings")
    assert first.states["takings.announce"] == "success"
    deployment.deliver("takings_in/2011-01-04.csv", "a\n12\n")
    assert deployment.trigger("takings").states["takings.announce"] == "skipped", "that is an older day"
    with deployment.opened() as (opened, _), opened.ledger.read() as connection:
        # Sent or not: the watch drains the outbox meanwhile.
        queued = list(connection.execute(sa.select(notice.c.payload).where(notice.c.kind == notices.REPORT)).scalars())
    assert queued == [{"asset": "takings", "partition": "2011-01-05"}]

    address = deployment.services.urls["airflow"]
    page = f"{address}/tidemark/reports/takings/2011-01-05"
    viewer = next(each for each in deployment.services.users if each.role == "viewer")
    with httpx.Client(trust_env=False) as browser:
        assert browser.get(page).status_code == 401
        token = browser.post(f"{address}/auth/token", json={"username": viewer.name, "password": viewer.password})
        browser.cookies.set("_token", token.json()["access_token"])
        answer = browser.get(page)
        assert answer.status_code == 200
        assert "GBP 4.00" in answer.text
        assert answer.headers["content-security-policy"].startswith("default-src 'none'")
    plugins = deployment.client.request("GET", "/plugins")["plugins"]
    assert ("Reports", "nav") in [
        (view["name"], view["destination"]) for each in plugins for view in each["external_views"]
    ]


def test_an_approver_takes_a_promotion_back_in_a_form_and_nobody_else(deployment: Deployment) -> None:
    """Who is signed in is the actor; what was made before comes back, to the byte, without a computation."""
    for day in ("2011-03-13", *DAYS):  # the model's week begins after the first of them
        deployment.deliver(f"remarks/{day}.txt", day)
    deployment.push("comments", READER)
    deployment.push("guesses", MODEL)
    (deployment.dags / "operations.py").write_text((ROOT / "dags" / "operations.py").read_text())
    wait_for(lambda: "rollback_model" in deployment.client.dags(), "the form")
    assert deployment.trigger("comments").state == "success"
    assert deployment.trigger("guesses").state == "success"
    before = deployment.tidemark("read", "comment", DAYS[1])
    with deployment.opened() as (opened, catalog):
        models.promote(
            opened,
            catalog.pipeline("guesses"),
            "guess",
            None,
            first=date(2011, 3, 19),
            why="looks good",
            actor="operator",
        )
    run = deployment.trigger("comments")
    assert (run.state, run.labels("comment")) == ("success", ["2011-03-19 … 2011-03-20 (2)"])
    assert deployment.tidemark("read", "comment", DAYS[1]) == "2011-03-19 by a model of 2011-03-20"

    asked = {"model": "guess", "why": "wrong answers"}
    with deployment.services.client("scientist") as scientist:
        refused = scientist.wait_run("rollback_model", scientist.trigger("rollback_model", asked))
    assert refused["state"] == "failed"
    with pytest.raises(ApiError, match="why"):
        deployment.client.trigger("rollback_model", {"model": "guess"})
    assert deployment.tidemark("model", "show", "guess")[0]["by"] == "operator"

    with deployment.services.client("operator") as operator:
        done = operator.trigger("rollback_model", asked)
        assert operator.wait_run("rollback_model", done)["state"] == "success"
        answer = operator.xcom("rollback_model", done, "rollback")
    assert (answer["version"], answer["readers"]) == (None, ["comments"])
    assert deployment.tidemark("model", "show", "guess") == []
    (version,) = deployment.tidemark("model", "list", "guess")
    assert (version["decisions"][0]["void_by"], version["decisions"][0]["void_why"]) == ("operator", "wrong answers")
    assert deployment.trigger("comments").state == "success"
    assert deployment.tidemark("read", "comment", DAYS[1]) == before
