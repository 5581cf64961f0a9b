"""Claims about listings: what was listed last is known again, and no look overrules another."""

from tests.ledger.conftest import Book
from tidemark.ledger import listings
from tidemark.ledger.listings import Listing, digest_of

BASIS = b"b" * 32
FIRST, SECOND = b"a 1", b"a 2"


def of(files: bytes) -> Listing:
    return Listing(BASIS, digest_of(files))


def kept(book: Book) -> tuple[Listing, bytes | None] | None:
    with book.ledger.read() as connection:
        found = listings.read(connection, "prod", book.orders)
        return found and (found, listings.files(connection, "prod", book.orders, found))


def keep(book: Book, before: Listing | None, files: bytes) -> None:
    with book.ledger.write() as connection:
        listings.write(connection, "prod", book.orders, before, of(files), files)


def test_a_listing_replaces_the_one_that_was_looked_at(book: Book) -> None:
    keep(book, None, FIRST)
    assert kept(book) == (of(FIRST), FIRST)
    keep(book, of(FIRST), SECOND)
    assert kept(book) == (of(SECOND), SECOND)


def test_what_was_replaced_meanwhile_is_not_taken_for_what_it_was(book: Book) -> None:
    """Files were listed in one way and are compared later: not with those of another look, nor of another basis."""
    keep(book, None, FIRST)
    with book.ledger.read() as connection:
        assert listings.files(connection, "prod", book.orders, of(SECOND)) is None
        assert listings.files(connection, "prod", book.orders, Listing(b"c" * 32, digest_of(FIRST))) is None


def test_two_looks_at_once_leave_none(book: Book) -> None:
    """Each knows only what it has seen itself: the next one has to look at everything."""
    keep(book, None, FIRST)
    keep(book, None, SECOND)
    assert kept(book) is None
