"""Claims about the watch over the demand model: noise asks for nothing, drift for one training, how it did is told."""

import copy
import hashlib
import io
import os
import shutil
import subprocess
import sys
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from dags import demand_model as weekly
from dags import demand_monitoring as monitoring
from dags import price_list as product
from demand_rows import WATCHED, watched
from samples import shop as simulated
from tests.scenario import ROOT, Shop
from tidemark import Partition, models
from tidemark.drift import drift, over, training_profile
from tidemark.frames.estimators import dumped, loaded
from tidemark.incidents.news import tell_accuracy
from tidemark.models.presenting import present
from tidemark.reading import read

# The champion is trained in the week of this Monday; from the next one on it is watched.
MONDAY = date(2011, 5, 9)
FIRST = MONDAY + timedelta(7)
DAYS = [FIRST + timedelta(each) for each in range(28)]


def partition(day: date) -> Partition:
    return Partition(str(day), datetime(day.year, day.month, day.day))


def parsed(text: str) -> pl.DataFrame:
    types = {"InvoiceNo": pl.String, "StockCode": pl.String, "CustomerID": pl.String}
    return pl.read_csv(io.StringIO(text), schema_overrides=types, try_parse_dates=True)


def day_of(orders: pl.DataFrame, day: date) -> pl.DataFrame:
    return product.product_days(product.order_lines(orders).lazy()).with_columns(partition=pl.lit(str(day)))


@pytest.fixture(scope="module")
def delivered() -> dict[date, pl.DataFrame]:
    """The order lines of each open day."""
    catalogue = simulated.products()
    days = [DAYS[-1] - timedelta(back) for back in reversed(range(160))]
    return {day: parsed(simulated.orders_of(day, catalogue)) for day in days if simulated.OPEN_DAYS.expects(day)}


@pytest.fixture(scope="module")
def sold(delivered: dict[date, pl.DataFrame]) -> pl.DataFrame:
    return pl.concat(day_of(orders, day) for day, orders in delivered.items())


def features_of(sold: pl.DataFrame, day: date) -> pl.DataFrame:
    days = sold["partition"].str.to_date()
    window = sold.filter((days > day - timedelta(28)) & (days <= day))
    return product.product_features(window.lazy(), partition(day))


def sundays(sold: pl.DataFrame, last: date) -> pl.DataFrame:
    found = [last - timedelta(7 * back) for back in reversed(range(15))]
    return pl.concat(features_of(sold, day).with_columns(partition=pl.lit(str(day))) for day in found)


@pytest.fixture(scope="module")
def learned(sold: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    known = sold.filter(pl.col("partition").str.to_date() < FIRST)
    return sundays(known, FIRST - timedelta(1)), known


@pytest.fixture(scope="module")
def champion(learned: tuple[pl.DataFrame, pl.DataFrame]) -> Any:
    return weekly.demand_model(*learned, partition(MONDAY))


def watch(sold: pl.DataFrame, champion: Any, days: list[date] = DAYS) -> list[dict[str, Any]]:
    """What demand_retrain says day by day."""
    found: list[dict[str, Any]] = []
    before = None
    for day in days:
        before = monitoring.demand_retrain(
            monitoring.demand_drift(features_of(sold, day), champion), before, partition(day)
        )
        found.append(before.row(0, named=True))
    return found


# --- what a champion brings along


def test_a_champion_brings_the_profile_of_what_it_was_trained_on(
    champion: Any, learned: tuple[pl.DataFrame, pl.DataFrame]
) -> None:
    """The Sundays before the twelve weeks that it learned from, and its own predictions on them."""
    profile = champion.training_profile_
    assert list(profile) == [*WATCHED, "predicted_units"]
    first, last = (str(MONDAY - timedelta(7 * weeks + 1)) for weeks in (13, 2))
    features = learned[0].filter(pl.col("partition").is_between(pl.lit(first), pl.lit(last)))
    assert profile == training_profile(watched(champion, features), list(profile))
    assert {each["count"] for each in profile.values()} == {12 * 80}
    assert over(drift(profile, watched(champion, features))) == []


def test_the_profile_is_kept_with_the_model(champion: Any, tmp_path: Path) -> None:
    (tmp_path / "model").write_bytes(dumped(champion, "here"))
    again = loaded(tmp_path / "model", "here")
    assert again.training_profile_ == champion.training_profile_
    assert dumped(again, "here") == dumped(champion, "here")


def test_two_processes_make_equal_bytes_of_it(
    champion: Any, learned: tuple[pl.DataFrame, pl.DataFrame], tmp_path: Path
) -> None:
    for name, table in zip("ab", learned, strict=True):
        table.write_parquet(tmp_path / name)
    script = f"""
import hashlib, polars as pl
from tests.dags.test_demand_monitoring import MONDAY, dumped, partition, weekly
made = weekly.demand_model(*(pl.read_parquet("{tmp_path}/" + name) for name in "ab"), partition(MONDAY))
assert made.training_profile_
print(hashlib.sha256(dumped(made, "here")).hexdigest())
"""
    for seed in "12":
        path = os.pathsep.join([str(ROOT / "plugins"), str(ROOT / "dags"), str(ROOT)])
        environ = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": path}
        made = subprocess.run([sys.executable, "-c", script], env=environ, cwd=ROOT, capture_output=True, text=True)
        assert made.stdout.strip() == hashlib.sha256(dumped(champion, "here")).hexdigest(), made.stderr


def test_what_has_no_price_has_no_prediction_and_harms_no_other(champion: Any, sold: pl.DataFrame) -> None:
    day = features_of(sold, FIRST).sort("stock_code")
    free = day.with_columns(usual_price_gbp=pl.when(pl.row_index() == 3).then(0.0).otherwise("usual_price_gbp"))
    said, other = (watched(champion, each)["predicted_units"].to_list() for each in (day, free))
    assert other.pop(3) is None
    assert said[:3] + said[4:] == pytest.approx(other)
    assert watched(champion, day.clear()).height == 0


# --- drift


def test_a_shop_that_stays_as_it_is_asks_for_nothing(sold: pl.DataFrame, champion: Any) -> None:
    found = watch(sold, champion)
    assert [each["drifting_days"] for each in found] == [0] * len(DAYS)
    assert not any(each["retrain"] for each in found)


def more_returns(orders: pl.DataFrame) -> pl.DataFrame:
    """Every other line of a product comes back."""
    back = orders.filter(pl.col("StockCode").str.contains("^[0-9]{5}"), pl.col("Quantity") > 0).gather_every(2)
    return pl.concat(
        [orders, back.with_columns(InvoiceNo=pl.concat_str(pl.lit("C"), "InvoiceNo"), Quantity=-pl.col("Quantity"))]
    )


def dearer(orders: pl.DataFrame) -> pl.DataFrame:
    return orders.with_columns(UnitPrice=(pl.col("UnitPrice") * 1.3).round(2))


def busier(orders: pl.DataFrame) -> pl.DataFrame:
    return orders.with_columns(Quantity=pl.col("Quantity") * 3)


@pytest.mark.parametrize(
    ("change", "feature"), [(more_returns, "return_rate"), (dearer, "mean_ratio"), (busier, "units_per_day")]
)
def test_a_shop_that_changes_asks_once(
    delivered: dict[date, pl.DataFrame], sold: pl.DataFrame, champion: Any, change: Any, feature: str
) -> None:
    """From a day on more is returned, everything is dearer, or more is sold: the sixth day in a row asks no more."""
    begins = DAYS[7]
    later = [day_of(change(orders), day) for day, orders in delivered.items() if day >= begins]
    changed = pl.concat([sold.filter(pl.col("partition") < str(begins)), *later])
    found = watch(changed, champion)
    assert [each["drifting_days"] for each in found[:7]] == [0] * 7
    asked = [number for number, each in enumerate(found) if each["retrain"]]
    assert len(asked) == 1
    told = found[asked[0]]
    assert told["drifting_days"] == monitoring.DRIFT_DAYS
    assert feature in told["features"].split(", ")
    assert told["since"] == str(DAYS[asked[0] - monitoring.DRIFT_DAYS + 1])
    assert max(each["drifting_days"] for each in found) > monitoring.DRIFT_DAYS
    assert begins <= date.fromisoformat(told["since"]) < begins + timedelta(10)


def test_two_hundred_histories_of_noise_ask_for_nothing_and_as_many_shifts_for_one_training_each() -> None:
    """Seven days of eighty rows; the shift is 30 % of one feature, which varies by 15 %."""
    rng = np.random.default_rng(9)

    def rows(count: int, share: float = 1.0) -> pl.DataFrame:
        return pl.DataFrame({"price": rng.lognormal(0, 0.15, count) * share, "units": rng.lognormal(2.7, 0.5, count)})

    profile = training_profile(rows(960), ["price", "units"])

    def asked(share: float) -> list[int]:
        """On which of the days."""
        before, found = None, []
        for number in range(7):
            table = drift(profile, rows(80, share))
            said = table.with_columns(over=pl.col("feature").is_in(over(table)), champion=pl.lit("it"))
            before = monitoring.demand_retrain(said, before, partition(FIRST + timedelta(number)))
            found += [number] * before["retrain"].item()
        return found

    assert [asked(1.0) for _ in range(200)] == [[]] * 200
    assert [asked(1.3) for _ in range(200)] == [[monitoring.DRIFT_DAYS - 1]] * 200


def told(days: str, drift_days: int = 3) -> list[tuple[int, bool, str | None]]:
    """What is said day by day: a letter is the champion of a day with drift, a small one without; '.' is none."""
    before, found = None, []
    for number, letter in enumerate(days):
        row = {"feature": "trend", "over": letter.isupper(), "champion": letter.upper()}
        table = pl.DataFrame([row]) if letter != "." else pl.DataFrame([row]).clear()
        before = monitoring.demand_retrain(table, before, partition(FIRST + timedelta(number)), drift_days)
        found.append(before.select("drifting_days", "retrain", "since").row(0))
    return found


@pytest.mark.parametrize(
    ("days", "counts", "asked"),
    [
        ("aaaa", [0, 0, 0, 0], []),
        ("AAAAAA", [1, 2, 3, 4, 5, 6], [2]),
        ("AAaAAaAA", [1, 2, 0, 1, 2, 0, 1, 2], []),
        ("AAAAaAAAA", [1, 2, 3, 4, 0, 1, 2, 3, 4], [2, 7]),
        ("AAAABBBB", [1, 2, 3, 4, 1, 2, 3, 4], [2, 6]),
        ("AABB", [1, 2, 1, 2], []),
        ("AA.AAA", [1, 2, 0, 1, 2, 3], [5]),
        ("AAAAbbBBB", [1, 2, 3, 4, 0, 0, 1, 2, 3], [2, 8]),
    ],
)
def test_an_episode_asks_once_and_ends_with_a_day_without_drift_or_with_its_champion(
    days: str, counts: list[int], asked: list[int]
) -> None:
    found = told(days)
    assert [count for count, _, _ in found] == counts
    assert [number for number, (_, retrain, _) in enumerate(found) if retrain] == asked
    for number, (count, _, since) in enumerate(found):
        assert since == (str(FIRST + timedelta(number + 1 - count)) if count else None)


def test_the_calendar_asks_for_nothing(sold: pl.DataFrame, champion: Any) -> None:
    """On a Saturday nothing was sold for a day: that is measured, and no drift."""
    saturday = monitoring.demand_drift(features_of(sold, FIRST + timedelta(5)), champion)
    row = saturday.row(by_predicate=pl.col("feature") == "days_since_last_sale", named=True)
    assert row["psi"] > 1
    assert not row["over"]


def test_without_a_champion_nothing_is_compared(sold: pl.DataFrame, champion: Any) -> None:
    """Neither with one that was trained without a profile."""
    day = features_of(sold, FIRST)
    bare = copy.copy(champion)
    del bare.training_profile_
    for none in (monitoring.demand_drift(day, None), monitoring.demand_drift(day, bare)):
        assert none.is_empty()
        assert none.schema == monitoring.demand_drift(day, champion).schema
        said = monitoring.demand_retrain(none, None, partition(FIRST)).row(0, named=True)
        assert said == {"drifting_days": 0, "features": "", "retrain": False, "since": None, "champion": None}


# --- how it did


def week_of(sold: pl.DataFrame, monday: date) -> tuple[pl.DataFrame, pl.DataFrame]:
    """What the week's partition reads."""
    day = monday - timedelta(1)
    features = features_of(sold, day).with_columns(partition=pl.lit(str(day)))
    days = sold["partition"].str.to_date()
    return features, sold.filter((days >= monday - timedelta(7)) & (days < monday + timedelta(7)))


def test_how_a_week_went_is_what_is_computed_product_by_product(sold: pl.DataFrame, champion: Any) -> None:
    """Prices, units and deviances once more, by hand."""
    features, days = week_of(sold, FIRST)
    row = monitoring.demand_model_performance(features, days, partition(FIRST), champion).row(0, named=True)
    week = days.filter(pl.col("partition") >= str(FIRST))
    said = actual = revenue_said = revenue = deviance = baseline = 0.0
    for product_ in features.to_dicts():
        code = product_["stock_code"]
        rows = week.filter(pl.col("stock_code") == code)
        bought = [(each["units_sold"], each["mean_price_gbp"]) for each in rows.to_dicts() if each["units_sold"]]
        before = days.filter((pl.col("partition") < str(FIRST)) & (pl.col("stock_code") == code))["units_sold"].sum()
        units = sum(count for count, _ in bought)
        price = sum(count * each for count, each in bought) / units
        asked = {
            "price_ratio": price / product_["usual_price_gbp"],
            "mean_ratio": product_["mean_price_gbp"] / product_["usual_price_gbp"],
            "open_days": week["partition"].n_unique(),
            **{name: product_[name] for name in ("units_per_day", "trend", "return_rate", "days_since_last_sale")},
        }
        predicted = float(champion.predict(pl.DataFrame([asked]).select(weekly.FEATURES).to_pandas())[0])
        said, actual = said + predicted, actual + units
        revenue_said, revenue = revenue_said + predicted * price, revenue + units * price
        deviance += 2 * (units * np.log(units / predicted) - units + predicted)
        baseline += 2 * (units * np.log(units / before) - units + before)
    count = features.height
    assert (row["week"], row["products"], row["actual_units"]) == (FIRST, count, actual)
    assert row["predicted_units"] == pytest.approx(said, abs=0.001)
    assert row["predicted_revenue_gbp"] == pytest.approx(revenue_said, abs=0.01)
    assert row["actual_revenue_gbp"] == pytest.approx(revenue, abs=0.01)
    assert row["deviance_champion"] == pytest.approx(deviance / count, abs=1e-5)
    assert row["deviance_baseline"] == pytest.approx(baseline / count, abs=1e-5)
    assert row["deviance_champion"] < row["deviance_baseline"]


def test_without_a_champion_the_week_has_its_baseline(sold: pl.DataFrame, champion: Any) -> None:
    inputs = week_of(sold, FIRST)
    none = monitoring.demand_model_performance(*inputs, partition(FIRST))
    whole = monitoring.demand_model_performance(*inputs, partition(FIRST), champion)
    assert none.schema == whole.schema
    same = ["week", "products", "deviance_baseline", "actual_units", "actual_revenue_gbp"]
    assert none.select(same).equals(whole.select(same))
    assert none.select(pl.exclude(same)).row(0) == (None, None, None)


def test_a_week_in_which_nothing_was_sold_has_a_row(sold: pl.DataFrame, champion: Any) -> None:
    features, days = week_of(sold, FIRST)
    none = monitoring.demand_model_performance(
        features, days.filter(pl.col("partition") < str(FIRST)), partition(FIRST), champion
    )
    assert none.row(0) == (FIRST, 0, None, None, None, 0, None, 0)


def weeks(count: int, with_champion: int) -> pl.DataFrame:
    """A table of performance of so many weeks, the last of them with a champion."""
    mondays = [FIRST + timedelta(7 * each) for each in range(count)]
    said = [None if each < count - with_champion else 8000.0 + 100 * each for each in range(count)]
    return pl.DataFrame(
        {
            "week": mondays,
            "predicted_units": pl.Series(said, dtype=pl.Float64),
            "actual_units": [8000.0 - 50 * each for each in range(count)],
            "deviance_champion": pl.Series([each and 1.5 for each in said], dtype=pl.Float64),
            "deviance_baseline": [8.0] * count,
            "partition": [str(each) for each in mondays],
        }
    )


def pixels(png: bytes) -> Any:
    from matplotlib.image import imread

    return imread(io.BytesIO(png))


@pytest.mark.parametrize(("count", "with_champion"), [(1, 0), (1, 1), (26, 10)])
def test_the_plot_is_a_picture_and_the_same_bytes_again(count: int, with_champion: int) -> None:
    """In whatever order weeks come, and whatever else was drawn and set."""
    import matplotlib

    table = weeks(count, with_champion)
    drawn = monitoring.demand_model_performance_plot(table)
    assert pixels(drawn).shape == (600, 900, 4)
    with matplotlib.rc_context({"font.size": 20, "lines.linewidth": 9}):
        assert monitoring.demand_model_performance_plot(table.reverse()) == drawn
    assert b"Software" not in drawn


def test_the_plot_shows_the_champion_in_blue_where_there_was_one() -> None:
    def blue(table: pl.DataFrame) -> int:
        red, _, blue = np.moveaxis(pixels(monitoring.demand_model_performance_plot(table))[:, :, :3], 2, 0)
        return int(np.count_nonzero(blue - red > 0.4))

    assert blue(weeks(20, 0)) < blue(weeks(20, 3)) < blue(weeks(20, 15))


# --- all of it, planned and run


STORY = date(2011, 6, 6)
CHANGE = date(2011, 6, 13)


@pytest.fixture
def product_shop(shop: Shop) -> Shop:
    """The reference product with fourteen weeks of deliveries; from a Monday on every other line comes back."""
    for folder in ("dags", "expectations"):
        shutil.copytree(ROOT / folder, shop.home / folder, dirs_exist_ok=True)
    simulated.simulate(shop.landing, days=98, until=CHANGE + timedelta(13))
    for file in (shop.landing / "orders").glob("*.csv"):
        if file.stem >= str(CHANGE):
            orders = more_returns(pl.read_csv(file, infer_schema=False).with_columns(pl.col("Quantity").cast(pl.Int64)))
            orders.write_csv(file)
    shop.more = {"TIDEMARK_APPROVERS": "ann", "TIDEMARK_FOUR_EYES": "off"}
    for file in shop.landing.rglob("*.csv"):
        os.utime(file, (0, 0))
    shop.load()
    return shop


def promote(shop: Shop, first: date) -> None:
    """Judge the newest candidate, as each run does, and make it the champion from a day on."""
    pipeline = shop.pipelines["demand_model"]
    with shop.deployment() as deployment:
        made = present(deployment, pipeline, "demand_model", run="run", actor="ann")
        assert made is not None
        assert made.passed, made.page
        models.promote(deployment, pipeline, "demand_model", None, first=first, why="so", actor="ann")


@pytest.mark.slow
def test_the_story_of_a_champion_that_is_watched_and_asks_for_its_successor_once(product_shop: Shop) -> None:
    shop = product_shop
    shop.now(f"{STORY}T07:00")
    for name in ("price_list", "demand_model", "demand_monitoring"):
        shop.run(name)
    assert set(map(len, shop.heads("demand_drift").values())) == {0}
    promote(shop, STORY)

    shop.now(f"{CHANGE + timedelta(14)}T07:00")
    for name in ("price_list", "demand_monitoring"):
        shop.run(name)
    assert {len(rows) for day, rows in shop.heads("demand_drift").items() if day < str(STORY)} == {0}
    said = {day: row for day, (row,) in shop.heads("demand_retrain").items() if day >= str(STORY)}
    assert len(said) == 21
    assert [row["features"] for day, row in said.items() if day < str(CHANGE)] == [""] * 7
    asked = [day for day, row in said.items() if row["retrain"]]
    assert len(asked) == 1
    assert "return_rate" in said[asked[0]]["features"]
    assert list(said.values())[-1]["drifting_days"] > monitoring.DRIFT_DAYS

    how = {week: row for week, (row,) in shop.heads("demand_model_performance").items()}
    week = str(CHANGE + timedelta(7))
    assert how[week]["deviance_champion"] > 0
    with shop.deployment() as deployment:
        told = tell_accuracy(deployment, shop.pipelines["demand_monitoring"], f"run {shop._runs}")
    before, now = (how[each]["deviance_champion"] for each in (str(CHANGE), week))
    assert told == (abs(now - before) >= 0.1 * before), "of the two newest weeks, whatever they came to"
    assert how[str(STORY - timedelta(7))]["deviance_champion"] is None
    with shop.deployment() as deployment:
        champion = read("demand_model", str(STORY - timedelta(7)), deployment=deployment)
        sold = pl.concat(
            read("product_days", str(day), deployment=deployment).with_columns(partition=pl.lit(str(day)))
            for day in (CHANGE + timedelta(each) for each in range(14))
            if simulated.OPEN_DAYS.expects(day)
        )
        features = read("product_features", str(CHANGE + timedelta(6)), deployment=deployment)
        plot = read("demand_model_performance_plot", week, deployment=deployment)
    features = features.with_columns(partition=pl.lit(str(CHANGE + timedelta(6))))
    again = monitoring.demand_model_performance(features, sold, partition(CHANGE + timedelta(7)), champion)
    assert again.row(0, named=True) == how[week]
    assert pixels(plot).shape == (600, 900, 4)

    shop.run("demand_monitoring")
    assert shop.ran == {}

    # The successor has learned from a shop as it was: with it a new episode begins.
    shop.run("demand_model")
    begins = CHANGE + timedelta(10)
    promote(shop, begins)
    shop.run("demand_monitoring")
    assert set(shop.ran["demand_drift"]) == {str(begins + timedelta(each)) for each in range(4)}
    again = {day: row for day, (row,) in shop.heads("demand_retrain").items() if day >= str(begins)}
    assert [row["drifting_days"] for row in again.values()] == [1, 2, 3, 4]
    assert {row["since"] for row in again.values()} == {str(begins)}
    assert shop.planned("demand_monitoring", verify=True).items == ()
