"""Claims about docs/models.md: its examples run, and say what it shows."""

import doctest
import os
import re
import shlex
import shutil
from datetime import date
from pathlib import Path

import pytest

from samples import simulate
from tests.cli.conftest import Command
from tests.cli.test_command_page import ROOT, examples
from tidemark.catalog import load_catalog

PAGE = ROOT / "docs" / "models.md"


@pytest.mark.slow
def test_the_story_of_the_page_runs_and_says_what_it_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    """Eleven weeks of the simulated shop; `...` stands for anything."""
    for name in [name for name in os.environ if name.startswith("TIDEMARK_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    for folder in ("dags", "expectations"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    monkeypatch.setenv("TIDEMARK_DAGS", str(tmp_path / "dags"))
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    monkeypatch.setenv("TIDEMARK_AS_OF", "2011-07-01T06:00 Europe/London")
    monkeypatch.setenv("TIDEMARK_ACTOR", "ada")
    # As the page says: a folder that is no checkout does not tell who wrote what is in it.
    monkeypatch.setenv("TIDEMARK_APPROVERS", "ada")
    monkeypatch.setenv("TIDEMARK_FOUR_EYES", "off")
    simulate(tmp_path / ".tidemark" / "landing", days=77, until=date(2011, 6, 30))
    tidemark = Command(capsysbinary)
    assert tidemark("run", "price_list").code == 0
    # The first weeks have too few before them to learn from: that is said, and the others are trained.
    assert "two weeks to learn from" in tidemark("run", "demand_model").out
    before = tidemark("read", "price_list").out
    for command, shown in examples(PAGE.read_text()):
        done = tidemark(*shlex.split(command)[1:])
        assert done.code == 0, f"{command}\n{done.err}"
        options = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
        fits = doctest.OutputChecker().check_output(shown, done.out, options)
        assert fits, f"$ {command}\n--- the page shows\n{shown}\n--- it says\n{done.out}"
    assert tidemark("read", "price_list").out == before, "a rollback brings back the same bytes"


def test_the_model_that_the_page_shows_is_one(tmp_path: Path) -> None:
    """The example is a whole file: it is imported as it stands."""
    example = re.search(r"<!-- runs: (\S+) -->\n```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert example is not None
    (tmp_path / example[1]).write_text(example[2])
    catalog = load_catalog(tmp_path)
    assert not catalog.problems
    assert catalog.pipeline("demand").asset("demand").is_model
