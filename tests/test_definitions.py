"""Claims about what a scientist writes: what it means, and what is refused with which mend."""

import functools
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any, Optional

import polars as pl
import pytest

from tests.definitions import defined, refused
from tidemark import Daily, Partition, asset, last_known, ref, trailing

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


@pytest.mark.parametrize(
    ("text", "says"),
    [
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
