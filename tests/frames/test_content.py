"""Claims about versions: what is content, and what is not."""

import math
from datetime import date, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tests.frames.tables import EVERY, Typed, columns, patient, tables
from tidemark.frames.canonical import UnsupportedColumn, canonical
from tidemark.frames.content import bytes_version, data_version, schema_digest, text_version


def version(values: object, of: pa.DataType | None = None) -> bytes:
    return data_version(pa.table({"x": values if isinstance(values, pa.Array) else pa.array(values, of)}))


@patient
@given(tables(), st.data())
def test_chunks_and_slices_are_not_content(table: pa.Table, data: st.DataObject) -> None:
    """However a table is cut into chunks, and whatever it is a slice of, its version stays."""
    cut = data.draw(st.integers(0, table.num_rows))
    pieces = [table.slice(0, cut), table.slice(cut)]
    assert data_version(pa.concat_tables(pieces)) == data_version(table)
    # A slice of something longer: offsets into shared buffers.
    longer = pa.concat_tables([table, table, table]).combine_chunks()
    assert data_version(longer.slice(table.num_rows, table.num_rows)) == data_version(table)


@patient
@given(columns())
def test_encodings_are_not_content(column: pa.Array) -> None:
    """A dictionary, a run-end encoding and the other variants of text, binary and lists change nothing."""
    expected = version(column)
    if not pt.is_nested(column.type) and not pt.is_null(column.type):
        assert version(column.dictionary_encode()) == expected
        assert version(pc.run_end_encode(column)) == expected
    variants = []
    if pt.is_large_string(column.type):
        variants = [pa.string(), pa.string_view()]
    if pt.is_large_binary(column.type):
        variants = [pa.binary(), pa.binary_view()]
    for variant in variants:
        assert version(column.cast(variant)) == expected
    if pt.is_large_list(column.type):
        values = column.to_pylist()
        assert version(pa.array(values, pa.list_(column.type.value_type))) == expected
        assert version(pa.array(values, pa.list_view(column.type.value_type))) == expected


def test_a_list_of_fixed_size_is_a_list() -> None:
    """Polars' Array and DuckDB's ARRAY have the version of a list with the same values."""
    fixed = pa.array([[1, 2], None, [3, 4]], pa.list_(pa.int16(), 2))
    assert version(fixed) == version([[1, 2], None, [3, 4]], pa.large_list(pa.int16()))
    assert version(fixed[1:]) == version([None, [3, 4]], pa.large_list(pa.int16()))


def test_what_lies_under_a_null_is_not_content() -> None:
    """Numbers, text and lists that a null hides do not reach the version."""
    mask = np.array([False, True, False])
    for shown, hidden in (([1, 2, 3], [1, 9, 3]), ([1.5, 2.0, 3.0], [1.5, math.nan, 3.0])):
        first, second = (
            pa.Array.from_buffers(array.type, 3, [pa.array(~mask).buffers()[1], array.buffers()[1]])
            for array in (pa.array(shown), pa.array(hidden))
        )
        assert first.to_pylist() == second.to_pylist() == [shown[0], None, shown[2]]
        assert version(first) == version(second)
    texts = [
        pa.Array.from_buffers(pa.large_string(), 3, [pa.array(~mask).buffers()[1], *pa.array(text).buffers()[1:]])
        for text in (pa.array(["a", "hidden", "b"], pa.large_string()), pa.array(["a", "", "b"], pa.large_string()))
    ]
    assert version(texts[0]) == version(texts[1]) == version(["a", None, "b"], pa.large_string())
    lists = [
        pa.LargeListArray.from_arrays(pa.array([0, 1, 3, 4]), pa.array([1, hidden, hidden, 4]), mask=pa.array(mask))
        for hidden in (2, 3)
    ]
    assert version(lists[0]) == version(lists[1]) == version([[1], None, [4]])
    structs = [
        pa.StructArray.from_arrays([pa.array([1, hidden, 3])], names=["a"], mask=pa.array(mask)) for hidden in (2, 7)
    ]
    assert version(structs[0]) == version(structs[1]) == version([{"a": 1}, None, {"a": 3}])


def test_there_is_one_nan_and_one_zero() -> None:
    """The payload of a NaN and the sign of a zero are not content, also within lists."""
    payloads = np.array([0x7FF8000000000000, 0x7FF8000000000001, 0xFFF8000000000000], dtype=np.uint64).view(np.float64)
    for payload in payloads:
        assert version(pa.array([payload])) == version([math.nan])
        assert version([[payload]]) == version([[math.nan]])
    assert version([-0.0]) == version([0.0])
    assert version([{"a": [-0.0]}]) == version([{"a": [0.0]}])
    assert version([-0.0], pa.float32()) == version([0.0], pa.float32())


@pytest.mark.parametrize(
    ("coarse", "fine"),
    [
        (pa.timestamp("s"), pa.timestamp("ns")),
        (pa.timestamp("ms", "UTC"), pa.timestamp("us", "Etc/UTC")),
        (pa.duration("s"), pa.duration("ns")),
        (pa.time32("s"), pa.time64("ns")),
    ],
)
def test_equal_instants_of_different_units_are_equal(coarse: pa.DataType, fine: pa.DataType) -> None:
    """A unit is not content: what is the same instant in seconds and nanoseconds has one version."""
    seconds = pa.array([0, 3600, None], pa.int64())
    plain = seconds.cast(pa.int32()) if coarse.bit_width == 32 else seconds
    assert version(plain.cast(coarse)) == version(plain.cast(coarse).cast(fine))


def test_nanoseconds_are_content() -> None:
    """What lies between two microseconds is kept, and never taken for as many microseconds."""
    nanos = pa.array([1001], pa.int64()).cast(pa.timestamp("ns"))
    micros = pa.array([1001], pa.int64()).cast(pa.timestamp("us"))
    assert len({version(nanos), version(micros), version(pa.array([1000], pa.int64()).cast(pa.timestamp("ns")))}) == 3


def test_a_time_zone_is_content() -> None:
    """The same instant in another zone is another hour to its reader, hence another version."""
    of = [pa.timestamp("us", zone) for zone in (None, "UTC", "Europe/London")]
    assert len({version(pa.array([0], pa.int64()).cast(each)) for each in of}) == 3


def test_a_decimal_keeps_its_scale_and_not_its_precision() -> None:
    """1.50 in four and in 38 digits are one; 1.5 and 1.50 are two."""
    cents = pa.array([150], pa.int64()).cast(pa.decimal128(38, 0))
    assert version(cents.cast(pa.decimal128(4, 0))) == version(cents)
    scales = [pa.array(["1.5"]).cast(pa.decimal128(4, scale)) for scale in (1, 2)]
    assert version(scales[0]) != version(scales[1])
    assert version(scales[0].cast(pa.decimal256(60, 1))) == version(scales[0])


def test_null_empty_text_and_nan_are_three_things() -> None:
    """Nothing, no letters, and no number are never taken for each other."""
    assert len({version([value], pa.string()) for value in (None, "", "NaN", "\0")}) == 4
    assert len({version([value], pa.float64()) for value in (None, math.nan, 0.0)}) == 3
    assert len({version([value], pa.list_(pa.int64())) for value in (None, [], [None], [0])}) == 4


def test_cells_do_not_run_into_each_other() -> None:
    """Where one cell, list or column ends and the next begins is content."""
    assert version(["ab", "c"]) != version(["a", "bc"])
    assert version([[1], [2, 3]]) != version([[1, 2], [3]])
    assert version([None, 0]) != version([0, None])
    two = pa.table({"a": ["x"], "b": ["yz"]})
    assert data_version(two) != data_version(pa.table({"a": ["xy"], "b": ["z"]}))


def test_names_types_and_orders_are_content() -> None:
    """A renamed column, another type of equal numbers, another order of columns or rows are another version."""
    base = pa.table({"a": [1, 2], "b": [1, 2]})
    others = [
        base.rename_columns(["a", "c"]),
        base.select(["b", "a"]),
        base.take([1, 0]),
        base.slice(0, 1),
        *(base.set_column(1, "b", base["b"].cast(of)) for of in (pa.int32(), pa.uint64(), pa.float64(), pa.string())),
    ]
    assert len({data_version(table) for table in [base, *others]}) == 1 + len(others)


def _plain(value: object) -> object:
    """A value with one zero, whose text says all of it."""
    if isinstance(value, float):
        return value + 0.0
    if isinstance(value, datetime):  # pandas' Timestamp, where the unit is nanoseconds
        return value.isoformat()
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value


@st.composite
def _pairs(draw: st.DrawFn) -> tuple[Typed, list[object], list[object]]:
    """A type and two lists of values, as often as not equal but for a cell."""
    of = draw(st.sampled_from(EVERY))
    values = draw(st.lists(st.none() | of.values, max_size=4))
    other = list(values)
    if other and draw(st.booleans()):
        other[draw(st.integers(0, len(other) - 1))] = draw(st.none() | of.values)
    return of, values, other


@patient
@given(_pairs())
def test_versions_are_equal_exactly_if_the_values_are(pair: tuple[Typed, list[object], list[object]]) -> None:
    """Against an oracle that compares Python values: one changed cell, at any depth, is another version."""
    of, values, other = pair
    arrays = [pa.array(values, of.type), pa.array(other, of.type)]
    equal = repr(_plain(arrays[0].to_pylist())) == repr(_plain(arrays[1].to_pylist()))
    assert (version(arrays[0]) == version(arrays[1])) == equal


@patient
@given(st.sampled_from(EVERY), st.sampled_from(EVERY))
def test_another_type_is_another_version_even_without_rows(one: Typed, other: Typed) -> None:
    """Types are told apart at every depth, in the version and in the schema digest."""
    tables_ = [canonical(pa.table({"x": pa.array([], of.type)})) for of in (one, other)]
    assume(tables_[0].schema != tables_[1].schema)
    assert data_version(tables_[0]) != data_version(tables_[1])
    assert schema_digest(tables_[0].schema) != schema_digest(tables_[1].schema)


@patient
@given(tables())
def test_the_canonical_form_is_its_own(table: pa.Table) -> None:
    """Bringing a table into canonical form twice changes nothing the second time, and never a value."""
    once = canonical(table)
    assert once.column_names == table.column_names
    assert repr(_plain(once.to_pylist())) == repr(_plain(table.to_pylist()))
    assert canonical(once).schema == once.schema
    assert canonical(once).equals(once) or "nan" in repr(once.to_pylist())


def test_a_version_does_not_change_by_itself() -> None:
    """Pinned: every stored version depends on it. A change here recomputes the world: it needs a new scheme version."""
    numbers = {"n": [1, None], "f": [0.5, math.nan], "b": [True, None]}
    table = pa.table({**numbers, "t": ["a", ""], "l": [[1], None], "s": [{"a": date(2011, 1, 5)}, None]})
    assert data_version(table).hex()[:12] == "9660935d100f"
    assert text_version("a").hex()[:12] == "525b80d6f6ee"
    assert bytes_version(b"a").hex()[:12] == "b65764a1d0b7"


def test_text_bytes_and_a_file_are_versioned_by_content(tmp_path: Path) -> None:
    """A file has the version of its bytes; text is not the bytes that encode it."""
    (tmp_path / "a").write_bytes(b"abc")
    assert bytes_version(tmp_path / "a") == bytes_version(b"abc") != bytes_version(b"abd")
    assert text_version("abc") != bytes_version(b"abc")


@pytest.mark.parametrize(
    "column",
    [
        pa.array([1.5], pa.float16()),
        pa.array([(1, 2, 3)], pa.month_day_nano_interval()),
        pa.array([{}], pa.struct([])),
        pa.array([[{}]], pa.list_(pa.struct([]))),
        pa.array([1], pa.int64()).cast(pa.decimal256(60, 0)).cast(pa.decimal256(76, 30)).cast(pa.decimal256(76, 50)),
    ],
)
def test_what_cannot_be_stored_is_refused_by_name(column: pa.Array) -> None:
    """A type without a canonical form is refused with the column's name."""
    with pytest.raises(UnsupportedColumn, match="'price'"):
        data_version(pa.table({"price": column}))
