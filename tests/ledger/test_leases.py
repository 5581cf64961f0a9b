"""Claims about leases: one worker a partition, tokens that only rise, and workers that died or were overtaken."""

import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from tests.ledger.conftest import Book
from tidemark.hashing import digest
from tidemark.ledger import leases
from tidemark.ledger.leases import Lease, Taken, is_dead, new_holder
from tidemark.ledger.schema import lease

WANTED, OTHER = digest("action key"), digest("another action key")
ELSEWHERE = "another-machine/17/4711/aa"
KEYS = [f"2011-01-{day:02d}" for day in range(1, 11)]


def acquire(book: Book, holder: str, parts: Sequence[int], wanted: bytes = WANTED, environment: str = "prod") -> Taken:
    with book.ledger.write() as connection:
        return leases.acquire(connection, environment, book.lines, dict.fromkeys(parts, wanted), holder)


def release(book: Book, holder: str, *taken: Lease) -> None:
    with book.ledger.write() as connection:
        leases.release(connection, "prod", book.lines, taken, holder)


def held(book: Book, holder: str, *taken: Lease) -> set[int]:
    with book.ledger.write() as connection:
        return leases.still_held(connection, "prod", book.lines, taken, holder)


def expire(book: Book) -> None:
    with book.ledger.write() as connection:
        connection.execute(sa.update(lease).values(expires_at=datetime.now(UTC) - timedelta(seconds=1)))


def dead_holder() -> str:
    """The name of a worker of this machine that has ended."""
    script = "from tidemark.ledger.leases import new_holder; print(new_holder())"
    environ = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.run([sys.executable, "-c", script], env=environ, capture_output=True, text=True).stdout.strip()


def test_a_partition_is_leased_to_one_worker_at_a_time(book: Book) -> None:
    parts = book.parts(*KEYS[:3])
    first, second = new_holder(), new_holder()
    taken = acquire(book, first, parts[:2])
    assert [each.partition_id for each in taken.leases] == parts[:2]
    assert [each.partition_id for each in acquire(book, second, parts).leases] == parts[2:]
    release(book, first, *taken.leases)
    assert [each.partition_id for each in acquire(book, second, parts[:2]).leases] == parts[:2]


def test_each_holder_has_a_larger_token_than_all_before_it(book: Book) -> None:
    part = book.part()
    tokens = []
    for _ in range(3):
        holder = new_holder()
        [got] = acquire(book, holder, [part]).leases
        release(book, holder, got)
        tokens.append(got.token)
    assert tokens == sorted(set(tokens))


def test_a_worker_that_asks_again_gets_a_new_token_for_its_own_lease(book: Book) -> None:
    holder, part = new_holder(), book.part()
    [first] = acquire(book, holder, [part]).leases
    [second] = acquire(book, holder, [part]).leases
    assert second.token > first.token
    assert second.deaths == 0
    assert held(book, holder, first) == set()
    assert held(book, holder, second) == {part}


def test_a_worker_elsewhere_keeps_its_lease_until_it_expires(book: Book) -> None:
    part = book.part()
    acquire(book, ELSEWHERE, [part])
    assert acquire(book, new_holder(), [part]) == Taken([], [])
    expire(book)
    [got] = acquire(book, new_holder(), [part]).leases
    assert got.deaths == 1


def test_a_lease_that_is_renewed_does_not_expire(book: Book) -> None:
    part = book.part()
    [got] = acquire(book, ELSEWHERE, [part]).leases
    expire(book)
    with book.ledger.write() as connection:
        leases.renew(connection, "prod", book.lines, [got], ELSEWHERE)
    assert acquire(book, new_holder(), [part]).leases == []


def test_a_lease_that_was_lost_is_not_renewed(book: Book) -> None:
    part = book.part()
    [lost] = acquire(book, ELSEWHERE, [part]).leases
    expire(book)
    [got] = acquire(book, "third-machine/1/1/bb", [part]).leases
    expire(book)
    with book.ledger.write() as connection:
        leases.renew(connection, "prod", book.lines, [lost], ELSEWHERE)
    [third] = acquire(book, new_holder(), [part]).leases
    assert third.token > got.token > lost.token


def test_a_worker_of_this_machine_that_has_ended_blocks_nobody_for_a_moment(book: Book) -> None:
    part, gone = book.part(), dead_holder()
    acquire(book, gone, [part])
    [got] = acquire(book, new_holder(), [part]).leases
    assert got.deaths == 1


def test_who_lost_a_lease_cannot_publish(book: Book) -> None:
    """Its token is stale, however alive it is."""
    parts = book.parts(*KEYS[:2])
    slow, fast = new_holder(), new_holder()
    lost, kept = acquire(book, slow, parts).leases
    with book.ledger.write() as connection:  # as if the machine had slept
        connection.execute(
            sa.update(lease)
            .where(lease.c.partition_id == lost.partition_id)
            .values(holder=ELSEWHERE, expires_at=datetime.now(UTC))
        )
    [got] = acquire(book, fast, [lost.partition_id]).leases
    assert held(book, slow, lost, kept) == {kept.partition_id}
    assert held(book, fast, got) == {lost.partition_id}
    release(book, slow, lost)
    assert held(book, fast, got) == {lost.partition_id}


def test_a_partition_that_killed_its_worker_is_taken_alone(book: Book) -> None:
    """So that it takes no others with it; the first of a batch that died may have been innocent."""
    parts = book.parts(*KEYS[:3])
    acquire(book, ELSEWHERE, parts[:2])
    expire(book)
    holder = new_holder()
    taken = acquire(book, holder, parts)
    assert [each.partition_id for each in taken.leases] == parts[2:]
    assert taken.suspects == parts[:2]
    [alone] = acquire(book, holder, parts[:1]).leases
    assert alone.deaths == 1


def test_deaths_are_counted_until_one_comes_through_or_the_code_changes(book: Book) -> None:
    part = book.part()
    for deaths in range(3):
        [got] = acquire(book, f"machine-{deaths}/1/1/aa", [part]).leases
        assert got.deaths == deaths
        expire(book)
    [other] = acquire(book, ELSEWHERE, [part], OTHER).leases
    assert other.deaths == 0
    release(book, ELSEWHERE, other)
    [after] = acquire(book, new_holder(), [part]).leases
    assert after.deaths == 0


def test_each_environment_has_leases_of_its_own(book: Book) -> None:
    part = book.part()
    assert acquire(book, new_holder(), [part]).leases
    assert acquire(book, new_holder(), [part], environment="branch").leases


def test_workers_that_ask_at_once_share_out_what_there_is(book: Book) -> None:
    parts = book.parts(*KEYS)

    def ask(number: int) -> list[int]:
        return [each.partition_id for each in acquire(book, f"machine-{number}/1/1/aa", parts).leases]

    with ThreadPoolExecutor(6) as pool:
        shares = list(pool.map(ask, range(6)))
    assert sorted(part for share in shares for part in share) == sorted(parts)


def test_asking_for_nothing_gives_nothing(book: Book) -> None:
    assert acquire(book, new_holder(), []) == Taken([], [])


@pytest.mark.parametrize(
    ("holder", "dead"),
    [
        (ELSEWHERE, False),
        (f"{socket.gethostname()}/{2**22 + 1}/4711/aa", True),
        (f"{socket.gethostname()}/{os.getpid()}/0/aa", True),
    ],
    ids=["on another machine", "of a number that no process has", "of a number that another process had"],
)
def test_only_a_process_of_this_machine_is_known_to_be_dead(holder: str, dead: bool) -> None:
    assert is_dead(holder) is dead
    assert not is_dead(new_holder())


def test_two_runners_of_one_process_have_names_of_their_own() -> None:
    assert new_holder() != new_holder()
