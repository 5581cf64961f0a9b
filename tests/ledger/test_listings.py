"""Claims about listings: what was listed last is known again, and no look overrules another."""

from hypothesis import given
from hypothesis import strategies as st

from tests.ledger.conftest import Book
from tidemark.landing.listed import line_of, name_in, token_in
from tidemark.ledger import listings
from tidemark.ledger.listings import Listing, differing, packed, unpacked

BASIS = b"b" * 32


def kept(book: Book) -> Listing | None:
    with book.ledger.read() as connection:
        return listings.read(connection, "prod", book.orders)


def keep(book: Book, before: Listing | None, now: Listing | None) -> None:
    with book.ledger.write() as connection:
        listings.write(connection, "prod", book.orders, before, now)


def test_names_and_tokens_come_back_whatever_is_in_them() -> None:
    files = [("orders/a\tb.csv", "1-2-3"), ("orders/\n", "x y"), ("ä", "1"), ("\udce9", "2")]
    lines = [line_of(*each) for each in files]
    assert unpacked(packed(lines)) == lines
    assert [(name_in(line), token_in(line)) for line in lines] == files
    assert unpacked(packed([])) == []


ONES = st.lists(st.sampled_from([line_of(name, token) for name in "abc" for token in ("1", "11", "2")]), unique=True)


@given(ONES.map(sorted), ONES.map(sorted))
def test_lines_that_differ_are_found_wherever_they_are(before: list[str], now: list[str]) -> None:
    gone, new = differing(packed(before), packed(now))
    assert gone == sorted(set(before) - set(now))
    assert new == sorted(set(now) - set(before))


def test_a_listing_replaces_the_one_that_was_looked_at(book: Book) -> None:
    first, second = Listing(BASIS, packed(["a 1"])), Listing(BASIS, packed(["a 2"]))
    keep(book, None, first)
    assert kept(book) == first
    keep(book, first, second)
    assert kept(book) == second


def test_two_looks_at_once_leave_none(book: Book) -> None:
    """Each knows only what it has seen itself: the next one has to look at everything."""
    first, second = Listing(BASIS, packed(["a 1"])), Listing(BASIS, packed(["a 2"]))
    keep(book, None, first)
    keep(book, None, second)
    assert kept(book) is None
