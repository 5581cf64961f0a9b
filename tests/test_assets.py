"""Claims about definitions: what a scientist writes, what it means, and what is refused with which mend."""

import functools
import textwrap
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any, Optional

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tidemark
from tidemark import (
    Calendar,
    Daily,
    Hourly,
    Monthly,
    Partition,
    Static,
    Weekly,
    asset,
    last_known,
    latest,
    parts,
    previous,
    ref,
    source,
    trailing,
)
from tidemark.assets import Asset, Pipeline, Source, check_mapping
from tidemark.catalog import load_catalog
from tidemark.errors import DefinitionError, UsageError
from tidemark.partitions import Unpartitioned

HERE = Path(__file__).name


def defined(function: Callable[..., Any]) -> Asset:
    """The definition that hangs on a decorated function."""
    found: Asset = function.__tidemark__  # type: ignore[attr-defined]
    return found


def refused(text: str, folder: Path) -> str:
    """The one message that a pipeline file gives, as the command and the Airflow UI show it."""
    head = (
        '"""A shop."""\n'
        "import polars as pl\n"
        "from tidemark import asset, pipeline, source, ref, same, trailing, parts, previous, latest, last_known\n"
        "from tidemark import Calendar, Daily, Hourly, Weekly, Monthly, Static\n"
    )
    (folder / "shop.py").write_text(head + textwrap.dedent(text))
    catalog = load_catalog(folder)
    assert not catalog.pipelines
    [message] = catalog.problems.values()
    assert message.startswith("DefinitionError: ")
    assert "\n" not in message
    return message.removeprefix("DefinitionError: ")


# -- a decorated function


def test_a_decorated_function_stays_a_plain_function() -> None:
    """It is called with frames in a notebook or a test, as it was written."""

    def double(lines: pl.DataFrame, factor: int = 2) -> pl.DataFrame:
        return lines * factor

    assert asset(partitions=Daily())(double) is double
    assert double(pl.DataFrame({"a": [1]}), factor=3).to_dicts() == [{"a": 3}]


def test_parameters_are_inputs_values_or_the_partition_by_how_they_are_written() -> None:
    @asset(partitions=Daily(), inputs={"rates": last_known(days=7), "days": ref("product_days", trailing(days=28))})
    def prices(
        lines: pl.DataFrame,
        rates: pl.DataFrame,
        days: pl.LazyFrame,
        partition: Partition,
        step: float = 0.05,
        *,
        floor: int = 1,
    ) -> pl.DataFrame:
        """The prices."""
        return lines

    definition = defined(prices)
    assert definition.name == "prices"
    assert definition.doc == "The prices."
    assert definition.partition_parameter == "partition"
    assert definition.parameters == {"step": 0.05, "floor": 1}
    assert [(read.parameter, read.upstream, str(read.mapping), read.external) for read in definition.inputs] == [
        ("lines", "lines", "same()", False),
        ("rates", "rates", "last_known(days=7)", False),
        ("days", "product_days", "trailing(days=28)", True),
    ]
    assert [read.annotation for read in definition.inputs] == [pl.DataFrame, pl.DataFrame, pl.LazyFrame]


def test_params_take_the_place_of_defaults() -> None:
    @asset(params={"limit": 5, "rate": 0.2})
    def total(lines: pl.DataFrame, limit: int, rate: float = 0.1) -> pl.DataFrame:
        return lines

    assert defined(total).parameters == {"limit": 5, "rate": 0.2}
    assert [read.parameter for read in defined(total).inputs] == ["lines"]


@pytest.mark.parametrize(
    ("annotation", "optional"),
    [
        (pl.DataFrame | None, True),
        (Optional[pl.DataFrame], True),  # noqa: UP045
        ("pl.DataFrame | None", True),
        ("Optional[pl.DataFrame]", True),
        ("None | pl.DataFrame", True),
        (pl.DataFrame, False),
        ("pl.DataFrame", False),
        ("NoneSuch", False),
    ],
)
def test_an_input_may_be_absent_if_its_annotation_says_so(annotation: object, optional: bool) -> None:
    """As an object, and as the text that `from __future__ import annotations` leaves."""

    def total(lines):  # type: ignore[no-untyped-def]
        return lines

    total.__annotations__["lines"] = annotation
    [read] = defined(asset(partitions=Daily())(total)).inputs
    assert read.optional is optional


def test_a_parameter_annotated_as_text_receives_the_partition_too() -> None:
    def total(partition: "Partition") -> str:
        return partition.key

    assert defined(asset(partitions=Daily())(total)).partition_parameter == "partition"


def test_only_an_asset_with_a_past_of_its_own_is_a_chain() -> None:
    @asset(partitions=Daily(), inputs={"prices": previous()})
    def prices(lines: str, prices: str | None) -> str:
        return lines

    @asset(partitions=Daily())
    def totals(prices: str) -> str:
        return prices

    assert defined(prices).chained
    assert not defined(totals).chained


def test_declared_files_lie_beside_the_function_that_names_them(tmp_path: Path) -> None:
    """Beside the function itself, not beside a decorator from another folder."""

    def timed(function: Callable[[], str]) -> Callable[[], str]:
        @functools.wraps(function)
        def called() -> str:
            return function()

        return called

    (tmp_path / "query.sql").write_text("SELECT 1")
    space: dict[str, Any] = {"asset": asset, "timed": timed}
    text = "@asset(files=['query.sql'])\n@timed\ndef total() -> str:\n    return ''\n"
    exec(compile(text, str(tmp_path / "shop.py"), "exec"), space)
    assert defined(space["total"]).files == (tmp_path / "query.sql",)


def test_a_closing_age_is_said_in_words() -> None:
    @asset(partitions=Daily(), closes_after="35 days")
    def total(lines: str) -> str:
        return lines

    assert defined(total).closes_after == timedelta(35)


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


# -- pipelines


def small() -> Pipeline:
    orders = source("orders", files="{partition}", partitions=Daily())
    rates = source("rates", files="r/{partition}", partitions=Daily(), owner="treasury")

    @asset(partitions=Daily())
    def totals(lines: str, rates: str) -> str:
        return lines

    @asset(partitions=Daily(), owner="sales")
    def lines(orders: str) -> str:
        return orders

    made: Pipeline = tidemark.pipeline("small", [totals, rates, lines, orders], owner="pricing", tags=["daily"])
    return made


def test_assets_are_ordered_after_what_they_read_and_sources_stand_first() -> None:
    assert [each.name for each in small().members] == ["rates", "orders", "lines", "totals"]


def test_independent_assets_keep_the_order_in_which_they_are_given() -> None:
    orders = source("orders", files="{partition}", partitions=Daily())

    def named(name: str) -> Callable[..., Any]:
        def function(orders: str) -> str:
            return orders

        function.__name__ = name
        return asset(partitions=Daily())(function)

    made = tidemark.assets.pipeline("p", [orders, *map(named, "zyxab")])
    assert [each.name for each in made.assets] == list("zyxab")


def test_the_pipelines_owner_owns_what_names_no_owner() -> None:
    owners = {each.name: each.owner for each in small().members}
    assert owners == {"rates": "treasury", "orders": "pricing", "lines": "sales", "totals": "pricing"}


def test_a_pipeline_takes_page_and_file_from_the_file_that_makes_it() -> None:
    assert small().doc == __doc__
    assert small().file == Path(__file__)


def test_a_name_that_is_not_there_is_answered_with_the_closest_one() -> None:
    with pytest.raises(UsageError, match="did you mean 'totals'"):
        small()["total"]
    with pytest.raises(UsageError, match="there are lines, orders, rates, totals"):
        small()["zzz"]
    with pytest.raises(UsageError, match="'orders' is a source"):
        small().asset("orders")
    with pytest.raises(UsageError, match="computed, not delivered: name one of orders, rates"):
        small().source("lines")


def test_what_other_pipelines_own_is_known_by_name() -> None:
    @asset(partitions=Weekly(), inputs={"a": ref("totals", parts()), "b": ref("totals", latest()), "c": ref("rates")})
    def week(a: str, b: str, c: str) -> str:
        return a

    made = tidemark.assets.pipeline("weekly", [week])
    assert {name: [read.parameter for read in reads] for name, reads in made.externals.items()} == {
        "totals": ["a", "b"],
        "rates": ["c"],
    }
    with pytest.raises(DefinitionError, match=rf"{HERE}:\d+: week\(\): input 'c': same\(\) needs equal grains"):
        check_mapping(made.assets[0], made.assets[0].inputs[2], Daily())


def test_where_a_source_is_written_makes_no_other_source_of_it() -> None:
    orders = small().source("orders")
    assert replace(orders, where="elsewhere.py:1") == orders
    assert orders.where.startswith(HERE)


# -- what is refused

LINES = """
orders = source("orders", files="{partition}", partitions=Daily())

@asset(partitions=Daily())
def lines(orders: str) -> str:
    return orders
"""


@pytest.mark.parametrize(
    ("text", "says"),
    [
        pytest.param(
            """
            @asset(partitions=Daily())
            def ends(first: str) -> str: ...
            @asset(partitions=Daily())
            def first(second: str) -> str: ...
            @asset(partitions=Daily())
            def second(third: str) -> str: ...
            @asset(partitions=Daily())
            def third(first: str) -> str: ...
            pipeline("p", [ends, first, second, third])
            """,
            r"shop.py: pipeline\('p'\): shop.py:8: first\(\): first reads second reads third reads first, a circle: "
            r"take one of these parameters away",
            id="a circle, without what only hangs on it",
        ),
        pytest.param(
            """
            @asset(partitions=Daily())
            def total(total: str) -> str: ...
            pipeline("p", [total])
            """,
            r"shop.py:6: total\(\): total reads total, a circle: .* previous\(\)",
            id="a circle of one",
        ),
        pytest.param(
            LINES + 'pipeline("p", [lines])',
            r"shop.py:8: lines\(\): parameter 'orders' names no member of the pipeline; there are lines "
            r"\(an asset of another pipeline is inputs=\{...: ref\(name\)\}; a plain parameter needs a default\)",
            id="an unknown input",
        ),
        pytest.param(
            LINES
            + "@asset(partitions=Daily())\ndef total(line: str) -> str: ...\npipeline('p', [orders, lines, total])",
            r"total\(\): parameter 'line' names no member of the pipeline: did you mean 'lines'\?",
            id="a misspelt input",
        ),
        pytest.param(
            LINES
            + "@asset(partitions=Weekly())\ndef total(lines: str) -> str: ...\npipeline('p', [orders, lines, total])",
            r"shop.py:11: total\(\): input 'lines': same\(\) needs equal grains, not weekly:UTC reading daily:UTC: "
            r"use parts\(\) for a coarser reader",
            id="grains that cannot map",
        ),
        pytest.param(
            LINES.replace("Daily())\ndef", "Daily(), gate='line')\ndef") + 'pipeline("p", [orders, lines])',
            r"shop.py:8: lines\(\): gate 'line': there is no suite .*line.json",
            id="a missing suite",
        ),
        pytest.param(
            LINES.replace("Daily())\n\n", "Daily(), gate='order')\n\n") + 'pipeline("p", [orders, lines])',
            r"shop.py:6: source\('orders'\): gate 'order': there is no suite",
            id="a missing suite of a source",
        ),
        pytest.param(
            LINES + LINES.replace("orders = ", "more = ") + 'pipeline("p", [orders, more, lines])',
            r"shop.py: pipeline\('p'\): shop.py:6: source\('orders'\) and shop.py:12: source\('orders'\) "
            r"have one name: rename one",
            id="a duplicate name",
        ),
        pytest.param(
            LINES + 'pipeline("p", [orders, lines, orders])',
            r"shop.py: pipeline\('p'\): orders stands twice among its members",
            id="a member given twice",
        ),
        pytest.param(
            LINES + 'pipeline("p", [orders])', r"there is nothing to compute: give at least one @asset", id="no asset"
        ),
        pytest.param(
            LINES + 'pipeline("p", [orders, lines, len])',
            r"len is neither a source\(\) nor decorated with @asset",
            id="an undecorated function",
        ),
        pytest.param(LINES + 'pipeline("a b", [orders, lines])', "it becomes the DAG's", id="a pipeline's name"),
        pytest.param(
            LINES + 'pipeline("p", [orders, lines], timezone="London")', "'Europe/London'", id="a pipeline's zone"
        ),
        pytest.param(
            LINES.replace("orders: str", "orders: dict") + 'pipeline("p", [orders, lines])',
            r"shop.py:8: lines\(\): parameter 'orders': .* cannot be handed over as dict. Annotate one of",
            id="an annotation",
        ),
        pytest.param(
            LINES.replace("-> str", "-> list") + 'pipeline("p", [orders, lines])',
            r"shop.py:8: lines\(\): what it returns: .* Annotate one of",
            id="the annotation of what is returned",
        ),
        pytest.param(
            LINES.replace("Daily())\n\n", "Daily(), schema={'a': list})\n\n") + 'pipeline("p", [orders, lines])',
            r"shop.py:6: source\('orders'\): column 'a' is declared as list",
            id="a schema",
        ),
        pytest.param("@asset()\ndef Total() -> str: ...", r"Total\(\): 'Total' is no name .* lower-case", id="a name"),
        pytest.param(
            "@asset(partitions=Daily)\ndef total() -> str: ...", r"total\(\): .* write Daily\(\)", id="a class"
        ),
        pytest.param("@asset(partitions='day')\ndef total() -> str: ...", r"a grain such as Daily\(\)", id="a text"),
        pytest.param("@asset(key='code')\ndef total() -> str: ...", r"total\(\): key='code': .*\['code'\]", id="key"),
        pytest.param("@asset(pii='name')\ndef total() -> str: ...", r"pii=\['name'\]", id="pii"),
        pytest.param("@asset(files='q.sql')\ndef total() -> str: ...", r"files=\['q.sql'\]", id="files"),
        pytest.param("@asset(files=['q.sql'])\ndef total() -> str: ...", r"'q.sql', which is not beside", id="no file"),
        pytest.param("@asset(key=['a'], ordered=True)\ndef total() -> str: ...", "choose one", id="key and order"),
        pytest.param("@asset()\nclass total: ...", r"can declare a function \(def\) only", id="no function"),
        pytest.param("@asset()\ndef total(*lines) -> str: ...", r"parameter 'lines': .* no \* and no /", id="star"),
        pytest.param(
            "@asset(partitions=Daily(), inputs={'line': same()})\ndef total(lines: str) -> str: ...",
            r"total\(\): there is no parameter 'line': did you mean 'lines'\?",
            id="inputs for no parameter",
        ),
        pytest.param(
            "@asset(params={'rat': 1})\ndef total(rate: int = 1) -> str: ...", "did you mean 'rate'", id="params"
        ),
        pytest.param(
            "@asset(partitions=Daily(), inputs={'lines': trailing})\ndef total(lines: str) -> str: ...",
            r"give a mapping such as trailing\(days=28\)",
            id="a mapping that is not called",
        ),
        pytest.param(
            "@asset(partitions=Daily(), inputs={'lines': previous()})\ndef total(lines: str | None) -> str: ...",
            "its parameter is called 'total'",
            id="previous of another asset",
        ),
        pytest.param(
            "@asset(partitions=Daily(), inputs={'total': previous()})\ndef total(total: str) -> str: ...",
            r"annotate 'total' with '\| None'",
            id="previous that must be there",
        ),
        pytest.param(
            "@asset()\ndef total(lines: str, now=object()) -> str: ...", "parameter 'now': cannot digest", id="a value"
        ),
        pytest.param(
            "@asset(partitions=Daily(), closes_after='soon')\ndef total() -> str: ...",
            r"shop.py:5: total\(\): closes_after: 'soon' is no duration",
            id="an age",
        ),
        pytest.param("@asset(closes_after='3 days')\ndef total() -> str: ...", "have no age", id="an age without time"),
        pytest.param(
            "source('orders', files='orders.csv', partitions=Daily())",
            r"shop.py:5: source\('orders'\): files='orders.csv': write \{partition\} once",
            id="files without a partition",
        ),
        pytest.param(
            "source('orders', files='{partition}.csv')", r"give partitions=, or leave \{partition\} out", id="no grain"
        ),
        pytest.param(
            "source('orders', files='../{partition}', partitions=Daily())", "without '..'", id="files that lead out"
        ),
        pytest.param(
            "source('orders', files='/x/{partition}', partitions=Daily())", "inside the landing zone", id="absolute"
        ),
        pytest.param(
            "source('orders', files='{partition}', partitions=Daily(), due='1 day')", "nobody expects", id="due alone"
        ),
        pytest.param(
            "source('orders', files='{partition}', partitions=Daily(), expected='MON-FRI')",
            r"Calendar\('MON-FRI'\)",
            id="a calendar as text",
        ),
        pytest.param(
            "source('orders', files='{partition}', partitions=Static(['a']), expected=Calendar())",
            "partitions of time",
            id="expected without time",
        ),
        pytest.param(
            "source('orders', files='{partition}', partitions=Daily(), expected=Calendar(), due='noon')",
            r"source\('orders'\): due='noon'",
            id="a due time",
        ),
        pytest.param("source('Orders', files='a')", "lower-case letters", id="a source's name"),
        pytest.param(
            "source('orders', files='a', pii='name')", r"source\('orders'\): pii='name'", id="pii of a source"
        ),
    ],
)
def test_a_definition_error_is_one_line_that_names_place_and_mend(text: str, says: str, tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match=says):
        raise AssertionError(refused(text, tmp_path))


def test_an_input_of_the_same_pipeline_needs_no_ref(tmp_path: Path) -> None:
    text = LINES.replace("@asset(partitions=Daily())", "@asset(partitions=Daily(), inputs={'orders': ref('orders')})")
    assert "name the parameter after it, without ref()" in refused(text + 'pipeline("p", [orders, lines])', tmp_path)


def test_chains_are_no_circles() -> None:
    """An asset may read its own past, and an input that is absent today."""

    @asset(partitions=Daily(start="2011-01-01"), inputs={"stock": previous()})
    def stock(stock: str | None) -> str:
        return stock or ""

    made = tidemark.assets.pipeline("p", [stock])
    assert [each.name for each in made.assets] == ["stock"]


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
