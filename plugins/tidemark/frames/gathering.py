"""From a frame of Dask or Spark to a heap of its rows on this machine, one package after the other.

Invariant: all partitions are computed side by side, and stay with the workers until it is their turn: this process
holds one package at a time.
"""

from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from tidemark.errors import OutputError
from tidemark.frames import clusters
from tidemark.frames.annotations import Kind
from tidemark.frames.canonical import UnsupportedColumn
from tidemark.frames.engines import to_table
from tidemark.frames.merging import Heap
from tidemark.frames.onworkers import pack_batches, pack_frame


def gathered(frame: object, kind: Kind, where: str) -> Heap:
    """Compute a frame, and put its rows on a heap in the order of its partitions.

    Raises:
        OutputError: it cannot be stored.
        Unavailable: the cluster lost its workers.
        Exception: whatever a worker raises, as the engine raises it.

    """
    heap = Heap(where)
    try:
        heap.add(_empty(frame, kind, where))
        for payload in (_dask if kind is Kind.DASK else _spark)(frame):
            heap.add(pa.ipc.open_stream(payload).read_all())
    except UnsupportedColumn as error:
        heap.remove()
        raise OutputError(f"{where} returned a frame that cannot be stored: {error}.") from error
    except pa.ArrowException as error:
        heap.remove()
        said = "; ".join(map(str, error.args))
        raise OutputError(f"{where} returned a frame that cannot be stored: {said}.") from error
    except BaseException:
        heap.remove()
        raise
    return heap


def _empty(frame: Any, kind: Kind, where: str) -> pa.Table:
    """The columns, without a row: what cannot be stored is refused before anything is computed."""
    if kind is Kind.DASK:
        return to_table(frame._meta, Kind.PANDAS, where)
    from pyspark.errors import PySparkException
    from pyspark.sql.pandas.types import to_arrow_schema

    try:
        schema = to_arrow_schema(frame.schema, timezone="UTC")
    except PySparkException as error:
        raise OutputError(f"{where} returned a frame that cannot be stored: {error}") from error
    return to_table(schema.empty_table(), Kind.ARROW, where)


def _dask(frame: Any) -> Iterator[bytes]:
    import dask

    client = clusters.dask_client()
    clusters.carry_whole()
    packages = [dask.delayed(pack_frame)(part) for part in frame.to_delayed()]
    futures = client.compute(packages)
    while futures:
        future = futures.pop(0)
        yield bytes(future.result())
        future.release()


def _spark(frame: Any) -> Iterator[bytes]:
    from pyspark import StorageLevel

    clusters.spark_session()
    clusters.carry_whole()
    # Computed once, by all, and kept on their disks: rows are fetched one partition after the other.
    packages = frame.mapInArrow(pack_batches, "payload binary").persist(StorageLevel.DISK_ONLY)
    try:
        packages.count()
        for row in packages.toLocalIterator():
            yield bytes(row.payload)
    finally:
        clusters.forget(packages)
