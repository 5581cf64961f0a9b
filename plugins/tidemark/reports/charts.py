"""Charts as PNG pictures: the same bytes for the same values, whatever else was drawn and set."""

import io
from collections.abc import Sequence
from datetime import date
from functools import lru_cache
from math import isnan
from threading import Lock
from typing import TYPE_CHECKING, Any

from tidemark.figures import BARS, CHANGE, COLUMNS, SHARE, Chart, Series
from tidemark.reports.wording import plain, shown

if TYPE_CHECKING:
    from matplotlib.axes import Axes

INK, MUTED, GRID = "#1f2933", "#616e7c", "#e4e7eb"
MAIN, PALE, FALL, LINE = "#0f766e", "#99cfc9", "#c2410c", "#334155"
_SERIES = (LINE, MAIN, FALL, MUTED)

WIDTH = 568
"""Pixels at which a picture is shown where there is room; it is drawn twice as fine, and shrinks on a phone."""
_INCH = 95  # pixels: so large that its words can be read on a phone
_LONGEST = 30
_FEW = 7  # places along a chart that are all named: between so few, Matplotlib's own would say one twice

# Matplotlib's settings and its cache of fonts are the process's, and pages are made in several threads.
_drawing = Lock()


@lru_cache(maxsize=64)
def draw(chart: Chart) -> bytes:
    """Return a chart as a PNG, twice as fine as it is to be shown."""
    from matplotlib import style
    from matplotlib.figure import Figure

    picture = io.BytesIO()
    height = 30 + 30 * max(len(chart.at), 2) if chart.kind == BARS else 290
    with _drawing, style.context("default", after_reset=True):
        figure = Figure(figsize=(WIDTH / _INCH, height / _INCH), layout="constrained", facecolor="white")
        axes = figure.subplots()
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.spines["bottom"].set_color(GRID)
        axes.tick_params(length=0, colors=MUTED, labelsize=10.5)
        axes.set_axisbelow(True)
        {BARS: _bars, COLUMNS: _columns}.get(chart.kind, _curves)(axes, chart)
        figure.savefig(picture, format="png", dpi=2 * _INCH, metadata={"Software": None})
    return picture.getvalue()


def _label(text: str | float) -> str:
    said = plain(str(text))
    return said if len(said) <= _LONGEST else said[: _LONGEST - 1].rstrip() + "…"


def _bars(axes: "Axes", chart: Chart) -> None:
    """Draw one bar below the other, each with its value at its end; what falls has another colour and side."""
    values = [each or 0.0 for each in chart.series[0].values]
    places = range(len(values), 0, -1)
    colours = [MAIN if each >= 0 else FALL for each in values]
    axes.barh(list(places), values, height=0.66, color=colours)
    # A label is data: what looks like a formula in it is none.
    axes.set_yticks(list(places), [_label(each) for each in chart.at], parse_math=False, color=INK)
    axes.set_xticks([])
    axes.spines["bottom"].set_visible(False)
    axes.axvline(0, color=MUTED, linewidth=0.8)
    # Room for the values on the right; on the left, where negative bars end, the labels are.
    lowest, highest = min([0.0, *values]), max([0.0, *values])
    room = (highest - lowest or 1.0) / 4
    axes.set_xlim(lowest - room / 10, highest + room)
    axes.margins(y=0.01)
    for place, value in zip(places, values, strict=True):
        axes.annotate(
            shown(value, chart.unit),
            (max(value, 0.0), place),
            (4, 0),
            textcoords="offset points",
            va="center",
            ha="left",
            color=INK,
            fontsize=10,
            parse_math=False,
        )


def _columns(axes: "Axes", chart: Chart) -> None:
    """Draw a bar for each day, the last one full, and further series as lines."""
    from matplotlib.dates import DateFormatter

    days = [date.fromisoformat(str(each)) for each in chart.at]
    bars, *lines = chart.series
    colours = [PALE] * (len(days) - 1) + [MAIN]
    axes.bar(days, _numbers(bars), width=0.78, color=colours, label=plain(bars.name))  # type: ignore[arg-type]
    for series, colour in zip(lines, _SERIES, strict=False):
        _line(axes, days, _numbers(series), color=colour, linewidth=1.8, label=plain(series.name))
    if len(days) <= _FEW:
        axes.set_xticks(days)  # type: ignore[arg-type]
    axes.xaxis.set_major_formatter(DateFormatter("%-d %b"))  # type: ignore[no-untyped-call]
    _values_along(axes.yaxis, chart.unit)
    axes.grid(axis="y", color=GRID)
    if lines:
        _legend(axes, plain(bars.name))


def _curves(axes: "Axes", chart: Chart) -> None:
    """Draw lines and points over numbers."""
    from matplotlib.ticker import FuncFormatter

    at = [float(each) for each in chart.at]
    for series, colour in zip(chart.series, _SERIES, strict=False):
        style: dict[str, Any] = {"color": colour, "label": plain(series.name)}
        if series.points:
            axes.plot(at, _numbers(series), linestyle="none", marker="o", ms=7, **style)
        else:
            _line(axes, at, _numbers(series), linewidth=2.2, **style)
    if len(at) <= _FEW:
        axes.set_xticks(at)
    unit = chart.along.unit
    digits = 0 if unit in (CHANGE, SHARE) else None
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _tick(value, unit, digits)))
    axes.set_xlabel(plain(chart.along.name), color=MUTED, fontsize=10.5, parse_math=False)
    _values_along(axes.yaxis, chart.unit)
    axes.grid(color=GRID)
    _legend(axes)


def _line(axes: "Axes", at: Sequence[Any], values: Sequence[float], **style: Any) -> None:
    """Draw a line; a value without a neighbour is no line, and is drawn as a point."""
    there = [False, *(not isnan(each) for each in values), False]
    lone = [place for place in range(len(values)) if there[place + 1] and not (there[place] or there[place + 2])]
    axes.plot(at, values, marker="o" if lone else "", markevery=lone or None, ms=7, **style)


def _numbers(series: Series) -> Sequence[float]:
    return [float("nan") if each is None else float(each) for each in series.values]


def _values_along(axis: Any, unit: str) -> None:
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    axis.set_major_locator(MaxNLocator(5))
    axis.set_major_formatter(FuncFormatter(lambda value, _: _tick(value, unit, 0)))


def _tick(value: float, unit: str, digits: int | None) -> str:
    if unit == CHANGE and digits is not None:
        return "0 %" if abs(value) < 1e-9 else f"{value * 100:+.{digits}f} %"
    if unit == SHARE and digits is not None:
        return f"{value * 100:.{digits}f} %"
    return shown(value, unit) if value else "0"


def _legend(axes: "Axes", first: str | None = None) -> None:
    """Say above the chart which series is which, one of them first: Matplotlib has lines before bars."""
    handles, names = axes.get_legend_handles_labels()
    order = sorted(range(len(names)), key=lambda place: names[place] != first)
    legend = axes.legend(
        [handles[place] for place in order],
        [names[place] for place in order],
        frameon=False,
        loc="lower left",
        bbox_to_anchor=(0, 1),
        ncols=3,
        borderaxespad=0.2,
        fontsize=10.5,
        labelcolor=INK,
        handlelength=1.4,
        columnspacing=1.4,
    )
    for text in legend.get_texts():
        text.set_parse_math(False)
