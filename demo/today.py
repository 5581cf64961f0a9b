"""Today's price list, for a person to read; and the same prices worked out again from the file of rates."""

import csv
from datetime import date

import polars as pl

from demo.deliveries import Deliveries
from tidemark.deployment import Deployment
from tidemark.errors import UsageError
from tidemark.reading import read

SHOWN, CURRENCIES = 8, ["GBP", "EUR", "USD", "CHF", "SEK", "JPY"]
"""How many products are shown, and in what: as much as a narrow terminal holds."""
_NO_HUNDREDTHS = {"JPY"}


def price_rows(deployment: Deployment, day: date) -> tuple[list[str], list[list[str]], str]:
    """Return a header, the prices of the products that sell best, a row each, and a line about all the others."""
    prices: pl.DataFrame = read("price_list", str(day), as_=pl.DataFrame, deployment=deployment)
    features: pl.DataFrame = read("product_features", str(day), as_=pl.DataFrame, deployment=deployment)
    best = features.sort("units_per_day", descending=True)["stock_code"].head(SHOWN).to_list()
    names = _descriptions(deployment, day)
    table = {(code, currency): price for code, currency, price in prices.iter_rows()}
    rows = [
        [code, names.get(code, "")[:28], *(_shown(table[code, currency], currency) for currency in CURRENCIES)]
        for code in best
    ]
    products, currencies = prices["stock_code"].n_unique(), prices["currency"].n_unique()
    return ["product", "", *CURRENCIES], rows, f"... {products} products in {currencies} currencies"


def _shown(price: float, currency: str) -> str:
    return f"{price:,.0f}" if currency in _NO_HUNDREDTHS else f"{price:,.2f}"


def _descriptions(deployment: Deployment, day: date) -> dict[str, str]:
    """Return what products are called, as far as the orders of the last days say."""
    names: dict[str, str] = {}
    for back in range(10):
        key = str(date.fromordinal(day.toordinal() - back))
        try:
            lines: pl.DataFrame = read("order_lines", key, as_=pl.DataFrame, deployment=deployment)
        except UsageError:  # a day without orders
            continue
        named = lines.filter(pl.col("description").str.len_chars() > 0)
        names = {**dict(named.select("stock_code", "description").iter_rows()), **names}
    return names


def wrong_prices(deployment: Deployment, deliveries: Deliveries, day: date) -> list[str]:
    """Work today's prices out again from base prices and the newest file of rates; return what differs, in words."""
    prices: pl.DataFrame = read("price_list", str(day), as_=pl.DataFrame, deployment=deployment)
    base: pl.DataFrame = read("base_prices", str(day), as_=pl.DataFrame, deployment=deployment)
    rates_day = max(each for each in deliveries.landed("fx_rates") if each <= day)
    with deliveries.file("fx_rates", rates_day).open(encoding="utf-8-sig", newline="") as file:
        rates = {row["currency"]: float(row["eur_rate"]) for row in csv.DictReader(file)} | {"EUR": 1.0}
    pounds = dict(base.iter_rows())
    found = []
    if set(prices["stock_code"]) != set(pounds):
        found.append(f"price_list {day} does not hold the products of base_prices {day}")
    for code, currency, price in prices.iter_rows():
        right = pounds.get(code, 0.0) / rates["GBP"] * rates[currency]
        # Rounded, a price is at most half a hundredth, or half a yen, away.
        if abs(price - right) > (0.5 if currency in _NO_HUNDREDTHS else 0.005) + 1e-6:
            found.append(f"price_list {day} {code} {currency}: {price}, expected {right:.4f}")
    return found[:5]
