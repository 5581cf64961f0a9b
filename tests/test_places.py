"""Places: what of a URL may be seen, and questions that hang."""

import contextvars
import time
from pathlib import Path

import pytest

from tidemark.errors import Unavailable, UsageError
from tidemark.places import local_folder, redact, scrub, secrets, within


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("/data/landing", "/data/landing"),
        ("s3://bucket/prefix", "s3://bucket/prefix"),
        ("sftp://alice@host:22/in", "sftp://alice@host:22/in"),
        ("sftp://alice:secret@host:22/in", "sftp://alice:***@host:22/in"),
        ("ftp://:secret@host/", "ftp://:***@host/"),
        ("postgresql+psycopg2://me:secret@db/x?sslmode=on", "postgresql+psycopg2://me:***@db/x?sslmode=on"),
        ("postgresql://db/x?user=me&password=secret&a=b", "postgresql://db/x?user=me&password=***&a=b"),
        ("https://host/in?sig=secret", "https://host/in?sig=***"),
        ("sqlite:////home/a@b:c/ledger.db", "sqlite:////home/a@b:c/ledger.db"),
        ("sftp://host/in@2011:old", "sftp://host/in@2011:old"),
    ],
)
def test_a_redacted_url_shows_everything_but_secrets(url: str, shown: str) -> None:
    assert redact(url) == shown


@pytest.mark.parametrize("password", ["s3cret@x", "s3cret/x", "s3cret#x", "s3cret?x", "s3cret:x", "s3cret\nx", "%73x"])
def test_a_password_that_was_not_percent_encoded_is_hidden_too(password: str) -> None:
    """Such a URL is wrong, and the message about it must not show the password, or a part of it."""
    assert redact(f"sftp://me:{password}@host/in") == "sftp://me:***@host/in"


def test_scrubbing_hides_a_password_as_written_and_as_decoded() -> None:
    hidden = secrets("sftp://me:p%40ss@host/in?token=abc")
    assert scrub("tried p%40ss, then p@ss and abc", hidden) == "tried ***, then *** and ***"


def test_scrubbing_hides_what_a_url_parser_takes_for_the_password() -> None:
    assert scrub("login with 'left'", secrets("ftp://me:left@right@host/")) == "login with '***'"


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("/a/b", "/a/b"),
        ("file:///a/b", "/a/b"),
        ("file://localhost/a", "/a"),
        ("FILE:///a%20b", "/a b"),
        ("/a%20b", "/a%20b"),
    ],
)
def test_a_folder_is_named_plainly_or_by_a_file_url(url: str, path: str) -> None:
    assert local_folder(url) == Path(path)


def test_a_relative_folder_stays_the_same_when_the_process_moves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert local_folder("landing") == tmp_path / "landing"


@pytest.mark.parametrize("url", ["file://landing/zone", "file://server/share"])
def test_a_file_url_with_a_host_is_refused(url: str) -> None:
    """Taken for a relative folder, it would be an empty landing zone."""
    with pytest.raises(UsageError, match="file:///absolute/path"):
        local_folder(url)


def test_an_answer_in_time_is_returned() -> None:
    assert within(5, "it", lambda: 42) == 42


def test_a_question_is_asked_in_the_context_of_the_asker() -> None:
    """Airflow keeps there what a task may know."""
    known = contextvars.ContextVar("known", default="nothing")
    known.set("connection")
    assert within(5, "it", known.get) == "connection"


def test_a_failure_in_time_is_raised() -> None:
    with pytest.raises(ZeroDivisionError):
        within(5, "it", lambda: 1 // 0)


def test_a_question_that_hangs_is_given_up() -> None:
    started = time.monotonic()
    with pytest.raises(Unavailable, match=r"the server did not answer within 0\.1 s"):
        within(0.1, "the server", lambda: time.sleep(3))
    assert time.monotonic() - started < 2
