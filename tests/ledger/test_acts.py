"""Claims about what people do: holds, and an audit log in which nothing can be changed unseen."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest
import sqlalchemy as sa

from tests.ledger.conftest import Book
from tidemark.ledger import Ledger, acts
from tidemark.ledger.schema import audit_log, hold


def place(book: Book, key: str | None, why: str = "under review", environment: str = "prod") -> bool:
    part = book.part(key) if key else None
    with book.ledger.write() as connection:
        return acts.place_hold(connection, environment, book.lines, part, why=why, actor="ada")


def lift(book: Book, key: str | None) -> bool:
    part = book.part(key) if key else None
    with book.ledger.write() as connection:
        return acts.release_hold(connection, "prod", book.lines, part)


def holds(book: Book, environment: str = "prod") -> dict[int, dict[int | None, str]]:
    with book.ledger.read() as connection:
        return acts.holds(connection, environment)


def test_an_asset_or_one_of_its_partitions_is_held_with_the_reason(book: Book) -> None:
    assert place(book, None, "looks wrong")
    assert place(book, "2011-01-05", "being looked at")
    assert holds(book) == {book.lines: {None: "looks wrong (ada)", book.part(): "being looked at (ada)"}}
    assert holds(book, "branch") == {}


def test_a_second_hold_is_no_news(book: Book) -> None:
    assert place(book, "2011-01-05", "first")
    assert not place(book, "2011-01-05", "second")
    assert holds(book)[book.lines] == {book.part(): "first (ada)"}


def test_of_several_at_once_one_places_the_hold(book: Book) -> None:
    part = book.part()

    def place_slowly(number: int) -> bool:
        with book.ledger.write() as connection:
            news = acts.place_hold(connection, "prod", book.lines, part, why="under review", actor=f"person {number}")
            time.sleep(0.1)
        return news

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(place_slowly, range(4))) == [False, False, False, True]
    assert book.count(hold) == 1


def test_lifting_the_hold_of_an_asset_leaves_those_of_its_partitions(book: Book) -> None:
    for key in (None, "2011-01-05", "2011-01-06"):
        place(book, key)
    assert lift(book, None)
    assert set(holds(book)[book.lines]) == {book.part("2011-01-05"), book.part("2011-01-06")}
    assert not lift(book, None)


def test_lifting_the_hold_of_a_partition_leaves_the_others(book: Book) -> None:
    for key in (None, "2011-01-05", "2011-01-06"):
        place(book, key)
    assert lift(book, "2011-01-05")
    assert set(holds(book)[book.lines]) == {None, book.part("2011-01-06")}


def test_what_was_lifted_can_be_held_again(book: Book) -> None:
    place(book, None)
    lift(book, None)
    assert place(book, None, "again")
    assert holds(book) == {book.lines: {None: "again (ada)"}}


# -- the audit log


def audit(ledger: Ledger, act: str, **detail: Any) -> int:
    with ledger.write() as connection:
        return acts.write_audit(connection, actor="ada", act=act, detail=detail)


def broken(ledger: Ledger) -> int | None:
    with ledger.read() as connection:
        return acts.first_broken_entry(connection)


def fill(ledger: Ledger) -> None:
    audit(ledger, "hold", asset="lines", partition=None, why="é – 例", n=1.5)
    audit(ledger, "restore", asset="lines", version="ab" * 32, nested={"a": [1, (2, 3)], "b": None})
    audit(ledger, "release hold", asset="lines", flag=True)
    audit(ledger, "hold", asset="totals")


def test_an_untouched_log_is_whole(ledger: Ledger) -> None:
    assert broken(ledger) is None
    fill(ledger)
    assert broken(ledger) is None
    with ledger.read() as connection:
        assert list(connection.execute(sa.select(audit_log.c.seq)).scalars()) == [1, 2, 3, 4]


def update(**values: Any) -> Callable[[sa.Connection], object]:
    return lambda connection: connection.execute(sa.update(audit_log).where(audit_log.c.seq == 2).values(**values))


def delete(seq: int) -> Callable[[sa.Connection], object]:
    return lambda connection: connection.execute(sa.delete(audit_log).where(audit_log.c.seq == seq))


def swap(connection: sa.Connection) -> None:
    for before, after in ((2, 99), (3, 2), (99, 3)):
        connection.execute(sa.update(audit_log).where(audit_log.c.seq == before).values(seq=after))


def insert_copy(connection: sa.Connection) -> None:
    row = connection.execute(sa.select(audit_log).where(audit_log.c.seq == 4)).one()
    connection.execute(sa.insert(audit_log).values(**{**row._mapping, "seq": 5}))


@pytest.mark.parametrize(
    ("tamper", "first"),
    [
        (update(actor="grace"), 2),
        (update(act="approve"), 2),
        (update(detail={"asset": "lines"}), 2),
        (update(at=datetime(2011, 1, 1, tzinfo=UTC)), 2),
        (update(digest=b"\x00" * 32), 2),
        (delete(1), 2),
        (delete(2), 3),
        (swap, 2),
        (insert_copy, 5),
    ],
)
def test_whatever_is_changed_in_the_log_shows(
    ledger: Ledger, tamper: Callable[[sa.Connection], object], first: int
) -> None:
    fill(ledger)
    with ledger.write() as connection:
        tamper(connection)
    assert broken(ledger) == first


def test_acts_at_once_make_one_chain(ledger: Ledger) -> None:
    with ThreadPoolExecutor(6) as pool:
        numbers = list(pool.map(lambda number: audit(ledger, "hold", number=number), range(24)))
    assert sorted(numbers) == list(range(1, 25))
    assert broken(ledger) is None


def test_an_act_that_is_taken_back_is_not_in_the_log(ledger: Ledger) -> None:
    def act_and_fail() -> None:
        with ledger.write() as connection:
            acts.write_audit(connection, actor="ada", act="hold", detail={})
            raise RuntimeError

    with pytest.raises(RuntimeError):
        act_and_fail()
    fill(ledger)
    assert broken(ledger) is None
