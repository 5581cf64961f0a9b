"""Rows that come in packages and may be more than memory holds: from a heap to one sorted file and its data version.

Invariants: the file has the bytes, and the version, that the same rows would have if they had come as one table. What
is large is sorted by DuckDB, which spills to disk, in the order of `tidemark.frames.sorting`: no column that is sorted
here is nested, texts compare by their bytes, NaN comes after the numbers, and null last.
"""

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pyarrow.types as pt

from tidemark.errors import OutputError
from tidemark.frames import clusters
from tidemark.frames.canonical import AnyArray, AnyType, canonical, one_chunk
from tidemark.frames.content import logical_type, version_in_pieces
from tidemark.frames.sorting import KeyWatch, check_key_names
from tidemark.frames.stored import CANONICAL_MARK
from tidemark.frames.windows import common_type, conform, shown

IN_MEMORY = 128 << 20
"""Bytes of rows up to which a heap is kept in memory, and stored like any other frame."""

ROW_GROUP = 1 << 20  # as many as pyarrow puts into one when it writes a whole table

# Of what this process may use, the part that DuckDB sorts in before it spills.
_SHARE = 0.2
_BATCH = 1 << 16


class Heap:
    """Rows of one output, in the order in which they were added.

    Args:
        where: whose they are, for messages.

    """

    def __init__(self, where: str) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="tidemark-"))
        self._where = where
        self._tables: list[pa.Table] = []
        self._schemas: list[pa.Schema] = []
        self._files: list[tuple[Path, pa.Schema]] = []
        self._bytes = 0

    @property
    def spilled(self) -> bool:
        """Whether the rows are on disk, being many."""
        return bool(self._files)

    def add(self, table: pa.Table) -> None:
        """Add rows.

        Raises:
            UnsupportedColumn: a column cannot be stored.

        """
        table = canonical(table)
        self._schemas.append(table.schema)
        self._tables.append(table)
        self._bytes += table.nbytes
        # Lists and structs have no order that DuckDB and Arrow share: they stay in memory.
        if self._bytes > IN_MEMORY and not any(pt.is_nested(each) for each in table.schema.types):
            for each in self._tables:
                self._spill(each, len(self._files))
            self._tables = []

    def remove(self) -> None:
        """Remove what is on disk."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def table(self) -> pa.Table:
        """All rows, of a heap that is in memory, as one canonical table.

        Raises:
            OutputError: the packages have columns of different types.

        """
        self.remove()
        schema = self._schema()
        return canonical(pa.concat_tables([self._fitted(each, schema) for each in self._tables]))

    def merged(self, key: Sequence[str] | None, ordered: bool, pii: frozenset[str]) -> Path:
        """Write all rows, of a heap that is on disk, into one file, sorted as `tidemark.frames.sorting` says.

        Raises:
            OutputError: the packages have columns of different types, or the key does not tell the rows apart.

        """
        schema = self._schema()
        for number, (file, own) in enumerate(self._files):
            if own != schema:
                self._spill(self._fitted(_unplain(pq.read_table(file), own), schema), number)
        if key is not None:
            check_key_names(schema, key, self._where)
        watch = None if key is None else KeyWatch(key, self._where, pii)
        by = [] if ordered else [schema.names.index(name) for name in key or schema.names]
        if ordered and watch is not None:  # the order is the author's, and yet the key has to be one
            by = [schema.names.index(name) for name in key or ()]
            for batch in self._batches(schema, by):
                watch.see(batch)
            watch.check()
            watch, by = None, []
        file = self.folder / "output.parquet"
        with pq.ParquetWriter(file, schema.with_metadata(CANONICAL_MARK), compression="zstd", version="2.6") as writer:
            for group in _grouped(self._batches(schema, by), schema):
                if watch is not None:
                    watch.see(group)
                writer.write_table(group.replace_schema_metadata(CANONICAL_MARK), row_group_size=ROW_GROUP)
        if watch is not None:
            watch.check()
        for each, _ in self._files:
            each.unlink()
        return file

    def version(self, file: Path) -> tuple[bytes, pa.Schema, int]:
        """Return the data version of a file that `merged` wrote, its columns, and how many rows it has."""
        with pq.ParquetFile(file, memory_map=False) as stored:
            schema, rows = stored.schema_arrow.remove_metadata(), stored.metadata.num_rows

            def pieces(name: str) -> Iterator[AnyArray]:
                for group in range(stored.num_row_groups):
                    yield one_chunk(stored.read_row_group(group, columns=[name]).column(0))

            return version_in_pieces(schema, rows, pieces), schema, rows

    def _spill(self, table: pa.Table, number: int) -> None:
        file = self.folder / f"{number:06}.parquet"
        pq.write_table(_plain(table), file, compression="lz4")
        self._files[number:] = [(file, table.schema), *self._files[number + 1 :]]

    def _schema(self) -> pa.Schema:
        """The columns of all packages: where one of them has only nulls, others say what it holds."""
        whole = self._schemas[0]
        for schema in self._schemas[1:]:
            if schema == whole:
                continue
            if schema.names != whole.names:
                raise OutputError(
                    f"{self._where} returned a frame whose partitions have different columns: {whole.names} and "
                    f"{schema.names}. Give them the same, in the same order."
                )
            whole = pa.schema([(a.name, self._one_type(a, b)) for a, b in zip(whole, schema, strict=True)])
        return whole

    def _one_type(self, one: "pa.Field[AnyType]", other: "pa.Field[AnyType]") -> AnyType:
        both = common_type(one.type, other.type)
        known = pa.null() in (one.type, other.type) or pt.is_nested(one.type)
        if both is None or not (known or logical_type(one.type) == logical_type(other.type)):
            raise OutputError(
                f"{self._where} returned a frame whose partitions have different types in column {one.name!r}: "
                f"{shown(one.type)} and {shown(other.type)}. Cast it."
            )
        return both

    def _fitted(self, table: pa.Table, schema: pa.Schema) -> pa.Table:
        return conform(table, schema, self._where)

    def _batches(self, schema: pa.Schema, by: Sequence[int]) -> Iterator[pa.Table]:
        """Yield all rows, sorted by the columns of these numbers, or as they came if there are none."""
        if not by:
            for file, _ in self._files:
                with pq.ParquetFile(file) as stored:
                    for batch in stored.iter_batches(_BATCH):
                        yield _unplain(pa.Table.from_batches([batch]), schema)
            return
        import duckdb

        with duckdb.connect() as connection:
            connection.execute(f"SET memory_limit = '{max(int(clusters.memory() * _SHARE) >> 20, 256)}MB'")
            connection.execute(f"SET threads = {clusters.cpus()}")
            connection.execute("SET temp_directory = ?", [str(self.folder / "sorting")])
            order = ", ".join(f"c{number} ASC NULLS LAST" for number in by)
            files = [str(file) for file, _ in self._files]
            rows = connection.sql(f"SELECT * FROM read_parquet($1) ORDER BY {order}", params=[files])  # noqa: S608
            for batch in rows.to_arrow_reader(_BATCH):
                yield _unplain(pa.Table.from_batches([batch]), schema)


def _grouped(tables: Iterator[pa.Table], schema: pa.Schema) -> Iterator[pa.Table]:
    """Yield the same rows in tables of a row group each, the last one shorter; an empty one if there are none."""
    waiting: list[pa.Table] = [schema.empty_table()]
    rows, groups = 0, 0
    for table in tables:
        waiting.append(table)
        rows += table.num_rows
        while rows >= ROW_GROUP:
            whole = pa.concat_tables(waiting)
            yield whole.slice(0, ROW_GROUP).combine_chunks()
            waiting, rows, groups = [whole.slice(ROW_GROUP)], rows - ROW_GROUP, groups + 1
    if rows or not groups:
        yield pa.concat_tables(waiting).combine_chunks()


def _plain(table: pa.Table) -> pa.Table:
    """A canonical table as DuckDB gives it back unchanged: columns by number, times as whole numbers."""
    arrays = [
        pa.nulls(table.num_rows, pa.bool_()) if pt.is_null(column.type) else column.cast(_plain_type(column.type))
        for column in table.columns
    ]
    return pa.Table.from_arrays(arrays, names=[f"c{number}" for number in range(len(arrays))])


def _unplain(table: pa.Table, schema: pa.Schema) -> pa.Table:
    arrays: list[AnyArray] = []
    for column, field in zip(table.columns, schema, strict=True):
        if pt.is_null(field.type):
            arrays.append(pa.nulls(table.num_rows))
        else:
            arrays.append(column.cast(_plain_type(field.type)).cast(field.type))
    return pa.Table.from_arrays(arrays, schema=schema)


def _plain_type(of: AnyType) -> AnyType:
    return pa.int64() if pt.is_timestamp(of) or pt.is_duration(of) or pt.is_time(of) else of
