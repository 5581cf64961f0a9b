"""Claims about planning assets of Dask and Spark where these are not installed."""

import sys

import pytest

from tests.scenario import Shop
from tidemark.errors import DefinitionError

WIDE = """
orders = source("orders", files="orders/{partition}.csv", partitions=DAYS)

@asset(partitions=DAYS%s)
def wide(orders: "%s")%s:
    return orders
"""


@pytest.mark.parametrize(
    ("frame", "returned", "package"),
    [
        ("dd.DataFrame", "", "dask"),
        ("dask.dataframe.DataFrame | None", "", "dask"),
        ("pyspark.sql.DataFrame", "", "pyspark"),
        ("pl.DataFrame", ' -> "pyspark.sql.DataFrame"', "pyspark"),
    ],
)
def test_no_plan_is_made_without_the_engine_of_an_asset(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, frame: str, returned: str, package: str
) -> None:
    """Workers that have it would come to another code version: it is refused in a sentence, and nothing is planned."""
    shop.define(WIDE % ("", frame, returned))
    shop.deliver_days("orders", "2025-01-05")
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(DefinitionError) as refused:
        shop.run()
    said = str(refused.value)
    assert f"asset 'wide' has a frame of {package}, which is not installed here" in said
    assert "install requirements-scale.txt where plans are made as well, or give the asset the image=" in said
    assert shop.plan_id == 0
    assert shop.ran == {}


def test_an_asset_with_an_image_is_planned_without_its_engine(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """The image stands for what is installed in it: planner and worker come to the same code version."""
    shop.define(WIDE % (', image="registry.example/scale:1.4"', "dd.DataFrame", ""))
    shop.deliver_days("orders", "2025-01-05")
    with_it = shop.pipelines["shop"].asset("wide").code
    monkeypatch.setitem(sys.modules, "dask", None)
    shop.load()
    without = shop.pipelines["shop"].asset("wide").code
    assert without.digest == with_it.digest
    assert without.distributions == ()
    assert [(item.asset, item.key) for item in shop.planned().items] == [("wide", "2025-01-05")]
