"""Claims about settings: where everything is, how instants are written, and what is never shown."""

import os
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tidemark.assets import Pipeline
from tidemark.config import expectations_of, git_commit, misspelt, parse_instant, person, settings
from tidemark.errors import UsageError


def test_without_a_variable_everything_is_in_one_folder_of_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    given = settings({})
    home = tmp_path / ".tidemark"
    assert given.home == home
    assert given.ledger_url == f"sqlite:///{home}/ledger.db"
    assert given.embedded
    assert given.store_url == f"{home}/store"
    assert given.landing_url == f"{home}/landing"
    assert given.data_docs == home / "data_docs"
    assert given.cache == home / "cache"
    assert given.environment == "prod"
    assert given.dags == tmp_path / "dags"
    assert given.expectations is None
    assert given.landing_connection is None
    assert given.as_of is None
    assert given.alerts is None
    assert not home.exists()


def test_each_place_can_be_given_by_itself(tmp_path: Path) -> None:
    given = settings(
        {
            "TIDEMARK_HOME": str(tmp_path),
            "TIDEMARK_LEDGER_URL": "postgresql://u:p@host/ledger",
            "TIDEMARK_STORE_URL": "s3://bucket/store",
            "TIDEMARK_LANDING_URL": "sftp://u:p@host/landing",
            "TIDEMARK_LANDING_CONNECTION": "deliveries",
            "TIDEMARK_ENVIRONMENT": "branch-1",
            "TIDEMARK_DAGS": str(tmp_path / "d"),
            "TIDEMARK_EXPECTATIONS": str(tmp_path / "e"),
            "TIDEMARK_AS_OF": "2011-07-01T06:00 Europe/London",
        }
    )
    assert not given.embedded
    assert (given.ledger_url, given.store_url) == ("postgresql://u:p@host/ledger", "s3://bucket/store")
    assert (given.landing_url, given.landing_connection) == ("sftp://u:p@host/landing", "deliveries")
    assert (given.dags, given.expectations) == (tmp_path / "d", tmp_path / "e")
    assert given.as_of == datetime(2011, 7, 1, 5, tzinfo=UTC)


def test_a_ledger_may_be_given_as_a_folder(tmp_path: Path) -> None:
    given = settings({"TIDEMARK_HOME": str(tmp_path / "home"), "TIDEMARK_LEDGER_URL": str(tmp_path / "memory")})
    assert given.ledger_url == f"sqlite:///{tmp_path}/memory/ledger.db"
    assert not given.embedded


def test_an_empty_variable_counts_as_none() -> None:
    assert settings({"TIDEMARK_ENVIRONMENT": "", "TIDEMARK_AS_OF": ""}) == settings({})


def test_what_is_shown_names_the_variables_and_hides_every_secret() -> None:
    shown = settings(
        {
            "TIDEMARK_HOME": "/srv/tidemark",
            "TIDEMARK_LEDGER_URL": "postgresql://u:hunter2@host/ledger?sslpassword=hunter3",
            "TIDEMARK_LANDING_URL": "sftp://u:p@ss/hunter4@host/landing",
            "TIDEMARK_AS_OF": "2011-07-01T06:00Z",
        }
    ).shown()
    assert shown == {
        "TIDEMARK_HOME": "/srv/tidemark",
        "TIDEMARK_LEDGER_URL": "postgresql://u:***@host/ledger?sslpassword=***",
        "TIDEMARK_STORE_URL": "/srv/tidemark/store",
        "TIDEMARK_LANDING_URL": "sftp://u:***@host/landing",
        "TIDEMARK_LANDING_CONNECTION": None,
        "TIDEMARK_ENVIRONMENT": "prod",
        "TIDEMARK_DAGS": str(Path("dags").absolute()),
        "TIDEMARK_EXPECTATIONS": None,
        "TIDEMARK_AS_OF": "2011-07-01T06:00:00+00:00",
        "TIDEMARK_APPROVERS": None,
        "TIDEMARK_PEOPLE": None,
        "TIDEMARK_FOUR_EYES": "on",
        "TIDEMARK_ALERTS": None,
    }


@pytest.mark.parametrize("name", ["", "my branch", "a/b", "a.b"])
def test_an_environments_name_is_letters_digits_dash_and_underscore(name: str) -> None:
    if not name:
        assert settings({"TIDEMARK_ENVIRONMENT": name}).environment == "prod"
        return
    with pytest.raises(UsageError, match="TIDEMARK_ENVIRONMENT"):
        settings({"TIDEMARK_ENVIRONMENT": name})


# -- instants


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2011-07-01T06:00+01:00", datetime(2011, 7, 1, 5, tzinfo=UTC)),
        ("2011-07-01T06:00 Europe/London", datetime(2011, 7, 1, 5, tzinfo=UTC)),
        ("2011-07-01 06:00 Europe/London", datetime(2011, 7, 1, 5, tzinfo=UTC)),
        ("2011-01-01T06:00 Europe/London", datetime(2011, 1, 1, 6, tzinfo=UTC)),
        (" 2011-07-01T06:00:30.5Z ", datetime(2011, 7, 1, 6, 0, 30, 500_000, tzinfo=UTC)),
        ("2011-07-01 06:00Z", datetime(2011, 7, 1, 6, tzinfo=UTC)),
        ("2011-07-01T06:00 UTC", datetime(2011, 7, 1, 6, tzinfo=UTC)),
        # A time that the clock skips moves forward past the gap; of one that comes twice the first counts.
        ("2011-03-27T01:30 Europe/London", datetime(2011, 3, 27, 1, 30, tzinfo=UTC)),
        ("2011-10-30T01:30 Europe/London", datetime(2011, 10, 30, 0, 30, tzinfo=UTC)),
    ],
)
def test_an_instant_is_written_with_its_offset_or_with_its_zone(text: str, instant: datetime) -> None:
    assert parse_instant(text) == instant
    assert parse_instant(text).tzinfo == UTC


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("yesterday", "is no instant"),
        ("", "is no instant"),
        ("2011-07-01", "has no time of day"),
        ("2011-07-01 Europe/London", "has no time of day"),
        ("2011-07-01T06:00", "has no zone"),
        ("2011-07-01T06:00+01:00 Europe/London", "has two zones"),
        ("2011-07-01T06:00 London", "No time zone found"),
        ("2011-07-01T06:00 ../../etc/passwd", "is no instant"),
        ("2011-13-01T06:00Z", "month must be in"),
        ("2011-07-01T25:00Z", "hour must be in"),
        ("0001-01-01T00:00+14:00", "out of range"),
        ("9999-12-31T23:00-12:00", "out of range"),
        ("01/07/2011 06:00 Europe/London", "is no instant"),
    ],
)
def test_what_is_no_instant_is_refused_with_two_that_are(text: str, problem: str) -> None:
    with pytest.raises(UsageError, match=problem) as refusal:
        parse_instant(text, "--as-of")
    assert "2011-07-01T06:00+01:00 or '2011-07-01T06:00 Europe/London'" in str(refusal.value)
    assert str(refusal.value).startswith("--as-of=")


def test_a_bad_as_of_variable_is_named() -> None:
    with pytest.raises(UsageError, match="TIDEMARK_AS_OF='now'"):
        settings({"TIDEMARK_AS_OF": "now"})


# -- the rest


def test_a_misspelt_variable_is_told_and_others_are_let_be() -> None:
    """In Kubernetes a service called tidemark brings variables of its own."""
    known = dict.fromkeys(settings({}).shown(), "x")
    assert misspelt(known) == []
    assert misspelt({"TIDEMARK_SERVICE_HOST": "10.0.0.1", "TIDEMARK_PORT": "tcp://", "HOME": "/root"}) == []
    assert misspelt({"TIDEMARK_HOEM": "/srv", "TIDEMARK_STORE": "s3://b"}) == [
        "TIDEMARK_HOEM is no setting and was ignored: did you mean TIDEMARK_HOME?",
        "TIDEMARK_STORE is no setting and was ignored: did you mean TIDEMARK_STORE_URL?",
    ]


def test_suites_are_in_the_folder_expectations_nearest_above_the_pipelines_file(tmp_path: Path) -> None:
    file = tmp_path / "shop" / "dags" / "more" / "orders.py"
    file.parent.mkdir(parents=True)
    made = Pipeline("p", (), (), file=file)
    given = settings({"TIDEMARK_HOME": str(tmp_path)})
    assert expectations_of(given, made) == file.parent / "expectations"
    (tmp_path / "expectations").mkdir()
    assert expectations_of(given, made) == tmp_path / "expectations"
    (tmp_path / "shop" / "expectations").mkdir()
    assert expectations_of(given, made) == tmp_path / "shop" / "expectations"
    chosen = settings({"TIDEMARK_EXPECTATIONS": str(tmp_path / "other")})
    assert expectations_of(chosen, made) == tmp_path / "other"


def test_who_acts_is_the_account_unless_a_variable_says_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIDEMARK_ACTOR", "ada")
    assert person() == "ada"
    monkeypatch.delenv("TIDEMARK_ACTOR")
    monkeypatch.setenv("LOGNAME", "grace")
    assert person() == "grace"
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("pwd.getpwuid", lambda uid: {}[uid])  # a container's account has no name
    assert person() == f"uid {os.getuid()}"


def test_the_commit_of_a_folder_is_known_and_whether_it_was_changed_since(tmp_path: Path) -> None:
    assert git_commit(tmp_path) == (None, None)
    clean, dirty = tmp_path / "clean", tmp_path / "dirty"
    for folder in (clean, dirty):
        folder.mkdir()
        (folder / "a").write_text("1")
        for command in (["init", "-q"], ["add", "a"], ["commit", "-qm", "first"]):
            identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
            subprocess.run(["git", "-C", str(folder), *identity, *command], check=True, capture_output=True)
    (dirty / "a").write_text("2")
    commit, changed = git_commit(clean)
    assert commit is not None
    assert len(commit) == 40
    assert (changed, git_commit(dirty)[1]) == (False, True)
