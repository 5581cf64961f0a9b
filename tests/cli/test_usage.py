"""Claims about the command as such: help, exit codes, and what a newcomer types wrongly."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import sqlalchemy as sa

from tests.cli.conftest import AS_OF, DAYS, Command, process
from tests.scenario import Shop
from tests.servers import free_port
from tidemark.cli import looking
from tidemark.ledger import Ledger
from tidemark.ledger.database import SCHEMA_VERSION
from tidemark.ledger.schema import metadata

COMMANDS = [
    "plan",
    "run",
    "read",
    "explain",
    "history",
    "sql",
    "status",
    "config",
    "absent",
    "hold",
    "release-hold",
    "restore",
    "db",
    "backup",
]


def rows(shop: Shop) -> dict[str, int]:
    """How many rows each table of the ledger has."""
    with shop.deployment() as deployment, deployment.ledger.read() as connection:
        count = sa.func.count()
        return {
            table.name: connection.execute(sa.select(count).select_from(table)).scalar_one()
            for table in metadata.sorted_tables
        }


def test_the_installed_command_is_this_one() -> None:
    text = (Path(__file__).parents[2] / "pyproject.toml").read_text()
    assert 'tidemark = "tidemark.cli:main"' in text


def test_without_a_command_it_shows_them_all_and_says_where_settings_are(tidemark: Command) -> None:
    done = tidemark()
    assert done.code == 2
    for name in COMMANDS:
        assert f"    {name} " in done.err or f"    {name}\n" in done.err
    assert "'tidemark config' shows them" in done.err


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(tidemark: Command, name: str) -> None:
    words = [name, {"db": "upgrade", "backup": "make"}[name]] if name in ("db", "backup") else [name]
    done = tidemark(*words, "--help")
    assert done.code == 0
    assert done.out.startswith(f"usage: tidemark {' '.join(words)}")
    assert "--json" in done.out


def test_it_knows_its_version(tidemark: Command) -> None:
    assert tidemark("--version").out.startswith("tidemark ")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["rnu"], "invalid choice: 'rnu'"),
        (["run"], "required: PIPELINE"),
        (["run", "shop", "--forse", "x"], "--forse"),
        (["explain", "lines"], "required: PARTITION"),
        (["diff", "lines"], "required: PARTITION\n"),
        (["hold", "lines"], "required: --why"),
        (["absent", "orders", DAYS[0]], "required: --why"),
        (["read", "lines", "--format", "xls"], "invalid choice: 'xls'"),
        (["db"], "required: COMMAND"),
        (["run", "shopp"], "no pipeline 'shopp': did you mean 'shop'?"),
        (["run", "zzz"], "there are shop"),
        (["run", "shop", "--as-of", "yesterday"], "--as-of='yesterday' is no instant: write 2011-07-01T06:00+01:00"),
        (["run", "shop", "--as-of", "2025-01-08T06:00"], "has no zone"),
        (["run", "shop", "--from", "5.1.2025"], "--from='5.1.2025' is no day: write it as 2011-01-05"),
        (["run", "shop", "--to", "2025-1"], "--to='2025-1' is no day"),
        (["run", "shop", "--from", DAYS[1], "--to", DAYS[0]], "lies after --to"),
        (["run", "shop", "--force", "line"], "no asset 'line': did you mean 'lines'?"),
        (["run", "shop", "--force", "orders"], "'orders' is a source: it is delivered, not computed"),
        (["run", "shop", "--force", "lines:5"], "'5' is no daily partition: use a key such as '2011-01-05'"),
        (["run", "shop", "--confirm-withdrawals", "lines"], "'lines' is computed, not delivered: name one of orders"),
        (["run", "shop", "--plan", "nowhere.json"], "--plan nowhere.json: No such file"),
        (["run", "shop", "--plan", "x", "--force", "lines"], "leave these out"),
        (["read", "line", DAYS[0]], "no asset 'line': did you mean 'lines'?"),
        (["read", "lines", "7.1.2025"], "use a key such as '2011-01-05'"),
        (["read", "lines", "2030-01-01"], "'tidemark explain lines 2030-01-01' says why"),
        (["explain", "line", DAYS[0]], "no pipeline defines 'line': did you mean 'lines'?"),
        (["history", "lines", "x"], "use a key such as '2011-01-05'"),
        (["sql", "SELECT * FROM line"], "there is no asset 'line': did you mean 'lines'?"),
        (["sql", "SELECT cost FROM lines"], '"cost" not found'),
        (["sql", "SELEC 1"], "syntax error"),
        (["sql", "DROP VIEW lines"], "what is live cannot be changed"),
        (["sql", "SELECT 1; SELECT 2"], "write one query"),
        (["sql", ""], "write one query"),
        (["sql", "SELECT 'x'::INT"], "Could not convert"),
        (["sql", "SELECT * FROM label"], "label is no table: its function returns text or bytes"),
        (["absent", "lines", DAYS[0], "--why", "x"], "'lines' is computed, not delivered: name one of orders"),
        (["absent", "orders", DAYS[0], "--why", " "], "--why is empty"),
        (["hold", "orders", "--why", "x"], "'orders' is a source"),
        (["hold", "lines", "x", "--why", "x"], "use a key such as '2011-01-05'"),
        (["hold", "lines", "--why", ""], "--why is empty"),
        (["release-hold", "line", "--why", "x"], "did you mean 'lines'?"),
        (["restore", "lines", DAYS[0], "", "--why", "x"], "'' is no version: give its first characters, 4 at least"),
        (["restore", "lines", DAYS[0], "zzzz", "--why", "x"], "'zzzz' is no version"),
        (["restore", "lines", DAYS[0], "0000", "--why", "x"], "no version begins with '0000'; there are: "),
        (["restore", "lines", "2030-01-01", "0000", "--why", "x"], "no version begins with '0000'; there are: none"),
        (["restore", "orders", DAYS[0], "0000", "--why", "x"], "'orders' is a source"),
    ],
)
def test_what_is_typed_wrongly_is_answered_with_what_is_right(
    standing: Shop, look: Command, words: list[str], says: str
) -> None:
    """On standard error, with exit code 2 and no traceback; nothing is written down."""
    before = rows(standing)
    done = look(*words)
    assert (done.code, done.out) == (2, ""), done
    assert says in done.err
    assert "Traceback" not in done.err
    assert rows(standing) == before


def test_a_misspelt_variable_is_told_by_every_command(
    open_shop: Shop, tidemark: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TIDEMARK_LEDGER", "postgresql://elsewhere")
    assert "TIDEMARK_LEDGER is no setting and was ignored: did you mean TIDEMARK_LEDGER_URL?" in tidemark("status").err


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("TIDEMARK_AS_OF", "yesterday", ["status"]),
        ("TIDEMARK_AS_OF", "yesterday", ["run", "shop", "--json"]),
        ("TIDEMARK_ENVIRONMENT", "a b", ["config"]),
        ("TIDEMARK_LEDGER_URL", "mysql://elsewhere", ["status"]),
        ("TIDEMARK_LEDGER_URL", "://", ["db", "upgrade"]),
        ("TIDEMARK_STORE_URL", "gs://bucket", ["read", "lines"]),
        ("TIDEMARK_STORE_URL", "s3://", ["sql", "SELECT * FROM lines"]),
        ("TIDEMARK_LANDING_URL", "bogus://here", ["plan", "shop", "--as-of", AS_OF]),
        ("TIDEMARK_DAGS", "/nowhere", ["explain", "lines", DAYS[0]]),
    ],
)
def test_a_setting_that_cannot_be_is_an_error_of_usage(
    look: Command, monkeypatch: pytest.MonkeyPatch, name: str, value: str, words: list[str]
) -> None:
    monkeypatch.setenv(name, value)
    done = look(*words)
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("tidemark: ")
    assert len(done.err.splitlines()) == 1


def test_a_folder_of_pipelines_that_is_not_there_is_named(tidemark: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIDEMARK_DAGS", "/nowhere")
    done = tidemark("run", "shop")
    assert (done.code, done.err) == (
        2,
        "tidemark: there is no folder /nowhere: name the folder of pipeline files in TIDEMARK_DAGS\n",
    )


def test_a_file_with_an_error_is_named_where_its_pipeline_is_looked_for(open_shop: Shop, tidemark: Command) -> None:
    (open_shop.dags / "bad.py").write_text("import tidemark\nDaily()")
    done = tidemark("run", "other")
    assert done.code == 2
    assert "bad.py: NameError: name 'Daily' is not defined (line 2)" in done.err
    assert "bad.py cannot be used: NameError" in tidemark("status").out
    assert tidemark("run", "shop", "--as-of", AS_OF).code == 0


def test_a_pipeline_that_cannot_be_is_an_error_of_usage_and_shown_beside_the_others(
    open_shop: Shop, tidemark: Command
) -> None:
    """It claims a name that another pipeline owns."""
    text = (open_shop.dags / "shop.py").read_text()
    (open_shop.dags / "rival.py").write_text(text.replace("pipeline('shop'", "pipeline('rival'"))
    done = tidemark("run", "rival")
    assert done.code == 2
    assert "rival.py:7: source('orders'): the name 'orders' belongs to the pipeline 'shop'" in done.err
    state = tidemark.json("status")
    assert list(state["pipelines"]) == ["shop"]
    assert "belongs to the pipeline 'shop'" in state["problems"]["rival"]


# -- what cannot be reached


def test_a_ledger_of_another_schema_is_refused_by_every_command(open_shop: Shop, tidemark: Command) -> None:
    ledger = Ledger(open_shop.ledger_url)
    with ledger.write() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    for words in (["status"], ["run", "shop"], ["db", "upgrade"], ["sql", "SELECT 1"], ["hold", "lines", "--why", "x"]):
        done = tidemark(*words)
        assert (done.code, done.out) == (1, "")
        assert "newer than this Tidemark's" in done.err
    with ledger.write() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '0000'"))
    assert "then 'tidemark db upgrade'" in tidemark("status").err


def test_a_ledger_elsewhere_is_made_by_db_upgrade_and_not_by_chance(
    tidemark: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TIDEMARK_LEDGER_URL", f"sqlite:///{tmp_path / 'memory.db'}")
    done = tidemark("status")
    assert done.code == 1
    assert "run 'tidemark db upgrade'" in done.err
    assert tidemark("db", "upgrade").out == f"the ledger is at schema {SCHEMA_VERSION} (was empty)\n"
    assert tidemark.json("db", "upgrade") == {"before": SCHEMA_VERSION, "after": SCHEMA_VERSION}
    assert tidemark("status").code == 0


def test_the_embedded_ledger_is_made_at_its_first_use(
    tidemark: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TIDEMARK_HOME", str(tmp_path / "new"))
    monkeypatch.delenv("TIDEMARK_LEDGER_URL")
    assert tidemark("config").code == 0
    assert not (tmp_path / "new").exists()
    assert tidemark("status").code == 0
    assert (tmp_path / "new" / "ledger.db").exists()


def test_what_cannot_be_reached_is_exit_code_1_without_its_password(
    tidemark: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TIDEMARK_LEDGER_URL", f"postgresql://ada:hunter2@127.0.0.1:{free_port()}/ledger")
    done = tidemark("status")
    assert done.code == 1
    assert "cannot be used" in done.err
    assert "hunter2" not in done.err


def test_a_landing_zone_that_is_not_mounted_is_exit_code_1(
    open_shop: Shop, tidemark: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TIDEMARK_LANDING_URL", str(open_shop.home / "unmounted"))
    done = tidemark("run", "shop", "--as-of", AS_OF)
    assert done.code == 1
    assert "Is it mounted" in done.err


def test_a_connection_of_airflow_opens_the_landing_zone(
    open_shop: Shop, tidemark: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TIDEMARK_LANDING_CONNECTION", "nowhere")
    monkeypatch.setenv("TIDEMARK_LANDING_URL", "s3://bucket/in")
    done = tidemark("run", "shop", "--as-of", AS_OF)
    assert done.code == 1
    assert "nothing of a connection 'nowhere', which TIDEMARK_LANDING_CONNECTION names" in done.err


# -- a terminal and a pipe


def test_ctrl_c_is_one_line_and_exit_code_1(tidemark: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(options: object) -> None:
        """Somebody presses Ctrl-C."""
        raise KeyboardInterrupt

    monkeypatch.setattr(looking, "status", interrupted)
    done = tidemark("status")
    assert (done.code, done.err) == (
        1,
        "tidemark: stopped; what was finished is published, and the next run goes on from there\n",
    )


@pytest.mark.parametrize("words", [["read", "lines"], ["read", "lines", "--json"], ["status"]])
def test_who_stops_reading_stops_nothing_else(standing: Shop, words: list[str]) -> None:
    """As in `tidemark read lines | head`: no traceback, and the exit code of the command itself."""
    script = "import sys; from tidemark.cli import main; sys.exit(main())"
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = subprocess.run(
            [sys.executable, "-c", script, *words],
            env=os.environ | standing.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
            stdout=writer,
            stderr=subprocess.PIPE,
            text=True,
        )
    finally:
        os.close(writer)
    assert (done.returncode, done.stderr) == (0, "")


def test_what_is_printed_needs_no_unicode(standing: Shop) -> None:
    """Tables are drawn with what the terminal's encoding has, and data is escaped in JSON."""
    for words in (["status"], ["sql", "SELECT * FROM lines", "--json"], ["read", "label", DAYS[0], "--json"]):
        done = process(standing, *words, PYTHONIOENCODING="ascii")
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.isascii()
