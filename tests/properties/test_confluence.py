"""Confluence: any order of arrivals before closing ends in the state of the history in which all came on time."""

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from tests.properties.machine import place_of, runs, texts
from tests.properties.oracle import Keyed
from tests.properties.playing import ASKED, REPEATABLE, seed_of
from tests.properties.plots import Draw, Plot, plots
from tests.properties.shops import Ground, QuickShop
from tests.properties.worlds import World, check_equal

# Pairs of histories of a plain test run.
FEW = 12


@dataclass(frozen=True)
class Arrival:
    """One file that comes, what came in its place before, and what happens then: a run, or not, and hours that pass."""

    source: int
    place: int
    text: str
    before: str
    then: str
    hours: int


@dataclass(frozen=True)
class Arrivals:
    """Definitions, and files in the order in which they come late; a file that comes again is the same."""

    plot: Plot
    late: tuple[Arrival, ...]


@st.composite
def arrivals(draw: Draw) -> Arrivals:
    """Draw files in any order; nothing closes before the last is there."""
    plot = draw(plots())
    places = [(source, place) for source in range(len(plot.sources)) for place in range(5)]
    chosen = draw(st.lists(st.sampled_from(places), min_size=2, max_size=8, unique=True))
    steps = [0, 0, 0, *plot.scene.steps[:2]]
    before = st.sampled_from(["", "", "another", "unreadable", "withdrawn"])
    late = tuple(Arrival(*each, draw(texts), draw(before), draw(runs), draw(st.sampled_from(steps))) for each in chosen)
    span = plot.scene.first + timedelta(hours=sum(each.hours for each in late) + 2)
    open_until = tuple(replace(each, closes=each.closes and span) for each in plot.assets)
    return Arrivals(replace(plot, assets=open_until), late)


def _state(world: World) -> dict[Keyed, Any]:
    assert world.shop is not None
    heads = world.shop.everything((each.name for each in world.plot.assets), "prod")
    said = world.found_in(world.shop, "prod")
    return {place: (*said[place], head.action_key, head.data_version) for place, head in heads.items()}


def _deliver(world: World, each: Arrival) -> None:
    place = place_of(world.plot, each.source, each.place)
    if each.before == "withdrawn":
        world.deliver(*place, each.text)
        world.run_shop()
        world.withdraw(*place)
        world.run_shop()
    elif each.before:
        world.deliver(*place, None if each.before == "unreadable" else each.text + "x")
        world.run_shop()
    world.deliver(*place, each.text)


def _on_time(shop: QuickShop, story: Arrivals) -> World:
    """Let all files be there from the beginning, and run at each instant."""
    world = World(shop, story.plot)
    files = {place_of(story.plot, each.source, each.place): each.text for each in story.late}
    for place, text in files.items():
        world.deliver(*place, text)
    world.run_shop()
    for each in story.late:
        if each.hours:
            world.move_on(each.hours)
            world.run_shop()
    return world


def _late(shop: QuickShop, story: Arrivals) -> World:
    world = World(shop, story.plot)
    for each in story.late:
        _deliver(world, each)
        if each.then:
            world.run_shop(lanes=each.then == "lanes")
        if each.hours:
            world.move_on(each.hours)
    world.run_shop()
    return world


@pytest.mark.timeout(0)
@pytest.mark.parametrize("share", range(2))
def test_any_order_of_arrivals_ends_as_if_all_had_come_on_time(ground: Ground, share: int) -> None:
    """In heads, contents, action keys and marks; and so it stays when things begin to close."""

    @given(arrivals())
    def check(story: Arrivals) -> None:
        try:
            worlds = [_on_time(ground.shop("on-time"), story), _late(ground.shop("late"), story)]
            for _ in range(2):
                states = [_state(world) for world in worlds]
                told = "; ".join(worlds[1].told)
                check_equal(states[1], states[0], f"the order of arrivals shows ({told})")
                for world in worlds:
                    world.move_on(story.plot.scene.steps[-1])  # what comes first closes, where anything does
                    world.run_shop()
        finally:
            ground.clear()

    few = settings(
        max_examples=FEW // 2 if ASKED is None else max(FEW, int(ASKED) // 10),
        deadline=None,
        derandomize=False,
        backend=REPEATABLE,
        database=None,
        print_blob=True,
        suppress_health_check=list(HealthCheck),
    )
    few(seed(seed_of(share))(check))()
