"""A model of guests by the hour and a pipeline that reads its champion: small, and all that an approval needs."""

from datetime import date, timedelta

from conftest import Deployment, Run, wait_for

from demo.client import FINISHED, Client
from demo.services import ROOT

# Two weeks, of which the second is held out; the deployment's clock stands at the morning after them.
DAYS = [str(date(2011, 3, 7) + timedelta(day)) for day in range(14)]

READER = """
    import polars as pl

    from tidemark import Daily, asset, in_force, pipeline, ref, source

    visits = source("visits", files="visits/{partition}.csv", partitions=Daily(), schema={"hour": int, "guests": int})

    @asset(partitions=Daily(), inputs={"model": ref("guests_model", in_force())})
    def staff(visits: pl.DataFrame, model: "BaseEstimator | None") -> pl.DataFrame:
        if model is None:
            return visits.select("hour", needed=pl.lit(1.0))
        return visits.select("hour", needed=pl.Series(model.predict(visits.select("hour").to_pandas())))

    product = pipeline("staffing", [visits, staff])
    """

MODEL = """
    import polars as pl

    from tidemark import Partition, Search, Validation, Weekly, at_most, model, pipeline, ref, trailing

    def held_out(model: "BaseEstimator", visits: pl.DataFrame, partition: Partition) -> pl.DataFrame:
        rows = visits.filter(pl.col("partition") >= partition.key)
        return rows.select("hour", actual="guests", predicted=pl.Series(model.predict(rows.select("hour").to_pandas())))

    def scores(rows: pl.DataFrame) -> dict[str, float]:
        return {"off_by": rows.select((pl.col("actual") - pl.col("predicted")).abs().mean()).item()}

    def learned(visits: pl.DataFrame, partition: Partition, alpha: float) -> float:
        return alpha

    @model(
        partitions=Weekly(start="2011-03-14"),
        inputs={"visits": ref("visits", trailing(days=14))},
        search=Search(learned, space={"alpha": {"low": 0.01, "high": 1.0, "log": True}}, trials=2),
        validation=Validation(predictions=held_out, metrics=scores, limits={"off_by": at_most(50)}, business="off_by"),
    )
    def guests_model(visits: pl.DataFrame, partition: Partition, alpha: float) -> "BaseEstimator":
        from sklearn.linear_model import Ridge

        seen = visits.filter(pl.col("partition") < partition.key)
        return Ridge(alpha=alpha).fit(seen.select("hour").to_pandas(), seen["guests"].to_numpy())

    product = pipeline("guests", [guests_model])
    """

APPROVE = "guests_model.approve"


def deliver(deployment: Deployment, day: str, per_hour: int) -> None:
    """Deliver a day with so many guests more every hour."""
    rows = [f"{hour},{5 + per_hour * hour}" for hour in range(8, 18)]
    deployment.deliver(f"visits/{day}.csv", "hour,guests\n" + "\n".join(rows) + "\n")


def open_shop(deployment: Deployment) -> None:
    """Deliver two weeks, push both pipelines and the form that rolls back, and let the reader's pipeline run."""
    for day in DAYS:
        deliver(deployment, day, 2)
    deployment.push("staffing", READER)
    deployment.push("guests", MODEL)
    (deployment.dags / "operations.py").write_text((ROOT / "dags" / "operations.py").read_text())
    wait_for(lambda: "rollback_model" in deployment.client.dags(), "the form")
    assert deployment.trigger("staffing").state == "success"


def waiting(deployment: Deployment) -> str:
    """Start the model's DAG, and return the run once it waits for a person."""
    run = deployment.client.trigger("guests")

    def is_waiting() -> bool:
        states = {each["task_id"]: each["state"] for each in deployment.client.tasks("guests", run)}
        assert "failed" not in states.values(), states
        return states[APPROVE] == "awaiting_input"

    wait_for(is_waiting, "the question", lambda: str(deployment.client.tasks("guests", run)))
    return run


def answered(deployment: Deployment, approver: Client, run: str, option: str, why: str, begins: str | None) -> Run:
    """Answer as an approver, and wait for the end of the run.

    Whoever answers within a second of the question is asked once more by Airflow 3.3, and answers once more.
    """

    def is_over() -> bool:
        asked = deployment.client.question("guests", run, APPROVE)
        if asked is not None and not asked["response_received"]:
            approver.answer("guests", run, APPROVE, option, why=why, **{"from": begins})
        return str(deployment.client.run("guests", run)["state"]) in FINISHED

    wait_for(is_over, "the end of the run", lambda: str(deployment.client.tasks("guests", run)))
    return deployment.ended("guests", run)
