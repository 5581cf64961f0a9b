"""Of several watches of one ledger one acts; another takes over when it leaves, or has given no sign of life."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

from tests.scenario import Shop, on_both_ledgers
from tidemark.ledger import heartbeats
from tidemark.watching.standing import Standing


@on_both_ledgers
def test_one_acts_and_another_takes_over_when_it_leaves(shop: Shop) -> None:
    """Who acts goes on acting; who leaves is followed at once."""
    with shop.deployment() as deployment:
        first, second = Standing(deployment), Standing(deployment)
        assert first.beat()
        assert second.beat()
        assert (first.acts, second.acts, second.stands_by) == (True, False, True)
        assert not first.beat()
        assert not second.beat()
        with deployment.ledger.write() as connection:
            heartbeats.remember(connection, "watch", "runs", {"since": "noon"})
        first.leave()
        assert second.beat()
        assert first.beat()
        assert (first.acts, second.acts) == (False, True)
        with deployment.ledger.read() as connection:
            found = heartbeats.read(connection, "watch")
        assert found is not None
        assert found.detail["runs"] == {"since": "noon"}, "who follows goes on where the other has stopped"


def test_who_gives_no_sign_of_life_is_followed_when_his_time_is_up(shop: Shop) -> None:
    """As after a power cut."""
    with shop.deployment() as deployment:
        first, second = Standing(deployment), Standing(deployment)
        first.beat()
        with deployment.ledger.write() as connection:
            found = heartbeats.read(connection, "watch")
            assert found is not None
            heartbeats.write(connection, "watch", found.detail, at=datetime.now(UTC) - timedelta(seconds=50))
        second.beat()
        assert not second.acts
        with deployment.ledger.write() as connection:
            heartbeats.write(connection, "watch", found.detail, at=datetime.now(UTC) - timedelta(seconds=61))
        assert second.beat()
        assert second.acts


@on_both_ledgers
def test_of_many_that_begin_at_once_one_acts(shop: Shop) -> None:
    """Each looks and writes while no other does."""
    with shop.deployment() as deployment:
        many = [Standing(deployment) for _ in range(8)]
        with ThreadPoolExecutor(len(many)) as pool:
            list(pool.map(Standing.beat, many))
        assert [each.acts for each in many].count(True) == 1


def test_each_environment_has_a_watch_of_its_own(shop: Shop) -> None:
    """What is watched differs."""
    with shop.deployment() as deployment:
        Standing(deployment).beat()
    shop.environment = "branch"
    with shop.deployment() as deployment:
        other = Standing(deployment)
        other.beat()
        assert other.acts
