"""The check that holds every plan against a full verification can fail."""

from dataclasses import replace
from typing import Any

import pytest

from tests.properties import worlds
from tests.properties.shops import Ground
from tests.properties.test_power_cuts import rich
from tidemark.plan import Plan
from tidemark.survey import Certainty


def _plan(ground: Ground) -> Plan:
    world = rich(ground.shop())
    assert world.shop is not None
    world.shop.as_of = world.oracle.as_of
    return world.shop.planned(confirmed=frozenset(world.oracle.sources))


def test_a_plan_that_differs_from_the_full_one_is_told(ground: Ground) -> None:
    """In an item, in how sure it is, in a move or in a gap."""
    plan = _plan(ground)
    assert plan.items
    assert worlds.differences(plan, plan) == []
    sure = next(item for item in plan.items if item.certainty is Certainty.WILL)
    less = replace(plan, items=tuple(item for item in plan.items if item is not sure))
    unsure = replace(plan, items=(*less.items, replace(sure, certainty=Certainty.MAY)))
    moved = replace(plan, moves=plan.moves[1:]) if plan.moves else None
    gaps = dict(list(plan.gaps.items())[1:]) if plan.gaps else None
    assert worlds.differences(less, plan)
    assert worlds.differences(unsure, plan)
    assert moved is None or worlds.differences(moved, plan)
    assert gaps is None or worlds.differences(replace(plan, gaps=gaps), plan)
    assert moved is not None or gaps is not None


def test_a_planner_that_overlooks_something_is_found(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    """By whoever plans, once the check is switched on."""
    plan = _plan(ground)

    def overlooking(*given: Any, verify: bool = False, **options: Any) -> Plan:
        return plan if verify else replace(plan, items=plan.items[1:])

    monkeypatch.setattr(worlds, "plan_it", overlooking)
    with pytest.raises(AssertionError, match="not that of a full verification"):
        worlds.verified()
