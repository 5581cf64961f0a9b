"""The tables of files that Tidemark wrote itself: the days of one window are those of the next, and are read once.

Invariants: what is kept is small, and all of it together is bounded; a file that was replaced is read anew.
"""

import os
from collections import OrderedDict
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

# In a stored file's metadata: written here, hence in canonical form. Another number when that form changes.
CANONICAL_MARK = {b"tidemark.canonical": b"1"}

SMALL = 1 << 20
"""Bytes up to which a file is read whole, whatever is asked of it, and by one thread; a larger one can be scanned."""

KEPT = 64 << 20
"""Bytes of tables that are kept in memory; none of them is larger than `SMALL`."""


class _Recent:
    """The tables that were read last, by their files' names and stats."""

    def __init__(self) -> None:
        self._tables: OrderedDict[tuple[object, ...], pa.Table] = OrderedDict()
        self._bytes = 0

    def get(self, name: tuple[object, ...]) -> pa.Table | None:
        table = self._tables.get(name)
        if table is not None:
            self._tables.move_to_end(name)
        return table

    def keep(self, name: tuple[object, ...], table: pa.Table) -> None:
        self._tables[name] = table
        self._bytes += table.nbytes
        while self._bytes > KEPT:
            _, dropped = self._tables.popitem(last=False)
            self._bytes -= dropped.nbytes


_recent = _Recent()


def is_small(path: Path) -> bool:
    """Whether a file is read whole, whatever is asked of it."""
    return os.stat(path).st_size <= SMALL


def canonical_schema(path: Path) -> pa.Schema | None:
    """The columns of a Parquet file that Tidemark wrote; None if another program did."""
    return _canonical(pq.read_schema(path))


def canonical_table(path: Path) -> pa.Table | None:
    """All rows of a Parquet file that Tidemark wrote; None if another program did, and they may not be canonical."""
    status = os.stat(path)
    name = (os.fspath(path), status.st_ino, status.st_size, status.st_mtime_ns)
    table = _recent.get(name)
    if table is not None:
        return table
    small = status.st_size <= SMALL
    with pq.ParquetFile(path, pre_buffer=not small) as file:
        if _canonical(file.schema_arrow) is None:
            return None
        table = file.read(use_threads=not small).replace_schema_metadata(None)
    if table.nbytes <= SMALL:
        _recent.keep(name, table)
    return table


def _canonical(schema: pa.Schema) -> pa.Schema | None:
    return schema.remove_metadata() if CANONICAL_MARK.items() <= (schema.metadata or {}).items() else None
