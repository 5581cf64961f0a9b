"""What `check_folder` finds in a folder of files: each claim looks at one check of one folder with every mistake."""

import os
import textwrap
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from tidemark.checking import Checked, Finding, Rule, check_folder
from tidemark.checking.texts import HEAVY
from tidemark.errors import UsageError

ROOT = Path(__file__).parents[2]

WHOLE = '''
"""A pipeline with nothing wrong."""
import polars as pl
from tidemark import Calendar, Daily, asset, pipeline, source, trailing

{name}_in = source("{name}_in", files="{name}/{{partition}}.csv", partitions=Daily(), schema={{"item": str}},
                   expected=Calendar("MON-FRI"))

@asset(partitions=Daily(), inputs={{"{name}_in": trailing(days=2)}}, key=["item"])
def {name}_out({name}_in: pl.DataFrame) -> pl.DataFrame:
    import pandas
    return {name}_in

dag = pipeline("{name}", [{name}_in, {name}_out], schedule="0 6 * * *", owner="shop")
'''
SMALL = """
from tidemark import Daily, asset, pipeline, ref, trailing

@asset(partitions=Daily(start="2025-01-01"){options})
def {asset}({parameter}) -> str:
    return "x"

dag = pipeline("{name}", [{asset}], schedule="0 6 * * *", owner="shop")
"""


def small(name: str, *, options: str = "", parameter: str = "") -> str:
    return SMALL.format(name=name, asset=f"{name}_asset", options=options, parameter=parameter)


FILES = {
    "whole.py": WHOLE.format(name="whole"),
    "shares.py": "from rules import RATE\n" + small("shares"),
    "rules.py": "RATE = 2\n",
    "sub/deep.py": WHOLE.format(name="deep"),
    "plain.py": """
        import pandas as pd
        from airflow.sdk import DAG

        with DAG("plain"):
            pass
        """,
    "ignored.py": "raise RuntimeError('nobody looks into this')\n",
    ".hidden.py": "raise RuntimeError('nor into this')\n",
    "syntax.py": "x = 1\ny = (\n",
    "missing.py": "\nimport nosuchmodule\n",
    "raises.py": "x = 1\nx / 0\n",
    "exits.py": "import sys\nsys.exit(3)\n",
    "dies.py": "import os\nos._exit(4)\n",
    "loops.py": "while True: pass\n",
    "sleeps.py": """
        import subprocess, time
        subprocess.Popen(["sleep", "54321"])
        time.sleep(54321)
        """,
    "prints.py": "print('x' * 1_000_000)\n",
    "asks.py": "input()\n",
    "variable.py": "from airflow.sdk import Variable\nVariable.get('rate')\n",
    "cycle.py": """
        from airflow.sdk import DAG, task

        with DAG("cycle"):
            @task
            def one(): ...
            @task
            def two(): ...
            first, second = one(), two()
            first >> second >> first
        """,
    "heavy.py": """
        from typing import TYPE_CHECKING
        import os, mlflow.pyfunc
        if TYPE_CHECKING:
            import sklearn
        else:
            try:
                from scipy import stats
            except ImportError:
                pass
        def late():
            import optuna
        """.replace("mlflow.pyfunc", "mlflow.pyfunc as flow"),
    "secret.py": 'PASSWORD = "hunter2-and-more"\nTOKEN = "also-none-9f8e7d"  # pragma: allowlist secret\n',
    "cron.py": small("cron").replace("0 6 * * *", "every day"),
    "gate.py": small("gate", options=', gate="nosuch"'),
    "misfit.py": small("misfit", parameter="nosuch"),
    "nobody.py": small("nobody").replace(', owner="shop"', ""),
    "idle.py": WHOLE.format(name="idle").replace('schedule="0 6 * * *", ', ""),
    "manual.py": small("manual").replace('schedule="0 6 * * *", ', ""),
    "unheard.py": small("unheard").replace('schedule="0 6 * * *"', "on_arrival=True"),
    "personal.py": WHOLE.format(name="personal").replace('{"item": str}', '{"CustomerID": str, "email": str}'),
    "dismissed.py": "# not personal: CustomerID, email\n"
    + WHOLE.format(name="dismissed").replace('{"item": str}', '{"CustomerID": str, "email": str}'),
    "declared.py": WHOLE.format(name="declared").replace(
        '{"item": str}', '{"CustomerID": str, "email": str}, pii=["CustomerID", "email"]'
    ),
    "suited.py": WHOLE.format(name="suited").replace('schema={"item": str}', 'schema={"item": str}, gate="people"'),
    "twin_a.py": small("twin"),
    "twin_b.py": small("twin").replace("twin_asset", "other_asset"),
    "zz_claims.py": small("claims").replace("claims_asset", "whole_out"),
    "reads_wrong.py": small("reads_wrong", options=', inputs={"x": ref("whole_weeks")}', parameter="x"),
    "weeks.py": small("weeks")
    .replace("weeks_asset", "whole_weeks")
    .replace("Daily", "Weekly")
    .replace("-01-01", "-01-06"),
    "misspelt.py": small("misspelt", options=', inputs={"x": ref("whole_oot")}', parameter="x"),
    "elsewhere.py": small("elsewhere", options=', inputs={"x": ref("another_teams_thing")}', parameter="x"),
    "round_a.py": small("round_a", options=', inputs={"x": ref("round_b_asset")}', parameter="x"),
    "round_b.py": small("round_b", options=', inputs={"x": ref("round_a_asset")}', parameter="x"),
}
SUITES = {
    "people": '{"name": "people", "expectations": [{"type": "expect_column_values_to_not_be_null", '
    '"kwargs": {"column": "phone"}}]}',
    "unused": '{"name": "unused", "expectations": [}',
}


@pytest.fixture(scope="module")
def checked(tmp_path_factory: pytest.TempPathFactory) -> Checked:
    """A folder with every mistake, checked once."""
    folder = tmp_path_factory.mktemp("repository") / "dags"
    for name, text in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(textwrap.dedent(text))
    (folder / ".airflowignore").write_text("ignored.py\n")
    (folder / "latin.py").write_bytes(b"# a comment\n# caf\xe9\n")
    (folder / "astray.py").symlink_to("nowhere.py")
    (folder / "linked").symlink_to(folder.parent / "shared")
    (folder.parent / "shared").mkdir()
    (folder.parent / "shared" / "linked_in.py").write_text("import nosuchthing\n")
    (folder.parent / "expectations").mkdir()
    for name, text in SUITES.items():
        (folder.parent / "expectations" / f"{name}.json").write_text(text)
    before = {each for each in folder.parent.rglob("*")}
    found = check_folder(folder, limit=12)
    assert {each for each in folder.parent.rglob("*")} == before, "a check left something behind"
    return found


Of = Callable[[str], list[Finding]]


@pytest.fixture
def of(checked: Checked) -> Of:
    """The findings of one file."""
    return lambda name: [each for each in checked.findings if each.file == checked.folder / name]


def only(findings: list[Finding]) -> Finding:
    (found,) = findings
    return found


@pytest.mark.parametrize(
    "name",
    [
        *("whole.py", "shares.py", "rules.py", "sub/deep.py", "ignored.py", ".hidden.py", "dismissed.py"),
        *("declared.py", "elsewhere.py", "weeks.py"),
    ],
)
def test_what_is_well_or_is_not_looked_into_has_no_finding(of: Of, name: str) -> None:
    assert of(name) == []


@pytest.mark.parametrize(
    ("name", "line", "rule", "said"),
    [
        ("syntax.py", 2, Rule.SYNTAX, "is no Python: '(' was never closed"),
        ("latin.py", 2, Rule.ENCODING, "save the file as UTF-8"),
        ("astray.py", None, Rule.ENCODING, "a link that points nowhere: take it away"),
        ("linked/linked_in.py", 1, Rule.IMPORT, "No module named 'nosuchthing'"),
        ("missing.py", 2, Rule.IMPORT, "No module named 'nosuchmodule'; put the module into this folder"),
        ("raises.py", 2, Rule.IMPORT, "ZeroDivisionError: division by zero; mend it"),
        ("exits.py", 2, Rule.IMPORT, "ends Python as it is imported (exit code 3)"),
        ("dies.py", None, Rule.IMPORT, "ended Python as it was imported (exit code 4)"),
        ("loops.py", None, Rule.IMPORT, "was still being imported after 12 seconds"),
        ("sleeps.py", None, Rule.IMPORT, "was still being imported after 12 seconds"),
        ("asks.py", 1, Rule.IMPORT, "EOFError"),
        ("variable.py", 2, Rule.IMPORT, "read it within a task"),
        ("cycle.py", None, Rule.IMPORT, "ycle"),
        ("cron.py", 8, Rule.DEFINITION, "'every day' is no cron expression: write five fields"),
        ("gate.py", 4, Rule.DEFINITION, "gate 'nosuch': there is no suite"),
        ("misfit.py", 4, Rule.DEFINITION, "parameter 'nosuch' names no member of the pipeline"),
        ("nobody.py", 4, Rule.OWNER, "nobody_asset has no owner"),
        ("idle.py", 14, Rule.SCHEDULE, "idle_in is expected at times, but nothing starts a run"),
        (
            "personal.py",
            6,
            Rule.PII,
            "add pii=['CustomerID', 'email']; if it is none, write a comment '# not personal: ",
        ),
        ("suited.py", 6, Rule.PII, "phone looks like personal data"),
        ("zz_claims.py", 4, Rule.NAME, "the name 'whole_out' is also claimed by pipeline"),
        ("reads_wrong.py", 4, Rule.DEFINITION, "input 'x':"),
        ("secret.py", 1, Rule.SECRET, "Secret Keyword"),
        ("../expectations/unused.json", None, Rule.GATE, "not JSON"),
    ],
)
def test_each_mistake_is_one_error_in_its_line(
    checked: Checked, of: Of, name: str, line: int | None, rule: Rule, said: str
) -> None:
    found = only(of(name) or [each for each in checked.findings if each.text(checked.folder).startswith(name)])
    assert (found.line, found.rule, found.warning) == (line, rule, False)
    assert said in found.said
    assert ":" in found.said or ";" in found.said, "it names no mend"


@pytest.mark.parametrize(
    ("name", "line", "rule", "said"),
    [
        ("plain.py", 2, Rule.HEAVY, "imports pandas at module level"),
        ("prints.py", None, Rule.OUTPUT, "prints as it is imported"),
        ("manual.py", 8, Rule.SCHEDULE, "neither schedule= nor on_arrival=True"),
        ("unheard.py", 8, Rule.SCHEDULE, "runs on arrival only"),
        ("misspelt.py", 4, Rule.DEFINITION, "did you mean 'whole_out'?"),
    ],
)
def test_what_may_be_meant_is_a_warning(of: Of, name: str, line: int | None, rule: Rule, said: str) -> None:
    found = only(of(name))
    assert (found.line, found.rule, found.warning) == (line, rule, True)
    assert said in found.said


def test_only_what_runs_at_import_counts_as_a_heavy_import(of: Of) -> None:
    assert [(each.line, each.said.split()[1]) for each in of("heavy.py") if each.rule is Rule.HEAVY] == [
        (3, "mlflow"),
        (8, "scipy"),
    ]


def test_what_ruff_bans_from_our_own_files_is_heavy_for_everybody() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    banned = project["tool"]["ruff"]["lint"]["flake8-tidy-imports"]["banned-module-level-imports"]
    assert set(banned) - {"moto"} <= HEAVY  # which only our tests have


def test_a_secret_is_never_told(checked: Checked) -> None:
    assert "hunter2" not in "\n".join(each.text(checked.folder) for each in checked.findings)


def test_a_secret_that_an_exception_quotes_is_not_told_either(tmp_path: Path) -> None:
    (tmp_path / "asks.py").write_text("raise OSError('no answer from postgresql://ada:hunter2@db/x')\n")
    said = [each.said for each in check_folder(tmp_path).findings]
    assert any("no answer from postgresql://ada:***@db/x" in each for each in said), said
    assert "hunter2" not in "".join(said)


def test_two_files_with_a_pipeline_of_one_name_are_both_told(of: Of) -> None:
    assert "twin_b.py defines a pipeline of this name too: rename one" in only(of("twin_a.py")).said
    assert "twin_a.py defines a pipeline of this name too: rename one" in only(of("twin_b.py")).said


def test_a_circle_across_pipelines_is_told_once(of: Of) -> None:
    found = only(of("round_a.py") + of("round_b.py"))
    assert "a circle across pipelines: take one of these inputs away" in found.said


def test_findings_are_sorted_and_say_where(checked: Checked) -> None:
    files = [str(each.file) for each in checked.findings]
    assert files == sorted(files)
    assert "gate.py:4: gate_asset(): gate 'nosuch': " in "\n".join(
        each.text(checked.folder) for each in checked.findings
    )
    assert "whole" in checked.pipelines
    assert 0 < checked.seconds[checked.folder / "whole.py"] < 2


def test_what_an_import_has_started_is_ended_with_it(checked: Checked) -> None:
    commands = [each.read_bytes() for each in Path("/proc").glob("[0-9]*/cmdline") if os.access(each, os.R_OK)]
    assert not [each for each in commands if each == b"sleep\x0054321\x00"]


def test_our_own_pipelines_have_no_finding() -> None:
    checked = check_folder(ROOT / "dags")
    assert checked.findings == ()
    assert set(checked.pipelines) == {"price_list", "demand_model", "demand_monitoring", "business_report"}


def test_a_folder_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "round").mkdir()
    (tmp_path / "round" / "again").symlink_to(tmp_path / "round")
    file = tmp_path / "file.py"
    file.touch()
    for folder, said in {
        "nowhere": "is not there: name a folder",
        "file.py": "is a file: name the folder",
        "empty": "has no Python file",
        "round": "go in a circle",
    }.items():
        with pytest.raises(UsageError, match=said):
            check_folder(tmp_path / folder)


def test_what_costs_more_than_the_budget_is_an_error_and_waiting_costs_nothing(tmp_path: Path) -> None:
    """Seconds of CPU are counted, which a busy machine does not change."""
    loop = "import time\nbegun = time.process_time()\nwhile time.process_time() < begun + 1: pass\n"
    (tmp_path / "costly.py").write_text(loop)
    (tmp_path / "waits.py").write_text("import time\ntime.sleep(1.5)\n")
    checked = check_folder(tmp_path, budget=0.9)
    found = only(list(checked.findings))
    assert (found.file.name, found.line, found.rule) == ("costly.py", None, Rule.BUDGET)
    assert "seconds of CPU to import; the budget is 0.9" in found.said


def test_settings_and_connections_of_who_checks_are_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No ledger is opened, no settings of production are read, no Airflow home is made."""
    monkeypatch.setenv("TIDEMARK_LEDGER_URL", "postgresql://nobody@127.0.0.1:1/none")
    monkeypatch.setenv("TIDEMARK_FOUR_EYES", "perhaps")
    monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", "postgresql://nobody@127.0.0.1:1/none")
    (tmp_path / "dags").mkdir()
    (tmp_path / "dags" / "whole.py").write_text(WHOLE.format(name="whole"))
    assert check_folder(tmp_path / "dags").findings == ()
    assert not (tmp_path / "home").exists()
