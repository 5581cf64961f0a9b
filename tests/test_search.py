"""Claims about the search for hyper-parameters: what is proposed, what is remembered, and what is trained again."""

import json
import re
from typing import Any

import pytest
import sqlalchemy as sa

from tests.scenario import Shop
from tidemark import models
from tidemark.airflow.form import asked_of_searches, asked_pipeline, form_of
from tidemark.errors import DefinitionError, Unavailable, UsageError
from tidemark.ledger.schema import materialization, trial
from tidemark.ledger.trials import Trial
from tidemark.running.run import prepare, run_plan, run_trial
from tidemark.running.searching import Tried, best_of, proposals
from tidemark.search import Search, problem_of

ORDERS = """
    orders = source("orders", files="orders/{partition}.csv", partitions=DAYS, schema={"units": int})

    @asset(partitions=DAYS)
    def lines(orders: pl.DataFrame) -> pl.DataFrame:
        return orders
"""

# Every call of the objective and of the model is written down; the best weight is the one nearest to 0.3.
MODEL = """
    from pathlib import Path
    JOURNAL = Path("JOURNAL_FILE")

    def off_by(orders: pl.DataFrame, partition: Partition, weight: float) -> float:
        with JOURNAL.open("a") as written:
            written.write(f"trial {partition.key} {weight}\\n")
        return abs(weight - 0.3) + orders.height

    @model(
        partitions=Weekly(),
        inputs={"orders": ref("lines", parts())},
        search=Search(off_by, {"weight": {"low": 0.0, "high": 1.0}}, trials=TRIALS),
    )
    def forecast(orders: pl.DataFrame, partition: Partition, weight: float) -> str:
        return f"{orders.height} orders weigh {weight}"
"""

CHOICES = {"choices": ["a", "b"]}
SPACE = {
    "rate": {"low": 0.001, "high": 1.0, "log": True},
    "depth": {"low": 1, "high": 9},
    "kind": {"choices": ["a", "b"]},
}


def objective(rate: float) -> float:
    return rate


def begin(shop: Shop, tmp_path: Any, trials: int = 3, text: str = MODEL) -> None:
    define(shop, tmp_path, trials, text)
    for day in range(6, 20):
        shop.deliver("orders", f"2025-01-{day:02}", "units\n1\n")
    shop.now("2025-01-13T06:00")
    shop.run()


def define(shop: Shop, tmp_path: Any, trials: int, text: str = MODEL) -> None:
    shop.define(ORDERS)
    more = text.replace("JOURNAL_FILE", str(tmp_path / "journal")).replace("TRIALS", str(trials))
    shop.define("    from tidemark import Partition, Search\n" + more, "forecasts")


def failures(shop: Shop) -> list[str]:
    """Why partitions of the model have failed, as the ledger keeps it."""
    with shop.deployment() as deployment, deployment.ledger.read() as connection:
        found = connection.execute(sa.select(materialization.c.error).where(materialization.c.error.is_not(None)))
        return [str(error) for (error,) in found]


def journal(tmp_path: Any) -> list[str]:
    file = tmp_path / "journal"
    lines = file.read_text().splitlines() if file.exists() else []
    file.unlink(missing_ok=True)
    return lines


def test_the_same_search_proposes_the_same_and_a_longer_one_begins_like_it() -> None:
    short, long = proposals(Search(objective, SPACE, trials=3)), proposals(Search(objective, SPACE, trials=7))
    assert proposals(Search(objective, SPACE, trials=3)) == short == long[:3]
    assert proposals(Search(objective, SPACE, trials=3, seed=1)) != short
    assert len({each["rate"] for each in long}) == 7


def test_what_is_proposed_lies_in_the_space_and_has_its_types() -> None:
    for each in proposals(Search(objective, SPACE, trials=50)):
        assert 0.001 <= each["rate"] <= 1
        assert isinstance(each["depth"], int)
        assert 1 <= each["depth"] <= 9
        assert each["kind"] in ("a", "b")


def test_the_least_value_wins_and_the_first_of_equal_ones() -> None:
    found = [Tried(number, {"n": number}, Trial({}, value, 0)) for number, value in ((1, 5.0), (2, 3.0), (3, 3.0))]
    assert best_of([*found, Tried(4, {"n": 4}, None)]) == {"n": 2}
    assert best_of([Tried(1, {}, None)]) is None


def test_a_model_is_trained_with_the_best_of_its_trials(shop: Shop, tmp_path: Any) -> None:
    begin(shop, tmp_path)
    shop.run("forecasts")
    weights = [float(line.split()[2]) for line in journal(tmp_path)]
    assert len(weights) == 3
    best = min(weights, key=lambda weight: abs(weight - 0.3))
    assert shop.heads("forecast") == {"2025-01-06": f"7 orders weigh {best}"}
    with shop.deployment() as deployment:
        (version,) = models.versions(deployment, "forecast")
    assert version.made.parameters["search.weight"] == best, "what made this result is written down with it"
    shop.run("forecasts")
    assert (shop.ran, journal(tmp_path)) == ({}, [])
    assert shop.planned("forecasts", verify=True).items == ()


def test_more_trials_train_again_and_run_only_the_new_ones(shop: Shop, tmp_path: Any) -> None:
    """The number of trials is in the model's action key, and not in a trial's; taking it back runs nothing."""
    begin(shop, tmp_path)
    shop.run("forecasts")
    first = journal(tmp_path)
    define(shop, tmp_path, 5)
    shop.run("forecasts")
    assert shop.ran == {"forecast": ["2025-01-06"]}
    assert len(new := journal(tmp_path)) == 2
    assert not set(new) & set(first)
    define(shop, tmp_path, 3)
    shop.run("forecasts")
    assert (shop.ran, journal(tmp_path)) == ({}, [])


def test_another_objective_trains_again(shop: Shop, tmp_path: Any) -> None:
    """It is a part of the model's code version, though the model does not call it."""
    begin(shop, tmp_path)
    shop.run("forecasts")
    journal(tmp_path)
    define(shop, tmp_path, 3, MODEL.replace("weight - 0.3", "weight - 0.9"))
    shop.run("forecasts")
    assert shop.ran == {"forecast": ["2025-01-06"]}
    assert len(journal(tmp_path)) == 3


def test_trials_that_workers_ran_before_are_not_run_again(shop: Shop, tmp_path: Any) -> None:
    """As Airflow's mapped tasks do: each by itself, then the model takes what they found."""
    begin(shop, tmp_path)
    pipeline = shop.pipelines["forecasts"]
    with shop.deployment() as deployment:
        prepared = prepare(deployment, pipeline, as_of=shop.as_of, run="run", actor="ann")
        for number in (1, 3):
            proposal, ran = run_trial(
                deployment, pipeline, prepared.plan_id, number, "forecast", run="run", actor="ann"
            )
            assert (len(proposal), ran) == (1, 1)
            again = run_trial(deployment, pipeline, prepared.plan_id, number, "forecast", run="run", actor="ann")
            assert again == (proposal, 0)
        assert len(journal(tmp_path)) == 2
        run_plan(deployment, pipeline, prepared, run="run", actor="ann")
        assert len(journal(tmp_path)) == 1
        _, ran = run_trial(deployment, pipeline, prepared.plan_id, 1, "forecast", run="run", actor="ann")
        assert ran == 0, "what is trained needs no trial"


def test_what_was_tried_without_the_image_counts_where_that_was_and_what_was_in_it_everywhere(
    shop: Shop, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with results: packages that are not those of the image count where they were met, and nowhere else."""
    text = MODEL.replace("@model(", '@model(image="shop:1",')
    begin(shop, tmp_path, text=text)
    first: list[str] = []
    for environment, image, trials, tried in (
        ("laptop", "", 3, 3),
        ("laptop", "", 5, 2),
        ("laptop", "shop:1", 6, 1),
        ("desk", "", 3, 3),  # what the laptop tried is the laptop's
        ("prod", "shop:1", 3, 3),
        ("branch", "shop:1", 5, 2),
        ("desk", "", 5, 0),
        ("other", "shop:2", 5, 0),
        ("other", "shop:2", 7, 1),  # the sixth was tried in the image, by the laptop
    ):
        monkeypatch.setenv("TIDEMARK_IMAGE", image)
        shop.environment = environment
        define(shop, tmp_path, trials, text)
        shop.run("forecasts")
        lines = journal(tmp_path)
        assert len(lines) == tried, (environment, image, trials)
        first = first or lines
        assert trials > 3 or lines == first


def test_a_cluster_that_is_lost_in_a_trial_is_nobodys_failure(shop: Shop, tmp_path: Any) -> None:
    """The next best would be taken for the best, for good: it is tried again instead, and nothing is recorded."""
    raised = (
        'class Lost(Exception):\n            __module__ = "distributed.client"\n'
        '        Lost.__name__ = "FutureCancelledError"\n        if weight > 0.6:\n            raise Lost("gone")\n'
    )
    begin(shop, tmp_path, text=MODEL.replace("return abs", f"{raised}        return abs"))
    with pytest.raises(Unavailable, match="a trial of 'forecast': the Dask scheduler was lost"):
        shop.run("forecasts")
    assert (shop.heads("forecast"), failures(shop)) == ({}, [])
    pipeline = shop.pipelines["forecasts"]
    with shop.deployment() as deployment:
        prepared = prepare(deployment, pipeline, as_of=shop.as_of, run="run", actor="ann")
        search = pipeline.asset("forecast").search
        assert search is not None
        weights = [each["weight"] for each in proposals(search)]
        lost = next(number for number, weight in enumerate(weights, 1) if weight > 0.6)
        with pytest.raises(Unavailable, match="the Dask scheduler was lost"):
            run_trial(deployment, pipeline, prepared.plan_id, lost, "forecast", run="run", actor="ann")


def test_a_trial_that_fails_costs_the_model_nothing_but_that_trial(shop: Shop, tmp_path: Any) -> None:
    begin(shop, tmp_path, text=MODEL.replace("return abs", "assert weight < 0.6, 'too much'\n        return abs"))
    weights = [each["weight"] for each in proposals(Search(objective, {"weight": {"low": 0.0, "high": 1.0}}, trials=3))]
    assert any(weight < 0.6 for weight in weights)
    assert any(weight >= 0.6 for weight in weights)
    shop.run("forecasts")
    best = min((weight for weight in weights if weight < 0.6), key=lambda weight: abs(weight - 0.3))
    assert shop.heads("forecast") == {"2025-01-06": f"7 orders weigh {best}"}


@pytest.mark.parametrize(
    ("result", "said"),
    [("float('nan')", "the objective returned nan"), ("1 / 0", "ZeroDivisionError"), ("float('inf')", "returned inf")],
)
def test_a_search_in_which_no_trial_comes_to_a_number_trains_nothing_and_says_why(
    shop: Shop, tmp_path: Any, result: str, said: str
) -> None:
    begin(shop, tmp_path, text=MODEL.replace("return abs(weight - 0.3) + orders.height", f"return {result}"))
    shop.run("forecasts")
    assert shop.heads("forecast") == {}
    (error,) = failures(shop)
    assert "no trial came to a number" in error
    assert said in error
    define(shop, tmp_path, 3)
    shop.run("forecasts")
    assert len(shop.heads("forecast")) == 1


@pytest.mark.parametrize(
    ("trials", "space", "said"),
    [
        (0, SPACE, "trials=0"),
        (2.5, SPACE, "trials=2.5"),
        (3, {}, "is empty"),
        (3, {"rate": 4}, "4 is no range"),
        (3, {"rate": {"low": 2, "high": 1}}, "low=2 has to be less than high=1"),
        (3, {"rate": {"low": 0, "high": 1, "log": True}}, "has to begin above 0"),
        (3, {"rate": {"low": 0, "high": float("inf")}}, "has to be less than"),
        (3, {"rate": {"low": 0, "top": 1}}, "is no range"),
        (3, {"rate": {"choices": []}}, "write"),
        (3, {"rate": {"choices": "abc"}}, "write"),
    ],
)
def test_what_is_no_search_is_told_with_the_mend(trials: Any, space: Any, said: str) -> None:
    problem = problem_of(trials, space)
    assert problem is not None
    assert said in problem
    with pytest.raises(DefinitionError, match="here"):
        Search(objective, space, trials).check("here", {"rate"})


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("weight: float) -> str", "height: float) -> str", "there is no parameter 'weight'"),
        ("partition: Partition, weight", "clients: str, weight", "off_by() reads 'clients', which the model does not"),
    ],
)
def test_a_search_for_what_the_model_does_not_take_is_an_error_at_import(
    shop: Shop, tmp_path: Any, old: str, new: str, said: str
) -> None:
    text = MODEL.replace(old, new, 1)
    with pytest.raises(AssertionError, match="DefinitionError: .*" + re.escape(said)):
        define(shop, tmp_path, 3, text)


def test_the_number_and_the_space_are_fields_of_the_form(shop: Shop, tmp_path: Any) -> None:
    """Left as they are they ask for nothing; another number trains in another way; another space is checked."""
    define(shop, tmp_path, 3)
    pipeline = shop.pipelines["forecasts"]
    form = form_of(pipeline)
    answers = {name: field.value for name, field in form.items()}
    assert (answers["forecast_trials"], answers["forecast_space"]) == (3, {"weight": {"low": 0.0, "high": 1.0}})
    assert asked_pipeline(answers, pipeline) is pipeline
    assert asked_pipeline({}, pipeline) is pipeline
    other = asked_pipeline({**answers, "forecast_trials": 9}, pipeline).asset("forecast")
    handed_on = asked_of_searches({**answers, "forecast_trials": 9, "force": ["forecast"]}, pipeline)
    assert set(handed_on) == {"forecast_trials", "forecast_space"}
    assert asked_pipeline(json.loads(json.dumps(handed_on)), pipeline).asset("forecast") == other, "a container's too"
    assert other.search is not None
    assert (other.search.trials, other.parameters["search"]) != (3, pipeline.asset("forecast").parameters["search"])
    for space, said in (({"weight": 1}, "1 is no range"), ({"size": {"low": 0, "high": 1}}, "has to name weight")):
        with pytest.raises(UsageError, match=said):
            asked_pipeline({**answers, "forecast_space": space}, pipeline)


def test_what_a_trial_does_to_its_inputs_is_nobody_elses_business(shop: Shop, tmp_path: Any) -> None:
    """Who trains reads them anew, so that it does not matter which process ran the trials."""
    spoiling = MODEL.replace("return abs", "orders.extend(orders.clone())\n        return abs")
    begin(shop, tmp_path, text=spoiling)
    pipeline = shop.pipelines["forecasts"]
    shop.run("forecasts")
    (alone,) = shop.heads("forecast").values()
    assert alone.startswith("7 orders weigh")
    values = journal(tmp_path)
    assert len(values) == 3
    with shop.deployment() as deployment, deployment.ledger.read() as connection:
        found = [value for (value,) in connection.execute(sa.select(trial.c.value))]
    assert all(14 <= value < 15 for value in found), "each trial has seen seven orders, and doubled them"
    assert pipeline.asset("forecast").search is not None


def test_a_trial_without_room_is_tried_again_and_not_passed_over(shop: Shop, tmp_path: Any) -> None:
    """The next best would be taken for the best, for good."""
    broken = MODEL.replace("return abs", "if weight > 0.6:\n            raise MemoryError()\n        return abs")
    begin(shop, tmp_path, text=broken)
    with pytest.raises(Unavailable, match="had to stop: MemoryError"):
        shop.run("forecasts")
    assert shop.heads("forecast") == {}
    define(shop, tmp_path, 3)
    shop.run("forecasts")
    assert len(shop.heads("forecast")) == 1


def test_hyper_parameters_that_are_proposed_twice_are_tried_once(shop: Shop, tmp_path: Any) -> None:
    few = MODEL.replace('{"low": 0.0, "high": 1.0}', '{"choices": [0.2, 0.9]}')
    begin(shop, tmp_path, trials=6, text=few)
    shop.run("forecasts")
    assert len(journal(tmp_path)) == 2


def test_a_browser_that_writes_whole_numbers_asks_for_nothing(shop: Shop, tmp_path: Any) -> None:
    """1.0 comes back as 1, and a tuple as a list; the range stays one of numbers with a fraction."""
    define(shop, tmp_path, 3, MODEL.replace('{"low": 0.0, "high": 1.0}', '{"low": 1.0, "high": 10.0}'))
    pipeline = shop.pipelines["forecasts"]
    answers = {"forecast_trials": 3, "forecast_space": {"weight": {"low": 1, "high": 10}}}
    assert asked_pipeline(answers, pipeline) is pipeline
    more = asked_pipeline({**answers, "forecast_trials": 4}, pipeline).asset("forecast").search
    assert more is not None
    assert proposals(more)[:3] == proposals(Search(objective, {"weight": {"low": 1.0, "high": 10.0}}, trials=3))
