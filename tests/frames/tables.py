"""Random Arrow tables for property tests: every type that can be stored, nested ones among them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal

import pyarrow as pa
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

# A property does not fail because the machine is busy.
patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

PLAIN_INSTANTS = st.datetimes(min_value=datetime(1900, 1, 1), max_value=datetime(2200, 1, 1))  # fit into nanoseconds


@dataclass(frozen=True)
class Typed:
    """An Arrow type, and Python values of it."""

    type: pa.DataType
    values: st.SearchStrategy[object]


def _decimals(places: int) -> st.SearchStrategy[Decimal]:
    return st.integers(-(10**6), 10**6).map(lambda units: Decimal(units).scaleb(-places))


# Letters that encodings and CSV trip over; few, so that generation is fast.
LETTERS = "ab ü€\0\"',;\r\n"

TEXT = Typed(pa.large_string(), st.text(LETTERS, max_size=4))
INT = Typed(pa.int64(), st.integers(-(2**63), 2**63 - 1))
FLOAT = Typed(pa.float64(), st.floats(allow_nan=False))
BOOL = Typed(pa.bool_(), st.booleans())
DATE = Typed(pa.date32(), st.dates(date(1, 1, 2)))
INSTANT = Typed(pa.timestamp("us"), PLAIN_INSTANTS)
NAN = Typed(pa.float64(), st.floats())
DECIMAL = Typed(pa.decimal128(38, 2), _decimals(2))

SHARED = [TEXT, INT, FLOAT, BOOL, DATE, INSTANT, Typed(pa.int8(), st.integers(-128, 127))]
PLAIN = [
    *SHARED,
    NAN,
    DECIMAL,
    Typed(pa.float32(), st.floats(width=32)),
    Typed(pa.uint64(), st.integers(0, 2**64 - 1)),
    Typed(pa.int16(), st.integers(-(2**15), 2**15 - 1)),
    Typed(pa.large_binary(), st.binary(max_size=5)),
    Typed(pa.timestamp("us", "Europe/London"), PLAIN_INSTANTS),
    Typed(pa.timestamp("ns"), PLAIN_INSTANTS),
    Typed(pa.duration("us"), st.timedeltas(timedelta(days=-9999), timedelta(days=9999))),
    Typed(pa.time64("us"), st.times().map(lambda of: time(of.hour, of.minute, of.second, of.microsecond))),
    Typed(pa.null(), st.none()),
]


def _lists(of: Typed) -> Typed:
    return Typed(pa.large_list(of.type), st.lists(st.none() | of.values, max_size=3))


def _structs(fields: list[Typed]) -> Typed:
    names = [f"f{number}" for number in range(len(fields))]
    values = st.fixed_dictionaries({name: st.none() | of.values for name, of in zip(names, fields, strict=True)})
    return Typed(pa.struct(list(zip(names, (of.type for of in fields), strict=True))), values)


def _maps(of: Typed) -> Typed:
    pairs = st.dictionaries(st.text("abc", max_size=2), st.none() | of.values, max_size=2)
    return Typed(pa.map_(pa.large_string(), of.type), pairs.map(lambda mapping: list(mapping.items())))


NESTED = [
    *(_lists(of) for of in (TEXT, INT, NAN, BOOL, DECIMAL, Typed(pa.null(), st.none()))),
    _structs([TEXT, NAN, INSTANT]),
    _maps(INT),
    _lists(_lists(INT)),
    _lists(_structs([BOOL, _lists(TEXT)])),
    _structs([_structs([DECIMAL]), _maps(_lists(NAN))]),
]
EVERY = [*PLAIN, *NESTED]


@st.composite
def columns(draw: st.DrawFn, among: Sequence[Typed] = EVERY, *, rows: int | None = None) -> pa.Array:
    """One column of up to four rows, with nulls in it."""
    of = draw(st.sampled_from(among))
    size = draw(st.integers(0, 4)) if rows is None else rows
    return pa.array(draw(st.lists(st.none() | of.values, min_size=size, max_size=size)), of.type)


@st.composite
def tables(draw: st.DrawFn, among: Sequence[Typed] = EVERY, *, min_rows: int = 0) -> pa.Table:
    """A table of one to three columns and up to four rows."""
    names = ["a", "B b", "ü"][: draw(st.integers(1, 3))]
    rows = draw(st.integers(min_rows, 4))
    return pa.table([draw(columns(among, rows=rows)) for _ in names], names=names)
