"""Claims about the daily business report: its figures are what a person would count, and nobody's data is in it."""

import csv
import io
import os
import re
import shutil
from collections import Counter, defaultdict
from datetime import date, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest

import report_figures as make
from dags import business_report as report
from dags import demand_model as weekly
from dags import price_list as product
from samples import shop as simulated
from tests.incidents.story import told
from tests.scenario import ROOT, Shop
from tidemark import Partition, models
from tidemark.figures import Figures, Section
from tidemark.models.presenting import present
from tidemark.reports import days_of, render

DAY = date(2011, 5, 25)  # a Wednesday
WEEK_BEFORE = DAY - timedelta(7)
DAYS = [DAY - timedelta(back) for back in reversed(range(report.SHOWN_DAYS + 28))]
TITLES = ["Revenue", "Top products", "Largest price changes", "Price and demand", "How the model did", "Drift"]


def partition(day: date = DAY) -> Partition:
    return Partition(str(day), datetime(day.year, day.month, day.day))


@pytest.fixture(scope="module")
def files() -> dict[date, str]:
    """What is delivered on each open day; who buys is marked, so that it is found wherever it gets to."""
    catalogue, found = simulated.products(), {}
    for day in DAYS:
        if simulated.OPEN_DAYS.expects(day):
            rows = list(csv.reader(io.StringIO(simulated.orders_of(day, catalogue))))
            place = rows[0].index("CustomerID")
            text = io.StringIO()
            csv.writer(text).writerows(
                [rows[0], *([*r[:place], r[place] and f"WHO{r[place]}", *r[place + 1 :]] for r in rows[1:])]
            )
            found[day] = text.getvalue()
    return found


@pytest.fixture(scope="module")
def lines(files: dict[date, str]) -> pl.DataFrame:
    """The order lines of all days, with their day."""
    types = {"InvoiceNo": pl.String, "StockCode": pl.String, "CustomerID": pl.String}

    def of(day: date, text: str) -> pl.DataFrame:
        orders = pl.read_csv(io.StringIO(text), schema_overrides=types, try_parse_dates=True)
        return product.order_lines(orders).with_columns(partition=pl.lit(str(day)))

    return pl.concat(of(day, text) for day, text in files.items())


@pytest.fixture(scope="module")
def sold(lines: pl.DataFrame) -> pl.DataFrame:
    """What product_days holds, with its day."""
    days = lines.partition_by("partition", as_dict=True, maintain_order=True)
    return pl.concat(
        product.product_days(each.drop("partition").lazy()).with_columns(partition=pl.lit(day))
        for (day,), each in days.items()
    )


def since(frame: pl.DataFrame, days: int, last: date = DAY) -> pl.DataFrame:
    return frame.filter(pl.col("partition").is_between(pl.lit(str(last - timedelta(days - 1))), pl.lit(str(last))))


@pytest.fixture(scope="module")
def features(sold: pl.DataFrame) -> pl.DataFrame:
    return product.product_features(since(sold, 28).lazy(), partition())


@pytest.fixture(scope="module")
def inputs(lines: pl.DataFrame, sold: pl.DataFrame, features: pl.DataFrame) -> dict[str, Any]:
    """What the report reads on a day without a model."""
    now = features.select("stock_code", price_gbp=pl.col("usual_price_gbp").round(2)).sort("stock_code")
    before = now.with_columns(price_gbp=(pl.col("price_gbp") * pl.Series(np.linspace(0.96, 1.04, now.height))).round(2))
    prices = [each.with_columns(partition=pl.lit(str(day))) for each, day in ((before, DAY - timedelta(1)), (now, DAY))]
    return {
        "order_lines": since(lines, 1).drop("partition"),
        "recent_lines": since(lines, 8).lazy(),
        "product_days": since(sold, report.SHOWN_DAYS),
        "partition": partition(),
        "product_features": features,
        "base_prices": pl.concat(prices),
    }


@pytest.fixture(scope="module")
def champion(sold: pl.DataFrame) -> Any:
    known = sold.filter(pl.col("partition") < str(DAY))
    monday = DAY - timedelta(DAY.weekday())
    sundays = [monday - timedelta(7 * back + 1) for back in reversed(range(6))]
    windows = [
        product.product_features(since(sold, 28, day).lazy(), partition(day)).with_columns(partition=pl.lit(str(day)))
        for day in sundays
    ]
    return weekly.demand_model(pl.concat(windows), known, partition(monday - timedelta(7)))


def made(inputs: dict[str, Any], **more: Any) -> Figures:
    return Figures.of_text(report.business_report(**{**inputs, **more}))


def section(figures: Figures, title: str) -> Section:
    return next(each for each in figures.sections if each.title == title)


# --- the same, counted by hand from the files


def counted(text: str) -> list[dict[str, Any]]:
    """The lines of a file that are sales or returns, each once."""
    rows = {tuple(row.items()): row for row in csv.DictReader(io.StringIO(text))}.values()
    found = []
    for row in rows:
        back, adjusted = row["InvoiceNo"][0] == "C", row["InvoiceNo"][0] == "A"
        if back or (not adjusted and re.fullmatch("[0-9]{5}[A-Za-z]*", row["StockCode"])):
            units, price = int(row["Quantity"]), float(row["UnitPrice"])
            found.append({**row, "back": back, "units": units, "price": price, "value": units * price})
    return found


def by_hand(text: str) -> tuple[float, int, float]:
    rows = counted(text)
    sales = [each for each in rows if not each["back"] and each["price"] > 0]
    returned = -sum(each["units"] for each in rows if each["back"])
    return (
        sum(each["value"] for each in rows),
        len({each["InvoiceNo"] for each in sales}),
        returned / sum(each["units"] for each in sales),
    )


def test_the_core_numbers_are_those_of_the_files(inputs: dict[str, Any], files: dict[date, str]) -> None:
    """Revenue, orders and the share of units that came back, of the day and of the same weekday before."""
    numbers = made(inputs).numbers
    assert [each.name for each in numbers] == ["Revenue", "Orders", "Returned"]
    assert [each.value for each in numbers] == pytest.approx(by_hand(files[DAY]), abs=0.005)
    assert [each.before for each in numbers] == pytest.approx(by_hand(files[WEEK_BEFORE]), abs=0.005)
    assert numbers[2].value == pytest.approx(by_hand(files[DAY])[2], abs=1e-6)


def test_without_the_week_before_nothing_is_compared(inputs: dict[str, Any]) -> None:
    few = {name: inputs[name].filter(pl.col("partition") == str(DAY)) for name in ("recent_lines", "product_days")}
    assert [each.before for each in made(inputs, **few).numbers] == [None, None, None]


def test_revenue_by_day_and_country_is_that_of_the_files(inputs: dict[str, Any], files: dict[date, str]) -> None:
    told = section(made(inputs), "Revenue")
    (chart,), (table,) = told.charts, told.tables
    shown = {day: text for day, text in files.items() if day > DAY - timedelta(report.SHOWN_DAYS)}
    assert list(chart.at) == [str(day) for day in shown]
    assert list(chart.series[0].values) == pytest.approx([by_hand(text)[0] for text in shown.values()], abs=0.01)
    assert chart.series[1].values[-1] == pytest.approx(np.mean(chart.series[0].values[-6:]), abs=0.01)
    countries: dict[str, float] = defaultdict(float)
    for each in counted(files[DAY]):
        countries[each["Country"]] += each["value"]
    ranked = sorted(countries.items(), key=lambda item: -item[1])
    few = ranked[: make.SHOWN_COUNTRIES]
    assert [row[0] for row in table.rows[: len(few)]] == [name for name, _ in few]
    assert sum(float(row[1] or 0) for row in table.rows) == pytest.approx(sum(countries.values()), abs=0.01)


def test_many_countries_are_summed_up(inputs: dict[str, Any]) -> None:
    lines = inputs["order_lines"].with_columns(country=pl.concat_str(pl.lit("Land "), pl.row_index() % 9))
    (table,) = section(made(inputs, order_lines=lines), "Revenue").tables
    assert [row[0] for row in table.rows][make.SHOWN_COUNTRIES :] == ["4 others"]
    sales = lines.filter(pl.col("kind").is_in(["sale", "return"]))
    assert sum(float(row[1] or 0) for row in table.rows) == pytest.approx(sales["value_gbp"].sum(), abs=0.01)


def test_top_products_are_those_of_the_files(inputs: dict[str, Any], files: dict[date, str]) -> None:
    units: Counter[str] = Counter()
    revenue: dict[str, float] = defaultdict(float)
    for each in counted(files[DAY]):
        revenue[each["StockCode"]] += each["value"]
        units[each["StockCode"]] += 0 if each["back"] or not each["price"] else each["units"]
    best = sorted(revenue, key=lambda code: -revenue[code])[: make.SHOWN_PRODUCTS]
    (table,) = section(made(inputs), "Top products").tables
    assert [row[0] for row in table.rows] == best
    assert [row[2] for row in table.rows] == [units[code] for code in best]
    assert [row[3] for row in table.rows] == pytest.approx([revenue[code] for code in best], abs=0.005)
    names = {each.stock_code: each.description for each in simulated.products()}
    assert [row[1] for row in table.rows] == [names[code] for code in best]


def test_a_product_is_called_what_it_is_called_most_often() -> None:
    rows = [("1", "CUP"), ("1", "CUP"), ("1", "wet/damaged"), ("2", "B"), ("2", "A"), ("3", " "), ("4", None)]
    frame = pl.DataFrame(rows, schema=["stock_code", "description"], orient="row").with_columns(kind=pl.lit("sale"))
    assert make.descriptions(frame.lazy()) == {"1": "CUP", "2": "A"}


def test_the_largest_price_changes_are_told_whichever_way_they_went(inputs: dict[str, Any]) -> None:
    def prices(day: date, rows: dict[str, float]) -> pl.DataFrame:
        return pl.DataFrame({"stock_code": list(rows), "price_gbp": list(rows.values()), "partition": str(day)})

    before = prices(DAY - timedelta(1), {"a": 1.0, "b": 2.0, "c": 3.0, "gone": 4.0})
    now = prices(DAY, {"a": 1.02, "b": 1.9, "c": 3.0, "new": 5.0})
    told = section(made(inputs, base_prices=pl.concat([before, now])), "Largest price changes")
    assert told.tables[0].rows == (("b", None, 2.0, 1.9, -0.05), ("a", None, 1.0, 1.02, 0.02))
    assert told.charts[0].series[0].values == (-0.05, 0.02)
    assert told.text == "Of 3 prices 1 went up and 1 went down."
    for some, said in ((now, "of the day before"), (before, "of the day to"), (None, "of the day to")):
        assert said in section(made(inputs, base_prices=some), "Largest price changes").text


# --- price into demand


def test_demand_as_it_was_seen_falls_with_the_price(inputs: dict[str, Any]) -> None:
    """The simulated shop's demand is known: units go with the price to the power of -1.6."""
    told = section(made(inputs), "Price and demand")
    (chart,) = told.charts
    assert [each.name for each in chart.series] == ["seen in the last four weeks"]
    seen = [(1 + float(at), share) for at, share in zip(chart.at, chart.series[0].values, strict=True) if share]
    assert len(seen) >= 8
    slope = np.polyfit(np.log([at for at, _ in seen]), np.log([share for _, share in seen]), 1)[0]
    assert slope == pytest.approx(simulated.ELASTICITY, abs=0.4)
    assert told.text == "No model was in force: this is what was seen."


def test_the_model_says_how_demand_goes_with_the_price(
    inputs: dict[str, Any], features: pl.DataFrame, champion: Any
) -> None:
    """Predicted once more, product by product."""
    told = section(made(inputs, demand_model=champion), "Price and demand")
    (chart,), (table,) = told.charts, told.tables

    def week(ratio: Any) -> tuple[float, float]:
        units = revenue = 0.0
        for each in features.to_dicts():
            usual = each["usual_price_gbp"]
            price = ratio(each["stock_code"], usual)
            asked = {**each, "price_ratio": price / usual, "mean_ratio": each["mean_price_gbp"] / usual, "open_days": 6}
            said = float(champion.predict(pl.DataFrame([asked]).select(weekly.FEATURES).to_pandas())[0])
            units, revenue = units + said, revenue + said * price
        return units, revenue

    usual = week(lambda _, price: price)
    for place in (0, 12):
        ratio = make.RATIOS[place]
        share = week(lambda _, price, ratio=ratio: price * ratio)[0] / usual[0]
        assert chart.series[1].values[place] == pytest.approx(share, abs=1e-4)
    assert chart.series[1].values[make.RATIOS.index(1.0)] == 1
    prices = dict(
        inputs["base_prices"].filter(pl.col("partition") == str(DAY)).select("stock_code", "price_gbp").rows()
    )
    now = week(lambda code, _: prices[code])
    for row, (units, revenue) in zip(table.rows, (usual, now), strict=True):
        assert row[1] == round(units)
        assert row[2] == pytest.approx(revenue, abs=0.02)
    assert told.numbers[0].value == pytest.approx(simulated.ELASTICITY, abs=0.3)


# --- what may be absent


def test_a_shop_without_a_model_and_without_anything_else_has_a_report(inputs: dict[str, Any]) -> None:
    """The day's order lines and the products of the last weeks are all that it takes."""
    least = {name: inputs[name] for name in ("order_lines", "recent_lines", "product_days", "partition")}
    figures = Figures.of_text(report.business_report(**least))
    assert [each.title for each in figures.sections] == TITLES
    assert figures.numbers == made(inputs).numbers


def test_a_day_on_which_only_postage_was_charged_has_a_report(inputs: dict[str, Any]) -> None:
    none = {
        "order_lines": inputs["order_lines"].filter(pl.col("kind") == "service"),
        "recent_lines": inputs["recent_lines"].filter(pl.col("kind") == "service"),
        "product_days": inputs["product_days"].clear(),
    }
    figures = made(inputs, **none)
    assert [each.value for each in figures.numbers] == [None, 0, None]
    assert section(figures, "Top products").tables[0].empty == "Nothing was sold."


def test_drift_and_how_the_model_did_are_told(inputs: dict[str, Any]) -> None:
    drifted = pl.DataFrame(
        {"feature": ["a", "b", "c"], "psi": [0.3, 0.9, 0.1], "ks": [0.2, 0.4, 0.1], "over": [True, True, False]}
    )
    retrain = pl.DataFrame({"drifting_days": [5], "retrain": [True]})
    weeks = pl.DataFrame(
        {
            "week": [date(2011, 5, 16), date(2011, 5, 9)],
            "predicted_units": [110.0, None],
            "actual_units": [100.0, 90.0],
            "deviance_champion": [1.5, None],
            "deviance_baseline": [8.0, 9.0],
        }
    )
    figures = made(inputs, demand_drift=drifted, demand_retrain=retrain, demand_model_performance=weeks)
    told = section(figures, "Drift")
    assert (
        told.text
        == "2 of 3 features are over their limits. Days with drift in a row: 5. A training was asked for today."
    )
    assert told.tables[0].rows == (("b", 0.9, 0.4), ("a", 0.3, 0.2))
    assert section(figures, "How the model did").tables[0].rows == (
        ("2011-05-09", None, 90.0, None, None),
        ("2011-05-16", 110.0, 100.0, 0.1, 0.1875),
    )


# --- what must not be


def test_nobody_who_bought_is_in_it(inputs: dict[str, Any], champion: Any, lines: pl.DataFrame) -> None:
    assert lines["customer_id"].str.starts_with("WHO").any()
    text = report.business_report(**inputs, demand_model=champion)
    assert "WHO" not in text
    assert "customer" not in text.lower()


def test_the_order_of_rows_changes_nothing(inputs: dict[str, Any], champion: Any) -> None:
    """Engines return them in any: equal figures must be equal text, or all that reads it would run again."""
    shuffled = {
        name: each.sample(fraction=1, shuffle=True, seed=5) if isinstance(each, pl.DataFrame) else each
        for name, each in inputs.items()
    }
    shuffled["recent_lines"] = inputs["recent_lines"].collect().reverse().lazy()
    whole = report.business_report(**inputs, demand_model=champion)
    assert report.business_report(**shuffled, demand_model=champion) == whole


# --- all of it, planned and run


@pytest.mark.slow
def test_the_story_of_a_report_that_says_what_the_ledger_says_now(shop: Shop) -> None:
    """No model and no drift; then a champion; then a day that is malformed: it is told, and changes no other figure."""
    last = date(2011, 6, 14)
    for folder in ("dags", "expectations"):
        shutil.copytree(ROOT / folder, shop.home / folder, dirs_exist_ok=True)
    simulated.simulate(shop.landing, days=71, until=last)
    for file in shop.landing.rglob("*.csv"):
        os.utime(file, (0, 0))
    held_back = shop.landing / "orders" / f"{last}.csv"
    text = held_back.read_text()
    held_back.unlink()
    shop.more = {"TIDEMARK_APPROVERS": "ann", "TIDEMARK_FOUR_EYES": "off"}
    shop.load()
    pipelines = ("price_list", "demand_monitoring", "business_report")
    shop.now(f"{last}T07:00")
    for name in (*pipelines[:2], "demand_model", "business_report"):
        shop.run(name)

    def shown(day: date) -> Any:
        with shop.deployment() as deployment:
            return render(deployment, "business_report", str(day))

    newest = last - timedelta(1)
    first = shown(newest)
    assert first.standing.is_final
    assert first.standing.models[0].version is None
    assert "Model in force: demand_model" in first.text
    assert "None on this day." in first.text
    with shop.deployment() as deployment:
        days = days_of(deployment, "business_report")
    assert next(iter(days)) == str(newest)
    assert all(simulated.OPEN_DAYS.expects(date.fromisoformat(day)) for day in days)

    with shop.deployment() as deployment:
        validated = present(deployment, shop.pipelines["demand_model"], "demand_model", run="run", actor="ann")
        assert validated is not None
        assert validated.passed, validated.page
        models.promote(
            deployment, shop.pipelines["demand_model"], "demand_model", None, first=newest, why="so", actor="ann"
        )
    metrics = validated.challenge.report["metrics"]
    for name in pipelines:
        shop.run(name)
    champion = shown(newest).standing.models[0]
    assert champion.version == validated.version[:12]
    assert champion.by == "ann"
    assert {each.name: each.value for each in champion.metrics} == {n: each["candidate"] for n, each in metrics.items()}
    assert [each.name for each in champion.metrics if each.business] == ["revenue_error"]
    assert shown(newest - timedelta(1)).standing.models[0].version is None
    assert "the model says" in shown(newest).text

    # The file of the day comes, and is no good: its report waits, and the one before says what is wrong by now.
    before = shop.versions("business_report")
    held_back.write_text("not,what,was,agreed\n1,2,3,4\n")
    shop.now(f"{last + timedelta(1)}T07:00")
    told(shop, "price_list")
    for name in pipelines[1:]:
        shop.run(name)
    assert shop.versions("business_report") == before
    assert [each.asset for each in shown(newest).standing.incidents] == ["orders"]
    held_back.write_text(text)
    os.utime(held_back, (0, 0))
    told(shop, "price_list")
    for name in pipelines[1:]:
        shop.run(name)
    assert {**shop.versions("business_report"), **before} == shop.versions("business_report")
    assert str(last) in shop.versions("business_report")
    assert shown(last).standing.incidents == ()
    assert shop.planned("business_report", verify=True).items == ()
