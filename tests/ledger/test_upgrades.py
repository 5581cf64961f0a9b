"""An upgrade from the previous release's schema, with a history in it: nothing is lost, and nothing runs anew."""

from pathlib import Path
from typing import Any

import pytest

from tests.incidents.story import open_incidents
from tests.ledger.histories import play, tables
from tests.ledger.older import ledger_of_before, previous_version
from tests.postgres import administer
from tests.scenario import Shop, on_both_ledgers
from tidemark.errors import Refused
from tidemark.integrity import audit_chain
from tidemark.ledger import Ledger
from tidemark.ledger.database import SCHEMA_VERSION

# What is only written where there is a registry or a search, and what is kept of others.
EMPTY = {"trial", "registration", "alias", "validation"}


def told(shop: Shop) -> dict[str, Any]:
    """What people and plans are told of a shop."""
    with shop.deployment() as deployment:
        chain = audit_chain(deployment)
    return {
        "state": shop.state(),
        "keys": {name: {key: head.action_key for key, head in shop.live(name).items()} for name in shop.state()},
        "history": shop.history("prices", "2025-01-03"),
        "explained": shop.explain("prices", "2025-01-04"),
        "incidents": open_incidents(shop),
        "audit": chain,
    }


@pytest.mark.slow
@on_both_ledgers
def test_an_upgrade_of_a_ledger_with_a_history_keeps_all_of_it_and_runs_nothing_anew(
    shop: Shop, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """The newest step: every row is what it was, new columns aside; plans, people and the audit log see the same."""
    play(shop)
    played = tables(shop)
    assert {name for name, rows in played.items() if not rows} <= EMPTY | {"scheme"}
    before = told(shop)
    url = f"sqlite:///{tmp_path / 'before.db'}"
    if shop.ledger_url.startswith("postgresql"):
        url = f"{shop.ledger_url}_before"
        server, database = request.getfixturevalue("postgres_servers"), url.rpartition("/")[2]
        administer(server, f"CREATE DATABASE {database}")
        request.addfinalizer(lambda: administer(server, f"DROP DATABASE {database} WITH (FORCE)"))
    columns, shop.ledger_url = ledger_of_before(shop.ledger_url, url), url
    ledger = Ledger(url)
    with pytest.raises(Refused, match=f"has schema {previous_version()}, older .* 'tidemark db upgrade'"):
        ledger.check()
    assert ledger.upgrade() == SCHEMA_VERSION
    ledger.close()
    after = tables(shop)
    for name, kept in columns.items():
        assert [[row[each] for each in kept] for row in after[name]] == [
            [row[each] for each in kept] for row in played[name]
        ], name
    new = {name for name in before if name != "incidents" or "incident" in columns}
    assert {name: said for name, said in told(shop).items() if name in new} == {name: before[name] for name in new}
    for pipeline in shop.pipelines:
        shop.run(pipeline)
        assert shop.ran == {}
        shop.run(pipeline, verify=True)
        assert shop.ran == {}
