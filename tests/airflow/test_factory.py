"""The DAG that a pipeline becomes."""

import json
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from products import DAYS, orders, shop

from tidemark import asset
from tidemark.airflow.factory import build_dag
from tidemark.errors import DefinitionError
from tidemark.pipelines import pipeline

ROOT = Path(__file__).parents[2]


def serialized(dag: Any) -> dict[str, Any]:
    """What the DAG processor hands to the scheduler."""
    from airflow.serialization.serialized_objects import DagSerialization

    found: dict[str, Any] = json.loads(json.dumps(DagSerialization.to_dict(dag)))["dag"]
    return found


def test_every_asset_is_one_mapped_task_between_the_plan_and_the_verdict() -> None:
    """The plan's lanes are what every asset is mapped over, and the verdict waits for all."""
    dag = build_dag(shop())
    assert set(dag.task_ids) == {"plan", "lines", "stock", "settings", "verdict"}
    for name in ("lines", "stock", "settings"):
        task = dag.get_task(name)
        assert task.is_mapped
        assert "plan" in task.upstream_task_ids
        assert "verdict" in task.downstream_task_ids
    assert dag.get_task("stock").upstream_task_ids == {"plan", "lines"}, "a task never waits for itself"


def test_the_colour_of_an_upstream_square_decides_nothing() -> None:
    """Whatever became of the tasks above, an asset's task and the verdict start when these are done."""
    dag = build_dag(shop())
    assert {dag.get_task(name).trigger_rule for name in ("lines", "stock", "settings", "verdict")} == {"all_done"}


def test_runs_never_overlap_and_never_catch_up() -> None:
    """The plan re-derives whatever a missed run would have done."""
    dag = build_dag(shop(schedule="0 6 * * *"))
    assert dag.max_active_runs == 1
    assert dag.catchup is False


@pytest.mark.parametrize(
    ("options", "kind"),
    [
        ({}, "NullTimetable"),
        ({"schedule": "0 6 * * *", "timezone": "Europe/London"}, "CronTriggerTimetable"),
        ({"on_arrival": True}, "AssetTriggeredTimetable"),
        ({"schedule": "0 6 * * *", "on_arrival": True}, "AssetOrTimeSchedule"),
    ],
)
def test_a_run_starts_by_the_clock_by_arrival_by_both_or_by_hand(options: dict[str, Any], kind: str) -> None:
    """The schedule is what the file says."""
    assert type(build_dag(shop(**options)).timetable).__name__ == kind


def test_two_files_with_one_pipeline_are_an_import_error_of_each(tmp_path: Path) -> None:
    """Airflow would take one of them, now this, now that, and say nothing."""
    files = [tmp_path / "prices.py", tmp_path / "prices_copy.py"]
    for file in files:
        file.write_text('from tidemark import pipeline\ndag = pipeline("shop", [])\n')
    for file, other in (files, files[::-1]):
        with pytest.raises(DefinitionError, match=rf"^{file.name}: pipeline\('shop'\): .*{other.name} defines"):
            build_dag(replace(shop(), file=file))


def test_the_clock_is_the_pipelines() -> None:
    """Six in London is six in London in summer too."""
    timetable = serialized(build_dag(shop(schedule="0 6 * * *", timezone="Europe/London")))["timetable"]["__var"]
    assert (timetable["expression"], timetable["timezone"]) == ("0 6 * * *", "Europe/London")


@pytest.mark.parametrize("on_arrival", [False, True])
def test_a_new_pipeline_waits_for_the_next_tick_of_its_clock(
    monkeypatch: pytest.MonkeyPatch, *, on_arrival: bool
) -> None:
    """Pushed minutes after six or long after it: the doorbell rings for what is there, not the clock of an hour ago.

    A first tick that has just passed is not lost, though the file is read anew before the scheduler has made its run.
    """
    from airflow.serialization.serialized_objects import DagSerialization
    from airflow.timetables.base import TimeRestriction

    dag = build_dag(shop(schedule="0 6 * * *", on_arrival=on_arrival))
    timetable = DagSerialization.from_dict(DagSerialization.to_dict(dag)).timetable
    for pushed, day in (
        (datetime(2026, 3, 1, 6, 0, 1, tzinfo=UTC), 1),
        (datetime(2026, 3, 1, 6, 10, tzinfo=UTC), 2),
        (datetime(2026, 3, 1, 15, tzinfo=UTC), 2),
    ):
        monkeypatch.setattr("airflow.timetables.trigger.utcnow", lambda pushed=pushed: pushed)
        first = timetable.next_dagrun_info(
            last_automated_data_interval=None, restriction=TimeRestriction(earliest=None, latest=None, catchup=False)
        )
        assert first is not None
        assert first.run_after == datetime(2026, 3, day, 6, tzinfo=UTC)


def test_one_doorbell_watches_the_folders_of_all_sources() -> None:
    """Two sources that are delivered to together must start one run."""
    watched = serialized(build_dag(shop(on_arrival=True)))["timetable"]["__var"]["asset_condition"]["objects"]
    assert [each["name"] for each in watched] == ["shop.deliveries"]
    assert watched[0]["watchers"][0]["trigger"]["kwargs"] == {"pipeline": "shop", "folders": ["orders"]}


def test_the_ui_shows_the_files_words_owners_and_tags() -> None:
    """A docstring is the page of the DAG or the task; an asset's own owner goes before the pipeline's."""
    dag = build_dag(shop())
    assert dag.doc_md == "## The shop\n\nWhat it sells."
    assert dag.description == "The shop"
    assert dag.tags == {"tidemark", "prices"}
    assert dag.fileloc == "/dags/shop.py"
    page = dag.get_task("lines").partial_kwargs["doc_md"]
    assert page.startswith("One line an order.")
    assert "must pass the gate `lines`" in page
    assert (dag.get_task("lines").owner, dag.get_task("stock").owner) == ("pricing", "warehouse")


def test_airflow_knows_each_asset_by_its_name_alone() -> None:
    """An ordinary DAG that names `Asset("lines")` means the same asset."""
    from airflow.sdk import Asset

    dag = build_dag(shop())
    assert dag.get_task("lines").outlets == [Asset("lines")]
    assert dag.get_task("stock").inlets == [Asset("lines"), Asset("stock")]


def test_equal_definitions_give_an_equal_dag() -> None:
    """Otherwise Airflow would make a new version of the DAG with every parse."""
    assert serialized(build_dag(shop(on_arrival=True))) == serialized(build_dag(shop(on_arrival=True)))


def test_an_asset_cannot_bear_the_name_of_a_task_that_every_dag_has() -> None:
    """The message names the asset and the mend."""

    @asset(partitions=DAYS)
    def verdict(orders: str) -> str:
        return orders

    with pytest.raises(DefinitionError, match="'verdict' bears the name of a task that every DAG has: rename it"):
        build_dag(pipeline("shop", [orders, verdict]))


def test_a_schedule_that_is_no_cron_expression_is_refused() -> None:
    """At import, with what a good one looks like."""
    with pytest.raises(
        DefinitionError, match=r"schedule='each morning' is no cron expression.* such as '0 6 \* \* \*'"
    ):
        build_dag(shop(schedule="each morning"))


def test_building_a_dag_loads_nothing_heavy() -> None:
    """The DAG processor imports every file every half minute; these cost seconds of CPU each."""
    heavy = ["great_expectations", "mlflow", "sklearn", "scipy", "pandas", "pyarrow", "matplotlib", "boto3"]
    code = (
        "import sys; from products import shop; from tidemark.airflow.factory import build_dag; "
        f"build_dag(shop(on_arrival=True)); print([each for each in {heavy} if each in sys.modules])"
    )
    path = f"{ROOT / 'plugins'}:{Path(__file__).parent}"
    found = subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONPATH": path, "AIRFLOW_HOME": "/nonexistent"}, capture_output=True
    )
    assert found.stdout.decode().splitlines()[-1:] == ["[]"], found.stderr.decode()[-500:]


def airflow_finds(file: Path) -> Any:
    """What Airflow finds in a file: its DAGs and its import errors."""
    from airflow.dag_processing.dagbag import DagBag

    return DagBag(str(file), bundle_name="tests", safe_mode=False)


def test_a_file_gives_airflow_its_dag_and_anybody_else_its_definitions(tmp_path: Path) -> None:
    """The same file in the same process: only where Airflow looks for DAGs it becomes one."""
    from tidemark.catalog import load_catalog

    file = tmp_path / "ten_lines.py"
    file.write_text(
        "from tidemark import asset, pipeline\n"
        "@asset()\ndef answer() -> str:\n    return '42'\n"
        "product = pipeline('ten_lines', [answer])\n"
    )
    assert set(airflow_finds(file).dags) == {"ten_lines"}
    assert set(load_catalog(tmp_path).pipelines) == {"ten_lines"}


def test_a_definition_error_is_an_import_error_that_says_the_mend(tmp_path: Path) -> None:
    """What the UI shows under import errors is the message that the command shows."""
    file = tmp_path / "typo.py"
    file.write_text(
        "from tidemark import asset, pipeline\n"
        "@asset()\ndef answer(questions: str) -> str:\n    return '42'\n"
        "product = pipeline('typo', [answer])\n"
    )
    bag = airflow_finds(file)
    assert not bag.dags
    (error,) = bag.import_errors.values()
    assert "parameter 'questions' names no member of the pipeline" in error


def test_a_report_is_announced_after_its_own_task_and_no_other_is() -> None:
    """Whatever became of that task: the ledger says which report is the newest."""
    dag = build_dag(shop(reports=["lines"]))
    assert set(dag.task_ids) - set(build_dag(shop()).task_ids) == {"lines.announce"}
    task = dag.get_task("lines.announce")
    assert task.upstream_task_ids == {"lines"}
    assert task.downstream_task_ids == set(), "a mail that is not announced makes no verdict"
    assert task.trigger_rule == "all_done"
    assert serialized(dag) == serialized(build_dag(shop(reports=["lines"])))


def test_how_long_each_run_may_take_is_airflows_to_notice_and_a_time_of_day_is_not() -> None:
    """It counts from when a run was queued: one that deliveries start has no logical date."""
    (alert,) = build_dag(shop(deadline="1 day 90 minutes")).deadline or []
    assert alert.reference.serialize_reference() == {"reference_type": "DagRunQueuedAtDeadline"}
    assert alert.interval == timedelta(days=1, minutes=90)
    assert (alert.callback.path, alert.callback.kwargs) == (
        "tidemark.airflow.deadlines.missed",
        {"pipeline": "shop", "owner": "pricing"},
    )
    timed = build_dag(shop(schedule="0 6 * * *", deadline="07:30 Europe/London"))
    assert not timed.deadline
    assert not build_dag(shop()).deadline
