"""Claims about heads: what is live moves by compare-and-swap, under numbers, and every earlier state is kept."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given
from hypothesis import settings as rules
from hypothesis import strategies as st

from tests.ledger.conftest import DAYS, Book
from tidemark.hashing import digest
from tidemark.ledger import heads
from tidemark.ledger.heads import FINAL, Move
from tidemark.ledger.schema import head_log

DAY = "2011-01-05"
MISSING = frozenset({("orders", "2011-01-04"), ("fx_rates", "2011-01-05")})


def current(book: Book, key: str = DAY, environment: str = "prod") -> heads.Head | None:
    number = book.part(key)
    with book.ledger.read() as connection:
        return heads.current(connection, environment, book.lines).get(number)


def history(book: Book, key: str = DAY, environment: str = "prod") -> list[heads.HistoryEntry]:
    number = book.part(key)
    with book.ledger.read() as connection:
        return heads.history(connection, environment, book.lines, number)


def test_a_head_says_what_is_live_and_what_it_was_made_without(book: Book) -> None:
    made = book.made(DAY, "a")
    assert current(book) is None
    assert book.move(DAY, None, made, MISSING)
    assert current(book) == heads.Head(made, digest("key", DAY, "a"), digest("a"), None, MISSING)


def test_a_head_moves_from_the_one_that_was_expected_and_from_no_other(book: Book) -> None:
    first, second, third = (book.made(DAY, content) for content in "abc")
    assert book.move(DAY, None, first)
    assert not book.move(DAY, None, second)
    assert not book.move(DAY, third, second)
    assert book.live() == {DAY: first}
    assert book.move(DAY, first, second)
    assert book.live() == {DAY: second}


def test_marks_change_without_another_materialization(book: Book) -> None:
    made = book.made(DAY)
    book.move(DAY, None, made, MISSING)
    assert book.move(DAY, made, made, FINAL, reason="final now")
    head = current(book)
    assert head is not None
    assert (head.materialization, head.missing) == (made, FINAL)


def test_what_is_not_live_any_more_leaves_no_head(book: Book) -> None:
    made = book.made(DAY)
    book.move(DAY, None, made)
    assert book.move(DAY, made, None, reason="withdrawn")
    assert book.live() == {}
    assert book.move(DAY, None, made)
    assert book.live() == {DAY: made}


def test_of_two_workers_that_move_one_head_at_once_one_does(book: Book) -> None:
    first = book.made(DAY)
    book.move(DAY, None, first)
    others = [book.made(DAY, str(number)) for number in range(6)]
    with ThreadPoolExecutor(6) as pool:
        moved = list(pool.map(lambda made: book.move(DAY, first, made), others))
    assert sorted(moved) == [False] * 5 + [True]
    assert book.live() == {DAY: others[moved.index(True)]}


def test_the_database_itself_keeps_a_second_head_out(book: Book) -> None:
    made = book.made(DAY)
    book.move(DAY, None, made)
    row = {
        "environment": "prod",
        "asset_id": book.lines,
        "partition_id": book.part(DAY),
        "materialization_id": made,
        "reason": "by hand",
        "from_seq": 1,
    }
    with pytest.raises(sa.exc.IntegrityError), book.ledger.write() as connection:
        connection.execute(sa.insert(head_log).values(**row))


def test_moves_of_one_change_are_made_where_they_can(book: Book) -> None:
    """One partition that another worker has published does not stop the rest of a group."""
    keys = ["2011-01-05", "2011-01-06", "2011-01-07"]
    made = {key: book.made(key) for key in keys}
    book.move("2011-01-06", None, book.made("2011-01-06", "other"))
    wanted = [Move(book.lines, book.part(key), None, made[key], FINAL, "computed") for key in keys]
    with book.ledger.write() as connection:
        seq = heads.new_change(connection, run="run 2", actor="ada")
        moved = heads.move(connection, "prod", wanted, seq)
    assert [each.materialization for each in moved] == [made["2011-01-05"], made["2011-01-07"]]


def test_more_heads_than_one_statement_can_name_move_together(book: Book) -> None:
    keys = [DAYS.key(number) for number in range(6_000)]
    parts = book.parts(*keys)
    made = book.made(DAY)
    with book.ledger.write() as connection:
        seq = heads.new_change(connection, run="run 1", actor="ada")
        heads.move(connection, "prod", [Move(book.lines, part, None, made, FINAL, "x") for part in parts], seq)
    with book.ledger.write() as connection:
        seq = heads.new_change(connection, run="run 2", actor="ada")
        moves = [Move(book.lines, part, made, made, MISSING, "x") for part in parts]
        assert len(heads.move(connection, "prod", moves, seq)) == 6_000
    with book.ledger.read() as connection:
        assert all(head.missing == MISSING for head in heads.current(connection, "prod", book.lines).values())


def test_every_head_that_ever_was_is_told_with_who_when_and_why(book: Book) -> None:
    started = datetime.now(UTC)
    first, second = book.made(DAY, "a"), book.made(DAY, "b")
    book.move(DAY, None, first, MISSING, reason="computed")
    book.move(DAY, first, second, reason="orders changed")
    book.move(DAY, second, None, reason="withdrawn")
    told = history(book)
    assert [(each.materialization, each.missing, each.reason) for each in told] == [
        (first, MISSING, "computed"),
        (second, FINAL, "orders changed"),
        (None, FINAL, "withdrawn"),
    ]
    assert [each.data_version for each in told] == [digest("a"), digest("b"), None]
    assert [each.until_seq for each in told] == [told[1].seq, told[2].seq, None]
    assert all(timedelta() <= each.at - started < timedelta(minutes=5) for each in told)
    assert {(each.run, each.actor) for each in told} == {("run 1", "ada")}


def test_a_branch_shows_what_prod_has_where_it_has_nothing_of_its_own(book: Book) -> None:
    keys = ["2011-01-05", "2011-01-06", "2011-01-07"]
    shared, own = {key: book.made(key) for key in keys}, book.made("2011-01-06", "branch")
    for key in keys:
        book.move(key, None, shared[key])
    book.move("2011-01-06", shared["2011-01-06"], own, environment="branch")
    book.move("2011-01-07", shared["2011-01-07"], None, environment="branch", reason="withdrawn")
    assert book.live() == shared
    assert book.live("branch") == {"2011-01-05": shared["2011-01-05"], "2011-01-06": own}
    assert history(book, "2011-01-05", "branch") == []


def test_marks_of_a_branch_count_as_long_as_prod_has_what_they_are_on(book: Book) -> None:
    """They change on top of each other, go when prod moves on, and are prod's no more than its are theirs."""
    first, second = book.made(DAY, "a"), book.made(DAY, "b")
    book.move(DAY, None, first)
    assert book.move(DAY, first, first, MISSING, environment="branch")
    head = current(book, environment="branch")
    assert head is not None
    assert (head.materialization, head.missing) == (first, MISSING)
    assert book.move(DAY, first, second)
    assert current(book, environment="branch") == current(book)
    assert book.move(DAY, second, second, MISSING, environment="branch")
    head = current(book, environment="branch")
    assert head is not None
    assert (head.materialization, head.missing) == (second, MISSING)
    assert book.move(DAY, second, None)
    assert current(book, environment="branch") is None


def test_a_branch_keeps_what_it_made_itself_under_new_marks(book: Book) -> None:
    first, own = book.made(DAY, "a"), book.made(DAY, "b")
    book.move(DAY, None, first)
    book.move(DAY, first, own, environment="branch")
    book.move(DAY, own, own, MISSING, environment="branch")
    book.move(DAY, first, None)
    assert book.live("branch") == {DAY: own}


def moved_since(book: Book, seq: int, environment: str = "prod") -> set[int]:
    with book.ledger.read() as connection:
        return heads.moved_since(connection, environment, [book.lines, book.orders], seq)


def test_which_assets_have_moved_since_a_change_is_known(book: Book) -> None:
    """A mark that changes is a move; what moves in prod moves in its branches, and not the other way round."""
    made = book.made(DAY)
    assert moved_since(book, 0) == set()
    book.move(DAY, None, made)
    with book.ledger.read() as connection:
        seen = heads.newest_change(connection)
    assert moved_since(book, seen) == set()
    assert moved_since(book, seen - 1) == {book.lines}
    book.move(DAY, made, None, environment="branch")
    assert moved_since(book, seen) == set()
    assert moved_since(book, seen, "branch") == {book.lines}
    book.move(DAY, made, made, MISSING)
    assert moved_since(book, seen) == {book.lines}
    assert moved_since(book, seen, "other") == {book.lines}


@rules(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    steps=st.lists(
        st.tuples(st.sampled_from(["prod", "branch"]), st.integers(1, 3), st.sampled_from([None, "a", "b"])),
        max_size=12,
    )
)
def test_any_sequence_of_moves_ends_with_what_a_dictionary_says(book: Book, steps: list[tuple[str, int, str]]) -> None:
    """An oracle of two dictionaries; the history tells every step in its order.

    A branch that only marks what it has from prod has nothing of its own by that.
    """
    with book.ledger.write() as connection:
        connection.execute(sa.delete(head_log))
    made = {content: book.made(DAY, content) for content in "ab"}
    keys = [f"2011-01-0{number}" for number in range(1, 4)]
    book.parts(*keys)
    expected: dict[str, dict[str, int | None]] = {"prod": {}, "branch": {}}
    told = 0
    for environment, number, content in steps:
        key = f"2011-01-0{number}"
        seen = {**expected["prod"], **expected[environment]}
        after = made[content] if content else None
        assert book.move(key, seen.get(key), after, environment=environment)
        only_marks = after is not None and after == seen.get(key)
        if environment == "prod" or key in expected["branch"] or not only_marks:
            expected[environment][key] = after
        told += 1
    for environment in ("prod", "branch"):
        wanted = {**expected["prod"], **expected[environment]}
        assert book.live(environment) == {key: made for key, made in wanted.items() if made is not None}
    assert sum(len(history(book, key, name)) for key in keys for name in ("prod", "branch")) == told
