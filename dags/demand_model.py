"""## Weekly demand model

Every week: how many units of each product will be sold in the next seven days, at which price.

| asset | what it holds |
| --- | --- |
| `demand_model` | a Poisson regression, trained on the twelve weeks before its two held-out ones: the candidate |

A candidate is held against the champion on the two held-out weeks, and against a baseline that says that as many units
are sold as in the seven days before. One that passes waits for a person: the task `demand_model.approve` asks, and
"Required Actions" in the Airflow UI shows the comparison. From the promotion on `base_prices` is made with it.

**Owner:** pricing. **What to do:**

- *A candidate did not pass*: the champion stays. `tidemark model compare demand_model` shows what it failed by.
- *Prices went wrong after a promotion*: `tidemark model rollback demand_model --why "..."`, then run `price_list`.
"""

from typing import TYPE_CHECKING

import polars as pl

from demand_rows import FEATURES, RATIOS, watched, weekly_rows
from tidemark import Partition, Search, Validation, Weekly, at_most, model, pipeline, ref, trailing
from tidemark.drift import training_profile

if TYPE_CHECKING:
    from sklearn.base import BaseEstimator

WEEKS = Weekly(tz="Europe/London", start="2011-01-24")
HELD_OUT_WEEKS = 2
# Twelve weeks to learn from and two held out; a row's features are of the day before its week.
DAYS = 7 * (12 + HELD_OUT_WEEKS) + 1


def weeks_of(rows: pl.DataFrame, partition: Partition) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the rows to learn from, and those of the held-out weeks, of which the partition's is the last.

    Raises:
        ValueError: there are too few rows to learn from, or none to score.

    """
    week = pl.col("week")
    first_held_out = pl.lit(partition.date).dt.offset_by(f"-{HELD_OUT_WEEKS - 1}w")
    learned, held_out = rows.filter(week < first_held_out), rows.filter(week >= first_held_out)
    if learned["week"].n_unique() < 2 or held_out["week"].n_unique() < HELD_OUT_WEEKS:
        weeks = learned["week"].n_unique(), held_out["week"].n_unique()
        raise ValueError(
            f"{learned.height} rows of {weeks[0]} weeks to learn from, {held_out.height} of {weeks[1]} held-out ones: "
            f"two weeks to learn from, and {HELD_OUT_WEEKS} that are held out, is the least"
        )
    return learned, held_out


def held_out(
    demand_model: "BaseEstimator", product_features: pl.DataFrame, product_days: pl.DataFrame, partition: Partition
) -> pl.DataFrame:
    """Return the rows of the held-out weeks with the units that were predicted, were sold, and the baseline says."""
    _, rows = weeks_of(weekly_rows(product_features, product_days), partition)
    return rows.with_columns(
        predicted=pl.Series(demand_model.predict(rows.select(FEATURES).to_pandas())),
        actual=pl.col("units"),
        # No unit at all would be infinitely far off: half a one is what nobody can be blamed for.
        baseline=pl.col("units_before").cast(pl.Float64).clip(lower_bound=0.5),
    )


def fitted(rows: pl.DataFrame, alpha: float) -> "BaseEstimator":
    """Return a regression that has learned from some rows; ``alpha`` is how much it holds coefficients back."""
    import numpy as np
    from sklearn.compose import ColumnTransformer
    from sklearn.linear_model import PoissonRegressor
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer, StandardScaler

    logarithms = FunctionTransformer(np.log, feature_names_out="one-to-one")
    columns = ColumnTransformer([("log", logarithms, RATIOS), ("scaled", StandardScaler(), FEATURES[len(RATIOS) :])])
    made = make_pipeline(columns, PoissonRegressor(alpha=alpha, max_iter=1000))
    return made.fit(rows.select(FEATURES).to_pandas(), rows["units"].to_numpy())


def learned_deviance(
    product_features: pl.DataFrame, product_days: pl.DataFrame, partition: Partition, alpha: float
) -> float:
    """Return the mean Poisson deviance on the last week that is learned from, of what the weeks before it taught."""
    from sklearn.metrics import mean_poisson_deviance

    learned, _ = weeks_of(weekly_rows(product_features, product_days), partition)
    last = pl.col("week") == learned["week"].max()
    rest, tried = learned.filter(~last), learned.filter(last)
    predicted = fitted(rest, alpha).predict(tried.select(FEATURES).to_pandas())
    return float(mean_poisson_deviance(tried["units"], predicted))


def scores(rows: pl.DataFrame) -> dict[str, float]:
    """Return how far off the predictions are: the mean Poisson deviance, less is better, and that of the revenue.

    ``revenue_error`` is how much of the revenue was predicted for the wrong product or week, as a share of it.
    """
    from sklearn.metrics import mean_poisson_deviance

    deviance = float(mean_poisson_deviance(rows["actual"], rows["predicted"]))
    baseline = float(mean_poisson_deviance(rows["actual"], rows["baseline"]))
    wrong = ((pl.col("predicted") - pl.col("actual")).abs() * pl.col("price_gbp")).sum()
    revenue = (pl.col("actual") * pl.col("price_gbp")).sum()
    return {
        "revenue_error": float(rows.select(wrong / revenue).item()),
        "poisson_deviance": deviance,
        "share_of_baseline": deviance / baseline,
    }


@model(
    partitions=WEEKS,
    inputs={
        "product_features": ref("product_features", trailing(days=DAYS)),
        "product_days": ref("product_days", trailing(days=DAYS)),
    },
    # More than that would hold the elasticity back by over a tenth.
    search=Search(objective=learned_deviance, space={"alpha": {"low": 0.0001, "high": 0.02, "log": True}}, trials=4),
    validation=Validation(
        predictions=held_out,
        metrics=scores,
        # A new week's champion need not be better than the old one, and must not be much worse.
        limits={
            "revenue_error": at_most(1.0, worse_by=0.1),
            "poisson_deviance": at_most(None, worse_by=0.1),
            "share_of_baseline": at_most(1.0),
        },
        business="revenue_error",
        gate="demand_predictions",
    ),
)
def demand_model(
    product_features: pl.DataFrame, product_days: pl.DataFrame, partition: Partition, alpha: float = 0.001
) -> "BaseEstimator":
    """Units sold in a week: a Poisson regression, in whose logarithm price ratio and usual units are linear."""
    learned, _ = weeks_of(weekly_rows(product_features, product_days), partition)
    made = fitted(learned, alpha)
    # Of all products that it could have been asked about, sold in the week or not: it is asked about all of them.
    sunday = pl.col("partition").str.to_date()
    asked = product_features.filter(sunday.dt.offset_by("1d").is_in(learned["week"].unique().to_list()))
    known = watched(made, asked)
    made.training_profile_ = training_profile(known, known.columns)  # a champion brings along what to compare with
    return made


dag = pipeline(
    "demand_model",
    [demand_model],
    schedule="0 7 * * 1",
    timezone="Europe/London",
    owner="pricing",
)
