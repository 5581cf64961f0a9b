"""`tidemark check` as a person, CI and a hook ask it."""

import re
from pathlib import Path

import pytest

from tests.cli.conftest import Command

ROOT = Path(__file__).parents[2]
MANUAL = """
from tidemark import asset, pipeline

@asset()
def answer() -> str:
    return "42"

dag = pipeline("answer", [answer]{options})
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "files"
    made.mkdir()
    return made


def test_a_warning_fails_only_where_it_is_asked_to(folder: Path, tidemark: Command) -> None:
    (folder / "answer.py").write_text(MANUAL.format(options=', owner="shop"'))
    done = tidemark("check", str(folder))
    said = (
        "answer.py:8: warning: pipeline('answer') has neither schedule= nor on_arrival=True: it runs only when a person"
    )
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith(said)
    assert re.search(r"\n1 file, 1 pipeline, \d\.\d seconds of CPU to import: 0 errors, 1 warning\n$", done.out)
    strict = tidemark("check", str(folder), "--strict")
    assert (strict.code, strict.out) == (1, strict.out)
    assert strict.out.startswith(said)


def test_as_data_each_finding_has_its_place_and_its_rule(folder: Path, tidemark: Command) -> None:
    (folder / "sub").mkdir()
    (folder / "sub" / "answer.py").write_text(MANUAL.format(options=', schedule="0 6 * * *"'))
    done = tidemark("check", str(folder), "--json", "--budget", "0.0001")
    assert done.code == 1
    assert done.err == "tidemark: 2 errors, 0 warnings\n"
    assert (done.data["ok"], done.data["pipelines"], list(done.data["seconds"])) == (
        False,
        ["answer"],
        ["sub/answer.py"],
    )
    budget, owner = done.data["findings"]
    assert (budget["file"], budget["line"], budget["severity"], budget["rule"]) == (
        "sub/answer.py",
        None,
        "error",
        "budget",
    )
    assert owner == {
        "file": "sub/answer.py",
        "line": 4,
        "severity": "error",
        "rule": "owner",
        "message": "answer has no owner, so that nobody is asked about it: give pipeline(..., owner='...')",
    }


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nowhere"], "nowhere is not there: name a folder of DAGs"),
        (["."], "has no Python file that Airflow would look into"),
        ([".", "--budget", "0"], "'0' is no time: seconds, more than 0"),
        ([".", "--timeout", "soon"], "'soon' is no time: seconds, more than 0"),
        ([], "the following arguments are required: DAGS_FOLDER"),
    ],
)
def test_what_cannot_be_checked_is_a_question_of_usage(
    folder: Path, tidemark: Command, monkeypatch: pytest.MonkeyPatch, words: list[str], said: str
) -> None:
    monkeypatch.chdir(folder)
    done = tidemark("check", *words)
    assert done.code == 2
    assert said in done.err


def test_the_scientists_page_shows_what_is_said(folder: Path, tidemark: Command) -> None:
    page = (ROOT / "docs/scientist.md").read_text()
    example = re.search(r"<!-- runs: (\S+) -->\n```python\n(.*?)```", page, re.S)
    shown = re.search(r"```text\n(.*?) +```", page.partition("## Push it")[2], re.S)
    assert example
    assert shown
    (folder / example[1]).write_text(example[2].replace(', owner="sales"', ""))
    said = re.sub(r"\d\.\d seconds", "0.2 seconds", tidemark("check", str(folder)).out)
    assert said.split() == shown[1].split()
