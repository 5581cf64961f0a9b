"""Claims about drift that asks for a training: once an episode, and of a table that says what it has to."""

import pytest

from tests.models.selling import SALES, begin
from tests.scenario import Shop
from tidemark.errors import DefinitionError, UsageError
from tidemark.models.retraining import Request, requested
from tidemark.models.validating import PROFILE
from tidemark.pipelines import pipeline

ALARM = """
    @asset(partitions=DAYS)
    def alarm(sales: pl.DataFrame, partition: Partition) -> pl.DataFrame:
        since, asks = EPISODES(partition.key)
        return pl.DataFrame(
            {"retrain": [asks], "since": [since], "champion": ["c0ffee"], "features": ["price"]},
            schema_overrides={"since": pl.String},
        )
"""
# Days of January 2025: drift from the 15th to the 17th that asks on the 16th, and from the 19th on.
EPISODES = """(
            lambda day: ("2025-01-15", day == "2025-01-16") if "2025-01-15" <= day <= "2025-01-17"
            else ("2025-01-19", False) if day >= "2025-01-19" else (None, False)
        )"""


def asked(shop: Shop) -> Request | None:
    with shop.deployment() as deployment:
        return requested(deployment, "demand", "alarm")


def begin_until(shop: Shop, day: str, alarm: str = ALARM) -> None:
    """A shop whose clock stands at the morning after a day, and that has run."""
    begin(shop, "    from tidemark import Partition\n" + SALES + alarm.replace("EPISODES", EPISODES))
    later = [each for each in shop.heads("alarm") if each > day]
    shop.withdraw("sales", *later)
    shop.run(confirmed=frozenset({"sales"}))


@pytest.mark.parametrize("day", ["2025-01-14", "2025-01-15", "2025-01-18", "2025-01-19"])
def test_no_drift_and_drift_that_has_not_lasted_ask_for_nothing(shop: Shop, day: str) -> None:
    begin_until(shop, day)
    assert max(shop.heads("alarm")) == day
    assert asked(shop) is None


@pytest.mark.parametrize("day", ["2025-01-16", "2025-01-17"])
def test_a_later_day_of_an_episode_asks_for_the_same_training(shop: Shop, day: str) -> None:
    """So that a run that looks a day late starts it, and one that looks twice starts no second."""
    begin_until(shop, day)
    request = asked(shop)
    assert request is not None
    assert (request.name, request.features) == ("drift_2025-01-15_from_c0ffee", "price")
    assert request.pipeline == "shop"


def test_the_newest_week_that_was_trained_is_what_is_trained_again(shop: Shop) -> None:
    text = "    from tidemark import Partition\n" + SALES + ALARM.replace("EPISODES", "(lambda day: (day, True))")
    begin(shop, text)
    request = asked(shop)
    assert request is not None
    assert request.newest == max(shop.heads("demand"))


def test_a_model_that_was_never_trained_is_asked_for_all_the_same(shop: Shop) -> None:
    text = SALES.replace("if seen.height < 2:", "if True:")
    begin(shop, "    from tidemark import Partition\n" + text + ALARM.replace("EPISODES", "(lambda day: (day, True))"))
    assert shop.heads("demand") == {}
    request = asked(shop)
    assert request is not None
    assert request.newest is None


def test_a_table_that_does_not_say_it_is_an_error_that_names_the_column(shop: Shop) -> None:
    alarm = ALARM.replace('"since": [since], ', "").replace(', schema_overrides={"since": pl.String},', "")
    alarm = alarm.replace('            schema_overrides={"since": pl.String},\n', "")
    begin(shop, "    from tidemark import Partition\n" + SALES + alarm.replace("EPISODES", "(lambda day: (day, True))"))
    with pytest.raises(UsageError, match="alarm cannot ask for trainings of demand: it has no column 'since'"):
        asked(shop)


def test_what_a_run_is_named_after_is_what_airflow_takes() -> None:
    assert Request("p", None, "2025-01-15", "a b/c", "x").name == "drift_2025-01-15_from_a-b-c"


def test_an_asset_that_is_none_of_the_pipeline_is_an_error_at_import(shop: Shop) -> None:
    begin(shop)
    made = shop.pipelines["shop"]
    functions = [each.function for each in made.assets]
    with pytest.raises(DefinitionError, match=r"'alrm' is no asset of it"):
        pipeline("other", [*made.sources, *functions], retrains={"demand": "alrm"})


def test_the_page_says_how_far_the_training_data_is_from_the_champions(shop: Shop) -> None:
    """By the profiles that both bring along; a model without one brings none."""
    from tests.models.selling import next_week, presented, promoted

    profiled = SALES.replace(
        'return LinearRegression().fit(seen.select("price").to_pandas(), slope * seen["units"].to_numpy())',
        'made = LinearRegression().fit(seen.select("price").to_pandas(), slope * seen["units"].to_numpy())\n'
        f'        made.{PROFILE} = training_profile(seen, ["price", "units"])\n'
        "        return made",
    )
    assert profiled != SALES
    begin(shop, "    from tidemark.drift import training_profile\n" + profiled)
    assert presented(shop).challenge.report["drift"] == [], "there is no champion yet"
    promoted(shop)
    next_week(shop)
    made = presented(shop)
    drift = {each["feature"]: each for each in made.challenge.report["drift"]}
    assert set(drift) == {"price", "units"}
    assert drift["price"]["ks"] == 0, "the same prices"
    assert drift["units"]["ks"] > 0, "each day sells more"
    assert "| units | " in made.page
