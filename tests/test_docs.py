"""The documentation does what it says."""

import re
import sys
from pathlib import Path

import pytest

from tidemark.catalog import load_catalog

ROOT = Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])


def test_the_pipeline_that_the_scientists_page_shows_is_one(tmp_path):
    """The example is a whole file: it is imported as it stands, and defines what the page says."""
    example = re.search(r"<!-- runs: (\S+) -->\n```python\n(.*?)```", (ROOT / "docs/scientist.md").read_text(), re.S)
    (tmp_path / example[1]).write_text(example[2])
    catalog = load_catalog(tmp_path)
    assert not catalog.problems
    assert [each.name for each in catalog.pipeline("turnover").assets] == ["turnover", "weekly_turnover", "best_day"]


def test_the_pipeline_of_the_page_on_clusters_is_one_and_imports_no_engine(tmp_path):
    """The example is a whole file, whose frames are known by name: the DAG processor pays for neither engine."""
    example = re.search(r"<!-- runs: (\S+) -->\n```python\n(.*?)```", (ROOT / "docs/scale.md").read_text(), re.S)
    (tmp_path / example[1]).write_text(example[2])
    before = set(sys.modules)
    catalog = load_catalog(tmp_path)
    assert not catalog.problems
    assert [each.name for each in catalog.pipeline("wide_turnover").assets] == ["wide_turnover", "wide_week"]
    assert {"dask", "distributed", "pyspark"}.isdisjoint(set(sys.modules) - before)


def test_the_asset_that_the_readme_shows_is_one(tmp_path):
    """The README's example is imported as it stands, and is none of the demo's: both are in one folder there."""
    example = re.search(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.S)
    (tmp_path / "slow_sellers.py").write_text(example[1])
    (tmp_path / "best_sellers.py").write_text((ROOT / "demo/best_sellers.txt").read_text())
    catalog = load_catalog(tmp_path)
    assert not catalog.problems
    assert "product_days" in catalog.pipeline("slow_sellers").externals
    assert len({member.name for each in catalog.pipelines.values() for member in each.members}) == 2
    assert "`.demo/dags/slow_sellers.py`" in (ROOT / "README.md").read_text()


def test_the_dag_that_the_operators_page_shows_follows_partitions(tmp_path):
    """The example is a whole file that Airflow loads; its schedule is the only one that sees partitioned events."""
    from airflow.sdk import Asset, PartitionedAssetTimetable

    page = (ROOT / "docs/operator.md").read_text()
    example = re.search(r"<!-- runs: docs_on_prices.py -->\n```python\n(.*?)```", page, re.S)
    space = {}
    exec(compile(example[1], str(tmp_path / "docs_on_prices.py"), "exec"), space)
    assert isinstance(space["dag"].timetable, PartitionedAssetTimetable)
    assert space["dag"].timetable.asset_condition == Asset("price_list")
    assert space["dag"].task_ids == ["print_it"]


def test_what_the_scientists_page_asks_for_is_what_its_assets_have(tmp_path):
    """The example is imported as it stands, and the page's table says what may be asked for."""
    page = (ROOT / "docs/scientist.md").read_text()
    example = re.search(r"<!-- runs: docs_forecast.py -->\n```python\n(.*?)```", page, re.S)
    (tmp_path / "docs_forecast.py").write_text(example[1])
    catalog = load_catalog(tmp_path)
    assert not catalog.problems
    busy, forecast = catalog.pipeline("forecast").assets
    assert (busy.resources.cpu, busy.resources.memory, busy.pool, busy.image) == ("2", "8Gi", "nightly", None)
    assert forecast.image == "registry.example.org/pricing/forecast:1.4"
    assert all(f"| `{option}=` |" in page for option in ("resources", "pool", "image"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_to_a_file(page):
    """A link within the repository leads somewhere."""
    for target in re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), target


def test_every_setting_is_documented():
    """The administrator's table names each variable that the settings know."""
    from tidemark.config import in_force

    table = (ROOT / "docs/administrator.md").read_text()
    assert not [name for name in in_force() if f"`{name}`" not in table]


def test_the_report_that_its_page_shows_is_one(tmp_path):
    """The example is imported as it stands; what it returns are figures."""
    import polars as pl

    from tidemark.figures import Figures

    page = (ROOT / "docs/business-report.md").read_text()
    example = re.search(r"<!-- runs: takings.py -->\n```python\n(.*?)```", page, re.S)
    (tmp_path / "takings.py").write_text(example[1])
    catalog = load_catalog(tmp_path)
    assert not catalog.problems
    made = catalog.pipeline("takings")
    assert made.reports == ("takings",)
    countries = pl.DataFrame({"country": ["Spain"], "revenue_gbp": [8.0], "revenue_eur": [9.506]})
    figures = Figures.of_text(made.asset("takings").function(countries))
    assert [each.value for each in figures.numbers] == [9.51, 1]
