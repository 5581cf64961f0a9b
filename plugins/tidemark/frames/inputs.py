"""From pinned blobs to what an asset's function is given, as its annotation asks.

Invariants: readers get the stored order, and one value for one data version: what Tidemark did not write itself is
brought into canonical form first. A window is the union of its members by column name, in the order given, with the
column ``partition`` after the others; no value is changed to make two members fit.
"""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from tidemark.errors import UsageError
from tidemark.frames.annotations import Kind, check_annotation, declared_kind
from tidemark.frames.deliveries import TABULAR
from tidemark.frames.engines import from_table
from tidemark.frames.members import Member, Part
from tidemark.frames.windows import PARTITION, conform, union_schema


def load(parts: Sequence[Part], annotation: object, *, windowed: bool, name: str) -> object:
    """Read the parts of input ``name`` as the annotation asks: a frame of one of the engines, text, bytes, a Path or an
    estimator.

    Without an annotation a frame arrives as polars.DataFrame, text as str, an estimator as itself, anything else as
    bytes. A polars.LazyFrame scans files of over a megabyte and has read nothing of them yet; a DuckDB relation belongs
    to DuckDB's default connection, so that ``duckdb.sql("select * from orders")`` finds it by its parameter's name. In
    pandas an integer or boolean column with nulls is of pandas' nullable type: no integer becomes a float. A frame of
    Dask or PySpark has one partition for each row group of the stored files, in the stored order, which the workers of
    the cluster read. Text, bytes and a Path are the stored file; of a delivered CSV the first of those with the same
    cells, whose style the version does not cover.

    ``windowed`` inputs are one frame of all parts, in the order given, with a column ``partition``. Members may lack
    columns (null there) and differ in the width of numbers and the unit of times if every value survives; no member
    at all gives a frame with that one column and no rows. Otherwise there is exactly one part.

    Raises:
        UsageError: what is stored cannot arrive as annotated; or members have columns of conflicting types, or one
            named ``partition``: the message names column and partitions.
        DefinitionError: the annotation is not supported.
        DeliveryError: a part is a delivery that its schema does not fit.
        Unavailable: there is no cluster, or what it needs is not installed.

    """
    kind = declared_kind(annotation, f"input {name!r}")
    if windowed:
        check_annotation(annotation, f"input {name!r}", windowed=True)
        return _window([Member(part, name) for part in parts], kind or Kind.POLARS, name)
    (part,) = parts
    kind = kind or _NATURAL.get(part.format, Kind.POLARS if part.format in TABULAR else Kind.BYTES)
    return _single(Member(part, name), kind) if kind.is_frame else _raw(part, kind, name)


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


def _window(members: Sequence[Member], kind: Kind, name: str) -> object:
    union = union_schema([(member.partition, member.schema) for member in members], name)
    if kind.is_distributed:
        from tidemark.frames.dealing import dealt

        return dealt(members, union, kind, windowed=True, name=name)
    if kind in (Kind.LAZY, Kind.POLARS) and not all(member.small for member in members):
        import polars as pl

        lazy = pl.concat([member.scan_as(union) for member in members])
        return lazy if kind is Kind.LAZY else lazy.collect()
    tables = [conform(member.table, union, member.where) for member in members]
    rows = np.repeat(np.arange(len(tables)), [table.num_rows for table in tables])
    partitions = pa.array([member.partition for member in members], pa.large_string()).take(rows)
    whole = pa.concat_tables([union.empty_table(), *tables])
    return from_table(whole.append_column(PARTITION, partitions), kind)


def _single(member: Member, kind: Kind) -> object:
    if kind.is_distributed:
        from tidemark.frames.dealing import dealt

        return dealt([member], member.schema, kind, windowed=False, name=member.name)
    if kind is Kind.LAZY:
        return member.scan()
    return member.scan().collect() if kind is Kind.POLARS and not member.small else from_table(member.table, kind)
