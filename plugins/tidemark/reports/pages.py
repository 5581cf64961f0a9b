"""A report as HTML that mail programs show: tables, styles in place, no script, nothing that is fetched.

Invariant: every word that is not of this file goes through :func:`_safe`.
"""

from collections.abc import Callable, Iterator, Sequence
from html import escape

from tidemark.figures import Chart, Column, Figures, Number, Section, Table
from tidemark.reports.charts import FALL, GRID, INK, MAIN, MUTED, WIDTH
from tidemark.reports.standing import Standing
from tidemark.reports.told import NEWER, told_incidents, told_models, told_origin, told_state
from tidemark.reports.wording import compared, is_right, plain, shown

FONT = "font-family:-apple-system,'Segoe UI',Roboto,Helvetica,Arial,sans-serif"
_PAPER, _GROUND, _AMBER = "#ffffff", "#f4f6f8", "#fff7e6"
_TABLE = '<table role="presentation" width="100%" cellpadding="0" cellspacing="0" border="0" style="{style}">'
_SHORT = 12

Place = Callable[[Chart], str]
"""Says where the picture of a chart is."""


def document(title: str, body: str) -> str:
    """Return a whole page around a body."""
    return (
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta name="color-scheme" content="light"><title>{_safe(title)}</title></head>'
        f'<body style="margin:0;padding:0;background:{_GROUND};color:{INK};{FONT}">{body}</body></html>\n'
    )


def sheet(inner: str) -> str:
    """Return what is shown as a sheet of paper in the middle of the page, as wide as a phone or a mail allows."""
    return (
        f'{_TABLE.format(style=f"background:{_GROUND}")}<tr><td align="center" style="padding:16px 8px">'
        f'<table role="presentation" cellpadding="0" cellspacing="0" border="0" style="width:100%;max-width:640px;'
        f'background:{_PAPER};border:1px solid {GRID};border-radius:8px"><tr><td style="padding:24px 14px;{FONT};'
        f'font-size:15px;line-height:1.5;color:{INK}">{inner}</td></tr></table></td></tr></table>'
    )


def body_of(figures: Figures, standing: Standing, when: str, place: Place, page: str | None) -> str:
    """Return all of a report as HTML.

    Args:
        figures: what is stored.
        standing: what the ledger says.
        when: the period, in words.
        place: where the picture of each chart is.
        page: the address at which it is shown as it is by then, or None.

    """
    return sheet("".join(_parts(figures, standing, when, place, page)))


def _parts(figures: Figures, standing: Standing, when: str, place: Place, page: str | None) -> Iterator[str]:
    yield f'<div style="font-size:13px;color:{MUTED}">{_safe(when)}</div>'
    yield f'<h1 style="margin:0 0 16px;font-size:24px;line-height:1.25;color:{INK}">{_safe(figures.title)}</h1>'
    yield _tiles(figures.numbers, figures.against)
    yield _state(standing)
    for each in figures.sections:
        yield from _section(each, figures.against, place)
    for title, sentences in (*told_models(standing), told_incidents(standing)):
        yield heading(title)
        yield _prose(sentences)
    yield f'<div style="margin-top:28px;padding-top:12px;border-top:1px solid {GRID};font-size:12px;color:{MUTED}">'
    yield "<br>".join(_safe(each) for each in told_origin(standing))
    if page is not None:
        yield f"<br>{link(page, NEWER)}"
    yield "</div>"


def _safe(text: str) -> str:
    """Return text that says in HTML what it says: data and names must not be able to write the page."""
    return escape(plain(text), quote=True)


def heading(title: str) -> str:
    """Return a heading of a part of the sheet."""
    return (
        f'<h2 style="margin:32px 0 8px;padding-top:12px;border-top:2px solid {MAIN};font-size:18px;color:{INK}">'
        f"{_safe(title)}</h2>"
    )


def link(to: str, text: str) -> str:
    """Return a link to another page of ours."""
    return f'<a href="{escape(to, quote=True)}" style="color:{MAIN}">{_safe(text)}</a>'


def _prose(sentences: Sequence[str]) -> str:
    return "".join(f'<p style="margin:0 0 8px;color:{INK}">{_safe(each)}</p>' for each in sentences)


def _tiles(numbers: Sequence[Number], against: str) -> str:
    """Return the numbers that everybody should see, beside each other also on a phone."""
    if not numbers:
        return ""
    width = 100 // len(numbers)
    cells = []
    for each in numbers:
        difference = compared(each, against) or "&nbsp;"
        value = _safe(shown(each.value, each.unit))
        cells.append(
            f'<td width="{width}%" valign="top" style="padding:12px 10px;background:{_GROUND};'
            f'border-right:4px solid {_PAPER}"><div style="font-size:12px;color:{MUTED}">{_safe(each.name)}</div>'
            f'<div style="font-size:21px;font-weight:bold;white-space:nowrap">{value}</div>'
            f'<div style="font-size:12px;color:{MUTED}">{difference}</div></td>'
        )
    return f"{_TABLE.format(style='margin-bottom:12px')}<tr>{''.join(cells)}</tr></table>"


def _state(standing: Standing) -> str:
    """Return whether the report is final; what is not stands out, by words too and not by its colour alone."""
    first, *lacks = told_state(standing)
    ground, edge = (_GROUND, MAIN) if standing.is_final else (_AMBER, FALL)
    word, _, rest = first.partition(":")
    lines = "".join(f'<div style="padding-left:12px">{_safe(each)}</div>' for each in lacks)
    return (
        f'<div style="padding:10px 12px;background:{ground};border-left:4px solid {edge};font-size:14px">'
        f"<b>{_safe(word)}:</b>{' '}{_safe(rest)}{lines}</div>"
    )


def _section(section: Section, against: str, place: Place) -> Iterator[str]:
    yield heading(section.title)
    yield _prose([section.text] if section.text else [])
    for each in section.numbers:
        difference = compared(each, against)
        said = f"{plain(each.name)}: {shown(each.value, each.unit)}" + (f" ({difference})" if difference else "")
        yield _prose([said])
    for chart in section.charts:
        yield f'<div style="margin:12px 0 2px;font-size:13px;font-weight:bold;color:{INK}">{_safe(chart.title)}</div>'
        yield (
            f'<img src="{place(chart)}" alt="{_safe(chart.title)}" width="{WIDTH}" '
            'style="display:block;width:100%;max-width:100%;height:auto;border:0">'
        )
    for table in section.tables:
        yield _table(table)


def _table(table: Table) -> str:
    if not table.rows:
        return _prose([table.empty])
    look = f"color:{MUTED};font-weight:normal;font-size:11px"
    head = "".join(_cell("th", each.name, each, look) for each in table.columns)
    rows = [f"<tr>{head}</tr>"]
    for row in table.rows:
        cells = zip(row, table.columns, strict=True)
        rows.append(f"<tr>{''.join(_cell('td', shown(cell, column.unit), column) for cell, column in cells)}</tr>")
    return (
        '<div style="overflow-x:auto"><table width="100%" cellpadding="0" cellspacing="0" border="0" '
        f'style="margin-top:10px;border-collapse:collapse;font-size:13px;line-height:1.35">{"".join(rows)}</table></div>'
    )


def _cell(tag: str, text: str, column: Column, more: str = "") -> str:
    side = "text-align:right" if is_right(column.unit) else "text-align:left"
    # A number or a day is never cut in two; a heading or a product may be.
    whole = is_right(column.unit) or (" " not in text and len(text) <= _SHORT)
    if tag == "td":
        side += ";white-space:nowrap" if whole else ";min-width:96px;overflow-wrap:anywhere"
    style = f"padding:5px 3px;border-bottom:1px solid {GRID};{side};{more}"
    return f'<{tag} valign="top" style="{style}">{_safe(text)}</{tag}>'
