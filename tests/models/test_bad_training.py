"""Claims about bad data and `tidemark run`: a clear error, the champion stays, and good data mends it."""

from collections.abc import Iterator

import pytest

from tests.cli.conftest import Command, enter
from tests.models.conftest import Registry, standing_shop
from tests.models.selling import APPROVERS, MORNINGS, SALES, WEEK_1, WEEK_2, champion, deliver, due, sold
from tests.scenario import Shop
from tests.servers import MlflowServer
from tidemark.cli import main

LEARNED = "2025-01-06"

CLASSES = """
    from tidemark import Validation, at_least, at_most

    sales = source("sales", files="sales/{partition}.csv", partitions=DAYS, schema={"price": float, "units": float})

    def held_out(model: "BaseEstimator", sales: pl.DataFrame, partition: Partition) -> pl.DataFrame:
        rows = sales.filter(pl.col("partition") >= partition.key).with_columns(actual=label())
        return rows.with_columns(predicted=pl.Series(model.predict(rows.select("price").to_pandas()).astype(str)))

    def label() -> pl.Expr:
        return pl.when(pl.col("units") > 85).then(pl.lit("many")).otherwise(pl.lit("few"))

    def scores(rows: pl.DataFrame) -> dict[str, float]:
        return {"right": rows.select((pl.col("actual") == pl.col("predicted")).mean()).item()}

    @model(
        partitions=Weekly(start="2025-01-13"),
        inputs={"sales": trailing(days=14)},
        validation=Validation(predictions=held_out, metrics=scores, limits={"right": at_least(0.8, worse_by=0.1)}),
    )
    def classes(sales: pl.DataFrame, partition: Partition) -> "BaseEstimator":
        from sklearn.linear_model import LogisticRegression

        seen = sales.filter(pl.col("partition") < partition.key).with_columns(label=label())
        return LogisticRegression().fit(seen.select("price").to_pandas(), seen["label"].to_list())
"""


def run(tidemark: Command, week: str = WEEK_1) -> tuple[int, str]:
    """Run the pipeline on the morning after a week; returns the exit code and all that was said."""
    done = tidemark("run", "shop", "--as-of", MORNINGS[week])
    return done.code, done.out + done.err


def set_up(shop: Shop, text: str) -> None:
    shop.more = dict(APPROVERS)
    shop.define(text)
    deliver(shop, LEARNED)
    deliver(shop, WEEK_1)


def promote(name: str) -> None:
    assert main(["model", "promote", name, "--why", "good enough"]) == 0


@pytest.fixture(scope="module")
def standing(mlflow_server: MlflowServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """A model that is the champion; whoever spoils what it was trained from delivers that again."""
    text = SALES.replace("def demand(", "def steady_demand(")
    with standing_shop(tmp_path_factory.mktemp("steady"), mlflow_server.url) as shop:
        set_up(shop, text)
        with pytest.MonkeyPatch.context() as patch:
            enter(shop, patch)
            patch.setenv("TIDEMARK_ACTOR", "ann")
            assert main(["run", "shop", "--as-of", MORNINGS[WEEK_1]]) == 0
            promote("steady_demand")
        yield shop


@pytest.fixture
def steady(
    standing: Shop,
    mlflow_server: MlflowServer,
    monkeypatch: pytest.MonkeyPatch,
    capsysbinary: pytest.CaptureFixture[bytes],
) -> tuple[Command, Registry]:
    """The command in that shop, and what is registered of its model."""
    enter(standing, monkeypatch)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_server.url)
    return Command(capsysbinary), Registry(mlflow_server, "steady_demand")


def spoilt(what: str, value: str) -> str:
    """A day's sales with a value that is none in one of its rows."""
    rows = sold().splitlines()
    price, units = rows[3].split(",")
    rows[3] = f"{value},{units}" if what == "price" else f"{price},{value}"
    return "\n".join(rows) + "\n"


CASES = {
    "too few rows": (sold(prices=[]), None, "0 rows to learn from: two are the least"),
    "prices that are no numbers": (spoilt("price", "nan"), None, "Input X contains NaN"),
    "infinite prices": (spoilt("price", "inf"), None, "Input X contains infinity"),
    "units that are no numbers": (spoilt("units", "nan"), None, "Input y contains NaN"),
    "one price for all": (sold(prices=[3.0] * 4), None, "did not pass: off_by is 7.167, and may be at most 2.743"),
    "a metric that is no number": (
        sold(101),
        spoilt("units", "nan"),
        "did not pass: off_by is nan, which is no number",
    ),
    "held-out prices that are none": (sold(101), spoilt("price", "nan"), "ValueError: Input X contains NaN"),
    "nothing held out": (sold(101), sold(prices=[]), "did not pass: steady_demand"),
}


@pytest.mark.parametrize(("learned", "held_out", "said"), CASES.values(), ids=CASES.keys())
def test_bad_data_is_told_changes_no_champion_and_registers_nothing(
    standing: Shop, steady: tuple[Command, Registry], learned: str, held_out: str | None, said: str
) -> None:
    """And the next run with good data recovers by itself."""
    tidemark, registry = steady
    before, in_force = registry.content(), champion(standing)
    assert before == [in_force]
    deliver(standing, LEARNED, learned)
    if held_out is not None:
        deliver(standing, WEEK_1, held_out)
    code, told = run(tidemark)
    assert code == 1
    assert said in told
    assert "Traceback" not in told
    assert champion(standing) == in_force
    assert registry.content() == before
    assert registry.alias() == "1"
    deliver(standing, LEARNED)
    deliver(standing, WEEK_1)
    assert run(tidemark)[0] == 0
    assert standing.versions("steady_demand")[WEEK_1] == champion(standing) == in_force
    assert not due(standing, registered=True)


def test_a_first_bad_week_is_followed_by_the_next_candidate(
    shop: Shop, registry: Registry, monkeypatch: pytest.MonkeyPatch, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    """Which is registered, and waits for a person."""
    set_up(shop, SALES)
    enter(shop, monkeypatch)
    monkeypatch.setenv("TIDEMARK_ACTOR", "ann")
    tidemark = Command(capsysbinary)
    code, told = run(tidemark)
    assert (code, "awaits a decision: 'tidemark model compare demand'" in told) == (0, True)
    promote("demand")
    deliver(shop, WEEK_2, spoilt("units", "inf"))
    code, told = run(tidemark, WEEK_2)
    assert (code, "did not pass: off_by is inf" in told) == (1, True)
    assert "awaits a decision" not in told
    assert len(registry.content()) == 1
    code, told = run(tidemark, WEEK_2)
    assert code == 0, "what did not pass is told once"
    deliver(shop, WEEK_2)
    code, told = run(tidemark, WEEK_2)
    assert (code, "awaits a decision: 'tidemark model compare demand'" in told) == (0, True)
    assert registry.content() == [champion(shop), shop.versions("demand")[WEEK_2]]
    assert (registry.alias(), registry.alias("candidate")) == ("1", "2")


def test_one_class_only_is_told_and_labels_are_no_numbers_to_draw(
    shop: Shop, registry: Registry, monkeypatch: pytest.MonkeyPatch, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    """A model that says a label of each row is judged and registered as any other; it has no plot."""
    registry.name = "classes"
    registry.forget_everything()
    set_up(shop, CLASSES)
    enter(shop, monkeypatch)
    monkeypatch.setenv("TIDEMARK_ACTOR", "ann")
    tidemark = Command(capsysbinary)
    deliver(shop, LEARNED, sold(200))
    code, told = run(tidemark)
    assert code == 1
    assert "This solver needs samples of at least 2 classes in the data" in told
    assert registry.versions() == []
    deliver(shop, LEARNED)
    code, told = run(tidemark)
    assert code == 0, told
    assert registry.content() == [shop.versions("classes")[WEEK_1]]
    (version,) = registry.versions()
    assert [each.path for each in registry.client.list_artifacts(version.run_id)] == ["validation.json"]
