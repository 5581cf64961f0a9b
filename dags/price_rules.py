"""How money is exchanged, and which price to ask for."""

from typing import TYPE_CHECKING

import polars as pl

if TYPE_CHECKING:
    from sklearn.base import BaseEstimator


def rates_of(fx_rates: pl.DataFrame, currencies: list[str]) -> dict[str, float]:
    """Return how many units of each currency one euro buys."""
    rates = {"EUR": 1.0, **dict(fx_rates.select("currency", "eur_rate").iter_rows())}
    missing = [currency for currency in currencies if currency not in rates]
    if missing:
        day = fx_rates.select(pl.col("date").max()).item()
        raise ValueError(f"the rates of {day} lack {', '.join(missing)}: a complete file of that day repairs this")
    return {currency: rates[currency] for currency in currencies}


def wanted_prices(
    product_features: pl.DataFrame, demand_model: "BaseEstimator | None", max_change: float
) -> pl.DataFrame:
    """Return the price wanted for each product, whatever the day before's was.

    It is the one that brings in most by the model, of those at most ``max_change`` away from the usual one, in steps of
    a hundredth of that; without a model the usual one.
    """
    usual = product_features.select("stock_code", wanted_gbp="usual_price_gbp")
    if demand_model is None:
        return usual
    # What has no price that a ratio can be taken of keeps the usual one.
    priced = product_features.filter(pl.col("usual_price_gbp") > 0, pl.col("mean_price_gbp") > 0)
    if priced.is_empty():
        return usual
    steps = pl.DataFrame({"price_ratio": [1 + max_change * step / 100 for step in range(-100, 101)]})
    offers = priced.join(steps, how="cross").with_columns(
        mean_ratio=pl.col("mean_price_gbp") / pl.col("usual_price_gbp"), open_days=pl.lit(6)
    )
    units = pl.Series("units", demand_model.predict(offers.to_pandas()))
    earned = pl.col("price_ratio") * pl.col("usual_price_gbp")
    best = offers.with_columns(units, best_gbp=earned).sort(
        earned * pl.col("units"), descending=True, maintain_order=True
    )
    chosen = best.unique("stock_code", keep="first", maintain_order=True).select("stock_code", "best_gbp")
    wanted = pl.coalesce("best_gbp", "wanted_gbp")
    return usual.join(chosen, on="stock_code", how="left").select("stock_code", wanted_gbp=wanted)
