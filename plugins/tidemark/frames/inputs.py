"""From pinned blobs to what an asset's function is given, as its annotation asks.

Invariants: readers get the stored order, and one value for one data version: what Tidemark did not write itself is
brought into canonical form first. A window is the union of its members by column name, in the order given, with the
column ``partition`` after the others; no value is changed to make two members fit.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from tidemark.errors import UsageError
from tidemark.frames.annotations import Kind, check_annotation, declared_kind
from tidemark.frames.deliveries import TABULAR, read_table
from tidemark.frames.engines import as_polars, from_table
from tidemark.frames.stored import canonical_schema, canonical_table, is_small
from tidemark.frames.windows import PARTITION, conform, union_schema

if TYPE_CHECKING:
    import polars as pl


@dataclass(frozen=True)
class Part:
    """A pinned input blob as a local file.

    ``format`` is what `encode` or `read_delivery` said of it; ``schema`` is what a delivery was read with, else None.
    """

    partition: str
    path: Path
    format: str
    schema: Mapping[str, type] | None


def load(parts: Sequence[Part], annotation: object, *, windowed: bool, name: str) -> object:
    """Read the parts of input ``name`` as the annotation asks: a frame of one of the engines, text, bytes, a Path or an
    estimator.

    Without an annotation a frame arrives as polars.DataFrame, text as str, an estimator as itself, anything else as
    bytes. A polars.LazyFrame scans files of over a megabyte and has read nothing of them yet; a DuckDB relation belongs
    to DuckDB's default connection, so that ``duckdb.sql("select * from orders")`` finds it by its parameter's name. In
    pandas an integer or boolean column with nulls is of pandas' nullable type: no integer becomes a float. Text, bytes
    and a Path are the stored file; of a delivered CSV the first of those with the same cells, whose style the version
    does not cover.

    ``windowed`` inputs are one frame of all parts, in the order given, with a column ``partition``. Members may lack
    columns (null there) and differ in the width of numbers and the unit of times if every value survives; no member
    at all gives a frame with that one column and no rows. Otherwise there is exactly one part.

    Raises:
        UsageError: what is stored cannot arrive as annotated; or members have columns of conflicting types, or one
            named ``partition``: the message names column and partitions.
        DefinitionError: the annotation is not supported.
        DeliveryError: a part is a delivery that its schema does not fit.

    """
    kind = declared_kind(annotation, f"input {name!r}")
    if windowed:
        check_annotation(annotation, f"input {name!r}", windowed=True)
        return _window([_Member(part, name) for part in parts], kind or Kind.POLARS, name)
    (part,) = parts
    kind = kind or _NATURAL.get(part.format, Kind.POLARS if part.format in TABULAR else Kind.BYTES)
    return _single(_Member(part, name), kind) if kind.is_frame else _raw(part, kind, name)


# What arrives without an annotation, by what is stored.
_NATURAL = {"text": Kind.TEXT, "skops": Kind.ESTIMATOR}


def _raw(part: Part, kind: Kind, name: str) -> object:
    if kind is Kind.PATH:
        return part.path
    if kind is Kind.ESTIMATOR:
        from tidemark.frames.estimators import loaded

        return loaded(part.path, f"input {name!r}, {part.partition}")
    payload = part.path.read_bytes()
    if kind is Kind.BYTES:
        return payload
    try:
        return payload.decode()
    except UnicodeDecodeError as error:
        raise UsageError(
            f"input {name!r}, {part.partition}: it is {part.format}, and not UTF-8 text at byte "
            f"{error.start + 1}. Annotate it as a frame, as bytes or as pathlib.Path."
        ) from error


class _Member:
    """One part of a frame: what columns it has, and its rows, each read from the file when first asked for."""

    def __init__(self, part: Part, name: str) -> None:
        self.where = f"input {name!r}, {part.partition}"
        self.partition = part.partition
        self._part = part
        if part.format not in TABULAR:
            raise UsageError(
                f"{self.where}: it is {part.format}, not a frame. Annotate it as str, bytes or pathlib.Path."
            )

    @cached_property
    def small(self) -> bool:
        """Whether to read the whole file costs no more than to scan it."""
        return is_small(self._part.path)

    @cached_property
    def _canonical_schema(self) -> pa.Schema | None:
        """The columns of a file that Tidemark wrote; None if it has yet to be brought into canonical form."""
        return canonical_schema(self._part.path) if self._part.format == "parquet" else None

    @cached_property
    def table(self) -> pa.Table:
        """All rows, in canonical form."""
        table = canonical_table(self._part.path) if self._part.format == "parquet" else None
        if table is not None:
            return table
        return read_table(self._part.path.read_bytes(), self._part.format, self._part.schema, name=self.where)

    @property
    def schema(self) -> pa.Schema:
        """The columns, in canonical types."""
        if self.small or self._canonical_schema is None:
            return self.table.schema
        return self._canonical_schema

    def scan(self) -> "pl.LazyFrame":
        """All rows; unread yet, if the file is large and in canonical form."""
        import polars as pl

        if self.small or self._canonical_schema is None:
            return as_polars(self.table).lazy()
        return pl.scan_parquet(self._part.path, glob=False, hive_partitioning=False)

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


def _window(members: Sequence[_Member], kind: Kind, name: str) -> object:
    union = union_schema([(member.partition, member.schema) for member in members], name)
    if kind in (Kind.LAZY, Kind.POLARS) and not all(member.small for member in members):
        import polars as pl

        lazy = pl.concat([member.scan_as(union) for member in members])
        return lazy if kind is Kind.LAZY else lazy.collect()
    tables = [conform(member.table, union, member.where) for member in members]
    rows = np.repeat(np.arange(len(tables)), [table.num_rows for table in tables])
    partitions = pa.array([member.partition for member in members], pa.large_string()).take(rows)
    whole = pa.concat_tables([union.empty_table(), *tables])
    return from_table(whole.append_column(PARTITION, partitions), kind)


def _single(member: _Member, kind: Kind) -> object:
    if kind is Kind.LAZY:
        return member.scan()
    return member.scan().collect() if kind is Kind.POLARS and not member.small else from_table(member.table, kind)
