"""Claims about materializations: written once, found by their action key, with what they read and what gates said."""

from dataclasses import replace
from datetime import date
from decimal import Decimal

from tests.ledger.conftest import Book
from tidemark.hashing import digest
from tidemark.ledger import records
from tidemark.ledger.records import COMPUTED, FAILED, InputRecord, Known, Record, Stored

KEY = digest("action key")


def record(book: Book, status: str = COMPUTED, content: str = "a", error: str | None = None) -> Record:
    failed = status == FAILED
    return Record(
        asset_id=book.lines,
        partition_id=book.part(),
        status=status,
        action_key=KEY,
        parameters={"rate": 0.5, "names": ["a"]},
        data_version=None if failed else digest(content),
        blob=None if failed else content,
        format=None if failed else "parquet",
        rows=3,
        size=2**40,
        seconds=1.5,
        error=error,
    )


def known(book: Book) -> dict[tuple[int, bytes], Known]:
    part = book.part()
    with book.ledger.read() as connection:
        return records.known(connection, book.lines, environment="prod", suite=None, partition_ids=[part])


def test_a_materialization_is_read_as_it_was_written(book: Book) -> None:
    [number] = book.write(record(book))
    with book.ledger.read() as connection:
        [made] = records.made(connection, [number, number, 4711]).values()
        assert records.made_for(connection, book.lines, book.part()) == [made]
    assert (made.asset, made.partition, made.status, made.action_key) == ("lines", "2011-01-05", COMPUTED, KEY)
    assert (made.data_version, made.blob, made.format, made.rows) == (digest("a"), "a", "parquet", 3)
    assert (made.size, made.seconds, made.parameters) == (2**40, 1.5, {"rate": 0.5, "names": ["a"]})
    assert (made.environment, made.run, made.actor) == ("prod", "run 1", "ada")


def test_a_delivery_keeps_the_schema_that_it_was_read_with(book: Book) -> None:
    declared = {"code": str, "on": date, "price": Decimal}
    number, none = book.write(replace(record(book), declared=declared), record(book))
    stored = {number: Stored("a", "parquet", declared), none: Stored("a", "parquet", None)}
    with book.ledger.read() as connection:
        assert {each.id: each.stored for each in records.made(connection, stored).values()} == stored
        assert records.stored_from(connection, book.lines, number) == stored


def test_numbers_come_in_the_order_of_what_is_written(book: Book) -> None:
    """A thousand in one statement: the database may not shuffle them."""
    template = record(book)
    numbers = book.write(*(replace(template, blob=str(each)) for each in range(1_000)))
    with book.ledger.read() as connection:
        made = records.made(connection, numbers)
    assert [made[number].blob for number in numbers] == [str(each) for each in range(1_000)]
    assert book.write() == []


def test_of_two_results_of_an_action_key_the_newest_counts(book: Book) -> None:
    """There are two only where the data of the first is gone."""
    _, second = book.write(record(book, content="a"), record(book, content="b"))
    assert known(book) == {(book.part(), KEY): Known(second, digest("b"), "b", 0, None)}


def test_failures_of_an_action_key_are_counted_and_the_last_error_is_kept(book: Book) -> None:
    _, last = book.write(record(book, FAILED, error="first"), record(book, FAILED, error="second"))
    assert known(book) == {(book.part(), KEY): Known(None, None, None, 2, "second", last_failure=last)}
    [number] = book.write(record(book))
    assert known(book) == {(book.part(), KEY): Known(number, digest("a"), "a", 0, None)}


def test_failures_count_where_they_happened_and_under_their_suite(book: Book) -> None:
    """The result of a key is known everywhere."""
    part = book.part()
    [number] = book.write(record(book))
    failed = replace(record(book, FAILED, error="first"), suite_digest=digest("suite"))
    book.write(record(book, FAILED, error="none"), failed)
    counted = {}
    with book.ledger.read() as connection:
        for environment, suite in (
            ("prod", None),
            ("prod", digest("suite")),
            ("prod", digest("new")),
            ("branch", None),
        ):
            asked = {"environment": environment, "suite": suite, "partition_ids": [part]}
            [found] = records.known(connection, book.lines, **asked).values()
            assert found.materialization == number
            counted[environment, suite] = (found.failures, found.error)
    assert counted == {
        ("prod", None): (1, "none"),
        ("prod", digest("suite")): (1, "first"),
        ("prod", digest("new")): (0, None),
        ("branch", None): (0, None),
    }


def test_of_an_asset_with_an_image_only_what_was_made_in_it_is_known_elsewhere(book: Book) -> None:
    """A laptop has other packages than the image whose name is in the key."""
    part, outside, other, there = book.part(), record(book), record(book, content="b"), record(book, content="c")
    with book.ledger.write() as connection:
        [laptops] = records.write(connection, [outside], environment="laptop", run="run 1", actor="ada")

    def asked(environment: str, image: str | None) -> tuple[int | None, list[str]]:
        with book.ledger.read() as connection:
            found = records.known(
                connection, book.lines, environment=environment, suite=None, partition_ids=[part], image=image
            ).get((part, KEY), records.UNKNOWN)
            differ = records.other_results(connection, [other], environment=environment, image=image)
            return found.materialization, differ

    assert asked("prod", "shop:1") == (None, [])
    assert asked("laptop", "shop:1") == (laptops, ["a"])
    assert asked("prod", None) == (laptops, ["a"])
    with book.ledger.write() as connection:
        asks = {"environment": "laptop", "run": "run 2", "actor": "ada", "image": "shop:1"}
        [inside] = records.write(connection, [there], **asks)
    assert asked("prod", "shop:1") == (inside, ["c"])
    assert asked("prod", "shop:2") == (None, [])


def test_inputs_are_kept_with_every_member_and_absence(book: Book) -> None:
    delivered = book.made("2011-01-05", asset=book.orders)
    read = InputRecord(
        "orders",
        book.orders,
        "trailing(days=2)",
        digest("window"),
        (("2011-01-04", None, None), ("2011-01-05", digest("a"), delivered)),
    )
    same = replace(read, parameter="lines", asset_id=book.lines, members=())
    [number] = book.write(replace(record(book), inputs=(read, same)))
    with book.ledger.read() as connection:
        assert records.inputs_of(connection, [number]) == {number: [read, same]}


def test_results_of_one_group_can_read_each_other_before_they_have_numbers(book: Book) -> None:
    """A chain is computed faster than it is written down."""
    first = record(book)
    reads_it = InputRecord("lines", book.lines, "previous()", digest("one"), (("2011-01-05", digest("a"), -1),))
    second = replace(record(book, content="b"), action_key=digest("next"), inputs=(reads_it,))
    with book.ledger.write() as connection:
        one, two = records.write(
            connection, [first, second], environment="prod", run="r", actor="ada", provisional_ids=[-1, -2]
        )
        assert records.inputs_of(connection, [two])[two][0].members == (("2011-01-05", digest("a"), one),)


def test_what_a_gate_said_first_of_a_content_stays(book: Book) -> None:
    suite, version = digest("suite"), digest("a")
    with book.ledger.write() as connection:
        records.write_gate_result(connection, "lines", suite, version, "passed", {"checked": 3})
        records.write_gate_result(connection, "lines", suite, version, "blocked", {"checked": 4})
        records.write_gate_result(connection, "lines", digest("other"), version, "blocked", {})
    with book.ledger.read() as connection:
        assert records.gate_outcomes(connection, suite) == {version: "passed"}
        assert records.gate_details(connection, suite, version) == {"checked": 3}
        assert records.gate_details(connection, suite, digest("b")) is None


def test_the_cost_of_a_partition_is_the_mean_of_what_it_has_cost(book: Book) -> None:
    book.write(
        replace(record(book), seconds=1.0), replace(record(book), seconds=2.0), replace(record(book), seconds=None)
    )
    with book.ledger.read() as connection:
        assert records.mean_seconds(connection, [book.lines, book.orders]) == {book.lines: 1.5}
