"""How far off the demand model is on real deliveries: trained up to a week, scored on that week, then the next one.

    python -m benchmarks.walk_forward --landing FOLDER [--first 2011-03-07] [--until 2011-06-30] [--plot FILE.svg]
                                      [--without STOCK_CODE]

The price list is played over the deliveries into a folder that goes away again; what it gives for ``product_features``
and ``product_days`` is what the model learns from. Printed are the page's tables, in Markdown. What is scored, all of
it on the same rows:

- candidate: ``demand_model`` as it is trained for the partition whose first held-out week this is
- baseline: as many units as in the seven days before
- never retrained: the first week's candidate, for all weeks
- price unknown: the candidate, which is told the mean price of the 28 days before in place of the week's own
- usual units: units a day of the 28 days before, for as many days as the shop is open
"""

import argparse
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from tidemark import Partition
from tidemark.catalog import load_catalog
from tidemark.config import settings
from tidemark.deployment import open_deployment
from tidemark.reading import read
from tidemark.running.run import prepare, run_plan
from tidemark.verdict import verdict

if TYPE_CHECKING:
    from sklearn.base import BaseEstimator

ROOT = Path(__file__).resolve().parent.parent
sys.path.append(str(ROOT / "dags"))  # pipeline files find what they share there, as Airflow has it

import demand_model as weekly  # noqa: E402

WEEK = timedelta(7)
FORECASTS = {
    "candidate": "candidate",
    "baseline": "baseline",
    "once": "never retrained",
    "unpriced": "price unknown",
    "usual": "usual units",
}
"""What is scored, and what the page calls it."""
PAIRS = [
    ("candidate", "baseline"),
    ("candidate", "once"),
    ("once", "candidate"),
    ("once", "baseline"),
    ("candidate", "unpriced"),
    ("candidate", "usual"),
    ("unpriced", "baseline"),
    ("unpriced", "usual"),
]
KINDS = ("deviance", "revenue")


def played(landing: Path, home: Path, until: date) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Run the price list over deliveries, as on the morning after a day; returns its features and its product days.

    Raises:
        SystemExit: something failed or was blocked.

    """
    given = settings({"TIDEMARK_HOME": str(home), "TIDEMARK_LANDING_URL": str(landing.resolve())})
    pipeline = load_catalog(ROOT / "dags").pipeline("price_list")
    as_of = datetime.combine(until + timedelta(1), time(5), UTC)
    with open_deployment(given) as deployment:
        prepared = prepare(deployment, pipeline, as_of=as_of, run="walk_forward", actor="benchmark")
        run_plan(deployment, pipeline, prepared, run="walk_forward", actor="benchmark")
        came_out = verdict(deployment, pipeline, prepared.plan_id)
        if not came_out.ok:
            raise SystemExit(f"the price list over {landing} did not come out: {came_out.counts}")
        features = read("product_features", as_=pl.DataFrame, deployment=deployment)
        return features, read("product_days", as_=pl.DataFrame, deployment=deployment)


def held_out_weeks(days: pl.DataFrame, first: date) -> list[date]:
    """Return the Mondays to score, from the first on.

    The last is the newest that some partition holds out first: the weeks that it holds out after it have begun.
    """
    newest = days["partition"].str.to_date().max()
    assert isinstance(newest, date)
    last = newest - timedelta(newest.weekday()) - (weekly.HELD_OUT_WEEKS - 1) * WEEK
    return [first + number * WEEK for number in range((last - first) // WEEK + 1)]


def walk(features: pl.DataFrame, days: pl.DataFrame, first: date) -> Iterator[dict[str, Any]]:
    """Yield a row for each held-out week, in their order.

    Columns: ``week``; ``learned_until``, the Monday of the last week that was learned from; ``open_days``,
    ``products`` and ``learned_rows``; ``elasticity``, the coefficient of the logarithm of the price; and of each
    forecast ``deviance_...`` (mean Poisson deviance) and ``revenue_...`` (the revenue that it expects by the one that
    came, less 1).

    Args:
        features: of each product on each day, with the day as ``partition``.
        days: what each product sold on each day, likewise.
        first: the Monday of the first held-out week.

    """
    once: BaseEstimator | None = None
    for week in held_out_weeks(days, first):
        partition = _partition(week + (weekly.HELD_OUT_WEEKS - 1) * WEEK)
        known = _window(features, partition), _window(days, partition)
        candidate = weekly.demand_model(*known, partition)
        once = once or candidate
        learned, held_out = weekly.weeks_of(weekly.weekly_rows(*known), partition)
        rows = held_out.filter(pl.col("week") == week).join(
            _sales(days), on=["week", "stock_code"], maintain_order="left"
        )
        yield {
            "week": week,
            "learned_until": learned["week"].max(),
            "open_days": rows["open_days"][0],
            "products": rows.height,
            "learned_rows": learned.height,
            "elasticity": float(candidate[-1].coef_[weekly.FEATURES.index("price_ratio")]),
            **_scores(rows, candidate, once),
        }


def _partition(monday: date) -> Partition:
    return Partition(str(monday), datetime.combine(monday, time()))


def _window(frame: pl.DataFrame, partition: Partition) -> pl.DataFrame:
    """Return the days that the pipeline's own window hands to the model's partition."""
    last = partition.date + WEEK - timedelta(1)
    return frame.filter(pl.col("partition").str.to_date().is_between(last - timedelta(weekly.DAYS - 1), last))


def _sales(days: pl.DataFrame) -> pl.DataFrame:
    """Return what each product's units of a week were sold for, returns not taken off."""
    return days.group_by(week=pl.col("partition").str.to_date().dt.truncate("1w"), stock_code="stock_code").agg(
        sales_gbp=(pl.col("mean_price_gbp") * pl.col("units_sold")).sum()
    )


def _scores(rows: pl.DataFrame, candidate: "BaseEstimator", once: "BaseEstimator") -> dict[str, float]:
    from sklearn.metrics import mean_poisson_deviance

    def by(estimator: "BaseEstimator", offers: pl.DataFrame) -> pl.Series:
        return pl.Series(estimator.predict(offers.select(weekly.FEATURES).to_pandas()))

    forecasts: Mapping[str, pl.Series] = {
        "candidate": by(candidate, rows),
        # As the pipeline's own scores have it: no unit at all would be infinitely far off.
        "baseline": rows["units_before"].cast(pl.Float64).clip(lower_bound=0.5),
        "once": by(once, rows),
        "unpriced": by(candidate, rows.with_columns(price_ratio="mean_ratio")),
        "usual": rows["units_per_day"] * rows["open_days"],
    }
    price, sales = rows["sales_gbp"] / rows["units"], rows["sales_gbp"].sum()
    return {
        f"deviance_{name}": float(mean_poisson_deviance(rows["units"], each)) for name, each in forecasts.items()
    } | {f"revenue_{name}": float((each * price).sum() / sales - 1) for name, each in forecasts.items()}


def tables(walked: pl.DataFrame) -> str:
    """Return the page's tables: deviance, revenue, and in how many weeks one forecast is better than another."""
    first, then = ["week", "open days", "products", "rows learned", "elasticity"], list(FORECASTS.values())
    deviances, revenues = [[*first, *then]], [["week", *then]]
    for row in walked.iter_rows(named=True):
        about = [str(row["week"]), str(row["open_days"]), f"{row['products']:,}", f"{row['learned_rows']:,}"]
        deviances.append(
            [*about, f"{row['elasticity']:.2f}", *(f"{row[f'deviance_{name}']:.1f}" for name in FORECASTS)]
        )
        revenues.append([str(row["week"]), *(f"{round(100 * row[f'revenue_{name}']):+d}" for name in FORECASTS)])
    compared = [["one", "the other", "deviance", "revenue"]]
    for one, other in PAIRS:
        compared.append([FORECASTS[one], FORECASTS[other], *(_better(walked, kind, one, other) for kind in KINDS)])
    means = walked.select(pl.col("^deviance_.*$").mean(), pl.col("^revenue_.*$").abs().mean()).row(0, named=True)
    deviances.append(["mean", *[""] * 4, *(f"{means[f'deviance_{name}']:.1f}" for name in FORECASTS)])
    revenues.append(["mean size", *(f"{100 * means[f'revenue_{name}']:.0f}" for name in FORECASTS)])
    return "\n".join(
        [
            "Mean Poisson deviance, less is better:\n",
            _markdown(deviances),
            "\nRevenue of the week, forecast against what came, in percent:\n",
            _markdown(revenues),
            f"\nIn how many of {walked.height} weeks one is better than the other:\n",
            _markdown(compared),
        ]
    )


def _better(walked: pl.DataFrame, kind: str, one: str, other: str) -> str:
    # Where both are the same model, as in the first week, neither is better.
    return str((walked[f"{kind}_{one}"].abs() < walked[f"{kind}_{other}"].abs()).sum())


def _markdown(rows: list[list[str]]) -> str:
    lines = [f"| {' | '.join(row)} |".replace("|  |", "| |").replace("|  |", "| |") for row in rows]
    return "\n".join([lines[0], "|" + " --- |" * len(rows[0]), *lines[1:]])


def plot(walked: pl.DataFrame, file: Path) -> None:
    """Draw the tables' figures; the same figures give the same bytes."""
    import matplotlib as mpl
    from matplotlib.figure import Figure
    from matplotlib.ticker import PercentFormatter

    # The colours of Okabe and Ito, and a mark each: who cannot tell colours apart, or prints it, still can read it.
    drawn = {
        "candidate": {"color": "#0072B2", "marker": "o", "linewidth": 2.2, "zorder": 3},
        "baseline": {"color": "#D55E00", "marker": "s"},
        "once": {"color": "#009E73", "marker": "^", "linestyle": "--"},
        "unpriced": {"color": "#CC79A7", "marker": "D", "linestyle": "--"},
        "usual": {"color": "#555555", "marker": "x", "linestyle": ":"},
    }
    deviance, revenue = "mean Poisson deviance\n(units, less is better)", "revenue forecast error\n(% of the week's)"
    panels = [
        (
            "Against the baseline, and with or without retraining",
            deviance,
            "deviance",
            ["candidate", "baseline", "once"],
        ),
        ("What the week's own price is worth", deviance, "deviance", ["candidate", "unpriced", "usual"]),
        ("Revenue of the week", revenue, "revenue", ["candidate", "baseline", "usual"]),
    ]
    weeks = range(walked.height)
    highest = max(walked[f"deviance_{name}"].max() for name in FORECASTS)
    with mpl.rc_context(
        {"svg.hashsalt": "walk-forward", "font.size": 10, "axes.spines.top": False, "axes.spines.right": False}
    ):
        figure = Figure(figsize=(9, 9.5), layout="constrained", facecolor="white")
        for axes, (title, label, kind, names) in zip(figure.subplots(3, sharex=True), panels, strict=True):
            for name in names:
                axes.plot(weeks, walked[f"{kind}_{name}"], label=FORECASTS[name], markersize=5, **drawn[name])
            axes.set_title(title, loc="left", fontsize=11)
            axes.set_ylabel(label)
            axes.grid(axis="y", color="#dddddd", linewidth=0.6)
            axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(1, 1))
            if kind == "deviance":
                axes.set_ylim(0, 1.05 * highest)
            else:
                axes.axhline(0, color="black", linewidth=0.8)
                axes.yaxis.set_major_formatter(PercentFormatter(1, symbol=""))
        axes.set_xticks(weeks, [f"{week:%m-%d}" for week in walked["week"]], rotation=45)
        axes.set_xlabel(f"held-out week, by its Monday in {walked['week'][0]:%Y}")
        figure.savefig(file, metadata={"Date": None} if file.suffix == ".svg" else None)


def main() -> None:
    """Play, walk, print and draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    data = os.environ.get("TIDEMARK_TEST_DATA")
    parser.add_argument("--landing", type=Path, default=data, required=not data, help="folder of real deliveries")
    parser.add_argument("--first", type=date.fromisoformat, default="2011-03-07", help="Monday of the first week")
    parser.add_argument("--until", type=date.fromisoformat, default="2011-06-30", help="last day of the deliveries")
    parser.add_argument("--plot", type=Path, help="file to draw into, such as docs/images/walk-forward.svg")
    parser.add_argument("--without", metavar="STOCK_CODE", help="a product to leave out, of learning and scoring both")
    options = parser.parse_args()
    if options.first.weekday():
        parser.error(f"--first {options.first} is no Monday")
    with tempfile.TemporaryDirectory(prefix="tidemark-walk-") as home:
        print(f"playing the price list over {options.landing} ...", file=sys.stderr)
        features, days = played(options.landing, Path(home), options.until)
    if options.without:
        features, days = (each.filter(pl.col("stock_code") != options.without) for each in (features, days))
    walked = []
    for row in walk(features, days, options.first):
        print(f"{row['week']}: {row['learned_rows']:,} rows up to the week of {row['learned_until']}", file=sys.stderr)
        walked.append(row)
    if not walked:
        raise SystemExit(f"no week from {options.first} on is held out first by any partition: the days end before")
    print(tables(pl.DataFrame(walked)))
    if options.plot:
        plot(pl.DataFrame(walked), options.plot)


if __name__ == "__main__":
    main()
