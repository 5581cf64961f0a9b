"""Scientists push: git repositories are the DAG bundles of a real Airflow, one for each team."""

import json
import os
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from conftest import Deployment, Run, new_database, services_in, wait_for

from demo.services import ROOT
from tidemark.ledger import registry

pytestmark = [pytest.mark.end_to_end, pytest.mark.timeout(1800)]

NUMBERS = """
    import polars as pl

    from factors import factor
    from tidemark import asset, pipeline

    @asset(key=["number"], gate="numbers")
    def numbers() -> pl.DataFrame:
        return pl.DataFrame({"number": [factor(1), factor(2)]})

    product = pipeline("numbers", [numbers])
    """
FACTORS = """
    # What a number is worth.
    def factor(number: int) -> int:
        return 2 * number
    """
SUITE = {
    "name": "numbers",
    "expectations": [{"type": "expect_column_values_to_not_be_null", "kwargs": {"column": "number"}}],
}
ANSWER = """
    from tidemark import asset, pipeline

    @asset()
    def {asset}() -> str:
        return "42"

    product = pipeline("{name}", [{asset}], owner="{name}")
    """
WAITS = """
    import time
    from pathlib import Path

    from tidemark import asset, pipeline

    WORD = "first"

    @asset()
    def word() -> str:
        Path({folder!r}, "begun").touch()
        while not Path({folder!r}, "go").exists():
            time.sleep(0.1)
        return WORD

    product = pipeline("waits", [word])
    """
MODEL = """
    from tidemark import Weekly, model, pipeline

    def learned() -> str:
        return "everything"

    @model(partitions=Weekly(start="2011-03-14"))
    def teacher() -> str:
        return learned()

    product = pipeline("teaching", [teacher])
    """


@dataclass(frozen=True)
class Repository:
    """A team's repository: what Airflow follows, and a clone in which somebody works."""

    bare: Path
    clone: Path

    def __call__(self, *words: str, who: str = "Ada") -> str:
        email = f"{who.lower()}@shop.test"
        given = {f"GIT_{role}_{what}": value for role in ("AUTHOR", "COMMITTER") for what, value in
                 (("NAME", who), ("EMAIL", email))}  # fmt: skip
        done = subprocess.run(
            ["git", "-C", str(self.clone), *words], env=os.environ | given, capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    @classmethod
    def made(cls, folder: Path) -> "Repository":
        folder.mkdir(parents=True)
        repository = cls(folder / "bare.git", folder / "clone")
        subprocess.run(["git", "init", "-q", "--bare", "-b", "main", str(repository.bare)], check=True)
        subprocess.run(["git", "clone", "-q", str(repository.bare), str(repository.clone)], check=True)
        repository("checkout", "-q", "-B", "main")
        repository.push({"dags/.airflowignore": "# nothing\n"})
        return repository

    def push(self, files: dict[str, str | None], *, who: str = "Ada") -> str:
        """Commit files, or the want of them, and push to main; returns the commit."""
        for name, text in files.items():
            file = self.clone / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.unlink(missing_ok=True)
            if text is not None:
                file.write_text(textwrap.dedent(text))
        self("add", "-A")
        self("commit", "-q", "-m", f"A change by {who}", who=who)
        self("push", "-q", "origin", "main")
        return self("rev-parse", "HEAD")


@dataclass(frozen=True)
class Teams:
    """A running deployment, and the repositories of two teams."""

    deployment: Deployment
    pricing: Repository
    planning: Repository

    def parsed(self, dag: str, commit: str) -> None:
        """Wait until Airflow has a DAG as of a commit."""
        client = self.deployment.client
        wait_for(
            lambda: client.dags().get(dag, {}).get("bundle_version") == commit,
            f"{dag} of {commit}",
            lambda: f"{client.dags().get(dag)} {client.import_errors()}",
        )

    def tidemark(self, *words: str, **settings: str) -> Any:
        """What the command says, told by pricing's clone what there is."""
        return json.loads(self.process(*words, "--json", **settings).stdout)

    def process(self, *words: str, **settings: str) -> "subprocess.CompletedProcess[str]":
        code = "import sys; from tidemark.cli import main; sys.exit(main())"
        environ = {
            **self.deployment.services.environment,
            "TIDEMARK_DAGS": str(self.pricing.clone / "dags"),
            **settings,
        }
        command = [sys.executable, "-c", code, *words]
        return subprocess.run(command, env=environ, capture_output=True, text=True, timeout=240)

    def live(self, asset: str) -> dict[str, Any]:
        """What is live of an asset without partitions."""
        return dict(self.tidemark("explain", asset, "all")["live"])


def bundle(team: str, repository: Repository) -> dict[str, Any]:
    """A bundle as docs/git.md shows it."""
    kwargs = {"repo_url": str(repository.bare), "tracking_ref": "main", "subdir": "dags", "refresh_interval": 2}
    return {"name": team, "classpath": "airflow.providers.git.bundles.git.GitDagBundle", "kwargs": kwargs}


@pytest.fixture(scope="module")
def teams(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Teams]:
    """Two teams with a repository each; the DAG files on the disk are nobody's."""
    folder = tmp_path_factory.mktemp("teams")
    pricing, planning = Repository.made(folder / "pricing"), Repository.made(folder / "planning")
    settings = {
        "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST": json.dumps(
            [bundle("pricing", pricing), bundle("planning", planning)]
        ),
        "TIDEMARK_EXPECTATIONS": "",
        "TIDEMARK_FOUR_EYES": "on",
        "TIDEMARK_APPROVERS": "ada, ann",
        "TIDEMARK_PEOPLE": "ada@shop.test=ada, ann@shop.test=ann",
    }
    services = services_in(folder, new_database(request, "airflow_for_teams"), with_mlflow=False, **settings)
    with services, services.client() as client:
        yield Teams(Deployment(services, client, folder / "dags", folder / "landing"), pricing, planning)


@pytest.fixture(scope="module")
def numbers(teams: Teams) -> tuple[str, Run]:
    """A pipeline that was pushed and has run: its commit, and the run."""
    commit = teams.pricing.push(
        {"dags/numbers.py": NUMBERS, "dags/factors.py": FACTORS, "expectations/numbers.json": json.dumps(SUITE)}
    )
    teams.parsed("numbers", commit)
    return commit, teams.deployment.trigger("numbers")


def test_a_push_to_main_is_a_dag_and_the_record_says_of_which_commit(teams: Teams, numbers: tuple[str, Run]) -> None:
    """With the suite that stands in the repository beside the files."""
    commit, run = numbers
    assert run.state == "success", run.log("plan")
    account = teams.tidemark("explain", "numbers", "all")
    assert account["live"]["bundle"] == f"pricing@{commit}"
    assert account["live"]["code"]["commit"] == commit
    assert account["gate"]["outcome"] == "passed"
    assert f"bundle pricing@{commit}" in "".join(teams.process("explain", "numbers", "all").stdout.split("\n"))


@pytest.mark.usefixtures("numbers")
def test_a_broken_file_breaks_only_itself(teams: Teams) -> None:
    broken = ANSWER.format(name="broken", asset="broken_answer").replace("broken_answer()", "broken_answer(nosuch)")
    commit = teams.pricing.push({"dags/broken.py": broken})
    errors = wait_for(
        lambda: [text for file, text in teams.deployment.client.import_errors().items() if "broken.py" in file],
        "an import error",
    )
    assert "broken_answer(): parameter 'nosuch' names no member of the pipeline" in errors[0]
    teams.parsed("numbers", commit)
    assert teams.deployment.trigger("numbers").state == "success"
    teams.pricing.push({"dags/broken.py": None})
    wait_for(lambda: not teams.deployment.client.import_errors(), "the error to be over")


def test_moving_and_commenting_run_nothing_and_an_edit_of_a_helper_does(teams: Teams, numbers: tuple[str, Run]) -> None:
    """The fingerprint is the same in two versions of a bundle, at two places of the disk."""
    moved = NUMBERS.replace("from factors", "from shared.factors")
    commit = teams.pricing.push(
        {
            "dags/numbers.py": moved,
            "dags/factors.py": None,
            "dags/shared/factors.py": f"# It was elsewhere.\n{textwrap.dedent(FACTORS)}",
        }
    )
    teams.parsed("numbers", commit)
    run = teams.deployment.trigger("numbers")
    assert (run.state, run.started) == ("success", {"plan"})
    before = teams.live("numbers")
    assert before["bundle"] == f"pricing@{numbers[0]}"
    edited = teams.pricing.push({"dags/shared/factors.py": FACTORS.replace("2 * number", "3 * number")})
    teams.parsed("numbers", edited)
    assert teams.deployment.trigger("numbers").state == "success"
    after = teams.live("numbers")
    assert after["bundle"] == f"pricing@{edited}"
    assert after["code"]["version"] != before["code"]["version"]
    assert after["version"] != before["version"]


def test_a_run_keeps_its_version_while_another_is_pushed(teams: Teams, tmp_path: Path) -> None:
    text = WAITS.format(folder=str(tmp_path))
    first = teams.pricing.push({"dags/waits.py": text})
    teams.parsed("waits", first)
    run = teams.deployment.client.trigger("waits")
    wait_for(lambda: (tmp_path / "begun").exists(), "the asset's function")
    second = teams.pricing.push({"dags/waits.py": text.replace('"first"', '"second"')})
    teams.parsed("waits", second)
    (tmp_path / "go").touch()
    assert teams.deployment.ended("waits", run).state == "success"
    assert teams.live("word")["bundle"] == f"pricing@{first}"
    assert teams.process("read", "word", "all").stdout == "first"
    assert teams.deployment.trigger("waits").state == "success"
    assert teams.live("word")["bundle"] == f"pricing@{second}"
    assert teams.process("read", "word", "all").stdout == "second"


@pytest.mark.usefixtures("numbers")
def test_a_name_of_another_team_is_refused_and_each_asset_has_its_teams_owner(teams: Teams) -> None:
    """The sentence names the pipeline that has it, of a file that this team cannot see."""
    mine = ANSWER.format(name="planning", asset="planned")
    theirs = ANSWER.format(name="greedy", asset="numbers")
    commit = teams.planning.push({"dags/planning.py": mine, "dags/greedy.py": theirs})
    for name in ("planning", "greedy"):
        teams.parsed(name, commit)
    assert teams.deployment.trigger("planning").state == "success"
    refused = teams.deployment.trigger("greedy")
    assert refused.state == "failed"
    assert "the name 'numbers' belongs to the pipeline 'numbers': choose another, or read that one" in refused.log(
        "plan"
    )
    with teams.deployment.opened() as (opened, _), opened.ledger.read() as connection:
        known = registry.assets(connection)
    assert (known["planned"].pipeline, known["planned"].definition["owner"]) == ("planning", "planning")
    assert known["numbers"].pipeline == "numbers"
    teams.planning.push({"dags/greedy.py": None})


def test_who_wrote_a_model_is_known_of_a_version_without_its_own_history(teams: Teams) -> None:
    """Airflow prunes `.git` from a version: Ada, who wrote it, may not promote it; Ann may. So it is in a pod that came
    later, where the version's folder is not; where no history is at all, nobody may.
    """
    commit = teams.pricing.push({"dags/teaching.py": MODEL}, who="Ada")
    teams.parsed("teaching", commit)
    assert teams.deployment.trigger("teaching").state == "success"
    assert teams.tidemark("model", "list", "teacher")[0]["state"] == "candidate"
    home = Path(teams.deployment.services.environment["AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_STORAGE_PATH"]) / "pricing"
    assert not (home / "versions" / commit / ".git").exists()
    shutil.rmtree(home / "versions" / commit)
    promote = ("model", "promote", "teacher", "--why", "so")
    refused = teams.process(*promote, TIDEMARK_ACTOR="ada")
    assert refused.returncode == 1
    assert f"(commit {commit[:12]} by Ada" in refused.stderr
    assert "somebody else has to approve it" in refused.stderr
    (home / "bare").rename(home / "away")
    blind = teams.process(*promote, TIDEMARK_ACTOR="ann")
    (home / "away").rename(home / "bare")
    assert blind.returncode == 1
    assert "four eyes: nobody knows who wrote" in blind.stderr
    assert "docs/git.md" in blind.stderr
    approved = teams.process(*promote, TIDEMARK_ACTOR="ann")
    assert approved.returncode == 0, approved.stderr


def test_the_bundles_are_as_the_administrators_page_shows_them() -> None:
    page = (ROOT / "docs" / "git.md").read_text()
    shown = json.loads(page.split("<!-- bundles -->\n```json\n")[1].partition("```")[0])
    assert [each["name"] for each in shown] == ["pricing", "planning"]
    ours = bundle("pricing", Repository(Path("bare"), Path("clone")))
    assert {each["classpath"] for each in shown} == {ours["classpath"]}
    assert all(set(each["kwargs"]) - {"git_conn_id"} == set(ours["kwargs"]) for each in shown)
