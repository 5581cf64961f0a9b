"""Claims about definitions as values: a source's files, an asset's past, a pipeline's members."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.definitions import defined, small
from tidemark import Calendar, Daily, Hourly, Monthly, Static, asset, previous, source
from tidemark.assets import Source
from tidemark.errors import UsageError
from tidemark.partitions import Unpartitioned

# -- sources


def test_a_file_name_stands_for_its_partition_and_back() -> None:
    orders = source("orders", files="shop/orders/{partition}.csv", partitions=Daily())
    assert orders.file_of("2011-01-05") == "shop/orders/2011-01-05.csv"
    assert orders.key_of("shop/orders/2011-01-05.csv") == "2011-01-05"
    assert orders.folder == "shop/orders"


@pytest.mark.parametrize(
    ("files", "folder"),
    [
        ("orders/{partition}.csv", "orders"),
        ("{partition}.csv", ""),
        ("{partition}/orders.csv", ""),
        ("shop/day={partition}/orders.csv", "shop"),
    ],
)
def test_the_folder_to_list_is_the_part_that_does_not_vary(files: str, folder: str) -> None:
    assert source("orders", files=files, partitions=Daily()).folder == folder


@pytest.mark.parametrize(
    "name",
    [
        "orders/2011-1-5.csv",
        "orders/2011-01-05.csv.bak",
        "orders/2011-02-30.csv",
        "orders/x/2011-01-05.csv",
        "orders/../2011-01-05.csv",
        "orders/2011-01-05xcsv",
        "elsewhere/2011-01-05.csv",
        "2011-01-05.csv",
        "orders/2011-01-05.csv\n",
    ],
)
def test_a_file_that_matches_no_partition_delivers_none(name: str) -> None:
    assert source("orders", files="orders/{partition}.csv", partitions=Daily()).key_of(name) is None


@given(st.text(max_size=30))
def test_whatever_a_file_is_called_its_partition_names_that_file_again(text: str) -> None:
    for each in (
        source("orders", files="orders/{partition}.csv", partitions=Daily()),
        source("orders", files="{partition}", partitions=Static(["a.b", "c"])),
        source("orders", files="all.csv"),
    ):
        key = each.key_of(text)
        assert key is None or each.file_of(key) == text


def test_a_source_without_partitions_is_one_file() -> None:
    products = source("products", files="products.csv")
    assert products.grain == Unpartitioned()
    assert products.key_of("products.csv") == "all"
    assert products.file_of("all") == "products.csv"


def test_only_an_asset_with_a_past_of_its_own_is_a_chain() -> None:
    @asset(partitions=Daily(), inputs={"prices": previous()})
    def prices(lines: str, prices: str | None) -> str:
        return lines

    @asset(partitions=Daily())
    def totals(prices: str) -> str:
        return prices

    assert defined(prices).chained
    assert not defined(totals).chained


def test_a_name_that_is_not_there_is_answered_with_the_closest_one() -> None:
    with pytest.raises(UsageError, match="did you mean 'totals'"):
        small()["total"]
    with pytest.raises(UsageError, match="there are lines, orders, rates, totals"):
        small()["zzz"]
    with pytest.raises(UsageError, match="'orders' is a source"):
        small().asset("orders")
    with pytest.raises(UsageError, match="computed, not delivered: name one of orders, rates"):
        small().source("lines")


def test_where_a_source_is_written_makes_no_other_source_of_it() -> None:
    orders = small().source("orders")
    assert replace(orders, where="elsewhere.py:1") == orders
    assert orders.where.startswith("definitions.py:")


def test_grains_and_calendars_are_values() -> None:
    """A definition that is loaded again is equal to itself, so that Airflow makes no new version of a DAG."""

    def made() -> Source:
        return source(
            "orders",
            files="{partition}",
            partitions=Daily(tz="Europe/London"),
            expected=Calendar("MON-FRI", closed=["12-25"]),
            due="1 day",
        )

    assert made() == made()
    assert Hourly() == Hourly()
    assert Monthly(tz="UTC") == Monthly()
