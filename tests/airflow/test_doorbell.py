"""The doorbell."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from airflow.triggers.base import TriggerEvent

from tidemark.airflow import doorbell
from tidemark.airflow.doorbell import Doorbell, Settling


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


@pytest.fixture
def landing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A landing zone that the doorbell looks into ten times a second."""
    zone = tmp_path / "landing"
    (zone / "orders").mkdir(parents=True)
    monkeypatch.setenv("TIDEMARK_HOME", str(tmp_path))
    monkeypatch.setenv("TIDEMARK_SETTLE_SECONDS", "0.2")
    return zone


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
        events = listen(Doorbell(["orders"]))
        for number in range(100):
            (landing / "orders" / f"{number}.csv").write_text("x")
        assert await next_ring(events, 5)
        assert not await next_ring(events, 1)

    asyncio.run(story())


def test_a_listing_that_fails_is_no_change_and_no_end(landing: Path) -> None:
    """The zone is away for a moment, comes back as it was, and is delivered to."""

    async def story() -> None:
        events = listen(Doorbell(["orders"]))
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
        trigger = Doorbell(["orders"])
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
        trigger = Doorbell(["orders"])
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
