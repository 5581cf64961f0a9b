"""One batch of a stored plan, worked off by the command in a process of its own: what a container does."""

import json
import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import DAYS, Command, process
from tests.scenario import Shop
from tests.servers import free_port
from tidemark.catalog import load_catalog
from tidemark.running.run import Prepared, prepare, standing_of

IMAGE = "registry.example.org/team/shop:1.4"


def planned(shop: Shop, dags: Path | None = None) -> Prepared:
    """A plan as Airflow's first task stores it."""
    with shop.deployment() as deployment:
        pipeline = load_catalog(dags or shop.dags).pipeline("shop")
        return prepare(
            deployment, pipeline, as_of=datetime(2025, 1, 8, 6, tzinfo=UTC), run="airflow shop r1", actor="x"
        )


def batch(shop: Shop, plan: Prepared, asset: str, *words: str, **environ: str) -> "subprocess.CompletedProcess[str]":
    return process(shop, "run-batch", str(plan.plan_id), "0", asset, "--pipeline", "shop", *words, **environ)


def said(done: "subprocess.CompletedProcess[str]") -> Any:
    """What the last line of the output says."""
    return json.loads(done.stdout.splitlines()[-1])


def codes(shop: Shop, **others: str) -> list[str]:
    """The code versions that the planner has worked out."""
    assets = load_catalog(shop.dags).pipeline("shop").assets
    return [f"--code={each.name}={others.get(each.name, each.code.digest.hex())}" for each in assets]


def test_a_batch_is_worked_off_as_airflows_task_would(delivered: Shop) -> None:
    """Its partitions are live, with run, person and image on the record, and the plan says what became of them."""
    plan = planned(delivered)
    run = ("--run", "airflow shop r1", "--actor", "ada")
    done = batch(delivered, plan, "lines", *run, *codes(delivered), TIDEMARK_IMAGE=IMAGE)
    assert done.returncode == 0, done.stderr
    assert said(done) == {"asset": "lines", "counts": {"computed": 3}, "partitions": DAYS, "problems": []}
    [made] = delivered.made("lines", DAYS[0])
    assert (made.run, made.actor, made.image, made.bundle) == ("airflow shop r1", "ada", IMAGE, None)
    with delivered.deployment() as deployment:
        standing = standing_of(deployment, load_catalog(delivered.dags).pipeline("shop"), plan.plan_id, 0, "lines")
        below = standing_of(deployment, load_catalog(delivered.dags).pipeline("shop"), plan.plan_id, 0, "label")
    assert (standing.settled, standing.unreached, standing.report.counted()) == (True, (), {"computed": 3})
    assert (below.settled, below.unreached, below.report.counted()) == (False, tuple(DAYS), {})


def test_explain_says_in_which_image_something_was_made(delivered: Shop, tidemark: Command) -> None:
    assert batch(delivered, planned(delivered), "lines", TIDEMARK_IMAGE=IMAGE).returncode == 0
    live = tidemark.json("explain", "lines", DAYS[0])["live"]
    assert (live["image"], live["bundle"], live["code"]["image"]) == (IMAGE, None, None)
    assert f"made in the image {IMAGE}" in tidemark("explain", "lines", DAYS[0]).out


def test_what_a_laptop_made_without_the_image_is_not_taken_for_a_result_of_the_image(delivered: Shop) -> None:
    """Its action key is that of the image, and its packages are not: the cluster computes it all the same."""
    delivered.edit('@asset(partitions=DAYS, key=["item"])', f'@asset(partitions=DAYS, key=["item"], image="{IMAGE}")')
    # What a package does otherwise in another version is played by a variable that is looked at as the function runs.
    delivered.edit('value=pl.col("units")', 'value=pl.col("units") + int(os.environ["PACKAGE"])')
    (delivered.dags / "shop.py").write_text("import os\n" + (delivered.dags / "shop.py").read_text())
    delivered.environment = "laptop"
    made = batch(delivered, planned(delivered), "lines", TIDEMARK_IMAGE="", PACKAGE="1")
    assert said(made)["counts"] == {"computed": 3}
    delivered.environment = "prod"
    made = batch(delivered, planned(delivered), "lines", TIDEMARK_IMAGE=IMAGE, PACKAGE="2")
    assert said(made)["counts"] == {"computed": 3}
    delivered.environment = "branch"
    again = said(batch(delivered, planned(delivered), "lines", TIDEMARK_IMAGE=IMAGE))["counts"]
    assert again == {}, "what the cluster made is live in every environment"
    laptop, prod = sorted(delivered.made("lines", DAYS[0]), key=lambda each: each.id)
    assert (laptop.image, prod.image) == (None, IMAGE)
    assert laptop.action_key == prod.action_key
    assert laptop.data_version != prod.data_version


def test_what_is_live_in_prod_is_live_in_a_branch_however_it_was_made(delivered: Shop) -> None:
    """So it is said where a scientist reads of images: a branch falls back to prod for what it did not change."""
    delivered.edit('@asset(partitions=DAYS, key=["item"])', f'@asset(partitions=DAYS, key=["item"], image="{IMAGE}")')
    assert said(batch(delivered, planned(delivered), "lines", TIDEMARK_IMAGE=""))["counts"] == {"computed": 3}
    delivered.environment = "branch"
    assert said(batch(delivered, planned(delivered), "lines", TIDEMARK_IMAGE=IMAGE))["counts"] == {}


def test_a_lane_without_work_is_well(delivered: Shop) -> None:
    plan = planned(delivered)
    done = process(delivered, "run-batch", str(plan.plan_id), "7", "lines", "--pipeline", "shop")
    assert (done.returncode, said(done)["counts"]) == (0, {})


def test_what_failed_is_said_and_the_rest_is_published(delivered: Shop) -> None:
    """Exit code 1, the reason in a line of the log and in the last line of the output."""
    delivered.edit('value=pl.col("units")', 'value=pl.col("units").filter(pl.col("units").first() != 2)')
    done = batch(delivered, planned(delivered), "lines")
    assert done.returncode == 1
    assert said(done)["counts"] == {"computed": 2, "failed": 1}
    [problem] = said(done)["problems"]
    assert problem.startswith("lines 2025-01-06: failed: ")
    assert "lines 2025-01-06: failed: " in done.stderr
    assert len(delivered.live("lines")) == 2


def test_what_cannot_be_reached_is_worth_another_try(delivered: Shop) -> None:
    """Exit code 75, and the sentence that every command says."""
    plan = planned(delivered)
    nowhere = f"postgresql://u@127.0.0.1:{free_port()}/ledger"
    done = batch(delivered, plan, "lines", TIDEMARK_LEDGER_URL=nowhere)
    assert done.returncode == 75, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_batch_that_is_ended_from_outside_publishes_what_is_finished(delivered: Shop) -> None:
    """A pod that is deleted, or whose node is drained: exit code 75, and the rest can be taken up at once."""
    delivered.edit("def lines(orders: pl.DataFrame)", "def lines(orders: pl.DataFrame, partition: Partition)")
    delivered.edit(
        "    return orders.with_columns(value",
        "    if partition.key == '2025-01-07':\n        open('started', 'w').close()\n        time.sleep(60)\n"
        "    return orders.with_columns(value",
    )
    text = (delivered.dags / "shop.py").read_text()
    (delivered.dags / "shop.py").write_text(f"import time\n{text}")
    plan = planned(delivered)
    script = "import sys; from tidemark.cli import main; sys.exit(main())"
    started = subprocess.Popen(
        [sys.executable, "-c", script, "run-batch", str(plan.plan_id), "0", "lines", "--pipeline", "shop"],
        env=os.environ | delivered.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        cwd=delivered.home,
        stderr=subprocess.PIPE,
        text=True,
    )
    patience = time.monotonic() + 60
    while not (delivered.home / "started").exists():
        assert time.monotonic() < patience
        assert started.poll() is None, started.communicate()
        time.sleep(0.05)
    started.send_signal(signal.SIGTERM)
    _, err = started.communicate(timeout=30)
    assert (started.returncode, "stopped; what was finished is published" in err) == (75, True), err
    assert set(delivered.live("lines")) == set(DAYS[:2])
    with delivered.deployment() as deployment:
        standing = standing_of(deployment, load_catalog(delivered.dags).pipeline("shop"), plan.plan_id, 0, "lines")
    assert (standing.settled, standing.unreached) == (False, (DAYS[2],))


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["99", "0", "lines", "--pipeline", "shop"], "the ledger holds no plan 99"),
        (["1", "0", "line", "--pipeline", "shop"], "no asset 'line': did you mean 'lines'?"),
        (["1", "0", "orders", "--pipeline", "shop"], "'orders' is a source: it is delivered, not computed"),
        (["1", "0", "lines", "--pipeline", "shops"], "there is no pipeline 'shops': did you mean 'shop'?"),
        (["1", "0", "lines"], "the following arguments are required: --pipeline"),
        (["x", "0", "lines", "--pipeline", "shop"], "'x' is no number"),
        (["1", "0", "lines", "--pipeline", "shop", "--version", "abc"], "name the bundle with --bundle"),
        (["1", "0", "lines", "--pipeline", "shop", "--code", "lines"], "write ASSET=VERSION"),
        (["1", "0", "lines", "--pipeline", "shop", "--code", "lines=12"], "with all its 64 hex characters"),
        (["1", "0", "lines", "--pipeline", "shop", "--asked", "{"], "--asked='{' is no JSON"),
        (["1", "0", "lines", "--pipeline", "shop", "--asked", "[]"], "give a JSON object"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_sentence(look: Command, words: list[str], says: str) -> None:
    """Exit code 2, which no other try would mend."""
    done = look("run-batch", *words)
    assert (done.code, done.out) == (2, ""), done
    assert says in done.err


def test_a_plan_of_another_environment_is_refused(delivered: Shop) -> None:
    done = batch(delivered, planned(delivered), "lines", TIDEMARK_ENVIRONMENT="branch")
    assert (done.returncode, "is one of the environment 'prod', not of 'branch'" in done.stderr) == (2, True)


def test_an_asset_whose_code_is_another_one_here_is_not_run(delivered: Shop) -> None:
    """Else what the container publishes would never be up to date for the planner, and run again for ever."""
    other = "ab" * 32
    done = batch(delivered, planned(delivered), "lines", *codes(delivered, lines=other))
    assert done.returncode == 2
    assert "the code of lines is another one here (" in done.stderr
    assert "than where the plan was made (abababababab), so nothing was run" in done.stderr
    assert not delivered.live("lines")


def test_what_others_are_is_what_the_plan_was_made_with(delivered: Shop) -> None:
    """An image may have other packages than the planner: what it reads is live all the same, and its result final."""
    delivered.edit('pl.col("units") * pl', 'pl.col("units") * RATE * pl')
    text = (delivered.dags / "shop.py").read_text()
    (delivered.dags / "shop.py").write_text(f'import os\nRATE = int(os.environ.get("RATE", "1"))\n{text}')
    plan, known = planned(delivered), codes(delivered)
    assert batch(delivered, plan, "lines", *known).returncode == 0
    done = batch(delivered, plan, "label", *known, RATE="2")
    assert (done.returncode, said(done)["counts"]) == (0, {"computed": 3}), done.stderr
    assert delivered.provisional("label") == {}
    assert batch(delivered, plan, "lines", *known, RATE="2").returncode == 2, "its own code is another one"
    with delivered.deployment() as deployment:
        pipeline = load_catalog(delivered.dags).pipeline("shop")
        again = prepare(deployment, pipeline, as_of=datetime(2025, 1, 8, 7, tzinfo=UTC), run="r2", actor="x")
    assert again.busy == {"totals"}, "lines and label are up to date for the planner"


def git(folder: Path, *words: str) -> str:
    who = ["-c", "user.name=ada", "-c", "user.email=ada@example.org"]
    done = subprocess.run(["git", "-C", str(folder), *who, *words], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_a_container_gets_the_version_of_the_bundle_that_the_run_uses(delivered: Shop, tmp_path: Path) -> None:
    """Through Airflow's own bundles: main has moved on, and the batch still runs what was planned."""
    git(delivered.dags, "init", "-q", "-b", "main")
    git(delivered.dags, "add", "shop.py")
    git(delivered.dags, "commit", "-q", "-m", "one")
    commit = git(delivered.dags, "rev-parse", "HEAD")
    plan, known = planned(delivered), codes(delivered)
    (delivered.dags / "shop.py").write_text("broken(")
    git(delivered.dags, "commit", "-qam", "two")
    bundle = {
        "name": "shops",
        "classpath": "airflow.providers.git.bundles.git.GitDagBundle",
        "kwargs": {"repo_url": str(delivered.dags), "tracking_ref": "main"},
    }
    environ = {
        "AIRFLOW_HOME": str(tmp_path / "airflow"),
        "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST": json.dumps([bundle]),
        "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_STORAGE_PATH": str(tmp_path / "bundles"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "TIDEMARK_DAGS": str(tmp_path / "nowhere"),
        "TIDEMARK_EXPECTATIONS": str(delivered.home / "expectations"),
    }
    done = batch(delivered, plan, "lines", "--bundle", "shops", "--version", commit, *known, **environ)
    assert done.returncode == 0, done.stderr
    assert said(done)["counts"] == {"computed": 3}
    assert {each.bundle for day in DAYS for each in delivered.made("lines", day)} == {f"shops@{commit}"}
    newest = batch(delivered, plan, "label", "--bundle", "shops", *known, **environ)
    assert (newest.returncode, "there is no pipeline 'shop'" in newest.stderr) == (2, True), newest.stderr
    unknown = batch(delivered, plan, "label", "--bundle", "shop", **environ)
    assert (unknown.returncode, "knows no DAG bundle 'shop' here; there are shops" in unknown.stderr) == (2, True)
    gone = batch(delivered, plan, "label", "--bundle", "shops", "--version", "0" * 40, **environ)
    assert (gone.returncode, f"the DAG bundle shops@{'0' * 40} cannot be brought here" in gone.stderr) == (75, True)
