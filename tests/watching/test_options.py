"""How the watch watches is said in variables; what cannot be is refused with what to write instead."""

from datetime import timedelta

import pytest

from tidemark.config import in_force
from tidemark.errors import UsageError
from tidemark.watching.options import Options, read_options

SECRET = "https://hc.test/ping/0c2f"


def test_without_a_variable_the_watch_needs_nothing() -> None:
    assert read_options({}) == Options()


def test_each_can_be_set() -> None:
    environ = {
        "TIDEMARK_WATCH_SECONDS": "5",
        "TIDEMARK_GRACE_SECONDS": "90",
        "TIDEMARK_WATCH_USER": "watch",
        "TIDEMARK_WATCH_PASSWORD": "secret",
        "TIDEMARK_APPROVAL_PATIENCE": "4 hours",
        "TIDEMARK_BACKUP_WITHIN": "1 day 2 hours",
        "TIDEMARK_DISK_WARNING": "70",
        "TIDEMARK_DISK_CRITICAL": "80.5",
        "TIDEMARK_DEADMAN_URL": SECRET,
        "TIDEMARK_WATCH_API": "http://airflow:8080",
    }
    day = timedelta(hours=26)
    expected = Options(5, 90, "watch", "secret", timedelta(hours=4), 70, 80.5, SECRET, "http://airflow:8080", day)
    assert read_options(environ) == expected


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        ({"TIDEMARK_WATCH_USER": "watch"}, "belong together"),
        ({"TIDEMARK_WATCH_SECONDS": "soon"}, "TIDEMARK_WATCH_SECONDS='soon': write a number above 0"),
        ({"TIDEMARK_GRACE_SECONDS": "0"}, "TIDEMARK_GRACE_SECONDS='0'"),
        ({"TIDEMARK_DISK_WARNING": "101"}, "at most 100"),
        ({"TIDEMARK_DISK_WARNING": "96"}, "nobody would be warned"),
        ({"TIDEMARK_APPROVAL_PATIENCE": "a day"}, "TIDEMARK_APPROVAL_PATIENCE: 'a day' is no duration"),
        ({"TIDEMARK_BACKUP_WITHIN": "26"}, "TIDEMARK_BACKUP_WITHIN: '26' is no duration"),
        ({"TIDEMARK_DEADMAN_URL": "hc.test/ping/0c2f"}, "TIDEMARK_DEADMAN_URL is no address"),
        ({"TIDEMARK_WATCH_API": "airflow:8080"}, "TIDEMARK_WATCH_API='airflow:8080' is no address: write http"),
    ],
)
def test_what_cannot_be_is_refused(environ: dict[str, str], said: str) -> None:
    with pytest.raises(UsageError, match=said) as refused:
        read_options(environ)
    assert "0c2f" not in str(refused.value)


def test_no_secret_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever knows the address of the switch can press it."""
    monkeypatch.setenv("TIDEMARK_DEADMAN_URL", SECRET)
    monkeypatch.setenv("TIDEMARK_WATCH_PASSWORD", "secret")
    shown = in_force()
    assert (shown["TIDEMARK_DEADMAN_URL"], shown["TIDEMARK_WATCH_PASSWORD"]) == ("***", "***")
    assert "secret" not in repr(read_options({"TIDEMARK_WATCH_USER": "w", "TIDEMARK_WATCH_PASSWORD": "secret"}))


def test_the_line_break_of_a_file_is_no_part_of_a_password() -> None:
    """A Secret that was made from a file often ends with one, and the account of the watch was made without it."""
    assert read_options({"TIDEMARK_WATCH_USER": "w", "TIDEMARK_WATCH_PASSWORD": "a b\n"}).password == "a b"
