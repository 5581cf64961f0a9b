"""Claims about delivered files: read whole or refused with the line to blame, and versioned by their cells."""

import csv
import gzip
import io
import re
from collections.abc import Iterator
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tests.frames.tables import LETTERS, patient
from tidemark.errors import DeliveryError
from tidemark.frames import Delivery, bytes_version, data_version, read_delivery

SCHEMA = {"sku": str, "units": int, "price": float, "day": date}
GOOD = b"sku,units,price,day\nA1,3,1.5,2011-01-05\nB2,,,\n"


def read(payload: bytes, schema: object = None, name: str = "orders/2011-01-05.csv", **how: bool) -> Delivery:
    return read_delivery(payload, name=name, schema=schema, **how)


def refusal(payload: bytes, schema: object = None, name: str = "orders/2011-01-05.csv", **how: bool) -> str:
    with pytest.raises(DeliveryError) as error:
        read(payload, schema, name, **how)
    assert str(error.value).startswith(f"{name}: ")
    return str(error.value).removeprefix(f"{name}: ")


def test_a_csv_arrives_typed_as_declared() -> None:
    """Declared columns have their types, empty cells are null in all of them, undeclared columns are text."""
    delivery = read(GOOD.replace(b"day", b"day,note").replace(b"-05", b"-05,007").replace(b",,,", b",,,,"), SCHEMA)
    assert delivery.table.to_pylist() == [
        {"sku": "A1", "units": 3, "price": 1.5, "day": date(2011, 1, 5), "note": "007"},
        {"sku": "B2", "units": None, "price": None, "day": None, "note": None},
    ]
    assert (delivery.rows, delivery.format) == (2, "csv")


@pytest.mark.parametrize(
    "same",
    [
        b"\xef\xbb\xbf" + GOOD,
        GOOD.replace(b"\n", b"\r\n"),
        GOOD.replace(b"\n", b"\r"),
        GOOD.replace(b"\n", b"\r\n", 1),
        GOOD.replace(b"A1", b'"A1"').replace(b"units", b'"units"'),
        GOOD.replace(b",,,", b',"","",'),
        b"\n" + GOOD.replace(b"\n", b"\n\n"),
    ],
)
def test_harmless_differences_change_nothing(same: bytes) -> None:
    """A byte order mark, other line ends, quotes and blank lines give the same table and the same version."""
    for schema in (SCHEMA, None, {}):
        assert read(same, schema) == read(GOOD, schema)


def test_a_version_is_of_cells_header_and_schema() -> None:
    """Another cell, order, header or declared type is another version; a cell's notation counts."""
    others = [
        GOOD.replace(b"1.5", b"1.50"),
        GOOD.replace(b"sku", b"SKU"),
        b"sku,units,price,day\nB2,,,\nA1,3,1.5,2011-01-05\n",
        b"sku,units,price,day\nA1,3,1.5,2011-01-05\n",
    ]
    versions = {read(payload, {}).data_version for payload in (GOOD, *others)}
    versions |= {read(GOOD, schema).data_version for schema in (SCHEMA, None, {"sku": str})}
    assert len(versions) == len(others) + 1 + 3
    assert read(GOOD, dict(reversed(SCHEMA.items()))).data_version == read(GOOD, SCHEMA).data_version


cells = st.lists(st.text(LETTERS.replace("\0", ""), max_size=5), min_size=2, max_size=2)


def written(records: list[list[str]], *, line_end: str = "\n", all_quoted: bool = False) -> bytes:
    """A CSV file by the book. (The csv module leaves a lone carriage return unquoted.)"""

    def cell(text: str) -> str:
        return f'"{text.replace(chr(34), chr(34) * 2)}"' if all_quoted or set(text) & set('",\r\n') else text

    return "".join(",".join(map(cell, record)) + line_end for record in records).encode()


@patient
@given(st.lists(cells, max_size=4), st.sampled_from(["\n", "\r\n"]), st.booleans(), st.booleans())
def test_any_cells_survive_any_style(records: list[list[str]], line_end: str, all_quoted: bool, mark: bool) -> None:
    """Whatever the cells hold, they are read as they were written; style changes neither them nor the version."""
    header = ["a", "b"]
    plain = read(written([header, *records]), {})
    payload = (b"\xef\xbb\xbf" if mark else b"") + written([header, *records], line_end=line_end, all_quoted=all_quoted)
    styled = read(payload, {})
    assert [list(row.values()) for row in styled.table.to_pylist()] == [
        [cell or None for cell in record] for record in records
    ]
    assert styled == plain


@patient
@given(st.lists(st.text('a,"\n\r ', max_size=6), max_size=4).map("".join))
def test_any_text_is_read_like_the_strict_reader_or_refused(text: str) -> None:
    """On arbitrary text the fast reader agrees with the strict, slow one: the same cells, or a refusal by both."""
    payload = f"h,i\n{text}\n"
    assume("h,i" in payload)
    try:
        expected = [row for row in csv.reader(_lines(payload), strict=True) if row][1:]
    except csv.Error:
        expected = None
    if expected is not None and any(len(row) != 2 for row in expected):
        expected = None
    if expected is None:
        assert re.match("line [0-9]+: ", refusal(payload.encode(), {}))
    else:
        table = read(payload.encode(), {}).table
        assert [list(row.values()) for row in table.to_pylist()] == [[cell or None for cell in row] for row in expected]


def _lines(text: str) -> Iterator[str]:
    return iter(io.StringIO(text, newline=""))


@patient
@given(st.lists(cells, min_size=1, max_size=4), st.data())
def test_one_changed_cell_is_another_version(records: list[list[str]], data: st.DataObject) -> None:
    """No other cell text gives the same version."""
    row, column = data.draw(st.integers(0, len(records) - 1)), data.draw(st.integers(0, 1))
    changed = [list(record) for record in records]
    changed[row][column] = data.draw(cells)[0]
    assume(changed != records)
    versions = [read(written([["a", "b"], *each]), {}).data_version for each in (records, changed)]
    assert versions[0] != versions[1]


@pytest.mark.parametrize("payload", [b"", b"\xef\xbb\xbf", b"\n \r\n"])
def test_an_empty_file_is_refused(payload: bytes) -> None:
    """Nothing, or nothing but blanks, is no delivery."""
    assert "the file is empty" in refusal(payload)


def test_a_header_alone_has_no_rows() -> None:
    """A file with a header and no row is valid, with its columns and their declared types: its gate decides."""
    for payload in (b"sku,units,price,day\n", b"sku,units,price,day\n\n"):
        delivery = read(payload, SCHEMA)
        assert delivery.rows == 0
        assert delivery.table.schema.types == [pa.large_string(), pa.int64(), pa.float64(), pa.date32()]
    assert read(b"sku,units", {}, newline_at_end=False).rows == 0


def test_a_last_line_without_an_end_is_cut_off() -> None:
    """Unless the source says that its files end so."""
    assert "line 3: the last line has no end: the file was cut off" in refusal(GOOD[:-1], SCHEMA)
    assert read(GOOD[:-1], SCHEMA, newline_at_end=False) == read(GOOD, SCHEMA)
    assert read(GOOD, SCHEMA, newline_at_end=False) == read(GOOD, SCHEMA)


def test_a_file_cut_off_within_quotes_is_refused() -> None:
    """Also where the cut happens to fall behind a line end, and where the source's files have none."""
    cut = b'a,b\n1,2\n3,"four\n'
    assert "line 3: a quote is opened and never closed" in refusal(cut)
    assert "line 3: a quote is opened and never closed" in refusal(cut[:-1], newline_at_end=False)
    # Two open quotes would close each other, and swallow a row.
    assert refusal(b'a,b\n1,"2\n3,"4\n').startswith("line 2: ")
    assert "line 1: a quote is opened" in refusal(b'a,"b\n1,2\n')


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        ("a,b\n1,2\n".encode("utf-16"), "byte 1: the file is UTF-16"),
        ("a,b\n1,2\n".encode("utf-32"), "byte 1: the file is UTF-32"),
        ("a,b\n1,2\n".encode("utf-16-le"), "line 1, byte 2: a zero byte: the file looks like UTF-16"),
        (b"a,b\n1,2\n" + b"\0" * 2 + b"\n", "line 3, byte 9: a zero byte: the file looks damaged"),
        ("a,b\r\n1,2\r\ncafé,3\r\n".encode("latin-1"), "line 3, byte 14: not UTF-8 .* Windows-1252, .* 0xe9 is 'é'"),
        ("a,b\n1,€\n".encode("cp1252"), "line 2, byte 7: not UTF-8 .* where byte 0x80 is '€'"),
    ],
)
def test_another_encoding_is_named(payload: bytes, message: str) -> None:
    """The place and what the file looks like: never a half-read table."""
    assert re.search(message, refusal(payload))


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        (b"a,b\n1,2\n3\n", "line 3: 1 cells, but the header has 2 columns"),
        (b"a,b\n1,2,3\n", "line 2: 3 cells, but the header has 2 columns"),
        (b'a,b\r\n"x\r\ny",2\r\n\r\n1,2\r\n3\r\n', "line 6: 1 cells"),
        (b'a,b\n1,"2"3\n', "line 2: not CSV"),
        (b'a,b\n1,"2" \n', "line 2: not CSV"),
        (b"a,\n1,2\n", "line 1: column 2 has no name"),
        (b"\na,b,a\n1,2,3\n", "line 2: several columns are named 'a'"),
    ],
)
def test_a_line_that_is_no_record_is_named(payload: bytes, message: str) -> None:
    """By the physical line on which it begins, counting blank lines and line ends within quotes."""
    assert message in refusal(payload)


def test_a_missing_column_is_named_with_what_was_found() -> None:
    """All that are missing, the columns found, and the likely meant one."""
    assert refusal(b"SKU,units,price,day\n", SCHEMA) == (
        "column 'sku' is missing; found 'SKU', 'units', 'price', 'day'. Did you mean 'SKU'?"
    )
    assert "columns 'price', 'day' are missing" in refusal(b"sku,units,x\n", SCHEMA)
    assert "Did you mean ' units'?" in refusal(b"sku, units,price,day\n", SCHEMA)
    assert "It looks separated by semicolons" in refusal(b"sku;units;price;day\n", SCHEMA)
    wide = ",".join(f"c{number}" for number in range(30)).encode()
    assert "'c19', ..." in refusal(wide + b"\n", SCHEMA)


@pytest.mark.parametrize(
    ("of", "good", "bad"),
    [
        (
            int,
            {"3": 3, "-3": -3, "007": 7},
            ["1.0", "0x1F", " 3", "3 ", "1_000", "1,000", "9223372036854775808", "three"],
        ),
        (float, {"1.5": 1.5, "-1e3": -1000.0, "2": 2.0}, ["1,5", "1.5 ", "€2", "0x10", "NULL"]),
        (bool, {"true": True, "FALSE": False, "1": True, "0": False}, ["yes", "2", "wahr"]),
        (date, {"2011-01-05": date(2011, 1, 5)}, ["05/01/2011", "2011-02-30", "20110105", "2011-01-05 00:00:00"]),
        (
            datetime,
            {
                "2011-01-05 06:07:08": datetime(2011, 1, 5, 6, 7, 8),
                "2011-01-05T06:07:08.123456": datetime(2011, 1, 5, 6, 7, 8, 123456),
                "2011-01-05": datetime(2011, 1, 5),
            },
            ["05.01.2011 06:07", "2011-01-05 25:00:00", "2011-01-05 06:07:08.1234567"],
        ),
        (
            Decimal,
            {"1.50": Decimal("1.50"), "-2": Decimal("-2"), ".5": Decimal("0.5")},
            ["1,50", "1e3", "NaN", "1" * 39, "1." + "1" * 40],
        ),
    ],
)
def test_types_take_their_plain_notation_only(of: type, good: dict[str, object], bad: list[str]) -> None:
    """What is unmistakable is read; anything else is refused with line, column, cell and type."""
    payload = "\n".join(["n,v", *(f"{number},{cell}" for number, cell in enumerate(good)), "99,", ""]).encode()
    assert read(payload, {"v": of}).table["v"].to_pylist() == [*good.values(), None]
    for cell in bad:
        message = refusal(payload + f'100,"{cell}"\n'.encode(), {"v": of})
        shown = cell if len(cell) <= 40 else cell[:40] + "..."
        assert message.startswith(f"line {len(good) + 3}, column 'v': {shown!r} is not {of.__name__} (")


def test_the_line_of_a_bad_cell_is_the_physical_one() -> None:
    """Wherever it stands, with quoted line ends and blank lines above it; the first one is named."""
    for at in range(9):
        rows = [f'"two\r\nlines",{number}' for number in range(9)]
        rows[at] = "x,bad"
        rows[8] = "x,bad"
        payload = "\r\n".join(["a,b", "", *rows, ""]).encode()
        assert refusal(payload, {"b": int}).startswith(f"line {3 + 2 * at}, column 'b': 'bad' is not int")


def test_instants_have_offsets_all_or_none() -> None:
    """With an offset in every cell they are instants in UTC; a mixture has no meaning."""
    payload = b"at\n2011-01-05T06:00:00+01:00\n2011-01-05 05:00:00Z\n\n"
    column = read(payload, {"at": datetime}).table["at"]
    assert column.type == pa.timestamp("us", "UTC")
    assert column[0] == column[1]
    mixed = refusal(payload + b"2011-01-05 05:00:00\n", {"at": datetime})
    assert "line 5, column 'at': '2011-01-05 05:00:00' does not go with the cells above it as datetime" in mixed


def test_decimals_have_the_places_of_the_longest() -> None:
    """No digit is lost, and none made up."""
    table = read(b"v\n1.5\n2.125\n3\n", {"v": Decimal}).table
    assert table["v"].type == pa.decimal128(38, 3)


@pytest.mark.parametrize(
    ("values", "of"),
    [
        (["1", "-20", "0"], pa.int64()),
        (["1", "2.5", "1e3"], pa.float64()),
        (["true", "False"], pa.bool_()),
        (["2011-01-05", "2011-01-06"], pa.date32()),
        (["2011-01-05 06:00:00", "2011-01-05 06:00"], pa.timestamp("us")),
        (["2011-01-05T06:00:00Z"], pa.timestamp("us", "UTC")),
        (["", ""], pa.null()),
        (["1", "", "3"], pa.int64()),
        (["1", "A"], pa.large_string()),
        (["007", "8"], pa.large_string()),
        (["00.5"], pa.large_string()),
        (["9223372036854775808"], pa.large_string()),
        (["2011-02-30"], pa.large_string()),
        (["NaN"], pa.large_string()),
        (["0x1F"], pa.large_string()),
        ([*["1"] * 99, "x"], pa.large_string()),
        ([*["1"] * 99, "007"], pa.large_string()),
    ],
)
def test_types_are_inferred_over_the_whole_file(values: list[str], of: pa.DataType) -> None:
    """Without a schema every cell counts, also the last; codes with leading zeros and overlong numbers stay text."""
    payload = "\n".join(["n,v", *(f"1,{value}" for value in values), ""]).encode()
    table = read(payload).table
    assert table["v"].type == of
    if of == pa.large_string():
        assert table["v"].to_pylist() == values


def test_a_zipped_csv_is_its_content() -> None:
    """Compression is not content; a damaged archive is refused."""
    name = "orders/2011-01-05.csv.gz"
    zipped = gzip.compress(GOOD)
    delivery = read(zipped, SCHEMA, name)
    assert delivery.format == "csv.gz"
    assert delivery.data_version == read(GOOD, SCHEMA).data_version
    for damaged in (zipped[:-5], GOOD, zipped[:20] + b"\0" + zipped[21:], b""):
        assert refusal(damaged, SCHEMA, name)
    assert "line 4, column 'units'" in refusal(gzip.compress(GOOD + b"C,x,,\n"), SCHEMA, name)


def _parquet(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    return sink.getvalue().to_pybytes()


def test_a_parquet_delivery_has_the_version_of_its_table() -> None:
    """Row groups and compression are not content; declared columns are widened to their types where that is exact."""
    table = pa.table({"sku": pa.array(["a", "b"]).dictionary_encode(), "units": pa.array([1, 2], pa.int8())})
    delivery = read(_parquet(table), None, "a.parquet")
    assert (delivery.format, delivery.rows) == ("parquet", 2)
    assert delivery.data_version == data_version(table)
    declared = read(_parquet(table), {"units": int}, "A.PARQUET").table
    assert declared["units"].type == pa.int64()
    assert read(_parquet(table), {"units": float}, "a.parquet").table["units"].to_pylist() == [1.0, 2.0]
    empty = pa.table({"sku": pa.nulls(1)})
    assert read(_parquet(empty), {"sku": str}, "a.parquet").table["sku"].type == pa.large_string()


@pytest.mark.parametrize(
    ("table", "schema", "message"),
    [
        ({"sku": ["a"]}, {"units": int}, "column 'units' is missing; found 'sku'"),
        ({"units": ["1"]}, {"units": int}, "column 'units' is large_string, but int is declared"),
        ({"units": [1.0]}, {"units": int}, "column 'units' is double, but int is declared"),
        ({"units": [2**53 + 1]}, {"units": float}, "column 'units': a value does not fit float"),
        ({"gap": pa.array([1.0], pa.float16())}, None, "column 'gap' of type halffloat"),
    ],
)
def test_a_parquet_delivery_that_does_not_fit_is_refused(
    table: dict[str, object], schema: dict[str, type] | None, message: str
) -> None:
    """Missing and mistyped columns are named."""
    assert message in refusal(_parquet(pa.table(table)), schema, "a.parquet")


def test_a_damaged_parquet_delivery_is_refused() -> None:
    """Cut off, empty, or something else under that name; or with two columns of one name."""
    payload = _parquet(pa.table({"a": list(range(1000))}))
    for damaged in (payload[:-9], payload[:100] + payload[101:], b"", GOOD):
        assert "not a whole Parquet file" in refusal(damaged, None, "a.parquet")
    twice = pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["a", "a"])
    assert "several columns are named 'a'" in refusal(_parquet(twice), None, "a.parquet")


def test_any_other_file_is_bytes() -> None:
    """Its version is that of its bytes; it has no table."""
    assert read(b"\xff\0", None, "plan.pdf") == Delivery(None, bytes_version(b"\xff\0"), None, "bytes")


def test_large_cells_and_many_rows_are_blamed_correctly() -> None:
    """Neither a cell beyond the csv module's own limit nor a file of several blocks hides the line."""
    large = b'a,b\n"' + b"x" * 200_000 + b'",1\n'
    assert refusal(large + b"1\n").startswith("line 3: 1 cells")
    assert csv.field_size_limit() == 131_072
    many = b"a,b\n" + b'"q",1\n' * 300_000
    assert read(many, {"b": int}).rows == 300_000
    assert refusal(many + b"q,x\n", {"b": int}).startswith("line 300002, column 'b'")


ORDERS = {
    "InvoiceNo": str,
    "StockCode": str,
    "Description": str,
    "Quantity": int,
    "InvoiceDate": datetime,
    "UnitPrice": Decimal,
    "CustomerID": str,
    "Country": str,
}
RATES = {"date": date, "currency": str, "eur_rate": Decimal}


@pytest.mark.parametrize(("source", "schema"), [("orders", ORDERS), ("fx_rates", RATES)])
def test_real_deliveries_read_as_the_csv_module_reads_them(
    real_deliveries: Path, source: str, schema: dict[str, type]
) -> None:
    """Every file of a real shop and a real bank: each cell the same, and typed without a loss."""
    files = sorted((real_deliveries / source).glob("*.csv"))
    numbers = [name for name, of in schema.items() if of in (int, Decimal)]
    totals, expected = dict.fromkeys(numbers, Decimal(0)), dict.fromkeys(numbers, Decimal(0))
    for file in files:
        payload = file.read_bytes()
        texts, table = read(payload, {}).table, read(payload, schema).table
        with file.open(newline="", encoding="utf-8-sig") as lines:
            header, *records = csv.reader(lines)
        for name, *column in zip(header, *records, strict=True):
            assert texts[name].combine_chunks() == pa.array([cell or None for cell in column], pa.large_string())
            if name in numbers:
                expected[name] += sum(Decimal(cell) for cell in column if cell)
                totals[name] += pc.sum(table[name]).as_py()
    assert totals == expected
