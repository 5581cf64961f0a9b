"""Rule 9: how a result becomes live, whoever else runs, and wherever the power goes."""

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from tests.scenario import DEATHS, Shop, on_both_ledgers
from tidemark import interventions
from tidemark import plan as planning
from tidemark.ledger import events, leases
from tidemark.ledger.events import Event
from tidemark.ledger.schema import lease
from tidemark.running import publish
from tidemark.running import run as running
from tidemark.running.run import prepare, run_batch
from tidemark.survey import Selection

LINES = """
    orders = source("orders", files="orders/{partition}.txt", partitions=DAYS)

    @asset(partitions=DAYS)
    def lines(orders: bytes) -> str:
        return orders.decode()

    @asset(partitions=DAYS, inputs={"total": previous()})
    def total(lines: str, total: str | None) -> str:
        return str(len(lines) + int(total or 0))
"""

DAYS = [f"2025-01-{day:02d}" for day in range(1, 10)]


def _events(shop: Shop) -> list[Event]:
    with shop.deployment() as deployment, deployment.ledger.read() as connection:
        return events.unsent(connection, shop.environment, ["lines", "total"], limit=1000)


def _in_background(work: Callable[[], object]) -> "tuple[threading.Thread, list[BaseException]]":
    """Start work in a thread; the list gets what it raises."""
    problems: list[BaseException] = []

    def guarded() -> None:
        try:
            work()
        except BaseException as problem:
            problems.append(problem)

    thread = threading.Thread(target=guarded)
    thread.start()
    return thread, problems


def _joined(started: "tuple[threading.Thread, list[BaseException]]") -> None:
    thread, problems = started
    thread.join(60)
    assert not thread.is_alive()
    assert problems == []


# -- one runner


def test_what_is_read_is_pinned(shop: Shop) -> None:
    """A head that moves while a partition is computed does not reach it: versions were chosen before."""
    shop.define(LINES)
    shop.deliver_days("orders", DAYS[0])
    shop.run()
    shop.deliver("orders", DAYS[0], "one")
    shop.pauses("total", DAYS[0])
    first = _in_background(shop.run)
    shop.wait_for("total", DAYS[0], times=2)
    other = shop.twin()
    other.deliver("orders", DAYS[0], "three")
    other.planned()  # observes, and so moves the head of the source
    shop.mends("total", DAYS[0])
    _joined(first)
    assert shop.heads("total") == {DAYS[0]: "3"}
    shop.run()
    assert shop.heads("total") == {DAYS[0]: "5"}


def test_a_publish_is_told_once_with_its_state_and_reason(shop: Shop) -> None:
    """Each published content is an event; marks alone, and results that came out equal, are none."""
    shop.define(LINES)
    shop.deliver("orders", DAYS[0], "a")
    shop.run()
    versions = {asset: bytes.fromhex(shop.versions(asset)[DAYS[0]]) for asset in ("lines", "total")}
    told = _events(shop)
    assert [(each.asset, each.partition, each.state) for each in told] == [
        ("lines", DAYS[0], "final"),
        ("total", DAYS[0], "final"),
    ]
    assert {each.asset: each.data_version for each in told} == versions
    shop.deliver("orders", DAYS[0], "b")
    shop.run()
    assert shop.ran == {"lines": [DAYS[0]], "total": [DAYS[0]]}
    assert [each.asset for each in _events(shop)[2:]] == ["lines"]


def test_what_is_finished_is_published_within_a_second_of_work(shop: Shop) -> None:
    """A long partition does not keep the one before it from being live, nor lose it in a crash."""
    shop.define(LINES)
    shop.deliver_days("orders", *DAYS[:3])
    shop.breaks("lines", DAYS[0], f"time.sleep({publish.COMMIT_SECONDS + 0.1})")
    shop.pauses("lines", DAYS[1])
    runner = shop.start()
    shop.wait_for("lines", DAYS[1])
    assert shop.heads("lines").keys() == {DAYS[0]}
    runner.kill()


def test_cheap_partitions_are_committed_together(shop: Shop) -> None:
    """One commit for many, as long as they take a second together at most."""
    shop.define(LINES)
    shop.deliver_days("orders", *DAYS)
    shop.run()
    told = {entry["at"] for key in DAYS for entry in shop.history("total", key)}
    assert len(told) <= 2


# -- where the power goes


@on_both_ledgers
@pytest.mark.parametrize("death", DEATHS)
def test_a_crash_leaves_orphan_blobs_at_worst(shop: Shop, death: str) -> None:
    """Nothing is half published: the next run finds nothing of it in the ledger, and computes it."""
    shop.define(LINES.replace("return orders.decode()", "return orders.decode().upper()"))
    shop.deliver_days("orders", *DAYS[:2])
    shop.planned()  # so that the first blob is that of a result
    before = shop.blobs()
    runner = shop.start(dies=death)
    assert runner.wait() == -9, runner.log.read_text()
    assert shop.called("lines", DAYS[0]) == 1
    assert len(shop.blobs() - before) >= 1
    assert shop.heads("lines") == {}
    assert shop.made("lines", DAYS[0]) == []
    assert _events(shop) == []
    shop.run()
    assert shop.counts("lines") == {"computed": 2}
    assert shop.heads("total").keys() == {*DAYS[:2]}
    assert shop.state() == shop.rebuilt().state()


@on_both_ledgers
def test_a_worker_that_is_killed_in_the_middle_of_a_batch_loses_nothing(shop: Shop) -> None:
    """What it had published stays, what it was at is done by the next run at once, and nothing is done twice."""
    shop.define(LINES)
    shop.deliver_days("orders", *DAYS)
    shop.breaks("lines", DAYS[3], f"time.sleep({publish.COMMIT_SECONDS})")
    shop.pauses("lines", DAYS[4])
    runner = shop.start()
    shop.wait_for("lines", DAYS[4])
    runner.kill()
    assert shop.heads("lines").keys() == {*DAYS[:4]}
    shop.mends("lines", DAYS[4])
    started = time.monotonic()
    verdict = shop.run()
    assert time.monotonic() - started < leases.LIFETIME.total_seconds() / 2, "a dead worker was waited for"
    assert verdict.ok
    assert shop.ran["lines"] == DAYS[4:]
    assert shop.counts("lines") == {"computed": 5, "unchanged": 4}
    assert [shop.called("lines", key) for key in DAYS] == [1, 1, 1, 1, 2, 1, 1, 1, 1]
    assert shop.state() == shop.rebuilt().state()


# -- two runners


@on_both_ledgers
def test_of_two_runs_of_one_partition_one_computes_and_the_other_finds_it_done(shop: Shop) -> None:
    """The second waits for the first, and runs nothing."""
    shop.define(LINES)
    shop.deliver_days("orders", *DAYS[:2])
    shop.pauses("lines", DAYS[0])
    other = shop.twin()
    first = _in_background(shop.run)
    shop.wait_for("lines", DAYS[0])
    second = _in_background(other.run)
    time.sleep(0.3)
    shop.mends("lines", DAYS[0])
    _joined(first)
    _joined(second)
    for key in DAYS[:2]:
        assert shop.called("lines", key) == shop.called("total", key) == 1
    assert shop.counts("lines") == {"computed": 2}
    assert other.counts("lines") == {"unchanged": 2}
    assert other.counts("total") == {"unchanged": 2}


@on_both_ledgers
def test_two_processes_may_begin_at_once(shop: Shop) -> None:
    """On an empty ledger, too: between them they compute everything once."""
    shop.define(LINES)
    shop.deliver_days("orders", *DAYS)
    runners = [shop.start(), shop.start()]
    for runner in runners:
        assert runner.wait() == 0, runner.log.read_text()
    for key in DAYS:
        assert shop.called("lines", key) == shop.called("total", key) == 1
    assert len(_events(shop)) == 2 * len(DAYS)
    assert shop.state() == shop.rebuilt().state()


@on_both_ledgers
def test_lanes_side_by_side(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers share an asset's partitions out; a chain stays with one of them, in the order of time."""
    monkeypatch.setattr(planning, "LANE_SECONDS", 0.3)
    shop.define(LINES)
    shop.deliver_days("orders", *DAYS)
    shop.run(lanes=True, slots=3)
    assert shop.plan is not None
    lanes = {asset: {each.lane for each in shop.plan.items if each.asset == asset} for asset in ("lines", "total")}
    assert lanes == {"lines": {0, 1, 2}, "total": {0}}
    assert sorted(shop.ran["lines"]) == shop.ran["total"] == DAYS
    assert shop.state() == shop.rebuilt().state()


def _expire(shop: Shop) -> None:
    """Let all leases run out, as if their workers had been silent for long."""
    with shop.deployment() as deployment, deployment.ledger.write() as connection:
        connection.execute(sa.update(lease).values(expires_at=datetime.now(UTC) - timedelta(seconds=1)))


@on_both_ledgers
def test_a_stale_token_is_refused(shop: Shop) -> None:
    """A worker that was silent for too long, and whose partition another took over, publishes nothing any more."""
    shop.define(LINES)
    shop.deliver_days("orders", DAYS[0])
    shop.pauses("lines", DAYS[0])
    slow = shop.twin()
    slowly = _in_background(slow.run)
    shop.wait_for("lines", DAYS[0])
    _expire(shop)
    quick = shop.twin()
    hastily = _in_background(quick.run)
    shop.wait_for("lines", DAYS[0], times=2)
    shop.mends("lines", DAYS[0])
    _joined(hastily)
    _joined(slowly)
    assert shop.called("lines", DAYS[0]) == 2
    assert len(shop.made("lines", DAYS[0])) == 1
    assert len(shop.history("lines", DAYS[0])) == 1
    assert sorted([slow.outcomes("lines")[DAYS[0]] or "", quick.outcomes("lines")[DAYS[0]] or ""]) == ["", "computed"]


@on_both_ledgers
def test_a_worker_that_works_is_not_taken_for_dead(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its leases are renewed for as long as it takes, however short they last."""
    monkeypatch.setattr(leases, "LIFETIME", timedelta(seconds=2.5))
    shop.define(LINES)
    shop.deliver_days("orders", DAYS[0])
    shop.pauses("lines", DAYS[0])
    other = shop.twin()
    first = _in_background(shop.run)
    shop.wait_for("lines", DAYS[0])
    second = _in_background(other.run)
    time.sleep(4)
    shop.mends("lines", DAYS[0])
    _joined(first)
    _joined(second)
    assert shop.called("lines", DAYS[0]) == 1


@on_both_ledgers
def test_a_head_that_a_person_moves_meanwhile_stays_where_it_was_put(shop: Shop) -> None:
    """Compare and swap: the result that was being computed is neither live nor told."""
    shop.define(LINES)
    shop.deliver("orders", DAYS[0], "a")
    shop.run()
    shop.deliver("orders", DAYS[0], "bb")
    shop.run()
    first = shop.history("lines", DAYS[0])[0]["version"]
    shop.deliver("orders", DAYS[0], "ccc")
    shop.pauses("lines", DAYS[0])
    other = shop.twin()
    working = _in_background(shop.run)
    shop.wait_for("lines", DAYS[0], times=3)
    told = len(_events(shop))
    with other.deployment() as deployment:
        interventions.restore(
            deployment, other.pipelines["shop"], "lines", DAYS[0], first[:12], why="the first was right", actor="ada"
        )
    shop.mends("lines", DAYS[0])
    _joined(working)
    assert shop.heads("lines") == {DAYS[0]: "a"}
    assert [each.reason for each in _events(shop)[told:] if each.asset == "lines"] == ["restored: the first was right"]
    shop.run()
    assert shop.heads("lines") == {DAYS[0]: "a"}
    assert shop.heads("total") == {DAYS[0]: "1"}


# -- what others change meanwhile

BESIDE = """
    orders = source("orders", files="orders/{partition}.txt", partitions=DAYS)
    extra = source("extra", files="extra/{partition}.txt", partitions=DAYS)

    @asset(partitions=DAYS)
    def lines(orders: bytes) -> str:
        return orders.decode()

    @asset(partitions=DAYS)
    def beside(extra: bytes) -> str:
        return extra.decode()

    @asset(partitions=DAYS)
    def loud(lines: str) -> str:
        return lines.upper()
"""


@on_both_ledgers
@pytest.mark.parametrize("lanes", [False, True], ids=["in one process", "in workers of their own"])
def test_an_older_run_does_not_undo_what_a_newer_one_published(shop: Shop, lanes: bool) -> None:
    """It comes to a partition with inputs in mind that are not live any more, and looks again."""
    shop.define(BESIDE)
    shop.deliver_days("orders", DAYS[0])
    shop.run()
    shop.deliver("orders", DAYS[0], "second")
    shop.deliver_days("extra", DAYS[1])
    shop.pauses("beside", DAYS[1])
    other = shop.twin()
    older = _in_background(lambda: shop.run(lanes=lanes))
    shop.wait_for("beside", DAYS[1])
    other.deliver("orders", DAYS[0], "third")
    other.run(selection=Selection(last=datetime(2025, 1, 1, tzinfo=UTC)))  # the day that is paused is left to the other
    assert shop.heads("loud") == {DAYS[0]: "THIRD"}
    shop.mends("beside", DAYS[1])
    _joined(older)
    assert shop.heads("loud") == {DAYS[0]: "THIRD"}
    assert shop.planned().items == ()


@on_both_ledgers
def test_a_hold_that_comes_during_a_batch_stops_the_rest_of_it(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was being computed is not published either."""
    monkeypatch.setattr(publish, "COMMIT_SECONDS", 0.0)
    shop.define(BESIDE)
    shop.deliver_days("orders", *DAYS[:2])
    shop.run()
    before = shop.heads("lines")
    shop.edit("return orders.decode()", "return orders.decode() + '!'")
    shop.pauses("lines", DAYS[0])
    other = shop.twin()
    working = _in_background(shop.run)
    shop.wait_for("lines", DAYS[0], times=2)
    other.hold("lines")
    shop.mends("lines", DAYS[0])
    _joined(working)
    assert shop.ran == {"lines": [DAYS[0]]}
    assert shop.heads("lines") == before
    assert shop.counts("lines") == {"unchanged": 2}
    assert shop.explain("lines", DAYS[0])["state"] == "held"


def test_a_restore_that_comes_during_a_batch_outlives_it(shop: Shop) -> None:
    """Also where its partition's turn in the batch had not come yet, and its lease was taken."""
    shop.define(BESIDE)
    shop.deliver_days("orders", *DAYS[:2])
    shop.run()
    first = shop.versions("lines")[DAYS[1]]
    shop.deliver("orders", DAYS[1], "second")
    shop.run()
    shop.edit("return orders.decode()", "return orders.decode() + '!'")
    shop.pauses("lines", DAYS[0])
    other = shop.twin()
    working = _in_background(shop.run)
    shop.wait_for("lines", DAYS[0], times=2)
    with other.deployment() as deployment:
        interventions.restore(
            deployment, other.pipelines["shop"], "lines", DAYS[1], first[:12], why="the first was right", actor="ada"
        )
    shop.mends("lines", DAYS[0])
    _joined(working)
    assert shop.heads("lines") == {DAYS[0]: f"orders {DAYS[0]}\n!", DAYS[1]: f"orders {DAYS[1]}\n"}
    assert shop.heads("loud") == {DAYS[0]: f"ORDERS {DAYS[0]}\n!", DAYS[1]: f"ORDERS {DAYS[1]}\n"}


@on_both_ledgers
def test_a_chain_is_not_published_on_a_link_that_is_not_live(shop: Shop) -> None:
    """What was made of a result that was not to be is made again of the one that is."""
    shop.define(LINES)
    for key, text in zip(DAYS[:3], ["a", "bb", "ccc"], strict=True):
        shop.deliver("orders", key, text)
    shop.run()
    first = shop.versions("total")[DAYS[0]]
    for key in DAYS[:3]:
        shop.deliver("orders", key, "ten letter")
    shop.pauses("total", DAYS[1])
    other = shop.twin()
    working = _in_background(shop.run)
    shop.wait_for("total", DAYS[1], times=2)  # the day before is finished by now, and written down together with it
    with other.deployment() as deployment:
        interventions.hold(deployment, other.pipelines["shop"], "total", DAYS[0], why="look", actor="ada")
    shop.mends("total", DAYS[1])
    _joined(working)
    assert shop.versions("total")[DAYS[0]] == first
    assert shop.heads("total") == {DAYS[0]: "1", DAYS[1]: "11", DAYS[2]: "21"}


def test_a_file_that_is_rejected_during_a_run_leaves_its_mark(shop: Shop) -> None:
    """What is published from the last good delivery says that there is a bad one by now."""
    shop.define("""
        orders = source("orders", files="orders/{partition}.txt", partitions=DAYS)
        rates = source("rates", files="rates/{partition}.csv", partitions=DAYS, schema={"rate": float})

        @asset(partitions=DAYS)
        def priced(orders: bytes, rates: pl.DataFrame) -> str:
            return f"{orders.decode()} {rates['rate'].sum()}"
    """)
    shop.deliver("orders", DAYS[0], "tea")
    shop.deliver("rates", DAYS[0], "rate\n1.5\n")
    shop.pauses("priced", DAYS[0])
    other = shop.twin()
    working = _in_background(shop.run)
    shop.wait_for("priced", DAYS[0])
    other.deliver("rates", DAYS[0], "rate\nlots\n")
    other.planned()
    shop.mends("priced", DAYS[0])
    _joined(working)
    assert shop.heads("priced") == {DAYS[0]: "tea 1.5"}
    assert shop.provisional("priced") == {DAYS[0]: {f"rates {DAYS[0]}"}}


def test_what_is_said_of_a_file_during_a_run_is_heard_by_it(shop: Shop) -> None:
    """A declared absence leaves no mark on what is published after it."""
    shop.define("""
        orders = source("orders", files="orders/{partition}.txt", partitions=DAYS)
        rates = source("rates", files="rates/{partition}.txt", partitions=DAYS, expected=Calendar("MON-SUN"))

        @asset(partitions=DAYS)
        def priced(orders: bytes, rates: bytes | None) -> str:
            return f"{orders.decode()} {rates}"
    """)
    shop.deliver_days("orders", *DAYS[:2])
    shop.deliver_days("rates", DAYS[0])
    shop.now("2025-01-03 06:00")
    shop.pauses("priced", DAYS[1])
    other = shop.twin()
    working = _in_background(shop.run)
    shop.wait_for("priced", DAYS[1])
    other.declare_absent("rates", DAYS[1])
    shop.mends("priced", DAYS[1])
    _joined(working)
    assert shop.heads("priced").keys() == set(DAYS[:2])
    assert shop.provisional("priced") == {}


# -- what others change between a plan and what it writes


def _between(monkeypatch: pytest.MonkeyPatch, act: Callable[[], object]) -> None:
    """Let something happen once, after the next plan was made and before its moves are written."""
    applied = running.apply_moves

    def late(*given: Any, **named: Any) -> Any:
        monkeypatch.setattr(running, "apply_moves", applied)
        act()
        return applied(*given, **named)

    monkeypatch.setattr(running, "apply_moves", late)


@on_both_ledgers
def test_a_hold_that_comes_before_the_moves_of_a_plan_keeps_its_head(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The plan would have taken it away, since its file was withdrawn; it is made again."""
    shop.define(BESIDE)
    shop.deliver_days("orders", *DAYS[:2])
    shop.run()
    shop.withdraw("orders", DAYS[1])
    _between(monkeypatch, lambda: shop.twin().hold("lines"))
    shop.run()
    assert shop.heads("lines").keys() == set(DAYS[:2])


def test_a_run_that_planned_before_another_takes_nothing_away_from_it(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file was gone, and is there again by the time that the plan's moves are written."""
    shop.define(BESIDE)
    shop.deliver_days("orders", *DAYS[:2])
    shop.run()
    before = shop.state()
    shop.withdraw("orders", DAYS[1])

    def comes_back() -> None:
        other = shop.twin()
        other.deliver_days("orders", DAYS[1])
        other.run()

    _between(monkeypatch, comes_back)
    shop.run()
    assert shop.state() == before


def test_the_moves_of_a_plan_are_left_out_where_a_later_run_has_taken_over(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At its earlier instant a file was not due, so it would take away what the later run made without it."""
    shop.define("""
        orders = source("orders", files="orders/{partition}.csv", partitions=DAYS, schema={"v": str},
                        expected=Calendar("MON-SUN"), due="1 day 12:00 UTC")

        @asset(partitions=DAYS, inputs={"orders": trailing(days=2)})
        def window(orders: pl.DataFrame) -> str:
            return "".join(orders["v"].to_list())
    """)
    for key in DAYS[:2]:
        shop.deliver("orders", key, f"v\n{key[-1]}\n")
    shop.now("2025-01-03 06:00")
    shop.run()
    shop.withdraw("orders", DAYS[1])

    def later_run() -> None:
        other = shop.twin()
        other.now("2025-01-03 13:00")
        other.run()

    _between(monkeypatch, later_run)
    shop.run()
    assert shop.heads("window") == {DAYS[0]: "1", DAYS[1]: "1"}


# -- a later run

BOARD = """
    rates = source("rates", files="rates/{partition}.txt", partitions=DAYS)

    @asset(inputs={"rates": latest()})
    def board(rates: str) -> str:
        return rates.upper()
"""


@on_both_ledgers
def test_a_worker_of_an_earlier_run_leaves_to_a_later_one_what_is_its(shop: Shop) -> None:
    """As-of never goes back: what the later run published stays, and the earlier one's batch says so."""
    shop.define(BOARD)
    shop.now("2025-01-08 06:00")
    shop.deliver_days("rates", "2025-01-07")
    pipeline = shop.pipelines["shop"]
    with shop.deployment() as deployment:
        earlier = prepare(deployment, pipeline, as_of=shop.as_of, run="earlier", actor="tester")
    shop.now("2025-01-09 06:00")
    shop.deliver_days("rates", "2025-01-08")
    shop.run()
    with shop.deployment() as deployment:
        report = run_batch(deployment, pipeline, earlier.plan_id, 0, "board", run="earlier", actor="tester")
    assert shop.heads("board") == {"all": "RATES 2025-01-08\n"}
    [(result, why)] = report.results.values()
    assert (result, why) == ("unchanged", "left to a later run, as of 2025-01-09 06:00 UTC")


def test_a_later_run_takes_over_in_the_middle_of_a_batch(shop: Shop) -> None:
    """What the earlier one has computed by then is not published any more."""
    shop.define(BOARD)
    shop.now("2025-01-08 06:00")
    shop.deliver_days("rates", "2025-01-07")
    shop.pauses("board", "all")
    earlier = _in_background(shop.twin().run)
    shop.wait_for("board", "all")
    later = shop.twin()
    later.now("2025-01-09 06:00")
    later.deliver_days("rates", "2025-01-08")
    with later.deployment() as deployment:
        prepare(deployment, later.pipelines["shop"], as_of=later.as_of, run="later", actor="tester")
    shop.mends("board", "all")
    _joined(earlier)
    assert shop.heads("board") == {}
    later.run()
    assert shop.heads("board") == {"all": "RATES 2025-01-08\n"}


def test_an_earlier_run_whose_plan_comes_after_a_later_ones_publishes_nothing_older(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which of the two plans was written down first is chance; as-of never goes back."""
    shop.define("""
        orders = source("orders", files="orders/{partition}.csv", partitions=DAYS, schema={"v": str})

        @asset(partitions=Unpartitioned(), inputs={"orders": latest()})
        def newest(orders: pl.DataFrame) -> str:
            return "".join(orders["v"].to_list())
    """)
    for key in DAYS[:2]:
        shop.deliver("orders", key, f"v\n{key[-1]}\n")
    shop.now("2025-01-02 06:00")
    observe = running.observe

    def observing(*given: Any, **options: Any) -> Any:
        monkeypatch.setattr(running, "observe", observe)
        other = shop.twin()
        other.now("2025-01-04 06:00")
        other.run()
        return observe(*given, **options)

    monkeypatch.setattr(running, "observe", observing)
    shop.run()
    assert shop.heads("newest") == {"all": DAYS[1][-1]}
    shop.now("2025-01-04 06:00")
    shop.run()
    assert shop.heads("newest") == {"all": DAYS[1][-1]}
    assert shop.ran == {}
