"""The walk forward learns from nothing that it scores, and its figures are those of another computation."""

import io
import math
import os
import subprocess
import sys
from collections import defaultdict
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from sklearn.base import clone

from benchmarks import walk_forward
from dags import demand_model as weekly
from dags import price_list as product
from samples import shop, simulate
from tidemark import Partition

# A Thursday: its week has begun and is not over.
NEWEST = date(2011, 6, 2)
FIRST = date(2011, 5, 16)
WEEK = timedelta(7)


@pytest.fixture(scope="module")
def sold() -> pl.DataFrame:
    """What the simulated shop sold on each of 130 days; the model's window is 99."""
    catalogue, found = shop.products(), []
    for back in reversed(range(130)):
        day = NEWEST - timedelta(back)
        if shop.OPEN_DAYS.expects(day):
            types = {"InvoiceNo": pl.String, "StockCode": pl.String, "CustomerID": pl.String}
            text = io.StringIO(shop.orders_of(day, catalogue))
            orders = pl.read_csv(text, schema_overrides=types, try_parse_dates=True)
            made = product.product_days(product.order_lines(orders).lazy())
            found.append(made.with_columns(partition=pl.lit(str(day))))
    return pl.concat(found)


@pytest.fixture(scope="module")
def features(sold: pl.DataFrame) -> pl.DataFrame:
    """The features of every Sunday."""
    days, found = sold["partition"].str.to_date(), []
    for back in reversed(range(18)):
        sunday = NEWEST - timedelta(4 + 7 * back)
        window = sold.filter((days > sunday - timedelta(28)) & (days <= sunday)).lazy()
        made = product.product_features(window, Partition(str(sunday), datetime(sunday.year, sunday.month, sunday.day)))
        found.append(made.with_columns(partition=pl.lit(str(sunday))))
    return pl.concat(found)


@pytest.fixture(scope="module")
def walked(features: pl.DataFrame, sold: pl.DataFrame) -> list[dict[str, Any]]:
    return list(walk_forward.walk(features, sold, FIRST))


def test_every_week_up_to_the_last_full_one_is_scored(walked: list[dict[str, Any]]) -> None:
    assert [row["week"] for row in walked] == [FIRST, FIRST + WEEK]
    assert [row["products"] for row in walked] == [80, 80]


def test_no_week_is_learned_from_that_is_not_over_before_the_held_out_one(
    features: pl.DataFrame, sold: pl.DataFrame, walked: list[dict[str, Any]]
) -> None:
    """The newest week ends on the day before; and what is sold from the held-out Monday on moves no model."""
    for row in walked:
        assert row["learned_until"] + WEEK == row["week"]
    day = pl.col("partition").str.to_date()
    more = pl.when(day >= FIRST).then(pl.col("units_sold") * 9).otherwise("units_sold")
    other = next(walk_forward.walk(features, sold.with_columns(units_sold=more), FIRST))
    assert other["elasticity"] == walked[0]["elasticity"]
    assert other["deviance_candidate"] > 2 * walked[0]["deviance_candidate"]


def poisson(pairs: list[tuple[float, float]]) -> float:
    """Mean Poisson deviance of units and what was expected, as the books have it; no unit of any row is 0."""
    return sum(2 * (units * math.log(units / expected) - units + expected) for units, expected in pairs) / len(pairs)


def test_its_figures_are_those_of_another_computation(
    features: pl.DataFrame, sold: pl.DataFrame, walked: list[dict[str, Any]]
) -> None:
    """Twelve weeks of rows picked by their dates, and added up line by line."""
    rows, units, money = weekly.weekly_rows(features, sold), defaultdict(int), defaultdict(float)
    opened = defaultdict(set)
    for line in sold.to_dicts():
        day = date.fromisoformat(line["partition"])
        monday = day - timedelta(day.weekday())
        opened[monday].add(day)
        units[monday, line["stock_code"]] += line["units_sold"]
        money[monday, line["stock_code"]] += line["units_sold"] * (line["mean_price_gbp"] or 0)
    unfitted = clone(weekly.demand_model(features, sold, walk_forward._partition(FIRST)))
    once = None
    for row in walked:
        week = row["week"]
        learned = rows.filter(pl.col("week").is_between(week - 12 * WEEK, week - WEEK))
        held_out = rows.filter(pl.col("week") == week)
        made = clone(unfitted).fit(learned.select(weekly.FEATURES).to_pandas(), learned["units"].to_numpy())
        once = once or made
        offers = held_out.select(weekly.FEATURES).to_pandas()
        codes = held_out["stock_code"].to_list()
        expected = {
            "candidate": made.predict(offers),
            "once": once.predict(offers),
            "unpriced": made.predict(offers.assign(price_ratio=offers["mean_ratio"])),
            "baseline": [units[week - WEEK, code] or 0.5 for code in codes],
            "usual": [each * len(opened[week]) for each in held_out["units_per_day"]],
        }
        assert row["learned_rows"] == learned.height
        assert row["open_days"] == len(opened[week])
        assert expected.keys() == walk_forward.FORECASTS.keys()
        for name, forecast in expected.items():
            pairs = [(units[week, code], each) for code, each in zip(codes, forecast, strict=True)]
            assert row[f"deviance_{name}"] == pytest.approx(poisson(pairs)), name
            revenue = sum(
                each / units[week, code] * money[week, code] for code, each in zip(codes, forecast, strict=True)
            )
            came = sum(money[week, code] for code in codes)
            assert row[f"revenue_{name}"] == pytest.approx(revenue / came - 1), name


def test_the_same_figures_give_the_same_tables_and_the_same_picture(
    walked: list[dict[str, Any]], tmp_path: Path
) -> None:
    """To the byte, so that a picture that differs has other figures."""
    frame = pl.DataFrame(walked)
    for name in ("one.svg", "two.svg"):
        walk_forward.plot(frame, tmp_path / name)
    assert (tmp_path / "one.svg").read_bytes() == (tmp_path / "two.svg").read_bytes()
    lines = walk_forward.tables(frame).splitlines()
    assert [line.split(" | ")[0] for line in lines if line.startswith("| 2011")] == 2 * ["| 2011-05-16", "| 2011-05-23"]
    assert "| candidate | baseline | 2 | 2 |" in lines


@pytest.mark.slow
def test_the_command_plays_deliveries_and_prints_and_draws(tmp_path: Path) -> None:
    """Thirty days are enough for a week: two weeks to learn from, and one that has begun after it."""
    simulate(tmp_path / "landing", days=30, until=NEWEST)
    command = [sys.executable, "-m", "benchmarks.walk_forward", "--landing", str(tmp_path / "landing")]
    command += ["--first", str(FIRST + WEEK), "--until", str(NEWEST), "--plot", str(tmp_path / "plot.svg")]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=Path(__file__).parents[1])
    assert done.returncode == 0, done.stderr
    assert "| 2011-05-23 | 6 | 80 | 160 | " in done.stdout
    assert (tmp_path / "plot.svg").read_text().startswith("<?xml")
    assert sorted(each.name for each in (tmp_path / "landing").iterdir()) == ["fx_rates", "orders"]
