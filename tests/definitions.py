"""What tests of definitions share: a decorated function's definition, a small pipeline, and what a bad file gives."""

import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import tidemark
from tidemark import Daily, asset, source
from tidemark.assets import Asset, Pipeline
from tidemark.catalog import load_catalog

LINES = """
orders = source("orders", files="{partition}", partitions=Daily())

@asset(partitions=Daily())
def lines(orders: str) -> str:
    return orders
"""


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
