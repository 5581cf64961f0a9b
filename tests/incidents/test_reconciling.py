"""Opened once, updated while it lasts, resolved once: whoever looks, however often, and however many look at once."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import pytest
import sqlalchemy as sa

from tests.incidents.story import notices_of, open_incidents
from tests.scenario import Shop, on_both_ledgers
from tidemark.incidents import reconciling
from tidemark.incidents.classes import CauseClass, Severity
from tidemark.incidents.conditions import MOST_PARTITIONS, MOST_ROWS, MOST_TEXT, Condition, Reached
from tidemark.incidents.reconciling import reconcile
from tidemark.ledger import incidents
from tidemark.ledger.incidents import Incident
from tidemark.ledger.schema import incident

FAILED = Condition(CauseClass.ASSET_FAILED, "shop", "lines", "lines failed", why="ValueError: no", partitions=("1",))
LATE = Condition(CauseClass.DEADLINE_MISSED, "shop", "", "shop is not done by 07:30")


def look(shop: Shop, *conditions: Condition) -> list[int]:
    """Say that this, and nothing else, is wrong with the shop."""
    with shop.deployment() as deployment:
        return reconcile(deployment, conditions, within=lambda one: one.pipeline == "shop", actor="tester")


def only(shop: Shop) -> Incident:
    """The one incident that is open."""
    (one,) = open_incidents(shop).values()
    return one


def test_looking_twice_tells_nothing_twice(shop: Shop) -> None:
    """A retry finds what was found before: that it happened again is counted, and nobody is woken."""
    assert look(shop, FAILED) != []
    assert look(shop, replace(FAILED, happened=0)) == []
    assert look(shop, FAILED) == []
    assert only(shop).happened == 2
    assert notices_of(shop) == ["opened asset_failed"]


def test_five_hundred_failures_of_one_cause_are_one_incident(shop: Shop) -> None:
    """With a count."""
    for _ in range(500):
        look(shop, FAILED)
    assert only(shop).happened == 500
    assert notices_of(shop) == ["opened asset_failed"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"partitions": ("1", "2", "3")}, "3 partitions, 1 before"),
        ({"partitions": ("2",)}, "2 too"),
        ({"reach": (Reached("totals", "shop", "asset", 1, "1", "1"),)}, "it reaches more of totals"),
        ({"also": ("totals 1: KeyError",)}, "totals 1: KeyError"),
        ({"severity": Severity.CRITICAL}, "it is critical now"),
    ],
)
def test_what_grows_is_told(shop: Shop, change: dict[str, object], said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """More partitions, more that depends on it, worse: each is one update, that says what is new."""
    monkeypatch.setattr(reconciling, "SETTLING", timedelta(0))
    first = replace(FAILED, severity=Severity.WARNING)
    look(shop, first)
    look(shop, replace(first, **change))
    assert notices_of(shop) == ["opened asset_failed", "updated asset_failed"]
    with shop.deployment() as deployment, deployment.ledger.read() as connection:
        assert incidents.events(connection, only(shop).id)[-1].said == said


def test_what_depends_on_it_is_no_news_while_the_run_goes_on(shop: Shop) -> None:
    """The alert was hardly sent; what it says is what is so as it is sent."""
    look(shop, FAILED)
    assert look(shop, replace(FAILED, reach=(Reached("totals", "shop", "asset", 1, "1", "1"),))) == []
    assert only(shop).detail["reach"][0]["partitions"] == 1
    assert notices_of(shop) == ["opened asset_failed"]


def test_what_shrinks_is_no_news(shop: Shop) -> None:
    """The all-clear comes when all of it is over."""
    look(shop, replace(FAILED, partitions=("1", "2")))
    assert look(shop, FAILED) == []
    assert only(shop).detail["partitions"] == ["1"]
    look(shop)
    assert open_incidents(shop) == {}
    assert notices_of(shop) == ["opened asset_failed", "resolved asset_failed"]


def test_what_is_over_and_comes_back_is_a_new_incident(shop: Shop) -> None:
    (first,) = look(shop, FAILED)
    look(shop)
    (second,) = look(shop, FAILED)
    assert first != second
    assert notices_of(shop) == [f"{kind} asset_failed" for kind in ("opened", "resolved", "opened")]


def test_who_cannot_see_it_does_not_resolve_it(shop: Shop) -> None:
    look(shop, FAILED)
    with shop.deployment() as deployment:
        assert reconcile(deployment, [], within=lambda one: one.pipeline == "other", actor="tester") == []
    assert list(open_incidents(shop)) == ["lines asset_failed"]


class TestLateAndFailed:
    """One incident, whichever of the two is seen first."""

    def test_what_is_late_because_it_failed_is_not_told_of(self, shop: Shop) -> None:
        look(shop, FAILED)
        assert look(shop, FAILED, LATE) == []
        assert list(open_incidents(shop)) == ["lines asset_failed"]

    def test_seen_at_once(self, shop: Shop) -> None:
        look(shop, LATE, FAILED)
        assert list(open_incidents(shop)) == ["lines asset_failed"]

    def test_what_was_late_and_then_fails_stays_one_incident(self, shop: Shop) -> None:
        (late,) = look(shop, LATE)
        assert look(shop, FAILED) == [late]
        assert only(shop).cause == "asset_failed"
        look(shop)
        assert notices_of(shop) == ["opened deadline_missed", "updated asset_failed", "resolved asset_failed"]

    def test_another_pipeline_is_another_incident(self, shop: Shop) -> None:
        look(shop, FAILED, replace(LATE, pipeline="other"))
        assert sorted(open_incidents(shop)) == [" deadline_missed", "lines asset_failed"]


def test_what_is_kept_is_bounded(shop: Shop) -> None:
    """Ten thousand failing rows and a megabyte of text fit into an alert."""
    rows = tuple({"row_number": number} for number in range(10_000))
    partitions = tuple(str(number) for number in range(10_000))
    look(shop, replace(FAILED, why="x" * 1_000_000, rows=rows, partitions=partitions, also=partitions))
    kept = only(shop).detail
    assert len(kept["why"]) < MOST_TEXT + 10
    assert (len(kept["rows"]), len(kept["also"])) == (MOST_ROWS, MOST_ROWS)
    assert (len(kept["partitions"]), kept["total"]) == (MOST_PARTITIONS, 10_000)
    look(shop, replace(FAILED, partitions=(*partitions, "more")))
    assert notices_of(shop)[-1] == "updated asset_failed"


@on_both_ledgers
def test_many_who_look_at_once_open_one(shop: Shop) -> None:
    """And all of them count."""
    with shop.deployment():
        pass  # the ledger is made
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: look(shop, FAILED), range(16)))
    assert only(shop).happened == 16
    assert notices_of(shop) == ["opened asset_failed"]


@on_both_ledgers
def test_the_ledger_itself_refuses_a_second_open_one(shop: Shop) -> None:
    look(shop, FAILED)
    with shop.deployment() as deployment:
        values = {key: value for key, value in only(shop)._asdict().items() if key != "id"}
        with pytest.raises(sa.exc.IntegrityError), deployment.ledger.write() as connection:
            connection.execute(sa.insert(incident).values(**values))
        with deployment.ledger.write() as connection:
            connection.execute(sa.insert(incident).values(**{**values, "resolved_at": values["opened_at"]}))
