"""## Daily price list

Every morning: today's price of every product sold in the last four weeks, in the eleven currencies customers pay in.
The partition `2011-01-05` is made from the orders of that day on the morning after, and is in force from then on.

| asset | what it holds |
| --- | --- |
| `orders`, `fx_rates` | what the shop and the central bank deliver, one file a day |
| `order_lines` | the day's lines without exact duplicates, each a `sale`, `return`, `adjustment` or `service` |
| `product_days` | what each product sold, took back and earned on the day |
| `product_features` | each product's last 28 days: usual and mean price, units a day, last sale, returns, trend |
| `daily_revenue` | revenue of the day by country, in pounds and euros |
| `base_prices` | the price in pounds: the usual one or, once `demand_model` has a champion, the best one near it |
| `price_list` | `base_prices` in every currency, at the day's rates |

**Owner:** pricing. **What to do:**

- *A file is late* (orders at 02:00 in London, rates at 16:30 in Frankfurt): nothing at once. Prices go out with the
  last known rates, at most seven days old, marked provisional; the late file repairs what depends on it.
- *A file is quarantined*: `tidemark explain orders 2011-01-05` shows the rows at fault. Ask the sender for a corrected
  file of the same name. Until then the day's last good delivery is used.
- *No file will come* (a closed day that the calendar does not know): `tidemark absent orders 2011-01-05 --why "..."`.
- *The gate blocks the price list*: the last good list stays live. Look at the failing rows before anything else.
"""

from datetime import date, datetime
from typing import TYPE_CHECKING

import polars as pl

from price_rules import rates_of, wanted_prices
from tidemark import Calendar, Daily, Partition, asset, in_force, last_known, pipeline, previous, ref, source, trailing

if TYPE_CHECKING:
    from sklearn.base import BaseEstimator

DAYS = Daily(tz="Europe/London")
CURRENCIES = ["GBP", "EUR", "USD", "CHF", "SEK", "NOK", "DKK", "AUD", "JPY", "CAD", "PLN"]
ORDER_COLUMNS = {
    "InvoiceNo": str,
    "StockCode": str,
    "Description": str,
    "Quantity": int,
    "InvoiceDate": datetime,
    "UnitPrice": float,
    "CustomerID": str,
    "Country": str,
}

orders = source(
    "orders",
    files="orders/{partition}.csv",
    partitions=DAYS,
    gate="orders",
    schema=ORDER_COLUMNS,
    expected=Calendar("SUN-FRI", holidays="GB-ENG", closed=["12-24..01-03", "easter"]),
    due="1 day 02:00 Europe/London",
    pii=["CustomerID"],
)
fx_rates = source(
    "fx_rates",
    files="fx_rates/{partition}.csv",
    partitions=DAYS,
    gate="fx_rates",
    schema={"date": date, "currency": str, "eur_rate": float},
    expected=Calendar("MON-FRI", holidays="ECB"),
    due="16:30 Europe/Berlin",
)


def exact_sum(money: pl.Expr) -> pl.Expr:
    """Sum money in whole hundredths of a penny: floating sums would differ from run to run in their last bit."""
    # Polars divides by multiplying with 0.0001, which is no number exactly: rounding gives 505.38 its own double again.
    return ((money * 10_000).round().cast(pl.Int64).sum() / 10_000).round(4)


@asset(partitions=DAYS, gate="order_lines", pii=["customer_id"], resources={"cpu": "500m", "memory": "1Gi"})
def order_lines(orders: pl.DataFrame) -> pl.DataFrame:
    """The day's order lines: exact duplicates dropped, typed, and told apart by kind."""
    invoice, product = pl.col("InvoiceNo"), pl.col("StockCode").str.contains("^[0-9]{5}[A-Za-z]*$")
    back, adjusted = invoice.str.starts_with("C"), invoice.str.starts_with("A")
    told = pl.when(back).then(pl.lit("return")).when(adjusted).then(pl.lit("adjustment"))
    return orders.unique(subset=list(ORDER_COLUMNS), maintain_order=True).select(
        invoice_no="InvoiceNo",
        stock_code="StockCode",
        description="Description",
        quantity="Quantity",
        invoice_date="InvoiceDate",
        unit_price="UnitPrice",
        # The shop's system writes these numbers as 17850.0.
        customer_id=pl.col("CustomerID").str.strip_suffix(".0"),
        country="Country",
        kind=told.when(product).then(pl.lit("sale")).otherwise(pl.lit("service")),
        value_gbp=(pl.col("Quantity") * pl.col("UnitPrice")).round(4),
    )


@asset(partitions=DAYS, key=["stock_code"])
def product_days(order_lines: pl.LazyFrame) -> pl.DataFrame:
    """What each product sold, took back and earned on the day."""
    # Lines without a price are gifts and corrections of stock, some of them negative: nobody bought at that price.
    sold = (pl.col("kind") == "sale") & (pl.col("unit_price") > 0)
    returned = pl.col("kind") == "return"
    units_sold = pl.col("quantity").filter(sold).sum()
    mean_price = exact_sum(pl.col("value_gbp").filter(sold)) / units_sold
    return (
        order_lines.filter(pl.col("kind").is_in(["sale", "return"]))
        .group_by("stock_code")
        .agg(
            units_sold=units_sold,
            units_returned=-pl.col("quantity").filter(returned).sum(),
            revenue_gbp=exact_sum(pl.col("value_gbp")),
            mean_price_gbp=pl.when(units_sold > 0).then(mean_price.round(4)),
            orders=pl.col("invoice_no").filter(sold).n_unique(),
            customers=pl.col("customer_id").filter(sold).drop_nulls().n_unique(),
        )
        .collect()
    )


@asset(partitions=DAYS, inputs={"product_days": trailing(days=28)}, key=["stock_code"])
def product_features(product_days: pl.LazyFrame, partition: Partition, recent_days: int = 7) -> pl.DataFrame:
    """Each product's last 28 days, for the products that were sold in them; days count when the shop was open."""
    window = product_days.with_columns(day=pl.col("partition").str.to_date()).collect()
    open_days = window["day"].unique().sort()
    recent = open_days.tail(recent_days)
    units = pl.col("units_sold").sum()
    recent_units = pl.col("units_sold").filter(pl.col("day") >= recent.min()).sum()
    last_sale = pl.col("day").filter(pl.col("units_sold") > 0).max()
    return (
        window.group_by("stock_code")
        .agg(
            usual_price_gbp=pl.col("mean_price_gbp").median(),
            mean_price_gbp=(pl.col("mean_price_gbp") * pl.col("units_sold")).sum() / units,
            units_per_day=units / len(open_days),
            days_since_last_sale=(pl.lit(partition.date) - last_sale).dt.total_days(),
            return_rate=pl.col("units_returned").sum() / units,
            # 0 is steady; 0.5 is half as much again in the last seven open days as in the whole window.
            trend=(recent_units / len(recent)) / (units / len(open_days)) - 1,
        )
        .filter(pl.col("units_per_day") > 0)
    )


@asset(partitions=DAYS, inputs={"fx_rates": last_known(days=7)}, key=["country"])
def daily_revenue(order_lines: pl.DataFrame, fx_rates: pl.DataFrame) -> pl.DataFrame:
    """Revenue of the day by country: sales less returns, in pounds and, at the day's rate, in euros."""
    return (
        order_lines.filter(pl.col("kind").is_in(["sale", "return"]))
        .group_by("country")
        .agg(revenue_gbp=exact_sum(pl.col("value_gbp")))
        .with_columns(revenue_eur=pl.col("revenue_gbp") / rates_of(fx_rates, ["GBP"])["GBP"])
    )


@asset(
    partitions=DAYS,
    inputs={"base_prices": previous(), "demand_model": ref("demand_model", in_force())},
    closes_after="35 days",
    key=["stock_code"],
)
def base_prices(
    product_features: pl.DataFrame,
    base_prices: pl.DataFrame | None,
    demand_model: "BaseEstimator | None" = None,
    max_change: float = 0.1,
    max_step: float = 0.05,
) -> pl.DataFrame:
    """The price in pounds of each product sold in the last 28 days.

    Within ``max_change`` of the usual price, at most ``max_step`` away from the day before's, then rounded to pence.
    """
    wanted = wanted_prices(product_features, demand_model, max_change)
    before = wanted.clear().rename({"wanted_gbp": "price_gbp"}) if base_prices is None else base_prices
    last = pl.coalesce("price_gbp", "wanted_gbp")
    stepped = pl.col("wanted_gbp").clip(last * (1 - max_step), last * (1 + max_step))
    price = stepped.round(2).clip(lower_bound=0.01)  # nothing is free
    return wanted.join(before, on="stock_code", how="left").select("stock_code", price_gbp=price)


@asset(partitions=DAYS, inputs={"fx_rates": last_known(days=7)}, gate="price_list", key=["stock_code", "currency"])
def price_list(base_prices: pl.DataFrame, fx_rates: pl.DataFrame) -> pl.DataFrame:
    """The price of each product in each currency, at the day's rates; yen have no hundredths."""
    rates = rates_of(fx_rates, CURRENCIES)
    table = pl.DataFrame({"currency": list(rates), "eur_rate": list(rates.values())})
    price = pl.col("price_gbp") / rates["GBP"] * pl.col("eur_rate")
    rounded = pl.when(pl.col("currency") == "JPY").then(price.round(0)).otherwise(price.round(2))
    return base_prices.join(table, how="cross").select("stock_code", "currency", price=rounded)


dag = pipeline(
    "price_list",
    [orders, fx_rates, order_lines, product_days, product_features, daily_revenue, base_prices, price_list],
    schedule="0 6 * * *",
    timezone="Europe/London",
    on_arrival=True,
    deadline="07:30 Europe/London",
    owner="pricing",
)
