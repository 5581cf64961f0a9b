"""What comes and goes within seconds is told to nobody: neither that it is so, nor that it is over."""

import pytest

from tests.incidents.story import notices_of
from tests.scenario import Shop
from tidemark.errors import Unavailable
from tidemark.incidents.classes import CauseClass
from tidemark.incidents.conditions import Condition
from tidemark.watching.checks import Found, Look, act_on, lasting, of_cause

WRONG = Condition(CauseClass.UNREACHABLE, "", "store", "the store cannot be reached", happened=0)


class Looks:
    """Looks at something that is wrong as a test says, at the second that it says."""

    def __init__(self) -> None:
        self.now, self.wrong = 0.0, False

    def __call__(self) -> Found:
        return Found((WRONG,) if self.wrong else (), of_cause(CauseClass.UNREACHABLE, ["store"]))

    def seen(self, shop: Shop, steady: Look, *story: tuple[float, bool]) -> list[str]:
        """Look at each second of a story; returns what became of the incident."""
        said = []
        with shop.deployment() as deployment:
            for self.now, self.wrong in story:
                said += [f"{self.now:g}: {line.partition(' (')[0]}" for line in act_on(deployment, steady())]
        return said


@pytest.fixture
def looks() -> Looks:
    """Nothing is wrong yet."""
    return Looks()


def test_it_must_hold_and_be_over_for_the_grace(shop: Shop, looks: Looks) -> None:
    """One look that fails, or one that is well in between, is no news."""
    steady = lasting(looks, wrong_for=60, well_for=60, clock=lambda: looks.now)
    story = [(0, True), (30, False), (60, True), (119, True), (120, True)]
    story += [(150, False), (180, True), (210, False), (240, True), (270, False), (329, False), (330, False)]
    assert looks.seen(shop, steady, *story) == ["120: incident 1 opened", "330: incident 1 resolved"]
    assert looks.seen(shop, steady, (360, True), (390, False)) == []


def test_a_watch_that_is_started_anew_resolves_nothing_that_is_wrong(shop: Shop, looks: Looks) -> None:
    """Though it has not seen it for long yet."""
    looks.seen(shop, lasting(looks, clock=lambda: looks.now), (0, True))
    steady = lasting(looks, wrong_for=60, clock=lambda: looks.now)
    assert looks.seen(shop, steady, (10, True), (70, True)) == []
    assert looks.seen(shop, steady, (80, False)) == ["80: incident 1 resolved"]
    assert notices_of(shop) == ["opened unreachable", "resolved unreachable"]


def test_without_a_grace_each_look_counts(shop: Shop, looks: Looks) -> None:
    """As for who looks once, by cron."""
    for expected, wrong in (("opened", True), ("resolved", False)):
        steady = lasting(looks, clock=lambda: looks.now)
        assert looks.seen(shop, steady, (0, wrong)) == [f"0: incident 1 {expected}"]


def test_what_raises_is_neither_wrong_nor_over(shop: Shop, looks: Looks) -> None:
    """What cannot be seen stays as it was."""

    def away() -> Found:
        raise Unavailable("away")

    with pytest.raises(Unavailable):
        lasting(away, wrong_for=60)()
