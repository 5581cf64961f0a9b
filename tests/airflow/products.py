"""A small pipeline for the tests of this folder."""

from pathlib import Path
from typing import Any

from tidemark import Daily, asset, previous, source
from tidemark.assets import Pipeline
from tidemark.pipelines import pipeline

DAYS = Daily(tz="Europe/London")

orders = source("orders", files="orders/{partition}.csv", partitions=DAYS)


@asset(partitions=DAYS, key=["sku"], gate="lines")
def lines(orders: str) -> str:
    """One line an order."""
    return orders


@asset(partitions=DAYS, inputs={"stock": previous()}, owner="warehouse")
def stock(lines: str, stock: str | None) -> str:
    """What is left."""
    return lines + (stock or "")


@asset()
def settings() -> str:
    """What holds always."""
    return "x"


def shop(**options: Any) -> Pipeline:
    """A pipeline of three assets, the last of which has no partitions."""
    chosen: dict[str, Any] = {"owner": "pricing", "tags": ["prices"], "doc": "## The shop\n\nWhat it sells.", **options}
    return pipeline("shop", [orders, lines, stock, settings], file=Path("/dags/shop.py"), **chosen)
