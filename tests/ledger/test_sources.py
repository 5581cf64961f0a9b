"""Claims about observations: the newest one, the delivery that stands, and what people declared absent."""

import time
from concurrent.futures import ThreadPoolExecutor
from itertools import product

import pytest

from tests.ledger.conftest import Book
from tidemark.hashing import digest
from tidemark.ledger import sources
from tidemark.ledger.schema import declaration
from tidemark.ledger.sources import ACCEPTED, REJECTED, WITHDRAWN, Observation, Seen


def observe(book: Book, *outcomes: str, key: str = "2011-01-05") -> None:
    """Observe a partition several times, each with a content of its own."""
    for number, outcome in enumerate(outcomes):
        look(book, outcome, number, key=key)


def look(book: Book, outcome: str, content: int, environment: str = "prod", key: str = "2011-01-05") -> None:
    version = None if outcome == WITHDRAWN else digest(content)
    seen = Observation(book.part(key), outcome, f"token {content}", True, digest("csv"), version, problem=outcome)
    with book.ledger.write() as connection:
        sources.write(connection, environment, book.orders, [seen])


def seen(book: Book, key: str = "2011-01-05", environment: str = "prod") -> Seen | None:
    part = book.part(key)
    with book.ledger.read() as connection:
        return sources.seen(connection, environment, book.orders).get(part)


def standing(outcomes: tuple[str, ...]) -> str | None:
    """The oracle: go through the observations one by one."""
    token = None
    for number, outcome in enumerate(outcomes):
        if outcome == ACCEPTED:
            token = f"token {number}"
        if outcome == WITHDRAWN:
            token = None
    return token


@pytest.mark.parametrize("length", [1, 2, 3])
def test_the_delivery_that_stands_is_the_last_accepted_one_that_was_not_withdrawn(book: Book, length: int) -> None:
    """A rejected file never takes the place of a good one; every sequence of observations."""
    for number, outcomes in enumerate(product([ACCEPTED, REJECTED, WITHDRAWN], repeat=length)):
        key = f"2011-03-{number + 1:02d}"
        observe(book, *outcomes, key=key)
        found = seen(book, key)
        assert found is not None
        assert found.newest.token == f"token {length - 1}"
        assert (found.accepted.token if found.accepted else None) == standing(outcomes), outcomes


def test_an_observation_is_read_as_it_was_written(book: Book) -> None:
    made = book.made("2011-01-05", asset=book.orders)
    written = Observation(
        book.part(), ACCEPTED, None, False, digest("csv"), digest("a"), digest("suite"), made, "a problem"
    )
    with book.ledger.write() as connection:
        sources.write(connection, "prod", book.orders, [written])
        sources.write(connection, "prod", book.orders, [])
    found = seen(book)
    assert found is not None
    assert found.newest == found.accepted
    assert found.newest.environment == "prod"
    assert found.newest._replace(id=None, environment=None) == written


def test_what_was_never_seen_is_not_there(book: Book) -> None:
    assert seen(book) is None


A, R, W = ACCEPTED, REJECTED, WITHDRAWN


@pytest.mark.parametrize(
    ("prod", "branch", "newest", "accepted"),
    [
        ([(A, 1)], [], 1, 1),  # never looked there
        ([(A, 1), (R, 2)], [], 2, 1),
        ([], [(A, 1)], 1, 1),
        ([(A, 1)], [(W, 2)], 2, None),  # left out there
        ([(W, 1)], [(A, 2)], 2, 2),
        ([(A, 1)], [(A, 2)], 2, 2),
        ([(A, 1)], [(R, 2)], 2, 1),  # what prod has stays
        ([(A, 1)], [(R, 1)], 1, None),  # but not what is rejected
        ([(A, 1), (A, 2)], [(R, 2)], 2, 1),
        ([(A, 1), (W, 3), (A, 2)], [(R, 2)], 2, None),
        ([(A, 1)], [(R, 1), (A, 1)], 1, 1),  # under another suite
        ([(A, 1)], [(W, 2), (R, 3)], 3, None),
    ],
)
def test_a_branch_has_its_own_word_and_else_that_of_prod(
    book: Book, prod: list[tuple[str, int]], branch: list[tuple[str, int]], newest: int, accepted: int | None
) -> None:
    """Whoever has looked first."""
    words = [(each, "prod") for each in prod], [(each, "branch") for each in branch]
    for key, order in (("2011-01-05", words), ("2011-01-06", words[::-1])):
        for (outcome, content), environment in [each for some in order for each in some]:
            look(book, outcome, content, environment, key)
        found = seen(book, key, "branch")
        assert found is not None
        assert found.newest.token == f"token {newest}"
        assert (found.accepted.token if found.accepted else None) == (f"token {accepted}" if accepted else None)
        own = seen(book, key)
        assert (own.newest.token if own else None) == (f"token {prod[-1][1]}" if prod else None)


def declare(book: Book, key: str, why: str = "closed") -> bool:
    part = book.part(key)
    with book.ledger.write() as connection:
        return sources.declare_absent(connection, book.orders, part, why=why, actor="ada")


def absent(book: Book) -> set[int]:
    with book.ledger.read() as connection:
        return set(sources.declared_absent(connection, book.orders))


def test_what_was_declared_absent_is_remembered_and_a_second_word_is_no_news(book: Book) -> None:
    assert declare(book, "2011-01-05")
    assert not declare(book, "2011-01-05", "again")
    assert absent(book) == {book.part("2011-01-05")}


def test_of_several_at_once_one_declares(book: Book) -> None:
    part = book.part()

    def declare_slowly(number: int) -> bool:
        with book.ledger.write() as connection:
            news = sources.declare_absent(connection, book.orders, part, why="closed", actor=f"person {number}")
            time.sleep(0.1)
        return news

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(declare_slowly, range(4))) == [False, False, False, True]
    assert book.count(declaration) == 1


def test_a_declaration_can_be_taken_back_and_made_again(book: Book) -> None:
    part = book.part("2011-01-05")
    declare(book, "2011-01-05")
    with book.ledger.write() as connection:
        assert sources.withdraw_declaration(connection, book.orders, part)
        assert not sources.withdraw_declaration(connection, book.orders, part)
    assert absent(book) == set()
    assert declare(book, "2011-01-05")
    assert absent(book) == {part}
