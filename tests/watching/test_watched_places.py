"""The store and the landing zone must be within reach; that they are not is told until they are."""

import shutil
from pathlib import Path

from tests.incidents.story import open_incidents
from tests.scenario import Shop
from tidemark.watching.checks import act_on
from tidemark.watching.places import landing_within_reach, store_within_reach


def test_a_store_that_cannot_be_written_is_told_until_it_can(shop: Shop) -> None:
    """Here its disk has put a file where the folder was; looking leaves nothing behind."""
    store = shop.home / "store"
    with shop.deployment() as deployment:
        assert act_on(deployment, store_within_reach(deployment)()) == []
        assert [file for file in store.rglob("*") if file.is_file()] == []
        shutil.rmtree(store)
        store.write_text("no folder")
        look = store_within_reach(deployment)
        assert act_on(deployment, look()) == ["incident 1 opened (unreachable): the store cannot be reached"]
        assert "not a folder" in open_incidents(shop)["store unreachable"].detail["why"]
        store.unlink()
        assert act_on(deployment, look()) == ["incident 1 resolved (unreachable): the store cannot be reached"]


def test_a_landing_zone_that_is_not_there_is_told_until_it_is(shop: Shop, tmp_path: Path) -> None:
    """And nothing of the store's is resolved by it."""
    with shop.deployment() as deployment:
        look = landing_within_reach(deployment)
        assert act_on(deployment, look()) == []
        moved = shop.landing.rename(tmp_path / "moved")
        assert act_on(deployment, look()) == ["incident 1 opened (unreachable): the landing zone cannot be reached"]
        assert act_on(deployment, store_within_reach(deployment)()) == []
        moved.rename(shop.landing)
        assert act_on(deployment, look()) == ["incident 1 resolved (unreachable): the landing zone cannot be reached"]
