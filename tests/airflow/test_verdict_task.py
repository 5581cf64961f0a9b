"""Claims about what the tasks of a run leave in the ledger for on-call: incidents, with the page of the run."""

from types import SimpleNamespace
from typing import Any

import pytest

from tests.cli.conftest import enter
from tests.gates import rule
from tests.incidents.story import notices_of, open_incidents
from tests.scenario import Shop
from tidemark.airflow.context import TOLD
from tidemark.airflow.factory import build_dag
from tidemark.airflow.operators import PLAN, VERDICT
from tidemark.errors import Unavailable
from tidemark.running.run import prepare, run_plan

LINES = """
    orders = source("orders", files="orders/{partition}.csv", partitions=DAYS)

    @asset(partitions=DAYS, owner="pricing")
    def lines(orders: str) -> str:
        return orders.upper()
"""
PAIRS = """
    orders = source("orders", files="orders/{partition}.csv", partitions=DAYS, expected=Calendar("MON-SUN"))

    @asset(partitions=DAYS, inputs={"orders": trailing(days=2)})
    def pairs(orders: pl.DataFrame) -> str:
        return str(orders.height)
"""
GATED = """
    orders = source("orders", files="orders/{partition}.csv", partitions=DAYS, gate="orders", schema={"v": int})

    @asset(partitions=DAYS)
    def lines(orders: pl.DataFrame) -> str:
        return str(orders.height)
"""
DAY = "2025-01-05"


class XComs:
    """What tasks leave for each other: stands in for a task instance, whose XComs are Airflow's."""

    def __init__(self) -> None:
        self.left: dict[tuple[str, str], Any] = {}
        self.task = ""

    def xcom_push(self, key: str, value: Any) -> None:
        self.left[self.task, key] = value

    def xcom_pull(self, task_ids: str, key: str) -> Any:
        return self.left.get((task_ids, key))


class Run:
    """One run of the shop's DAG, task by task."""

    def __init__(self, shop: Shop) -> None:
        self.dag = build_dag(shop.pipelines["shop"])
        self.xcoms = XComs()

    def execute(self, task: str, **params: Any) -> Any:
        self.xcoms.task = task
        started_by = SimpleNamespace(triggering_user_name="tester", run_type="manual")
        context: Any = {"ti": self.xcoms, "dag": self.dag, "run_id": "manual__1", "dag_run": started_by}
        operator: Any = self.dag.get_task(task)
        return operator.execute({**context, "params": {**self.dag.params.dump(), **params}})


def worked_off(shop: Shop, run: str) -> int:
    """Let workers of a run do what there is to do; returns the number of its plan."""
    pipeline = shop.pipelines["shop"]
    with shop.deployment() as deployment:
        prepared = prepare(deployment, pipeline, as_of=shop.as_of, run=run, actor="tester")
        run_plan(deployment, pipeline, prepared, run=run, actor="tester")
    return prepared.plan_id


@pytest.fixture
def run(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> Run:
    """A shop with one delivery, in the environment of its workers."""
    shop.define(LINES)
    shop.deliver("orders", DAY, "k\n1\n")
    enter(shop, monkeypatch)
    monkeypatch.setenv("TIDEMARK_AS_OF", shop.as_of.isoformat())
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "http://airflow.test:8080/")
    # Messages to Airflow, which is not there: what is skipped, and which assets have events.
    monkeypatch.setattr("tidemark.airflow.operators.PlanOperator._skip", lambda self, tasks: None)
    monkeypatch.setattr("tidemark.airflow.operators.tell", lambda *published: 0)
    return Run(shop)


def test_a_run_that_failed_is_an_incident_with_its_page(shop: Shop, run: Run) -> None:
    """And with the owner of what failed; its name is in the record."""
    shop.breaks("lines", DAY)
    shop.run()
    run.xcoms.left[PLAN, PLAN] = shop.plan_id
    with pytest.raises(SystemExit):
        run.execute(VERDICT)
    assert run.xcoms.left[VERDICT, TOLD] is True
    one = open_incidents(shop)["lines asset_failed"]
    assert one.owner == "pricing"
    assert one.detail["link"] == "http://airflow.test:8080/dags/shop/runs/manual__1"


def test_why_no_plan_could_be_made_is_told_though_another_task_tells_it(shop: Shop, run: Run) -> None:
    """Airflow hands no task the exception of the one before."""
    for day in ("2025-01-02", "2025-01-03", "2025-01-04"):
        shop.deliver("orders", day, "k\n1\n")
    shop.run()
    shop.withdraw("orders", "2025-01-02", "2025-01-03", "2025-01-04")
    with pytest.raises(Exception, match="are gone"):
        run.execute(PLAN)
    with pytest.raises(SystemExit):
        run.execute(VERDICT)
    assert run.xcoms.left[VERDICT, TOLD] is True
    one = open_incidents(shop)[" run_failed"]
    assert "orders: 3 of 4 delivered files are gone from the landing zone at once" in one.detail["why"]
    assert one.summary == "shop: no plan could be made, so nothing was computed"


def test_a_plan_that_finds_all_well_gives_the_all_clear(shop: Shop, run: Run) -> None:
    """Where nothing is left to do there is no verdict: the plan says so itself."""
    shop.breaks("lines", DAY)
    shop.run()
    run.xcoms.left[PLAN, PLAN] = shop.plan_id
    with pytest.raises(SystemExit):
        run.execute(VERDICT)
    shop.mends("lines", DAY)
    shop.force("lines", DAY)
    assert list(open_incidents(shop)) == ["lines asset_failed"]
    assert run.execute(PLAN) == []
    assert open_incidents(shop) == {}
    assert notices_of(shop) == ["opened asset_failed", "resolved asset_failed"]


def test_what_is_only_good_to_know_is_told_by_the_verdict(shop: Shop, run: Run) -> None:
    """A late file has made final what was provisional: that wakes nobody."""
    shop.define(PAIRS)
    run = Run(shop)
    days = ["2025-01-05", "2025-01-06", "2025-01-07", "2025-01-08", "2025-01-09"]
    for day in days[:1] + days[2:]:
        shop.deliver("orders", day, "k\n1\n")
    shop.run()
    assert shop.provisional("pairs")
    shop.deliver("orders", days[1], "k\n1\n")
    run.xcoms.left[PLAN, PLAN] = worked_off(shop, "airflow shop manual__1")
    run.execute(VERDICT)
    assert notices_of(shop) == ["information repaired"]


def test_what_a_plan_alone_has_repaired_is_told_by_the_plan(shop: Shop, run: Run) -> None:
    """A good file that comes again brings back what is known: marks clear, and no worker is started."""
    shop.suite("orders", rule("expect_column_values_to_be_between", column="v", min_value=0))
    shop.define(GATED)
    run = Run(shop)
    shop.deliver("orders", DAY, "v\n1\n")
    shop.run()
    shop.deliver("orders", DAY, "v\n-1\n")
    shop.run()
    assert shop.provisional("lines")
    shop.deliver("orders", DAY, "v\n1\n", age=1800)
    assert run.execute(PLAN) == []
    assert not shop.provisional("lines")
    assert notices_of(shop) == ["information repaired"]


@pytest.mark.parametrize("well", [True, False])
def test_what_goes_wrong_with_incidents_changes_nothing_about_a_run(
    shop: Shop, run: Run, monkeypatch: pytest.MonkeyPatch, well: bool
) -> None:
    """What it came to is in its log and its XCom all the same."""
    if not well:
        shop.breaks("lines", DAY)
    shop.run()
    run.xcoms.left[PLAN, PLAN] = shop.plan_id

    def broken(*looked: object, **more: object) -> None:
        raise KeyError("a mistake of ours")

    monkeypatch.setattr("tidemark.incidents.troubles.reconcile", broken)
    if well:
        assert run.execute(VERDICT)["assets"]["lines"]["computed"] == 1
        assert run.execute(PLAN) == []
    else:
        with pytest.raises(SystemExit):
            run.execute(VERDICT)
        assert run.xcoms.left[VERDICT, "return_value"]["assets"]["lines"]["failed"] == 1
    assert (VERDICT, TOLD) not in run.xcoms.left, "the watch would take it for told"


def test_a_ledger_that_cannot_be_written_is_tried_again(shop: Shop, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Or nobody would be told."""
    shop.run()
    run.xcoms.left[PLAN, PLAN] = shop.plan_id

    def away(*looked: object, **more: object) -> None:
        raise Unavailable("the ledger cannot be used")

    monkeypatch.setattr("tidemark.incidents.troubles.reconcile", away)
    with pytest.raises(Unavailable):
        run.execute(VERDICT)
