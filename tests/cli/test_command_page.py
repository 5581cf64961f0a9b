"""Claims about docs/cli.md: its examples run, and say what it shows; every command in any page is understood."""

import doctest
import os
import re
import shlex
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path

import pytest

from samples.shop import simulate
from samples.unhappy import corrected_rate
from tests.cli.conftest import Command
from tidemark.cli.main import build_parser

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "cli.md"

# The version of the first price list, as the page shows it: the samples are the same everywhere, libraries may not be.
SHOWN = "836a2539a760"


def examples(text: str) -> Iterator[tuple[str, str]]:
    """Each command of a text's console blocks, with the output that is shown below it."""
    for block in re.findall(r"^```console\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        for part in block.split("$ ")[1:]:
            command, _, output = part.partition("\n")
            yield command, output


def withdraw(landing: Path) -> None:
    """The rates of the last day are gone."""
    rates = landing / "fx_rates" / "2011-06-30.csv"
    rates.rename(landing / "rates-kept")


def deliver_wrong_rates(landing: Path) -> None:
    """They are back, and one is not what it was."""
    content = (landing / "rates-kept").read_bytes()
    (landing / "fx_rates" / "2011-06-30.csv").write_bytes(corrected_rate(content))


# What happens in the landing zone before the examples under a heading.
HAPPENS: dict[str, Callable[[Path], None]] = {
    "A delivery will not come": withdraw,
    "Take an earlier version back": deliver_wrong_rates,
}


@pytest.mark.slow
def test_the_examples_of_the_page_run_and_say_what_it_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    """In their order, in one shop; `...` stands for anything."""
    for name in [name for name in os.environ if name.startswith("TIDEMARK_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TIDEMARK_DAGS", str(ROOT / "dags"))
    monkeypatch.setenv("TIDEMARK_AS_OF", "2011-07-01T06:00 Europe/London")
    monkeypatch.setenv("TIDEMARK_ACTOR", "ada")
    landing = tmp_path / ".tidemark" / "landing"
    simulate(landing, days=4, until=date(2011, 6, 30))
    tidemark = Command(capsysbinary)
    first = ""
    for section in re.split(r"^## ", PAGE.read_text(), flags=re.MULTILINE):
        HAPPENS.get(section.partition("\n")[0], lambda landing: None)(landing)
        for command, shown in examples(section):
            if not first and command.startswith("tidemark explain"):
                first = tidemark.json("explain", "price_list", "2011-06-30")["live"]["version"]
            words = shlex.split(command.replace(SHOWN[:8], first[:8] or SHOWN[:8]))
            assert words[0] == "tidemark"
            done = tidemark(*words[1:])
            assert done.code == 0, f"{command}\n{done.err}"
            wanted = shown.replace(SHOWN, first[:12])
            fits = doctest.OutputChecker().check_output(
                wanted, done.out, doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
            )
            assert fits, f"$ {command}\n--- the page shows\n{wanted}\n--- it says\n{done.out}"


def commands_in(text: str) -> Iterator[str]:
    """Every command line that a page shows, in a block of its own or between backquotes."""
    for line in re.findall(r"^(?:\$ )?(?:\.venv/bin/)?(tidemark [^\n]*)$", text, re.MULTILINE):
        yield line.partition("  #")[0]
    for line in re.findall(r"`(tidemark [^`]*)`", text):
        if "..." not in line and not re.search(r"\b[A-Z]{2,}\b", line.partition('"')[0]):
            yield line


def names() -> set[str]:
    """The names of all commands."""
    [choices] = [action.choices for action in build_parser()._actions if action.dest == "command"]
    return set(choices or ())


PAGES = [*sorted((ROOT / "docs").glob("*.md")), ROOT / "README.md"]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_that_a_page_shows_is_understood(page: Path) -> None:
    for command in commands_in(page.read_text()):
        words = shlex.split(command)[1:]
        assert words[0] in names(), command
        if len(words) > 1:  # else it is only named
            try:
                build_parser().parse_args(words)
            except SystemExit:
                pytest.fail(f"{page.name}: {command}")


def test_the_page_names_every_command() -> None:
    text = PAGE.read_text()
    assert not [name for name in names() if f"`tidemark {name}" not in text]
