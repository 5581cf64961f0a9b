"""## Weekly demand model

Every week: how many units of each product will be sold in the next seven days, at which price.

| asset | what it holds |
| --- | --- |
| `demand_model` | a Poisson regression, trained on the twelve weeks before its two held-out ones: the candidate |
| `demand_model_scores` | how far off candidate and baseline were in each of the two held-out weeks |

A candidate changes nothing until a person makes it the champion: `tidemark model promote demand_model --why "..."`.
From then on `base_prices` is made with it. The baseline says that as many units are sold as in the seven days before.

**Owner:** pricing. **What to do:**

- *A candidate is worse than the baseline*: do not promote it; look at `demand_model_scores` of the weeks before.
- *Prices went wrong after a promotion*: `tidemark model rollback demand_model --why "..."`, then run `price_list`.
"""

from typing import TYPE_CHECKING

import polars as pl

from demand_rows import FEATURES, RATIOS, watched, weekly_rows
from tidemark import Partition, Weekly, asset, model, pipeline, ref, trailing
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


@model(
    partitions=WEEKS,
    inputs={
        "product_features": ref("product_features", trailing(days=DAYS)),
        "product_days": ref("product_days", trailing(days=DAYS)),
    },
)
def demand_model(
    product_features: pl.DataFrame, product_days: pl.DataFrame, partition: Partition, alpha: float = 0.001
) -> "BaseEstimator":
    """Units sold in a week: a Poisson regression, in whose logarithm price ratio and usual units are linear."""
    import numpy as np
    from sklearn.compose import ColumnTransformer
    from sklearn.linear_model import PoissonRegressor
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer, StandardScaler

    learned, _ = weeks_of(weekly_rows(product_features, product_days), partition)
    logarithms = FunctionTransformer(np.log, feature_names_out="one-to-one")
    columns = ColumnTransformer([("log", logarithms, RATIOS), ("scaled", StandardScaler(), FEATURES[len(RATIOS) :])])
    made = make_pipeline(columns, PoissonRegressor(alpha=alpha, max_iter=1000))
    made.fit(learned.select(FEATURES).to_pandas(), learned["units"].to_numpy())
    # Of all products that it could have been asked about, sold in the week or not: it is asked about all of them.
    sunday = pl.col("partition").str.to_date()
    asked = product_features.filter(sunday.dt.offset_by("1d").is_in(learned["week"].unique().to_list()))
    known = watched(made, asked)
    made.training_profile_ = training_profile(known, known.columns)  # a champion brings along what to compare with
    return made


@asset(
    partitions=WEEKS,
    inputs={
        "product_features": ref("product_features", trailing(days=DAYS)),
        "product_days": ref("product_days", trailing(days=DAYS)),
    },
    key=["week"],
)
def demand_model_scores(
    demand_model: "BaseEstimator", product_features: pl.DataFrame, product_days: pl.DataFrame, partition: Partition
) -> pl.DataFrame:
    """Mean Poisson deviance of candidate and baseline in each held-out week; less is better."""
    from sklearn.metrics import mean_poisson_deviance

    _, held_out = weeks_of(weekly_rows(product_features, product_days), partition)
    predicted = held_out.with_columns(
        candidate=pl.Series(demand_model.predict(held_out.select(FEATURES).to_pandas())),
        # No unit at all would be infinitely far off: half a one is what nobody can be blamed for.
        baseline=pl.col("units_before").cast(pl.Float64).clip(lower_bound=0.5),
    )
    scores = [
        {
            "week": week,
            "products": rows.height,
            "candidate_deviance": float(mean_poisson_deviance(rows["units"], rows["candidate"])),
            "baseline_deviance": float(mean_poisson_deviance(rows["units"], rows["baseline"])),
        }
        for (week,), rows in sorted(predicted.group_by("week"))
    ]
    return pl.DataFrame(scores)


dag = pipeline(
    "demand_model",
    [demand_model, demand_model_scores],
    schedule="0 7 * * 1",
    timezone="Europe/London",
    owner="pricing",
)
