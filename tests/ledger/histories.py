"""A played history of a shop: what runs, people and on-call write into nearly every table of a ledger."""

from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa

from tests.alerting.board import Diary
from tests.gates import rule
from tests.incidents.story import open_incidents, told
from tests.scenario import Shop
from tests.test_models import FORECAST, SHOP, days, promote, rollback
from tidemark import interventions
from tidemark.alerting import Alerting, drain
from tidemark.alerting.channels import Line
from tidemark.alerting.routes import Route
from tidemark.incidents import handling
from tidemark.incidents.handling import Scope
from tidemark.ledger import heartbeats
from tidemark.ledger.schema import metadata

FIRST = "2024-12-30"


def play(shop: Shop) -> None:
    """Two pipelines, a model, and ten days of everything that happens to them."""
    shop.more = {"TIDEMARK_APPROVERS": "ann", "TIDEMARK_FOUR_EYES": "off"}
    shop.suite("units", rule("expect_column_values_to_be_between", column="units", min_value=0))
    shop.define(SHOP.replace("@asset(partitions=DAYS)", '@asset(partitions=DAYS, gate="units")'))
    shop.define(FORECAST, "forecasts")
    for day in days(FIRST, 7):
        shop.deliver("orders", day, "units\n1\n")
    shop.now("2025-01-06T06:00")
    shop.run()
    shop.run("forecasts")
    promote(shop, begins="2025-01-02")
    shop.run()
    _correct_and_break(shop)
    _decide(shop)
    rollback(shop)
    told(shop)
    shop.run("forecasts")
    promote(shop, begins="2025-01-04")
    shop.breaks("prices", "2025-01-04")
    told(shop)
    told(shop)


def _correct_and_break(shop: Shop) -> None:
    shop.deliver("orders", "2025-01-03", "units\n5\n")
    shop.breaks("prices", "2025-01-03")
    told(shop)
    told(shop)
    (incident,) = open_incidents(shop).values()
    until = datetime.now(UTC) + timedelta(hours=4)
    with shop.deployment() as deployment:
        handling.acknowledge(deployment, incident.id, why="on it", actor="ann")
        made, _ = handling.silence(deployment, Scope("shop", "", ""), until=until, why="known", actor="ann")
        handling.lift(deployment, made.id, why="mended", actor="bob")
        drain(deployment, Alerting({"chat": Line("chat", Diary())}, (Route(channels=("chat",)),)))
        with deployment.ledger.write() as connection:
            heartbeats.remember(connection, "watch", "runs", {"looked_at": []})
    shop.mends("prices", "2025-01-03")
    shop.force("prices", "2025-01-03")
    told(shop)


def _decide(shop: Shop) -> None:
    pipeline = shop.pipelines["shop"]
    before = shop.versions("lines")["2025-01-05"]
    shop.deliver("orders", "2025-01-05", "units\n9\n")
    shop.run()
    with shop.deployment() as deployment:
        options = {"why": "they were right", "actor": "ann"}
        interventions.restore(deployment, pipeline, "lines", "2025-01-05", before[:12], **options)
    shop.run()
    shop.withdraw("orders", "2025-01-01")
    shop.declare_absent("orders", "2025-01-01")
    shop.run()
    shop.hold("prices", "2025-01-02")
    shop.hold("lines")
    shop.release("lines")
    shop.edit('f"{lines.height} lines', 'f"{lines.height:d} lines')
    shop.run()


def tables(shop: Shop) -> dict[str, list[dict[str, Any]]]:
    """Every row of every table that this code knows, in the order of their keys."""
    with shop.deployment() as deployment, deployment.ledger.read() as connection:
        found = {}
        for table in metadata.sorted_tables:
            rows = connection.execute(sa.select(table).order_by(*table.primary_key))
            found[table.name] = [dict(row._mapping) for row in rows]
        return found
