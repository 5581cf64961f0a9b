"""Rule 4: what is delivered, corrected, rejected and withdrawn, and when a file is looked into at all."""

import gzip
import io
import os
import re
import shutil
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import polars as pl
import pytest
import sqlalchemy as sa

from tests.gates import rule
from tests.scenario import Shop, news, on_both_ledgers
from tidemark import observe
from tidemark.deployment import Deployment
from tidemark.errors import Refused, Unavailable
from tidemark.landing import File, Landing
from tidemark.landing.listed import Listed, listed
from tidemark.ledger import Ledger
from tidemark.reading import query

LINES = """
    orders = source("orders", files="orders/{partition}.csv", partitions=DAYS%s)

    @asset(partitions=DAYS)
    def lines(orders: pl.DataFrame) -> str:
        return repr(orders.rows())
"""

DAYS = [f"2025-01-{day:02d}" for day in range(1, 10)]


@dataclass
class Watched:
    """A landing zone that counts what is read from it; ``coarse`` gives it a server's clock, of whole minutes."""

    real: Landing
    coarse: bool = False
    reads: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        return self.real.url

    def files(self, prefix: str) -> list[File]:
        return [self._seen(each) for each in self.real.files(prefix)]

    def listing(self, prefix: str) -> Listed:
        return listed(self.files(prefix))

    def read(self, name: str) -> tuple[bytes, str]:
        self.reads.append(name)
        payload, token = self.real.read(name)
        seen = next(each for each in self.files(name.rpartition("/")[0]) if each.name == name)
        return payload, seen.token if self.coarse else token

    def _seen(self, file: File) -> File:
        if not self.coarse:
            return file
        assert file.modified is not None
        minute = file.modified.replace(second=0, microsecond=0)
        return file._replace(token=f"{file.size} {minute}", changed=minute.timestamp(), tick=timedelta(minutes=1))


@pytest.fixture
def zone(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> Watched:
    """The shop's landing zone, with its reads counted."""
    with shop.deployment() as deployment:
        watched = Watched(deployment.landing)

    def equip(deployment: Deployment) -> None:
        deployment.__dict__["landing"] = watched

    monkeypatch.setattr(shop, "equip", equip)
    return watched


# -- when a file is looked into


def test_an_unchanged_stat_token_is_not_looked_into(shop: Shop, zone: Watched) -> None:
    """A file whose size and times are as before is not read again."""
    shop.define(LINES % "")
    shop.deliver("orders", DAYS[0], "k\n1\n")
    shop.run()
    assert zone.reads == [f"orders/{DAYS[0]}.csv"]
    zone.reads.clear()
    shop.run()
    assert zone.reads == []


def test_a_branch_does_not_look_into_what_prod_has_looked_into(shop: Shop, zone: Watched) -> None:
    """What prod has seen of a file holds in a branch that reads it in the same way, until the file changes."""
    shop.define(LINES % "")
    shop.deliver("orders", DAYS[0], "k\na\n")
    shop.run()
    zone.reads.clear()
    shop.environment = "branch"
    shop.run()
    assert zone.reads == []
    shop.deliver("orders", DAYS[0], "k\nb\n", age=1800)
    shop.run()
    shop.run()
    assert zone.reads == [f"orders/{DAYS[0]}.csv"]
    assert shop.heads("lines") == {DAYS[0]: "[('b',)]"}
    shop.environment = "prod"
    assert shop.heads("lines") == {DAYS[0]: "[('a',)]"}


def test_equal_content_delivered_again_changes_nothing(shop: Shop, zone: Watched) -> None:
    """A new file of the same content is read, and nothing runs and no head moves."""
    shop.define(LINES % "")
    shop.deliver("orders", DAYS[0], "k\n1\n")
    shop.run()
    zone.reads.clear()
    shop.deliver("orders", DAYS[0], "k\n1\n")
    shop.run()
    assert zone.reads == [f"orders/{DAYS[0]}.csv"]
    assert shop.ran == {}
    assert len(shop.history("orders", DAYS[0])) == 1


def test_a_change_within_the_granularity_of_the_clock_is_noticed(shop: Shop, zone: Watched) -> None:
    """Where two changes can leave one token, a young file is read again though its token is the same."""
    zone.coarse = True
    shop.define(LINES % "")
    shop.deliver("orders", DAYS[0], "k\n1\n", age=0)
    shop.run()
    before = os.stat(shop.file("orders", DAYS[0]))
    shop.file("orders", DAYS[0]).write_text("k\n2\n")
    os.utime(shop.file("orders", DAYS[0]), ns=(before.st_atime_ns, before.st_mtime_ns))
    shop.run()
    assert shop.ran == {"lines": [DAYS[0]]}
    assert shop.heads("lines") == {DAYS[0]: "[(2,)]"}


def test_a_young_file_is_settled_once_it_is_older_than_the_clock_can_hide(shop: Shop, zone: Watched) -> None:
    """From then on its token is believed."""
    shop.define(LINES % "")
    shop.deliver("orders", DAYS[0], "k\n1\n", age=0)
    shop.run()
    zone.reads.clear()
    shop.run()
    assert zone.reads == [f"orders/{DAYS[0]}.csv"]
    assert shop.ran == {}
    file = shop.file("orders", DAYS[0])
    moment = file.stat().st_mtime - 60
    os.utime(file, (moment, moment))
    shop.run()
    zone.reads.clear()
    shop.run()
    assert zone.reads == []


def test_a_corrected_file_that_pretends_to_be_as_old_is_noticed(shop: Shop) -> None:
    """Equal size and equal modification time do not hide other content."""
    shop.define(LINES % "")
    file = shop.deliver("orders", DAYS[0], "k\n1\n")
    shop.run()
    before = file.stat()
    shop.deliver("orders", DAYS[0], "k\n2\n")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    shop.run()
    assert shop.heads("lines") == {DAYS[0]: "[(2,)]"}


# -- what is read


def test_a_delivery_is_copied_and_read_from_the_store(shop: Shop) -> None:
    """What is overwritten after it was accepted does not reach what was planned with it."""
    shop.define(LINES % "")
    shop.deliver("orders", DAYS[0], "k\n1\n")
    shop.planned()
    shop.deliver("orders", DAYS[0], "k\n2\n")
    shop.run()
    assert shop.heads("lines") == {DAYS[0]: "[(2,)]"}
    # And one that is gone can still be read: an edit of the code runs from the copy.
    with shop.deployment() as deployment:
        blobs = {deployment.store.path(each).read_bytes() for each in shop.blobs()}
    assert {b"k\n1\n", b"k\n2\n"} <= blobs


def test_a_file_that_changes_during_a_run_does_not_reach_it(shop: Shop) -> None:
    """A run that has begun reads what was accepted as it began; the change is for the next one."""
    shop.define(LINES % "")
    shop.deliver("orders", DAYS[0], "k\n1\n")
    shop.pauses("lines")
    runner = shop.start()
    shop.wait_for("lines", DAYS[0])
    shop.deliver("orders", DAYS[0], "k\n2\n")
    shop.mends("lines")
    assert runner.wait() == 0, runner.log.read_text()
    assert shop.heads("lines") == {DAYS[0]: "[(1,)]"}
    shop.run()
    assert shop.heads("lines") == {DAYS[0]: "[(2,)]"}


@pytest.mark.parametrize(
    "same",
    [b"k,v\r\n1,a\r\n", b"\xef\xbb\xbfk,v\n1,a\n", b'"k","v"\n"1","a"\n'],
    ids=["CRLF", "byte order mark", "quotes"],
)
def test_how_a_csv_is_written_is_no_content(shop: Shop, same: bytes) -> None:
    """The version of a CSV file is that of its text cells."""
    shop.define(LINES % "")
    shop.deliver("orders", DAYS[0], "k,v\n1,a\n")
    shop.run()
    shop.deliver("orders", DAYS[0], same)
    shop.run()
    assert shop.ran == {}
    assert shop.heads("lines") == {DAYS[0]: "[(1, 'a')]"}


def test_text_cells_are_content_though_their_values_are_equal(shop: Shop) -> None:
    """1 and 1.0 and 01 are three cells, whatever type they are read as."""
    shop.define(LINES % ', schema={"k": float}')
    shop.deliver("orders", DAYS[0], "k\n1\n")
    shop.run()
    before = shop.versions("orders")
    shop.deliver("orders", DAYS[0], "k\n1.0\n")
    shop.run()
    assert shop.versions("orders") != before
    assert shop.heads("lines") == {DAYS[0]: "[(1.0,)]"}


def test_the_declared_schema_is_part_of_the_version(shop: Shop) -> None:
    """Declaring another type reads the same file anew."""
    shop.define(LINES % ', schema={"k": int}')
    shop.deliver("orders", DAYS[0], "k\n01\n")
    shop.run()
    assert shop.heads("lines") == {DAYS[0]: "[(1,)]"}
    shop.edit('"k": int', '"k": str')
    shop.run()
    assert shop.ran == {"lines": [DAYS[0]]}
    assert shop.heads("lines") == {DAYS[0]: "[('01',)]"}
    assert shop.state() == shop.rebuilt().state()


def test_a_declared_schema_holds_for_a_compressed_file_too(shop: Shop) -> None:
    """A zipped CSV is read with the types that are declared, as the gate saw it."""
    shop.define((LINES % ', schema={"k": str}').replace(".csv", ".csv.gz"))
    shop.deliver("orders", DAYS[0], gzip.compress(b"k\n1\n"))
    shop.run()
    assert shop.heads("lines") == {DAYS[0]: "[('1',)]"}
    assert shop.heads("orders") == {DAYS[0]: [{"k": "1"}]}


def test_without_a_schema_types_are_inferred_over_the_whole_file(shop: Shop) -> None:
    """A text in the last of many lines makes a column text, from the first line on."""
    shop.define(LINES.replace("repr(orders.rows())", "repr(orders.rows()[0])") % "")
    shop.deliver("orders", DAYS[0], "k\n" + "1\n" * 20_000 + "x\n")
    shop.run()
    assert shop.heads("lines") == {DAYS[0]: "('1',)"}


# -- the schema that a delivery was accepted with


def _standing(shop: Shop) -> None:
    """Accept a day as text, and reject what comes for it when whole numbers are declared."""
    shop.define(LINES % ', schema={"k": str}')
    shop.deliver("orders", DAYS[0], "k\n01\n")
    shop.run()
    shop.edit('"k": str', '"k": int')
    shop.deliver("orders", DAYS[0], "k\nx\n")
    shop.run()
    assert shop.provisional("lines") == {DAYS[0]: {f"orders {DAYS[0]}"}}


def test_a_standing_delivery_is_read_with_the_schema_that_it_was_accepted_with(shop: Shop) -> None:
    """Its version says text: an asset whose code changes gets that, whatever the definition declares by now."""
    _standing(shop)
    shop.edit("repr(orders.rows())", "repr(orders.rows()) + '!'")
    shop.run()
    assert shop.ran == {"lines": [DAYS[0]]}
    assert shop.heads("lines") == {DAYS[0]: "[('01',)]!"}


def test_a_delivery_that_the_present_schema_refuses_can_still_be_read(shop: Shop) -> None:
    """An edit that no file fits leaves every reader what it had, by every way of reading."""
    shop.define(LINES % ', schema={"k": str}')
    shop.deliver("orders", DAYS[0], "k\nx\n")
    shop.run()
    shop.edit('"k": str', '"k": int')
    shop.edit("repr(orders.rows())", "repr(orders.rows()) + '!'")
    shop.run()
    assert shop.heads("lines") == {DAYS[0]: "[('x',)]!"}
    assert shop.heads("orders") == {DAYS[0]: [{"k": "x"}]}
    with shop.deployment() as deployment:
        assert query(deployment, "SELECT k FROM orders").fetchall() == [("x",)]


def test_another_pipeline_reads_a_standing_delivery_as_it_was_accepted(shop: Shop) -> None:
    """What a source declares today says nothing of what its standing deliveries were read with."""
    _standing(shop)
    shop.define(
        """
        @asset(partitions=DAYS, inputs={"orders": ref("orders")})
        def counted(orders: pl.DataFrame) -> str:
            return repr(orders.rows())
        """,
        name="other",
    )
    shop.run("other")
    assert shop.heads("counted") == {DAYS[0]: "[('01',)]"}


def test_sql_reads_a_delivered_parquet_file_as_declared(shop: Shop) -> None:
    """Its columns have the types of the schema, as an asset gets them."""
    shop.define((LINES % ', schema={"k": float}').replace(".csv", ".parquet"))
    content = io.BytesIO()
    pl.DataFrame({"k": [1]}).write_parquet(content)
    shop.deliver("orders", DAYS[0], content.getvalue())
    shop.run()
    assert shop.heads("lines") == {DAYS[0]: "[(1.0,)]"}
    with shop.deployment() as deployment:
        assert query(deployment, "SELECT typeof(k) FROM orders").fetchall() == [("DOUBLE",)]


def test_a_delivery_that_is_stored_in_another_form_is_gated_again(shop: Shop) -> None:
    """A sender that began to compress delivers the same content: a changed suite looks at what is stored of it."""
    shop.suite("orders", rule("expect_column_values_to_not_be_null", column="k"))
    shop.define(LINES % ', gate="orders"')
    shop.deliver("orders", DAYS[0], "k\n1\n")
    shop.run()
    shop.edit(".csv", ".csv.gz")
    shop.deliver("orders", DAYS[0], gzip.compress(b"k\n1\n"))
    shop.run()
    assert shop.ran == {}
    shop.suite("orders", rule("expect_table_row_count_to_be_between", min_value=1))
    assert shop.run().ok
    assert shop.explain("orders", DAYS[0])["gate"]["outcome"] == "passed"


# -- bad deliveries


def test_a_bad_delivery_keeps_the_last_accepted_one(shop: Shop) -> None:
    """What read it keeps what it had, is provisional for it, and the verdict names file, line and what is served."""
    shop.define(LINES % ', schema={"k": int}')
    shop.deliver("orders", DAYS[0], "k\n1\n")
    shop.deliver("orders", DAYS[1], "k\n2\n")
    shop.run()
    shop.deliver("orders", DAYS[0], "k\nx\n")
    verdict = shop.run()
    assert shop.ran == {}
    assert shop.heads("lines")[DAYS[0]] == "[(1,)]"
    assert shop.provisional("lines") == {DAYS[0]: {f"orders {DAYS[0]}"}}
    [trouble] = verdict.troubles
    assert (trouble.asset, trouble.partition, trouble.what, trouble.new) == ("orders", DAYS[0], "rejected", True)
    assert f"orders/{DAYS[0]}.csv: line 2" in trouble.why
    assert "last good delivery" in trouble.instead


def test_a_rejection_is_news_to_the_first_run_whoever_has_looked_before(shop: Shop) -> None:
    """A plan that a person looked at takes no news from the run after it; the run after that has none."""
    shop.define(LINES % ', schema={"k": int}')
    shop.deliver("orders", DAYS[0], "k\n1\n")
    shop.run()
    shop.deliver("orders", DAYS[0], "k\nx\n")
    shop.planned()
    assert news(shop.run())
    assert not news(shop.run())


def test_a_corrected_delivery_clears_the_marks(shop: Shop) -> None:
    """And a corrected one that equals the last good one does so without a run."""
    shop.define(LINES % ', schema={"k": int}')
    shop.deliver("orders", DAYS[0], "k\n1\n")
    shop.run()
    shop.deliver("orders", DAYS[0], "k\nx\n")
    shop.run()
    shop.deliver("orders", DAYS[0], "k\n1\n")
    verdict = shop.run()
    assert shop.ran == {}
    assert verdict.ok
    assert shop.provisional("lines") == {}
    assert shop.state() == shop.rebuilt().state()


def test_a_bad_delivery_is_told_once(shop: Shop) -> None:
    """It stays in the verdict until it is mended, but is news in one run only, also while its file is young."""
    shop.define(LINES % ', schema={"k": int}')
    shop.deliver("orders", DAYS[0], "k\nx\n", age=0)
    assert news(shop.run())
    again = shop.run()
    assert not again.ok
    assert not news(again)
    assert again.troubles[0].why.startswith(f"orders/{DAYS[0]}.csv: line 2")


def test_a_first_delivery_that_is_bad_counts_as_missing(shop: Shop) -> None:
    """There is nothing to stand in for it: what needs it waits, and says for what."""
    shop.define(LINES % ', schema={"k": int}')
    shop.deliver("orders", DAYS[0], "k\nx\n")
    shop.deliver("orders", DAYS[1], "k\n2\n")
    shop.run()
    assert shop.ran == {"lines": [DAYS[1]]}
    assert shop.counts("lines") == {"computed": 1, "waiting": 1}
    assert shop.explain("lines", DAYS[0])["why"] == f"orders cannot be read: orders {DAYS[0]} failed or was rejected"


def test_a_bad_delivery_that_is_withdrawn_leaves_nothing(shop: Shop) -> None:
    """The last good one went with it: there is no file any more."""
    shop.define(LINES % ', schema={"k": int}')
    shop.deliver("orders", DAYS[0], "k\n1\n")
    shop.deliver("orders", DAYS[1], "k\n1\n")
    shop.run()
    shop.deliver("orders", DAYS[1], "k\nx\n")
    shop.run()
    shop.withdraw("orders", DAYS[1])
    verdict = shop.run()
    assert verdict.ok
    assert shop.heads("orders").keys() == {DAYS[0]}
    assert shop.state() == shop.rebuilt().state()


@on_both_ledgers
def test_a_declaration_hides_no_bad_delivery_that_comes_after_it(shop: Shop) -> None:
    """Who declared the day absent knew nothing of the file; who does so afterwards has seen it."""
    shop.define(LINES % ', schema={"k": int}')
    shop.deliver("orders", DAYS[0], "k\n1\n")
    shop.run()
    shop.declare_absent("orders", DAYS[0])
    assert shop.run().ok
    shop.deliver("orders", DAYS[0], "k\nx\n")
    verdict = shop.run()
    assert [(each.partition, each.what, each.new) for each in verdict.troubles] == [(DAYS[0], "rejected", True)]
    assert shop.provisional("lines") == {DAYS[0]: {f"orders {DAYS[0]}"}}
    account = shop.explain("orders", DAYS[0])
    assert account["state"] == "rejected: the last good delivery stays live"
    assert account["declared"] == "closed that day (tester)"
    assert not shop.run().ok
    assert shop.declare_absent("orders", DAYS[0]) == (True, 1)
    assert shop.run().ok
    assert shop.provisional("lines") == {}
    assert shop.declare_absent("orders", DAYS[0]) == (False, 0)


def test_the_same_bad_file_that_comes_again_is_no_news_to_a_declaration_but_one_after_a_good_one_is(shop: Shop) -> None:
    """A declaration stands against what was there when it was made, for as long as that stays."""
    shop.define(LINES % ', schema={"k": int}')
    shop.deliver("orders", DAYS[0], "k\nx\n")
    assert not shop.run().ok
    shop.declare_absent("orders", DAYS[0])
    shop.deliver("orders", DAYS[0], "k\nx\n", age=0)
    assert shop.run().ok
    shop.deliver("orders", DAYS[0], "k\n1\n")
    assert shop.run().ok
    shop.deliver("orders", DAYS[0], "k\nx\n")
    assert not shop.run().ok


# -- withdrawals


def test_a_withdrawn_file_is_absent(shop: Shop) -> None:
    """What was made of it goes, as if it had never been delivered."""
    shop.define(LINES % "")
    for key in DAYS[:3]:
        shop.deliver("orders", key, "k\n1\n")
    shop.run()
    shop.withdraw("orders", DAYS[1])
    shop.run()
    assert shop.ran == {}
    assert shop.heads("lines").keys() == {DAYS[0], DAYS[2]}
    assert shop.state() == shop.rebuilt().state()


@pytest.mark.parametrize("withdrawn", [DAYS[0], DAYS[2]])
def test_a_withdrawal_at_either_end_is_no_different(shop: Shop, withdrawn: str) -> None:
    """The first file decides from when there is anything; without it the second does."""
    shop.define(LINES % "")
    for key in DAYS[:3]:
        shop.deliver("orders", key, "k\n1\n")
    shop.run()
    shop.withdraw("orders", withdrawn)
    shop.run()
    assert withdrawn not in shop.heads("lines")
    assert shop.state() == shop.rebuilt().state()


def test_a_withdrawal_of_what_is_expected_makes_it_missing(shop: Shop) -> None:
    """Delivered and then withdrawn is the same as never delivered."""
    shop.define(LINES % ', expected=Calendar("MON-SUN")')
    for key in DAYS:
        shop.deliver("orders", key, "k\n1\n")
    shop.run()
    shop.withdraw("orders", DAYS[3])
    shop.run()
    assert shop.counts("lines") == {"unchanged": 8, "waiting": 1}
    assert DAYS[3] not in shop.heads("lines")
    assert shop.state() == shop.rebuilt().state()
    shop.deliver("orders", DAYS[3], "k\n1\n")
    shop.run()
    assert shop.ran == {}
    assert shop.counts("lines") == {"unchanged": 8, "restored": 1}


@pytest.fixture
def month(shop: Shop) -> Shop:
    """Twenty days that were delivered and run."""
    shop.now("2025-02-10 06:00")
    shop.define(LINES % "")
    for day in range(1, 21):
        shop.deliver("orders", f"2025-01-{day:02d}", "k\n1\n")
    shop.run()
    return shop


def _keys(first: int, last: int) -> list[str]:
    return [f"2025-01-{day:02d}" for day in range(first, last + 1)]


def test_a_tenth_of_a_source_may_vanish(month: Shop) -> None:
    """Two of twenty files are withdrawn without a question."""
    month.withdraw("orders", *_keys(5, 6))
    month.run()
    assert month.counts("lines") == {"unchanged": 18}
    assert month.state() == month.rebuilt().state()


def test_over_a_tenth_of_a_source_is_refused_until_a_person_confirms(month: Shop) -> None:
    """Three of twenty files gone at once may be an unmounted disk: nothing changes before somebody says so."""
    before = month.state()
    month.withdraw("orders", *_keys(5, 7))
    with pytest.raises(Refused, match=r"orders: 3 of 20 delivered files are gone .*--confirm-withdrawals orders"):
        month.run()
    assert month.state() == before
    with pytest.raises(Refused):
        month.run(confirmed=frozenset({"something else"}))
    month.run(confirmed=frozenset({"orders"}))
    assert month.counts("lines") == {"unchanged": 17}
    assert month.state() == month.rebuilt().state()


def test_one_file_alone_is_never_a_mass_withdrawal(shop: Shop) -> None:
    """It takes at least two: the only file of a source may go."""
    shop.define(LINES % "")
    shop.deliver("orders", DAYS[0], "k\n1\n")
    shop.run()
    shop.withdraw("orders", DAYS[0])
    shop.run()
    assert shop.heads("lines") == {}


def test_one_refusal_keeps_all_sources_as_they_are(shop: Shop) -> None:
    """What another source was delivered meanwhile waits for the same answer: a plan sees all or nothing."""
    shop.define("""
        orders = source("orders", files="orders/{partition}.txt", partitions=DAYS)
        rates = source("rates", files="rates/{partition}.txt", partitions=DAYS)

        @asset(partitions=DAYS)
        def priced(orders: bytes, rates: bytes | None) -> bytes:
            return orders + (rates or b"")
    """)
    shop.deliver_days("orders", *DAYS)
    shop.run()
    before = shop.state()
    shop.withdraw("orders", *DAYS[:2])
    shop.deliver_days("rates", DAYS[5])
    with pytest.raises(Refused):
        shop.run()
    assert shop.state() == before


def test_an_unmounted_landing_zone_is_no_withdrawal(month: Shop) -> None:
    """A listing that fails refuses the plan; an empty folder in its place does too, and nobody can overlook it."""
    before = month.state()
    aside = month.landing.with_name("aside")
    month.landing.rename(aside)
    with pytest.raises(Unavailable, match=r"landing zone .* cannot be listed.*Is it mounted"):
        month.run()
    month.landing.mkdir()
    with pytest.raises(Refused, match="20 of 20"):
        month.run()
    assert month.state() == before
    month.landing.rmdir()
    aside.rename(month.landing)
    month.run()
    assert month.ran == {}
    assert month.state() == before


def test_files_that_a_definition_leaves_out_have_not_vanished(month: Shop) -> None:
    """A later start leaves files out that are there: that is what the definition says, and no accident."""
    month.edit("partitions=DAYS)\n\n@asset", 'partitions=Daily(start="2025-01-11"))\n\n@asset')
    month.run()
    assert month.heads("lines").keys() == set(_keys(11, 20))
    assert month.state() == month.rebuilt().state()


def test_a_source_that_moves_to_other_names_is_asked_about(month: Shop) -> None:
    """Another file pattern makes all known files disappear: that is refused, too."""
    month.edit('files="orders/{partition}.csv"', 'files="sales/{partition}.csv"')
    with pytest.raises(Refused, match="20 of 20"):
        month.run()
    shutil.copytree(month.landing / "orders", month.landing / "sales")
    month.run()
    assert month.ran == {}
    assert month.counts("lines") == {"unchanged": 20}


# -- two runs at once


@on_both_ledgers
def test_a_run_that_read_an_older_file_takes_nothing_back(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between its reading a file and writing that down, another run has read the corrected one: that one stands."""
    shop.define(LINES % "")
    shop.deliver("orders", DAYS[0], "k\n1\n")
    shop.run()
    shop.deliver("orders", DAYS[0], "k\n2\n")
    other = shop.twin()

    class Slow:
        """A landing zone whose first answer is an old one when it comes."""

        def __init__(self, real: Landing) -> None:
            self.url, self.listing, self.real = real.url, real.listing, real

        def read(self, name: str) -> tuple[bytes, str]:
            answer = self.real.read(name)
            if "other" not in vars(self):
                self.other = other.deliver("orders", DAYS[0], "k\n3\n")
                other.run()
            return answer

    with monkeypatch.context() as patch:
        patch.setattr(shop, "equip", lambda opened: opened.__dict__.update(landing=Slow(opened.landing)))
        assert shop.run().ok
    assert shop.heads("orders") == {DAYS[0]: [{"k": 3}]}
    assert shop.heads("lines") == {DAYS[0]: "[(3,)]"}
    assert [each["reason"] for each in shop.history("orders", DAYS[0])] == ["delivered", "corrected"]


@on_both_ledgers
def test_a_run_that_looked_at_older_heads_moves_none(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between its looking and its moving, a correction came and was taken back: the head that it saw is no proof."""
    shop.define(LINES % "")
    shop.deliver("orders", DAYS[0], "k\n1\n")
    shop.run()
    shop.deliver("orders", DAYS[0], "k\n2\n")
    other = shop.twin()
    adopt, write = observe.adopt, Ledger.write

    def meanwhile(ledger: Ledger) -> AbstractContextManager[sa.Connection]:
        monkeypatch.setattr(Ledger, "write", write)
        monkeypatch.setattr(observe, "adopt", adopt)
        for content in ("k\n2\n", "k\n1\n"):
            other.deliver("orders", DAYS[0], content)
            other.planned()
        return write(ledger)

    def adopted(*arguments: Any) -> None:
        monkeypatch.setattr(Ledger, "write", meanwhile)
        adopt(*arguments)

    monkeypatch.setattr(observe, "adopt", adopted)
    shop.run()
    assert shop.heads("orders") == {DAYS[0]: [{"k": 1}]}
    assert shop.heads("lines") == {DAYS[0]: "[(1,)]"}


# -- dates that are far from all others


def _deliver(shop: Shop, *keys: str) -> None:
    for key in keys:
        shop.deliver("orders", key, "k\n1\n")


def _ignored(shop: Shop) -> set[str]:
    """Return the days that the last run ignored, each with the mend."""
    assert shop.plan is not None
    pattern = r"'orders/([\d-]+)\.csv' \(its date is out of range: declare start= if it is meant\)"
    return set(re.findall(pattern, "\n".join(shop.plan.observed.warnings)))


LONG_AGO = ["1970-01-01", "1970-01-02", "1970-01-03"]
BEFORE = [f"2023-01-{day:02d}" for day in range(1, 6)]


@pytest.mark.parametrize("stray", [LONG_AGO, BEFORE], ids=["long ago", "two years ago"])
def test_stray_dates_withdraw_nothing_however_many_they_are(shop: Shop, stray: list[str]) -> None:
    """What was accepted stays for as long as its file is there; a past that comes afterwards must be declared."""
    shop.define(LINES % "")
    _deliver(shop, *DAYS[:2])
    shop.run()
    before = shop.state()
    _deliver(shop, *stray)
    assert shop.run().ok
    assert shop.ran == {}
    assert shop.state() == before
    assert _ignored(shop) == set(stray)
    shop.edit("partitions=DAYS)\n\n@asset", 'partitions=Daily(start="1970-01-01"))\n\n@asset')
    shop.run()
    assert shop.ran == {"lines": stray}
    assert shop.state() == shop.rebuilt().state()


def test_deliveries_go_on_after_a_pause_of_years(shop: Shop) -> None:
    """Two files are no typing error, though the old ones are more; one alone may be, until a second one comes."""
    shop.now("2023-01-10 06:00")
    shop.define(LINES % "")
    _deliver(shop, *BEFORE)
    shop.run()
    shop.now("2025-01-10 06:00")
    _deliver(shop, DAYS[0])
    shop.run()
    assert shop.ran == {}
    assert _ignored(shop) == {DAYS[0]}
    _deliver(shop, DAYS[1])
    shop.run()
    assert shop.ran == {"lines": DAYS[:2]}
    assert _ignored(shop) == set()
    assert shop.heads("lines").keys() == {*BEFORE, *DAYS[:2]}
    assert shop.state() == shop.rebuilt().state()


@pytest.mark.parametrize("left", [[DAYS[0]], [BEFORE[0]]], ids=["the newer", "the older"])
def test_a_delivery_that_is_left_alone_is_no_typing_error_by_that(shop: Shop, left: list[str]) -> None:
    """Its neighbours are withdrawn, and it is as far from all others as one that nobody meant: it stays."""
    shop.define(LINES % "")
    _deliver(shop, *BEFORE, *DAYS[:4])
    shop.run()
    gone = {BEFORE[0]: BEFORE[1:], DAYS[0]: DAYS[1:4]}[left[0]]
    shop.withdraw("orders", *gone)
    shop.run(confirmed=frozenset({"orders"}))
    assert shop.heads("lines").keys() == {*BEFORE, *DAYS[:4]} - set(gone)
    assert _ignored(shop) == set()


def test_the_first_look_begins_with_most_of_the_files(shop: Shop) -> None:
    """What is older is ignored, and what is newer only if it is one file alone; of equals the newest are meant."""
    shop.define(LINES % "")
    _deliver(shop, *LONG_AGO[:2], *BEFORE, *DAYS[:2], "2026-03-01")
    shop.run()
    assert _ignored(shop) == {*LONG_AGO[:2], "2026-03-01"}
    assert shop.heads("lines").keys() == {*BEFORE, *DAYS[:2]}
    assert shop.state() == shop.rebuilt().state()


def test_of_two_lone_dates_the_newest_is_meant(shop: Shop) -> None:
    """Nothing else tells them apart."""
    shop.define(LINES % "")
    _deliver(shop, BEFORE[0], DAYS[0])
    shop.run()
    assert _ignored(shop) == {BEFORE[0]}
    assert shop.heads("lines").keys() == {DAYS[0]}


@pytest.mark.parametrize("first", [BEFORE[0], DAYS[0]])
def test_with_a_start_the_order_of_arrival_does_not_matter(shop: Shop, first: str) -> None:
    """However far apart the dates lie."""
    shop.define((LINES % "").replace("DAYS", f'Daily(start="{BEFORE[0]}")', 1))
    for key in (first, *{BEFORE[0], DAYS[0]} - {first}):
        _deliver(shop, key)
        shop.run()
    assert shop.heads("lines").keys() == {BEFORE[0], DAYS[0]}
    assert shop.state() == shop.rebuilt().state()
