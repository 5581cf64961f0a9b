"""A ledger that is out of reach is told without it: once, after a grace, with an all-clear; then it is history."""

from datetime import timedelta

import pytest

from tests.incidents.story import notices_of
from tests.scenario import Shop, on_both_ledgers
from tests.watching.watched import instant
from tidemark.ledger import incidents
from tidemark.ledger.incidents import Incident
from tidemark.watching.outage import Outage

NOON = instant("2025-01-08T12:00")


class People:
    """Those who are told; a channel that fails tells nobody."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, str]] = []
        self.works = True
        self.numbers: set[int] = set()

    def __call__(self, one: Incident, kind: str, said: str) -> bool:
        if self.works:
            self.heard.append((kind, one.summary))
            self.numbers.add(one.id)
        return self.works


@pytest.fixture
def people() -> People:
    """Nobody has heard anything yet."""
    return People()


@on_both_ledgers
def test_it_is_told_once_and_kept_when_the_ledger_is_back(shop: Shop, people: People) -> None:
    """Both messages are of one incident, and nothing is told once more from the outbox."""
    outage = Outage("prod", 60, people, shop.home)
    for seconds in (0, 59):
        outage.away("connection refused", NOON + timedelta(seconds=seconds))
    assert people.heard == []
    for seconds in (60, 70, 300):
        outage.away("connection refused", NOON + timedelta(seconds=seconds))
    assert people.heard == [("opened", "the ledger cannot be reached")]
    assert outage.lasts
    with shop.deployment() as deployment:
        for seconds in (360, 370):
            outage.back(deployment, NOON + timedelta(seconds=seconds))
        assert not outage.lasts
        with deployment.ledger.read() as connection:
            (one,) = incidents.some(connection, "prod", only_open=False)
            said = [(each.what, each.said) for each in incidents.events(connection, one.id)]
    assert people.heard[1:] == [("resolved", "the ledger cannot be reached")]
    assert len(people.numbers) == 1
    assert (one.cause, one.asset, one.opened_at, one.resolved_at) == (
        "unreachable",
        "ledger",
        NOON,
        NOON + timedelta(seconds=360),
    )
    assert one.detail["why"] == "connection refused"
    assert said == [("opened", "told without the ledger"), ("resolved", "it is over")]
    assert notices_of(shop) == []


def test_one_that_is_over_within_the_grace_is_told_nobody(shop: Shop, people: People) -> None:
    """A database that is started anew; and the next outage has a grace of its own."""
    outage = Outage("prod", 60, people, shop.home)
    outage.away("starting up", NOON)
    with shop.deployment() as deployment:
        outage.back(deployment, NOON + timedelta(seconds=30))
    outage.away("starting up", NOON + timedelta(seconds=61))
    assert people.heard == []


def test_what_no_channel_takes_is_told_again(shop: Shop, people: People) -> None:
    """The alert, and the all-clear."""
    outage = Outage("prod", 0, people, shop.home)
    people.works = False
    outage.away("gone", NOON)
    people.works = True
    outage.away("gone", NOON + timedelta(seconds=10))
    people.works = False
    with shop.deployment() as deployment:
        outage.back(deployment, NOON + timedelta(seconds=20))
        assert not outage.lasts
        people.works = True
        for seconds in (30, 40):
            outage.back(deployment, NOON + timedelta(seconds=seconds))
    assert [kind for kind, _ in people.heard] == ["opened", "resolved"]


def test_a_watch_that_is_started_anew_meanwhile_knows_what_was_told(shop: Shop, people: People) -> None:
    """It tells nobody twice, and its all-clear is of the same incident; the next outage is another one."""
    Outage("prod", 0, people, shop.home).away("gone", NOON)
    Outage("branch", 0, lambda *told: True, shop.home)
    again = Outage("prod", 0, people, shop.home)
    assert again.lasts
    again.away("gone", NOON + timedelta(seconds=100))
    with shop.deployment() as deployment:
        again.back(deployment, NOON + timedelta(seconds=200))
        assert people.heard == [(kind, "the ledger cannot be reached") for kind in ("opened", "resolved")]
        assert len(people.numbers) == 1
        with deployment.ledger.read() as connection:
            (one,) = incidents.some(connection, "prod", only_open=False)
    assert (one.opened_at, one.detail["why"]) == (NOON, "gone")
    assert not Outage("prod", 0, people, shop.home).lasts


def test_what_cannot_be_kept_in_mind_is_told_all_the_same(
    shop: Shop, people: People, caplog: pytest.LogCaptureFixture
) -> None:
    """A full disk, or a file that was cut off: the log says so."""
    (shop.home / "ledger-outage.prod.json").write_text("{")
    outage = Outage("prod", 0, people, shop.home)
    assert not outage.lasts
    gone = Outage("prod", 0, people, shop.home / "not there")
    gone.away("gone", NOON)
    assert people.heard == [("opened", "the ledger cannot be reached")]
    assert ["cannot be read" in each.getMessage() for each in caplog.records if each.levelname == "WARNING"] == [
        True,
        False,
    ]
