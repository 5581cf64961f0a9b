"""The sections of the daily business report, each from the tables that it is about."""

import math
from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING

import polars as pl

from demand_rows import FEATURES
from tidemark import Partition
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
    Number,
    Section,
    Series,
    Table,
)

if TYPE_CHECKING:
    from sklearn.base import BaseEstimator

SHOWN_PRODUCTS = 10
SHOWN_COUNTRIES = 5
# Prices relative to the usual one at which demand is looked at, and how many days of products a point stands for.
RATIOS = [round(0.85 + 0.025 * step, 3) for step in range(13)]
LEAST_DAYS = 20
OBSERVED_DAYS = 28


def core_numbers(recent_lines: pl.LazyFrame, product_days: pl.DataFrame, partition: Partition) -> tuple[Number, ...]:
    """Return revenue, orders and the share of units that came back, of the day and of a week before."""
    week_before = str(partition.date - timedelta(7))
    sold = recent_lines.filter(pl.col("kind") == "sale", pl.col("unit_price") > 0)
    orders = dict(sold.group_by("partition").agg(pl.col("invoice_no").n_unique()).collect().iter_rows())
    days = product_days.group_by("partition").agg(pl.col("revenue_gbp", "units_sold", "units_returned").sum())
    totals = {each["partition"]: each for each in days.iter_rows(named=True)}

    def revenue_on(day: str) -> float | None:
        return round(totals[day]["revenue_gbp"], 2) if day in totals else None

    def returned_on(day: str) -> float | None:
        units = totals[day]["units_sold"] if day in totals else 0
        return round(totals[day]["units_returned"] / units, 6) if units else None

    return (
        Number("Revenue", revenue_on(partition.key), "GBP", revenue_on(week_before)),
        Number("Orders", orders.get(partition.key, 0), COUNT, orders.get(week_before), said="{} orders"),
        Number("Returned", returned_on(partition.key), SHARE, returned_on(week_before), said="{} returned"),
    )


def descriptions(lines: pl.LazyFrame) -> dict[str, str]:
    """Return what each product is called most often; the shop's people write it now so, now so."""
    named = lines.filter(pl.col("kind") == "sale", pl.col("description").str.strip_chars() != "")
    counted = named.group_by("stock_code", "description").len()
    chosen = counted.sort("len", "description", descending=[True, False]).unique("stock_code", keep="first")
    return dict(chosen.select("stock_code", "description").collect().iter_rows())


def prices_of(
    base_prices: pl.DataFrame | None, partition: Partition
) -> tuple[pl.DataFrame | None, pl.DataFrame | None]:
    """Return the prices of the day, and those of the day before, each None if it is not there."""
    if base_prices is None:
        return None, None
    days = (partition.key, str(partition.date - timedelta(1)))
    today, before = (base_prices.filter(pl.col("partition") == day) for day in days)
    return (None if today.is_empty() else today), (None if before.is_empty() else before)


def revenue(order_lines: pl.DataFrame, product_days: pl.DataFrame) -> Section:
    """Return revenue by day over the last weeks, and of the day by country."""
    days = product_days.group_by("partition").agg(pl.col("revenue_gbp").sum().round(2)).sort("partition")
    mean = days["revenue_gbp"].rolling_mean(6, min_samples=6).round(2)
    chart = Chart(
        "Revenue by day",
        COLUMNS,
        Column("day"),
        tuple(days["partition"]),
        "GBP",
        (Series("revenue", tuple(days["revenue_gbp"])), Series("mean of six open days", tuple(mean))),
    )
    earned = pl.col("value_gbp").sum().round(2)
    countries = order_lines.filter(pl.col("kind").is_in(["sale", "return"])).group_by("country").agg(revenue=earned)
    ranked = countries.sort("revenue", "country", descending=[True, False])
    rows = [tuple(each) for each in ranked.head(SHOWN_COUNTRIES).iter_rows()]
    rest = ranked.tail(-SHOWN_COUNTRIES)
    if rest.height:
        rows.append((f"{rest.height} others", round(rest["revenue"].sum(), 2)))
    table = Table((Column("Country"), Column("Revenue", "GBP")), tuple(rows))
    return Section("Revenue", charts=(chart,), tables=(table,))


def top_products(product_days: pl.DataFrame, names: Mapping[str, str], partition: Partition) -> Section:
    """Return the products that brought in most on the day."""
    day = product_days.filter(pl.col("partition") == partition.key, pl.col("units_sold") > 0)
    best = day.sort("revenue_gbp", "stock_code", descending=[True, False]).head(SHOWN_PRODUCTS)
    rows = [(each["stock_code"], names.get(each["stock_code"]), each) for each in best.iter_rows(named=True)]
    chart = Chart(
        "Revenue of the day",
        BARS,
        Column("product"),
        tuple(name or code for code, name, _ in rows),
        "GBP",
        (Series("revenue", tuple(round(each["revenue_gbp"], 2) for _, _, each in rows)),),
    )
    table = Table(
        (Column("Code"), Column("Product"), Column("Units", COUNT), Column("Revenue", "GBP")),
        tuple((code, name, each["units_sold"], round(each["revenue_gbp"], 2)) for code, name, each in rows),
        empty="Nothing was sold.",
    )
    return Section("Top products", charts=(chart,) if rows else (), tables=(table,))


def price_changes(today: pl.DataFrame | None, before: pl.DataFrame | None, names: Mapping[str, str]) -> Section:
    """Return the products whose price in pounds moved most since the day before, and how many moved."""
    title = "Largest price changes"
    if today is None or before is None:
        lacking = "of the day" if today is None else "of the day before"
        return Section(title, text=f"There are no prices {lacking} to compare.")
    both = today.join(before, on="stock_code", suffix="_before").with_columns(
        change=(pl.col("price_gbp") / pl.col("price_gbp_before") - 1).round(6)
    )
    moved = both.filter(pl.col("change") != 0)
    ranked = moved.sort(pl.col("change").abs(), "stock_code", descending=[True, False]).head(SHOWN_PRODUCTS)
    rows = [(each["stock_code"], names.get(each["stock_code"]), each) for each in ranked.iter_rows(named=True)]
    chart = Chart(
        "Change since the day before",
        BARS,
        Column("product"),
        tuple(name or code for code, name, _ in rows),
        CHANGE,
        (Series("change", tuple(each["change"] for _, _, each in rows)),),
    )
    table = Table(
        (Column("Code"), Column("Product"), Column("Before", "GBP"), Column("Now", "GBP"), Column("Change", CHANGE)),
        tuple((code, name, each["price_gbp_before"], each["price_gbp"], each["change"]) for code, name, each in rows),
        empty="No price moved.",
    )
    up = moved.filter(pl.col("change") > 0).height
    said = f"Of {both.height} prices {up} went up and {moved.height - up} went down."
    return Section(title, text=said, charts=(chart,) if rows else (), tables=(table,))


def price_into_demand(
    product_features: pl.DataFrame | None,
    product_days: pl.DataFrame,
    today: pl.DataFrame | None,
    demand_model: "BaseEstimator | None",
    partition: Partition,
) -> Section:
    """Return how demand answers to the price: as it was seen, and as the champion says, and what it says of today's."""
    title = "Price and demand"
    if product_features is None:
        return Section(title, text="There are no features of the products on this day.")
    priced = product_features.filter(pl.col("usual_price_gbp") > 0, pl.col("mean_price_gbp") > 0)
    seen = Series("seen in the last four weeks", _seen(priced, product_days, partition), points=True)
    along = Column("price, from the usual one", CHANGE)
    at = tuple(round(each - 1, 3) for each in RATIOS)
    chart = "Demand by price; 100 % is what is usual"
    if demand_model is None or priced.is_empty():
        said = "No model was in force: this is what was seen."
        return Section(title, said, charts=(Chart(chart, CURVES, along, at, SHARE, (seen,)),))
    asked = priced.with_columns(mean_ratio=pl.col("mean_price_gbp") / pl.col("usual_price_gbp"), open_days=pl.lit(6))
    units = [float(_units(demand_model, asked.with_columns(price_ratio=pl.lit(each))).sum()) for each in RATIOS]
    usual = units[RATIOS.index(1.0)]
    says = Series("the model says", tuple(round(each / usual, 4) for each in units))
    beside = RATIOS.index(1.0) - 1, RATIOS.index(1.0) + 1
    steps = [math.log(values[beside[1]] / values[beside[0]]) for values in (units, RATIOS)]
    elasticity = Number("Elasticity of demand, by the model", round(steps[0] / steps[1], 3), NUMBER)
    return Section(
        title,
        "How many units are sold when a price is above or below its usual one. Who buys much pays less, "
        "which the points show too.",
        numbers=(elasticity,),
        charts=(Chart(chart, CURVES, along, at, SHARE, (seen, says)),),
        tables=(_expected(demand_model, asked, today),),
    )


def _units(demand_model: "BaseEstimator", asked: pl.DataFrame) -> pl.Series:
    return pl.Series("units", demand_model.predict(asked.select(FEATURES).to_pandas()))


def _seen(priced: pl.DataFrame, product_days: pl.DataFrame, partition: Partition) -> tuple[float | None, ...]:
    """Return units sold relative to what is usual, by price: only days on which a product was sold say at which."""
    first = str(partition.date - timedelta(OBSERVED_DAYS - 1))
    step = RATIOS[1] - RATIOS[0]
    days = (
        product_days.filter(pl.col("partition") >= first, pl.col("units_sold") > 0, pl.col("mean_price_gbp") > 0)
        .join(priced.select("stock_code", "usual_price_gbp", "units_per_day"), on="stock_code")
        .with_columns(place=((pl.col("mean_price_gbp") / pl.col("usual_price_gbp") - RATIOS[0]) / step).round())
    )
    every = days["units_sold"].sum() / days["units_per_day"].sum() if days.height else 1.0
    binned = days.group_by("place").agg(pl.len(), share=pl.col("units_sold").sum() / pl.col("units_per_day").sum())
    shares = {place: share / every for place, count, share in binned.iter_rows() if count >= LEAST_DAYS}
    return tuple(round(shares[place], 4) if place in shares else None for place in range(len(RATIOS)))


def _expected(demand_model: "BaseEstimator", asked: pl.DataFrame, today: pl.DataFrame | None) -> Table:
    """Return what the champion expects of a week at the usual prices, and at today's."""
    columns = (Column("In a week of six open days"), Column("Units", COUNT), Column("Revenue", "GBP"))
    offers = {"at the usual prices": asked.with_columns(price_gbp=pl.col("usual_price_gbp"))}
    if today is not None:
        offers["at today's prices"] = asked.join(today.select("stock_code", "price_gbp"), on="stock_code")
    rows = []
    for name, offer in offers.items():
        units = _units(demand_model, offer.with_columns(price_ratio=pl.col("price_gbp") / pl.col("usual_price_gbp")))
        rows.append((name, round(float(units.sum())), round(float((units * offer["price_gbp"]).sum()), 2)))
    return Table(columns, tuple(rows))


def model_by_week(demand_model_performance: pl.DataFrame | None) -> Section:
    """Return what the champion predicted for the last weeks, and what was sold."""
    columns = (
        Column("Week of"),
        Column("Predicted", COUNT),
        Column("Sold", COUNT),
        Column("Off by", CHANGE),
        Column("Deviance", SHARE),
    )
    rows = []
    if demand_model_performance is not None:
        for each in demand_model_performance.sort("week").iter_rows(named=True):
            said, sold = each["predicted_units"], each["actual_units"]
            off = round(said / sold - 1, 4) if said is not None and sold else None
            ours, baseline = each["deviance_champion"], each["deviance_baseline"]
            share = round(ours / baseline, 4) if ours is not None and baseline else None
            rows.append((str(each["week"]), said, sold, off, share))
    said = (
        "Units, predicted by the model in force for the prices that were paid, and sold. The deviance is a share of "
        "the baseline's, which expects the units of the week before: less is better, and 100 % no better than that."
    )
    return Section("How the model did", said, tables=(Table(columns, tuple(rows), empty="No week is over yet."),))


def drift(demand_drift: pl.DataFrame | None, demand_retrain: pl.DataFrame | None) -> Section:
    """Return which features are no longer as in the model's training data, and for how long that has been so."""
    title = "Drift"
    if demand_drift is None or demand_drift.is_empty():
        return Section(title, text="Nothing was compared: no model with a training profile was in force.")
    over = demand_drift.filter("over").sort("psi", "feature", descending=[True, False])
    rows = tuple((each["feature"], round(each["psi"], 3), round(each["ks"], 3)) for each in over.iter_rows(named=True))
    columns = (Column("Feature"), Column("PSI", NUMBER), Column("Kolmogorov-Smirnov", NUMBER))
    said = f"{over.height} of {demand_drift.height} features are over their limits."
    if demand_retrain is not None and demand_retrain.height:
        row = demand_retrain.row(0, named=True)
        said += f" Days with drift in a row: {row['drifting_days']}."
        said += " A training was asked for today." if row["retrain"] else ""
    tables = (Table(columns, rows),) if rows else ()
    return Section(title, said, tables=tables)
