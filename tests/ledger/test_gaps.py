"""Claims about gaps: what a pipeline keeps of partitions that their heads do not say all about."""

from datetime import UTC, datetime, timedelta

from tests.ledger.conftest import Book
from tidemark.ledger import gaps
from tidemark.ledger.gaps import Gap

NOON = datetime(2011, 1, 6, 12, tzinfo=UTC)
MISSING = frozenset({("orders", "2011-01-05")})


def kept(book: Book, pipeline: str = "shop", environment: str = "prod", **between: int) -> dict[int, Gap]:
    with book.ledger.read() as connection:
        return gaps.read(connection, environment, pipeline, book.lines, **between)


def keep(book: Book, found: dict[int, Gap | None], pipeline: str = "shop", environment: str = "prod") -> None:
    with book.ledger.write() as connection:
        gaps.write(connection, environment, pipeline, book.lines, found)


def test_a_gap_is_read_as_it_was_written(book: Book) -> None:
    first, second = book.parts("2011-01-05", "2011-01-06")
    wanted = {first: Gap(MISSING, None, failed=True, again=True), second: Gap(undue=NOON)}
    keep(book, {**wanted})
    assert kept(book) == wanted
    assert kept(book, first=second, last=second) == {second: wanted[second]}


def test_a_gap_is_replaced_and_taken_away(book: Book) -> None:
    part = book.part()
    keep(book, {part: Gap(MISSING)})
    keep(book, {part: Gap(undue=NOON)})
    assert kept(book) == {part: Gap(undue=NOON)}
    keep(book, {part: None})
    assert kept(book) == {}


def test_each_pipeline_and_each_environment_keeps_its_own(book: Book) -> None:
    part = book.part()
    keep(book, {part: Gap(MISSING)})
    keep(book, {part: Gap()}, pipeline="reader")
    keep(book, {part: None}, environment="branch")
    assert (kept(book), kept(book, "reader"), kept(book, environment="branch")) == (
        {part: Gap(MISSING)},
        {part: Gap()},
        {},
    )


def test_what_is_to_be_judged_again_is_found_by_itself_or_by_its_time(book: Book) -> None:
    again, due, undue, plain = book.parts("2011-01-05", "2011-01-06", "2011-01-07", "2011-01-08")
    later = NOON + timedelta(hours=1)
    keep(book, {again: Gap(again=True), due: Gap(undue=NOON), undue: Gap(undue=later), plain: Gap(MISSING)})
    with book.ledger.read() as connection:
        found = gaps.open_ones(connection, "prod", "shop", NOON)
        assert sorted(found) == [(book.lines, again), (book.lines, due)]
        assert gaps.undue_ones(connection, "prod", "shop", NOON) == [(book.lines, undue, later)]
        assert gaps.undue_ones(connection, "prod", "shop", later) == []


def test_what_a_pipeline_has_given_up_is_forgotten(book: Book) -> None:
    keep(book, {book.part(): Gap(MISSING)})
    with book.ledger.write() as connection:
        gaps.forget(connection, "prod", "shop", [book.orders])
    assert kept(book) == {}
