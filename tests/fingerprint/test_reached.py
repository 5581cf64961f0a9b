"""Rule 2, by every way in which code is reached: small programs, each about one."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.fingerprint.bundles import AFTER, BEFORE, Files, MakeBundle, read_marked


def test_a_name_that_comes_to_stand_for_something_else_changes_the_fingerprint(bundle: MakeBundle) -> None:
    """Though all definitions are still the same ones, two that changed places are not."""
    files = {
        "prices.py": "import a, b\n\ndef prices():\n    return a.RATE / b.RATE\n",
        "a.py": "RATE = 1",
        "b.py": "RATE = 2",
    }
    swapped = {**files, "a.py": "RATE = 2", "b.py": "RATE = 1"}
    assert bundle(files).fingerprint().digest != bundle(swapped).fingerprint().digest


def test_each_use_counts_with_what_it_stands_for(bundle: MakeBundle) -> None:
    """Two helpers that changed what they use differ, though all of it was in use before."""
    text = "import a, b, c\n\n\ndef prices():\n    return c.ONE, c.TWO, a.rate(), b.rate()\n"
    rate = "from c import {} as RATE\n\n\ndef rate():\n    return RATE\n"
    files = {"prices.py": text, "c.py": "ONE = 1\nTWO = 2\n", "a.py": rate.format("ONE"), "b.py": rate.format("TWO")}
    swapped = {**files, "a.py": rate.format("TWO"), "b.py": rate.format("ONE")}
    assert bundle(files).fingerprint().digest != bundle(swapped).fingerprint().digest


@dataclass(frozen=True)
class Case:
    """A small program before and after an edit, and whether the edit may change what ``prices`` returns."""

    what: str
    changes: bool
    before: Files
    after: Files


def read_cases(text: str) -> Iterator[Case]:
    """Read programs, with a blank line between them.

    The first line tells the answer and what is shown. Further in stands prices.py, then other files after their names;
    ``«this|that»`` is the edit.
    """
    for block in text.strip().split("\n\n"):
        head, *lines = block.splitlines()
        answer, what = head.split(": ", 1)
        files: dict[str, list[str]] = {(name := "prices.py"): []}
        for line in lines:
            if line.startswith("    "):
                files[name].append(line[4:])
            else:
                files[name := line.strip()] = []
        marked = {name: "\n".join(lines) for name, lines in files.items()}
        assert answer in ("changes", "keeps")
        assert sum(text.count("«") for text in marked.values()) == 1, what
        before, after = (
            {name: read_marked(text, chosen) for name, text in marked.items()} for chosen in (BEFORE, AFTER)
        )
        yield Case(what, answer == "changes", before, after)


CASES = list(read_cases(Path(__file__).with_name("cases.txt").read_text(encoding="utf-8")))


@pytest.mark.filterwarnings("ignore:Overriding existing custom namespace")
@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.what} {'changes it' if case.changes else 'keeps it'}")
def test_however_code_is_reached(case: Case, bundle: MakeBundle) -> None:
    """Each way to get at code, with the right answer when that code is edited."""
    before, again, after = (bundle(files).fingerprint().digest for files in (case.before, case.before, case.after))
    assert before == again
    assert (before != after) == case.changes


@pytest.mark.parametrize(
    "call",
    [
        "getattr(sys.modules[__name__], name)(1)",
        "sys.modules[__name__].one(1)",
        "globals()[name](1)",
        "eval(name)(1)",
        "exec(name)",
        "getattr(importlib.import_module('helper'), name)",
        "object.__subclasses__()",
    ],
)
@pytest.mark.parametrize("file", ["prices.py", "helper.py"])
def test_where_it_is_unclear_what_is_reached_the_whole_module_counts(call: str, file: str, bundle: MakeBundle) -> None:
    """So does all that it imports."""
    files = {
        "prices.py": f"import importlib, sys, helper\n\ndef one(x): return 1\n\ndef prices(name): return {call}\n",
        "helper.py": "def two(x): return 1\n",
    }
    edited = {**files, file: files[file].replace("return 1", "return 3")}
    assert bundle(files).fingerprint().digest != bundle(edited).fingerprint().digest
