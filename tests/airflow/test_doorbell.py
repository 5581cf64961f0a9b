"""The doorbell."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from airflow.triggers.base import TriggerEvent

from tidemark.airflow import doorbell
from tidemark.airflow.doorbell import Clock, Doorbell, Settling
from tidemark.ledger import Ledger, plans


def rings(watch: Settling, *looks: tuple[float, str]) -> list[float]:
    """The times at which a sequence of looks rings."""
    return [now for now, seen in looks if watch.rings(seen, now)]


def test_it_rings_once_when_what_is_seen_has_stayed_the_same() -> None:
    """Deliveries that go on arriving put it off."""
    watch = Settling("a", settle=10, patience=300)
    assert rings(watch, (0, "a"), (5, "b"), (10, "c"), (15, "d"), (20, "d"), (25, "d"), (30, "d"), (60, "d")) == [25]


def test_it_does_not_ring_for_what_came_and_went() -> None:
    """A temporary file, or one that was withdrawn at once."""
    watch = Settling("a", settle=10, patience=300)
    assert rings(watch, (0, "b"), (5, "a"), (10, "a"), (60, "a")) == []


def test_it_does_not_ring_for_an_empty_landing_zone() -> None:
    """There is nothing to plan before the first delivery."""
    assert rings(Settling(None, settle=0, patience=0), (0, doorbell._digest(())), (60, doorbell._digest(()))) == []


def test_deliveries_that_never_settle_are_rung_for_all_the_same() -> None:
    """A sender that writes something every second must not silence everybody."""
    watch = Settling("a", settle=10, patience=30)
    assert rings(watch, *((float(now), f"seen at {now}") for now in range(100))) == [30, 61, 92]


def test_the_clock_rings_once_for_each_instant() -> None:
    """As soon as it is reached; if no run follows, as where the DAG is paused, that is not said again."""
    clock, noon, second = Clock(None), datetime(2025, 1, 10, 12, tzinfo=UTC), timedelta(seconds=1)
    assert [clock.rings(noon, noon + late * second) for late in (-1, 0, 1, 3600)] == [False, True, False, False]
    assert [clock.rings(noon + 60 * second, noon + late * second) for late in (59, 61, 62)] == [False, True, False]
    again = Clock(noon.isoformat())
    assert not again.rings(noon, noon + second)


@pytest.fixture
def landing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A landing zone that the doorbell looks into ten times a second."""
    zone = tmp_path / "landing"
    (zone / "orders").mkdir(parents=True)
    monkeypatch.setenv("TIDEMARK_HOME", str(tmp_path))
    monkeypatch.setenv("TIDEMARK_SETTLE_SECONDS", "0.2")
    monkeypatch.setattr(doorbell, "_PLAN_SECONDS", 0.1)
    return zone


@pytest.fixture
def ledger(landing: Path) -> Iterator[Ledger]:
    """The ledger of the same deployment."""
    opened = Ledger(f"sqlite:///{landing.parent / 'ledger.db'}")
    opened.upgrade()
    yield opened
    opened.close()


def plan(
    ledger: Ledger, wakes_in: float | None, *, pipeline: str = "shop", environment: str = "prod", now: str = ""
) -> None:
    """Write down a plan that wants to be woken in so many seconds from now on; None: never."""
    moment = datetime.fromisoformat(now) if now else datetime.now(UTC)
    with ledger.write() as connection:
        plans.write(
            connection,
            environment=environment,
            pipeline=pipeline,
            as_of=moment,
            run="test",
            actor="tester",
            seq=0,
            wakes_at=None if wakes_in is None else moment + timedelta(seconds=wakes_in),
            definitions=b"",
            context={},
            items=[],
        )


class Memory:
    """What Airflow keeps for a trigger; its real one needs an API server."""

    def __init__(self) -> None:
        self.kept: dict[str, str] = {}

    async def aget(self, key: str) -> str | None:
        return self.kept.get(key)

    async def aset(self, key: str, value: str) -> None:
        self.kept[key] = value


def listen(trigger: Doorbell) -> AsyncIterator[TriggerEvent]:
    """Let a trigger run as the triggerer does: made again from what it says of itself."""
    path, arguments = trigger.serialize()
    assert path == "tidemark.airflow.doorbell.Doorbell"
    return Doorbell(**json.loads(json.dumps(arguments))).run()


async def next_ring(events: AsyncIterator[TriggerEvent], seconds: float) -> bool:
    """Whether it rings within some seconds; the trigger goes on in either case."""
    waiting = asyncio.ensure_future(anext(events))
    done, _ = await asyncio.wait([waiting], timeout=seconds)
    if not done:
        waiting.cancel()
    return bool(done)


def test_a_hundred_files_that_arrive_together_ring_once(landing: Path) -> None:
    """One run for all of them."""

    async def story() -> None:
        events = listen(Doorbell("shop", ["orders"]))
        for number in range(100):
            (landing / "orders" / f"{number}.csv").write_text("x")
        assert await next_ring(events, 5)
        assert not await next_ring(events, 1)

    asyncio.run(story())


def test_a_listing_that_fails_is_no_change_and_no_end(landing: Path) -> None:
    """The zone is away for a moment, comes back as it was, and is delivered to."""

    async def story() -> None:
        events = listen(Doorbell("shop", ["orders"]))
        (landing / "orders" / "1.csv").write_text("x")
        assert await next_ring(events, 5)
        waiting = asyncio.ensure_future(anext(events))
        landing.rename(landing.with_name("away"))
        await asyncio.sleep(0.5)
        landing.with_name("away").rename(landing)
        await asyncio.sleep(0.5)
        assert not waiting.done()
        (landing / "orders" / "2.csv").write_text("x")
        await asyncio.wait_for(waiting, 5)

    asyncio.run(story())


def test_a_memory_that_fails_does_not_end_the_doorbell(landing: Path) -> None:
    """It rings for what is there, as if it had never rung."""

    class Broken(Memory):
        async def aget(self, key: str) -> str | None:
            raise ConnectionError("the API server is away")

        async def aset(self, key: str, value: str) -> None:
            raise ConnectionError("the API server is away")

    async def story() -> None:
        trigger = Doorbell("shop", ["orders"])
        trigger.asset_state_store = Broken()  # type: ignore[assignment]
        events = trigger.run()
        for number in range(2):
            (landing / "orders" / f"{number}.csv").write_text("x")
            assert await next_ring(events, 5)

    asyncio.run(story())


def test_a_triggerer_that_starts_again_does_not_ring_for_what_was_rung_for(landing: Path) -> None:
    """It rings for what arrived while no triggerer ran, and for nothing else."""
    memory = Memory()

    async def rang(seconds: float) -> bool:
        trigger = Doorbell("shop", ["orders"])
        trigger.asset_state_store = memory  # type: ignore[assignment]
        events = trigger.run()
        found = await next_ring(events, seconds)
        if found:  # the triggerer asks for the next event at once
            await next_ring(events, 0.2)
        return found

    (landing / "orders" / "1.csv").write_text("x")
    assert asyncio.run(rang(5))
    assert not asyncio.run(rang(1))
    (landing / "orders" / "2.csv").write_text("x")
    assert asyncio.run(rang(5))


# -- the clock


@pytest.fixture
def warned(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What doorbells warn of."""
    found: list[str] = []

    class Log:
        def warning(self, text: str, *values: object) -> None:
            found.append(text % values)

        def info(self, text: str, *values: object) -> None:
            pass

    monkeypatch.setattr(Doorbell, "log", Log())
    return found


def rings_of(trigger: Doorbell, seconds: float) -> list[set[str]]:
    """What each ring within some seconds is for."""

    async def story() -> list[set[str]]:
        found: list[set[str]] = []

        async def hear() -> None:
            async for event in trigger.run():
                found.append(set(event.payload))

        try:
            await asyncio.wait_for(hear(), seconds)
        except TimeoutError:
            return found
        raise AssertionError("a doorbell never ends")

    return asyncio.run(story())


def test_it_rings_when_the_newest_plan_wants_to_be_woken(ledger: Ledger) -> None:
    """Not before, and once: nothing was delivered, and no run follows."""

    async def story() -> None:
        events = listen(Doorbell("shop", ["orders"]))
        plan(ledger, 1.5)
        waiting = asyncio.ensure_future(anext(events))
        await asyncio.sleep(1)
        assert not waiting.done()
        event = await asyncio.wait_for(waiting, 5)
        assert list(event.payload) == ["instant"]
        assert not await next_ring(events, 1)

    asyncio.run(story())


def test_the_next_plan_has_an_instant_of_its_own(ledger: Ledger) -> None:
    """It is the newest plan that counts: what an older one wanted is past."""

    async def story() -> None:
        events = listen(Doorbell("shop", ["orders"]))
        plan(ledger, -60)
        await asyncio.wait_for(anext(events), 5)
        waiting = asyncio.ensure_future(anext(events))
        plan(ledger, 3600)
        await asyncio.sleep(0.5)
        assert not waiting.done()
        plan(ledger, 0)
        await asyncio.wait_for(waiting, 5)

    asyncio.run(story())


@pytest.mark.parametrize(
    ("wakes_in", "where"), [(None, {}), (3600, {}), (-1, {"pipeline": "other"}), (-1, {"environment": "branch"})]
)
def test_it_does_not_ring_for_any_other_plan(ledger: Ledger, wakes_in: float | None, where: dict[str, str]) -> None:
    """One that is never to be woken, or later; another pipeline's; another environment's."""
    plan(ledger, wakes_in, **where)  # type: ignore[arg-type]
    assert rings_of(Doorbell("shop", ["orders"]), 1) == []


def test_without_a_plan_there_is_nothing_to_ring_for(landing: Path, warned: list[str]) -> None:
    """Nor to warn of: neither with a ledger that is empty nor without one."""
    assert rings_of(Doorbell("shop", ["orders"]), 1) == []
    Ledger(f"sqlite:///{landing.parent / 'ledger.db'}").upgrade()
    assert rings_of(Doorbell("shop", ["orders"]), 1) == []
    assert warned == []


def test_where_time_stands_still_no_instant_comes(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    """A plan as of an instant of the past wants to be woken long before today, and not before that instant."""
    plan(ledger, 3600, now="2011-07-01T06:00+00:00")
    monkeypatch.setenv("TIDEMARK_AS_OF", "2011-07-01T06:00+00:00")
    assert rings_of(Doorbell("shop", ["orders"]), 1) == []
    monkeypatch.delenv("TIDEMARK_AS_OF")
    assert rings_of(Doorbell("shop", ["orders"]), 1) == [{"instant"}]


def test_a_ledger_that_is_away_is_warned_of_once_and_silences_no_delivery(
    ledger: Ledger, landing: Path, monkeypatch: pytest.MonkeyPatch, warned: list[str]
) -> None:
    """It comes back, and the plan's instant is rung for; the landing zone was looked into all the time."""
    plan(ledger, -1)
    url = str(ledger.url)
    monkeypatch.setenv("TIDEMARK_LEDGER_URL", "postgresql://nobody@127.0.0.1:1/nothing")

    async def story() -> None:
        events = listen(Doorbell("shop", ["orders"]))
        (landing / "orders" / "1.csv").write_text("x")
        event = await asyncio.wait_for(anext(events), 5)
        assert list(event.payload) == ["deliveries"]
        waiting = asyncio.ensure_future(anext(events))
        await asyncio.sleep(1)
        assert not waiting.done()
        monkeypatch.setenv("TIDEMARK_LEDGER_URL", url)
        assert list((await asyncio.wait_for(waiting, 5)).payload) == ["instant"]

    asyncio.run(story())
    assert [each.partition(":")[0] for each in warned] == ["The doorbell cannot read the newest plan in the ledger"]


def test_a_landing_zone_that_is_away_does_not_stop_the_clock(ledger: Ledger, landing: Path) -> None:
    """Time passes there too."""
    landing.rename(landing.with_name("away"))
    plan(ledger, -1)
    assert rings_of(Doorbell("shop", ["orders"]), 1.5) == [{"instant"}]


def test_the_ledger_is_asked_once_a_minute_however_often_the_zone_is_looked_into(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten looks a second are one question."""
    asked = []
    monkeypatch.setattr(doorbell, "_PLAN_SECONDS", 60.0)
    monkeypatch.setattr(doorbell, "_newest_plan", asked.append)
    assert rings_of(Doorbell("shop", ["orders"]), 1) == []
    assert asked == ["shop"]


def test_a_triggerer_that_starts_again_does_not_ring_for_an_instant_that_was_rung_for(ledger: Ledger) -> None:
    """Airflow keeps it beside what was last rung for of deliveries."""
    memory = Memory()

    def rang() -> list[set[str]]:
        trigger = Doorbell("shop", ["orders"])
        trigger.asset_state_store = memory  # type: ignore[assignment]
        return rings_of(trigger, 1)

    plan(ledger, -1)
    assert rang() == [{"instant"}]
    assert rang() == []
    plan(ledger, -0.5)
    assert rang() == [{"instant"}]
