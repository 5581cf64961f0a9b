"""What one large partition costs by polars, Dask and PySpark, on this machine: the figures of docs/scale.md.

    python -m benchmarks.engines [--lines 5000000] [--engine polars] [--json]

A day of simulated order lines is stored as any asset's output is. Then, by each engine in a process of its own, two
assets read it: ``totals`` is small, a sum by product; ``lines`` is as large as what it reads, a new column on every
row, sorted by its key. Reading, computing, sorting, hashing and encoding are in the figures, publishing is not.
``peak_mib`` is this process, ``all_mib`` this process with the workers or the JVM, which share the machine with it.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ENGINES = {"polars": "polars.DataFrame", "dask": "dask.dataframe.DataFrame", "spark": "pyspark.sql.DataFrame"}


def deliver(file: Path, lines: int) -> None:
    """Store a day of order lines."""
    import numpy as np
    import pyarrow as pa

    from tidemark.frames import encode

    random = np.random.default_rng(1)
    table = pa.table(
        {
            "line": pa.array(random.permutation(lines)),
            "stock_code": pa.array([f"{code:05}" for code in range(4000)]).take(
                pa.array(random.integers(0, 4000, lines))
            ),
            "quantity": pa.array(random.integers(1, 25, lines)),
            "unit_price": pa.array(random.integers(50, 5000, lines) / 100),
            "customer": pa.array(random.integers(10_000, 20_000, lines)),
        }
    )
    file.write_bytes(bytes(encode(table, key=["line"], name="lines").payload))


def totals(frame: Any, engine: str) -> Any:
    """Sum quantities by product."""
    if engine == "polars":
        import polars as pl

        return frame.group_by("stock_code").agg(pl.col("quantity").sum())
    if engine == "dask":
        return frame.groupby("stock_code")["quantity"].sum().reset_index()
    from pyspark.sql import functions as F

    return frame.groupBy("stock_code").agg(F.sum("quantity").alias("quantity"))


def lines(frame: Any, engine: str) -> Any:
    """Give every line its value."""
    if engine == "polars":
        import polars as pl

        return frame.with_columns(value=pl.col("quantity") * pl.col("unit_price"))
    if engine == "dask":
        return frame.assign(value=frame["quantity"] * frame["unit_price"])
    from pyspark.sql import functions as F

    return frame.withColumn("value", F.col("quantity") * F.col("unit_price"))


class Watched:
    """Samples the memory of this process and of all that it started, and adds up their CPU."""

    def __init__(self) -> None:
        import psutil

        self._me = psutil.Process()
        self.peak = self.all_peak = 0
        self._cpu: dict[int, float] = {}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> "Watched":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    @property
    def cpu(self) -> float:
        """CPU seconds of all."""
        return sum(self._cpu.values())

    def _watch(self) -> None:
        import psutil

        while not self._over.wait(0.1):
            sizes = []
            for each in (self._me, *self._me.children(recursive=True)):
                try:
                    sizes.append(each.memory_info().rss)
                    times = each.cpu_times()
                    self._cpu[each.pid] = times.user + times.system
                except psutil.Error:
                    continue
            self.peak, self.all_peak = max(self.peak, sizes[0]), max(self.all_peak, sum(sizes))


def measure(engine: str, file: Path) -> dict[str, Any]:
    """Compute both assets by one engine; returns their figures, and the data versions."""
    from tidemark.frames import Part, clusters, encode, load

    found: dict[str, Any] = {"engine": engine}
    assets: list[tuple[Callable[[Any, str], Any], str]] = [(totals, "stock_code"), (lines, "line")]
    with Watched() as start:
        began = time.perf_counter()
        if engine == "dask":
            clusters.dask_client()
        if engine == "spark":
            clusters.spark_session()
        found["start"] = {"wall_s": round(time.perf_counter() - began, 1)}
    before = start.cpu
    for function, key in assets:
        with Watched() as watched:
            began = time.perf_counter()
            with clusters.computation(function.__name__):
                frame = load([Part("day", file, "parquet", None)], ENGINES[engine], windowed=False, name="lines")
                encoded = encode(function(frame, engine), key=[key], name=function.__name__)
            wall = time.perf_counter() - began
        figures = {"cpu_s": round(watched.cpu - before, 1), "wall_s": round(wall, 1), "rows": encoded.rows}
        figures |= {"peak_mib": watched.peak >> 20, "all_mib": watched.all_peak >> 20}
        found[function.__name__] = figures | {"version": encoded.data_version.hex()[:12]}
        before = watched.cpu
    clusters.close()
    return found


def main() -> None:
    """Measure every engine, each in a process of its own."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--lines", type=int, default=5_000_000)
    options.add_argument("--engine", choices=ENGINES)
    options.add_argument("--file", type=Path)
    options.add_argument("--json", action="store_true")
    chosen = options.parse_args()
    if chosen.file is not None:
        print(json.dumps(measure(chosen.engine, chosen.file)))
        return
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "day.parquet"
        deliver(file, chosen.lines)
        for engine in [chosen.engine] if chosen.engine else ENGINES:
            command = [sys.executable, "-m", "benchmarks.engines", "--engine", engine, "--file", str(file)]
            done = subprocess.run(command, capture_output=True, text=True, env=os.environ)
            if done.returncode:
                print(f"{engine}: {done.stderr.strip().splitlines()[-1]}", file=sys.stderr)
                continue
            found = json.loads(done.stdout.strip().splitlines()[-1])
            print(json.dumps(found) if chosen.json else "\n".join(f"{engine} {name}: {found[name]}" for name in found))


if __name__ == "__main__":
    main()
