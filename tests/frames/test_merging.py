"""Claims about rows that come in packages: one file and one version, as if they had come as one table."""

import random
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pyarrow.types as pt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.frames.tables import PLAIN, patient, tables
from tidemark.errors import OutputError
from tidemark.frames import data_version, encode, merging
from tidemark.frames.canonical import canonical
from tidemark.frames.content import version_in_pieces
from tidemark.frames.merging import Heap


@pytest.fixture(autouse=True)
def small_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory for nothing, so that everything is spilled."""
    monkeypatch.setattr(merging, "IN_MEMORY", -1)


def heap_of(*packages: pa.Table) -> Heap:
    heap = Heap("asset 'x'")
    for package in packages:
        heap.add(package)
    assert heap.spilled
    return heap


def stored(packages: Sequence[pa.Table], key: list[str] | None = None, *, ordered: bool = False) -> tuple[bytes, bytes]:
    """The bytes and the version of what is stored for some packages."""
    heap = heap_of(*packages)
    try:
        file = heap.merged(key, ordered, frozenset())
        return file.read_bytes(), heap.version(file)[0]
    finally:
        heap.remove()


@patient
@given(tables(PLAIN), st.data())
def test_a_version_in_pieces_is_that_of_the_whole(table: pa.Table, data: st.DataObject) -> None:
    """Wherever it is cut."""
    table = canonical(table)
    size = data.draw(st.integers(1, 5))

    def pieces(name: str):
        for start in range(0, table.num_rows, size):
            yield canonical(table.select([name]).slice(start, size)).column(0).combine_chunks()

    in_nanoseconds = any(getattr(each, "unit", "") == "ns" for each in table.schema.types)
    if not in_nanoseconds:  # a piece may do with microseconds: who cuts a column gives its type to every piece
        assert version_in_pieces(table.schema, table.num_rows, pieces) == data_version(table)


@patient
@given(tables(PLAIN), st.integers(1, 4), st.booleans())
def test_packages_are_stored_as_the_whole_table_would_be(table: pa.Table, size: int, ordered: bool) -> None:
    """The same bytes, and the same version, of every type that is not nested, in whatever packages it came."""
    table = canonical(table)
    packages = [table.slice(start, size) for start in range(0, table.num_rows, size)] or [table]
    whole = encode(table, name="x", ordered=ordered)
    assert stored(packages, ordered=ordered) == (whole.payload, whole.data_version)


def test_row_groups_are_cut_as_for_a_whole_table(monkeypatch: pytest.MonkeyPatch) -> None:
    """Over a million rows, in packages of odd sizes, come out in the bytes that one table gives."""
    numbers = list(range(1_200_000))
    random.Random(1).shuffle(numbers)
    table = pa.table({"number": pa.array(numbers), "text": pa.array([f"t{each % 1000}" for each in numbers])})
    packages = [table.slice(start, 333_333) for start in range(0, len(numbers), 333_333)]
    whole = encode(table, key=["number"], name="x")
    assert stored(packages, ["number"]) == (whole.payload, whole.data_version)


def test_a_key_is_checked_across_packages() -> None:
    """The same key in two packages, in the same words as for one table; a null in any; a column that is not there."""
    one, other = pa.table({"k": ["a", "b"], "n": [1, 2]}), pa.table({"k": ["b", "c"], "n": [3, 4]})
    for packages, key in (
        ((one, other), ["k"]),
        ((one, pa.table({"k": pa.array([None], pa.string()), "n": [5]})), ["k"]),
        ((one, other), ["sku"]),
    ):
        for ordered in (False, True):
            with pytest.raises(OutputError) as whole:
                encode(pa.concat_tables(packages), key=key, ordered=ordered, name="x")
            with pytest.raises(OutputError) as merged:
                stored(packages, key, ordered=ordered)
            assert str(merged.value) == str(whole.value)


def test_a_key_of_personal_data_is_masked() -> None:
    one = pa.table({"customer": ["Ada", "Bo"]})
    heap = heap_of(one, one)
    with pytest.raises(OutputError, match=r"\*\*\*") as refused:
        heap.merged(["customer"], False, frozenset(["customer"]))
    heap.remove()
    assert "Ada" not in str(refused.value)


def test_a_package_of_nulls_takes_the_type_of_the_others() -> None:
    """What engines make of a column in which a partition has no value."""
    packages = [pa.table({"k": pa.nulls(1)}), pa.table({"k": ["a"]})]
    assert stored(packages)[1] == data_version(pa.table({"k": ["a", None]}))


def test_packages_of_different_types_are_refused() -> None:
    """A number is not made wider in silence: the version would depend on how the rows were dealt out."""
    heap = heap_of(pa.table({"k": [1]}), pa.table({"k": [1.5]}))
    with pytest.raises(OutputError, match="partitions have different types in column 'k': int64 and float64"):
        heap.merged(None, False, frozenset())
    heap.remove()


def test_packages_with_different_columns_are_refused() -> None:
    heap = heap_of(pa.table({"k": [1]}), pa.table({"n": [1]}))
    with pytest.raises(OutputError, match="different columns"):
        heap.merged(None, False, frozenset())
    heap.remove()


def test_columns_whose_names_differ_in_capitals_are_two() -> None:
    """DuckDB takes them for one."""
    table = pa.table({"a": [2, 1], "A": [3, 4]})
    assert stored([table])[1] == encode(table, name="x").data_version


def test_lists_and_structs_stay_in_memory() -> None:
    """They have no order that all share."""
    heap = Heap("asset 'x'")
    heap.add(pa.table({"k": [[1, 2]]}))
    assert not heap.spilled
    assert pt.is_large_list(heap.table().schema.field("k").type)


def test_nothing_is_left_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither after a merge, but for the file, nor after a refusal."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    heap = heap_of(pa.table({"k": [2]}), pa.table({"k": [1]}))
    file = heap.merged(None, False, frozenset())
    assert pq.read_table(file).to_pydict() == {"k": [1, 2]}
    assert [each for each in tmp_path.rglob("*") if each.is_file()] == [file]
    heap.remove()
    assert list(tmp_path.iterdir()) == []
