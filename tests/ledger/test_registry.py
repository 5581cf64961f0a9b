"""Claims about names and keys in the ledger: who owns a name, what a definition keeps, ids that stay."""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
import sqlalchemy as sa

from tests.ledger.conftest import DAYS, Book
from tidemark.errors import DefinitionError
from tidemark.fingerprint import Component, Fingerprint, fingerprint
from tidemark.ledger import Ledger, registry
from tidemark.ledger.registry import Registration
from tidemark.ledger.schema import code_version, partition
from tidemark.partitions import Daily, Grain, Monthly, Static, Unpartitioned, Weekly


def register(ledger: Ledger, *members: Registration, pipeline: str = "shop") -> dict[str, int]:
    with ledger.write() as connection:
        return registry.register(connection, pipeline, members)


def known(ledger: Ledger) -> dict[str, registry.Registered]:
    with ledger.read() as connection:
        return registry.assets(connection)


def member(name: str, grain: Grain = DAYS, **definition: Any) -> Registration:
    keys = tuple(grain.keys) if isinstance(grain, Static) else ()
    return Registration(name, "asset", grain, keys, definition, f"shop.py:1: {name}()")


def test_a_name_keeps_its_number(ledger: Ledger) -> None:
    first = register(ledger, member("lines"), member("totals"))
    again = register(ledger, member("totals"), member("new"), member("lines"))
    assert first == {"lines": again["lines"], "totals": again["totals"]}
    assert len(set(again.values())) == 3


def test_what_is_kept_of_a_definition_is_that_of_the_last_registration(ledger: Ledger) -> None:
    register(ledger, member("lines", owner="ada", gate=None))
    register(ledger, member("lines", owner="grace", gate="lines"))
    assert known(ledger)["lines"].definition == {"owner": "grace", "gate": "lines"}


def test_a_name_belongs_to_the_pipeline_that_registered_it_first(ledger: Ledger) -> None:
    """The second claim is refused, and nothing of it is kept."""
    register(ledger, member("lines"))
    with pytest.raises(DefinitionError, match=r"'lines' belongs to the pipeline 'shop'.*ref") as refusal:
        register(ledger, member("other"), replace(member("lines"), where="rival.py:7: lines()"), pipeline="rival")
    assert str(refusal.value).startswith("rival.py:7: lines(): ")
    assert {name: each.pipeline for name, each in known(ledger).items()} == {"lines": "shop"}


def test_runs_that_begin_at_once_register_one_asset(ledger: Ledger) -> None:
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: register(ledger, *map(member, "abcdef")), range(4)))
    assert all(each == found[0] for each in found)


@pytest.mark.parametrize("grain", [Weekly(), Daily(tz="Europe/London"), Unpartitioned()])
def test_an_asset_that_changes_its_grain_is_refused(ledger: Ledger, grain: Grain) -> None:
    """Its history has other keys."""
    register(ledger, member("lines"))
    with pytest.raises(DefinitionError, match=r"was registered as daily:UTC and is now .* give it a new name"):
        register(ledger, member("lines", grain))


def test_static_keys_can_be_added_and_taken_away(ledger: Ledger) -> None:
    register(ledger, member("totals", Static(["uk", "eu"])))
    register(ledger, member("totals", Static(["uk", "us", "jp"])))
    assert known(ledger)["totals"].grain == Static(["uk", "us", "jp"])


@pytest.mark.parametrize("grain", [DAYS, Monthly(tz="Europe/London"), Static(["uk"]), Unpartitioned()])
def test_other_pipelines_know_the_grain_from_the_ledger(ledger: Ledger, grain: Grain) -> None:
    register(ledger, member("totals", grain))
    assert known(ledger)["totals"].grain == grain


def ensure(ledger: Ledger, grain: Grain, keys: Iterable[str]) -> dict[str, int]:
    with ledger.write() as connection:
        registry.ensure_partitions(connection, grain, keys)
        return registry.partition_ids(connection, grain)


def test_a_key_keeps_its_number_and_knows_its_period(ledger: Ledger) -> None:
    london = Daily(tz="Europe/London")
    first = ensure(ledger, london, ["2011-07-01", "2011-07-02"])
    assert ensure(ledger, london, ["2011-07-02", "2011-07-03"]).items() >= first.items()
    with ledger.read() as connection:
        query = sa.select(partition.c.starts_at, partition.c.ends_at).where(partition.c.key == "2011-07-01")
        assert connection.execute(query).one() == (
            datetime(2011, 6, 30, 23, tzinfo=UTC),
            datetime(2011, 7, 1, 23, tzinfo=UTC),
        )


def test_equal_keys_of_other_grains_are_other_partitions(ledger: Ledger) -> None:
    """Monday the third is a day of UTC, a day of London, and a week."""
    numbers = [
        ensure(ledger, grain, ["2011-01-03"])["2011-01-03"] for grain in (DAYS, Daily(tz="Europe/London"), Weekly())
    ]
    assert len(set(numbers)) == 3


def test_keys_without_a_period_have_none(ledger: Ledger) -> None:
    ensure(ledger, Static(["uk"]), ["uk"])
    with ledger.read() as connection:
        assert connection.execute(sa.select(partition.c.starts_at, partition.c.ends_at)).one() == (None, None)


def test_workers_that_meet_a_key_at_once_agree_on_its_number(ledger: Ledger) -> None:
    keys = [DAYS.key(number) for number in range(14_000, 14_200)]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: ensure(ledger, DAYS, keys), range(4)))
    assert all(each == found[0] for each in found)
    assert len(set(found[0].values())) == len(keys)


def test_more_keys_than_one_statement_can_take_are_taken(ledger: Ledger) -> None:
    keys = [DAYS.key(number) for number in range(6_000)]
    assert len(ensure(ledger, DAYS, keys)) == 6_000


def helper() -> int:
    return 1


def test_a_code_version_is_written_down_once_with_all_that_explain_needs(book: Book) -> None:
    code = fingerprint(helper, resources=())
    with book.ledger.write() as connection:
        number = registry.code_version_id(connection, code, ("c0ffee", True))
    with book.ledger.write() as connection:
        assert registry.code_version_id(connection, code, ("another", False)) == number
        row = connection.execute(sa.select(code_version)).one()
    assert (row.fingerprint, row.git_commit, row.git_dirty) == (code.digest, "c0ffee", True)
    assert [label for label, *_ in row.components] == [part.label for part in code.components]
    assert book.count(code_version) == 1


def test_workers_that_meet_a_code_version_at_once_agree_on_its_number(book: Book) -> None:
    code = Fingerprint(b"\x01" * 32, (Component("a", "a.py", 1, b"\x02" * 32),), (("polars", "1.0"),))

    def met(_: int) -> int:
        with book.ledger.write() as connection:
            return registry.code_version_id(connection, code, (None, None))

    with ThreadPoolExecutor(4) as pool:
        assert len(set(pool.map(met, range(8)))) == 1
