"""A report as plain text: all that it says, for whoever sees neither HTML nor pictures."""

import textwrap
from collections.abc import Iterator, Sequence

from tidemark.figures import BARS, Chart, Figures, Number, Section, Table
from tidemark.reports.standing import Standing
from tidemark.reports.told import NEWER, told_incidents, told_models, told_origin, told_state
from tidemark.reports.wording import compared, is_right, plain, shown

_WIDTH = 72
_BAR = 24
_LONGEST = 40


def text_of(subject: str, figures: Figures, standing: Standing, page: str | None) -> str:
    """Return all of a report as text, with the address at which it is shown as it is by then."""
    return "\n".join(_lines(subject, figures, standing, page)).rstrip() + "\n"


def _lines(subject: str, figures: Figures, standing: Standing, page: str | None) -> Iterator[str]:
    yield from textwrap.wrap(subject, _WIDTH)
    yield ""
    yield from _numbers(figures.numbers, figures.against)
    yield from _prose(told_state(standing))
    for each in figures.sections:
        yield from _section(each, figures.against)
    for title, sentences in (*told_models(standing), told_incidents(standing)):
        yield from _heading(title)
        yield from _prose(sentences)
    yield from _heading("About this report")
    yield from _prose(told_origin(standing))
    if page is not None:
        yield f"{NEWER}: {page}"


def _heading(title: str) -> Iterator[str]:
    said = plain(title)
    yield ""
    yield said
    yield "=" * len(said)
    yield ""


def _prose(sentences: Sequence[str]) -> Iterator[str]:
    for each in sentences:
        yield from textwrap.wrap(plain(each), _WIDTH)
    if sentences:
        yield ""


def _numbers(numbers: Sequence[Number], against: str) -> Iterator[str]:
    for each in numbers:
        difference = compared(each, against)
        yield f"{plain(each.name)}: {shown(each.value, each.unit)}" + (f" ({difference})" if difference else "")
    if numbers:
        yield ""


def _section(section: Section, against: str) -> Iterator[str]:
    yield from _heading(section.title)
    yield from _prose([section.text] if section.text else [])
    yield from _numbers(section.numbers, against)
    for chart in section.charts:
        yield f"{plain(chart.title)}:"
        yield from _chart(chart)
        yield ""
    for table in section.tables:
        yield from _table(table)
        yield ""


def _chart(chart: Chart) -> Iterator[str]:
    """Yield a chart's values as rows, with bars of characters where it has bars."""
    names = [plain(each.name) for each in chart.series]
    rows = [
        [shown(at, chart.along.unit), *(shown(each.values[place], chart.unit) for each in chart.series)]
        for place, at in enumerate(chart.at)
    ]
    right = [is_right(chart.along.unit), *(True for _ in names)]
    values = [abs(each or 0) for each in chart.series[0].values] if len(chart.series) == 1 else []
    widest = max(values, default=0)
    bars = ["#" * round(_BAR * each / widest) if widest else "" for each in values] if chart.kind == BARS else []
    for number, line in enumerate(_aligned([plain(chart.along.name), *names], rows, right)):
        yield f"{line}  {bars[number - 1]}".rstrip() if bars and number else line


def _table(table: Table) -> Iterator[str]:
    if not table.rows:
        yield plain(table.empty)
        return
    rows = [[shown(cell, column.unit) for cell, column in zip(row, table.columns, strict=True)] for row in table.rows]
    yield from _aligned([plain(each.name) for each in table.columns], rows, [is_right(c.unit) for c in table.columns])


def _aligned(head: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[bool]) -> Iterator[str]:
    cut = [[each if len(each) <= _LONGEST else each[: _LONGEST - 1] + "…" for each in row] for row in (head, *rows)]
    widths = [max(map(len, column)) for column in zip(*cut, strict=True)]
    for row in cut:
        cells = zip(row, widths, right, strict=True)
        yield "  ".join(
            cell.rjust(width) if at_right else cell.ljust(width) for cell, width, at_right in cells
        ).rstrip()
