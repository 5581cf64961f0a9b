"""What the workers of Dask and Spark run: reading a piece of an input, and packing rows for the way back.

Invariants: nothing of Tidemark is imported, here or by what these functions call: they travel whole, so that a worker
needs pyarrow and no more. Rows arrive in the order in which they are stored.
"""

import os
from collections.abc import Iterable, Iterator
from typing import Any

PACKED_BYTES = 32 << 20
"""Spark hands over rows by the ten thousand; they are sent in packages of about this size."""


def read_piece(place: str, group: int, columns: bytes, partition: str | None, where: str) -> Any:
    """Read one row group of a stored Parquet file, as a table with the given columns.

    Args:
        place: the file, or ``s3://bucket/key``, which is read with this worker's own credentials.
        group: number of the row group.
        columns: the schema, serialised; null where the file has no such column.
        partition: what the column ``partition`` holds, if it is one of the columns.
        where: names the input in messages.

    Raises:
        FileNotFoundError: this worker does not see the file.
        ValueError: a value does not survive the cast to its column's type.

    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    with _opened(place, where) as source:
        table = pq.ParquetFile(source).read_row_group(group, use_threads=False)
    schema = pa.ipc.read_schema(pa.py_buffer(columns))
    return fitted(table, schema, partition, where)


def fitted(table: Any, schema: Any, partition: str | None, where: str) -> Any:
    """Give a table the columns of a schema: null where it has none, ``partition`` as its value says.

    Raises:
        ValueError: a value does not survive the cast to its column's type.

    """
    import pyarrow as pa

    arrays = []
    for field in schema:
        if field.name == "partition" and partition is not None:
            arrays.append(pa.repeat(pa.scalar(partition, field.type), table.num_rows))
        elif field.name not in table.column_names:
            arrays.append(pa.nulls(table.num_rows, field.type))
        else:
            column = table.column(field.name)
            try:
                arrays.append(column if column.type == field.type else column.cast(field.type))
            except pa.ArrowInvalid as error:
                raise ValueError(
                    f"{where}: column {field.name!r} is {column.type} here and becomes {field.type}, "
                    f"which not every value survives: {error}. Give it one type in all partitions."
                ) from error
    return pa.Table.from_arrays(arrays, schema=schema)


def _opened(place: str, where: str) -> Any:
    from pyarrow import fs

    if not place.startswith("s3://"):
        if not os.path.exists(place):
            raise FileNotFoundError(
                f"{where}: the worker does not see {place}. Mount the store's folder at the same path on all workers, "
                "or keep the store on S3."
            )
        return open(place, "rb")
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or "us-east-1"
    return fs.S3FileSystem(endpoint_override=endpoint, region=region).open_input_file(place.removeprefix("s3://"))


def packed(table: Any) -> bytes:
    """Pack a table, or a batch of rows, into compressed bytes of Arrow's stream format."""
    import pyarrow as pa

    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as writer:
        writer.write(table)
    return bytes(sink.getvalue().to_pybytes())


def pack_frame(frame: Any) -> bytes:
    """Pack a pandas frame, a partition of a Dask frame."""
    import pyarrow as pa

    return packed(pa.Table.from_pandas(frame, preserve_index=False))


def pack_batches(batches: Iterable[Any]) -> Iterator[Any]:
    """Pack a partition of a Spark frame, given as Arrow batches, into rows of one column of bytes."""
    import pyarrow as pa

    waiting: list[Any] = []
    size = 0

    def package() -> Any:
        payload = packed(pa.Table.from_batches(waiting))
        return pa.RecordBatch.from_arrays([pa.array([payload], pa.binary())], ["payload"])

    for batch in batches:
        waiting.append(batch)
        size += batch.nbytes
        if size >= PACKED_BYTES:
            yield package()
            waiting, size = [], 0
    if waiting:
        yield package()
