"""The parts of an input: pinned blobs as local files, and what is in them."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from tidemark.errors import UsageError
from tidemark.frames.deliveries import TABULAR, read_table
from tidemark.frames.engines import as_polars
from tidemark.frames.stored import canonical_schema, canonical_table, is_small
from tidemark.frames.windows import PARTITION, conform

if TYPE_CHECKING:
    import polars as pl


@dataclass(frozen=True)
class Part:
    """A pinned input blob as a local file.

    ``format`` is what `encode` or `read_delivery` said of it; ``schema`` is what a delivery was read with, else None.
    ``remote`` is where the blob lies for who sees the store and not this machine's files; None if the file is the blob.
    """

    partition: str
    path: Path
    format: str
    schema: Mapping[str, type] | None
    remote: str | None = None


class Member:
    """One part of a frame: what columns it has, and its rows, each read from the file when first asked for."""

    def __init__(self, part: Part, name: str) -> None:
        self.name = name
        self.where = f"input {name!r}, {part.partition}"
        self.partition = part.partition
        self.part = part
        if part.format not in TABULAR:
            raise UsageError(
                f"{self.where}: it is {part.format}, not a frame. Annotate it as str, bytes or pathlib.Path."
            )

    @cached_property
    def small(self) -> bool:
        """Whether to read the whole file costs no more than to scan it."""
        return is_small(self.part.path)

    @cached_property
    def stored_schema(self) -> pa.Schema | None:
        """The columns of a file that Tidemark wrote; None if it has yet to be brought into canonical form."""
        return canonical_schema(self.part.path) if self.part.format == "parquet" else None

    @cached_property
    def table(self) -> pa.Table:
        """All rows, in canonical form."""
        table = canonical_table(self.part.path) if self.part.format == "parquet" else None
        if table is not None:
            return table
        return read_table(self.part.path.read_bytes(), self.part.format, self.part.schema, name=self.where)

    @property
    def schema(self) -> pa.Schema:
        """The columns, in canonical types."""
        if self.small or self.stored_schema is None:
            return self.table.schema
        return self.stored_schema

    def scan(self) -> "pl.LazyFrame":
        """All rows; unread yet, if the file is large and in canonical form."""
        import polars as pl

        if self.small or self.stored_schema is None:
            return as_polars(self.table).lazy()
        return pl.scan_parquet(self.part.path, glob=False, hive_partitioning=False)

    def scan_as(self, union: pa.Schema) -> "pl.LazyFrame":
        """All rows with the columns of a window, its own last."""
        import polars as pl

        if any(union.field(field.name).type != field.type for field in self.schema):
            fitted = as_polars(conform(self.table, union, self.where)).lazy()
        else:
            of = as_polars(union.empty_table()).schema
            has = set(self.schema.names)
            fitted = self.scan().select(
                pl.col(name) if name in has else pl.lit(None, dtype=of[name]).alias(name) for name in union.names
            )
        return fitted.with_columns(pl.lit(self.partition).alias(PARTITION))
