"""The hooks that check before a merge: the one of a server against a real repository, and pre-commit's."""

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tidemark.cli.main import build_parser

ROOT = Path(__file__).parents[2]
HOOK = ROOT / "samples" / "hooks" / "pre-receive"

GOOD = """
from tidemark import Daily, asset, pipeline

@asset(partitions=Daily(start="2025-01-01"))
def numbers() -> str:
    return "1"

dag = pipeline("numbers", [numbers], schedule="0 6 * * *", owner="shop")
"""
BROKEN = GOOD.replace("def numbers() -> str", "def numbers(nosuch) -> str")


class Repository:
    """A bare repository with the hook, and a clone of it in which somebody works."""

    def __init__(self, folder: Path) -> None:
        self.bare, self.clone = folder / "bare.git", folder / "clone"
        command = folder / "tidemark"
        code = "import sys; from tidemark.cli import main; sys.exit(main())"
        command.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -c "{code}" "$@"\n')
        command.chmod(0o755)
        path = os.pathsep.join(each for each in sys.path if each)
        self._environ = {
            **os.environ,
            "PYTHONPATH": path,
            "TIDEMARK_HOOK_COMMAND": str(command),
            "GIT_CONFIG_GLOBAL": os.devnull,
            "SECRET_OF_THE_SERVER": "hunter2",
        }
        self._git("init", "-q", "--bare", "-b", "main", str(self.bare))
        self._git("clone", "-q", str(self.bare), str(self.clone))
        hook = self.bare / "hooks" / "pre-receive"
        hook.write_bytes(HOOK.read_bytes())
        hook.chmod(HOOK.stat().st_mode)

    def _git(self, *words: str) -> str:
        named = ["-c", "user.name=Ada", "-c", "user.email=ada@shop.test"]
        done = subprocess.run(["git", *named, *words], env=self._environ, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    def commit(self, *branch: str, **files: str) -> str:
        if branch:
            self._git("-C", str(self.clone), "checkout", "-q", "-B", *branch)
        for name, text in files.items():
            file = self.clone / name.replace("__", "/")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        self._git("-C", str(self.clone), "add", "-A")
        self._git("-C", str(self.clone), "commit", "-q", "-m", "a change")
        return self._git("-C", str(self.clone), "rev-parse", "HEAD")

    def stage(self, name: str, text: str) -> None:
        """Commit a file that need not be one that can be written."""
        blob = self.clone.parent / "blob"
        blob.write_text(text)
        made = self._git("-C", str(self.clone), "hash-object", "-w", str(blob))
        self._git("-C", str(self.clone), "update-index", "--add", "--cacheinfo", f"100644,{made},{name}")
        self._git("-C", str(self.clone), "commit", "-q", "-m", "a change")

    def push(self, *what: str) -> "subprocess.CompletedProcess[str]":
        command = ["git", "-C", str(self.clone), "push", "-q", "origin", *what]
        return subprocess.run(command, env=self._environ, capture_output=True, text=True)

    def has(self, ref: str) -> str | None:
        done = subprocess.run(
            ["git", "-C", str(self.bare), "rev-parse", "--verify", "-q", ref], capture_output=True, text=True
        )
        return done.stdout.strip() or None


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path)


def test_a_push_of_a_broken_file_is_refused_with_its_line_and_a_good_one_is_taken(repository: Repository) -> None:
    """What is checked is the commit that was pushed: what lies about in the clone, mended or broken, is not it."""
    repository.commit("main", **{"dags__numbers.py": BROKEN})
    (repository.clone / "dags" / "numbers.py").write_text(GOOD)
    refused = repository.push("main")
    assert refused.returncode != 0
    assert "numbers.py:4: numbers(): parameter 'nosuch' names no member of the pipeline" in refused.stderr
    assert "Nothing was taken: mend it, commit, and push again." in refused.stderr
    assert repository.has("main") is None
    good = repository.commit()
    (repository.clone / "dags" / "numbers.py").write_text(BROKEN)
    taken = repository.push("main")
    assert taken.returncode == 0, taken.stderr
    assert "all is well" in taken.stderr
    assert repository.has("main") == good


def test_what_cannot_be_checked_out_entirely_is_refused(repository: Repository) -> None:
    """As where a disk is full; here a file has a name that no disk takes, where Airflow could not put it either."""
    before = repository.commit("main", **{"dags__numbers.py": GOOD})
    assert repository.push("main").returncode == 0
    repository.stage(f"dags/{'a' * 300}.py", BROKEN)
    refused = repository.push("main")
    assert refused.returncode != 0
    assert "File name too long" in refused.stderr
    assert repository.has("main") == before


def test_what_the_pushed_attributes_leave_out_is_checked_too(repository: Repository) -> None:
    repository.commit("main", **{"dags__numbers.py": BROKEN, "dags__.gitattributes": "numbers.py export-ignore\n"})
    refused = repository.push("main")
    assert "numbers.py:4: numbers()" in refused.stderr
    assert repository.has("main") is None


def test_a_pushed_file_sees_no_secret_of_the_server(repository: Repository) -> None:
    telling = f"import os\nassert not set(os.environ) & {{'SECRET_OF_THE_SERVER', 'GIT_DIR'}}, 'seen'\n{GOOD}"
    repository.commit("main", **{"dags__numbers.py": telling})
    taken = repository.push("main")
    assert taken.returncode == 0, taken.stderr


def test_a_link_out_of_the_repository_is_refused_and_one_within_is_not(repository: Repository) -> None:
    """What it leads to would be the server's own."""
    repository.commit("main", **{"dags__numbers.py": GOOD, "shared__rules.py": "RATE = 2\n"})
    (repository.clone / "dags" / "shared").symlink_to("../shared")
    repository.commit()
    taken = repository.push("main")
    assert taken.returncode == 0, taken.stderr
    (repository.clone / "dags" / "all").symlink_to("/usr")
    repository.commit()
    refused = repository.push("main")
    assert refused.returncode != 0
    assert "dags/all: a link that leads out of the repository: take it away" in refused.stderr


def test_other_branches_and_tags_are_nobodys_business_and_a_branch_may_go(repository: Repository) -> None:
    repository.commit("sketch", **{"dags__numbers.py": BROKEN})
    assert repository.push("sketch", "sketch:refs/tags/main").returncode == 0
    assert repository.has("sketch")
    assert repository.push(":sketch").returncode == 0


def test_a_repository_without_the_folder_is_told_so(repository: Repository) -> None:
    repository.commit("main", readme="nothing\n")
    refused = repository.push("main")
    assert "there is no folder dags in it: TIDEMARK_HOOK_FOLDER names the folder of pipeline files" in refused.stderr


def test_the_pre_commit_hook_is_a_command_that_is_understood() -> None:
    (hook,) = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())
    program, *words = hook["entry"].split()
    assert program == "tidemark"
    assert build_parser().parse_args([*words, *hook["args"]]).folder == "dags"
    assert hook["pass_filenames"] is False
