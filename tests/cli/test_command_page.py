"""Claims about docs/cli.md: its examples run, and say what it shows; every command in any page is understood."""

import doctest
import os
import re
import shlex
import shutil
import sys
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path

import pytest

from samples.shop import simulate
from samples.unhappy import corrected_order, corrected_rate, deliver
from tests.cli.conftest import Command
from tidemark.causes import Kind
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


def correct_an_order(landing: Path) -> None:
    """One line of a day's orders comes again with another quantity."""
    orders = landing / "orders" / "2011-06-29.csv"
    deliver(orders, corrected_order(orders.read_bytes()))


def edit_a_helper(landing: Path) -> None:
    """Sums of money are rounded otherwise."""
    file = landing.parents[1] / "dags" / "price_list.py"
    text = file.read_text()
    assert "/ 10_000).round(4)" in text
    file.write_text(text.replace("/ 10_000).round(4)", "/ 10_000).round(3)"))


def take_the_edit_back(landing: Path) -> None:
    """The file is as it was, and then the rates go."""
    shutil.copy(ROOT / "dags" / "price_list.py", landing.parents[1] / "dags")
    withdraw(landing)


# What happens in the landing zone, or to the code, before the examples under a heading.
HAPPENS: dict[str, Callable[[Path], None]] = {
    "A file is corrected": correct_an_order,
    "The code is edited": edit_a_helper,
    "A delivery will not come": take_the_edit_back,
    "Take an earlier version back": deliver_wrong_rates,
}


def settle_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, days: int) -> Path:
    """Go to a folder of its own with the reference product, as a page's reader has it; returns its landing zone."""
    for name in [name for name in os.environ if name.startswith("TIDEMARK_")]:
        monkeypatch.delenv(name)
    # Python takes a file of equal size that is edited twice within a second from the bytecode of the first edit.
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.chdir(tmp_path)
    for folder in ("dags", "expectations"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    monkeypatch.setenv("TIDEMARK_DAGS", str(tmp_path / "dags"))
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    monkeypatch.setenv("TIDEMARK_AS_OF", "2011-07-01T06:00 Europe/London")
    monkeypatch.setenv("TIDEMARK_ACTOR", "ada")
    landing = tmp_path / ".tidemark" / "landing"
    simulate(landing, days=days, until=date(2011, 6, 30))
    return landing


def check_example(tidemark: Command, command: str, wanted: str) -> None:
    """Run a command as a page shows it, and hold what it says against the page; `...` stands for anything."""
    words = shlex.split(command)
    assert words[0] == "tidemark"
    done = tidemark(*words[1:])
    assert done.code == 0, f"{command}\n{done.err}"
    fits = doctest.OutputChecker().check_output(wanted, done.out, doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    assert fits, f"$ {command}\n--- the page shows\n{wanted}\n--- it says\n{done.out}"


@pytest.mark.slow
def test_the_examples_of_the_page_run_and_say_what_it_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    """In their order, in one shop."""
    landing = settle_in(tmp_path, monkeypatch, days=4)
    tidemark = Command(capsysbinary)
    first = ""
    for section in re.split(r"^## ", PAGE.read_text(), flags=re.MULTILINE):
        HAPPENS.get(section.partition("\n")[0], lambda landing: None)(landing)
        for command, shown in examples(section):
            if not first and command.startswith("tidemark explain"):
                first = tidemark.json("explain", "price_list", "2011-06-30")["live"]["version"]
            typed = command.replace(SHOWN[:8], first[:8] or SHOWN[:8])
            check_example(tidemark, typed, shown.replace(SHOWN, first[:12]))


def commands_in(text: str) -> Iterator[str]:
    """Every command line that a page shows, in a block of its own or between backquotes."""
    for line in re.findall(r"^(?:\$ )?(?:\.venv/bin/)?(tidemark [^\n]*)$", text, re.MULTILINE):
        yield re.sub(r" > [\w.-]+$", "", line.partition("  #")[0])
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


def test_the_page_names_every_kind_of_cause() -> None:
    assert not [kind for kind in Kind if f"`{kind}`" not in PAGE.read_text()]
