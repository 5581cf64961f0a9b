"""A shop that sells by price, a small regression of that, and what people and runs do with its candidates."""

from collections.abc import Iterable
from datetime import date, timedelta
from typing import Any

import sqlalchemy as sa

from tests.scenario import Shop
from tidemark import models
from tidemark.ledger.schema import audit_log
from tidemark.models.aliases import reconcile
from tidemark.models.presenting import Presented, present
from tidemark.models.validating import is_due

SALES = """
    from tidemark import Validation, at_least, at_most

    sales = source("sales", files="sales/{partition}.csv", partitions=DAYS, schema={"price": float, "units": float})

    def held_out(model: "BaseEstimator", sales: pl.DataFrame, partition: Partition) -> pl.DataFrame:
        rows = sales.filter(pl.col("partition") >= partition.key)
        said = model.predict(rows.select("price").to_pandas())
        return rows.select("price", actual="units", predicted=pl.Series(said))

    def scores(rows: pl.DataFrame) -> dict[str, float]:
        off = (pl.col("actual") - pl.col("predicted")).abs()
        return {"off_by": rows.select(off.mean()).item(), "worst": rows.select(off.max()).item()}

    @model(
        partitions=Weekly(start="2025-01-13"),
        inputs={"sales": trailing(days=14)},
        validation=Validation(
            predictions=held_out,
            metrics=scores,
            limits={"off_by": at_most(20, worse_by=0.5)},
            business="off_by",
        ),
    )
    def demand(sales: pl.DataFrame, partition: Partition, slope: float = 1.0) -> "BaseEstimator":
        from sklearn.linear_model import LinearRegression

        seen = sales.filter(pl.col("partition") < partition.key)
        if seen.height < 2:
            raise ValueError(f"{seen.height} rows to learn from: two are the least")
        return LinearRegression().fit(seen.select("price").to_pandas(), slope * seen["units"].to_numpy())
"""
LIMITS = 'limits={"off_by": at_most(20, worse_by=0.5)},'
GATED = SALES.replace('business="off_by",', 'business="off_by", gate="said",')

# Mondays are 2025-01-06 (only learned from), 2025-01-13 and 2025-01-20.
WEEK_1, WEEK_2 = "2025-01-13", "2025-01-20"
MORNINGS = {WEEK_1: "2025-01-20T06:00Z", WEEK_2: "2025-01-27T06:00Z"}
APPROVERS = {"TIDEMARK_APPROVERS": "ann", "TIDEMARK_FOUR_EYES": "off"}


def week(monday: str) -> list[str]:
    return [str(date.fromisoformat(monday) + timedelta(each)) for each in range(7)]


def sold(base: float = 100.0, slope: float = -5.0, prices: Iterable[float] = range(1, 7), wobble: float = 2.0) -> str:
    """A day's sales: a line through the prices, one up and one down."""
    rows = [f"{price},{base + slope * price + (wobble if each % 2 else -wobble)}" for each, price in enumerate(prices)]
    return "\n".join(["price,units", *rows]) + "\n"


def deliver(shop: Shop, monday: str, text: str | None = None) -> None:
    """Deliver a week: each sells a unit a day more than the one before, so that what is learned from it is another."""
    later = (date.fromisoformat(monday) - date(2025, 1, 6)).days // 7
    for day in week(monday):
        shop.deliver("sales", day, sold(100 + later) if text is None else text)


def begin(shop: Shop, text: str = SALES) -> None:
    """Two weeks of sales, of which the second is held out, and a candidate trained from them."""
    shop.more = dict(APPROVERS)
    shop.define(text)
    deliver(shop, "2025-01-06")
    deliver(shop, WEEK_1)
    shop.now(MORNINGS[WEEK_1])
    shop.run()


def next_week(shop: Shop, text: str | None = None) -> None:
    """A second week of sales, and a candidate that is held against what they say."""
    deliver(shop, WEEK_2, text)
    shop.now(MORNINGS[WEEK_2])
    shop.run()


def learn_anew(shop: Shop, base: float) -> None:
    """Correct what the newest candidate was trained from: the next one is another."""
    deliver(shop, "2025-01-06", sold(base))
    shop.run()


def name_of(shop: Shop) -> str:
    """The shop's only model."""
    (name,) = (each.name for each in shop.pipelines["shop"].assets if each.is_model)
    return name


def due(shop: Shop, *, registered: bool = False) -> bool:
    with shop.deployment() as deployment:
        pipeline = shop.pipelines["shop"]
        return is_due(deployment, pipeline, pipeline.asset(name_of(shop)), registered=registered)


def presented(shop: Shop) -> Presented:
    """Validate the candidate, as every run does that has one."""
    with shop.deployment() as deployment:
        made = present(deployment, shop.pipelines["shop"], name_of(shop), run="run", actor="tester")
    assert made is not None, "no candidate awaits a decision"
    return made


def promoted(shop: Shop) -> models.Promoted:
    with shop.deployment() as deployment:
        return models.promote(
            deployment, shop.pipelines["shop"], name_of(shop), None, first=None, why="good enough", actor="ann"
        )


def rolled_back(shop: Shop) -> models.RolledBack:
    with shop.deployment() as deployment:
        return models.rollback(deployment, name_of(shop), None, why="not good enough", actor="ann")


def reconciled(shop: Shop) -> list[str]:
    """Let the registry follow, as every plan does."""
    with shop.deployment() as deployment:
        return reconcile(deployment, shop.pipelines["shop"])


def audit(shop: Shop, act: str) -> list[dict[str, Any]]:
    """The details of every entry of the audit log about an act."""
    with shop.deployment() as deployment, deployment.ledger.read() as connection:
        return [dict(each.detail) for each in connection.execute(sa.select(audit_log)) if each.act == act]


def states(shop: Shop) -> dict[str, str]:
    """What each version is, by the week that it was trained for."""
    with shop.deployment() as deployment:
        return {each.made.partition: each.state for each in models.versions(deployment, name_of(shop))}


def champion(shop: Shop) -> str | None:
    """Return the version that is in force last."""
    with shop.deployment() as deployment:
        reigns = models.reigns(deployment, name_of(shop))
    return reigns[-1].version.hex() if reigns else None


def problems(made: Presented) -> list[str]:
    said: list[str] = made.challenge.report["problems"]
    return said


def metric(made: Presented, name: str = "off_by") -> Any:
    return made.challenge.report["metrics"][name]
