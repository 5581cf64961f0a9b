"""## Watching the demand model

Every day: does what the champion is asked about still look like what it learned from? Every week: how many units and
pounds did it predict, and how many were sold?

| asset | what it holds |
| --- | --- |
| `demand_drift` | how far the day's features and the champion's predictions are from the champion's training data |
| `demand_retrain` | for how many days in a row something has drifted, and whether that asks for a training today |
| `demand_model_performance` | predicted and actual units and revenue of the week, and how far off the baseline was |
| `demand_model_performance_plot` | the last 26 weeks of that, as a picture |

A training is asked for once: on the day on which drift has gone on for five days. Before the first champion nothing is
compared, and the week's table has the baseline alone.

**Owner:** pricing. **What to do:**

- *`retrain` is true*: a run of `demand_model` was started, which trains its newest week and asks the approver. Look at
  `features`, and at `demand_drift` of the day. If the shop has changed, decide about the candidate; if its data is
  broken, mend that first: a model learns what is wrong too.
- *The champion is worse than the baseline for several weeks*: train, or take it back with
  `tidemark model rollback demand_model --why "..."`.
"""

from typing import TYPE_CHECKING

import polars as pl

from demand_rows import FEATURES, watched, weekly_rows
from tidemark import Accuracy, Daily, Partition, Weekly, asset, in_force, pipeline, previous, ref, trailing
from tidemark.drift import Limit, drift, over, profile_digest

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from sklearn.base import BaseEstimator

DAYS = Daily(tz="Europe/London")
WEEKS = Weekly(tz="Europe/London")
# More than the days in a row on which the shop is closed at Easter.
DRIFT_DAYS = 5
SHOWN_WEEKS = 26
# The calendar moves these two for all products at once, by weekday and holiday: they are measured, and ask for nothing.
LIMITS = {"trend": Limit(psi=None), "days_since_last_sale": Limit(psi=None)}


@asset(
    partitions=DAYS,
    inputs={"product_features": ref("product_features"), "demand_model": ref("demand_model", in_force())},
    key=["feature"],
)
def demand_drift(product_features: pl.DataFrame, demand_model: "BaseEstimator | None" = None) -> pl.DataFrame:
    """How far the day is from the training data of the champion in force, and which of it is over its limit.

    ``champion`` tells one training profile from another. Without a champion, or with one that was trained without a
    profile, there is no row.
    """
    profile = getattr(demand_model, "training_profile_", {})
    rows = watched(demand_model, product_features) if demand_model is not None else product_features
    table = drift(profile, rows)
    return table.with_columns(
        over=pl.col("feature").is_in(over(table, LIMITS)), champion=pl.lit(profile_digest(profile)[:12])
    )


@asset(partitions=DAYS, inputs={"demand_retrain": previous()})
def demand_retrain(
    demand_drift: pl.DataFrame,
    demand_retrain: pl.DataFrame | None,
    partition: Partition,
    drift_days: int = DRIFT_DAYS,
) -> pl.DataFrame:
    """Whether a training is asked for today: one row.

    Days with drift in a row are an episode; ``since`` is its first day. It ends with a day without drift, and with its
    champion. ``retrain`` is true on the day on which it is ``drift_days`` long, and on no other day of it.
    """
    features = demand_drift.filter("over")["feature"].to_list()
    champion = demand_drift["champion"][0] if demand_drift.height else None
    count, since = 0, None
    if features:
        count, since = 1, partition.key
        before = demand_retrain.row(0, named=True) if demand_retrain is not None else {}
        if before.get("drifting_days") and before["champion"] == champion:
            count, since = before["drifting_days"] + 1, before["since"]
    return pl.DataFrame(
        [(count, ", ".join(features), count == drift_days, since, champion)],
        schema={
            "drifting_days": pl.Int64,
            "features": pl.String,
            "retrain": pl.Boolean,
            "since": pl.String,
            "champion": pl.String,
        },
        orient="row",
    )


@asset(
    partitions=WEEKS,
    inputs={
        # The features are those of the Sunday before the week, the units those of the week and of the week before.
        "product_features": ref("product_features", trailing(days=8)),
        "product_days": ref("product_days", trailing(days=14)),
        "demand_model": ref("demand_model", in_force()),
    },
    key=["week"],
)
def demand_model_performance(
    product_features: pl.DataFrame,
    product_days: pl.DataFrame,
    partition: Partition,
    demand_model: "BaseEstimator | None" = None,
) -> pl.DataFrame:
    """What the champion that is in force as the week ends would have said of it, and what was sold: one row.

    It is told the prices that were paid. A product that was not sold has none, and counts on neither side. Without a
    champion its columns are null.
    """
    from sklearn.metrics import mean_poisson_deviance

    rows = weekly_rows(product_features, product_days).filter(pl.col("week") == partition.date)
    units, price = rows["units"].to_numpy(), rows["price_gbp"].to_numpy()
    # As held_out of demand_model has it: no unit at all would be infinitely far off.
    baseline = rows["units_before"].cast(pl.Float64).clip(lower_bound=0.5).to_numpy()
    said = None if demand_model is None or rows.is_empty() else demand_model.predict(rows.select(FEATURES).to_pandas())
    measured = {
        "deviance_champion": None if said is None else round(float(mean_poisson_deviance(units, said)), 6),
        "deviance_baseline": None if rows.is_empty() else round(float(mean_poisson_deviance(units, baseline)), 6),
        "predicted_units": None if said is None else round(float(said.sum()), 3),
        "actual_units": float(units.sum()),
        "predicted_revenue_gbp": None if said is None else round(float((said * price).sum()), 2),
        "actual_revenue_gbp": round(float((units * price).sum()), 2),
    }
    return pl.DataFrame(
        [{"week": partition.date, "products": rows.height, **measured}],
        schema={"week": pl.Date, "products": pl.Int64, **dict.fromkeys(measured, pl.Float64)},
    )


@asset(partitions=WEEKS, inputs={"demand_model_performance": trailing(weeks=SHOWN_WEEKS)})
def demand_model_performance_plot(demand_model_performance: pl.DataFrame) -> bytes:
    """The weeks up to this one as a PNG: units predicted and sold, and the deviances of champion and baseline."""
    import io

    from matplotlib import style
    from matplotlib.dates import ConciseDateFormatter
    from matplotlib.figure import Figure

    table, picture = demand_model_performance.sort("week"), io.BytesIO()
    weeks = [table["week"].dt.offset_by(edge).max() for edge in (f"-{SHOWN_WEEKS}w", "1w")]
    with style.context("default", after_reset=True):  # whatever a person's own settings are
        figure = Figure(figsize=(9, 6), layout="constrained")
        above, below = figure.subplots(2, sharex=True)
        _draw(above, table, "units a week", {"actual_units": "sold", "predicted_units": "predicted by the champion"})
        _draw(below, table, "mean Poisson deviance", {"deviance_baseline": "baseline", "deviance_champion": "champion"})
        below.xaxis.set_major_formatter(ConciseDateFormatter(below.xaxis.get_major_locator()))
        below.set_xlim(*weeks)  # few weeks are drawn as few
        below.set_xlabel("week, by its Monday")
        figure.savefig(picture, format="png", dpi=100, metadata={"Software": None})
    return picture.getvalue()


def _draw(axes: "Axes", table: pl.DataFrame, title: str, lines: dict[str, str]) -> None:
    for (column, label), colour in zip(lines.items(), ("#7f7f7f", "#1f77b4"), strict=True):
        axes.plot(table["week"].to_numpy(), table[column].to_numpy(), color=colour, marker="o", ms=4, label=label)
    axes.set_ylim(bottom=0)
    axes.set_title(title, loc="left", fontsize=11)
    axes.grid(axis="y", alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="lower right", bbox_to_anchor=(1, 1), ncols=len(lines), borderaxespad=0)


dag = pipeline(
    "demand_monitoring",
    [demand_drift, demand_retrain, demand_model_performance, demand_model_performance_plot],
    schedule="30 6 * * *",
    timezone="Europe/London",
    owner="pricing",
    retrains={"demand_model": "demand_retrain"},
    accuracy={"demand_model_performance": Accuracy("deviance_champion")},
)
