"""Claims about inputs: what arrives for each annotation, alone and as a window."""

import math
from collections.abc import Callable, Iterator, Sequence
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given

from tests.frames.tables import SHARED, patient, tables
from tidemark.errors import DefinitionError, UsageError
from tidemark.frames import Part, encode, load, read_delivery, stored
from tidemark.frames.annotations import Kind

FRAMES = [pd.DataFrame, pl.DataFrame, pl.LazyFrame, pa.Table, duckdb.DuckDBPyRelation]

Store = Callable[..., Part]


@pytest.fixture(params=["small", "large"], autouse=True)
def size(request: pytest.FixtureRequest) -> Iterator[str]:
    """Every claim holds for files that are read whole, and for those that are scanned."""
    small = stored.SMALL
    if request.param == "large":
        stored.SMALL = -1
    yield request.param
    stored.SMALL = small


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Store values as the blobs of an asset's partitions."""

    def put(value: object, partition: str = "2011-01-05", **how: object) -> Part:
        encoded = encode(value, name="asset", **how)
        path = tmp_path / partition
        path.write_bytes(encoded.payload if isinstance(encoded.payload, bytes) else encoded.payload.read_bytes())
        return Part(partition, path, encoded.format, None)

    return put


@pytest.fixture
def deliver(tmp_path: Path) -> Callable[..., Part]:
    """Store a delivery as it came."""

    def put(payload: bytes, partition: str = "2011-01-05", ending: str = ".csv", schema: object = None) -> Part:
        read = read_delivery(payload, name=f"{partition}{ending}", schema=schema)
        path = tmp_path / partition
        path.write_bytes(payload)
        return Part(partition, path, read.format, schema)

    return put


def one(part: Part, annotation: object = None) -> object:
    return load([part], annotation, windowed=False, name="orders")


def window(parts: Sequence[Part], annotation: object = None) -> object:
    return load(parts, annotation, windowed=True, name="orders")


def rows(frame: object) -> list[dict[str, object]]:
    return encode(frame, ordered=True, name="read").table.to_pylist()


@patient
@given(tables())
def test_what_is_stored_is_what_is_read(table: pa.Table) -> None:
    """The rows of any frame come back up to their order, through every engine that has the types, eager and lazy."""
    with TemporaryDirectory() as folder:
        encoded = encode(table, name="asset")
        Path(folder, "blob").write_bytes(encoded.payload)
        part = Part("2011-01-05", Path(folder, "blob"), encoded.format, None)
        assert one(part, pa.Table).equals(encoded.table) or "nan" in repr(encoded.table.to_pylist())
        assert sorted(map(repr, one(part, pa.Table).to_pylist())) == sorted(map(repr, encoded.table.to_pylist()))
        for annotation in (pa.Table, pl.DataFrame, pl.LazyFrame):
            again = encode(one(part, annotation), name="asset")
            assert (again.payload, again.data_version) == (encoded.payload, encoded.data_version)
        assert window([part], pl.LazyFrame).drop("partition").collect().equals(one(part, pl.DataFrame))


@patient
@given(tables(SHARED))
def test_every_engine_reads_the_stored_rows_in_the_stored_order(table: pa.Table) -> None:
    """What a function returns as it came, in the order in which it came, has the version that it was read from."""
    with TemporaryDirectory() as folder:
        encoded = encode(table, name="asset")
        Path(folder, "blob").write_bytes(encoded.payload)
        part = Part("2011-01-05", Path(folder, "blob"), encoded.format, None)
        for kind in FRAMES if all(column.null_count < len(column) for column in table.columns) else FRAMES[1:]:
            assert encode(one(part, kind), ordered=True, name="asset") == encoded


@pytest.mark.parametrize("annotation", FRAMES)
def test_a_frame_arrives_as_annotated(annotation: type, store: Store) -> None:
    """As a type or as text, with or without `| None`, the reader gets that sort of frame, in stored order."""
    part = store(pl.DataFrame({"sku": ["b", "a"], "units": [2, None]}), key=["sku"])
    for asked in (
        annotation,
        annotation | None,
        f"{annotation.__module__.partition('.')[0]}.{annotation.__qualname__}",
    ):
        frame = one(part, asked)
        assert isinstance(frame, annotation)
        assert rows(frame) == [{"sku": "a", "units": None}, {"sku": "b", "units": 2}]


def test_without_an_annotation_the_format_decides(store: Store) -> None:
    """A table arrives as polars.DataFrame, text as str, bytes as bytes."""
    assert isinstance(one(store(pd.DataFrame({"a": [1]}))), pl.DataFrame)
    assert isinstance(window([store(pd.DataFrame({"a": [1]}))]), pl.DataFrame)
    assert one(store("text")) == "text"
    assert one(store(b"\xff")) == b"\xff"


def test_text_bytes_and_paths_arrive_raw(store: Store, deliver: Callable[..., Part]) -> None:
    """Bytes and a Path are the stored file, whatever is in it; text is decoded."""
    part = store("größer")
    assert one(part, str) == "größer"
    assert one(part, bytes) == "größer".encode()
    assert one(part, "Path | None") == part.path
    assert one(deliver(b"a\n1\n"), str) == "a\n1\n"
    with pytest.raises(UsageError, match=r"input 'orders', 2011-01-05: it is bytes, and not UTF-8 text at byte 2"):
        one(store(b"a\xff"), str)
    with pytest.raises(UsageError, match=r"it is text, not a frame\. Annotate it as str"):
        one(store("text"), pl.DataFrame)


def test_a_lazy_frame_has_read_nothing(store: Store, size: str) -> None:
    """A LazyFrame scans the stored file itself, when it is collected, unless to read it whole costs no more."""
    part = store(pl.DataFrame({"a": [1]}))
    lazy = one(part, pl.LazyFrame)
    if size == "small":
        assert "Parquet SCAN" not in lazy.explain()
        return
    assert "Parquet SCAN" in lazy.explain()
    part.path.unlink()
    with pytest.raises(FileNotFoundError):
        lazy.collect()


@pytest.mark.parametrize("annotation", FRAMES)
def test_the_days_of_one_window_are_not_read_again_for_the_next(
    store: Store, size: str, annotation: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of two windows that overlap the second reads its last day; what is large is read again, and not kept."""
    opened: list[str] = []
    real = pq.ParquetFile
    monkeypatch.setattr(pq, "ParquetFile", lambda path, **how: (opened.append(path.name), real(path, **how))[1])
    days = [f"2011-01-0{day}" for day in (1, 2, 3, 4)]
    parts = [store(pl.DataFrame({"a": [int(day[-1])]}), day) for day in days]
    assert [row["a"] for row in rows(window(parts[:3], annotation))] == [1, 2, 3]
    opened.clear()
    assert [row["a"] for row in rows(window(parts[1:], annotation))] == [2, 3, 4]
    if size == "small":
        assert opened == days[3:]
    elif annotation not in (pl.DataFrame, pl.LazyFrame):  # these two leave it to polars
        assert opened == days[1:]


def test_what_is_kept_of_files_is_bounded(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many windows were read, and however small the files: what was read longest ago goes."""
    monkeypatch.setattr(stored, "KEPT", 10_000)
    monkeypatch.setattr(stored, "_recent", stored._Recent())
    for day in range(1, 29):
        assert one(store(pl.DataFrame({"a": range(200)}), f"2011-01-{day:02}"), pa.Table).num_rows == 200
    kept = stored._recent._tables
    assert len(kept) in (0, 10_000 // 1600)
    assert sum(table.nbytes for table in kept.values()) <= 10_000
    assert all("2011-01-2" in name[0] for name in kept)


def test_relations_of_one_asset_can_be_joined(store: Store) -> None:
    """They share a connection, and SQL finds them by the name of the parameter."""
    relations = [
        one(store(pl.DataFrame({"sku": ["a", "b"], name: [1, 2]}), name), duckdb.DuckDBPyRelation)
        for name in ("units", "price")
    ]

    def revenue(orders: duckdb.DuckDBPyRelation, prices: duckdb.DuckDBPyRelation) -> duckdb.DuckDBPyRelation:
        return duckdb.sql("select sku, units * price as revenue from orders join prices using (sku)")

    assert encode(revenue(*relations), name="revenue").table.to_pylist() == [
        {"sku": "a", "revenue": 1},
        {"sku": "b", "revenue": 4},
    ]


def test_integers_stay_integers_in_pandas(store: Store) -> None:
    """A missing integer or boolean makes the column nullable, not floating: large numbers keep their last digit."""
    big = 2**53 + 1
    frame = pl.DataFrame(
        {"n": [big, None], "u": pl.Series([200, None], dtype=pl.UInt8), "b": [True, None], "full": [1, 2]}
    )
    read = one(store(frame, ordered=True), pd.DataFrame)
    assert read["n"][0] == big
    assert read.dtypes.astype(str).to_list() == ["Int64", "UInt8", "boolean", "int64"]
    assert encode(read, name="x").data_version == encode(frame, name="x").data_version


def test_a_window_is_concatenated_in_order_with_its_partitions(store: Store) -> None:
    """Members follow each other as given, each in its own order, with the partition as the last column."""
    parts = [store(pl.DataFrame({"n": [day, day + 10]}), f"2011-01-0{day}") for day in (3, 4, 5)]
    expected = [{"n": number, "partition": f"2011-01-0{day}"} for day in (3, 4, 5) for number in (day, day + 10)]
    for annotation in FRAMES:
        frame = window(parts, annotation)
        assert isinstance(frame, annotation)
        assert rows(frame) == expected


def test_a_window_without_members_is_empty(store: Store) -> None:
    """Nobody knows its columns: it has no row, and the one column that every window has."""
    for annotation in FRAMES:
        table = encode(window([], annotation), name="x").table
        assert (table.column_names, table.num_rows) == (["partition"], 0)


def test_members_of_a_window_may_lack_columns(store: Store) -> None:
    """The union by name: what a member lacks is null there, in every engine, whatever the order of columns."""
    parts = [
        store(pl.DataFrame({"sku": ["a"], "old": [1]}), "2011-01-03"),
        store(pl.DataFrame({"new": ["x"], "sku": ["b"]}), "2011-01-04"),
        store(pl.DataFrame({"sku": ["c"], "old": [None], "new": ["y"]}), "2011-01-05"),
    ]
    for annotation in FRAMES:
        assert [tuple(row.values()) for row in rows(window(parts, annotation))] == [
            ("a", 1, None, "2011-01-03"),
            ("b", None, "x", "2011-01-04"),
            ("c", None, "y", "2011-01-05"),
        ]


@pytest.mark.parametrize(
    ("first", "second", "common"),
    [
        (pl.Series([1], dtype=pl.Int8), pl.Series([2], dtype=pl.Int64), pa.int64()),
        (pl.Series([1], dtype=pl.UInt8), pl.Series([-2], dtype=pl.Int8), pa.int16()),
        (pl.Series([1], dtype=pl.Int64), pl.Series([0.5], dtype=pl.Float64), pa.float64()),
        (pl.Series([datetime(2011, 1, 5)]), pl.Series([1001]).cast(pl.Datetime("ns")), pa.timestamp("ns")),
        (pl.Series([Decimal("1.5")]), pl.Series([Decimal("0.25")]), pa.decimal128(38, 2)),
        (pl.Series([None]), pl.Series(["a"]), pa.large_string()),
        (pl.Series([[1]], dtype=pl.List(pl.Int8)), pl.Series([[None]]), pa.large_list(pa.int8())),
        (
            pl.Series([{"a": 1, "b": None}]),
            pl.Series([{"a": 0.5, "b": "x"}]),
            pa.struct({"a": pa.float64(), "b": pa.large_string()}),
        ),
    ],
)
def test_members_may_differ_where_every_value_survives(
    first: pl.Series, second: pl.Series, common: pa.DataType, store: Store
) -> None:
    """Widths of numbers, units of times, scales of decimals and columns of nulls go together, either way round."""
    parts = [store(pl.DataFrame({"v": first}), "2011-01-03"), store(pl.DataFrame({"v": second}), "2011-01-04")]
    for members in (parts, parts[::-1]):
        read = window(members, pa.Table)
        assert read.schema.field("v").type == common
        for annotation in (pl.DataFrame, pl.LazyFrame):
            assert encode(window(members, annotation), name="x") == encode(read, name="x")


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        ([1], ["1"], r"'v' has conflicting types: int64 in 2011-01-03; text in 2011-01-04\. Give it one type"),
        ([1], [True], "conflicting types"),
        ([date(2011, 1, 5)], [datetime(2011, 1, 5)], "date in 2011-01-03; timestamp in 2011-01-04"),
        ([[1]], [1], "conflicting types"),
        ([[1]], [["a"]], "conflicting types"),
        ([{"a": 1}], [{"b": 1}], "conflicting types"),
        ([2**53 + 1], [0.5], "2011-01-03: column 'v' is int64 here and becomes float64 in its window.*every value"),
    ],
)
def test_conflicting_members_are_named(first: list[object], second: list[object], message: str, store: Store) -> None:
    """Asset, column, types and partitions: what no common type holds is refused, in every engine."""
    parts = [store(pl.DataFrame({"v": first}), "2011-01-03"), store(pl.DataFrame({"v": second}), "2011-01-04")]
    for annotation in FRAMES:
        with pytest.raises(UsageError, match=f"^input 'orders'.*{message}"):
            window(parts, annotation)


def test_a_conflict_counts_many_partitions(store: Store) -> None:
    """Three partitions of each type are named, the rest counted."""
    parts = [store(pl.DataFrame({"v": [1]}), f"2011-01-0{day}") for day in range(1, 6)]
    with pytest.raises(UsageError, match="int64 in 2011-01-01, 2011-01-02, 2011-01-03 and 2 more; text in 2011-01-06"):
        window([*parts, store(pl.DataFrame({"v": ["x"]}), "2011-01-06")])


def test_a_window_refuses_a_column_named_partition(store: Store) -> None:
    """It would be overwritten; read alone it is a column like others."""
    part = store(pl.DataFrame({"partition": ["x"]}))
    assert one(part).columns == ["partition"]
    with pytest.raises(UsageError, match=r"has a column 'partition' of its own.* Rename it"):
        window([part])


def test_a_window_of_text_is_refused(store: Store) -> None:
    """Several partitions arrive as one frame or not at all."""
    with pytest.raises(DefinitionError, match="one frame"):
        window([store("text")], str)
    with pytest.raises(UsageError, match="not a frame"):
        window([store("text")], pl.DataFrame)


def test_deliveries_are_read_from_the_store(deliver: Callable[..., Part]) -> None:
    """A delivered CSV arrives typed as its source declares, alone and in a window, in every engine."""
    schema = {"sku": str, "day": date, "units": int}
    parts = [
        deliver(f"sku,day,units\r\n00{day},2011-01-0{day},\r\n".encode(), f"2011-01-0{day}", schema=schema)
        for day in (3, 4)
    ]
    for annotation in FRAMES:
        assert rows(one(parts[0], annotation)) == [{"sku": "003", "day": date(2011, 1, 3), "units": None}]
    for annotation in (pa.Table, pl.DataFrame, pl.LazyFrame, duckdb.DuckDBPyRelation):
        assert rows(window(parts, annotation))[1] == {
            "sku": "004",
            "day": date(2011, 1, 4),
            "units": None,
            "partition": "2011-01-04",
        }


def test_one_version_is_read_one_way(deliver: Callable[..., Part]) -> None:
    """Parquet files of equal content by other writers, of other types of text and time, arrive as one and the same."""
    plain = pa.table({"s": ["a", "b"], "t": pa.array([0, 1], pa.timestamp("s")), "f": [-0.0, math.nan]})
    fancy = pa.table(
        {
            "s": plain["s"].dictionary_encode(),
            "t": plain["t"].cast(pa.timestamp("ns")),
            "f": [0.0, -math.nan],
        }
    )
    payloads = []
    for table in (plain, fancy):
        sink = pa.BufferOutputStream()
        pq.write_table(table, sink)
        payloads.append(sink.getvalue().to_pybytes())
    versions = {read_delivery(payload, name="a.parquet", schema=None).data_version for payload in payloads}
    assert len(versions) == 1
    for annotation in FRAMES:
        first, second = (one(deliver(payload, ending=".parquet"), annotation) for payload in payloads)
        if annotation is pl.LazyFrame:
            first, second = first.collect(), second.collect()
        if annotation is pl.DataFrame:
            assert first.schema == second.schema
        assert rows(first).__repr__() == rows(second).__repr__()


def test_every_kind_is_tested_as_a_frame() -> None:
    """The list of frames above is complete."""
    assert len(FRAMES) == sum(kind.is_frame and not kind.is_distributed for kind in Kind)
