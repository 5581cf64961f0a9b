"""Bad input, and what it gets: whatever comes, the last good head stays live, nothing is lost, the rest goes on, and
the message names the file, the line or the column, and the mend.
"""

import os
import re
import sqlite3
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg2
import pytest

from tests.gates import rule
from tests.scenario import Shop, on_both_ledgers
from tests.servers import free_port, silent_server, use_s3
from tidemark.cli import main
from tidemark.config import settings
from tidemark.deployment import Deployment, open_deployment
from tidemark.errors import Unavailable
from tidemark.facts import register
from tidemark.landing import File, Landing
from tidemark.landing.listed import Listed
from tidemark.ledger import database
from tidemark.observe import observe
from tidemark.running.run import prepare

PRICES = """
    orders = source("orders", files="orders/{partition}.csv", partitions=DAYS,
                    schema={"product": str, "units": int, "price": float})

    @asset(partitions=DAYS)
    def revenue(orders: pl.DataFrame) -> str:
        return str((orders["units"] * orders["price"]).sum())
"""

GOOD = "product,units,price\ntea,2,1.5\nçay,1,2.0\n"
DAY, OTHER = "2025-01-05", "2025-01-06"
SECONDS = 30
"""Within which a person must know that something cannot be reached."""


@pytest.fixture
def running(shop: Shop) -> Shop:
    """A day that was delivered well, and has run."""
    shop.define(PRICES)
    shop.deliver("orders", DAY, GOOD)
    assert shop.run().ok
    assert shop.heads("revenue") == {DAY: "5.0"}
    return shop


# -- files

BAD_FILES = {
    "a missing column": (
        b"product,price\ntea,1.5\n",
        r"orders/2025-01-05\.csv: column 'units' is missing; found 'product', 'price'",
    ),
    "a renamed column": (
        b"product,Units ,price\ntea,2,1.5\n",
        r"orders/2025-01-05\.csv: column 'units' is missing; .* Did you mean 'Units '\?",
    ),
    "another delimiter": (
        b"product;units;price\ntea;2;1.5\n",
        r"orders/2025-01-05\.csv: .*It looks separated by semicolons: deliver it with commas",
    ),
    "a wrong type": (
        b"product,units,price\ntea,2,1.5\nmilk,two,0.5\n",
        r"orders/2025-01-05\.csv: line 3, column 'units': 'two' is not int .*Deliver a corrected file",
    ),
    "a decimal comma": (
        b'product,units,price\ntea,2,"1,5"\n',
        r"orders/2025-01-05\.csv: line 2, column 'price': '1,5' is not float .*Deliver a corrected file",
    ),
    "a last line that is cut off": (
        b"product,units,price\ntea,2,1.5\nmilk,1,0.",
        r"orders/2025-01-05\.csv: line 3: the last line has no end: the file was cut off",
    ),
    "a last line without all its cells": (
        b"product,units,price\ntea,2,1.5\nmilk,1\n",
        r"orders/2025-01-05\.csv: line 3: 2 cells, but the header has 3 columns",
    ),
    "a quote that is not closed": (
        b'product,units,price\n"tea,2,1.5\nmilk,1,1\n',
        r"orders/2025-01-05\.csv: line 2: a quote is opened and never closed",
    ),
    "another encoding": (
        "product,units,price\nçay,1,2.0\n".encode("latin-1"),
        r"orders/2025-01-05\.csv: line 2, byte \d+: not UTF-8 .*Deliver it as UTF-8",
    ),
    "UTF-16": (
        GOOD.encode("utf-16"),
        r"orders/2025-01-05\.csv: byte 1: the file is UTF-16.*Deliver it as UTF-8",
    ),
    "an empty file": (b"", r"orders/2025-01-05\.csv: the file is empty\. Deliver it again"),
    "blank lines only": (b"\n\n\n", r"orders/2025-01-05\.csv: the file is empty"),
    "a column that is there twice": (
        b"product,units,price,price\ntea,2,1.5,1\n",
        r"orders/2025-01-05\.csv: line 1: several columns are named 'price'",
    ),
    "zeros from a disk that lost power": (
        b"product,units,price\ntea,2,1.5\n" + b"\0" * 20 + b"\n",
        r"orders/2025-01-05\.csv: line 3, byte 31: a zero byte",
    ),
}


@pytest.mark.parametrize(("content", "words"), BAD_FILES.values(), ids=BAD_FILES.keys())
def test_a_file_that_cannot_be_read_is_quarantined(running: Shop, content: bytes, words: str) -> None:
    """It is never half read: the last good delivery stands, its readers know, and the other day runs."""
    running.deliver("orders", DAY, content)
    running.deliver("orders", OTHER, GOOD)
    verdict = running.run()
    assert running.ran == {"revenue": [OTHER]}
    assert running.heads("revenue") == {DAY: "5.0", OTHER: "5.0"}
    assert running.provisional("revenue") == {DAY: {f"orders {DAY}"}}
    [trouble] = verdict.troubles
    assert re.match(words, trouble.why), trouble.why
    assert trouble.instead.startswith("its last good delivery")
    assert _is_kept(running, content)


@pytest.mark.parametrize(
    ("kind", "cell"),
    [
        ("date", "2025-02-30"),
        ("date", "0000-01-01"),
        ("date", "10000-01-01"),
        ("datetime", "0000-01-01 00:00:00"),
        ("datetime", "0001-01-01 00:00:00+05:00"),
        ("datetime", "9999-12-31 23:00:00-05:00"),
    ],
)
def test_a_date_outside_the_calendar_is_quarantined(shop: Shop, kind: str, cell: str) -> None:
    """No function could take it out of its frame; the other day runs."""
    shop.module("kinds", "from datetime import date, datetime\n")
    shop.define(f"""
        from kinds import {kind}
        orders = source("orders", files="orders/{{partition}}.csv", partitions=DAYS, schema={{"on": {kind}}})

        @asset(partitions=DAYS)
        def newest(orders: pl.DataFrame) -> str:
            return str(max(orders["on"].to_list()))
    """)
    shop.deliver("orders", DAY, f"on\n{cell}\n")
    shop.deliver("orders", OTHER, "on\n2025-01-06\n")
    verdict = shop.run()
    assert shop.ran == {"newest": [OTHER]}
    [trouble] = verdict.troubles
    assert trouble.why.startswith(f"orders/{DAY}.csv: line 2, column 'on': {cell!r} is not {kind} (")


def _is_kept(shop: Shop, content: bytes) -> bool:
    """Whether the store holds just these bytes: what was delivered can be looked at, though it was overwritten."""
    with shop.deployment() as deployment:
        return any(deployment.store.path(blob).read_bytes() == content for blob in shop.blobs())


@pytest.mark.parametrize(
    "content",
    [b"\xef\xbb\xbf" + GOOD.encode(), GOOD.replace("\n", "\r\n").encode(), GOOD.replace("\n", "\n\n").encode()],
    ids=["a byte order mark", "CRLF", "blank lines"],
)
def test_what_is_harmless_is_read(running: Shop, content: bytes) -> None:
    """It is the same content: nothing runs, and a day that comes so is computed."""
    running.deliver("orders", DAY, content)
    running.deliver("orders", OTHER, content)
    assert running.run().ok
    assert running.ran == {"revenue": [OTHER]}
    assert running.heads("revenue") == {DAY: "5.0", OTHER: "5.0"}


def test_a_header_without_lines_is_the_gates_business(shop: Shop) -> None:
    """It is a valid file: a suite that wants rows quarantines it, and says how many it found."""
    shop.suite("orders", rule("expect_table_row_count_to_be_between", min_value=1))
    shop.define(PRICES.replace("partitions=DAYS,", 'partitions=DAYS, gate="orders",', 1))
    shop.deliver("orders", DAY, GOOD)
    shop.run()
    shop.deliver("orders", DAY, "product,units,price\n")
    verdict = shop.run()
    assert shop.heads("revenue") == {DAY: "5.0"}
    assert shop.provisional("revenue") == {DAY: {f"orders {DAY}"}}
    assert verdict.troubles[0].why.startswith(
        f"orders/{DAY}.csv: has no rows, and did not pass the gate 'orders': orders: Must have greater than or equal "
        "to 1 rows; observed 0. Deliver a corrected file, or declare this one absent ("
    )
    assert _is_kept(shop, b"product,units,price\n")


def test_a_header_without_lines_is_read_where_no_gate_asks_for_more(running: Shop) -> None:
    """A day without a sale."""
    running.deliver("orders", OTHER, "product,units,price\n")
    assert running.run().ok
    assert running.heads("revenue")[OTHER] == "0.0"


# -- files that move


@dataclass
class Uneasy:
    """A landing zone in which something happens after it was listed."""

    real: Landing
    happens: object = None

    @property
    def url(self) -> str:
        return self.real.url

    def files(self, prefix: str) -> list[File]:
        return self.real.files(prefix)

    def listing(self, prefix: str) -> Listed:
        found = self.real.listing(prefix)
        if callable(self.happens):
            self.happens()
        return found

    def read(self, name: str) -> tuple[bytes, str]:
        return self.real.read(name)


@pytest.fixture
def uneasy(running: Shop, monkeypatch: pytest.MonkeyPatch) -> Uneasy:
    with running.deployment() as deployment:
        zone = Uneasy(deployment.landing)

    def equip(deployment: Deployment) -> None:
        deployment.__dict__["landing"] = zone

    monkeypatch.setattr(running, "equip", equip)
    return zone


def _warned(shop: Shop) -> str:
    assert shop.plan is not None
    return "\n".join(shop.plan.observed.warnings)


def test_a_file_that_grows_while_it_is_read_is_left_for_the_next_run(
    running: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rest goes on, the day keeps what it had, and one is told how to deliver."""
    file = running.deliver("orders", DAY, GOOD + "milk,1,1.0\n")
    running.deliver("orders", OTHER, GOOD)
    real = os.fstat

    def growing(descriptor: int) -> os.stat_result:
        status = real(descriptor)
        if status.st_ino == file.stat().st_ino:
            with file.open("a") as more:
                more.write("sugar,1,1.0\n")
        return status

    with monkeypatch.context() as patch:
        patch.setattr(os, "fstat", growing)
        assert running.run().ok
    assert running.ran == {"revenue": [OTHER]}
    assert running.heads("revenue")[DAY] == "5.0"
    assert f"'orders/{DAY}.csv' changed while it was read" in _warned(running)
    assert "Deliver under a temporary name" in _warned(running)
    running.run()
    assert running.ran == {"revenue": [DAY]}
    assert float(running.heads("revenue")[DAY]) >= 7


def test_a_file_under_a_temporary_name_is_not_looked_at(running: Shop) -> None:
    """Half of it may be there; it counts from when it has its name."""
    whole = running.deliver("orders", OTHER, GOOD)
    part = whole.rename(whole.with_name(f"{whole.name}.part"))
    assert running.run().ok
    assert running.ran == {}
    assert _warned(running) == ""
    part.rename(whole)
    running.run()
    assert running.ran == {"revenue": [OTHER]}


def test_a_file_that_vanishes_while_it_is_looked_at_is_left_for_the_next_run(running: Shop, uneasy: Uneasy) -> None:
    """It was listed and is gone: nothing is concluded from that before the next listing."""
    running.deliver("orders", DAY, GOOD + "milk,1,1.0\n")
    running.deliver("orders", OTHER, GOOD)
    uneasy.happens = lambda: running.file("orders", DAY).unlink(missing_ok=True)
    assert running.run().ok
    assert running.ran == {"revenue": [OTHER]}
    assert running.heads("revenue")[DAY] == "5.0"
    assert f"'orders/{DAY}.csv' vanished while it was looked at" in _warned(running)
    uneasy.happens = None
    running.run()
    assert running.heads("revenue").keys() == {OTHER}


@pytest.mark.parametrize("odd", ["", "README.txt", "2031-01-05.csv", "--verify"])
def test_a_file_that_comes_while_another_run_looks_is_not_taken_for_gone(
    running: Shop, uneasy: Uneasy, odd: str
) -> None:
    """Who listed before it came reads what is known after another run has taken it, and looks at all files or at some.

    He must look at all of them where something lies about that is no delivery, or out of range, or is asked to.
    """
    if odd.endswith((".txt", ".csv")):
        (running.landing / "orders" / odd).write_text(GOOD)
        running.run()

    def another_run() -> None:
        uneasy.happens = None
        running.deliver("orders", OTHER, GOOD)
        with running.deployment() as deployment:
            pipeline = running.pipelines["shop"]
            names = register(deployment, pipeline)
            observe(deployment, pipeline, names, as_of=running.as_of, run="another", actor="bob")

    uneasy.happens = another_run
    assert running.run(verify=odd == "--verify").ok
    assert running.heads("revenue").keys() == {DAY, OTHER}
    running.run()
    assert running.ran == {}
    assert running.heads("revenue").keys() == {DAY, OTHER}
    running.withdraw("orders", OTHER)
    running.run()
    assert running.heads("revenue").keys() == {DAY}


def test_a_file_that_vanishes_between_plan_and_run_was_copied(running: Shop) -> None:
    """The run reads the copy; that the file is gone is for the next plan."""
    running.deliver("orders", OTHER, GOOD)
    running.pauses("revenue", OTHER)
    runner = running.start()
    running.wait_for("revenue", OTHER)
    running.withdraw("orders", OTHER)
    running.mends("revenue", OTHER)
    assert runner.wait() == 0, runner.log.read_text()
    assert running.heads("revenue")[OTHER] == "5.0"
    running.run()
    assert running.heads("revenue").keys() == {DAY}


# -- names

STRANGE = {
    "a word": "latest.csv",
    "a day that no month has": "2025-02-30.csv",
    "another form of date": "20250105.csv",
    "a date of long ago": "1925-01-05.csv",
    "a date far ahead": "2925-01-05.csv",
    "a date in a folder of its own": "2025/2025-01-05.csv",
    "a key that would lead out": "%2e%2e%2f%2e%2e%2fpasswd.csv",
    "another ending": "2025-01-06.xlsx",
    "a name that is no text": os.fsdecode(b"2025-01-\xff.csv"),
    "a line break": "2025-01-06\n.csv",
}


@pytest.mark.parametrize("name", STRANGE.values(), ids=STRANGE.keys())
def test_a_file_that_names_no_partition_is_ignored_with_a_warning(running: Shop, name: str) -> None:
    """Once, with its name; nothing else is the matter."""
    file = running.landing / "orders" / name
    file.parent.mkdir(exist_ok=True)
    file.write_text(GOOD)
    running.deliver("orders", OTHER, GOOD)
    assert running.run().ok
    assert running.ran == {"revenue": [OTHER]}
    assert running.plan is not None
    [warning] = running.plan.observed.warnings
    assert warning.startswith("orders: ignored 'orders/")
    shown = os.fsencode(f"orders/{name}").decode("utf-8", "replace")
    assert repr(shown) in warning


def test_many_strange_names_are_one_warning(running: Shop) -> None:
    """That names some, and says how many more there are."""
    for number in range(20):
        (running.landing / "orders" / f"copy of {number}.csv").write_text(GOOD)
    assert running.run().ok
    assert running.plan is not None
    [warning] = running.plan.observed.warnings
    assert warning.endswith("and 15 more")


def test_a_link_that_leads_out_is_not_followed(running: Shop, tmp_path: Path) -> None:
    """Whoever may deliver may not read the rest of the machine by it."""
    secret = tmp_path / "secret.csv"
    secret.write_text(GOOD)
    running.file("orders", OTHER).symlink_to(secret)
    running.run()
    assert running.ran == {}
    assert not _is_kept(running, b"secret")


def test_one_strange_date_does_not_outweigh_all_others(shop: Shop) -> None:
    """In a replay of years ago a typing error can be far ahead of all that was meant, and still lie in the past."""
    days = [f"2011-01-{day:02d}" for day in range(3, 8)]
    shop.now("2011-01-10 06:00")
    shop.define(PRICES)
    for key in (*days, "2013-01-05"):
        shop.deliver("orders", key, GOOD)
    assert shop.run().ok
    assert shop.ran == {"revenue": days}
    assert _warned(shop) == (
        "orders: ignored 'orders/2013-01-05.csv' (its date is out of range: declare start= if it is meant)"
    )


@pytest.mark.parametrize("key", ["../../../../etc/passwd", "2025-01-05/../../x", "", "2025-01-05\n", "all"])
def test_a_key_that_is_none_is_refused(
    running: Shop, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], key: str
) -> None:
    """By every command that takes one, with an example of one."""
    for name, value in running.environ.items():
        monkeypatch.setenv(name, value)
    running.forget_modules()
    for command in (["read", "revenue", key], ["explain", "revenue", key], ["absent", "orders", key, "--why", "x"]):
        assert main(command) == 2, command
        said = capsys.readouterr().err
        assert "is no daily partition: use a key such as '2011-01-05'" in said


# -- functions


def test_a_function_that_raises(running: Shop) -> None:
    """Its exception in one line, and where in its file it was raised."""
    running.edit("return str((", "raise LookupError('no such product:\\n tea')\n    return str((")
    running.deliver("orders", OTHER, GOOD)
    verdict = running.run()
    assert running.counts("revenue") == {"failed": 2, "provisional": 1}
    assert running.heads("revenue") == {DAY: "5.0"}
    assert re.fullmatch(r"LookupError: no such product: tea \(shop\.py:\d+\)", verdict.troubles[0].why)


def test_a_library_that_raises(running: Shop) -> None:
    """One is told which line of one's own file called it, and not which line of the library raised."""
    running.edit('orders["price"]', 'orders["cost"]')
    verdict = running.run()
    assert re.fullmatch(r'ColumnNotFoundError: "cost" not found.* \(shop\.py:\d+\)', verdict.troubles[0].why)


def test_what_an_exception_says_is_kept_within_bounds(running: Shop) -> None:
    """A message that holds a whole table fills no log."""
    running.edit("return str((", "raise ValueError('x' * 100_000)\n    return str((")
    verdict = running.run()
    assert len(verdict.troubles[0].why) < 600


WRONG = {
    "None": ("None", r"asset 'revenue' returned None, but its return annotation declares str"),
    "a number": ("5.0", r"asset 'revenue' returned a float, but its return annotation declares str"),
    "a frame": ("orders", r"asset 'revenue' returned a polars.DataFrame, but its return annotation declares str"),
    "half a character": ("chr(0xD800)", r"asset 'revenue' returned text that is not Unicode"),
}


@pytest.mark.parametrize(("value", "words"), WRONG.values(), ids=WRONG.keys())
def test_a_function_that_returns_the_wrong_type(running: Shop, value: str, words: str) -> None:
    """What came, what was declared, and what to do; its partition fails and no other."""
    running.deliver("orders", OTHER, GOOD)
    running.edit("def revenue(orders: pl.DataFrame)", "def revenue(orders: pl.DataFrame, partition: Partition)")
    running.edit("    return str((", f"    if partition.key == {DAY!r}:\n        return {value}\n    return str((")
    verdict = running.run()
    assert running.heads("revenue") == {DAY: "5.0", OTHER: "5.0"}
    assert running.counts("revenue") == {"failed": 1, "computed": 1, "provisional": 1}
    assert re.search(words, verdict.troubles[0].why), verdict.troubles[0].why


def test_nan_where_the_suite_forbids_it(shop: Shop) -> None:
    """Blocked, with the rows; the last good head stays live, the other day is published."""
    shop.suite("shares", rule("expect_column_values_to_not_be_null", column="share"))
    shop.define("""
        orders = source("orders", files="orders/{partition}.csv", partitions=DAYS, schema={"k": str, "v": float})

        @asset(partitions=DAYS, gate="shares")
        def shares(orders: pl.DataFrame) -> pl.DataFrame:
            return orders.select("k", share=pl.col("v") / pl.col("v").sum())
    """)
    shop.deliver("orders", DAY, "k,v\na,1\nb,3\n")
    shop.run()
    shop.deliver("orders", DAY, "k,v\na,1\nb,-1\nc,0\n")
    shop.deliver("orders", OTHER, "k,v\na,1\n")
    verdict = shop.run()
    assert shop.counts("shares") == {"blocked": 1, "computed": 1, "provisional": 1}
    assert shop.heads("shares")[DAY] == [{"k": "a", "share": 0.25}, {"k": "b", "share": 0.75}]
    assert "did not pass the gate 'shares'" in verdict.troubles[0].why
    assert "shares.share: 1 of 3 values (33.3 %) fails: values must never be null" in verdict.troubles[0].why
    assert "NaN in row 3" in verdict.troubles[0].why


def test_a_function_that_runs_out_of_memory(running: Shop) -> None:
    """Python's own MemoryError is a failure of that partition."""
    running.deliver("orders", OTHER, GOOD)
    running.edit("return str((", "orders.to_dicts() * (1 << 58)\n    return str((")
    verdict = running.run()
    assert running.counts("revenue") == {"failed": 2, "provisional": 1}
    assert "MemoryError" in verdict.troubles[0].why
    assert running.heads("revenue") == {DAY: "5.0"}


def test_a_function_that_is_killed(running: Shop) -> None:
    """As by the kernel when memory is short: the next run does all that the dead worker had not."""
    running.deliver("orders", DAY, GOOD + "milk,1,1.0\n")
    running.deliver("orders", OTHER, GOOD)
    running.breaks("revenue", DAY, "os.kill(os.getpid(), 9)")
    runner = running.start()
    assert runner.wait() == -9, runner.log.read_text()
    assert running.heads("revenue") == {DAY: "5.0"}
    running.mends("revenue", DAY)
    assert running.run().ok
    assert running.heads("revenue") == {DAY: "6.0", OTHER: "5.0"}


def test_a_broken_file_harms_no_other_pipeline(
    running: Shop, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is named where it is asked for; the others run."""
    (running.dags / "broken.py").write_text(
        "from tidemark import asset, pipeline\n@asset()\ndef a(b: str) -> str: ...\ndag = pipeline('broken', [a])\n"
    )
    for name, value in {**running.environ, "TIDEMARK_AS_OF": running.as_of.isoformat()}.items():
        monkeypatch.setenv(name, value)
    running.forget_modules()
    assert main(["run", "shop"]) == 0
    assert main(["run", "broken"]) == 2
    said = capsys.readouterr().err
    assert "broken.py" in said
    assert "parameter 'b' names no member of the pipeline" in said


# -- what cannot be reached


@pytest.fixture
def clock() -> Iterator[None]:
    """The test must be told of its outage in time."""
    started = time.monotonic()
    yield
    assert time.monotonic() - started < SECONDS


@pytest.mark.usefixtures("clock")
def test_a_ledger_that_is_not_there(shop: Shop) -> None:
    """A closed port is told at once, with what to look at, and without the password."""
    shop.ledger_url = f"postgresql://tester:hunter2@127.0.0.1:{free_port()}/tidemark"
    with pytest.raises(Unavailable, match=r"the ledger postgresql.*cannot be used.*TIDEMARK_LEDGER_URL") as problem:
        _open(shop.environ)
    assert "hunter2" not in str(problem.value)


@pytest.mark.usefixtures("clock")
def test_a_ledger_that_never_answers(shop: Shop) -> None:
    """A server that takes the connection and says nothing is given up."""
    with silent_server() as server:
        shop.ledger_url = f"postgresql://tester@127.0.0.1:{server.port}/tidemark"
        with pytest.raises(Unavailable, match="the ledger"):
            _open(shop.environ)


def test_a_ledger_that_goes_away_during_a_run(shop: Shop, postgres: str) -> None:
    """The run ends with a clear error and nothing half published; with the ledger back, the next one does the rest."""
    shop.ledger_url = postgres
    shop.define(PRICES)
    shop.deliver("orders", DAY, GOOD)
    shop.deliver("orders", OTHER, GOOD)
    shop.pauses("revenue", OTHER)
    runner = shop.start()
    shop.wait_for("revenue", OTHER)
    server, _, name = postgres.rpartition("/")
    connection = psycopg2.connect(f"{server}/postgres")
    connection.autocommit = True
    cursor = connection.cursor()
    _cut(cursor, name)
    cursor.execute(f"ALTER DATABASE {name} RENAME TO {name}_away")
    shop.mends("revenue", OTHER)
    try:
        assert runner.wait() == 1
        assert "Unavailable: the ledger" in runner.log.read_text()
    finally:
        cursor.execute(f"ALTER DATABASE {name}_away RENAME TO {name}")
        connection.close()
    assert shop.heads("revenue") == {}
    assert shop.run().ok
    assert shop.heads("revenue") == {DAY: "5.0", OTHER: "5.0"}


def _cut(cursor: "psycopg2.extensions.cursor", name: str) -> None:
    """End all connections to a database."""
    cursor.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (name,))


def test_a_connection_that_was_cut_is_made_again(shop: Shop, postgres: str) -> None:
    """A database server that was restarted in between is no outage."""
    shop.ledger_url = postgres
    shop.define(PRICES)
    shop.deliver("orders", DAY, GOOD)
    shop.pauses("revenue", DAY)
    runner = shop.start()
    shop.wait_for("revenue", DAY)
    server, _, name = postgres.rpartition("/")
    connection = psycopg2.connect(f"{server}/postgres")
    with connection.cursor() as cursor:
        _cut(cursor, name)
    connection.close()
    shop.mends("revenue", DAY)
    assert runner.wait() == 0, runner.log.read_text()
    assert shop.heads("revenue") == {DAY: "5.0"}


@pytest.mark.usefixtures("clock")
def test_a_ledger_that_another_program_keeps_locked(running: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLite waits for a while, and then says so."""
    monkeypatch.setattr(database, "PATIENCE_SECONDS", 1)
    running.deliver("orders", OTHER, GOOD)
    other = sqlite3.connect(running.home / "ledger.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        with pytest.raises(Unavailable, match=r"the ledger .*locked; nothing was half written"):
            running.run()
    finally:
        other.close()
    assert running.run().ok


@pytest.mark.usefixtures("clock")
def test_a_ledger_whose_folder_is_a_file(shop: Shop) -> None:
    """A path that cannot be is told like any other outage."""
    (shop.home / "occupied").write_text("")
    with pytest.raises(Unavailable, match="ledger"):
        _open({**shop.environ, "TIDEMARK_LEDGER_URL": f"sqlite:///{shop.home}/occupied/ledger.db"})


def _open(environ: dict[str, str]) -> None:
    with open_deployment(settings(environ)) as deployment:
        deployment.ledger.version()


@pytest.mark.usefixtures("clock")
def test_a_store_that_cannot_be_reached(running: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is taken from the landing zone, nothing is published; afterwards all is done."""
    running.deliver("orders", OTHER, GOOD.replace("tea", "coffee"))
    store = running.home / "store"
    store.rename(store.with_name("away"))
    store.write_text("")
    before = running.versions("revenue")
    with pytest.raises(Unavailable, match=r"the store .* cannot be .*"):
        running.run()
    assert running.versions("revenue") == before
    store.unlink()
    store.with_name("away").rename(store)
    assert running.run().ok
    assert running.heads("revenue") == {DAY: "5.0", OTHER: "5.0"}


@pytest.mark.usefixtures("clock")
def test_a_store_on_s3_that_cannot_be_reached(running: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same for a bucket behind a port that nobody listens on."""
    use_s3(f"http://127.0.0.1:{free_port()}", monkeypatch)
    running.deliver("orders", OTHER, GOOD.replace("tea", "coffee"))
    environ = {**running.environ, "TIDEMARK_STORE_URL": "s3://nowhere/at-all"}
    with pytest.raises(Unavailable, match="nowhere"), open_deployment(settings(environ)) as deployment:
        _prepare(deployment, running)
    assert running.run().ok


def _prepare(deployment: Deployment, shop: Shop) -> None:
    prepare(deployment, shop.pipelines["shop"], as_of=shop.as_of, run="out", actor="tester")


LARGE = """
    orders = source("orders", files="orders/{partition}.csv", partitions=DAYS)

    @asset(partitions=DAYS)
    def large(orders: pl.DataFrame) -> bytes:
        return os.urandom(3_000_000)

    @asset(partitions=DAYS)
    def small(orders: pl.DataFrame) -> str:
        return "small"
"""


@on_both_ledgers
def test_a_disk_that_is_full_for_a_result(shop: Shop) -> None:
    """The store says so, with the mend; nothing is half written, and with room the next run does all."""
    shop.define(LARGE)
    shop.deliver("orders", DAY, GOOD)
    runner = shop.start(most_bytes=2_000_000)
    assert runner.wait() == 1, runner.log.read_text()
    said = runner.log.read_text()
    assert re.search(r"Unavailable: the store .* cannot be written: File too large", said), said
    assert shop.heads("large") == {}
    assert shop.made("large", DAY) == []
    assert list((shop.home / "store" / ".incoming").iterdir()) == []
    assert shop.run().ok
    assert len(shop.heads("large")[DAY]) == 3_000_000


def test_a_disk_that_is_full_for_the_ledger(running: Shop) -> None:
    """SQLite cannot write: a clear error, and no half publish."""
    before = running.state()
    running.deliver("orders", OTHER, GOOD)
    runner = running.start(most_bytes=16_384)
    assert runner.wait() == 1, runner.log.read_text()
    said = runner.log.read_text()
    assert re.search(r"Unavailable: the ledger .* cannot be used", said), said
    assert running.state() == before
    assert running.run().ok
    assert running.heads("revenue") == {DAY: "5.0", OTHER: "5.0"}
