"""Claims about the figures of a report as values and as text: the same text for the same figures, nothing lost."""

import json
from typing import Any

import pytest

from tidemark.figures import (
    BARS,
    CHANGE,
    COLUMNS,
    COUNT,
    CURVES,
    NUMBER,
    SHARE,
    Chart,
    Column,
    Figures,
    Number,
    Section,
    Series,
    Table,
    charts_of,
)

CURVE = Chart("Curve", CURVES, Column("x", CHANGE), (-0.1, 0.1), SHARE, (Series("seen", (None, 1.5), points=True),))
BARS_ = Chart("Bars", BARS, Column("what"), ("Tasse – 茶", "<b>"), "GBP", (Series("sold", (1, -2.5)),))
DAYS = Chart("Days", COLUMNS, Column("day"), ("2011-01-05",), COUNT, (Series("a", (3,)), Series("mean", (None,))))
TABLE = Table((Column("Name"), Column("Units", COUNT)), (("a", 1), (None, None)), empty="Nothing.")
WHOLE = Figures(
    "Shop",
    (Number("Revenue", 23456.0, "GBP", before=22510.0), Number("Returned", None, SHARE, said="{} returned")),
    (
        Section("One", "In words.", (Number("E", -1.5, NUMBER),), (CURVE, BARS_), (TABLE,)),
        Section("Two", charts=(DAYS,)),
    ),
    against="the year before",
)


def test_nothing_is_lost_in_the_text() -> None:
    assert Figures.of_text(WHOLE.to_text()) == WHOLE
    assert Figures.of_text(Figures("Empty", ()).to_text()) == Figures("Empty", ())


def test_equal_figures_are_equal_text_that_people_can_read() -> None:
    """It is what is stored: a later process must find that nothing has changed."""
    text = WHOLE.to_text()
    assert Figures.of_text(text).to_text() == text
    assert "Tasse – 茶" in text
    assert text.endswith("}\n")


def test_charts_come_in_the_order_in_which_they_are_shown() -> None:
    assert charts_of(WHOLE) == (CURVE, BARS_, DAYS)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_no_number_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match=r"figures of 'Shop': .*: write None where there is no number"):
        Figures("Shop", (Number("Revenue", value, "GBP"),)).to_text()


@pytest.mark.parametrize(
    "text", ["", "no figures", "[]", "{}", '{"format": 2}', '{"format": 1, "title": "x"}', '"text"', "null"]
)
def test_other_text_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="these are no figures"):
        Figures.of_text(text)


def test_text_with_more_than_is_known_is_refused() -> None:
    """Of a later version, which may mean something else by the rest."""
    more = {**json.loads(WHOLE.to_text()), "more": 1}
    with pytest.raises(ValueError, match="these are no figures"):
        Figures.of_text(json.dumps(more))


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (lambda: Number("Revenue", 1, "pounds"), r"the number 'Revenue' has unit='pounds'.*or a currency such as GBP"),
        (lambda: Column("Price", "£"), "the column 'Price' has unit='£'"),
        (lambda: Chart("C", "pie", Column("x"), (), COUNT, ()), "kind='pie': choose columns, bars or curves"),
        (lambda: Chart("C", BARS, Column("x"), (), COUNT, ()), "'C' has no series: give at least one"),
        (lambda: Chart("C", BARS, Column("x"), ("a",), COUNT, (Series("s", ()),)), "1 places, and 0 values of 's'"),
        (lambda: Table((Column("a"), Column("b")), (("x",),)), "the columns a, b has a row of 1 cells"),
    ],
)
def test_what_does_not_fit_together_is_refused_with_the_mend(made: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        made()
