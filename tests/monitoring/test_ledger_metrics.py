"""What is told of a ledger is what has happened in it."""

import time
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from tests.monitoring.told import GOOD, OURS, play, told, told_by
from tests.prometheus import promtool
from tests.scenario import Shop, on_both_ledgers
from tests.servers import silent_server
from tidemark.incidents.handling import resolve
from tidemark.ledger import Ledger, counts, incidents
from tidemark.ledger.schema import change, head_log, heartbeat
from tidemark.metrics.collecting import LedgerMetrics
from tidemark.metrics.serving import exposition
from tidemark.watching.standing import Standing

pytestmark = pytest.mark.timeout(120)


@on_both_ledgers
def test_what_is_live_what_failed_and_what_is_held(shop: Shop) -> None:
    """By environment, asset and state."""
    play(shop)
    found = told(shop)
    assert found.of("tidemark_up") == {(): 1}
    assert found.of("tidemark_heads") == {
        ("orders", "prod", "final"): 3,
        ("lines", "prod", "final"): 3,
        # Of two days each: the 4th broke, the 5th has both; the 6th and the 8th lack one, and the 7th has none.
        ("totals", "prod", "final"): 1,
        ("totals", "prod", "provisional"): 2,
        ("motto", "prod", "final"): 1,
    }
    assert found.of("tidemark_failed_partitions") == {("orders", "prod"): 1, ("totals", "prod"): 1}
    assert found.of("tidemark_holds") == {("lines", "prod"): 1, ("motto", "prod"): 1}
    assert found.of("tidemark_incidents_open") == {
        ("gate_failed", "prod", "critical"): 1,
        ("asset_failed", "prod", "critical"): 1,
    }
    with shop.deployment() as deployment, deployment.ledger.read() as connection:
        number = next(one.id for one in incidents.open_ones(connection, "prod") if one.cause == "gate_failed")
    with shop.deployment() as deployment:
        resolve(deployment, number, why="it came by mail", actor="ann")
    assert told(shop).of("tidemark_incidents_open") == {("asset_failed", "prod", "critical"): 1}


@on_both_ledgers
def test_what_did_not_pass_and_what_it_took(shop: Shop) -> None:
    """Counters count what has happened, and are there before it has."""
    play(shop)
    found = told(shop)
    assert found.of("tidemark_gate_failures_total") == {
        ("prod", "critical", "orders"): 1,
        ("prod", "warning", "lines"): 1,
    }
    assert found["tidemark_gate_failures_total", "prod", "critical", "lines"] == 0
    assert found.of("tidemark_rejected_deliveries_total") == {("orders", "prod"): 1}
    computed = found.of("tidemark_computed_partitions_total")
    assert computed == {("lines", "prod"): 3, ("totals", "prod"): 3, ("motto", "prod"): 1}
    assert found.of("tidemark_failed_computations_total") == {("totals", "prod"): 1}
    assert found.of("tidemark_batch_seconds_count") == dict.fromkeys(computed, 1)
    assert all(found["tidemark_batch_seconds_sum", *place] > 0 for place in computed)
    assert found.of("tidemark_plan_seconds_count") == {("prod", "shop"): 1}
    assert 0 < found["tidemark_plan_seconds_sum", "prod", "shop"] < 60
    assert abs(found["tidemark_last_plan_timestamp_seconds", "prod", "shop"] - time.time()) < 60
    shop.run()
    assert told(shop).of("tidemark_plan_seconds_count") == {("prod", "shop"): 2}


@on_both_ledgers
def test_how_old_what_is_live_is(shop: Shop) -> None:
    """Counted to the instant that plans take for now, if the settings name one; marks age by the clock."""
    play(shop)
    shop.more["TIDEMARK_AS_OF"] = "2025-01-09T06:00:00+00:00"
    found = told(shop)
    fresh = {name: found.of("tidemark_freshness_seconds")[name, "prod", kind] for name, kind in KINDS.items()}
    assert fresh["orders"] == fresh["lines"] == fresh["totals"] == 6 * 3600  # the 8th has ended six hours before
    assert 0 <= fresh["motto"] < 60  # without a period, since it came about
    assert found.of("tidemark_period_seconds") == {
        (name, "prod", kind): 86400 for name, kind in KINDS.items() if name != "motto"
    }
    marked = found.of("tidemark_oldest_provisional_seconds")
    assert list(marked) == [("totals", "prod", "asset")]
    assert 0 < marked["totals", "prod", "asset"] < 60
    with shop.deployment() as deployment, deployment.ledger.write() as connection:
        oldest = sa.select(sa.func.min(head_log.c.from_seq)).where(
            head_log.c.missing.is_not(None), head_log.c.to_seq.is_(None)
        )
        day_ago = sa.update(change).where(change.c.seq == oldest.scalar_subquery())
        connection.execute(day_ago.values(at=datetime.now(UTC) - timedelta(days=1)))
    assert told(shop)["tidemark_oldest_provisional_seconds", "totals", "prod", "asset"] == pytest.approx(86400, abs=60)
    del shop.more["TIDEMARK_AS_OF"]
    age = datetime.now(UTC) - datetime(2025, 1, 9, tzinfo=UTC)
    assert told(shop)["tidemark_freshness_seconds", "lines", "prod", "asset"] == pytest.approx(
        age.total_seconds(), abs=60
    )


KINDS = {"orders": "source", "lines": "asset", "totals": "asset", "motto": "asset"}


def test_nobody_waits_for_what_a_pipeline_has_given_up(shop: Shop) -> None:
    """Its heads are there, and grow no older."""
    play(shop)
    shop.release("motto")
    shop.edit('    return "all is well"\n', "    return 1\n")
    shop.edit("[orders, lines, totals, motto]", "[orders, lines, totals]")
    shop.run()
    found = told(shop)
    assert found["tidemark_heads", "motto", "prod", "final"] == 1
    assert ("tidemark_freshness_seconds", "motto", "prod", "asset") not in found


def test_a_branch_is_counted_by_what_it_has_changed(shop: Shop) -> None:
    """What it still takes from prod is counted there, and only there."""
    play(shop)
    before = told(shop).of("tidemark_heads")
    shop.environment = "trial"
    shop.edit('    return "all is well"', '    return "all is better"')
    shop.run()
    after = told(shop).of("tidemark_heads")
    assert {place: count for place, count in after.items() if place[1] == "prod"} == before
    assert after["motto", "trial", "final"] == 1
    assert ("orders", "trial", "final") not in after


def test_what_a_gate_stops_on_a_branch_is_counted_there(shop: Shop) -> None:
    """What gates say is of content alone: whose it is, is where it was made."""
    play(shop)
    before = told(shop).of("tidemark_gate_failures_total")
    shop.environment = "trial"
    shop.edit("    return orders\n", "    return orders.with_columns(v=pl.lit(900.0))\n")
    shop.run()
    found = told(shop).of("tidemark_gate_failures_total")
    assert {place: count for place, count in found.items() if place[0] == "prod"} == before
    # One content, for every day's is the same.
    assert {place: count for place, count in found.items() if place[0] == "trial"} == {("trial", "warning", "lines"): 1}


def test_a_watch_that_has_left_shows_no_sign_of_life_and_need_not(shop: Shop) -> None:
    """As one that was started by hand to do everything once: nobody misses it a quarter of an hour later."""
    play(shop)
    with shop.deployment() as deployment:
        standing = Standing(deployment)
        standing.beat()
        assert list(told(shop).of("tidemark_heartbeat_timestamp_seconds")) == [("watch",)]
        standing.leave()
    assert told(shop).of("tidemark_heartbeat_timestamp_seconds") == {}


@on_both_ledgers
def test_what_promtool_says_of_it(shop: Shop) -> None:
    """Names, types and help are as Prometheus's own tool wants them, and nothing is told that no test names."""
    with shop.deployment() as deployment:
        empty = exposition(deployment)
    play(shop)
    with shop.deployment() as deployment:
        with deployment.ledger.write() as connection:
            connection.execute(sa.insert(heartbeat).values(name="watch", at=datetime.now(UTC), detail={}))
        full = exposition(deployment)
    assert told_by(empty).names == {"tidemark_up", "tidemark_collect_seconds"}
    assert told_by(full).names == OURS
    for text in (empty, full):
        checked = promtool("check", "metrics", text=text)
        assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")


def test_history_is_counted_once_as_long_as_nothing_is_added_to_it(shop: Shop) -> None:
    """An idle scrape looks at the ends of indexes and at small tables, which are read each time."""
    play(shop)
    with shop.deployment() as deployment:
        metrics = LedgerMetrics(deployment.ledger)
        first = metrics.read()
        with deployment.ledger.write() as connection:
            connection.execute(sa.insert(heartbeat).values(name="watch", at=datetime.now(UTC), detail={}))
        second = metrics.read()
        assert second.history is first.history
        assert list(second.heartbeats) == ["watch"]
        shop.deliver("orders", "2025-01-07", GOOD)
        shop.run()
        third = metrics.read()
        assert [each.final for each in third.history.live] == [4, 4, 2, 1]


def test_a_ledger_that_is_not_reached_is_told_and_not_waited_for() -> None:
    """Neither one that refuses nor one that takes the call and says nothing keeps a scrape waiting."""
    with silent_server() as server:
        for port in (server.port, 1):
            ledger = Ledger(f"postgresql://tester@127.0.0.1:{port}/ledger")
            began = time.monotonic()
            found = list(LedgerMetrics(ledger, deadline=1).collect())
            assert time.monotonic() - began < 3
            assert [(each.name, each.samples[0].value) for each in found] == [("tidemark_up", 0)]


def test_a_ledger_that_comes_back_is_told_again(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """A scrape that failed leaves nothing behind."""
    play(shop)
    with shop.deployment() as deployment:
        metrics = LedgerMetrics(deployment.ledger)

        def up() -> float:
            return next(iter(metrics.collect())).samples[0].value

        with monkeypatch.context() as broken:
            broken.setattr(counts, "state", _refuses)
            assert up() == 0
        assert up() == 1


def _refuses(connection: sa.Connection) -> counts.State:
    raise sa.exc.OperationalError("SELECT", {}, Exception("disk I/O error"))
