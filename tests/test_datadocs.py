"""Data Docs: which pages there are, that they need no network, and that data is never markup in them."""

import re
from pathlib import Path

import pyarrow as pa
import pytest

from tests.gates import SUITES, fx_rates, rule, twice, with_cell, write_suite
from tidemark.errors import Unavailable
from tidemark.gate import Gate, Outcome

VERSION = "1f3a5c7e9b0d"


def pages(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def docs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """After three good days, a day with a slipped decimal point and one with a currency twice."""
    folder = tmp_path_factory.mktemp("docs")
    gate = Gate(SUITES, folder)
    for day, table in enumerate(
        [fx_rates(), fx_rates(), with_cell(fx_rates(), "eur_rate", 0, 8.6), twice(fx_rates()), fx_rates()], start=3
    ):
        gate.check("fx_rates", table, label=f"fx_rates 2011-01-0{day} {VERSION}")
    gate.finish()
    return folder


def test_checks_that_did_not_pass_have_a_page_each(docs: Path) -> None:
    """And those that passed have one together, for the newest: a year of good days is no year of pages."""
    assert pages(docs) == {
        "index.html",
        "fx_rates/rules.html",
        "fx_rates/passed.html",
        f"fx_rates/fx_rates-2011-01-05-{VERSION}.flagged.html",
        f"fx_rates/fx_rates-2011-01-06-{VERSION}.blocked.html",
    }
    assert "fx_rates 2011-01-07" in (docs / "fx_rates/passed.html").read_text()


def test_a_page_is_there_as_soon_as_the_check_is_over(tmp_path: Path) -> None:
    """Whoever is told of a blocked delivery can look at once, be the worker killed a moment later."""
    result = Gate(SUITES, tmp_path).check("fx_rates", twice(fx_rates()), label="fx_rates 2011-01-05")
    assert result.page == "fx_rates/fx_rates-2011-01-05.blocked.html"
    assert pages(tmp_path) == {result.page}


def test_a_page_says_what_failed(docs: Path) -> None:
    """In the words of the result, with the severity; and what was demanded of the rest."""
    page = (docs / f"fx_rates/fx_rates-2011-01-06-{VERSION}.blocked.html").read_text()
    assert f"fx_rates 2011-01-06 {VERSION}: blocked" in page
    assert "fx_rates.currency: 2 of 11 values (18.2 %) fail: values must be unique; e.g. GBP in row 1" in page
    assert page.count('class="badge critical"') + page.count('class="badge warning"') == 18
    assert "100% not null" in page


def test_the_index_leads_to_every_page(docs: Path) -> None:
    """No link of the index, or of a page, leads nowhere."""
    assert set(links(docs / "index.html")) == pages(docs) - {"index.html"}
    for page in docs.glob("fx_rates/*.html"):
        for link in links(page):
            assert (page.parent / link).is_file(), f"{page.name}: {link}"


def links(page: Path) -> list[str]:
    return re.findall(r'href="([^"#]+)"', page.read_text())


def test_pages_fetch_nothing(docs: Path) -> None:
    """No script, style, font or picture from elsewhere, not even an address: a closed network is enough."""
    for page in docs.rglob("*.html"):
        assert "//" not in re.sub(r"<!--.*?-->", "", page.read_text()), page.name


def test_the_index_of_an_earlier_run_is_kept_up(docs: Path, tmp_path: Path) -> None:
    """Another process, other suites: the index has what is in the folder."""
    for suite in ("a", "b"):
        write_suite(tmp_path, rule("expect_column_to_exist", column="n"), name=suite)
        gate = Gate(tmp_path, tmp_path / "docs")
        gate.check(suite, pa.table({"n": [1]}), label=f"{suite} 2011")
        gate.finish()
    assert set(links(tmp_path / "docs" / "index.html")) == {f"{s}/{p}.html" for s in "ab" for p in ("rules", "passed")}


def test_data_is_never_markup(tmp_path: Path) -> None:
    """A cell, a column name or a label that is HTML is shown letter by letter; so is one that is a template."""
    attack = "<script>alert('$x $$ ${column}')</script>"
    rules = [
        rule("expect_column_values_to_be_in_set", column="text", value_set=["a"]),
        rule("expect_column_most_common_value_to_be_in_set", column="text", value_set=["a"]),
        rule("expect_column_distinct_values_to_equal_set", column="text", value_set=["a"]),
        rule("expect_table_columns_to_match_set", column_set=["text"]),
        rule("expect_column_values_to_match_regex", column="text", regex="^<b>$"),
    ]
    write_suite(tmp_path, *rules)
    table = pa.table({"text": [attack], attack: [1]})
    gate = Gate(tmp_path, tmp_path / "docs")
    result = gate.check("prices", table, label=f"prices {attack}")
    gate.finish()
    assert (result.outcome, len(result.failures)) == (Outcome.BLOCKED, 5)
    for page in (tmp_path / "docs").rglob("*.html"):
        assert "<script" not in page.read_text().lower(), page.name
        assert "<b>" not in page.read_text(), page.name
    assert (
        "&lt;script&gt;alert(&#x27;&#36;x &#36;&#36; &#36;{column}&#x27;)"
        in (tmp_path / "docs" / result.page).read_text()
    )


def test_labels_make_file_names_that_stay_apart(tmp_path: Path) -> None:
    """A label cannot leave the folder; two that differ in odd characters only have two pages."""
    write_suite(tmp_path, rule("expect_column_to_exist", column="gone"))
    gate = Gate(tmp_path, tmp_path / "docs")
    labels = ["../../etc/passwd", "a/b", "a:b", "a b", "x" * 500, "2011-01-05T06"]
    made = [gate.check("prices", pa.table({"n": [1]}), label=label).page for label in labels]
    assert len(set(made)) == len(labels)
    assert {f"docs/{page}" for page in made} == {page for page in pages(tmp_path) if page.startswith("docs/")}
    assert made[-1] == "prices/2011-01-05T06.blocked.html"


def test_a_folder_that_cannot_be_written_is_worth_a_retry(tmp_path: Path) -> None:
    """Nothing is left half written, and the message names the page."""
    (tmp_path / "docs").write_text("a file where the folder should be")
    with pytest.raises(Unavailable, match=r"Data Docs cannot be written to .*fx_rates-2011\.blocked\.html: "):
        Gate(SUITES, tmp_path / "docs").check("fx_rates", twice(fx_rates()), label="fx_rates 2011")


def test_without_a_folder_there_are_no_pages(tmp_path: Path) -> None:
    """Data Docs are optional; finishing is not wrong."""
    gate = Gate(SUITES, None)
    assert gate.check("fx_rates", twice(fx_rates()), label="fx_rates").page is None
    gate.finish()
    Gate(SUITES, tmp_path).finish()
    assert pages(tmp_path) == set()
