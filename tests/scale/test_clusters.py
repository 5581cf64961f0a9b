"""Claims about assets of Dask and Spark: the same rows, versions and protocol as any other, on whatever cluster."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.gates import rule
from tests.scenario import Shop, member_names
from tests.servers import free_port
from tidemark.errors import OutputError, Unavailable
from tidemark.frames import clusters, deserted, merging

pytestmark = [pytest.mark.scale, pytest.mark.timeout(300)]

DAYS = ["2025-01-05", "2025-01-06", "2025-01-07"]

SOURCE = """
from __future__ import annotations
from typing import TYPE_CHECKING
import pyarrow as pa
if TYPE_CHECKING:
    import dask.dataframe as dd
    import pyspark.sql

SCHEMA = {"sku": str, "units": int, "price": float}
lines = source("lines", files="lines/{partition}.csv", partitions=DAYS, schema=SCHEMA)

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


NAMES = ["by_polars", "by_dask", "by_spark"]


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
    body = (SOURCE + text).replace("from __future__ import annotations\n", "")
    members = ", ".join(member_names(body))
    imports = "import polars as pl\nfrom tidemark import Daily, asset, pipeline, previous, source, trailing"
    head = f'"""A shop."""\nfrom __future__ import annotations\n{imports}\nDAYS = Daily()\n'
    return f'{head}{body}\ndag = pipeline("shop", [{members}])\n'


def failures(shop: Shop, asset: str) -> set[str]:
    return set(shop.details(asset).values())


def end(process: "subprocess.Popen[bytes]") -> None:
    """End a server, and one that does not listen too."""
    process.terminate()
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(20)


@dataclass(frozen=True)
class Cluster:
    """A Dask cluster of the test's own."""

    address: str
    scheduler: "subprocess.Popen[bytes]"


@contextmanager
def dask_cluster(folder: Path) -> Iterator[Cluster]:
    """A scheduler and a worker in processes of their own, that know nothing of Tidemark."""
    address = f"tcp://127.0.0.1:{free_port()}"
    given = {name: value for name, value in os.environ.items() if not name.startswith(("TIDEMARK_", "PYTHONPATH"))}
    parts = [
        ["scheduler", "--host", "127.0.0.1", "--port", address.rpartition(":")[2], "--no-dashboard"],
        ["worker", address, "--host", "127.0.0.1", "--nthreads", "1", "--no-dashboard", "--no-nanny"],
    ]
    started: list[subprocess.Popen[bytes]] = []
    with (folder / "dask.log").open("wb") as log:
        try:
            for part in parts:
                command = [sys.executable, "-m", "dask", *part]
                started.append(subprocess.Popen(command, cwd=folder, env=given, stdout=log, stderr=subprocess.STDOUT))
            yield Cluster(address, started[0])
        finally:
            clusters.close()
            for each in reversed(started):
                end(each)


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
    delivered(shop, BY_POLARS + BY_DASK + BY_SPARK, DAYS[:2]).run(lanes=True)
    assert shop.counts("by_polars") == shop.counts("by_dask") == shop.counts("by_spark") == {"computed": 3}
    assert shop.versions("by_polars") == shop.versions("by_dask") == shop.versions("by_spark")
    blobs = [[made.stored.blob for day in DAYS for made in shop.made(name, day)] for name in NAMES]
    assert blobs[0] == blobs[1] == blobs[2] != []
    assert len(shop.content("by_dask", DAYS[1])) == 14
    shop.run()
    assert shop.ran == {}


# -- what arrives


TYPES = """
@asset(partitions=DAYS)
def every(lines: pl.DataFrame) -> pl.DataFrame:
    import datetime as dt
    from decimal import Decimal
    day, at = dt.date(2025, 1, 5), dt.datetime(2025, 1, 5, 6, 7, 8, 9)
    return pl.DataFrame({
        "text": ["ü", None, "", "a"],
        "kind": pl.Series(["x", "y", None, "x"], dtype=pl.Categorical),
        "whole": pl.Series([1, None, 2**62, -3]),
        "small": pl.Series([1, None, 2, -3], dtype=pl.Int8),
        "number": [1.5, float("nan"), None, -2.0],
        "cost": pl.Series([Decimal("1.25"), None, Decimal("-3.50"), Decimal("0")], dtype=pl.Decimal(38, 2)),
        "day": [day, None, day, day],
        "local": [at, None, at, at],
        "instant": pl.Series([at, None, at, at]).dt.replace_time_zone("UTC"),
        "lasted": [dt.timedelta(seconds=1), None, dt.timedelta(days=-1), dt.timedelta(microseconds=5)],
        "yes": [True, None, False, True],
        "raw": [b"x", None, b"", b"\\0"],
        "tags": [["a", None], None, [], ["b"]],
        "pair": [{"a": 1, "b": "x"}, None, {"a": None, "b": "y"}, {"a": 2, "b": None}],
        "nothing": [None, None, None, None],
        "row": [1, 2, 3, 4],
    })
"""

THROUGH_DASK = """
@asset(partitions=DAYS, key=["row"])
def through(every: dd.DataFrame) -> dd.DataFrame:
    return every

@asset(partitions=DAYS, key=["row"])
def beside(every: pl.DataFrame) -> pl.DataFrame:
    return every
"""


@pytest.mark.parametrize("engine", ["dask", "spark"])
def test_every_type_passes_through_unchanged(request: pytest.FixtureRequest, shop: Shop, engine: str) -> None:
    """Nulls and NaN, decimals, dates, instants, durations, bytes, lists, structs: in and out, the same version."""
    request.getfixturevalue(f"{engine}_here")
    text = THROUGH_DASK if engine == "dask" else THROUGH_DASK.replace("dd.DataFrame", "pyspark.sql.DataFrame")
    delivered(shop, TYPES + text, DAYS[:1]).run()
    assert failures(shop, "through") == {""}
    assert shop.versions("through") == shop.versions("beside")


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        ("pl.Series([1], dtype=pl.UInt16)", "holds uint16, and Spark has no unsigned integers"),
        ("pl.Series([dt.time(6)])", "holds time, and Spark would not keep a time of day"),
        ('pl.Series([at]).dt.replace_time_zone("Europe/London")', "holds timestamp Europe/London, and Spark keeps the"),
        ('pl.Series([1], dtype=pl.Int64).cast(pl.Datetime("ns"))', "keeps microseconds and not nanoseconds"),
        ('[{"a": [dt.time(6)]}]', "Spark would not keep a time of day"),
    ],
)
def test_what_spark_has_no_type_for_is_refused(spark_here: None, shop: Shop, cell: str, said: str) -> None:
    """In a sentence that says which column, why, and what to do; nothing is changed in silence."""
    text = f"""
@asset(partitions=DAYS)
def every(lines: pl.DataFrame) -> pl.DataFrame:
    import datetime as dt
    at = dt.datetime(2025, 1, 5)
    return pl.DataFrame({{"odd": {cell}}})

@asset(partitions=DAYS)
def through(every: pyspark.sql.DataFrame) -> pyspark.sql.DataFrame:
    return every
"""
    delivered(shop, text, DAYS[:1]).run()
    (why,) = failures(shop, "through")
    assert said in why
    assert "input 'every': column 'odd'" in why


def test_dask_takes_what_spark_refuses(dask_here: None, shop: Shop) -> None:
    text = """
@asset(partitions=DAYS)
def every(lines: pl.DataFrame) -> pl.DataFrame:
    import datetime as dt
    at = dt.datetime(2025, 1, 5)
    frame = pl.DataFrame({"u": pl.Series([1, None], dtype=pl.UInt16), "t": [dt.time(6), None], "n": [at, None]})
    return frame.with_columns(
        z=pl.col("n").dt.replace_time_zone("Europe/London"),
        n=pl.col("n").cast(pl.Datetime("ns")) + pl.duration(nanoseconds=7),
    )
"""
    delivered(shop, text + THROUGH_DASK.replace(', key=["row"]', ""), DAYS[:1]).run()
    assert failures(shop, "through") == {""}
    assert shop.versions("through") == shop.versions("beside")


@pytest.mark.parametrize("engine", ["dask", "spark"])
def test_its_own_past_and_an_absent_one_arrive(request: pytest.FixtureRequest, shop: Shop, engine: str) -> None:
    """`previous()` is None on the first day, and a frame of the cluster from then on."""
    request.getfixturevalue(f"{engine}_here")
    frame = "dd.DataFrame" if engine == "dask" else "pyspark.sql.DataFrame"
    count = "len(total)" if engine == "dask" else "total.count()"
    text = f"""
@asset(partitions=DAYS, inputs={{"total": previous()}}, ordered=True)
def total(lines: {frame}, total: {frame} | None) -> {frame}:
    assert total is None or {count} == 40, "the day before has forty rows"
    return lines if total is None else total
"""
    delivered(shop, text, DAYS[:2]).run()
    assert failures(shop, "total") == {""}
    assert [row["sku"] for row in shop.content("total", DAYS[1])][:3] == ["s0", "s1", "s2"]


def test_partitions_are_row_groups_in_time_order(dask_here: None, shop: Shop) -> None:
    """Each stored row group is a partition of its own, the days one after the other, each with its own name."""
    text = """
@asset(partitions=DAYS, inputs={"typed": trailing(days=3)})
def seen(typed: dd.DataFrame) -> str:
    return ",".join(typed.get_partition(number).compute()["partition"].iloc[0] for number in range(typed.npartitions))
"""
    delivered(shop, text).run()
    assert shop.content("seen", DAYS[2]) == ",".join(DAYS)


# -- what is stored


def test_a_gate_blocks_and_a_key_is_checked(dask_here: None, shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Great Expectations checks what a cluster computed, and a key that is there twice is refused, also if spilled."""
    monkeypatch.setattr(merging, "IN_MEMORY", -1)
    shop.suite("few", rule("expect_column_values_to_be_between", column="units", max_value=5))
    text = """
@asset(partitions=DAYS, gate="few")
def gated(typed: dd.DataFrame) -> dd.DataFrame:
    return typed

@asset(partitions=DAYS, key=["sku"])
def keyed(typed: dd.DataFrame) -> dd.DataFrame:
    return typed
"""
    delivered(shop, text, DAYS[:1]).run()
    assert shop.counts("gated") == {"blocked": 1}
    assert shop.content("typed", DAYS[0])
    (why,) = failures(shop, "keyed")
    assert "33 of its 40 rows repeat the key of another: s0; s1; s2; ..." in why


# -- what breaks


HELPED = """
def doubled(frame):
    return frame.assign(units=frame["units"] * FACTOR)

FACTOR = 2

@asset(partitions=DAYS)
def helped(typed: dd.DataFrame) -> dd.DataFrame:
    return typed.map_partitions(doubled)

def refuse(frame):
    raise ValueError("no such price")

@asset(partitions=DAYS)
def broken(typed: dd.DataFrame) -> dd.DataFrame:
    return typed.map_partitions(refuse, meta=typed._meta)
"""

HELPED_BY_SPARK = """
def doubled(batches):
    import pyarrow.compute as pc
    for batch in batches:
        yield batch.set_column(1, "units", pc.multiply(batch.column("units"), FACTOR))

FACTOR = 2

@asset(partitions=DAYS)
def helped(typed: pyspark.sql.DataFrame) -> pyspark.sql.DataFrame:
    return typed.mapInArrow(doubled, typed.schema)

def refuse(batches):
    raise ValueError("no such price")

@asset(partitions=DAYS)
def broken(typed: pyspark.sql.DataFrame) -> pyspark.sql.DataFrame:
    return typed.mapInArrow(refuse, typed.schema)
"""


@pytest.mark.parametrize("engine", ["dask", "spark"])
def test_functions_of_a_dag_file_travel_and_their_errors_come_back(
    request: pytest.FixtureRequest, shop: Shop, engine: str
) -> None:
    """A worker does not have the DAG file: its functions arrive whole; and what one raises is told in its last line."""
    request.getfixturevalue(f"{engine}_here")
    delivered(shop, HELPED if engine == "dask" else HELPED_BY_SPARK, DAYS[:1]).run()
    assert failures(shop, "helped") == {""}
    assert sum(row["units"] for row in shop.content("helped", DAYS[0])) == 2 * sum(range(40))
    (why,) = failures(shop, "broken")
    assert "ValueError: no such price" in why
    assert "Traceback" not in why


INSIDE = """
def kept(frame):
    return frame

@asset(partitions=DAYS)
def inside(typed: dd.DataFrame) -> str:
    return str(len(typed.map_partitions(kept, meta=typed._meta).compute()))
"""


def test_functions_of_a_dag_file_travel_to_what_is_computed_within_the_asset_too(dask_here: None, shop: Shop) -> None:
    """Also where the scheduler is in this process, and finds them by a name that its workers do not know."""
    delivered(shop, INSIDE, DAYS[:1]).run()
    assert shop.content("inside", DAYS[0]) == "40"


def test_a_worker_that_is_killed_is_made_good_for(dask_here: None, shop: Shop) -> None:
    """Dask computes what it lost once more, and the result is the same."""
    text = f"""
def fatal(frame):
    import os, signal
    if not os.path.exists("{shop.home}/killed"):
        open("{shop.home}/killed", "w").close()
        os.kill(os.getpid(), signal.SIGKILL)
    return frame

@asset(partitions=DAYS)
def survives(typed: dd.DataFrame) -> dd.DataFrame:
    return typed.map_partitions(fatal, meta=typed._meta)
"""
    delivered(shop, text, DAYS[:1]).run()
    assert (shop.home / "killed").exists()
    assert shop.versions("survives") == shop.versions("typed")


def test_a_partition_that_kills_every_worker_has_failed(dask_here: None, shop: Shop) -> None:
    """It is not tried for ever: it has failed, and says what to do; the others are published."""
    text = """
def fatal(frame):
    import os, signal
    os.kill(os.getpid(), signal.SIGKILL)

@asset(partitions=DAYS)
def dies(typed: dd.DataFrame) -> dd.DataFrame:
    return typed.map_partitions(fatal, meta=typed._meta)
"""
    delivered(shop, text, DAYS[:1]).run()
    assert shop.counts("dies") == {"failed": 1}
    (why,) = failures(shop, "dies")
    assert "the Dask workers that computed it died" in why


def test_a_partition_that_kills_a_worker_of_spark_has_failed(spark_here: None, shop: Shop) -> None:
    """Spark on one machine tries nothing twice: it has failed, in one sentence."""
    text = """
def fatal(batches):
    import os, signal
    os.kill(os.getpid(), signal.SIGKILL)
    yield from batches

@asset(partitions=DAYS)
def dies(typed: pyspark.sql.DataFrame) -> pyspark.sql.DataFrame:
    return typed.mapInArrow(fatal, typed.schema)
"""
    delivered(shop, text, DAYS[:1]).run()
    (why,) = failures(shop, "dies")
    assert "Python worker exited unexpectedly (crashed)" in why
    assert "\n" not in why


# -- the cluster that is there


SIMPLE = """
@asset(partitions=DAYS)
def simple(typed: dd.DataFrame) -> dd.DataFrame:
    return typed.assign(units=typed["units"] + 1)
"""


def test_a_scheduler_is_used_and_its_absence_is_tried_again(
    dask_here: None, shop: Shop, apart: pytest.MonkeyPatch, tmp_path: Path, s3: str
) -> None:
    """On S3: workers without Tidemark read the blobs themselves. Without a scheduler nothing fails for good."""
    shop.more = {"TIDEMARK_STORE_URL": s3}
    delivered(shop, SIMPLE, DAYS[:1])
    apart.setattr(clusters, "PATIENCE", 2)
    apart.setenv("TIDEMARK_DASK_SCHEDULER", f"tcp://127.0.0.1:{free_port()}")
    with pytest.raises(Unavailable, match=r"the Dask scheduler tcp://127.0.0.1:\d+ cannot be reached"):
        shop.run()
    assert shop.made("simple", DAYS[0]) == []
    apart.setattr(clusters, "PATIENCE", 180)
    with dask_cluster(tmp_path) as cluster:
        apart.setenv("TIDEMARK_DASK_SCHEDULER", cluster.address)
        shop.run()
        assert failures(shop, "simple") == {""}
        assert sum(row["units"] for row in shop.content("simple", DAYS[0])) == sum(range(41))


DESERTED = """
def fatal(frame):
    import os
    os._exit(1)

@asset(partitions=DAYS)
def deserted(typed: dd.DataFrame) -> dd.DataFrame:
    return typed.map_partitions(fatal, meta=typed._meta)
"""


@pytest.mark.parametrize("inside", [False, True], ids=["of the result", "inside the function"])
def test_nobody_waits_for_workers_that_do_not_come(
    dask_here: None, shop: Shop, apart: pytest.MonkeyPatch, tmp_path: Path, inside: bool
) -> None:
    """The last worker dies and nobody starts another: the cluster is given up; by a function's own `compute()` too."""
    text = DESERTED.replace("meta=typed._meta)", "meta=typed._meta).compute()") if inside else DESERTED
    delivered(shop, text, DAYS[:1])
    apart.setattr(deserted, "PATIENCE", 15)
    with dask_cluster(tmp_path) as cluster:
        apart.setenv("TIDEMARK_DASK_SCHEDULER", cluster.address)
        with pytest.raises(Unavailable, match=r"its Dask cluster was given up: it has no worker: start some, and that"):
            shop.run()
    assert shop.made("deserted", DAYS[0]) == []


TRIED = """
from tidemark import Search, model

def fatal(frame):
    import os
    os._exit(1)

def off_by(typed: dd.DataFrame, weight: float) -> float:
    if weight > 0.6:
        typed.map_partitions(fatal, meta=typed._meta).compute()
    return abs(weight - 0.9)

@model(partitions=DAYS, search=Search(off_by, {"weight": {"choices": [0.2, 0.9]}}, trials=4))
def weighed(typed: dd.DataFrame, weight: float) -> str:
    return str(weight)
"""


def test_a_cluster_that_is_lost_in_a_trial_leaves_no_next_best(
    dask_here: None, shop: Shop, apart: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Its last worker dies in the trial that would have been the best: the model waits for a cluster that can do it."""
    delivered(shop, TRIED, DAYS[:1])
    apart.setattr(deserted, "PATIENCE", 15)
    with dask_cluster(tmp_path) as cluster:
        apart.setenv("TIDEMARK_DASK_SCHEDULER", cluster.address)
        with pytest.raises(Unavailable, match=r"a trial of 'weighed': its Dask cluster was given up: it has no worker"):
            shop.run()
    assert shop.made("weighed", DAYS[0]) == []
    apart.setattr(deserted, "PATIENCE", 180)
    with dask_cluster(tmp_path) as cluster:
        apart.setenv("TIDEMARK_DASK_SCHEDULER", cluster.address)
        delivered(shop, TRIED.replace("os._exit(1)", "return frame"), DAYS[:1]).run()
    assert shop.content("weighed", DAYS[0]) == "0.9"


def test_nobody_waits_for_a_scheduler_that_is_silent(
    dask_here: None, shop: Shop, apart: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """It is there, keeps its connection, and says nothing: it is given up as well."""
    text = """
@asset(partitions=DAYS)
def silenced(typed: dd.DataFrame) -> dd.DataFrame:
    import os, signal
    os.kill(int(os.environ["SCHEDULER"]), signal.SIGSTOP)
    return typed
"""
    delivered(shop, text, DAYS[:1])
    apart.setattr(deserted, "PATIENCE", 3)
    with dask_cluster(tmp_path) as cluster:
        apart.setenv("TIDEMARK_DASK_SCHEDULER", cluster.address)
        apart.setenv("SCHEDULER", str(cluster.scheduler.pid))
        with pytest.raises(Unavailable, match="its Dask cluster was given up: its scheduler does not answer"):
            shop.run()
    assert shop.made("silenced", DAYS[0]) == []


def test_a_worker_that_does_not_see_the_store_says_so(dask_here: None, shop: Shop, tmp_path: Path) -> None:
    """What a cluster without the store's folder gives, in words."""
    from tidemark.frames.onworkers import read_piece

    with pytest.raises(
        FileNotFoundError, match=r"the worker does not see .* Mount the store's folder at the same path"
    ):
        read_piece(str(tmp_path / "nowhere"), 0, b"", None, "input 'typed', 2025-01-05")


def test_a_cluster_of_other_versions_is_refused(dask_here: None) -> None:
    """Which part, whose, and what to do."""
    here = {"host": {"python": "3.11.7.final.0"}, "packages": {}}
    here["packages"] = {"dask": "1", "distributed": "1", "pandas": "3", "cloudpickle": "3"}
    there = {"host": {"python": "3.12.1.final.0"}, "packages": here["packages"]}
    with pytest.raises(Unavailable, match=r"has Python 3.12 \(tcp://w\), and here is 3.11"):
        clusters._check_dask_versions({"client": here, "scheduler": here, "workers": {"tcp://w": there}}, "tcp://s")


@pytest.mark.parametrize(
    ("package", "frame"), [("distributed", "dd.DataFrame"), ("pyspark.sql", "pyspark.sql.DataFrame")]
)
def test_an_engine_that_is_not_installed_is_named(
    dask_here: None, spark_here: None, shop: Shop, apart: pytest.MonkeyPatch, package: str, frame: str
) -> None:
    """Where a worker lacks it. It is the machine's fault: nothing is recorded, and the next run computes it."""
    apart.setitem(sys.modules, package, None)
    delivered(shop, SIMPLE.replace("dd.DataFrame", frame), DAYS[:1])
    with pytest.raises(Unavailable, match=r"is not installed here: install requirements-scale\.txt"):
        shop.run()
    assert shop.made("simple", DAYS[0]) == []


def test_spark_without_java_says_so(spark_here: None, apart: pytest.MonkeyPatch) -> None:
    apart.setenv("PATH", "/nowhere")
    apart.delenv("JAVA_HOME", raising=False)
    with pytest.raises(Unavailable, match="needs Java, and there is none: install openjdk-17-jre-headless"):
        clusters.spark_session()


@contextmanager
def spark_server(
    folder: Path, ui: int | None = None, port: int | None = None
) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """A Spark Connect server in a process of its own, with its pages at a port or without; yields its address."""
    import pyspark

    port = port or free_port()
    home = Path(pyspark.__file__).parent
    options = {
        "spark.connect.grpc.binding.address": "127.0.0.1",
        "spark.connect.grpc.binding.port": str(port),
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.host": "127.0.0.1",
        "spark.ui.enabled": str(ui is not None).lower(),
        "spark.ui.port": str(ui or 0),
    }
    given = {name: value for name, value in os.environ.items() if not name.startswith(("TIDEMARK_", "PYTHONPATH"))}
    given |= {"SPARK_LOCAL_IP": "127.0.0.1", "PYSPARK_PYTHON": sys.executable, "SPARK_HOME": str(home)}
    command = [str(home / "bin/spark-submit"), "--master", "local[2]"]
    command += [part for name, value in options.items() for part in ("--conf", f"{name}={value}")]
    command += ["--class", "org.apache.spark.sql.connect.service.SparkConnectServer", "spark-internal"]
    with (folder / "spark.log").open("wb") as log:
        server = subprocess.Popen(command, cwd=folder, env=given, stdout=log, stderr=subprocess.STDOUT)
    try:
        yield f"sc://127.0.0.1:{port}", server
    finally:
        end(server)


@contextmanager
def spark_that_listens(
    folder: Path, ui: int | None = None, port: int | None = None
) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """Such a server, once it has started."""
    with spark_server(folder, ui, port) as (address, server):
        until, log = time.monotonic() + 120, folder / "spark.log"
        while "Spark Connect server started" not in log.read_text():
            assert time.monotonic() < until, log.read_text()[-2000:]
            time.sleep(0.2)
        yield address, server


def test_a_spark_connect_server_is_used(spark_here: None, shop: Shop, tmp_path: Path, s3: str) -> None:
    """On S3: a server that knows nothing of Tidemark reads the blobs itself, and computes the same version."""
    text = (
        BY_POLARS
        + BY_SPARK
        + """
@asset(partitions=DAYS, ordered=True)
def counted(lines: pyspark.sql.DataFrame) -> str:
    return str(lines.count())
"""
    )
    shop.more = {"TIDEMARK_STORE_URL": s3}
    delivered(shop, text, DAYS[:2])
    with spark_that_listens(tmp_path) as (address, _):
        shop.more["TIDEMARK_SPARK_REMOTE"] = address
        runner = shop.start()
        assert runner.wait(300) == 0, runner.log.read_text()[-3000:]
    assert shop.versions("by_polars") == shop.versions("by_spark") != {}, runner.log.read_text()[-3000:]
    assert shop.content("counted", DAYS[0]) == "40", "and a delivered file is sent to it"


SLOWLY = """
def slow(batches):
    import pathlib, time
    pathlib.Path("BEGUN").touch()
    time.sleep(SECONDS)
    yield from batches

@asset(partitions=DAYS)
def lost(typed: pyspark.sql.DataFrame) -> pyspark.sql.DataFrame:
    return typed.mapInArrow(slow, typed.schema)
"""


def wait_until_begun(begun: Path, log: Path) -> None:
    """Wait until a worker has left word that it is at work."""
    until = time.monotonic() + 120
    while not begun.exists():
        assert time.monotonic() < until, log.read_text()[-3000:]
        time.sleep(0.1)


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("way", "said"),
    [
        (signal.SIGKILL, "the Spark Connect server was lost"),
        # Which of the two a client is told depends on how far its call had come.
        (signal.SIGTERM, "the Spark Connect server was lost|Spark was stopped while it computed"),
    ],
    ids=["killed", "shut down"],
)
def test_a_spark_connect_server_that_is_lost_while_it_computes_is_nobodys_failure(
    spark_here: None, shop: Shop, tmp_path: Path, way: signal.Signals, said: str
) -> None:
    """It is said in a sentence within a minute or two; nothing is recorded, and with another server it is computed."""
    text = SLOWLY.replace("BEGUN", str(tmp_path / "begun"))
    delivered(shop, text.replace("SECONDS", "200"), DAYS[:1])
    with spark_that_listens(tmp_path) as (address, server):
        shop.more = {"TIDEMARK_SPARK_REMOTE": address}
        runner = shop.start()
        wait_until_begun(tmp_path / "begun", runner.log)
        server.send_signal(way)
        server.wait(30)
        until = time.monotonic() + 100
        while not re.search(said, runner.log.read_text()):
            assert time.monotonic() < until, runner.log.read_text()[-3000:]
            time.sleep(0.5)
        assert runner.wait(120) != 0, runner.log.read_text()[-3000:]
    assert shop.made("lost", DAYS[0]) == []
    delivered(shop, text.replace("SECONDS", "0"), DAYS[:1])
    with spark_that_listens(tmp_path) as (address, _):
        shop.more = {"TIDEMARK_SPARK_REMOTE": address}
        runner = shop.start()
        assert runner.wait(200) == 0, runner.log.read_text()[-3000:]
    assert len(shop.content("lost", DAYS[0])) == 40


def without_answer(status: str, details: str) -> Exception:
    """What PySpark raises of a call for which the server had no words."""
    import grpc
    from pyspark.errors.exceptions.connect import SparkConnectGrpcException

    said = f'<_Call of RPC that terminated with:\n\tstatus = StatusCode.{status}\n\tdetails = "{details}"\n>'
    return SparkConnectGrpcException(said, grpc_status_code=getattr(grpc.StatusCode, status))


@pytest.mark.parametrize(
    ("status", "details", "answers", "lost"),
    [
        ("UNAVAILABLE", "Socket closed", True, True),  # by now there may be another
        ("CANCELLED", "", True, True),
        ("UNKNOWN", "Stream removed", False, True),
        ("INTERNAL", "RST_STREAM with error code 2", False, True),
        ("UNKNOWN", "", True, False),  # so ends a plan that is too deep for the server
        ("INTERNAL", "Exception serializing request!", True, False),
        ("RESOURCE_EXHAUSTED", "Sent message larger than max (200 vs. 100)", True, False),
    ],
)
def test_a_call_without_an_answer_is_a_loss_if_the_server_does_not_answer_another(
    status: str, details: str, answers: bool, lost: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else it is the asset's failure, which is recorded, and not tried again for ever."""
    monkeypatch.setenv("TIDEMARK_SPARK_REMOTE", "sc://127.0.0.1:1")
    monkeypatch.setattr(clusters, "_connected", {("spark", os.getpid()): (None, lambda: None)})
    monkeypatch.setattr(clusters, "_spark_answers", lambda: answers)
    expected = Unavailable if lost else OutputError
    because = details or f"its call ended with the status {status}"
    said = (
        f"shop: prices: {because}" if not lost else f"the Spark Connect server was lost: {because}. It is tried again."
    )
    with pytest.raises(expected, match=re.escape(said)), clusters.computation("shop: prices"):
        raise without_answer(status, details)


INTERRUPTED = """
import sys
from tidemark.frames import clusters, gathering
from tidemark.frames.annotations import Kind

def full(heap, table):
    if table.num_rows:
        print("gathering", flush=True)
        sys.stdin.readline()
        raise OSError("No space left on device")

gathering.Heap.add = full
frame = clusters.spark_session().range(1000).repartition(3)
try:
    gathering.gathered(frame, Kind.SPARK, "shop: prices")
except OSError as error:
    print(error, flush=True)
    sys.stdin.readline()
assert clusters._spark_answers()
"""


def test_a_frame_that_could_not_be_gathered_is_kept_by_no_server(spark_here: None, tmp_path: Path) -> None:
    """It runs for months: what it keeps of one session it keeps after it. It is asked by its own pages."""
    ui = free_port()

    def kept() -> list[Any]:
        pages = f"http://127.0.0.1:{ui}/api/v1/applications"
        ((application,),) = [httpx.get(pages, trust_env=False).json()]
        return list(httpx.get(f"{pages}/{application['id']}/storage/rdd", trust_env=False).json())

    with spark_that_listens(tmp_path, ui) as (address, _):
        environ = os.environ | {"TIDEMARK_SPARK_REMOTE": address, "PYTHONPATH": os.pathsep.join(sys.path)}
        with subprocess.Popen(
            [sys.executable, "-c", INTERRUPTED],
            cwd=tmp_path,
            env=environ,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            try:
                assert process.stdout.readline() == "gathering\n"
                assert len(kept()) == 1
                process.stdin.write("\n")
                process.stdin.flush()
                assert process.stdout.readline() == "No space left on device\n"
                until = time.monotonic() + 30
                while kept():
                    assert time.monotonic() < until, kept()
                    time.sleep(0.2)
                process.stdin.write("\n")
                process.stdin.flush()
                assert process.wait(60) == 0
            finally:
                process.kill()


def test_a_client_that_has_no_session_any_more_says_what_it_was_told_first() -> None:
    """Not that of a server that began anew its asset has failed."""
    from pyspark.errors.exceptions.connect import SparkConnectException

    told = without_answer("INTERNAL", "[INVALID_HANDLE.SESSION_CHANGED] The existing Spark server has restarted.")
    left = SparkConnectException("[NO_ACTIVE_SESSION] No active Spark session found.")
    left.__context__ = told
    with pytest.raises(Unavailable, match="server began anew"), clusters.computation("shop: prices"):
        raise left


def test_a_call_of_an_assets_own_is_no_loss_of_a_server_that_is_not_used() -> None:
    """It may speak to something else by the same protocol."""
    error = without_answer("UNAVAILABLE", "Socket closed")
    with pytest.raises(OutputError, match="Socket closed"), clusters.computation("shop: prices"):
        raise error


@pytest.mark.timeout(600)
def test_a_spark_connect_server_that_began_anew_while_it_computed_is_nobodys_failure(
    spark_here: None, shop: Shop, tmp_path: Path
) -> None:
    """As Kubernetes starts one that died: it answers at the same address, and knows nothing of what it was asked."""
    text = SLOWLY.replace("BEGUN", str(tmp_path / "begun")).replace("SECONDS", "60")
    delivered(shop, text, DAYS[:1])
    with spark_that_listens(tmp_path) as (address, server):
        shop.more = {"TIDEMARK_SPARK_REMOTE": address}
        runner = shop.start()
        wait_until_begun(tmp_path / "begun", runner.log)
        server.kill()
        server.wait(30)
    (tmp_path / "another").mkdir()
    with spark_that_listens(tmp_path / "another", port=int(address.rpartition(":")[2])):
        assert runner.wait(200) != 0, runner.log.read_text()[-3000:]
    assert "the Spark Connect server began anew while it computed" in runner.log.read_text(), runner.log.read_text()
    assert shop.made("lost", DAYS[0]) == []


@pytest.mark.parametrize("silent", [False, True], ids=["nobody listens", "it says nothing"])
def test_a_spark_connect_server_that_does_not_answer_is_tried_again(
    spark_here: None, tmp_path: Path, silent: bool
) -> None:
    """Within a bounded time, in a sentence that does not show the token of the URL."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1] if silent else free_port()
        script = "from tidemark.frames import clusters; clusters.PATIENCE = 2; clusters.spark_session()"
        environ = os.environ | {
            "TIDEMARK_SPARK_REMOTE": f"sc://127.0.0.1:{port}/;user_id=x;x-secret=hush",
            "PYTHONPATH": os.pathsep.join(sys.path),
        }
        done = subprocess.run(
            [sys.executable, "-c", script], cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=150
        )
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith(
        f"tidemark.errors.Unavailable: the Spark Connect server sc://127.0.0.1:{port}/ cannot be used"
    )
    assert "hush" not in last


def test_the_engine_is_part_of_the_code_version(dask_here: None, spark_here: None, shop: Shop) -> None:
    """Another release of Dask is other code, for the asset that names it and for no other."""
    delivered(shop, SIMPLE + BY_SPARK, [])
    named = {each.name: dict(each.code.distributions).keys() for each in shop.pipelines["shop"].assets}
    assert {"dask", "pyspark"} & named["typed"] == set()
    assert {"dask", "pyspark"} & named["simple"] == {"dask"}
    assert {"dask", "pyspark"} & named["by_spark"] == {"pyspark"}
