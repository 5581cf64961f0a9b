"""The forms for who is on call, through their tasks: who asks is on the record, and what cannot be done is red."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.dag_processing.dagbag import DagBag
from airflow.sdk import DAG
from airflow.sdk.exceptions import AirflowException, AirflowFailException

from tests.cli.conftest import enter
from tests.incidents.story import open_incidents
from tests.incidents.test_handling import audited, broken, events
from tests.scenario import Shop
from tidemark.airflow.oncall import incident_dags

ROOT = Path(__file__).parents[2]
FORMS: dict[str, DAG] = {dag.dag_id: dag for dag in incident_dags("what they do")}


def filled(form: str, who: str | None = "ann", **answers: Any) -> dict[str, Any]:
    """Run a form's task as Airflow does: with its answers, which fit the form, and with who has started it."""
    (task,) = FORMS[form].tasks
    left_as_it_is = {name: field.value for name, field in FORMS[form].params.items()}
    given = {**left_as_it_is, **answers}
    context: Any = {"params": given, "dag_run": SimpleNamespace(triggering_user_name=who)}
    return dict(task.execute(context))


@pytest.fixture
def incident(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> int:
    """One open incident."""
    number = broken(shop)
    enter(shop, monkeypatch)
    return number


def test_the_file_makes_three_forms_with_its_page() -> None:
    bag = DagBag(str(ROOT / "dags" / "incidents.py"), bundle_name="dags", safe_mode=False)
    assert not bag.import_errors
    assert sorted(bag.dags) == ["acknowledge_incident", "resolve_incident", "silence_incidents"]
    for dag in bag.dags.values():
        assert dag.doc_md is not None
        assert dag.doc_md.startswith("## Incidents")
        assert not dag.timetable.can_be_scheduled
        assert all(f"`{name}`" in dag.doc_md for name in bag.dags)


def test_a_form_without_a_reason_or_a_number_starts_no_run() -> None:
    for dag in FORMS.values():
        assert dag.params.get_param("why").schema["minLength"] == 1
        assert not dag.params.get_param("why").has_value
    for name in ("acknowledge_incident", "resolve_incident"):
        assert not FORMS[name].params.get_param("incident").has_value


def test_who_fills_in_a_form_has_taken_the_incident_on(shop: Shop, incident: int) -> None:
    done = filled("acknowledge_incident", incident=incident, why="calling the sender")
    assert done["said"] == f"incident {incident} is ann's: orders 2025-01-05: did not pass its gate"
    assert done["open"] == [f"{incident}  critical  orders 2025-01-05: did not pass its gate  (acknowledged by ann)"]
    assert events(shop, incident)[-1] == ("acknowledged", "ann", "calling the sender")


def test_an_incident_is_silenced_by_its_number_or_by_what_it_is_of(shop: Shop, incident: int) -> None:
    done = filled("silence_incidents", incident=incident, why="known", **{"for": "4 hours"})
    assert (done["quiet"], done["silence"]) == ([incident], 1)
    assert done["said"].startswith("silence 1: gate_failed of orders in shop, until 20")
    assert ", silenced until 20" in done["open"][0]
    done = filled("silence_incidents", "bob", asset="trend", why="known", **{"for": "3 days"})
    assert done["quiet"] == []
    assert [each[:2] for each in audited(shop)] == [("silence", "ann"), ("silence", "bob")]


def test_an_incident_that_is_called_over_is(shop: Shop, incident: int) -> None:
    done = filled("resolve_incident", incident=incident, why="it came by mail")
    assert done["open"] == []
    assert done["said"].endswith("the next look opens a new one")
    assert open_incidents(shop) == {}


@pytest.mark.parametrize("who", [None, "", "Anonymous"])
@pytest.mark.parametrize("form", FORMS)
def test_nobody_is_nobody(shop: Shop, incident: int, form: str, who: str | None) -> None:
    """A run that a schedule or an unknown caller has started changes nothing."""
    with pytest.raises(AirflowFailException, match="nobody knows who asks"):
        filled(form, who, incident=incident, why="because", **{"for": "4 hours"})
    assert audited(shop) == []


@pytest.mark.parametrize(
    ("form", "answers", "said"),
    [
        ("acknowledge_incident", {"incident": 77}, "there is no incident 77"),
        ("resolve_incident", {"incident": 77}, "there is no incident 77"),
        ("silence_incidents", {"asset": "orders"}, "a silence without an end"),
        ("silence_incidents", {"asset": "orders", "until": "2001-01-01T00:00Z"}, "which is over"),
        ("silence_incidents", {"for": "4 hours"}, "say what is to be silenced"),
    ],
)
@pytest.mark.usefixtures("incident")
def test_what_cannot_be_done_is_red_at_once_and_says_why(form: str, answers: dict[str, Any], said: str) -> None:
    with pytest.raises(AirflowFailException, match=said):
        filled(form, why="because", **answers)


@pytest.mark.usefixtures("incident")
def test_an_outage_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIDEMARK_LEDGER_URL", "postgresql://nobody@127.0.0.1:1/none")
    with pytest.raises(AirflowException, match="cannot be used") as problem:
        filled("acknowledge_incident", incident=1, why="because")
    assert not isinstance(problem.value, AirflowFailException)
