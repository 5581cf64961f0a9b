"""Claims about what people are told though nothing is wrong: decisions about models, and each Monday's silences."""

from datetime import UTC, datetime, time, timedelta

import pytest
import sqlalchemy as sa

from tests.cli.conftest import enter
from tests.incidents.test_news import opened, said, told
from tests.models import selling
from tests.models.selling import WEEK_1, begin
from tests.scenario import Shop
from tidemark.cli.main import main
from tidemark.incidents import handling, information
from tidemark.incidents.handling import Scope
from tidemark.incidents.information import list_silences
from tidemark.incidents.topics import Topic
from tidemark.ledger.schema import notice, silence


def test_a_promotion_and_a_rollback_are_told_with_who_and_why(shop: Shop) -> None:
    begin(shop)
    version = shop.versions("demand")[WEEK_1][:12]
    selling.presented(shop)
    selling.promoted(shop)
    selling.rolled_back(shop)
    promoted, back = told(shop)
    assert (promoted.topic, back.topic) == (Topic.MODEL_PROMOTED, Topic.MODEL_ROLLED_BACK)
    assert promoted.payload["title"].startswith(f"demand: {version} is champion from 20")
    assert promoted.payload["lines"][0] == "by ann: good enough"
    assert back.payload["title"].startswith("demand: there is no champion any more from 20")
    assert back.payload["lines"][0] == "by ann: not good enough"
    assert (promoted.pipeline, promoted.unique_key) == ("shop", None)


# -- silences

MONDAY = datetime(2026, 11, 2, 8, tzinfo=UTC)


def silenced(shop: Shop, begins: datetime, until: datetime, **scope: str) -> None:
    """Silence, as of an instant."""
    with shop.deployment() as deployment:
        end = datetime.now(UTC) + timedelta(hours=1 + len(told(shop)))
        made, _ = handling.silence(
            deployment, Scope(**(scope or {"asset": "orders"})), until=end, why="new supplier", actor="ann"
        )
        with deployment.ledger.write() as connection:
            when = {"begins_at": begins, "ends_at": until}
            connection.execute(sa.update(silence).where(silence.c.id == made.id).values(**when))


def listed(shop: Shop, now: datetime) -> bool:
    with shop.deployment() as deployment:
        return list_silences(deployment, now)


def test_each_monday_from_eight_on_the_silences_in_force_are_listed_once(shop: Shop) -> None:
    opened(shop)
    shop.run()
    silenced(shop, MONDAY - timedelta(days=3), MONDAY + timedelta(days=10))
    silenced(shop, MONDAY - timedelta(days=3), MONDAY - timedelta(hours=1), cause="drift")  # over by then
    assert not listed(shop, MONDAY - timedelta(minutes=1))
    assert listed(shop, MONDAY)
    assert not listed(shop, MONDAY + timedelta(days=6, hours=15))
    assert listed(shop, MONDAY + timedelta(days=8)), "who looks on Tuesday for the first time makes up for it"
    first, second = said(shop)
    assert first == second
    line = "1: everything of orders, until 2026-11-12 08:00 UTC, by ann: new supplier"
    assert first == ("1 silence is in force", [line])
    assert not listed(shop, MONDAY + timedelta(days=14)), "it has ended"


def test_where_nothing_was_silenced_by_monday_nothing_is_listed_that_week(shop: Shop) -> None:
    """Who silences something on a Tuesday need not be told of it a minute later."""
    opened(shop)
    shop.run()
    assert not listed(shop, MONDAY)
    silenced(shop, MONDAY + timedelta(days=1), MONDAY + timedelta(days=10))
    assert not listed(shop, MONDAY + timedelta(days=1, minutes=1))
    assert listed(shop, MONDAY + timedelta(days=7))


def test_the_watch_lists_them(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever day it is: what was silenced two weeks ago is on this week's list, once."""
    opened(shop)
    shop.run()
    now = datetime.now(UTC)
    silenced(shop, now - timedelta(days=14), now + timedelta(days=14))
    enter(shop, monkeypatch)
    monkeypatch.setattr(information, "MONDAY", time(tzinfo=UTC))  # on a Monday morning, too
    for _ in range(2):
        main(["watch", "--once"])
    with shop.deployment() as deployment, deployment.ledger.read() as connection:
        told = connection.execute(sa.select(notice.c.payload).where(notice.c.topic == Topic.SILENCES)).scalars().all()
    assert [each["title"] for each in told] == ["1 silence is in force"]
