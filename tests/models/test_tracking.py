"""Claims about what MLflow has of a candidate, and what can be done with that by who has nothing of ours."""

import ast
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from tests.models.conftest import Registry, standing_shop
from tests.models.selling import SALES, WEEK_1, begin, presented, promoted, reconciled
from tests.scenario import ROOT, Shop
from tests.servers import MlflowServer, free_port
from tests.test_approvers import Repository
from tidemark.ledger import registry as assets
from tidemark.ledger.records import Made, inputs_of
from tidemark.models.presenting import Presented
from tidemark.reading import read

# A model of its own, which stays as it is while other tests clear the registry of theirs.
NAME = "kept_demand"
PRICES = [1.0, 2.5, 6.0]


@dataclass(frozen=True)
class Story:
    """A model that was trained, presented twice, and promoted."""

    shop: Shop
    registry: Registry
    first: Presented
    again: Presented
    inferred: list[str]

    @property
    def made(self) -> Made:
        return self.first.challenge.candidate

    @property
    def run(self) -> Any:
        (version,) = self.registry.versions()
        return self.registry.client.get_run(version.run_id)

    @property
    def run_id(self) -> str:
        return str(self.run.info.run_id)

    @property
    def model_info(self) -> Any:
        """What MLflow knows of the registered model's files."""
        import mlflow

        mlflow.set_tracking_uri(self.registry.url)
        return mlflow.models.get_model_info(f"models:/{NAME}/1")

    @property
    def predicted(self) -> list[float]:
        """What the ledger's estimator says of some prices."""
        import pandas as pd

        with self.shop.deployment() as deployment:
            estimator: Any = read(NAME, WEEK_1, deployment=deployment)
        return [float(each) for each in estimator.predict(pd.DataFrame({"price": PRICES}))]


@pytest.fixture(scope="module")
def story(mlflow_server: MlflowServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    """It is told once."""
    import mlflow.models
    from mlflow.utils import requirements_utils

    from tidemark.config import git_commit

    inferred: list[str] = []
    text = SALES.replace("def demand(", f"def {NAME}(")
    folder = tmp_path_factory.mktemp("kept")
    with standing_shop(folder, mlflow_server.url) as shop, pytest.MonkeyPatch.context() as patch:
        patch.setattr(mlflow.models, "infer_pip_requirements", lambda *_, **__: inferred.append("asked for") or [])
        patch.setattr(requirements_utils, "_capture_imported_modules", lambda *_, **__: inferred.append("run") or [])
        patch.setenv("TIDEMARK_IMAGE", "registry.example.org/tidemark:1.0")
        shop.define(text)
        Repository(shop.dags).commit("ada")
        git_commit.cache_clear()
        begin(shop, text)
        registry = Registry(mlflow_server, NAME)
        first, again = presented(shop), presented(shop)
        assert registry.alias() is None, "a candidate is no champion"
        promoted(shop)
        assert reconciled(shop) == []
        yield Story(shop, registry, first, again, inferred)
        git_commit.cache_clear()


# -- what is there


def test_a_candidate_is_one_run_and_one_version_however_often_it_is_presented(story: Story) -> None:
    (version,) = story.registry.versions()
    assert story.first.registered is not None
    assert story.again.registered is not None
    assert story.first.registered.registration == story.again.registered.registration == (version.version, story.run_id)


def test_the_run_says_what_the_model_was_made_with_and_how_it_came_out(story: Story) -> None:
    data = story.run.data
    (run,) = story.registry.runs()
    assert run.info.run_name == f"{NAME} {WEEK_1}"
    assert run.info.status == "FINISHED"
    assert data.params == {"slope": "1.0"}
    report = story.first.challenge.report["metrics"]
    assert {name: data.metrics[name] for name in report} == {
        name: pytest.approx(each["candidate"]) for name, each in report.items()
    }
    assert data.metrics["training_seconds"] == pytest.approx(story.made.seconds)


def test_run_and_version_say_where_the_model_comes_from(story: Story) -> None:
    """By the ledger's own names: data, code, commit, image, environment."""
    from tidemark.models.tracking import installed

    (version,) = story.registry.versions()
    commit = subprocess.run(
        ["git", "-C", str(story.shop.dags), "rev-parse", "HEAD"], capture_output=True, text=True, check=True
    ).stdout.strip()
    tags = {name: text for name, text in story.run.data.tags.items() if name.startswith("tidemark.")}
    asset = story.shop.pipelines["shop"].asset(NAME)
    wanted = {
        "tidemark.version": story.shop.versions(NAME)[WEEK_1],
        "tidemark.partition": WEEK_1,
        "tidemark.action_key": story.shop.action_key(NAME, WEEK_1).hex(),
        "tidemark.code_version": asset.code.digest.hex(),
        "tidemark.commit": commit,
        "tidemark.lock": installed().hex(),
        "tidemark.image": "registry.example.org/tidemark:1.0",
        "tidemark.environment": "prod",
    }
    assert {name: tags.get(name) for name in wanted} == wanted
    assert wanted.items() <= version.tags.items()
    report = story.first.challenge.report["metrics"]
    for name, each in report.items():
        assert float(version.tags[f"tidemark.metric.{name}"]) == each["candidate"]


def test_the_inputs_of_the_run_have_the_ledgers_digests(story: Story) -> None:
    with story.shop.deployment() as deployment, deployment.ledger.read() as connection:
        (read_,) = inputs_of(connection, [story.made.id])[story.made.id]
        names = {each.id: each.name for each in assets.assets(connection).values()}
    (logged,) = story.run.inputs.dataset_inputs
    assert logged.dataset.name == names[read_.asset_id] == "sales"
    assert logged.dataset.digest == read_.digest.hex()[:32]
    source = json.loads(logged.dataset.source)["tags"]
    assert source["members"] == read_.digest.hex()
    assert (source["partitions"], source["count"]) == ("2025-01-06 .. 2025-01-19", 14)
    assert story.run.data.tags["tidemark.data.sales"] == read_.digest.hex()


def test_the_report_is_a_file_of_the_run(story: Story, tmp_path: Path) -> None:
    from mlflow.artifacts import download_artifacts

    uri = f"runs:/{story.run_id}/validation.json"
    file = download_artifacts(uri, dst_path=str(tmp_path), tracking_uri=story.registry.url)
    assert json.loads(Path(file).read_text()) == story.first.challenge.report


def test_the_plot_is_where_the_page_of_the_approver_points(story: Story) -> None:
    """A PNG of 640 by 480, in which more is drawn than a background."""
    assert story.first.registered is not None
    assert story.first.registered.picture is not None
    assert f"]({story.first.registered.picture})" in story.first.page
    with urllib.request.urlopen(story.first.registered.picture) as answer:
        content = answer.read()
    assert content[:8] == b"\x89PNG\r\n\x1a\n"
    assert (int.from_bytes(content[16:20]), int.from_bytes(content[20:24])) == (640, 480)
    assert 10_000 < len(content) < 200_000
    with urllib.request.urlopen(story.first.registered.page) as page:
        assert page.status == 200


def test_nothing_is_pickled(story: Story, tmp_path: Path) -> None:
    """The model is a skops archive, and says so."""
    from mlflow.artifacts import download_artifacts

    uri = f"models:/{NAME}/1"
    folder = Path(download_artifacts(uri, dst_path=str(tmp_path), tracking_uri=story.registry.url))
    files = {each.name for each in folder.rglob("*") if each.is_file()}
    assert "MLmodel" in files
    assert not {each for each in files if each.endswith((".pkl", ".pickle", ".joblib", ".cloudpickle"))}
    made = [each for each in folder.rglob("*") if each.is_file() and each.suffix == ".skops"]
    assert len(made) == 1
    assert made[0].read_bytes()[:2] == b"PK"
    flavor = story.model_info.flavors["sklearn"]
    assert flavor["serialization_format"] == "skops"


def test_the_model_says_what_it_takes_and_gives(story: Story) -> None:
    info = story.model_info
    assert [(each.name, each.type.name) for each in info.signature.inputs.inputs] == [("price", "double")]
    assert len(info.signature.outputs.inputs) == 1
    assert info.saved_input_example_info is not None


def test_what_it_needs_is_pinned_to_what_is_installed(story: Story, tmp_path: Path) -> None:
    from mlflow.artifacts import download_artifacts

    uri = f"models:/{NAME}/1/requirements.txt"
    lines = Path(download_artifacts(uri, dst_path=str(tmp_path), tracking_uri=story.registry.url)).read_text().split()
    named = dict(each.split("==") for each in lines)
    assert {"mlflow", "scikit-learn", "skops", "numpy", "pandas"} <= named.keys()
    assert named == {name: metadata.version(name) for name in named}
    assert story.inferred == [], "to see what a model imports, MLflow loads it in a process of its own, for 20 s"


def test_the_aliases_say_what_the_version_is_and_no_stage_does(story: Story) -> None:
    (version,) = story.registry.versions()
    assert (story.registry.alias("champion"), story.registry.alias("candidate")) == ("1", "1")
    assert version.current_stage == "None"
    assert version.run_id == story.run_id
    assert version.status == "READY"


# -- who has nothing of ours

PLAIN = """
import json, sys

class Nothing:
    # Tidemark may be installed where the tests run: here it is not.

    def find_spec(self, name, *more):
        if name.partition(".")[0] == "tidemark":
            raise ImportError(name)

sys.meta_path.insert(0, Nothing())

import mlflow
import pandas as pd
from mlflow.exceptions import MlflowException

uri, prices = sys.argv[1], json.loads(sys.argv[2])
model = mlflow.pyfunc.load_model(uri)
said = {"predicted": list(map(float, model.predict(pd.DataFrame({"price": prices}))))}
wrong = {"column": {"cost": [1.0]}, "text": {"price": ["dear"]}, "integers": {"price": [[1.0, 2.0]]}}
for what, table in wrong.items():
    try:
        said[what] = str(model.predict(pd.DataFrame(table)))
    except MlflowException as problem:
        said[what] = problem.message
assert "tidemark" not in sys.modules
print(json.dumps(said))
"""


def plain(story: Story) -> dict[str, str]:
    """The environment of a process that has nothing of ours on its path."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "TIDEMARK", "MLFLOW"))}
    # `mlflow models serve` starts uvicorn by its name.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    more = {"PATH": path, "MLFLOW_TRACKING_URI": story.registry.url, "MLFLOW_DISABLE_TELEMETRY": "true"}
    return kept | more


@pytest.mark.slow
def test_a_plain_process_predicts_what_the_ledgers_model_does_and_refuses_what_is_no_input(
    story: Story, tmp_path: Path
) -> None:
    command = [sys.executable, "-I", "-c", PLAIN, f"models:/{NAME}@champion", json.dumps(PRICES)]
    done = subprocess.run(command, env=plain(story), cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout.splitlines()[-1])
    assert said["predicted"] == story.predicted
    assert "missing inputs ['price']" in said["column"]
    for what in ("text", "integers"):
        assert said[what].startswith("Failed to enforce schema of data") or "Incompatible input types" in said[what]


@pytest.mark.slow
def test_the_champion_is_served_as_it_stands(story: Story, tmp_path: Path) -> None:
    """By MLflow's own command, which answers bad input with 400."""
    port = free_port()
    command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", f"models:/{NAME}@champion"]
    command += ["--env-manager", "local", "--host", "127.0.0.1", "--port", str(port)]
    log = tmp_path / "log"
    with log.open("wb") as output:
        serving = subprocess.Popen(
            command,
            env=plain(story) | {"PYTHONSAFEPATH": "1"},
            cwd=tmp_path,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        wait_until_it_answers(f"http://127.0.0.1:{port}/ping", serving, log)
        asked = {"dataframe_split": {"columns": ["price"], "data": [[each] for each in PRICES]}}
        assert invoked(port, asked) == (200, {"predictions": story.predicted})
        for bad in (
            {"dataframe_split": {"columns": ["cost"], "data": [[1.0]]}},
            {"dataframe_split": {"columns": ["price"], "data": [["dear"]]}},
            {"prices": PRICES},
            [],
        ):
            status, said = invoked(port, bad)
            assert status == 400, said
            assert "error_code" in said
    finally:
        os.killpg(serving.pid, signal.SIGKILL)
        serving.wait()


def wait_until_it_answers(url: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    until = time.monotonic() + 60
    while time.monotonic() < until:
        assert process.poll() is None, log.read_text()
        try:
            urllib.request.urlopen(url, timeout=5).close()
        except OSError:
            time.sleep(0.2)
        else:
            return
    raise AssertionError(f"it does not answer: {log.read_text()}")


def invoked(port: int, asked: object) -> tuple[int, Any]:
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/invocations", json.dumps(asked).encode(), {"Content-Type": "application/json"}
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as problem:
        return problem.code, json.load(problem)


# -- what is never used

FORBIDDEN = {
    "transition_model_version_stage",
    "get_latest_versions",
    "stages",
    "current_stage",
    "pickle",
    "cloudpickle",
    "joblib",
    "dill",
}


def names_in(text: str) -> set[str]:
    """Every name, attribute, keyword and module that a file's code names; what it says in words is not code."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Name):
            found.add(node.id)
        elif isinstance(node, ast.Attribute):
            found.add(node.attr)
        elif isinstance(node, ast.keyword) and node.arg:
            found.add(node.arg)
            # serialization_format="cloudpickle" is the use of a name, too.
            found |= (
                {node.value.value} if isinstance(node.value, ast.Constant) and node.arg.endswith("format") else set()
            )
        elif isinstance(node, ast.Import):
            found |= {part for each in node.names for part in each.name.split(".")}
        elif isinstance(node, ast.ImportFrom):
            found |= {*(node.module or "").split("."), *(each.name for each in node.names)}
    return found


# What processes hand each other, and nobody keeps: definitions within one `tidemark check`, and the functions that the
# workers of a Dask cluster compute, which Dask pickles.
PLUGIN = ROOT / "plugins" / "tidemark"
NOT_KEPT = {file: {"pickle"} for file in (PLUGIN / "checking").glob("*.py")}
NOT_KEPT |= {PLUGIN / "frames" / "clusters.py": {"pickle", "cloudpickle"}}


def test_neither_stages_nor_pickles_are_used_of_what_is_kept() -> None:
    files = [each for folder in ("plugins", "dags", "demo") for each in (ROOT / folder).rglob("*.py")]
    assert len(files) > 100
    used = {each: names_in(each.read_text()) for each in files}
    found = {each: names & FORBIDDEN - NOT_KEPT.get(each, set()) for each, names in used.items()}
    assert {str(each.relative_to(ROOT)): names for each, names in found.items() if names} == {}
    assert {each for each in NOT_KEPT if {"dump", "load"} & used[each]} == set(), "nor written to a file"


@pytest.mark.parametrize(
    "text",
    [
        "import pickle",
        "from joblib import dump",
        "client.transition_model_version_stage('m', 1)",
        "client.get_latest_versions(name, stages=['Production'])",
        "log_model(model, serialization_format='cloudpickle')",
    ],
)
def test_their_use_would_be_seen(text: str) -> None:
    assert names_in(text) & FORBIDDEN
