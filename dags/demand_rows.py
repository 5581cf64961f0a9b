"""What the demand model learns from and is asked about: rows of products with their features."""

from typing import TYPE_CHECKING

import polars as pl

if TYPE_CHECKING:
    from sklearn.base import BaseEstimator

RATIOS = ["price_ratio", "mean_ratio", "units_per_day", "open_days"]
FEATURES = [*RATIOS, "trend", "return_rate", "days_since_last_sale"]
# What is known of a product on any day; price and open days are those of the week to come.
WATCHED = [each for each in FEATURES if each not in ("price_ratio", "open_days")]


def weekly_rows(product_features: pl.DataFrame, product_days: pl.DataFrame) -> pl.DataFrame:
    """Return a row for each product and week: its features on the Sunday before, and what was sold in the week.

    Columns: ``week`` (its Monday), ``stock_code``, the features (prices relative to the usual one of that Sunday),
    ``price_gbp`` (paid in the week), ``units`` (sold in it) and ``units_before`` (in the seven days before). A week in
    which a product was not sold has no price, and so no row.
    """
    days = product_days.with_columns(day=pl.col("partition").str.to_date()).with_columns(
        week=pl.col("day").dt.truncate("1w")
    )
    sold = days.group_by("week", "stock_code").agg(
        units=pl.col("units_sold").sum(),
        price_gbp=(pl.col("mean_price_gbp") * pl.col("units_sold")).sum() / pl.col("units_sold").sum(),
    )
    # A calendar would know it beforehand; what has no effect on which price is best need not be known.
    opened = days.group_by("week").agg(open_days=pl.col("day").n_unique())
    before = sold.select(pl.col("week").dt.offset_by("1w"), "stock_code", units_before="units")
    known = product_features.with_columns(week=pl.col("partition").str.to_date().dt.offset_by("1d")).filter(
        pl.col("week").dt.weekday() == 1
    )
    return (
        known.join(sold.filter(pl.col("units") > 0), on=["week", "stock_code"])
        .join(before, on=["week", "stock_code"], how="left")
        .join(opened, on="week")
        .with_columns(
            price_ratio=pl.col("price_gbp") / pl.col("usual_price_gbp"),
            # The usual units were sold at the mean price: without it the model takes dear weeks for unpopular products.
            mean_ratio=pl.col("mean_price_gbp") / pl.col("usual_price_gbp"),
        )
        .filter(pl.all_horizontal(pl.col(RATIOS).is_finite() & (pl.col(RATIOS) > 0)))
        .select("week", "stock_code", *FEATURES, "price_gbp", "units", pl.col("units_before").fill_null(0))
        .sort("week", "stock_code")
    )


def watched(demand_model: "BaseEstimator", product_features: pl.DataFrame) -> pl.DataFrame:
    """Return what is watched for drift, a row for each product: features, and units predicted for a usual week.

    That is a week of six open days, at the usual price. What has no price that a ratio can be taken of has no
    prediction.
    """
    rows = product_features.with_columns(
        mean_ratio=pl.col("mean_price_gbp") / pl.col("usual_price_gbp"), price_ratio=pl.lit(1.0), open_days=pl.lit(6)
    ).with_row_index("row")
    asked = rows.filter(pl.all_horizontal(pl.col(RATIOS).is_finite() & (pl.col(RATIOS) > 0)))
    said = demand_model.predict(asked.select(FEATURES).to_pandas()) if asked.height else []
    predicted = asked.select("row", predicted_units=pl.Series(said, dtype=pl.Float64))
    return rows.join(predicted, on="row", how="left", maintain_order="left").select(*WATCHED, "predicted_units")
