"""Claims about sources and assets put together: their order, their owner, and what does not fit with which mend."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests import definitions
from tests.definitions import LINES, refused, small
from tidemark import Daily, Weekly, asset, latest, parts, previous, ref, source
from tidemark.errors import DefinitionError
from tidemark.pipelines import check_mapping, pipeline

HERE = Path(__file__).name


# -- pipelines


def test_assets_are_ordered_after_what_they_read_and_sources_stand_first() -> None:
    assert [each.name for each in small().members] == ["rates", "orders", "lines", "totals"]


def test_independent_assets_keep_the_order_in_which_they_are_given() -> None:
    orders = source("orders", files="{partition}", partitions=Daily())

    def named(name: str) -> Callable[..., Any]:
        def function(orders: str) -> str:
            return orders

        function.__name__ = name
        return asset(partitions=Daily())(function)

    made = pipeline("p", [orders, *map(named, "zyxab")])
    assert [each.name for each in made.assets] == list("zyxab")


def test_the_pipelines_owner_owns_what_names_no_owner() -> None:
    owners = {each.name: each.owner for each in small().members}
    assert owners == {"rates": "treasury", "orders": "pricing", "lines": "sales", "totals": "pricing"}


def test_a_pipeline_takes_page_and_file_from_the_file_that_makes_it() -> None:
    assert small().doc == definitions.__doc__
    assert small().file == Path(definitions.__file__)


def test_what_other_pipelines_own_is_known_by_name() -> None:
    @asset(partitions=Weekly(), inputs={"a": ref("totals", parts()), "b": ref("totals", latest()), "c": ref("rates")})
    def week(a: str, b: str, c: str) -> str:
        return a

    made = pipeline("weekly", [week])
    assert {name: [read.parameter for read in reads] for name, reads in made.externals.items()} == {
        "totals": ["a", "b"],
        "rates": ["c"],
    }
    with pytest.raises(DefinitionError, match=rf"{HERE}:\d+: week\(\): input 'c': same\(\) needs equal grains"):
        check_mapping(made.assets[0], made.assets[0].inputs[2], Daily())


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
    ],
)
def test_what_does_not_fit_is_one_line_that_names_place_and_mend(text: str, says: str, tmp_path: Path) -> None:
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

    made = pipeline("p", [stock])
    assert [each.name for each in made.assets] == ["stock"]


# -- reports


def test_a_report_is_an_asset_of_a_time_that_the_pipeline_has() -> None:
    """Of a misspelt name no report would ever come, and nobody would know why."""
    orders = source("orders", files="{partition}", partitions=Daily())

    @asset(partitions=Daily())
    def takings(orders: str) -> str:
        return orders

    @asset()
    def notes() -> str:
        return ""

    members = [orders, takings, notes]
    assert pipeline("shop", members, reports=["takings"]).reports == ("takings",)
    assert pipeline("shop", members).reports == ()
    for given, said in (
        (["taking"], r"reports=\['taking'\]: it is no asset of the pipeline: did you mean 'takings'\?"),
        (["orders"], r"reports=\['orders'\]: it is no asset"),
        (["notes"], r"reports=\['notes'\]: a report is of a time: write partitions=Daily\(\)"),
        ("takings", r"reports='takings': give a list, reports=\['takings'\]"),
    ):
        with pytest.raises(DefinitionError, match=said):
            pipeline("shop", members, reports=given)
