"""Claims about the outbox: what was published is told once it is marked, in its order, and never forgotten."""

from tests.ledger.conftest import Book
from tidemark.hashing import digest
from tidemark.ledger import events
from tidemark.ledger.events import Event


def write(book: Book, *published: tuple[int, str], environment: str = "prod") -> None:
    rows = [(asset, book.part(key), "final", "new", digest(key)) for asset, key in published]
    with book.ledger.write() as connection:
        events.write(connection, environment, rows, 1)


def unsent(book: Book, *assets: str, limit: int = 100, environment: str = "prod") -> list[Event]:
    with book.ledger.read() as connection:
        return events.unsent(connection, environment, assets, limit)


def told(found: list[Event]) -> list[str]:
    return [f"{each.asset} {each.partition}" for each in found]


def test_events_wait_in_the_order_of_publishing(book: Book) -> None:
    write(book, (book.lines, "2011-01-06"), (book.orders, "2011-01-05"))
    write(book, (book.lines, "2011-01-05"))
    assert told(unsent(book, "lines", "orders")) == ["lines 2011-01-06", "orders 2011-01-05", "lines 2011-01-05"]
    assert told(unsent(book, "lines")) == ["lines 2011-01-06", "lines 2011-01-05"]
    assert told(unsent(book, "lines", "orders", limit=2)) == ["lines 2011-01-06", "orders 2011-01-05"]
    assert unsent(book, "nonesuch") == []


def test_an_event_says_what_was_published_and_why(book: Book) -> None:
    write(book, (book.lines, "2011-01-05"))
    [event] = unsent(book, "lines")
    assert event[1:] == ("lines", "2011-01-05", "final", "new", digest("2011-01-05"))


def test_what_was_told_is_told_no_more_and_the_rest_still_waits(book: Book) -> None:
    write(book, (book.lines, "2011-01-05"), (book.lines, "2011-01-06"))
    first, second = unsent(book, "lines")
    for _ in range(2):
        with book.ledger.write() as connection:
            events.mark_sent(connection, [first.id])
        assert unsent(book, "lines") == [second]


def test_what_is_published_again_is_told_again(book: Book) -> None:
    write(book, (book.lines, "2011-01-05"))
    with book.ledger.write() as connection:
        events.mark_sent(connection, [each.id for each in unsent(book, "lines")])
    write(book, (book.lines, "2011-01-05"))
    assert told(unsent(book, "lines")) == ["lines 2011-01-05"]


def test_each_environment_tells_its_own(book: Book) -> None:
    write(book, (book.lines, "2011-01-05"), environment="branch")
    assert unsent(book, "lines") == []
    assert told(unsent(book, "lines", environment="branch")) == ["lines 2011-01-05"]
