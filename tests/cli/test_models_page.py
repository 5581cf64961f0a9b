"""Claims about docs/models.md: its examples run, and say what it shows."""

import re
from pathlib import Path

import pytest

from tests.cli.conftest import Command
from tests.cli.test_command_page import ROOT, check_example, examples, settle_in
from tidemark.catalog import load_catalog

PAGE = ROOT / "docs" / "models.md"


@pytest.mark.slow
def test_the_story_of_the_page_runs_and_says_what_it_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    """Eleven weeks of the simulated shop; `...` stands for anything."""
    settle_in(tmp_path, monkeypatch, days=77)
    # As the page says: a folder that is no checkout does not tell who wrote what is in it.
    monkeypatch.setenv("TIDEMARK_APPROVERS", "ada")
    monkeypatch.setenv("TIDEMARK_FOUR_EYES", "off")
    tidemark = Command(capsysbinary)
    assert tidemark("run", "price_list").code == 0
    # The first weeks have too few before them to learn from: that is said, and the others are trained.
    assert "two weeks to learn from" in tidemark("run", "demand_model").out
    before = tidemark("read", "price_list").out
    for command, shown in examples(PAGE.read_text()):
        check_example(tidemark, command, shown)
    assert tidemark("read", "price_list").out == before, "a rollback brings back the same bytes"


def test_the_model_that_the_page_shows_is_one(tmp_path: Path) -> None:
    """The example is a whole file: it is imported as it stands."""
    example = re.search(r"<!-- runs: (\S+) -->\n```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert example is not None
    (tmp_path / example[1]).write_text(example[2])
    catalog = load_catalog(tmp_path)
    assert not catalog.problems
    assert catalog.pipeline("demand").asset("demand").is_model
