"""The figures of a report: what an asset returns that people are to read as a mail or a page.

They are values, and text that is kept of them: how they are drawn and worded, and what the ledger adds to them, is not
for whoever computes them. An asset that is a report returns :meth:`Figures.to_text`:

    return Figures("Shop", (Number("Revenue", 23456.0, "GBP", before=22510.0),), (Section("Products", ...),)).to_text()
"""

import json
import re
from dataclasses import asdict, dataclass
from itertools import chain
from typing import Any

Cell = str | int | float | None

TEXT = "text"
COUNT = "count"
SHARE = "share"
"""Of a whole: 0.021 is 2.1 %."""
CHANGE = "change"
"""From a whole: 0.04 is +4.0 %."""
NUMBER = "number"
"""Any other, of which three digits say enough."""

UNITS = (TEXT, COUNT, SHARE, CHANGE, NUMBER)
_CURRENCY = re.compile(r"[A-Z]{3}")

COLUMNS = "columns"
"""One bar for each place on a line of days, upright; the last stands out."""
BARS = "bars"
"""One bar for each label, lying, the first on top."""
CURVES = "curves"
"""Lines and points over numbers."""

_FORMAT = 1


@dataclass(frozen=True)
class Number:
    """One number that matters by itself.

    Attributes:
        name: what it is.
        value: None: there is none.
        unit: one of :data:`UNITS` or a currency, such as ``GBP``.
        before: what it was at the time that :attr:`Figures.against` names; None: nothing to compare with.
        said: how a sentence says it, such as ``{} returned``.

    """

    name: str
    value: int | float | None
    unit: str
    before: int | float | None = None
    said: str = "{}"

    def __post_init__(self) -> None:
        _check_unit(self.unit, f"the number {self.name!r}")


@dataclass(frozen=True)
class Column:
    """What stands in one column of a table, or along a chart."""

    name: str
    unit: str = TEXT

    def __post_init__(self) -> None:
        _check_unit(self.unit, f"the column {self.name!r}")


@dataclass(frozen=True)
class Table:
    """A small table: a mail is no place for hundreds of rows.

    Attributes:
        columns: what stands in them.
        rows: a cell for each column.
        empty: what is said if there is no row.

    """

    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    empty: str = "None."

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.columns):
                names = ", ".join(each.name for each in self.columns)
                raise ValueError(f"a table with the columns {names} has a row of {len(row)} cells: give one for each")


@dataclass(frozen=True)
class Series:
    """The values of one thing along a chart; None leaves a gap."""

    name: str
    values: tuple[int | float | None, ...]
    points: bool = False


@dataclass(frozen=True)
class Chart:
    """A chart, which is words and numbers first: whoever sees no pictures reads these.

    Attributes:
        title: what it shows.
        kind: :data:`COLUMNS`, :data:`BARS` or :data:`CURVES`.
        along: what stands along it.
        at: its places: days, labels or numbers.
        unit: of the values.
        series: of bars one, of columns one and maybe lines over them, of curves at least one.

    """

    title: str
    kind: str
    along: Column
    at: tuple[str | float, ...]
    unit: str
    series: tuple[Series, ...]

    def __post_init__(self) -> None:
        _check_unit(self.unit, f"the chart {self.title!r}")
        if self.kind not in (COLUMNS, BARS, CURVES):
            raise ValueError(f"the chart {self.title!r} has kind={self.kind!r}: choose {COLUMNS}, {BARS} or {CURVES}")
        if not self.series:
            raise ValueError(f"the chart {self.title!r} has no series: give at least one")
        for each in self.series:
            if len(each.values) != len(self.at):
                raise ValueError(
                    f"the chart {self.title!r} has {len(self.at)} places, and {len(each.values)} values of "
                    f"{each.name!r}: give one for each, None where there is none"
                )


@dataclass(frozen=True)
class Section:
    """What is told under one heading: a sentence or two, then numbers, charts and tables."""

    title: str
    text: str = ""
    numbers: tuple[Number, ...] = ()
    charts: tuple[Chart, ...] = ()
    tables: tuple[Table, ...] = ()


@dataclass(frozen=True)
class Figures:
    """All figures of one partition.

    Attributes:
        title: whose they are; the subject of the mail begins with it.
        numbers: the few that everybody should see: they are in the subject.
        sections: all others.
        against: what numbers are compared with.

    """

    title: str
    numbers: tuple[Number, ...]
    sections: tuple[Section, ...] = ()
    against: str = "last week"

    def to_text(self) -> str:
        """Return them as text, the same for equal figures.

        Raises:
            ValueError: a number is none, or endless.

        """
        try:
            return json.dumps({"format": _FORMAT, **asdict(self)}, ensure_ascii=False, allow_nan=False, indent=1) + "\n"
        except ValueError as problem:
            raise ValueError(f"the figures of {self.title!r}: {problem}: write None where there is no number") from None

    @classmethod
    def of_text(cls, text: str) -> "Figures":
        """Return the figures that a text was made of.

        Raises:
            ValueError: it was made of none.

        """
        try:
            given = json.loads(text)
            if given.pop("format") != _FORMAT:
                raise ValueError("they are written in another way")
            sections = tuple(_section(each) for each in given.pop("sections"))
            return cls(**{**given, "numbers": _numbers(given["numbers"]), "sections": sections})
        except (ValueError, KeyError, TypeError, AttributeError) as problem:
            raise ValueError(f"these are no figures ({problem}): return what Figures.to_text() gives") from problem


def _numbers(given: list[dict[str, Any]]) -> tuple[Number, ...]:
    return tuple(Number(**each) for each in given)


def _section(given: dict[str, Any]) -> Section:
    charts = tuple(
        Chart(
            **{
                **each,
                "along": Column(**each["along"]),
                "at": tuple(each["at"]),
                "series": tuple(Series(**{**one, "values": tuple(one["values"])}) for one in each["series"]),
            }
        )
        for each in given["charts"]
    )
    tables = tuple(
        Table(tuple(Column(**one) for one in each["columns"]), tuple(map(tuple, each["rows"])), each["empty"])
        for each in given["tables"]
    )
    return Section(given["title"], given["text"], _numbers(given["numbers"]), charts, tables)


def _check_unit(unit: str, what: str) -> None:
    if unit not in UNITS and not _CURRENCY.fullmatch(unit):
        known = ", ".join(UNITS)
        raise ValueError(f"{what} has unit={unit!r}: write one of {known}, or a currency such as GBP")


def charts_of(figures: Figures) -> tuple[Chart, ...]:
    """Return all charts, in the order in which they are shown."""
    return tuple(chain.from_iterable(each.charts for each in figures.sections))
