"""What docs/disaster-recovery.md says: what is lost, what a restore brings back, and what the next run repairs.

The ledger is dumped by PostgreSQL's own programs and restored into a database that was not there, as after a loss.
"""

import shutil
import subprocess
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import process
from tests.incidents.story import open_incidents
from tests.lacking import lacking
from tests.postgres import administer, programs
from tests.scenario import Shop, new_shop
from tidemark.errors import Unavailable
from tidemark.integrity import audit_chain, lost_blobs

PIPELINE = """
    orders = source("orders", files="orders/{partition}.csv", partitions=Daily(), schema={"item": str, "units": int},
                    expected=Calendar(), due="1 day 02:00")

    @asset(partitions=Daily(), key=["item"])
    def lines(orders: pl.DataFrame) -> pl.DataFrame:
        return orders.with_columns(twice=pl.col("units") * 2)

    @asset(partitions=Daily(), inputs={"lines": trailing(days=3)})
    def totals(lines: pl.DataFrame) -> pl.DataFrame:
        return lines.select(pl.col("twice").sum())
"""
DAYS = [f"2025-01-{day:02}" for day in range(5, 13)]

# What reads the delivery of the sixth day.
TOTALS = {("totals", day) for day in DAYS[5:]}


def order(units: int) -> str:
    return f"item,units\ntea,{units}\nmilk,{units + 1}\n"


@dataclass
class Recovery:
    """A shop whose ledger is on a server, and what is done to it.

    Attributes:
        shop: it has a history: corrections, a failure, a hold, a declaration, an incident.
        server: the URL of the server, to which the name of a database is to be added.
        folder: where backups are kept.

    """

    shop: Shop
    server: str
    folder: Path

    @property
    def database(self) -> str:
        return self.shop.ledger_url.rpartition("/")[2]

    def dump_ledger(self, name: str) -> None:
        """As the backup does it, while everything goes on."""
        command = [f"{programs()}/pg_dump", "--format=custom", f"--file={self.folder / name}", self.shop.ledger_url]
        subprocess.run(command, check=True, capture_output=True)

    def copy_store(self, name: str) -> None:
        shutil.copytree(self.shop.home / "store", self.folder / name)

    def lose_ledger(self) -> None:
        administer(self.server, f"DROP DATABASE {self.database} WITH (FORCE)")

    def lose_store(self) -> None:
        shutil.rmtree(self.shop.home / "store")

    def restore_ledger(self, name: str) -> None:
        """Into a new database, under its own name."""
        database = f"restored_{uuid.uuid4().hex}"
        administer(self.server, f"CREATE DATABASE {database}")
        self.shop.ledger_url = f"{self.server}{database}"
        command = [f"{programs()}/pg_restore", "--exit-on-error", "--no-owner", f"--dbname={self.shop.ledger_url}"]
        subprocess.run([*command, str(self.folder / name)], check=True, capture_output=True)

    def restore_store(self, name: str) -> None:
        shutil.copytree(self.folder / name, self.shop.home / "store")

    def lose_blob(self, asset: str, key: str) -> None:
        """Delete the data of what is live for a partition."""
        blob = next(each.blob for each in self.shop.made(asset, key)[::-1] if each.blob)
        assert blob is not None
        file = self.shop.home / "store" / blob[:2] / blob[2:]
        file.parent.chmod(0o755)
        file.unlink()

    def everything(self) -> dict[str, Any]:
        """All that people and plans know: heads with their marks, what each was made from, acts, incidents."""
        shop = self.shop
        with shop.deployment() as deployment:
            chain = audit_chain(deployment)
        return {
            "state": shop.state(),
            "made": {name: [shop.made(name, key) for key in DAYS] for name in ("orders", "lines", "totals")},
            "keys": {
                name: [shop.action_key(name, key) for key in DAYS if key in shop.live(name)] for name in ("lines",)
            },
            "history": shop.history("totals", DAYS[2]),
            "incidents": open_incidents(shop),
            "audit": chain,
        }

    def lost(self) -> list[tuple[str, str]]:
        with self.shop.deployment() as deployment:
            return [(each.asset, each.partition) for each in lost_blobs(deployment)[1]]


@pytest.fixture
def recovery(tmp_path: Path, postgres_servers: str) -> Iterator[Recovery]:
    """A shop with a history, on PostgreSQL."""
    if programs() is None:
        lacking("PostgreSQL is not installed: apt-get install postgresql")
    name = f"shop_{uuid.uuid4().hex}"
    made = Recovery(new_shop(tmp_path / "shop", f"{postgres_servers}{name}"), postgres_servers, tmp_path / "backups")
    made.folder.mkdir()
    administer(postgres_servers, f"CREATE DATABASE {name} TEMPLATE tidemark_template")
    shop = made.shop
    shop.now("2025-01-13T06:00")
    shop.define(PIPELINE)
    for number, day in enumerate(DAYS[:-1], 1):
        shop.deliver("orders", day, order(number))
    shop.breaks("lines", DAYS[4])
    shop.run()
    shop.deliver("orders", DAYS[2], order(30))
    shop.run()
    shop.hold("lines", DAYS[0])
    shop.declare_absent("orders", DAYS[-1])
    shop.run()
    yield made
    shop.forget_modules()
    made.lose_ledger()


def test_a_restore_of_ledger_and_store_brings_everything_back_and_the_next_run_has_nothing_to_do(
    recovery: Recovery,
) -> None:
    """Backed up in the right order while nothing ran; both are lost."""
    shop = recovery.shop
    verdict = shop.run(verify=True).counts["lines"]
    before = recovery.everything()
    assert before["audit"].entries == 2
    recovery.dump_ledger("ledger")
    recovery.copy_store("store")
    recovery.lose_ledger()
    recovery.lose_store()
    recovery.restore_ledger("ledger")
    recovery.restore_store("store")
    assert recovery.everything() == before
    assert recovery.lost() == []
    assert shop.run(verify=True).counts["lines"] == verdict
    assert shop.ran == {}


def test_what_was_done_after_the_backup_is_done_again_and_comes_out_the_same(recovery: Recovery) -> None:
    """The ledger is a day old, the store is not lost: deliveries are still in the landing zone."""
    shop = recovery.shop
    recovery.dump_ledger("ledger")
    recovery.copy_store("store")
    shop.deliver("orders", DAYS[5], order(60))
    shop.run()
    after, blobs = shop.state(), shop.blobs()
    recovery.lose_ledger()
    recovery.restore_ledger("ledger")
    assert recovery.lost() == []  # what the store has beyond the ledger is in nobody's way
    shop.run(verify=True)
    assert shop.state() == after
    assert shop.blobs() == blobs


def test_a_backup_while_runs_go_on_is_whole_where_the_ledger_comes_first(recovery: Recovery) -> None:
    """Whatever is published between the two is a blob too many, never one too few."""
    shop = recovery.shop
    recovery.dump_ledger("ledger")
    shop.deliver("orders", DAYS[5], order(60))
    shop.run()
    recovery.copy_store("store")
    recovery.lose_ledger()
    recovery.lose_store()
    recovery.restore_ledger("ledger")
    recovery.restore_store("store")
    assert recovery.lost() == []


def test_a_store_that_is_older_than_the_ledger_is_told_and_repaired(recovery: Recovery) -> None:
    """The wrong order: the command names what the store lacks and what brings it back, and that does."""
    shop = recovery.shop
    recovery.copy_store("store")
    file = shop.deliver("orders", DAYS[5], order(60))
    shop.run()
    after = shop.state()
    recovery.lose_store()
    recovery.restore_store("store")
    assert set(recovery.lost()) == {("orders", DAYS[5]), ("lines", DAYS[5]), *TOTALS}
    done = process(shop, "store", "check")
    assert done.returncode == 1
    assert f"the store has no data of {2 + len(TOTALS)} of " in done.stdout
    file.touch()
    commands = [line.split()[1:] for line in done.stdout.splitlines() if line.startswith("tidemark run ")]
    for words in commands:
        said = process(shop, *words, "--as-of", "2025-01-13T06:00Z")
        assert said.returncode in (0, 1), said.stderr
    assert recovery.lost() == []
    assert shop.state() == after
    assert process(shop, "store", "check").returncode == 0


def test_a_lost_blob_stops_who_needs_it_with_a_sentence_and_is_computed_again_when_asked(recovery: Recovery) -> None:
    """Nothing wrong is published from what is left."""
    shop = recovery.shop
    before = shop.state()
    recovery.lose_blob("lines", DAYS[3])
    shop.run()
    assert shop.state() == before  # nobody needed it
    shop.deliver("orders", DAYS[2], order(33))
    with pytest.raises(Unavailable, match=r"has no blob .* bring it back from a backup, or have it computed again"):
        shop.run()
    assert recovery.lost() == [("lines", DAYS[3])]
    shop.force("lines", DAYS[3])
    assert recovery.lost() == []
    assert shop.content("totals", DAYS[3]) == [{"twice": 2 * (2 + 3 + 33 + 34 + 4 + 5)}]


def test_a_lost_delivery_is_taken_in_anew_when_its_file_is_touched(recovery: Recovery) -> None:
    shop = recovery.shop
    before = shop.state()
    recovery.lose_blob("orders", DAYS[1])
    assert recovery.lost() == [("orders", DAYS[1])]
    shop.file("orders", DAYS[1]).touch()
    shop.run()
    assert recovery.lost() == []
    assert shop.ran.get("totals") is None
    assert shop.state() == before


def test_with_the_store_alone_everything_is_computed_again_from_the_landing_zone(recovery: Recovery) -> None:
    """No backup of the ledger: what people decided is gone, what is computed is not."""
    shop = recovery.shop
    before = shop.heads("totals")
    recovery.lose_ledger()
    name = f"empty_{uuid.uuid4().hex}"
    administer(recovery.server, f"CREATE DATABASE {name} TEMPLATE tidemark_template")
    shop.ledger_url = f"{recovery.server}{name}"
    shop.run()
    assert shop.heads("totals") == before
    with shop.deployment() as deployment:
        assert audit_chain(deployment).entries == 0
