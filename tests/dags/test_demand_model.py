"""Claims about the demand model: what it learns from, that it finds the elasticity there is, and what prices follow."""

import io
from datetime import date, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest

from dags import demand_model as weekly
from dags import price_list as product
from price_rules import wanted_prices
from samples import shop
from tidemark import Partition

MONDAY = date(2011, 5, 23)


def partition(monday: date = MONDAY) -> Partition:
    return Partition(str(monday), datetime(monday.year, monday.month, monday.day))


@pytest.fixture(scope="module")
def sold() -> pl.DataFrame:
    """What the simulated shop sold on each of 150 days up to the end of the week of that Monday."""
    catalogue, found = shop.products(), []
    for back in range(150):
        day = MONDAY + timedelta(6 - back)
        if shop.OPEN_DAYS.expects(day):
            text = io.StringIO(shop.orders_of(day, catalogue))
            types = {"InvoiceNo": pl.String, "StockCode": pl.String, "CustomerID": pl.String}
            orders = pl.read_csv(text, schema_overrides=types, try_parse_dates=True)
            made = product.product_days(product.order_lines(orders).lazy())
            found.append(made.with_columns(partition=pl.lit(str(day))))
    return pl.concat(reversed(found))


@pytest.fixture(scope="module")
def features(sold: pl.DataFrame) -> pl.DataFrame:
    """The features of every Sunday whose window is whole."""
    days = sold["partition"].str.to_date()
    found = []
    for back in range(18):
        sunday = MONDAY + timedelta(6 - 7 * back)
        window = sold.filter((days > sunday - timedelta(28)) & (days <= sunday))
        made = product.product_features(window.lazy(), partition(sunday))
        found.append(made.with_columns(partition=pl.lit(str(sunday))))
    return pl.concat(reversed(found))


@pytest.fixture(scope="module")
def trained(features: pl.DataFrame, sold: pl.DataFrame) -> Any:
    return weekly.demand_model(features, sold, partition())


def elasticity(estimator: Any) -> float:
    """The coefficient of the logarithm of the price."""
    return float(estimator[-1].coef_[weekly.FEATURES.index("price_ratio")])


def test_the_elasticity_of_the_simulated_shop_is_recovered(trained: Any) -> None:
    assert elasticity(trained) == pytest.approx(shop.ELASTICITY, rel=0.1)


@pytest.mark.parametrize("back", [1, 3, 5])
def test_it_is_recovered_from_other_weeks_too(features: pl.DataFrame, sold: pl.DataFrame, back: int) -> None:
    """Fewer of them, and with Easter among them."""
    week = partition(MONDAY - timedelta(7 * back))
    known = pl.col("partition").str.to_date() < MONDAY - timedelta(7 * (back - 1))
    made = weekly.demand_model(features.filter(known), sold.filter(known), week)
    assert elasticity(made) == pytest.approx(shop.ELASTICITY, rel=0.1)


def test_the_candidate_beats_the_baseline_in_every_held_out_week(
    trained: Any, features: pl.DataFrame, sold: pl.DataFrame
) -> None:
    rows = weekly.held_out(trained, features, sold, partition())
    weeks = {week: part for (week,), part in rows.group_by("week")}
    assert sorted(weeks) == [MONDAY - timedelta(7), MONDAY]
    for part in weeks.values():
        assert part.height == 80
        assert weekly.scores(part)["share_of_baseline"] < 1


def test_scores_are_those_that_scikit_learn_and_arithmetic_give(
    trained: Any, features: pl.DataFrame, sold: pl.DataFrame
) -> None:
    from sklearn.metrics import mean_poisson_deviance

    rows = weekly.held_out(trained, features, sold, partition())
    said, came = rows["predicted"].to_numpy(), rows["units"].to_numpy()
    scores, price = weekly.scores(rows), rows["price_gbp"].to_numpy()
    assert scores["poisson_deviance"] == pytest.approx(2 * np.mean(said - came + came * np.log(came / said)))
    baseline = mean_poisson_deviance(came, np.maximum(rows["units_before"].to_numpy(), 0.5))
    assert scores["share_of_baseline"] == pytest.approx(scores["poisson_deviance"] / baseline)
    assert scores["revenue_error"] == pytest.approx(np.sum(np.abs(said - came) * price) / np.sum(came * price))


def test_the_search_looks_at_nothing_that_is_held_out(features: pl.DataFrame, sold: pl.DataFrame) -> None:
    """A trial is scored on the last week that is learned from."""
    held_out = pl.col("partition").str.to_date() >= MONDAY - timedelta(7)
    other = sold.with_columns(units_sold=pl.when(held_out).then(pl.col("units_sold") * 9).otherwise("units_sold"))
    values = [weekly.learned_deviance(features, sold, partition(), alpha) for alpha in (0.001, 0.02)]
    assert weekly.learned_deviance(features, other, partition(), 0.001) == values[0] != values[1]


@pytest.mark.parametrize("alpha", [0.0001, 0.02])
def test_the_elasticity_is_recovered_wherever_the_search_may_end(
    features: pl.DataFrame, sold: pl.DataFrame, alpha: float
) -> None:
    """Holding coefficients back moves them towards nothing."""
    search = weekly.demand_model.__tidemark__.search  # type: ignore[attr-defined]
    assert search.space["alpha"]["low"] <= alpha <= search.space["alpha"]["high"]
    assert elasticity(weekly.demand_model(features, sold, partition(), alpha)) == pytest.approx(
        shop.ELASTICITY, rel=0.1
    )


def test_what_is_held_out_is_not_learned_from(features: pl.DataFrame, sold: pl.DataFrame, trained: Any) -> None:
    """Whatever is sold in the held-out weeks, the model is the same."""
    held_out = pl.col("partition").str.to_date() >= MONDAY - timedelta(7)
    other = sold.with_columns(units_sold=pl.when(held_out).then(pl.col("units_sold") * 9).otherwise("units_sold"))
    again = weekly.demand_model(features, other, partition())
    assert (again[-1].coef_ == trained[-1].coef_).all()


def test_training_twice_gives_the_same_bytes(features: pl.DataFrame, sold: pl.DataFrame, trained: Any) -> None:
    from tidemark.frames import encode

    first, second = (
        encode(each, name="demand_model") for each in (trained, weekly.demand_model(features, sold, partition()))
    )
    assert first.payload == second.payload
    assert first.data_version == second.data_version


def test_too_few_weeks_are_an_error_that_says_so(features: pl.DataFrame, sold: pl.DataFrame) -> None:
    recent = pl.col("partition").str.to_date() > MONDAY - timedelta(16)
    said = (
        r"^80 rows of 1 weeks to learn from, 160 of 2 held-out ones: two weeks to learn from, and 2 that are held out"
    )
    with pytest.raises(ValueError, match=said):
        weekly.demand_model(features.filter(recent), sold, partition())


def test_one_product_alone_can_be_learned_from(features: pl.DataFrame, sold: pl.DataFrame) -> None:
    """It has little to say, and says it in numbers: whether that is enough is for the validation to say."""
    only = pl.col("stock_code") == features["stock_code"][0]
    made = weekly.demand_model(features.filter(only), sold.filter(only), partition())
    rows = weekly.held_out(made, features.filter(only), sold.filter(only), partition())
    assert rows.height == 2
    assert all(np.isfinite(each) for each in weekly.scores(rows).values())


def test_a_feature_that_is_the_same_everywhere_has_no_effect(features: pl.DataFrame, sold: pl.DataFrame) -> None:
    flat = features.with_columns(return_rate=pl.lit(0.25))
    made = weekly.demand_model(flat, sold, partition())
    assert made[-1].coef_[weekly.FEATURES.index("return_rate")] == 0
    assert weekly.scores(weekly.held_out(made, flat, sold, partition()))["share_of_baseline"] < 1


@pytest.mark.parametrize(("value", "said"), [(float("nan"), "NaN"), (float("inf"), "infinity")])
def test_features_that_are_no_numbers_are_an_error_that_says_so(
    features: pl.DataFrame, sold: pl.DataFrame, value: float, said: str
) -> None:
    """Where there are no ratios of them: of those a row that has none is no row."""
    spoilt = features.with_columns(trend=pl.lit(value))
    with pytest.raises(ValueError, match=f"Input X contains {said}"):
        weekly.demand_model(spoilt, sold, partition())
    none = features.with_columns(usual_price_gbp=pl.lit(value))
    with pytest.raises(ValueError, match=r"^0 rows of 0 weeks to learn from, 0 of 0 held-out ones"):
        weekly.demand_model(none, sold, partition())


def test_predictions_that_are_no_numbers_are_no_score(features: pl.DataFrame, sold: pl.DataFrame, trained: Any) -> None:
    rows = weekly.held_out(trained, features, sold, partition())
    with pytest.raises(ValueError, match="contains NaN"):
        weekly.scores(rows.with_columns(predicted=pl.lit(float("nan"))))


def test_a_row_is_a_week_of_a_product_with_what_was_known_the_day_before(
    features: pl.DataFrame, sold: pl.DataFrame
) -> None:
    rows = weekly.weekly_rows(features, sold)
    code = rows["stock_code"][0]
    row = rows.filter((pl.col("week") == MONDAY) & (pl.col("stock_code") == code)).row(0, named=True)
    days = sold.filter(pl.col("stock_code") == code).with_columns(day=pl.col("partition").str.to_date())
    week = days.filter(pl.col("day") >= MONDAY)
    before = days.filter((pl.col("day") >= MONDAY - timedelta(7)) & (pl.col("day") < MONDAY))
    known = features.filter((pl.col("partition") == str(MONDAY - timedelta(1))) & (pl.col("stock_code") == code))
    assert (row["units"], row["units_before"]) == (week["units_sold"].sum(), before["units_sold"].sum())
    paid = (week["mean_price_gbp"] * week["units_sold"]).sum() / week["units_sold"].sum()
    assert row["price_ratio"] == pytest.approx(paid / known["usual_price_gbp"].item())
    assert row["open_days"] == sold.filter(pl.col("partition").str.to_date() >= MONDAY)["partition"].n_unique()
    assert (rows.select(pl.col(weekly.RATIOS).is_finite().all()).row(0)) == (True,) * len(weekly.RATIOS)


# --- prices


def test_the_price_is_the_one_that_earns_most_by_the_model(trained: Any, features: pl.DataFrame) -> None:
    """Demand that falls faster than prices rise is best served ten per cent below the usual price."""
    day = features.filter(pl.col("partition") == str(MONDAY + timedelta(6)))
    wanted = wanted_prices(day, trained, 0.1)
    both = day.join(wanted, on="stock_code")
    assert both.height == day.height == 80
    assert both["wanted_gbp"].to_numpy() == pytest.approx(0.9 * both["usual_price_gbp"].to_numpy())


def test_the_best_price_is_looked_for_within_the_range(features: pl.DataFrame) -> None:
    """Units that fall by a straight line are best sold at half of the price at which nobody buys."""

    class Line:
        def predict(self, offers: Any) -> Any:
            return 2.1 - offers["price_ratio"].to_numpy()

    day = features.filter(pl.col("partition") == str(MONDAY + timedelta(6)))
    wanted = day.join(wanted_prices(day, Line(), 0.1), on="stock_code")  # type: ignore[arg-type]
    assert wanted["wanted_gbp"].to_numpy() == pytest.approx(1.05 * wanted["usual_price_gbp"].to_numpy())


def test_a_product_that_has_no_price_harms_no_other(trained: Any, features: pl.DataFrame) -> None:
    """A ratio to nothing is infinite, and no model takes that: it keeps the usual price, and costs a penny."""
    day = features.filter(pl.col("partition") == str(MONDAY + timedelta(6)))
    code = day["stock_code"][0]
    usual = pl.when(pl.col("stock_code") == code).then(0.0).otherwise(pl.col("usual_price_gbp"))
    free = day.with_columns(usual_price_gbp=usual)
    wanted = dict(wanted_prices(free, trained, 0.1).iter_rows())
    assert wanted.pop(code) == 0
    assert wanted == {key: each for key, each in wanted_prices(day, trained, 0.1).iter_rows() if key != code}
    assert dict(product.base_prices(free, None, trained).iter_rows())[code] == 0.01
    for none in (free.filter(pl.col("stock_code") == code), free.clear()):
        assert wanted_prices(none, trained, 0.1).height == none.height


def test_without_a_champion_the_usual_price_is_wanted(features: pl.DataFrame) -> None:
    day = features.filter(pl.col("partition") == str(MONDAY + timedelta(6)))
    wanted = wanted_prices(day, None, 0.1)
    assert wanted.rows() == day.select("stock_code", "usual_price_gbp").rows()


def test_a_price_is_at_most_five_per_cent_from_the_day_before_whatever_the_model_says(
    trained: Any, features: pl.DataFrame
) -> None:
    day = features.filter(pl.col("partition") == str(MONDAY + timedelta(6)))
    before = day.select("stock_code", price_gbp="usual_price_gbp")
    prices = product.base_prices(day, before, trained).join(before, on="stock_code", suffix="_before")
    step = (prices["price_gbp"] / prices["price_gbp_before"]).to_numpy()
    assert np.all(step >= 0.95 - 0.006 / prices["price_gbp_before"].to_numpy())
    assert np.all(step < 1)
