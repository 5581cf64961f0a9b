"""An empty ledger on each database, and a small book of assets to write in."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import sqlalchemy as sa

from tidemark.hashing import digest
from tidemark.ledger import Ledger, heads, records, registry
from tidemark.ledger.heads import FINAL, Missing, Move
from tidemark.ledger.records import COMPUTED, Record
from tidemark.ledger.registry import Registration
from tidemark.partitions import Daily

DAYS = Daily()


@dataclass
class Book:
    """A ledger with two daily assets, and short words for what tests write into it."""

    ledger: Ledger
    orders: int
    lines: int

    def parts(self, *keys: str) -> list[int]:
        """The ids of days, new ones if need be."""
        with self.ledger.write() as connection:
            registry.ensure_partitions(connection, DAYS, keys)
            known = registry.partition_ids(connection, DAYS)
        return [known[key] for key in keys]

    def part(self, key: str = "2011-01-05") -> int:
        """The id of a day."""
        return self.parts(key)[0]

    def write(self, *written: Record) -> list[int]:
        """Write materializations down."""
        with self.ledger.write() as connection:
            return records.write(connection, written, environment="prod", run="run 1", actor="ada")

    def made(self, key: str, content: str = "a", asset: int | None = None) -> int:
        """A computed materialization of a day with some content."""
        record = Record(
            asset_id=asset or self.lines,
            partition_id=self.part(key),
            status=COMPUTED,
            action_key=digest("key", key, content),
            data_version=digest(content),
            blob="blob",
            format="parquet",
        )
        return self.write(record)[0]

    def move(
        self,
        key: str,
        before: int | None,
        after: int | None,
        missing: Missing = FINAL,
        environment: str = "prod",
        reason: str = "computed",
    ) -> bool:
        """Move a head; returns whether it moved."""
        with self.ledger.write() as connection:
            known = registry.partition_ids(connection, DAYS)
            seq = heads.new_change(connection, run="run 1", actor="ada")
            move = Move(self.lines, known[key], before, after, missing, reason)
            return bool(heads.move(connection, environment, [move], seq))

    def live(self, environment: str = "prod") -> dict[str, int]:
        """The materialization that is live, by day."""
        with self.ledger.read() as connection:
            keys = {number: key for key, number in registry.partition_ids(connection, DAYS).items()}
            found = heads.current(connection, environment, self.lines)
        return {keys[number]: head.materialization for number, head in found.items()}

    def count(self, table: sa.Table) -> int:
        """How many rows a table has."""
        with self.ledger.read() as connection:
            return int(connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one())


@pytest.fixture(params=["sqlite", "postgresql"])
def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Ledger]:
    """An empty ledger of this version's schema."""
    if request.param == "sqlite":
        made = Ledger(f"sqlite:///{tmp_path / 'ledger.db'}")
        made.upgrade()
    else:
        made = Ledger(request.getfixturevalue("postgres"))
    yield made
    made.close()


@pytest.fixture
def bare(ledger: Ledger) -> Ledger:
    """A database without a ledger in it."""
    with ledger.write() as connection:
        if ledger.is_sqlite:
            tables = connection.execute(sa.text("SELECT name FROM sqlite_master WHERE type = 'table'")).scalars().all()
            connection.execute(sa.text("PRAGMA defer_foreign_keys = ON"))
            for name in tables:
                if not name.startswith("sqlite_"):
                    connection.execute(sa.text(f'DROP TABLE "{name}"'))
        else:
            connection.execute(sa.text("DROP SCHEMA public CASCADE"))
            connection.execute(sa.text("CREATE SCHEMA public"))
    return ledger


@pytest.fixture
def book(ledger: Ledger) -> Book:
    """A ledger with a source and an asset."""
    members = [Registration(name, kind, DAYS, (), {}, "") for name, kind in (("orders", "source"), ("lines", "asset"))]
    with ledger.write() as connection:
        ids = registry.register(connection, "shop", members)
    return Book(ledger, ids["orders"], ids["lines"])
