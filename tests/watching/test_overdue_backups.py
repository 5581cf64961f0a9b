"""Backups that are no longer made are told of, once, until there is a newer one."""

from datetime import UTC, datetime, timedelta

from tests.incidents.story import open_incidents
from tests.scenario import Shop
from tidemark.backups import HEARTBEAT
from tidemark.deployment import Deployment
from tidemark.ledger import heartbeats
from tidemark.watching.backups import overdue_backup
from tidemark.watching.checks import act_on

BEGUN = datetime(2026, 11, 30, 2, 17, tzinfo=UTC)
WITHIN = timedelta(hours=26)


def back_up(deployment: Deployment, at: datetime) -> None:
    with deployment.ledger.write() as connection:
        heartbeats.write(connection, HEARTBEAT, {"backup": f"{at:%Y%m%dT%H%M%SZ}"}, at=at)


def after(deployment: Deployment, hours: float, within: timedelta | None = WITHIN) -> list[str]:
    """What a look says so long after the first backup was begun."""
    found = overdue_backup(deployment, within, BEGUN + timedelta(hours=hours))
    return [line.partition(" (")[0] for line in act_on(deployment, found)]


def test_a_backup_that_has_grown_too_old_is_told_once_and_over_with_the_next(shop: Shop) -> None:
    with shop.deployment() as deployment:
        back_up(deployment, BEGUN)
        assert after(deployment, 26) == []
        assert after(deployment, 27) == ["incident 1 opened"]
        one = open_incidents(shop)["backup heartbeat_missing"]
        assert (one.severity, one.summary) == ("warning", "the ledger is no longer backed up")
        assert one.detail["why"] == (
            "the newest backup of the ledger, 20261130T021700Z, was begun 27 hours ago; it may be 26 hours old"
        )
        assert after(deployment, 40) == []
        back_up(deployment, BEGUN + timedelta(hours=48))
        assert after(deployment, 50) == ["incident 1 resolved"]


def test_a_first_backup_is_awaited_from_the_first_look_on(shop: Shop) -> None:
    """Also by a watch that is started anew, and by one of cron: it is kept in the ledger."""
    with shop.deployment() as deployment:
        assert after(deployment, 0) == []
        assert after(deployment, 26) == []
    with shop.deployment() as deployment:
        assert after(deployment, 50) == ["incident 1 opened"]
        assert open_incidents(shop)["backup heartbeat_missing"].detail["why"] == (
            "no backup of the ledger has been made for 2 days, since the watch looks for one; it may be 26 hours old"
        )
        back_up(deployment, BEGUN + timedelta(hours=50))
        assert after(deployment, 51) == ["incident 1 resolved"]


def test_who_wants_to_know_no_more_is_not_told_and_who_asks_anew_waits_anew(shop: Shop) -> None:
    with shop.deployment() as deployment:
        assert after(deployment, 0) == []
        assert after(deployment, 27) == ["incident 1 opened"]
        assert after(deployment, 28, None) == ["incident 1 resolved"]
        assert after(deployment, 2000) == []
        assert after(deployment, 2025) == []
        assert after(deployment, 2027) == ["incident 2 opened"]


def test_the_watch_of_a_branch_waits_for_itself(shop: Shop) -> None:
    """Two of them keep nothing of each other's in mind."""
    with shop.deployment() as deployment:
        assert after(deployment, 0) == []
    shop.environment = "branch"
    with shop.deployment() as deployment:
        assert after(deployment, 30) == []
        assert after(deployment, 57) == ["incident 1 opened"]
