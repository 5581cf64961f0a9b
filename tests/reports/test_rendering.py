"""Claims about how a report looks: core numbers in the subject, all of it as text too, and data is never markup."""

import email
import io
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta
from email.message import EmailMessage
from email.policy import default
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any

import pytest

from tests.reports.reporting import DAY, FIGURES, ODD, open_for_business, rendered
from tests.scenario import Shop
from tidemark.errors import UsageError
from tidemark.figures import (
    BARS,
    CHANGE,
    COLUMNS,
    COUNT,
    CURVES,
    NUMBER,
    SHARE,
    TEXT,
    Chart,
    Column,
    Number,
    Section,
    Series,
    Table,
)
from tidemark.reports import Report, as_mail
from tidemark.reports.charts import draw
from tidemark.reports.wording import compared, shown

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@pytest.fixture
def report(shop: Shop) -> Report:
    return rendered(open_for_business(shop))


class Page(HTMLParser):
    """What a page holds: its tags, their attributes, and its words."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words += data


@pytest.mark.parametrize(
    ("value", "unit", "said"),
    [
        (23456.4, "GBP", "GBP 23,456"),
        (999.5, "GBP", "GBP 999.50"),
        (-1234.0, "GBP", "GBP -1,234"),
        (0.0, "EUR", "EUR 0.00"),
        (1234, COUNT, "1,234"),
        (0.0214, SHARE, "2.1 %"),
        (0.04, CHANGE, "+4.0 %"),
        (-0.0001, CHANGE, "0.0 %"),
        (-1.5528, NUMBER, "-1.55"),
        (None, "GBP", "–"),
        (" a\tb\x00\n\u202ec ", TEXT, "a b c"),
    ],
)
def test_a_value_is_worded_by_its_unit(value: Any, unit: str, said: str) -> None:
    assert shown(value, unit) == said


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (Number("n", 104.0, "GBP", before=100.0), "+4 % on last week"),
        (Number("n", 100.2, "GBP", before=100.0), "0 % on last week"),
        (Number("n", 0.021, SHARE, before=0.03), "-0.9 points on last week"),
        (Number("n", 5, COUNT, before=0), ""),
        (Number("n", 5, COUNT), ""),
        (Number("n", None, COUNT, before=3), ""),
    ],
)
def test_what_can_be_compared_is(number: Number, said: str) -> None:
    assert compared(number, "last week") == said


def test_the_subject_says_the_core_numbers(report: Report) -> None:
    assert report.subject == f"Shop {DAY}: GBP 23,456 (+4 % on last week), 87 orders, 2.1 % returned"


def test_the_text_says_all_that_the_page_says(report: Report) -> None:
    """Every word outside of pictures, and the values that only pictures show."""
    text = " ".join(report.text.split())
    for words in re.findall(r">([^<>]+)<", report.body):
        words = words.replace("&nbsp;", "").replace("&#x27;", "'").strip()
        if words not in ("", "Monday, 6 January 2025"):  # the subject says the day
            assert words in text, words
    for value in ("GBP 1,200", "GBP 1.50", "GBP 7.25", "GBP -2.50", "112.5 %", "-10.0 %"):
        assert value in text
    assert max(map(len, report.text.splitlines())) <= 100


def test_the_mail_is_text_or_else_html_with_its_pictures(report: Report) -> None:
    raw = bytes(as_mail(report))
    mail = email.message_from_bytes(raw, policy=default)
    assert isinstance(mail, EmailMessage)
    assert mail["Subject"] == report.subject
    assert mail.get_content_type() == "multipart/alternative"
    text, related = mail.iter_parts()
    assert text.get_content_type() == "text/plain"
    assert text.get_content().replace("\r\n", "\n") == report.text
    assert related.get_content_type() == "multipart/related"
    html, *pictures = related.iter_parts()
    assert html.get_content_type() == "text/html"
    sources = [attrs["src"] for tag, attrs in Page(html.get_content()).tags if tag == "img"]
    assert [f"cid:{each['Content-ID'].strip('<>')}" for each in pictures] == sources
    assert len(sources) == 3
    assert {each.get_content_type() for each in pictures} == {"image/png"}
    assert all(each.get_content().startswith(b"\x89PNG") for each in pictures)
    assert all(len(line) <= 998 for line in raw.splitlines())
    assert raw.isascii()


def test_a_mail_says_where_the_report_is_as_it_is_by_then(shop: Shop) -> None:
    page = "http://127.0.0.1:8080/plugin/tidemark-reports/tidemark/reports/takings/2025-01-06?a&b"
    report = rendered(open_for_business(shop), page=page)
    assert ("a", page) in [(tag, attrs.get("href")) for tag, attrs in Page(report.html).tags]
    assert report.text.endswith(f"This report, as it is by now: {page}\n")


def test_a_mail_fetches_and_runs_nothing(report: Report) -> None:
    page = Page(report.html)
    assert {tag for tag, _ in page.tags}.isdisjoint({"script", "link", "iframe", "object", "form", "style", "video"})
    assert "http" not in report.html
    assert "url(" not in report.html
    assert all(attrs.get("alt") for tag, attrs in page.tags if tag == "img")


def test_whatever_figures_say_is_text_and_no_markup(shop: Shop) -> None:
    """In every place into which a figure can put words; also in a chart, where some words would be a formula."""
    chart = Chart(ODD, BARS, Column(ODD), (ODD, "$"), "GBP", (Series(ODD, (1.0, 2.0)),))
    curve = Chart(ODD, "curves", Column(ODD, CHANGE), (0.0, 0.1), "GBP", (Series(ODD, (1.0, 2.0)),))
    section = Section(ODD, ODD, (Number(ODD, 1, COUNT),), (chart, curve), (Table((Column(ODD),), ((ODD,),)),))
    empty = Section("x", tables=(Table((Column("c"),), (), empty=ODD),))
    numbers = (Number(ODD, 1, COUNT, before=2, said="{} " + ODD),)
    report = rendered(open_for_business(shop, replace(FIGURES, title=ODD, numbers=numbers, sections=(section, empty))))
    page = Page(report.html)
    assert "script" not in {tag for tag, _ in page.tags}
    assert "alert(" not in report.html.replace("alert(&quot;", "")
    shown_as = '<script>alert("1")</script> & $x^2$ Tässe – 茶'
    assert page.words.count(shown_as) >= 9
    assert report.text.replace("\n", " ").count("Tässe – 茶") >= 9
    assert "\u202e" not in report.html + report.text + report.subject
    assert "\n" not in report.subject
    mail = email.message_from_bytes(bytes(as_mail(report)), policy=default)
    assert mail["Subject"] == report.subject


def test_pictures_are_the_same_bytes_again_whatever_else_was_set() -> None:
    """In whatever process, so that a mail that is sent twice is the same mail."""
    import matplotlib

    charts = FIGURES.sections[0].charts
    drawn = [draw(each) for each in charts]
    draw.cache_clear()
    with matplotlib.rc_context({"font.size": 30, "lines.linewidth": 9}):
        assert [draw(each) for each in charts] == drawn
    assert b"Software" not in b"".join(drawn)


def test_a_picture_is_twice_as_fine_as_it_is_shown() -> None:
    from matplotlib.image import imread

    from tidemark.reports.charts import WIDTH

    for each in FIGURES.sections[0].charts:
        assert imread(io.BytesIO(draw(each))).shape[1] == pytest.approx(2 * WIDTH, abs=2)


def test_charts_without_values_are_drawn_all_the_same() -> None:
    """A first day, a day without a sale, a model that says nothing."""
    none = (Series("none", (None,)),)
    for each in (
        Chart("c", "columns", Column("day"), ("2025-01-05",), "GBP", none),
        Chart("b", BARS, Column("what"), (), "GBP", (Series("none", ()),)),
        Chart("c", "columns", Column("day"), (), "GBP", (Series("none", ()),)),
        Chart("b", BARS, Column("what"), ("x",), "GBP", none),
        Chart("l", "curves", Column("x", CHANGE), (0.0,), SHARE, none),
    ):
        assert draw(each).startswith(b"\x89PNG")


@pytest.fixture
def axes(monkeypatch: pytest.MonkeyPatch) -> Callable[[Chart], "Axes"]:
    """Draws a chart, and returns what its picture was made of."""
    from matplotlib.figure import Figure

    figures: list[Figure] = []
    save = Figure.savefig

    def kept(figure: Figure, *args: Any, **options: Any) -> None:
        figures.append(figure)
        save(figure, *args, **options)

    def drawn(chart: Chart) -> "Axes":
        draw.cache_clear()
        draw(chart)
        return figures[-1].axes[0]

    monkeypatch.setattr(Figure, "savefig", kept)
    return drawn


@pytest.mark.parametrize("count", [1, 2, 3, 7, 8, 36])
def test_a_chart_of_the_first_days_says_each_day_once(count: int, axes: Callable[[Chart], "Axes"]) -> None:
    days = tuple(str(date(2025, 1, 1) + timedelta(each)) for each in range(count))
    values = tuple(1200.0 + each for each in range(count))
    drawn = axes(Chart("c", COLUMNS, Column("day"), days, "GBP", (Series("revenue", values),)))
    said = [each.get_text() for each in drawn.get_xticklabels()]
    assert len(said) == len(set(said)) > 0
    if count <= 7:
        assert said == [f"{each} Jan" for each in range(1, count + 1)]


def test_a_curve_of_one_point_shows_it_where_it_is(axes: Callable[[Chart], "Axes"]) -> None:
    """A line has a beginning and an end: one value alone is neither, and would not be seen."""
    seen = Series("seen", (1.125, None))
    drawn = axes(Chart("c", CURVES, Column("price", CHANGE), (-0.1, 0.0), SHARE, (seen,)))
    assert [each.get_text() for each in drawn.get_xticklabels()] == ["-10 %", "0 %"]
    (line,) = drawn.lines
    assert (line.get_marker(), line.get_markevery()) == ("o", [0])


def test_a_line_has_no_points_where_it_is_one(axes: Callable[[Chart], "Axes"]) -> None:
    """But for those of its values that have no neighbour."""
    at = tuple(each / 10 for each in range(9))
    series = (
        Series("whole", tuple(map(float, range(9)))),
        Series("broken", (1.0, 1.0, None, 2.0, None, None, 3.0, 3.0, None)),
    )
    whole, broken = axes(Chart("c", CURVES, Column("price", CHANGE), at, SHARE, series)).lines
    assert whole.get_marker() == ""
    assert (broken.get_marker(), broken.get_markevery()) == ("o", [3])


def test_a_page_of_a_browser_has_its_pictures_in_it(report: Report) -> None:
    sources = [attrs["src"] or "" for tag, attrs in Page(report.body_alone).tags if tag == "img"]
    assert len(sources) == 3
    assert all(each.startswith("data:image/png;base64,") for each in sources)


def test_an_asset_whose_text_holds_no_figures_is_named(shop: Shop) -> None:
    open_for_business(shop)
    (shop.dags / "figures.json").write_text("something else")
    shop.load()
    shop.run()
    with pytest.raises(UsageError, match=rf"takings {DAY}: these are no figures"):
        rendered(shop)
