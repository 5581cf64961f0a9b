"""Claims about outputs: one blob and one version for equal content, and nothing dropped in silence."""

import math
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.frames.tables import SHARED, patient, tables
from tidemark.errors import OutputError
from tidemark.frames import bytes_version, data_version, encode, text_version
from tidemark.frames.annotations import Kind
from tidemark.frames.canonical import canonical
from tidemark.frames.engines import from_table

# Of Dask and Spark: tests/scale.
FRAMES = [kind for kind in Kind if kind.is_frame and not kind.is_distributed]


@patient
@given(tables(SHARED))
def test_every_engine_gives_the_same_blob(table: pa.Table) -> None:
    """The same content from pandas, polars, pyarrow or DuckDB is stored as the same bytes, under the same version."""
    # Pandas has no type for dates, so that it does not know what a column without a single one holds.
    dateless = any(
        of == pa.date32() and column.null_count == len(column)
        for of, column in zip(table.schema.types, table.columns, strict=True)
    )
    engines = [kind for kind in FRAMES if not (dateless and kind is Kind.PANDAS)]
    encoded = [encode(from_table(table, kind), name="x") for kind in engines]
    assert len({each.payload for each in encoded}) == 1
    assert len({each.data_version for each in encoded}) == 1
    assert len({each.schema_digest for each in encoded}) == 1


def test_native_frames_of_every_engine_are_equal() -> None:
    """Frames built by each engine's own means, with its own types of text and time, have one version."""
    day, instant = date(2011, 1, 5), datetime(2011, 1, 5, 6, tzinfo=UTC)
    rows = {
        "sku": ["b", "a"],
        "kind": ["sale", "sale"],
        "units": [3, 4],
        "price": [1.5, 2.0],
        "cost": [Decimal("1.25"), Decimal("2.50")],
        "day": [day, day],
        "at": [instant, instant],
        "lasted": [timedelta(seconds=1)] * 2,
    }
    polars_frame = pl.DataFrame(rows).with_columns(pl.col("kind").cast(pl.Categorical))
    pandas_frame = pd.DataFrame(rows).astype({"kind": "category"})
    frames = {
        "polars": polars_frame,
        "polars, lazy and in nanoseconds": polars_frame.lazy().with_columns(pl.col("at").dt.cast_time_unit("ns")),
        "polars, an Enum": polars_frame.with_columns(pl.col("kind").cast(pl.Enum(["sale", "return"]))),
        "pandas": pandas_frame,
        "pandas in seconds": pandas_frame.assign(at=pandas_frame["at"].astype("datetime64[s, UTC]")),
        "pandas with Arrow's types": pa.table(rows).to_pandas(types_mapper=pd.ArrowDtype),
        "pyarrow": pa.table(rows),
        "pyarrow in chunks": pa.concat_tables([pa.table(rows)[:1], pa.table(rows)[1:]]),
    }
    versions = {name: encode(frame, name="x").data_version.hex()[:12] for name, frame in frames.items()}
    assert len(set(versions.values())) == 1, versions


def test_duckdb_instants_do_not_depend_on_the_machine() -> None:
    """DuckDB labels instants with its session's zone, at every depth: they are stored in UTC wherever it runs."""
    query = (
        "select *, [t] as l, {'t': t} as s, [{'t': t}] as ls from (select timestamptz '2011-01-05 06:00:00+00' as t)"
    )
    encoded = []
    for zone in ("Asia/Tokyo", "UTC"):
        with duckdb.connect() as connection:
            connection.execute(f"set timezone = '{zone}'")
            encoded.append(encode(connection.sql(query), name="x"))
    assert encoded[0] == encoded[1]
    assert encoded[0].table.schema.field("t").type == pa.timestamp("us", "UTC")


@patient
@given(tables(), st.randoms(use_true_random=False))
def test_the_order_of_rows_is_not_content(table: pa.Table, random: "SimpleNamespace") -> None:
    """Whatever order an engine returns rows in, blob and version are the same, with nested columns too."""
    order = list(range(table.num_rows))
    random.shuffle(order)
    first, second = encode(table, name="x"), encode(table.take(pa.array(order, pa.int64())), name="x")
    assert (first.payload, first.data_version) == (second.payload, second.data_version)


def test_an_ordered_asset_keeps_its_order() -> None:
    """With ordered=True the order of rows is content, and is kept."""
    table = pa.table({"rank": ["b", "a"]})
    kept = encode(table, ordered=True, name="x")
    assert kept.table["rank"].to_pylist() == ["b", "a"]
    assert kept.data_version != encode(table, name="x").data_version
    assert encode(table, name="x").table["rank"].to_pylist() == ["a", "b"]


def test_rows_are_sorted_by_key() -> None:
    """A key sorts, in its own order; the other columns do not count."""
    table = pa.table({"v": [1, 2, 3], "sku": ["b", "a", "a"], "day": [1, 2, 1]})
    assert encode(table, key=["sku", "day"], name="x").table["v"].to_pylist() == [3, 2, 1]
    assert encode(table, key=["sku", "day"], ordered=True, name="x").table["v"].to_pylist() == [1, 2, 3]


@pytest.mark.parametrize("ordered", [False, True])
def test_a_key_that_does_not_hold_is_refused_with_its_values(ordered: bool) -> None:
    """Repeated, null, NaN, missing and nested keys are named; an ordered asset's key is checked as well."""
    table = pa.table(
        {"sku": ["a", "b", "a"], "day": [1, 2, 1], "n": ["x", None, "y"], "f": [1.0, 2.0, math.nan], "l": [[1]] * 3}
    )

    def message(*key: str) -> str:
        with pytest.raises(OutputError) as error:
            encode(table, key=key, ordered=ordered, name="lines")
        return str(error.value)

    assert "1 of its 3 rows repeat the key of another: a, 1" in message("sku", "day")
    assert "column 'n' is empty in 1 of 3 rows, the first of them {'sku': 'b', 'n': None}" in message("sku", "n")
    assert "column 'f' is empty in 1 of 3 rows" in message("f")
    assert "no column 'colour'; it returned ['sku', 'day', 'n', 'f', 'l']" in message("sku", "colour")
    assert "a key needs plain values" in message("l")
    assert all("asset 'lines'" in message(column) for column in ("n", "f", "l", "sku"))


def test_a_key_holds_on_few_rows() -> None:
    """No row and one row are unique."""
    for rows in (0, 1):
        assert encode(pa.table({"sku": ["a"]})[:rows], key=["sku"], name="x").rows == rows


def test_text_bytes_and_a_path_are_stored_as_they_are(tmp_path: Path) -> None:
    """Text as UTF-8, bytes as bytes, and of a path the file's bytes without reading them in."""
    (tmp_path / "plot.png").write_bytes(b"\x89PNG")
    text, raw, file = (encode(value, name="x") for value in ("größer", b"\x89PNG", tmp_path / "plot.png"))
    assert (text.payload, text.format, text.data_version) == ("größer".encode(), "text", text_version("größer"))
    assert (raw.payload, raw.format, raw.rows, raw.table) == (b"\x89PNG", "bytes", None, None)
    assert file.payload == tmp_path / "plot.png"
    assert raw.data_version == file.data_version == bytes_version(b"\x89PNG")


def test_what_was_encoded_is_what_the_version_says() -> None:
    """Table, rows and version of an encoded frame belong together; the table is what a gate checks."""
    encoded = encode(pl.DataFrame({"b": [2, 1], "a": ["x", "y"]}), annotation="pl.DataFrame", name="x")
    assert encoded.format == "parquet"
    assert encoded.rows == 2
    assert encoded.table.to_pylist() == [{"b": 1, "a": "y"}, {"b": 2, "a": "x"}]
    assert data_version(encoded.table) == encoded.data_version
    assert encoded.table.equals(canonical(encoded.table))


@pytest.mark.parametrize(
    ("value", "annotation", "message"),
    [
        (None, None, "returned None. Return one of pandas.DataFrame"),
        ([1], None, "returned a list. Return one of"),
        (pl.Series([1]), None, "returned a Series"),
        (None, pl.DataFrame, "returned None, but its return annotation declares polars.DataFrame"),
        (pl.LazyFrame({"a": [1]}), "pl.DataFrame", "returned a polars.LazyFrame, .* polars.DataFrame. Call .collect"),
        (pd.DataFrame({"a": [1]}), pl.DataFrame | None, "returned a pandas.DataFrame, .* declares polars.DataFrame"),
        ("text", bytes, "returned a str, but its return annotation declares bytes"),
        ("\ud800", None, "not Unicode: half a surrogate pair at character 1"),
        (Path("/nowhere/at/all"), None, "a path where there is no file: /nowhere"),
        (Path("/"), Path, "returned a folder: /"),
    ],
)
def test_a_wrong_return_value_says_what_came_and_what_was_declared(
    value: object, annotation: object, message: str
) -> None:
    """What is no output, or not the declared one, is refused in words."""
    with pytest.raises(OutputError, match=f"^asset 'price_list' .*{message}"):
        encode(value, annotation=annotation, name="price_list")


def test_a_key_needs_a_frame() -> None:
    """Text has no key columns."""
    with pytest.raises(OutputError, match="a key needs a frame"):
        encode("text", key=["sku"], name="x")


def test_an_index_is_never_dropped_in_silence() -> None:
    """A pandas index with a name or of anything but integers is refused; what is left of a count of rows is not."""
    frame = pd.DataFrame({"sku": ["a", "b", "a"], "units": [1, 2, 3]})
    with pytest.raises(OutputError, match=r"the index 'sku'.*\.reset_index\(\)"):
        encode(frame.groupby("sku").sum(), name="x")
    for index in (["x", "y", "z"], pd.to_datetime(["2011-01-05"] * 3), pd.MultiIndex.from_tuples([(1, 2)] * 3)):
        with pytest.raises(OutputError, match=r"an index of .*reset_index\(drop=True\)"):
            encode(frame.set_axis(index), name="x")
    assert encode(frame[frame.units != 2].sort_values("units", ascending=False), name="x").rows == 2
    assert encode(frame.groupby("sku").sum().reset_index(), name="x").rows == 2


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), "several columns named 'a'"),
        (pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["a", "a"]), "several columns named 'a'"),
        (pd.DataFrame([[1, 2]]), "column 0 is not named by text"),
        (pl.DataFrame(), "without columns"),
        (pd.DataFrame({"a": [1, "x"]}), "column a"),
        (pd.DataFrame({"a": [1 + 2j]}), "column a"),
        (pd.DataFrame({"when": pd.period_range("2011-01", periods=2, freq="M")}), "'when'"),
        (pl.DataFrame({"model": [object()]}, schema={"model": pl.Object}), "'model' holds Python objects"),
        (pl.DataFrame({"big": pl.Series([2**100], dtype=pl.Int128)}), "cannot be stored"),
        (pl.DataFrame({"a": [1]}).lazy().select("b"), "failed when it was collected: .*b"),
        (pa.table({"n": pa.array([1.0], pa.float16())}), "column 'n' of type halffloat"),
        (lambda: duckdb.sql("select interval 1 month as i"), "column 'i' of type month_day_nano_interval"),
        (lambda: duckdb.sql("select 1 as a").filter("error('no stock')"), "failed when it was computed: .*no stock"),
    ],
)
def test_what_cannot_be_stored_is_an_output_error(frame: object, message: str) -> None:
    """Each sort of unstorable frame is refused, naming asset and column."""
    value = frame() if isinstance(frame, Callable) else frame
    with pytest.raises(OutputError, match=f"(?s)^asset 'lines' .*{message}"):
        encode(value, name="lines")


def test_missing_values_of_pandas_are_null() -> None:
    """What pandas shows as missing (NaN in a column of floats or objects, NaT) is null, as for every other reader."""
    frame = pd.DataFrame({"f": [1.0, np.nan], "s": ["a", None], "t": pd.to_datetime(["2011-01-05", None])})
    assert [column.null_count for column in encode(frame, name="x").table.columns] == [1, 1, 1]
    polars_frame = pl.DataFrame({"f": [1.0, math.nan]})
    assert encode(polars_frame, name="x").table["f"].null_count == 0


def _blobs(rows: int) -> Iterator[bytes]:
    table = pa.table({"n": pa.array(range(rows)), "t": [f"t{number % 7}" for number in range(rows)]})
    for size in (rows, rows // 3):
        payload = encode(pa.Table.from_batches(table.to_batches(max_chunksize=size)), name="x").payload
        assert isinstance(payload, bytes)
        yield payload


def test_blobs_of_many_rows_do_not_depend_on_chunks() -> None:
    """Also where the writer makes several pages: chunks leave no trace in the bytes."""
    assert len(set(_blobs(50_000))) == 1


def test_personal_data_is_in_no_message_about_a_key():
    """A key that repeats is told without the values of its columns with personal data."""
    table = pa.table({"customer": ["Jane Doe", "Jane Doe"], "day": [7, 7]})
    with pytest.raises(OutputError, match=r"\*\*\*, 7") as told:
        encode(table, key=["customer", "day"], pii=frozenset({"customer"}), name="visits")
    assert "Jane" not in str(told.value)
