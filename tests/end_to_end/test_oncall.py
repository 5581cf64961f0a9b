"""The forms for who is on call, through the real scheduler and its REST API, as Airflow has signed people in."""

from pathlib import Path

import pytest
from conftest import PATIENCE, Deployment, wait_for

from demo.client import ApiError
from demo.services import ROOT
from tidemark.incidents.classes import CauseClass
from tidemark.incidents.conditions import Condition
from tidemark.incidents.reconciling import reconcile

pytestmark = [pytest.mark.end_to_end, pytest.mark.timeout(600)]

SUMMARY = "tea was swapped for coffee"


@pytest.fixture(scope="module")
def incident(deployment: Deployment) -> int:
    """The number of an incident of a pipeline that nobody else's tests have; the forms are there."""
    file = Path("incidents.py")
    (deployment.dags / file).write_text((ROOT / "dags" / file).read_text())
    wait_for(lambda: "resolve_incident" in deployment.client.dags(), "the forms")
    # Of a cause class that only people call over: no watch that runs here finds that it is not so.
    swapped = Condition(CauseClass.CHAMPION_SWAPPED, "tea_room", "tea", SUMMARY)
    with deployment.opened() as (opened, _):
        (number,) = reconcile(opened, [swapped], within=lambda one: False, actor="test")
    return number


def test_an_operator_acknowledges_silences_and_resolves_and_who_may_start_nothing_does_not(
    deployment: Deployment, incident: int
) -> None:
    """Who it was is in the incident's history; a second acknowledgement is red and names the first."""
    asked = {"incident": incident, "why": "calling the tea merchant"}
    with deployment.services.client("viewer") as viewer, pytest.raises(ApiError, match="403"):
        viewer.trigger("acknowledge_incident", asked)
    with pytest.raises(ApiError, match=r"422|400"):
        deployment.client.trigger("acknowledge_incident", {"incident": incident})
    with deployment.services.client("operator") as operator:
        acts = {
            "acknowledge_incident": asked,
            "silence_incidents": {"incident": incident, "for": "4 hours", "why": "the van broke down"},
            "resolve_incident": {"incident": incident, "why": "coffee will do"},
        }
        for form, answers in acts.items():
            run = operator.trigger(form, answers)
            state = operator.wait_run(form, run, PATIENCE)["state"]
            (task,) = operator.tasks(form, run)
            log = operator.log(form, run, task["task_id"])
            assert state == "success", log
            assert SUMMARY in log or "champion_swapped of tea in tea_room" in log
    with deployment.services.client("scientist") as scientist:
        run = scientist.trigger("acknowledge_incident", asked)
        assert scientist.wait_run("acknowledge_incident", run, PATIENCE)["state"] == "failed"
        assert f"incident {incident} is over since" in scientist.log("acknowledge_incident", run, "acknowledge")
    shown = deployment.tidemark("incident", "show", str(incident))
    assert shown["state"] == "resolved"
    assert [(each["what"], each["by"], each["said"]) for each in shown["events"][1:3]] == [
        ("acknowledged", "operator", "calling the tea merchant"),
        ("silenced", "operator", shown["events"][2]["said"]),
    ]
    assert shown["events"][2]["said"].endswith(": the van broke down")
    assert (shown["events"][3]["what"], shown["events"][3]["by"]) == ("resolved", "operator")
    (silence,) = (each for each in deployment.tidemark("incident", "silences") if each["asset"] == "tea")
    deployment.tidemark("incident", "lift", str(silence["number"]), "--why", "the test is over")
