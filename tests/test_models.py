"""Claims about models: who is champion from when on, what follows for its readers, and how that is taken back."""

import tempfile
import threading
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tests.scenario import Shop, new_shop, on_both_ledgers
from tidemark import models
from tidemark.assets import CHAMPIONS
from tidemark.errors import DefinitionError, Refused, UsageError
from tidemark.mappings import in_force, same
from tidemark.partitions import Daily, Monthly, Weekly

SHOP = """
    orders = source("orders", files="orders/{partition}.csv", partitions=DAYS, schema={"units": int})

    @asset(partitions=DAYS)
    def lines(orders: pl.DataFrame) -> pl.DataFrame:
        return orders

    @asset(partitions=DAYS, inputs={"model": ref("forecast", in_force())}, closes_after="20 days")
    def prices(lines: pl.DataFrame, model: str | None) -> str:
        return f"{lines.height} lines by {model}"
"""

FORECAST = """
    @model(partitions=Weekly(), inputs={"lines": ref("lines", parts())})
    def forecast(lines: pl.DataFrame) -> str:
        return f"the forecast of {lines['units'].sum()} units"
"""

# Mondays are 2025-01-06 and 2025-01-13.
WEEK_1, WEEK_2 = "2024-12-30", "2025-01-06"
NONE, FIRST, SECOND = "1 lines by None", "1 lines by the forecast of 7 units", "1 lines by the forecast of 14 units"


@pytest.fixture
def trained(shop: Shop) -> Shop:
    """A shop with a week of orders of one unit a day, and a candidate of that week."""
    begin(shop)
    return shop


def begin(shop: Shop, text: str = SHOP, model: str = FORECAST, early: int = 0) -> None:
    """Deliver a week of orders and some days before it, run both pipelines, and let Ann decide."""
    shop.more = {"TIDEMARK_APPROVERS": "ann", "TIDEMARK_FOUR_EYES": "off"}
    shop.define(text)
    shop.define(model, "forecasts")
    for day in days("2024-12-28", 9)[2 - early :]:
        shop.deliver("orders", day, "units\n1\n")
    shop.now("2025-01-06T06:00")
    shop.run()
    shop.run("forecasts")


def days(first: str, count: int) -> list[str]:
    start = datetime.fromisoformat(first).toordinal()
    return [datetime.fromordinal(start + each).date().isoformat() for each in range(count)]


def next_week(shop: Shop) -> None:
    """A second week of orders, two units a day."""
    for day in days("2025-01-06", 7):
        shop.deliver("orders", day, "units\n2\n")
    shop.now("2025-01-13T06:00")
    shop.run()


def decide(shop: Shop, act: Callable[..., Any], version: str | None = None, **options: Any) -> Any:
    with shop.deployment() as deployment:
        return act(deployment, "forecast", version, why="so", actor="ann", **options)


def promote(shop: Shop, version: str | None = None, begins: str | None = None, actor: str = "ann") -> models.Promoted:
    first = date.fromisoformat(begins) if begins else None
    with shop.deployment() as deployment:
        pipeline = shop.pipelines["forecasts"]
        return models.promote(deployment, pipeline, "forecast", version, first=first, why="so", actor=actor)


def rollback(shop: Shop, to: str | None = None) -> models.RolledBack:
    done: models.RolledBack = decide(shop, models.rollback, to)
    return done


def states(shop: Shop) -> dict[str, str]:
    """The state of each version, by the week that it was trained for."""
    with shop.deployment() as deployment:
        found = models.versions(deployment, "forecast")
    return {each.made.partition: each.state for each in found}


def in_force_from(shop: Shop) -> list[tuple[str, str]]:
    with shop.deployment() as deployment:
        found = models.reigns(deployment, "forecast")
    return [(f"{each.begins:%Y-%m-%d}", each.trained) for each in found]


def test_before_the_first_champion_there_is_none(trained: Shop) -> None:
    assert set(trained.heads("prices").values()) == {NONE}
    assert trained.provisional("prices") == {}
    assert states(trained) == {WEEK_1: models.CANDIDATE}


def test_a_promotion_is_in_force_from_the_first_partition_without_a_head(trained: Shop) -> None:
    """What is live stays as it is: only what comes is made with the champion."""
    done = promote(trained)
    assert (done.trained, f"{done.begins:%Y-%m-%d %H:%M}", done.before) == (WEEK_1, "2025-01-06 00:00", None)
    assert done.readers == ("shop",)
    trained.run()
    assert trained.ran == {}
    next_week(trained)
    prices = trained.heads("prices")
    assert {key for key, said in prices.items() if said == NONE} == set(days("2024-12-30", 7))
    assert {key for key, said in prices.items() if said == FIRST} == set(days("2025-01-06", 7))
    assert states(trained) == {WEEK_1: models.CHAMPION}


def test_a_promotion_from_a_day_on_runs_exactly_these_days(trained: Shop) -> None:
    promote(trained, begins="2025-01-03")
    trained.run()
    assert trained.ran == {"prices": days("2025-01-03", 3)}
    assert trained.heads("prices")["2025-01-02"] == NONE
    assert trained.heads("prices")["2025-01-03"] == FIRST


@on_both_ledgers
def test_a_rollback_brings_back_what_was_without_running_anything(trained: Shop) -> None:
    """The same bytes as before: their keys are known."""
    before = trained.versions("prices")
    promote(trained, begins="2025-01-03")
    trained.run()
    assert trained.versions("prices") != before
    done = rollback(trained)
    assert (done.version, f"{done.begins:%Y-%m-%d}") == (None, "2025-01-03")
    trained.run()
    assert trained.ran == {}
    assert trained.counts("prices") == {"restored": 3, "unchanged": 4}
    assert trained.versions("prices") == before
    assert states(trained) == {WEEK_1: models.ROLLED_BACK}
    assert in_force_from(trained) == []


def test_what_was_rolled_back_can_be_promoted_again(trained: Shop) -> None:
    """A rollback may have been the mistake; it is no rejection."""
    promote(trained, begins="2025-01-03")
    trained.run()
    rollback(trained)
    trained.run()
    promote(trained, begins="2025-01-03")
    trained.run()
    assert trained.ran == {}
    assert trained.heads("prices")["2025-01-03"] == FIRST


def test_explain_says_who_promoted_what_and_who_took_it_back(trained: Shop) -> None:
    promote(trained, begins="2025-01-03")
    trained.run()
    became = trained.explain("prices", "2025-01-03")["became"]["causes"]
    assert became[0]["said"] == "forecast.champion 2025-01-03T00 arrived"
    (cause,) = became[0]["causes"]
    version = trained.versions("forecast")[WEEK_1]
    assert cause["said"].startswith(f"forecast {version[:12]}, trained for {WEEK_1}, was promoted: so, ")
    assert cause["said"].endswith(" by ann")
    rollback(trained)
    (gone,) = trained.explain("prices", "2025-01-03")["causes"][0]["causes"]
    assert gone["said"].startswith("rolled back: so, ")


def test_days_that_only_the_champion_has_made_are_made_anew_after_a_rollback(trained: Shop) -> None:
    promote(trained)
    next_week(trained)
    rollback(trained)
    trained.run()
    assert trained.ran == {"prices": days("2025-01-06", 7)}
    assert set(trained.heads("prices").values()) == {NONE}


@on_both_ledgers
def test_champions_follow_each_other(trained: Shop) -> None:
    """Each is in force until the next one is; taking one back puts the one before in its place."""
    promote(trained, begins="2025-01-02")
    next_week(trained)
    trained.run("forecasts")
    assert states(trained) == {WEEK_1: models.CHAMPION, WEEK_2: models.CANDIDATE}
    promote(trained, begins="2025-01-10")
    assert states(trained) == {WEEK_1: models.FORMER, WEEK_2: models.CHAMPION}
    assert in_force_from(trained) == [("2025-01-02", WEEK_1), ("2025-01-10", WEEK_2)]
    trained.run()
    assert trained.ran == {"prices": days("2025-01-10", 3)}
    said = list(trained.heads("prices").values())
    assert said == [NONE] * 3 + [FIRST] * 8 + [SECOND] * 3
    rollback(trained)
    trained.run()
    assert trained.ran == {}
    assert list(trained.heads("prices").values()) == [NONE] * 3 + [FIRST] * 11
    assert in_force_from(trained) == [("2025-01-02", WEEK_1)]


@on_both_ledgers
def test_two_promotions_of_one_day_are_taken_back_one_by_one(trained: Shop) -> None:
    promote(trained, begins="2025-01-05")
    first = trained.versions("forecast")[WEEK_1]
    next_week(trained)
    trained.run("forecasts")
    promote(trained, begins="2025-01-05")
    trained.run()
    assert trained.heads("prices")["2025-01-05"] == SECOND
    assert rollback(trained).version == bytes.fromhex(first)
    trained.run()
    assert trained.heads("prices")["2025-01-05"] == FIRST
    assert rollback(trained).version is None
    trained.run()
    assert trained.heads("prices")["2025-01-05"] == NONE


def test_a_rollback_to_a_version_takes_back_all_that_came_after_it(trained: Shop) -> None:
    promote(trained, begins="2025-01-02")
    first = trained.versions("forecast")[WEEK_1]
    next_week(trained)
    trained.run("forecasts")
    promote(trained, begins="2025-01-08")
    with pytest.raises(UsageError, match="is the champion already"):
        rollback(trained, trained.versions("forecast")[WEEK_2][:12])
    assert rollback(trained, first[:12]).version == bytes.fromhex(first)
    assert in_force_from(trained) == [("2025-01-02", WEEK_1)]


def test_a_new_candidate_changes_nothing_for_readers(trained: Shop) -> None:
    """Only a person's yes does: training again is no change of an input."""
    promote(trained, begins="2025-01-03")
    trained.run()
    next_week(trained)
    trained.run("forecasts")
    trained.run()
    assert trained.ran == {}
    with trained.deployment():
        assert trained.planned().items == ()


def test_what_is_closed_stays_as_it_is(trained: Shop) -> None:
    trained.now("2025-01-25T06:00")
    trained.run()
    with pytest.raises(Refused, match=r"^prices is closed up to and with 2025-01-04: .* from 2025-01-05T00:00 UTC"):
        promote(trained, begins="2025-01-04")
    promote(trained, begins="2025-01-05")
    trained.run()
    assert trained.ran == {"prices": ["2025-01-05"]}


def test_no_champion_begins_before_the_one_that_is_in_force(trained: Shop) -> None:
    promote(trained, begins="2025-01-05")
    next_week(trained)
    trained.run("forecasts")
    with pytest.raises(Refused, match="another champion of forecast is in force from 2025-01-05T00:00 UTC on"):
        promote(trained, begins="2025-01-03")


def test_a_candidate_is_stale_when_what_it_was_trained_from_has_changed(trained: Shop) -> None:
    trained.deliver("orders", "2025-01-01", "units\n5\n")
    trained.run()
    with pytest.raises(Refused, match=rf"^forecast [0-9a-f]{{12}} \(trained for {WEEK_1}\) is stale: .*lines"):
        promote(trained)
    trained.run("forecasts")
    assert promote(trained).trained == WEEK_1


def test_a_candidate_is_stale_when_its_code_has_changed(trained: Shop) -> None:
    trained.edit('units"', 'units, twice"', "forecasts.py")
    with pytest.raises(Refused, match=r"is stale: .*code"):
        promote(trained)


def test_an_older_candidate_is_stale(trained: Shop) -> None:
    first = trained.versions("forecast")[WEEK_1]
    next_week(trained)
    trained.run("forecasts")
    assert states(trained) == {WEEK_1: models.SUPERSEDED, WEEK_2: models.CANDIDATE}
    with pytest.raises(Refused, match=rf"is stale: forecast [0-9a-f]{{12}} \(trained for {WEEK_2}\) is newer$"):
        promote(trained, first[:12])


def test_what_a_candidate_was_trained_without_is_told(trained: Shop) -> None:
    """It may be promoted, and whoever does it knows."""
    text = SHOP.replace("partitions=DAYS, schema", 'partitions=DAYS, expected=Calendar("MON-SUN"), schema')
    trained.define(text)
    trained.withdraw("orders", "2025-01-02")
    trained.run()
    trained.run("forecasts")
    with trained.deployment() as deployment:
        (version,) = models.versions(deployment, "forecast")
    assert version.missing == {("orders", "2025-01-02")}
    assert promote(trained).missing == {("orders", "2025-01-02")}


def test_what_was_rejected_is_not_promoted(trained: Shop) -> None:
    decide(trained, models.reject)
    assert states(trained) == {WEEK_1: models.REJECTED}
    with pytest.raises(Refused, match="was rejected by ann: so"):
        promote(trained)
    with pytest.raises(Refused, match="was rejected by ann: so"):
        decide(trained, models.reject)


def test_a_decision_needs_something_to_decide(trained: Shop) -> None:
    with pytest.raises(UsageError, match=r"^forecast has no champion: there is nothing to take back$"):
        rollback(trained)
    promote(trained)
    with pytest.raises(UsageError, match="is the champion already"):
        promote(trained)
    with trained.deployment() as deployment, pytest.raises(UsageError, match="--why is empty"):
        models.rollback(deployment, "forecast", None, why=" ", actor="ann")
    with trained.deployment() as deployment, pytest.raises(UsageError, match="'lines' is no model"):
        models.versions(deployment, "lines")


def test_a_full_verification_finds_what_a_plan_of_the_changes_finds(trained: Shop) -> None:
    promote(trained, begins="2025-01-03")
    found = [(each.asset, each.key) for each in trained.planned().items]
    assert [(each.asset, each.key) for each in trained.planned(verify=True).items] == found
    assert found == [("prices", key) for key in days("2025-01-03", 3)]
    trained.run()
    assert trained.planned(verify=True).items == ()
    rollback(trained)
    found = [(each.asset, each.key) for each in trained.planned().items]
    assert [(each.asset, each.key) for each in trained.planned(verify=True).items] == found


def test_a_branch_reads_the_champions_of_prod_and_decides_nothing(trained: Shop) -> None:
    promote(trained, begins="2025-01-05")
    trained.environment = "trial"
    for act in (models.reject, models.rollback):
        with pytest.raises(Refused, match=r"^models are decided about in 'prod': the environment 'trial' reads its"):
            decide(trained, act)
    with pytest.raises(Refused, match="are decided about in 'prod'"):
        promote(trained)
    assert states(trained) == {WEEK_1: models.CHAMPION}
    assert in_force_from(trained) == [("2025-01-05", WEEK_1)]
    trained.run()
    assert trained.heads("prices")["2025-01-05"] == FIRST
    trained.environment = "prod"
    rollback(trained)
    trained.environment = "trial"
    trained.run()
    assert trained.heads("prices")["2025-01-05"] == NONE


def test_from_when_on_a_champion_is_in_force_is_no_part_of_what_is_made_with_it(trained: Shop) -> None:
    """Only the version is: a corrected start runs only the days that are new to it."""
    promote(trained, begins="2025-01-03")
    trained.run()
    rollback(trained)
    promote(trained, begins="2025-01-02")
    trained.run()
    assert trained.ran == {"prices": ["2025-01-02"]}
    assert trained.planned(verify=True).items == ()


def test_equal_content_is_one_version_however_often_it_was_trained(trained: Shop) -> None:
    decide(trained, models.reject)
    trained.edit("the forecast of {lines['units'].sum()}", "the forecast of {lines['units'].sum() + 0}", "forecasts.py")
    trained.run("forecasts")
    with pytest.raises(Refused, match="was rejected by ann"):
        promote(trained)


def test_who_is_said_to_have_rejected_is_who_has(trained: Shop) -> None:
    trained.more["TIDEMARK_APPROVERS"] = "ann,bob"
    promote(trained)
    rollback(trained)
    with trained.deployment() as deployment:
        models.reject(deployment, "forecast", None, why="it is bad", actor="bob")
    with pytest.raises(Refused, match=r"was rejected by bob: it is bad$"):
        promote(trained)


def test_a_champion_whose_model_is_gone_is_told_of_and_can_be_taken_back(trained: Shop) -> None:
    promote(trained, begins="2025-01-05")
    trained.run()
    text = FORECAST.replace("def forecast", "def other")
    trained.define(text, "forecasts")
    trained.run("forecasts")
    trained.run()
    assert trained.plan is not None
    assert "no pipeline has the model 'forecast' any more" in trained.plan.observed.warnings[0]
    assert trained.heads("prices")["2025-01-05"] == FIRST
    rollback(trained)
    trained.run()
    assert trained.heads("prices")["2025-01-05"] == NONE


def test_a_model_that_nobody_has_is_told_of(shop: Shop) -> None:
    shop.define(SHOP.replace('ref("forecast"', 'ref("forcast"'))
    shop.define(FORECAST, "forecasts")
    shop.deliver("orders", "2025-01-05", "units\n1\n")
    shop.run()
    assert shop.plan is not None
    (said,) = shop.plan.observed.warnings
    assert "no pipeline has registered the model 'forcast'" in said
    assert "until one has, None is read" in said
    shop.run("forecasts")
    shop.run()
    assert "did you mean 'forecast'?" in shop.plan.observed.warnings[0]


def test_what_is_no_model_has_no_champion(shop: Shop) -> None:
    shop.define(SHOP.replace('ref("forecast"', 'ref("orders"'))
    shop.deliver("orders", "2025-01-05", "units\n1\n")
    with pytest.raises(DefinitionError, match=r"in_force\(\): 'orders' is no model: read it by another mapping"):
        shop.run()


def test_a_promotion_while_a_worker_works_is_not_published_over(trained: Shop) -> None:
    """What the worker has finished, and not written down, is made anew."""
    for day in days("2025-01-06", 3):
        trained.deliver("orders", day, "units\n2\n")
    trained.now("2025-01-09T06:00")
    trained.pauses("prices", "2025-01-07")
    runner = trained.start()
    trained.wait_for("prices", "2025-01-07")
    promote(trained, begins="2025-01-06")
    trained.mends("prices", "2025-01-07")
    assert runner.wait() == 0
    assert [trained.heads("prices")[day] for day in days("2025-01-06", 3)] == [FIRST] * 3


def test_a_day_is_one_on_the_readers_clock(shop: Shop) -> None:
    """The model's is six hours ahead of it."""
    text = SHOP.replace("partitions=DAYS", "partitions=Daily(tz='America/New_York')")
    model = FORECAST.replace("Weekly()", "Weekly(tz='Europe/Berlin')").replace("parts()", "trailing(days=7)")
    begin(shop, text, model, early=2)
    promote(shop, begins="2025-01-03")
    shop.run()
    assert shop.ran == {"prices": days("2025-01-03", 3)}


@on_both_ledgers
def test_two_who_promote_at_once_are_one_and_a_refusal(trained: Shop) -> None:
    said: list[str] = []

    def try_it() -> None:
        try:
            promote(trained.twin())
        except UsageError as problem:
            said.append(str(problem))

    workers = [threading.Thread(target=try_it) for _ in range(3)]
    for each in workers:
        each.start()
    for each in workers:
        each.join()
    assert len(said) == 2
    assert all("is the champion already" in each for each in said)
    assert len(in_force_from(trained)) == 1


def test_a_champion_that_is_read_may_be_none(shop: Shop) -> None:
    with pytest.raises(
        AssertionError, match=r"before the first champion there is none: annotate 'model' with '\| None'"
    ):
        shop.define(SHOP.replace("str | None", "str"))


def test_a_champion_is_in_force_on_a_day_not_in_a_region(shop: Shop) -> None:
    shop.define(FORECAST, "forecasts")
    text = '@asset(inputs={"model": ref("forecast", in_force())})\ndef label(model: str | None) -> str:\n    return "x"'
    shop.define(text)
    with pytest.raises(DefinitionError, match=r"in_force\(\) needs a reader partitioned by time"):
        shop.run()


def test_a_model_is_trained_by_time(shop: Shop) -> None:
    with pytest.raises(
        AssertionError, match=r"DefinitionError: .*a model is trained by time: write partitions=Weekly\(\)"
    ):
        shop.define(FORECAST.replace("Weekly()", "Unpartitioned()"), "forecasts")


@pytest.mark.parametrize("zone", ["UTC", "Europe/London", "Asia/Kathmandu", "Australia/Lord_Howe", "America/Havana"])
@pytest.mark.parametrize("grain", [Daily, Weekly, Monthly])
def test_what_is_in_force_from_a_period_on_is_read_by_that_one_and_not_by_the_one_before(
    zone: str, grain: type[Daily | Weekly | Monthly]
) -> None:
    """Champions are kept by the hour of UTC, and midnights are at half past and a quarter to somewhere."""
    reader = grain(tz=zone)
    first = reader.containing(datetime(2011, 1, 1, tzinfo=UTC))
    for ordinal in range(first, first + 400):
        champion = CHAMPIONS.containing(reader.begins(ordinal))
        assert champion in in_force().ordinals(reader, CHAMPIONS, ordinal)
        assert champion not in in_force().ordinals(reader, CHAMPIONS, ordinal - 1)


class Days(RuleBasedStateMachine):
    """A shop in which people promote and roll back as they like; what is read is what a list of promotions says."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.shop = new_shop(Path(self.folder.name) / "shop")
        begin(self.shop)
        self.weeks = 1
        self.reigns: list[tuple[str, int]] = []
        self.rejected: set[int] = set()

    @rule()
    def train(self) -> None:
        if self.weeks < 3:
            for day in days("2024-12-30", 21)[7 * self.weeks : 7 * self.weeks + 7]:
                self.shop.deliver("orders", day, f"units\n{self.weeks + 1}\n")
            self.weeks += 1
            self.shop.now(f"{days('2024-12-30', 22)[7 * self.weeks]}T06:00")
            self.shop.run()
            self.shop.run("forecasts")

    @rule(back=st.integers(0, 8))
    def promote(self, back: int) -> None:
        day = days("2024-12-30", 21)[max(7 * self.weeks - 1 - back, 0)]
        newest = self.weeks
        may = not any(week == newest for _, week in self.reigns) and newest not in self.rejected
        if may and (not self.reigns or day >= self.reigns[-1][0]):
            promote(self.shop, begins=day)
            self.reigns.append((day, newest))
        else:
            with pytest.raises((Refused, UsageError)):
                promote(self.shop, begins=day)

    @rule()
    def reject(self) -> None:
        if self.weeks in self.rejected or any(week == self.weeks for _, week in self.reigns):
            with pytest.raises((Refused, UsageError)):
                decide(self.shop, models.reject)
        else:
            decide(self.shop, models.reject)
            self.rejected.add(self.weeks)

    @precondition(lambda self: self.reigns)
    @rule(data=st.data())
    def roll_back(self, data: st.DataObject) -> None:
        stays = data.draw(st.integers(0, len(self.reigns) - 1))
        for _ in range(len(self.reigns) - stays):
            rollback(self.shop)
        del self.reigns[stays:]

    @rule()
    def run(self) -> None:
        self.shop.run()

    @invariant()
    def a_plan_of_the_changes_finds_what_a_full_one_finds(self) -> None:
        found = [(each.asset, each.key, each.certainty) for each in self.shop.planned(verify=True).items]
        assert [(each.asset, each.key, each.certainty) for each in self.shop.planned().items] == found

    def teardown(self) -> None:
        self.shop.run()
        units = {1: 7, 2: 14, 3: 21}
        for day, said in self.shop.heads("prices").items():
            reigning = [week for begins, week in self.reigns if begins <= day]
            wanted = f"the forecast of {units[reigning[-1]]} units" if reigning else "None"
            assert said == f"1 lines by {wanted}", day
        assert in_force_from(self.shop) == list(
            {begins: (begins, days("2024-12-30", 21)[7 * week - 7]) for begins, week in self.reigns}.values()
        )
        assert self.shop.planned(verify=True).items == ()
        self.folder.cleanup()


Days.TestCase.settings = settings(max_examples=25, stateful_step_count=8, deadline=None, derandomize=True)
TestDays = pytest.mark.slow(Days.TestCase)


def test_in_force_is_a_mapping_of_its_own() -> None:
    assert str(in_force()) == "in_force()"
    assert in_force().canonical() != same().canonical()
