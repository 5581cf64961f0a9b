"""Opened once, updated while it lasts, resolved once: whoever looks, however often, and however many look at once."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from tests.incidents.story import notices_of, open_incidents
from tests.scenario import Shop, on_both_ledgers
from tidemark.incidents.classes import CauseClass, Severity
from tidemark.incidents.conditions import MOST_PARTITIONS, MOST_ROWS, MOST_TEXT, Condition, Reached
from tidemark.incidents.handling import acknowledge
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
        ({"also": ("totals 1: KeyError",)}, "totals 1: KeyError"),
        ({"severity": Severity.CRITICAL}, "it is critical now"),
    ],
)
def test_what_grows_is_told(shop: Shop, change: dict[str, object], said: str) -> None:
    """More partitions, more that fails below, worse: each is one update, that says what is new."""
    first = replace(FAILED, severity=Severity.WARNING)
    look(shop, first)
    look(shop, replace(first, **change))
    assert notices_of(shop) == ["opened asset_failed", "updated asset_failed"]
    with shop.deployment() as deployment, deployment.ledger.read() as connection:
        assert incidents.events(connection, only(shop).id)[-1].said == said


def test_what_depends_on_it_is_no_news(shop: Shop) -> None:
    """Who was told what depends on it need not be woken for each day that it lasts; whoever looks is shown."""
    look(shop, FAILED)
    assert look(shop, replace(FAILED, reach=(Reached("totals", "shop", "asset", 1, "1", "1"),))) == []
    assert only(shop).detail["reach"][0]["partitions"] == 1
    assert notices_of(shop) == ["opened asset_failed"]


def test_who_has_taken_on_a_warning_has_not_taken_on_what_is_critical(shop: Shop) -> None:
    """Nor another cause: it is told again, and waits for somebody."""
    first = replace(FAILED, severity=Severity.WARNING)
    for worse in (FAILED, replace(FAILED, cause=CauseClass.GATE_FAILED)):
        look(shop, first if worse is FAILED else LATE)
        one = only(shop)
        with shop.deployment() as deployment:
            acknowledge(deployment, one.id, why="mine", actor="ann")
        assert only(shop).acknowledged_at is not None
        assert look(shop, worse) == [one.id]
        assert only(shop).acknowledged_at is None
        look(shop)


def test_what_was_done_once_more_is_told_once_more(shop: Shop) -> None:
    """A state that lasts is not: it only counts."""
    done = Condition(CauseClass.CHAMPION_SWAPPED, "shop", "demand", "swapped", why="from 1 to 2", event=True)
    look(shop, done)
    look(shop, replace(done, why="from 2 to 3"))
    assert notices_of(shop) == ["opened champion_swapped", "updated champion_swapped"]
    assert only(shop).happened == 2


def test_who_has_seen_some_partitions_forgets_none_of_the_others(shop: Shop) -> None:
    """Or the next who sees all of them would tell of them as new."""
    whole = replace(FAILED, partitions=("1", "2", "3"))
    look(shop, whole)
    assert look(shop, replace(FAILED, partitions=("3",), partial=True)) == []
    assert only(shop).detail["partitions"] == ["1", "2", "3"]
    assert look(shop, whole) == []


def test_secrets_in_the_words_of_an_exception_are_hidden(shop: Shop) -> None:
    """Wherever they stand: an alert leaves the house."""
    why = (
        "ConnectionError: postgresql://app:s3cr3t-1@db.test/x?password=s3cr3t-2 refused; token: s3cr3t-3, "
        "{'api_key': 's3cr3t-4', 'page': 1}, Authorization: Bearer s3cr3t-5"
    )
    look(shop, replace(FAILED, why=why, also=(why,)))
    kept = only(shop).detail
    assert "s3cr3t" not in str(kept)
    assert kept["why"].startswith("ConnectionError: postgresql://app:***@db.test/x?password=*** refused; token: ***, ")
    assert "'page': 1" in kept["why"]


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

    def test_what_failed_before_explains_nothing_that_is_late_since(self, shop: Shop) -> None:
        """Days after a failure that nobody has mended, a run that does not come is told all the same."""
        look(shop, FAILED)
        (failed,) = open_incidents(shop).values()
        since = failed.updated_at + timedelta(seconds=1)
        look(shop, replace(FAILED, happened=0), replace(LATE, since=since))
        assert sorted(open_incidents(shop)) == [" deadline_missed", "lines asset_failed"]

    def test_what_failed_again_since_explains_it(self, shop: Shop) -> None:
        look(shop, FAILED)
        since = datetime.now(UTC)
        look(shop, FAILED)
        assert look(shop, replace(FAILED, happened=0), replace(LATE, since=since)) == []
        assert list(open_incidents(shop)) == ["lines asset_failed"]

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
