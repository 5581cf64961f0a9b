"""Claims about docs/environments.md: its examples run, and say what it shows."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Command
from tests.cli.test_command_page import check_example, examples, settle_in
from tidemark.installation import installed_here

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "environments.md"


def write_lock(file: Path, **others: str) -> None:
    changed = {name.replace("_", "-"): version for name, version in others.items()}
    versions = {**installed_here().distributions, **changed}
    file.write_text("".join(f"{name}=={version}\n" for name, version in versions.items()))


@pytest.mark.slow
def test_the_examples_of_the_page_run_and_say_what_it_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    """In their order, in one folder; a lock of what is installed here stands for the checkout's."""
    settle_in(tmp_path, monkeypatch, days=4)
    write_lock(tmp_path / "requirements.txt")
    write_lock(tmp_path / "requirements-next.txt", apprise="99.0", scikit_learn="99.0")
    monkeypatch.setenv("TIDEMARK_LOCK", "requirements.txt")
    tidemark = Command(capsysbinary)
    tried = 0
    for command, shown in examples(PAGE.read_text()):
        words, _, file = command.partition(" > ")
        if file:
            (tmp_path / file).write_text(tidemark(*shlex.split(words)[1:]).out)
        else:
            check_example(tidemark, words, shown)
        tried += 1
    assert tried == 4


def test_the_lock_is_compiled_as_the_makefile_does() -> None:
    """But for the file that is written."""
    [line] = re.findall(r"^uv pip compile .*$", PAGE.read_text(), re.MULTILINE)
    options = set(line.split()) - {"requirements-next.txt"}
    assert options < set((ROOT / "Makefile").read_text().split())


def test_this_checkout_is_what_its_lock_says() -> None:
    """As CI asks it: an error here means that the tests run with something that no laptop and no image has."""
    script = "import sys; from tidemark.cli import main; sys.exit(main(['env-check']))"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
