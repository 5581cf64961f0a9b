"""Claims about the image with Dask and Spark in it, as its page has it built on ours."""

import json
import re
import subprocess
from pathlib import Path

import pytest

from tests import images

ROOT = Path(__file__).parents[2]
NAME = "localhost/tidemark-scale:under-test"

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(3000)]

# The same sum by each engine.
SUMS = '''"""## Sums"""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl
from tidemark import Partition, Static, asset, pipeline

if TYPE_CHECKING:
    import dask.dataframe as dd
    import pyspark.sql

PARTS = Static(["north", "south"])


@asset(partitions=PARTS)
def lines(partition: Partition) -> pl.DataFrame:
    return pl.DataFrame({"item": [1, 2, 1, 2], "value": [1.0, 2.0, 3.0, 4.5]})


@asset(partitions=PARTS, key=["item"])
def by_polars(lines: pl.DataFrame) -> pl.DataFrame:
    return lines.group_by("item").agg(pl.col("value").sum())


@asset(partitions=PARTS, key=["item"])
def by_dask(lines: dd.DataFrame) -> dd.DataFrame:
    return lines.groupby("item")["value"].sum().reset_index()


@asset(partitions=PARTS, key=["item"])
def by_spark(lines: pyspark.sql.DataFrame) -> pyspark.sql.DataFrame:
    from pyspark.sql import functions as F

    return lines.groupBy("item").agg(F.sum("value").alias("value"))


dag = pipeline("sums", [lines, by_polars, by_dask, by_spark], owner="shop")
'''


@pytest.fixture(scope="module")
def scale(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The image, built in a folder with what the page says has to be there."""
    folder = tmp_path_factory.mktemp("scale")
    page = (ROOT / "docs" / "scale.md").read_text()
    found = re.search(r"```dockerfile\n(.*?)```", page, re.DOTALL)
    assert found
    (folder / "Dockerfile").write_text(found[1])
    (folder / "requirements-scale.txt").write_bytes((ROOT / "requirements-scale.txt").read_bytes())
    words = [images.program(), "build", "--network", "host", "--build-arg", f"TIDEMARK={images.built('runtime')}"]
    done = subprocess.run([*words, "--tag", NAME, "."], cwd=folder, capture_output=True, text=True, timeout=2400)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-6000:]
    return NAME


def test_every_engine_works_in_it_and_comes_to_the_same_data(scale: str, tmp_path: Path) -> None:
    """As user 50000, on a read-only root, and without a network."""
    dags, home = tmp_path / "dags", tmp_path / "home"
    for folder in (dags, home):
        folder.mkdir()
        folder.chmod(0o777)
    (dags / "sums.py").write_text(SUMS)
    places = {dags: "/dags:ro", home: "/var/lib/tidemark"}

    def tidemark(*words: str) -> str:
        return images.said(scale, "tidemark", *words, volumes=places, environ={"TIDEMARK_DAGS": "/dags"})

    tidemark("run", "sums")
    told = [json.loads(tidemark("explain", asset, "south", "--json")) for asset in ("by_polars", "by_dask", "by_spark")]
    assert [each["live"]["rows"] for each in told] == [2, 2, 2]
    assert len({each["live"]["version"] for each in told}) == 1
    checked = json.loads(tidemark("env-check", "--json"))
    assert checked["differences"] == checked["unknown"] == []
    assert {"dask", "pyspark"} <= checked["here"]["distributions"].keys()
