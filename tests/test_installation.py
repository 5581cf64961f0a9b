"""Claims about what is read of this place, of a lock file, and of another place's record."""

import json
import subprocess
import sys
from importlib.metadata import distributions
from pathlib import Path

import pytest

from tidemark.errors import UsageError
from tidemark.installation import Installation, find_lock, installed_here, normal, read_lock, read_record

ROOT = Path(__file__).parents[1]


def lock(folder: Path, text: str) -> Path:
    file = folder / "lock.txt"
    file.write_text(text)
    return file


def test_a_lock_gives_one_version_for_each_distribution_that_holds_here(tmp_path: Path) -> None:
    """Hashes, comments, extras and spellings aside; a condition is judged for this Python."""
    file = lock(
        tmp_path,
        "# a comment\n"
        "Great_Expectations==1.24.1 \\\n"
        "    --hash=sha256:aaaa \\\n"
        "    --hash=sha256:bbbb\n"
        "    # via -r requirements.in\n"
        "numpy==2.4.6 ; python_version >= '3' \\\n"
        "    --hash=sha256:cccc\n"
        "numpy==1.0 ; python_version < '3' --hash=sha256:dddd\n"
        "uvicorn[standard]==0.1  # with extras\n"
        "pip==99\n",
    )
    assert read_lock(file) == {"great-expectations": "1.24.1", "numpy": "2.4.6", "uvicorn": "0.1"}


def test_our_own_locks_are_read_whole() -> None:
    """As many as there are lines with a version whose condition holds."""
    for name in ("requirements.txt", "requirements-dev.txt"):
        text = (ROOT / name).read_text()
        unconditional = {
            normal(line.split("==")[0].partition("[")[0])
            for line in text.splitlines()
            if "==" in line and line[0].isalnum() and ";" not in line
        }
        found = read_lock(ROOT / name)
        assert len(found) > 50
        assert unconditional - {"pip", "uv"} <= found.keys()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("polars>=1\n", r"line 1: polars is not pinned"),
        ("a==1\n\npolars==1.*\n", r"line 3: polars is not pinned"),
        ("polars==1,!=2\n", r"line 1: polars is not pinned"),
        ("polars\n", r"line 1: polars is not pinned"),
        ("polars @ file:///x.whl\n", r"line 1: polars is not pinned"),
        ("-r other.txt\n", r"line 1: '-r other.txt' is no pinned requirement"),
        ("a==1\nA==2\n", r"line 2: A is pinned to 2 here and to 1 above"),
        ("# nothing\n", "names no distribution"),
    ],
)
def test_what_is_no_lock_is_refused_with_its_line(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        read_lock(lock(tmp_path, text))


def test_a_lock_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    for name in ("missing.txt", "binary", ""):
        with pytest.raises(UsageError, match="name another file"):
            read_lock(tmp_path / name)


def test_here_is_what_is_installed_without_what_installs(monkeypatch: pytest.MonkeyPatch) -> None:
    """The versions are those of the metadata, whoever is first on the path; the image is what the environment says."""
    monkeypatch.setenv("TIDEMARK_IMAGE", "tidemark:1")
    monkeypatch.delenv("TIDEMARK_COMMIT", raising=False)
    monkeypatch.setenv("TZ", "Europe/London")
    here = installed_here()
    assert here.python == ".".join(map(str, sys.version_info[:3]))
    there = {normal(each.name) for each in distributions()}
    assert here.distributions.keys() == there - {"pip", "uv", "tidemark"}
    assert (here.image, here.commit, here.time_zone) == ("tidemark:1", None, "Europe/London")
    assert here.airflow == here.distributions["apache-airflow"]
    assert "apache-airflow-providers-standard" in here.providers
    assert "apache-airflow" not in here.providers


def test_the_encoding_is_the_one_that_files_are_opened_with() -> None:
    script = "from tidemark.installation import installed_here; print(installed_here().encoding.lower())"
    for flag, environ, wanted in (("utf8=1", {"LC_ALL": "POSIX"}, "utf-8"), ("utf8=0", {"LC_ALL": "en_US"}, None)):
        done = subprocess.run(
            [sys.executable, "-X", flag, "-c", script + "; print(open('/dev/null').encoding.lower())"],
            env={"PYTHONPATH": str(ROOT / "plugins"), "PYTHONCOERCECLOCALE": "0", **environ},
            capture_output=True,
            text=True,
            check=True,
        )
        said, real = done.stdout.split()
        assert said == (wanted or real)


def test_a_record_comes_back_as_it_was(tmp_path: Path) -> None:
    """Also from the whole answer of the command, and from one that knows more than this code."""
    here = installed_here()
    file = tmp_path / "record.json"
    for content in (here.plain(), {"here": here.plain() | {"moon": "full"}, "ok": True}):
        file.write_text(json.dumps(content))
        assert read_record(file) == here


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '{"here": 3}', '{"python": 3, "distributions": {}}', '{"python": "3"}']
)
def test_what_is_no_record_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "record.json").write_text(content)
    with pytest.raises(UsageError, match="is no record of a release"):
        read_record(tmp_path / "record.json")


def test_the_lock_is_the_one_that_is_named_else_the_checkouts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TIDEMARK_LOCK", "some.txt")
    assert find_lock() == Path("some.txt")
    monkeypatch.delenv("TIDEMARK_LOCK")
    assert find_lock() == ROOT / "requirements.txt"


def test_an_installation_without_airflow_has_none() -> None:
    assert Installation("3.11.1", {"polars": "1"}).airflow is None
