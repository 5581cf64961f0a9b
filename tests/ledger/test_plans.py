"""Claims about stored plans: what was planned, what became of each item, and how far an environment has come."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.ledger.conftest import Book
from tidemark.errors import UsageError
from tidemark.ledger import plans
from tidemark.ledger.plans import StoredItem

AS_OF = datetime(2011, 7, 1, 5, tzinfo=UTC)


def write(book: Book, *items: tuple[int, int, int, str, str, bool], **changed: Any) -> int:
    values: dict[str, Any] = {
        "environment": "prod",
        "pipeline": "shop",
        "as_of": AS_OF,
        "run": "run 1",
        "actor": "ada",
        "seq": 7,
        "wakes_at": AS_OF,
        "definitions": b"\x01" * 32,
        "context": {"force": [["lines", ""]], "first": None},
    }
    with book.ledger.write() as connection:
        return plans.write(connection, **{**values, **changed}, items=items)


def items(book: Book, plan: int, **chosen: int) -> list[StoredItem]:
    with book.ledger.read() as connection:
        return plans.items(connection, plan, **chosen)


def test_a_plan_is_read_as_it_was_made(book: Book) -> None:
    started = datetime.now(UTC)
    number = write(book)
    with book.ledger.read() as connection:
        stored = plans.read(connection, number)
    assert (stored.id, stored.environment, stored.pipeline, stored.as_of) == (number, "prod", "shop", AS_OF)
    assert (stored.run, stored.actor, stored.seq) == ("run 1", "ada", 7)
    assert (stored.definitions, stored.context) == (b"\x01" * 32, {"force": [["lines", ""]], "first": None})
    assert timedelta() <= stored.made_at - started < timedelta(minutes=5)
    assert items(book, number) == []


def test_items_come_asset_by_asset_in_the_order_of_time(book: Book) -> None:
    late, early = book.parts("2011-01-06", "2011-01-05")
    number = write(
        book,
        (book.lines, late, 1, "may", "depends on orders", False),
        (book.orders, late, 0, "will", "new", False),
        (book.lines, early, 0, "will", "new", True),
    )
    assert items(book, number) == [
        StoredItem("orders", "2011-01-06", 0, "will", "new", False, None, None),
        StoredItem("lines", "2011-01-05", 0, "will", "new", True, None, None),
        StoredItem("lines", "2011-01-06", 1, "may", "depends on orders", False, None, None),
    ]
    assert [item.partition for item in items(book, number, asset_id=book.lines)] == ["2011-01-05", "2011-01-06"]
    assert [item.partition for item in items(book, number, asset_id=book.lines, lane=1)] == ["2011-01-06"]


def test_what_became_of_an_item_is_written_beside_it_and_the_rest_was_never_reached(book: Book) -> None:
    one, other, third = book.parts("2011-01-05", "2011-01-06", "2011-01-07")
    number = write(book, *((book.lines, part, 0, "will", "new", False) for part in (one, other, third)))
    rival = write(book, (book.lines, one, 0, "will", "new", False))
    with book.ledger.write() as connection:
        written = [(book.lines, one, "computed", None), (book.lines, other, "failed", "ZeroDivisionError")]
        plans.write_outcomes(connection, number, written)
        plans.write_outcomes(connection, number, [])
    assert [(item.outcome, item.detail) for item in items(book, number)] == [
        ("computed", None),
        ("failed", "ZeroDivisionError"),
        (None, None),
    ]
    assert [item.outcome for item in items(book, rival)] == [None]


def test_the_newest_plan_is_that_of_a_pipeline_in_an_environment(book: Book) -> None:
    first, second = write(book), write(book)
    write(book, pipeline="other")
    write(book, environment="branch")
    with book.ledger.read() as connection:
        newest = plans.newest(connection, "prod", "shop")
        assert newest is not None
        assert newest.id == second > first
        assert plans.newest(connection, "prod", "nonesuch") is None


def test_an_environment_has_come_as_far_as_its_latest_instant(book: Book) -> None:
    """Of any pipeline: what one has seen ended has ended for all."""
    with book.ledger.read() as connection:
        assert plans.newest_as_of(connection, "prod") is None
    write(book, as_of=AS_OF + timedelta(1), pipeline="other")
    write(book, as_of=AS_OF)
    write(book, as_of=AS_OF + timedelta(9), environment="branch")
    with book.ledger.read() as connection:
        assert plans.newest_as_of(connection, "prod") == AS_OF + timedelta(1)


def test_a_plan_that_is_not_there_is_refused(book: Book) -> None:
    with pytest.raises(UsageError, match="holds no plan 4711"), book.ledger.read() as connection:
        plans.read(connection, 4711)


def test_a_plan_has_left_over_what_nobody_has_brought_to_a_result(book: Book) -> None:
    first, second = book.parts("2011-01-05", "2011-01-06")
    number = write(book, *((book.lines, each, 0, "will", "new", False) for each in (first, second)))
    with book.ledger.write() as connection:
        plans.write_outcomes(connection, number, [(book.lines, first, "failed", None)])
        assert plans.places(connection, number, left_over=False) == [(book.lines, first), (book.lines, second)]
        assert plans.places(connection, number, left_over=True) == [(book.lines, second)]


def test_a_plan_is_settled_once_somebody_says_up_to_where(book: Book) -> None:
    number = write(book)
    with book.ledger.write() as connection:
        assert plans.read(connection, number).settled is None
        plans.settle(connection, number, 9)
        settled = plans.read(connection, number)
    assert (settled.seq, settled.settled, settled.wakes_at) == (7, 9, AS_OF)


def test_a_later_plan_of_the_pipeline_is_noticed_by_its_instant(book: Book) -> None:
    """Whichever was written down first."""
    write(book, as_of=AS_OF + timedelta(1))
    write(book, as_of=AS_OF + timedelta(9), pipeline="other")
    write(book)
    with book.ledger.read() as connection:
        assert plans.later_as_of(connection, "prod", "shop", AS_OF) == AS_OF + timedelta(1)
        assert plans.later_as_of(connection, "prod", "shop", AS_OF + timedelta(1)) is None


def test_what_was_left_to_a_later_run_is_known_of_a_plan(book: Book) -> None:
    part = book.part()
    number = write(book, (book.lines, part, 0, "will", "new", False))
    with book.ledger.write() as connection:
        assert not plans.was_left(connection, number)
        plans.write_outcomes(connection, number, [(book.lines, part, "unchanged", f"{plans.LEFT}, as of 2011")])
        assert plans.was_left(connection, number)
