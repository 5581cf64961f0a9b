"""Claims about assets of Dask and Spark: the same rows, versions and protocol as any other, on whatever cluster."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import polars as pl
import pytest

from tests.gates import rule
from tests.scenario import Shop
from tests.servers import free_port
from tidemark.errors import Unavailable
from tidemark.frames import clusters, merging

pytestmark = [pytest.mark.scale, pytest.mark.timeout(600)]

DAYS = ["2025-01-05", "2025-01-06", "2025-01-07"]

SOURCE = """
from __future__ import annotations
from typing import TYPE_CHECKING
import pyarrow as pa
if TYPE_CHECKING:
    import dask.dataframe as dd
    import pyspark.sql

lines = source("lines", files="lines/{partition}.csv", partitions=DAYS, schema={"sku": str, "units": int, "price": float})

@asset(partitions=DAYS)
def typed(lines: pl.DataFrame) -> pl.DataFrame:
    return lines.with_columns(value=pl.col("units") * pl.col("price"))
"""

BY_POLARS = """
@asset(partitions=DAYS, inputs={"typed": trailing(days=2)}, key=["sku", "partition"])
def by_polars(typed: pl.LazyFrame) -> pl.DataFrame:
    return typed.group_by("sku", "partition").agg(pl.col("units").sum(), pl.col("value").max()).collect()
"""

BY_DASK = """
@asset(partitions=DAYS, inputs={"typed": trailing(days=2)}, key=["sku", "partition"])
def by_dask(typed: dd.DataFrame) -> dd.DataFrame:
    grouped = typed.groupby(["sku", "partition"], dropna=False)
    return grouped.agg({"units": "sum", "value": "max"}).reset_index()[["sku", "partition", "units", "value"]]
"""

BY_SPARK = """
@asset(partitions=DAYS, inputs={"typed": trailing(days=2)}, key=["sku", "partition"])
def by_spark(typed: pyspark.sql.DataFrame) -> pyspark.sql.DataFrame:
    from pyspark.sql import functions as F
    return typed.groupBy("sku", "partition").agg(F.sum("units").alias("units"), F.max("value").alias("value"))
"""


def delivered(shop: Shop, text: str, days: list[str] = DAYS) -> Shop:
    """The shop with a pipeline, and deliveries for its days."""
    (shop.dags / "shop.py").write_text(_file(text))
    shop.load()
    for number, day in enumerate(days):
        rows = "".join(f"s{each % 7},{each + number},{each / 4}\n" for each in range(40))
        shop.deliver("lines", day, f"sku,units,price\n{rows}")
    shop.now("2025-01-08T06:00")
    return shop


def _file(text: str) -> str:
    from tests.scenario import _member_names

    prelude = (
        "import polars as pl\nfrom tidemark import Daily, asset, pipeline, previous, source, trailing\nDAYS = Daily()\n"
    )
    body = (SOURCE + text).replace("from __future__ import annotations\n", "")
    return f'"""A shop."""\nfrom __future__ import annotations\n{prelude}{body}\ndag = pipeline("shop", [{", ".join(_member_names(body))}])\n'


def failures(shop: Shop, asset: str) -> set[str]:
    return set(shop.details(asset).values())


@contextmanager
def dask_cluster(folder: Path, **environ: str) -> Iterator[str]:
    """A scheduler and a worker in processes of their own, that know nothing of Tidemark; yields the address."""
    address = f"tcp://127.0.0.1:{free_port()}"
    given = {name: value for name, value in os.environ.items() if not name.startswith(("TIDEMARK_", "PYTHONPATH"))}
    parts = [
        ["scheduler", "--host", "127.0.0.1", "--port", address.rpartition(":")[2], "--no-dashboard"],
        ["worker", address, "--host", "127.0.0.1", "--nthreads", "1", "--no-dashboard", "--no-nanny"],
    ]
    started = []
    with (folder / "dask.log").open("wb") as log:
        try:
            for part in parts:
                command = [sys.executable, "-m", "dask", *part]
                started.append(
                    subprocess.Popen(command, cwd=folder, env=given | environ, stdout=log, stderr=subprocess.STDOUT)
                )
            yield address
        finally:
            clusters.close()
            for each in reversed(started):
                each.terminate()
                each.wait()


@pytest.fixture
def apart(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """For a test that uses another cluster than the rest."""
    clusters.close()
    yield monkeypatch
    clusters.close()


@pytest.mark.parametrize("spilled", [False, True], ids=["in memory", "spilled"])
def test_an_asset_has_one_version_whichever_engine_made_it(
    dask_here: None, spark_here: None, shop: Shop, monkeypatch: pytest.MonkeyPatch, spilled: bool
) -> None:
    """The same rows by polars, Dask and Spark: the same data version and blob, of a window, by way of real batches."""
    if spilled:
        monkeypatch.setattr(merging, "IN_MEMORY", -1)
    delivered(shop, BY_POLARS + BY_DASK + BY_SPARK).run(lanes=True)
    assert shop.counts("by_polars") == shop.counts("by_dask") == shop.counts("by_spark") == {"computed": 3}
    assert shop.versions("by_polars") == shop.versions("by_dask") == shop.versions("by_spark")
    blobs = [[made.stored.blob for day in DAYS for made in shop.made(name, day)] for name in ("by_polars", "by_dask")]
    assert blobs[0] == blobs[1]
    assert len(shop.content("by_dask", DAYS[1])) == 14
    shop.run()
    assert shop.ran == {}
