"""Claims about a registry that is down, wrong or was tampered with: the ledger decides, and the registry follows."""

import contextlib
import json
import logging
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from tests.models.conftest import Registry, standing_shop
from tests.models.selling import (
    audit,
    begin,
    champion,
    due,
    learn_anew,
    next_week,
    presented,
    promoted,
    reconciled,
    rolled_back,
    sold,
)
from tests.scenario import Shop
from tests.servers import free_port, silent_server
from tidemark.errors import Unavailable, UsageError
from tidemark.ledger import registry as assets
from tidemark.ledger import validations
from tidemark.models import aliases, tracking
from tidemark.models.presenting import present

SECRET = "s3cr:t/w@rd"
WRITTEN = "s3cr%3At%2Fw%40rd"


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """MLflow's client asks only once where the test is not about how long it tries."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")


def settle(shop: Shop) -> None:
    """A model whose only version is its champion, there and here."""
    begin(shop)
    presented(shop)
    promoted(shop)
    assert reconciled(shop) == []


def run_again(shop: Shop) -> list[str]:
    """What a run of the model's pipeline does about the registry; returns what its plan warns of."""
    shop.run()
    warned = reconciled(shop)
    if due(shop, registered=True):
        with shop.deployment() as deployment:
            present(deployment, shop.pipelines["shop"], "demand", run="run", actor="tester")
    return warned


def forget_told(shop: Shop, version: str | None) -> None:
    """As if the run had died after it had moved the alias, and before it wrote that down."""
    with shop.deployment() as deployment, deployment.ledger.write() as connection:
        validations.write_told(connection, assets.assets(connection)["demand"].id, version)


# -- down


def test_a_server_that_is_down_stops_only_the_registration(
    shop: Shop, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The model is trained and validated; the error comes quickly, and the next run registers."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{free_port()}")
    begin(shop)
    started = time.monotonic()
    with pytest.raises(Unavailable, match=r"^MLflow cannot be told of the model: .*\. The next run tries again$"):
        presented(shop)
    assert time.monotonic() - started < 20
    assert not due(shop), "it was validated"
    assert due(shop, registered=True), "and is yet to be registered"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", registry.url)
    assert registry.versions() == []
    made = presented(shop)
    assert made.registered is not None
    assert registry.content() == [made.version]
    assert not due(shop, registered=True)


@pytest.mark.usefixtures("at_once")
@pytest.mark.slow
def test_a_server_that_goes_down_before_the_version_is_made_leaves_none(
    shop: Shop, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run that it leaves is marked, and the next run makes exactly one version."""
    from tidemark.models import tracking

    begin(shop)
    real = tracking._log_model

    def broken(*given: Any, **options: Any) -> None:
        registry.server.stop()
        real(*given, **options)

    with monkeypatch.context() as patch:
        patch.setattr(tracking, "_log_model", broken)
        with pytest.raises(Unavailable):
            presented(shop)
    registry.server.start()
    assert registry.versions() == []
    (left,) = registry.runs()
    assert left.info.status in ("RUNNING", "FAILED")
    made = presented(shop)
    assert registry.content() == [made.version]
    assert {each.info.run_id for each in registry.runs()} > {left.info.run_id}
    assert registry.versions()[0].run_id != left.info.run_id


def test_a_failure_between_run_and_version_is_mended_by_the_next_run(
    shop: Shop, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    begin(shop)

    def refused(*_: Any, **__: Any) -> None:
        raise MlflowException("API request to http://mlflow failed: too many 503 error responses")

    with monkeypatch.context() as patch:
        patch.setattr(MlflowClient, "create_model_version", refused)
        with pytest.raises(Unavailable, match="too many 503 error responses"):
            presented(shop)
    assert registry.versions() == []
    made = presented(shop)
    assert registry.content() == [made.version]


def test_what_was_registered_but_not_written_down_is_found_again(shop: Shop, registry: Registry) -> None:
    """A run that died in between leaves a version that the next one takes for its own: nothing is made twice."""
    begin(shop)
    made = presented(shop)
    assert made.registered is not None
    with shop.deployment() as deployment, deployment.ledger.write() as connection:
        number = assets.assets(connection)["demand"].id
        validations.forget_registration(connection, number, made.registered.registration.version)
    assert due(shop, registered=True)
    again = presented(shop)
    assert again.registered == made.registered
    assert registry.content() == [made.version]
    assert len(registry.runs()) == 1


@pytest.mark.slow
def test_promotions_and_rollbacks_need_no_registry_and_it_follows_later(
    shop: Shop, registry: Registry, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without an incident in the audit log: nobody has swapped anything."""
    settle(shop)
    first = champion(shop)
    next_week(shop)
    presented(shop)
    registry.server.stop()
    promoted(shop)
    assert champion(shop) != first
    caplog.clear()
    assert reconciled(shop) == []
    (warned,) = [each.message for each in caplog.records if each.name == "tidemark.models.aliases"]
    assert "what is champion is the ledger's to say, and the registry is told later" in warned
    registry.server.start()
    assert registry.alias() == "1"
    assert reconciled(shop) == []
    assert registry.alias() == "2"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{free_port()}")
    rolled_back(shop)
    rolled_back(shop)
    assert reconciled(shop) == []
    monkeypatch.setenv("MLFLOW_TRACKING_URI", registry.url)
    assert registry.alias() == "2"
    assert reconciled(shop) == []
    assert registry.alias() is None
    assert audit(shop, "champion swapped") == []


@pytest.mark.usefixtures("at_once")
def test_a_champion_that_was_promoted_while_the_server_was_down_is_registered_by_the_next_run(
    shop: Shop, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though no candidate awaits a decision any more."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{free_port()}")
    begin(shop)
    with pytest.raises(Unavailable):
        presented(shop)
    promoted(shop)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", registry.url)
    assert run_again(shop) == []
    assert registry.content() == [champion(shop)]
    assert run_again(shop) == []
    assert registry.alias() == "1"
    assert not due(shop, registered=True)


# -- wrong


def test_a_server_that_never_answers_costs_a_plan_seconds(
    shop: Shop, registry: Registry, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    assert aliases.PATIENCE <= 5
    monkeypatch.setattr(aliases, "PATIENCE", 0.5)  # so that the test need not wait as long
    settle(shop)
    with silent_server() as silent:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{silent.port}")
        started = time.monotonic()
        assert reconciled(shop) == []
        assert time.monotonic() - started < 3
        assert silent.callers() == 1, "who does not answer is asked once"
        assert shop.planned().items == ()
    assert "MLflow cannot be asked: ReadTimeout" in caplog.text


class Answering(BaseHTTPRequestHandler):
    """Answers everything with what the server was told to."""

    def answer(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        status, kind, body = self.server.told  # type: ignore[attr-defined]
        self.server.asked.append(self.headers.get("Authorization"))  # type: ignore[attr-defined]
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = do_DELETE = do_PATCH = answer

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@contextlib.contextmanager
def answering(status: int, body: bytes, kind: str = "application/json") -> Iterator[ThreadingHTTPServer]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Answering)
    server.told = (status, kind, body)  # type: ignore[attr-defined]
    server.asked = []  # type: ignore[attr-defined]
    serving = threading.Thread(target=server.serve_forever, args=(0.05,))
    serving.start()
    try:
        yield server
    finally:
        server.shutdown()
        serving.join()
        server.server_close()


WRONG = {
    "a page": (200, b"<html>sign in</html>", "200"),
    "nothing": (200, b"", "200"),
    "a list": (200, b"[]", "200"),
    "other JSON": (200, b"{}", "200"),
    "an error": (500, b"<html>oh</html>", "500"),
    "an error in JSON": (500, json.dumps({"error_code": "INTERNAL_ERROR", "message": "oh"}).encode(), "500"),
    "who are you": (401, b"You are not authenticated.", "401"),
    "an error that is a text": (403, b'"no"', "403"),
    "not found, but by another": (404, b"<html>nginx</html>", "404"),
}


def tell(shop: Shop) -> None:
    """Let a shop's ledger believe that its champion is version 1 of some registry."""
    begin(shop)
    made = presented(shop)
    promoted(shop)
    with shop.deployment() as deployment, deployment.ledger.write() as connection:
        number = assets.assets(connection)["demand"].id
        validations.write_registration(connection, number, bytes.fromhex(made.version), "1", "run")
        validations.write_told(connection, number, "1")


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """One such shop for all tests that change nothing in it."""
    with standing_shop(tmp_path_factory.mktemp("told")) as shop:
        tell(shop)
        yield shop


@pytest.mark.parametrize(("status", "body", "said"), WRONG.values(), ids=WRONG.keys())
def test_an_answer_that_is_none_stops_no_plan_and_is_told(
    told: Shop, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, status: int, body: bytes, said: str
) -> None:
    """What was told before stays written down: of a proxy's page nothing follows."""
    with answering(status, body, "text/html") as server:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{server.server_address[1]}")
        assert reconciled(told) == []
    (warned,) = [each.message for each in caplog.records if each.name == "tidemark.models.aliases"]
    assert said in warned
    assert "the registry is told later" in warned
    with told.deployment() as deployment, deployment.ledger.read() as connection:
        number = assets.assets(connection)["demand"].id
        assert validations.told(connection, number) == "1"
        assert len(validations.registrations(connection, number)) == 1


@pytest.mark.parametrize("body", [b"<html>sign in</html>", b"[]", b"{}"])
def test_a_registration_with_a_server_that_is_none_is_an_outage(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, body: bytes
) -> None:
    begin(shop)
    with answering(200, body, "text/html") as server:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{server.server_address[1]}")
        with pytest.raises(Unavailable, match=r"^MLflow cannot be told of the model: "):
            presented(shop)
    assert due(shop, registered=True)


@pytest.mark.usefixtures("at_once")
def test_a_password_is_sent_as_it_is_meant_and_shown_nowhere(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """Neither where the server answers nor where it refuses; in a URL its characters are percent-encoded."""
    from base64 import b64encode

    caplog.set_level(logging.INFO)
    said = []
    tell(shop)
    learn_anew(shop, 101)
    with answering(401, b"You are not authenticated.") as server:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://ann:{WRITTEN}@127.0.0.1:{server.server_address[1]}")
        said += reconciled(shop)
        with pytest.raises(Unavailable) as refused:
            presented(shop)
        said.append(str(refused.value))
        wanted = "Basic " + b64encode(f"ann:{SECRET}".encode()).decode()
        assert set(server.asked) == {wanted}  # type: ignore[attr-defined]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://ann:{WRITTEN}@127.0.0.1:{free_port()}")
    said += reconciled(shop)
    with pytest.raises(Unavailable) as down:
        presented(shop)
    said.append(str(down.value))
    everything = "\n".join([*said, caplog.text, *capfd.readouterr()])
    assert "MLflow cannot be" in everything
    for secret in (SECRET, WRITTEN, "s3cr"):
        assert secret not in everything


def test_a_page_shows_no_password(
    shop: Shop,
    registry: Registry,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Neither does the log, in which MLflow says where the run is."""
    caplog.set_level(logging.INFO)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", registry.url.replace("http://", f"http://ann:{WRITTEN}@"))
    begin(shop)
    page = presented(shop).page
    assert f"]({registry.url}/#/experiments/" in page
    promoted(shop)
    assert reconciled(shop) == []
    said = "\n".join([page, caplog.text, *capfd.readouterr()])
    assert "View run" in said
    assert "s3cr" not in said


@pytest.mark.parametrize(
    "url", ["sqlite:///mlflow.db", "mlruns", "databricks", "http://mlflow:port", "http://", "http://mlflow:0"]
)
def test_what_is_no_server_is_told_before_anything_is_asked(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    begin(shop)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", url)
    for act in (presented, reconciled):
        with pytest.raises(UsageError, match=r"^MLFLOW_TRACKING_URI='.*' is no server: give an address such as http"):
            act(shop)


# -- tampered with


def test_a_model_that_was_deleted_is_registered_again_with_champion_and_candidate(
    shop: Shop, registry: Registry
) -> None:
    settle(shop)
    next_week(shop)
    presented(shop)
    wanted = set(registry.content())
    assert len(wanted) == 2
    in_force = champion(shop)
    registry.client.delete_registered_model("demand")
    (warned,) = run_again(shop)
    assert warned == "demand: version 1 was deleted in the registry; the next run of its pipeline registers it again"
    assert champion(shop) == in_force
    assert run_again(shop) == []
    assert set(registry.content()) == wanted
    by_version = {each.version: each.tags["tidemark.version"] for each in registry.versions()}
    assert run_again(shop) == []
    assert by_version[registry.alias()] == in_force
    assert by_version[registry.alias("candidate")] != in_force
    promoted(shop)
    assert reconciled(shop) == []
    assert by_version[registry.alias()] == champion(shop)


def test_a_champion_that_was_deleted_is_registered_again_without_any_candidate(shop: Shop, registry: Registry) -> None:
    settle(shop)
    registry.client.delete_model_version("demand", "1")
    (warned,) = run_again(shop)
    assert warned == "demand: version 1 was deleted in the registry; the next run of its pipeline registers it again"
    assert run_again(shop) == []
    assert registry.content() == [champion(shop)]
    assert run_again(shop) == []
    assert registry.alias() == "2"
    assert not due(shop, registered=True)


def test_a_champion_that_was_deleted_is_registered_again_beside_a_candidate_that_did_not_pass(
    shop: Shop, registry: Registry
) -> None:
    """And the candidate is not."""
    settle(shop)
    next_week(shop, sold(900))
    assert not presented(shop).passed
    registry.client.delete_registered_model("demand")
    for _ in range(2):
        run_again(shop)
    assert registry.content() == [champion(shop)]
    assert reconciled(shop) == []
    assert registry.alias() == "1"
    assert registry.alias("candidate") is None
    assert not due(shop, registered=True)


def test_a_candidate_that_was_deleted_is_registered_again(shop: Shop, registry: Registry) -> None:
    settle(shop)
    next_week(shop)
    made = presented(shop)
    registry.client.delete_model_version("demand", "2")
    for _ in range(2):
        run_again(shop)
    assert registry.content()[-1] == made.version
    assert registry.alias("candidate") == "3"
    assert registry.alias() == "1"


def test_an_alias_that_was_deleted_is_put_back_and_told_once(shop: Shop, registry: Registry) -> None:
    settle(shop)
    registry.client.delete_registered_model_alias("demand", "champion")
    (warned,) = reconciled(shop)
    assert warned == (
        "demand: the registry's alias 'champion' was moved from version 1 to none by somebody else: champion is "
        "version 1, as the ledger says"
    )
    assert registry.alias() == "1"
    assert reconciled(shop) == []
    assert audit(shop, "champion swapped") == [{"model": "demand", "found": None, "told": "1", "champion": "1"}]


def test_an_alias_that_was_swapped_is_put_back_and_told_once(shop: Shop, registry: Registry) -> None:
    settle(shop)
    next_week(shop)
    presented(shop)
    registry.client.set_registered_model_alias("demand", "champion", "2")
    (warned,) = reconciled(shop)
    assert "was moved from version 1 to 2 by somebody else: champion is version 1, as the ledger says" in warned
    assert registry.alias() == "1"
    assert reconciled(shop) == []
    assert audit(shop, "champion swapped") == [{"model": "demand", "found": "2", "told": "1", "champion": "1"}]


def test_an_alias_where_nobody_is_champion_is_taken_away_and_told(shop: Shop, registry: Registry) -> None:
    begin(shop)
    presented(shop)
    registry.client.set_registered_model_alias("demand", "champion", "1")
    (warned,) = reconciled(shop)
    assert "was moved from version none to 1 by somebody else: champion is none that it knows" in warned
    assert registry.alias() is None
    assert reconciled(shop) == []
    assert len(audit(shop, "champion swapped")) == 1


@pytest.mark.parametrize("before", [None, "1"])
def test_an_alias_that_was_set_just_before_a_crash_is_no_incident(
    shop: Shop, registry: Registry, before: str | None
) -> None:
    """Neither the first one nor a later one: it is what the ledger says."""
    settle(shop)
    if before is not None:
        next_week(shop)
        presented(shop)
        promoted(shop)
        assert reconciled(shop) == []
    forget_told(shop, before)
    assert reconciled(shop) == []
    assert registry.alias() == ("1" if before is None else "2")
    registry.client.set_registered_model_alias("demand", "champion", "1")
    if before is not None:
        assert len(reconciled(shop)) == 1, "from then on, what it was before is an incident again"
    assert len(audit(shop, "champion swapped")) == (before is not None)


def test_a_branch_tells_the_registry_nothing(shop: Shop, registry: Registry) -> None:
    settle(shop)
    registry.client.delete_registered_model_alias("demand", "champion")
    shop.environment = "trial"
    assert reconciled(shop) == []
    assert registry.alias() is None


def test_a_branch_registers_and_asks_for_nothing(shop: Shop, registry: Registry) -> None:
    """Its models are those of prod."""
    settle(shop)
    shop.environment = "trial"
    next_week(shop)
    assert not due(shop, registered=True)
    assert presented(shop).registered is None
    assert len(registry.versions()) == 1
    assert registry.alias("candidate") == "1"


def test_a_promotion_between_two_looks_is_no_incident(
    shop: Shop, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was read of the ledger before it is not held against what the registry says after it."""
    settle(shop)
    next_week(shop)
    presented(shop)
    asked = aliases._aliases

    def promoted_meanwhile(client: Any, name: str) -> dict[str, str]:
        monkeypatch.setattr(aliases, "_aliases", asked)
        promoted(shop)
        assert reconciled(shop) == []
        return asked(client, name)

    monkeypatch.setattr(aliases, "_aliases", promoted_meanwhile)
    assert reconciled(shop) == []
    assert registry.alias() == "2"
    assert audit(shop, "champion swapped") == []


def test_two_runs_that_register_the_same_at_once_leave_one_version(shop: Shop, registry: Registry) -> None:
    """The later one takes its own back."""
    begin(shop)
    together = threading.Barrier(2)
    found = tracking._found

    def found_together(*arguments: Any) -> Any:
        answer = found(*arguments)
        if answer is None:
            together.wait(60)
        return answer

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tracking, "_found", found_together)
        runs = [threading.Thread(target=presented, args=(shop.twin(),)) for _ in range(2)]
        for each in runs:
            each.start()
        for each in runs:
            each.join()
    assert len(registry.versions()) == 1
    assert registry.alias("candidate") == "1"


def test_an_experiment_that_was_deleted_is_restored(shop: Shop, registry: Registry) -> None:
    settle(shop)
    experiment = registry.client.get_experiment_by_name("demand")
    assert experiment is not None
    registry.client.delete_experiment(experiment.experiment_id)
    next_week(shop)
    assert presented(shop).registered is not None
    assert len(registry.versions()) == 2


def test_a_candidates_alias_that_was_moved_is_put_back_and_nobody_is_asked_twice(
    shop: Shop, registry: Registry
) -> None:
    settle(shop)
    next_week(shop)
    presented(shop)
    registry.client.set_registered_model_alias("demand", "candidate", "1")
    assert reconciled(shop) == []
    assert registry.alias("candidate") == "2"
    assert not due(shop, registered=True)
