"""A pipeline that promised to be done by a time is late from then on, until it is; late and failed is one incident."""

from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from tests.incidents.story import notices_of, open_incidents, told
from tests.scenario import Shop
from tests.watching.watched import instant
from tidemark.airflow.deadlines import tell_missed
from tidemark.errors import DefinitionError
from tidemark.incidents.classes import CauseClass
from tidemark.incidents.conditions import Condition
from tidemark.ledger.schema import incident, plan
from tidemark.pipelines import pipeline
from tidemark.selection import Selection
from tidemark.watching.checks import Found, act_on, of_cause
from tidemark.watching.deadlines import missed_deadlines

SHOP = """
    orders = source("orders", files="orders/{partition}.csv", partitions=DAYS)

    @asset(partitions=DAYS, owner="pricing")
    def prices(orders: str) -> str:
        return orders
"""
MISSED = "shop: the run of 2025-03-11 06:00 was to be over by 07:30 Europe/London"


def promised(shop: Shop, deadline: str = "07:30 Europe/London") -> Shop:
    """A shop that promises its prices every morning."""
    shop.define(SHOP)
    shop.edit("])\n", f"], schedule='0 6 * * *', timezone='Europe/London', deadline={deadline!r})\n")
    shop.deliver_days("orders", "2025-03-09")
    return shop


def ran(shop: Shop, made_at: str, **options: object) -> None:
    """Run, as if that had been at an instant by the clock."""
    told(shop, **options)
    made(shop, made_at)


def made(shop: Shop, made_at: str) -> None:
    """Let the newest plan have been made at an instant by the clock."""
    with shop.deployment() as deployment, deployment.ledger.write() as connection:
        newest = sa.select(sa.func.max(plan.c.id)).scalar_subquery()
        connection.execute(sa.update(plan).where(plan.c.id == newest).values(made_at=instant(made_at)))


def looked(shop: Shop, now: str) -> list[str]:
    """Look for missed deadlines at an instant; returns what became of incidents, a line each."""
    with shop.deployment() as deployment:
        return act_on(deployment, missed_deadlines(deployment, instant(now)))


def test_it_is_late_from_its_time_of_day_until_a_run_since_its_tick_is_over(shop: Shop) -> None:
    """The run of the morning before does not count."""
    promised(shop)
    ran(shop, "2025-03-10T06:00")
    assert looked(shop, "2025-03-10T07:31") == []
    assert looked(shop, "2025-03-11T07:29") == []
    assert looked(shop, "2025-03-11T07:31") == [f"incident 1 opened (deadline_missed): {MISSED}"]
    assert looked(shop, "2025-03-11T09:00") == []
    assert open_incidents(shop)[" deadline_missed"].owner == "pricing"
    ran(shop, "2025-03-11T09:05")
    assert looked(shop, "2025-03-11T09:06") == []
    assert open_incidents(shop) == {}
    assert notices_of(shop) == ["opened deadline_missed", "resolved deadline_missed"]


def test_the_time_of_day_is_that_of_its_zone_all_year(shop: Shop) -> None:
    """In summer it comes an hour earlier, counted in UTC."""
    promised(shop)
    ran(shop, "2025-03-29T06:00")
    assert looked(shop, "2025-03-31T06:29")[0].endswith(
        "the run of 2025-03-30 06:00 was to be over by 07:30 Europe/London"
    )
    ran(shop, "2025-03-30T05:10")
    assert looked(shop, "2025-03-31T06:29") == []
    assert looked(shop, "2025-03-31T06:31")[0].endswith(
        "the run of 2025-03-31 06:00 was to be over by 07:30 Europe/London"
    )


def test_a_run_whose_workers_never_came_is_not_over(shop: Shop) -> None:
    """There is a plan, and nobody has worked it off."""
    promised(shop)
    ran(shop, "2025-03-10T06:00")
    shop.deliver_days("orders", "2025-03-10")
    shop.now("2025-03-11T06:00")
    from tidemark.running.run import prepare

    with shop.deployment() as deployment:
        prepare(deployment, shop.pipelines["shop"], as_of=shop.as_of, run="killed", actor="tester")
    assert looked(shop, "2025-03-11T07:31") == [f"incident 1 opened (deadline_missed): {MISSED}"]


def begun(shop: Shop, made_at: str) -> None:
    """Begin a run of the day that nobody works off, as if that had been at an instant by the clock."""
    from tidemark.running.run import prepare

    shop.deliver_days("orders", "2025-03-10")
    shop.now("2025-03-11T06:00")
    with shop.deployment() as deployment:
        prepare(deployment, shop.pipelines["shop"], as_of=shop.as_of, run="arrival", actor="tester")
    made(shop, made_at)


def test_a_second_run_that_goes_on_does_not_make_the_first_one_late(shop: Shop) -> None:
    """A delivery has started it after the scheduled one was over."""
    promised(shop)
    ran(shop, "2025-03-10T06:00")
    ran(shop, "2025-03-11T06:00")
    begun(shop, "2025-03-11T07:20")
    assert looked(shop, "2025-03-11T07:31") == []


def test_a_run_of_some_days_is_not_that_of_the_day(shop: Shop) -> None:
    """Somebody has asked for last week's."""
    promised(shop)
    ran(shop, "2025-03-10T06:00")
    some = Selection(first=instant("2025-03-09T00:00"), last=instant("2025-03-10T00:00"))
    ran(shop, "2025-03-11T06:30", selection=some)
    assert looked(shop, "2025-03-11T07:31") == [f"incident 1 opened (deadline_missed): {MISSED}"]


def test_a_pipeline_is_not_late_for_a_tick_before_it_was_there(shop: Shop) -> None:
    """Its first run is under way at noon; the promise counts from the next morning on."""
    promised(shop)
    begun(shop, "2025-03-11T12:00")
    assert looked(shop, "2025-03-11T12:01") == []
    assert looked(shop, "2025-03-12T07:31") != []


def test_what_keeps_it_from_running_once_it_is_late_is_no_all_clear(shop: Shop) -> None:
    """Somebody pauses it, and it is still late."""
    promised(shop)
    ran(shop, "2025-03-10T06:00")
    looked(shop, "2025-03-11T07:31")
    wrong = Condition(CauseClass.DAG_PAUSED, "shop", "", "nothing runs", happened=0)
    with shop.deployment() as deployment:
        act_on(deployment, Found((wrong,), of_cause(CauseClass.DAG_PAUSED)))
    assert looked(shop, "2025-03-11T08:00") == []
    assert " deadline_missed" in open_incidents(shop)
    ran(shop, "2025-03-11T08:05")  # from a command line; whoever runs it so tells its verdict
    assert looked(shop, "2025-03-11T08:06") == []
    assert " deadline_missed" not in open_incidents(shop)


def test_late_and_then_failed_is_one_incident(shop: Shop) -> None:
    """When it is known why, the incident says so; it is over when the failure is."""
    promised(shop)
    ran(shop, "2025-03-10T06:00")
    looked(shop, "2025-03-11T07:31")
    shop.deliver_days("orders", "2025-03-10")
    shop.now("2025-03-11T06:00")
    shop.breaks("prices")
    ran(shop, "2025-03-11T08:00")
    assert looked(shop, "2025-03-11T08:01") == []
    assert [one.id for one in open_incidents(shop).values()] == [1]
    assert list(open_incidents(shop)) == ["prices asset_failed"]
    shop.mends("prices")
    ran(shop, "2025-03-11T08:30")
    assert notices_of(shop) == ["opened deadline_missed", "updated asset_failed", "resolved asset_failed"]


def test_failed_and_then_late_is_one_incident(shop: Shop) -> None:
    """Who has been told that it failed is not told that it is late."""
    promised(shop)
    ran(shop, "2025-03-10T06:00")
    shop.deliver_days("orders", "2025-03-10")
    shop.now("2025-03-11T06:00")
    shop.breaks("prices")
    ran(shop, "2025-03-11T05:59")
    assert looked(shop, "2025-03-11T07:31") == []
    assert list(open_incidents(shop)) == ["prices asset_failed"]


def test_what_failed_before_the_tick_does_not_explain_that_no_run_comes(shop: Shop) -> None:
    """A bad file of yesterday, which somebody has taken on."""
    promised(shop)
    shop.now("2025-03-10T06:00")
    shop.breaks("prices")
    ran(shop, "2025-03-10T06:00")
    with shop.deployment() as deployment, deployment.ledger.write() as connection:
        then = instant("2025-03-10T06:01")
        connection.execute(sa.update(incident).values(opened_at=then, updated_at=then))
    assert looked(shop, "2025-03-11T07:31") == [f"incident 2 opened (deadline_missed): {MISSED}"]
    assert set(open_incidents(shop)) == {"prices asset_failed", " deadline_missed"}


@pytest.mark.parametrize(
    ("cause", "of_pipeline", "asset"),
    [
        (CauseClass.DAG_BROKEN, "shop", "shop.py"),
        (CauseClass.DAG_PAUSED, "shop", ""),
        (CauseClass.HEARTBEAT_MISSING, "", "scheduler"),
    ],
)
def test_what_is_late_because_nothing_runs_is_told_once(
    shop: Shop, cause: CauseClass, of_pipeline: str, asset: str
) -> None:
    """The incident of what keeps it from running says it; if it is late when that is over, that is told then."""
    promised(shop)
    ran(shop, "2025-03-10T06:00")
    wrong = Condition(cause, of_pipeline, asset, "nothing runs", happened=0)
    with shop.deployment() as deployment:
        act_on(deployment, Found((wrong,), of_cause(cause)))
        assert looked(shop, "2025-03-11T07:31") == []
        act_on(deployment, Found((), of_cause(cause)))
    assert looked(shop, "2025-03-11T07:31") == [f"incident 2 opened (deadline_missed): {MISSED}"]


def test_a_deadline_that_is_taken_out_is_over(shop: Shop) -> None:
    """Nobody waits for it any more."""
    promised(shop)
    ran(shop, "2025-03-10T06:00")
    looked(shop, "2025-03-11T07:31")
    shop.edit(", deadline='07:30 Europe/London'", "")
    with shop.deployment() as deployment:
        from tidemark.facts import register

        register(deployment, shop.pipelines["shop"])
    assert looked(shop, "2025-03-11T07:31") == [f"incident 1 resolved (deadline_missed): {MISSED}"]


def test_one_that_each_run_has_is_told_by_airflow_and_over_when_the_run_is(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The watch does not take the run before for it."""
    promised(shop, "90 minutes")
    told(shop)
    for name, value in shop.environ.items():
        monkeypatch.setenv(name, value)
    now = datetime.now(UTC)
    began = (now - timedelta(minutes=90)).isoformat()
    run = {"dag_run_id": "scheduled__1", "queued_at": began, "end_date": None}
    with shop.deployment() as deployment, deployment.ledger.write() as connection:
        connection.execute(sa.update(plan).values(made_at=now - timedelta(hours=25)))
    tell_missed("shop", "pricing", {**run, "end_date": now.isoformat()})
    assert open_incidents(shop) == {}
    tell_missed("shop", "pricing", run)
    assert looked(shop, now.isoformat()) == []
    told(shop)
    assert open_incidents(shop) == {}
    # It was over as Airflow told it: nobody else would resolve that.
    tell_missed("shop", "pricing", run)
    assert looked(shop, now.isoformat()) == ["incident 2 resolved (deadline_missed): shop: a run missed its deadline"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"deadline": "soon", "schedule": "0 6 * * *"}, "deadline='soon': write '07:30 Europe/London'"),
        ({"deadline": "07:30 Europe/London"}, "is counted from the schedule, and there is none"),
    ],
)
def test_a_deadline_that_cannot_be_is_refused(shop: Shop, options: dict[str, str], said: str) -> None:
    """With what to write instead."""
    shop.define(SHOP)
    from tidemark import asset

    @asset()
    def answer() -> str:
        return "42"

    with pytest.raises(DefinitionError, match=said):
        pipeline("other", [answer], **options)
