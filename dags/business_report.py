"""## Daily business report

Every morning: how the day before went, as a mail with charts and as a page of this UI (*Reports* in the navigation).

| asset | what it holds |
| --- | --- |
| `business_report` | the figures of the day: revenue, orders, returns, products, prices, demand, drift |

It holds figures only, made from what the pipelines `price_list` and `demand_monitoring` publish. Whether they are final
or provisional, which model is in force and how good it is, and which incidents are open is added from the ledger each
time a report is shown: it is true then, and changes no figure. A day without orders has no report.

**Owner:** pricing. **What to do:**

- *A report is provisional*: it says what it lacks. It is made anew when that comes, and this page shows the newest.
- *No report came*: is `order_lines` of the day there? The report waits for it, and for nothing else. What comes after
  07:00 is reported by the next run: the next morning's, or one that you trigger.
"""

from typing import TYPE_CHECKING

import polars as pl

import report_figures as make
from tidemark import Daily, Partition, asset, in_force, pipeline, ref, trailing
from tidemark.figures import Figures

if TYPE_CHECKING:
    from sklearn.base import BaseEstimator

SHOWN_DAYS = 7 * 6


@asset(
    partitions=Daily(tz="Europe/London"),
    inputs={
        "order_lines": ref("order_lines"),
        "recent_lines": ref("order_lines", trailing(days=8)),
        "product_days": ref("product_days", trailing(days=SHOWN_DAYS)),
        "product_features": ref("product_features"),
        "base_prices": ref("base_prices", trailing(days=2)),
        "demand_model": ref("demand_model", in_force()),
        "demand_drift": ref("demand_drift"),
        "demand_retrain": ref("demand_retrain"),
        "demand_model_performance": ref("demand_model_performance", trailing(weeks=6)),
    },
)
def business_report(
    order_lines: pl.DataFrame,
    recent_lines: pl.LazyFrame,
    product_days: pl.DataFrame,
    partition: Partition,
    product_features: pl.DataFrame | None = None,
    base_prices: pl.DataFrame | None = None,
    demand_model: "BaseEstimator | None" = None,
    demand_drift: pl.DataFrame | None = None,
    demand_retrain: pl.DataFrame | None = None,
    demand_model_performance: pl.DataFrame | None = None,
) -> str:
    """The figures of the day, beside those of the same weekday a week before."""
    names = make.descriptions(recent_lines)
    today, before = make.prices_of(base_prices, partition)
    figures = Figures(
        "Shop",
        make.core_numbers(recent_lines, product_days, partition),
        (
            make.revenue(order_lines, product_days),
            make.top_products(product_days, names, partition),
            make.price_changes(today, before, names),
            make.price_into_demand(product_features, product_days, today, demand_model, partition),
            make.model_by_week(demand_model_performance),
            make.drift(demand_drift, demand_retrain),
        ),
    )
    return figures.to_text()


dag = pipeline(
    "business_report",
    [business_report],
    schedule="0 7 * * *",
    timezone="Europe/London",
    owner="pricing",
    reports=["business_report"],
)
