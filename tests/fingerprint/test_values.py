"""Rule 2 for values that are worked out when a module is imported."""

import re

import pytest

from tests.fingerprint.bundles import Bundle, MakeBundle, program
from tidemark.fingerprint import fingerprint


def check_counts(made: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    """Check that what the environment says is part of the fingerprint, and nothing else that differs."""
    digests = []
    for rate in ("1", "2", "1"):
        monkeypatch.setenv("RATE", rate)
        digests.append(made.fingerprint().digest)
    assert digests[0] == digests[2] != digests[1]


def test_the_environment_counts_where_a_constant_reads_it(bundle: MakeBundle, monkeypatch: pytest.MonkeyPatch) -> None:
    """The text is the same, the value is not."""
    made = bundle(program("import os\nRATE = float(os.environ['RATE'])\ndef prices(x): return x * RATE"))
    check_counts(made, monkeypatch)


@pytest.mark.parametrize(
    "text",
    [
        "class A:\n    rate = float(RATE)\ndef prices(x): return A.rate",
        "class A:\n    def get(self, rate=RATE): return rate\ndef prices(x): return A().get()",
        "import enum\nclass A(enum.Enum):\n    RATE = RATE\ndef prices(x): return A.RATE",
        "import dataclasses\n@dataclasses.dataclass\nclass A:\n    rate: str\nX = A(RATE)\ndef prices(x): return X.rate",
        "import typing\nclass A(typing.NamedTuple):\n    rate: str\nX = A(RATE)\ndef prices(x): return X.rate",
        "import types\nX = {1: types.SimpleNamespace(rate=RATE)}\ndef prices(x): return X[1].rate",
        "import functools\ndef f(y, x): return y\nX = functools.partial(f, RATE)\ndef prices(x): return X(x)",
        "def prices(x, rate=RATE): return rate",
        "RATES = frozenset([RATE])\ndef prices(x): return sorted(RATES)",
        "id = 3\nRATES = (RATE, id)\ndef prices(x): return RATES",
    ],
)
def test_the_environment_counts_wherever_the_value_is_held(
    text: str, bundle: MakeBundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a class, a dataclass, a namespace, a partial, a default."""
    made = bundle(program("import os\n" + re.sub(r"(?<=[(\[ =])RATE\b(?! =)", "os.environ['RATE']", text)))
    check_counts(made, monkeypatch)


def test_the_environment_counts_where_it_chooses_a_function(
    bundle: MakeBundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both are in the text, and one is loaded."""
    text = "import os\nif os.environ['RATE'] == '1':\n    def rate(): return 1\nelse:\n    def rate(): return 2\n"
    made = bundle(program(text + "def prices(x): return x * rate()"))
    check_counts(made, monkeypatch)


@pytest.mark.parametrize(
    "constant",
    [
        "import datetime\nX = datetime.datetime.now()",
        "import time as t\nX = t.perf_counter()",
        "from random import random as chance\nX = chance()",
        "X = id(object())",
        "X = __file__",
        "import pathlib\nX = pathlib.Path(__file__).parent / 'data'",
        "import os\nX = {'at': [os.path.join(os.path.dirname(__file__), 'data', 'x.csv')]}",
        "X = __name__.upper()",
        "X = object()",
        "X = list({object(), 1})",
        "X = {id(object())}",
        "X = {}\ndef remember(x): X[x] = 1\nremember(id(object()))",
    ],
)
def test_what_differs_between_processes_by_itself_does_not_count(constant: str, bundle: MakeBundle) -> None:
    """Else each process would have a version of its own, and nothing would ever be known."""
    text = f"{constant}\ndef prices(x): return X"
    assert bundle(program(text)).fingerprint().digest == bundle(program(text)).fingerprint().digest


@pytest.mark.parametrize(
    "text",
    [
        "def prices(x):\n    from helper import RATE\n    return RATE",
        "SEEN = {}\ndef prices(x):\n    SEEN[x] = 1\n    return SEEN",
        "SEEN = []\ndef note(x):\n    SEEN.append(x)\ndef prices(x):\n    note(x)\n    return SEEN",
        "RUNS = 0\ndef prices(x):\n    global RUNS\n    RUNS += 1\n    return RUNS",
        "def prices(x, seen={}):\n    seen[x] = 1\n    return seen",
        "def make():\n    seen = {}\n    def made(x):\n        seen[x] = 1\n    return made\nprices = make()",
        "def make():\n    n = 0\n    def run(x):\n        nonlocal n\n        n += 1\n    return run\nprices = make()",
        "from functools import lru_cache\n@lru_cache\ndef prices(x): return x",
        "class A:\n    runs = 0\n    def run(self): type(self).runs += 1\ndef prices(x): return A().run()",
        "class A:\n    def __init__(self): self.seen = []\nX = A()\ndef prices(x): return X.seen.append(x)",
    ],
)
def test_what_ran_before_does_not_count(text: str, bundle: MakeBundle) -> None:
    """A cache that filled up, a counter, and a module that a function has imported by now."""
    made = bundle(program(text, helper="RATE = 1 + 1"))
    with made.on_the_path():
        prices = made.load().prices
        before = fingerprint(prices).digest
        prices(1)
        assert fingerprint(prices).digest == before
