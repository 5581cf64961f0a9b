"""Rule 2, edit by edit: what can change a result changes the code version, and nothing else does, however it is loaded.

The table tells, for each edit, the file, ``«before|after»`` and the right answer.
"""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.fingerprint import loading
from tests.fingerprint.bundles import Bundle, MakeBundle
from tests.fingerprint.edited import SHOP, Edit, changes, keeps

ROOT = Path(__file__).parents[2]

EDITS = [
    # -- comments, docstrings, format
    keeps("a comment", "prices.py", "# «two times|2 x»"),
    keeps("a comment at the top, which moves every line", "prices.py", "«|# days\n\n\n»DAYS = "),
    keeps("a docstring", "prices.py", "«Twice as much|Double»."),
    keeps("the docstring of the file", "prices.py", "«What things cost|Prices»."),
    keeps("a docstring that goes", "prices.py", '«    """The prices of a day."""\n|»'),
    keeps("a docstring that comes, in another file", "cleaning.py", 'def scale(x, factor):\n«|    """Scale."""\n»'),
    keeps("layout", "prices.py", '{«"double": double, "tidy"|\n    "double": (double),\n    \'tidy\'»'),
    keeps("parentheses that were not needed", "cleaning.py", "* «FACTOR|(FACTOR)»"),
    keeps("another spelling of a number", "prices.py", "RATE = 1.2«|0»"),
    # -- order
    keeps(
        "the order of functions",
        "numbers_for_it.py",
        "«def weigh(x):\n    return x - 0.25\n\n\ndef unweighed(x):\n    return x\n|"
        "def unweighed(x):\n    return x\n\n\ndef weigh(x):\n    return x - 0.25\n»",
    ),
    keeps("the order of constants", "prices.py", "«UNUSED = 5\n|»\n", ("prices.py", "«|UNUSED = 5\n»RATE = 1.2")),
    keeps(
        "the order of classes",
        "prices.py",
        "«class Base:\n    def base(self, x):\n        return x + 1\n\n\n|»class Pricer",
        ("prices.py", "«|class Base:\n    def base(self, x):\n        return x + 1\n\n\n»def make_shift"),
    ),
    keeps("the order of imports", "prices.py", "«import steps\nimport tables|import tables\nimport steps»"),
    # -- another name of a local variable
    keeps("a local", "prices.py", "«result = x * 2\n    return result|y = x * 2\n    return y»"),
    keeps(
        "a local of a method",
        "prices.py",
        "«total = self.base(x) * self.margin\n        return total|y = self.base(x) * self.margin\n        return y»",
    ),
    keeps("the variable of a loop", "prices.py", "for «step|each» in", ("prices.py", "«step|each»(price)\n")),
    keeps("that of a comprehension", "prices.py", "[«part for part|p for p» in", ("prices.py", "«part|p» / 2")),
    keeps("one assigned inside an expression", "prices.py", "«half_part|h» :="),
    keeps("one that is unpacked", "prices.py", "«low, high =|a, b =»", ("prices.py", "(«low, high|a, b»)")),
    keeps(
        "one that a pattern binds",
        "prices.py",
        "[«first, *others]:\n            return first|a, *b]:\n            return a»",
    ),
    keeps("one that a pattern of a dictionary binds", "prices.py", "**«rest|remaining»}"),
    keeps("that of an exception", "prices.py", "as «problem:|p:»", ("prices.py", "from «problem\n|p\n»")),
    keeps(
        "a local's name into that of a constant",
        "prices.py",
        "«result = x * 2\n    return result|RATE = x * 2\n    return RATE»",
    ),
    changes(
        "a local into a name that a text could look up",
        "prices.py",
        "for «step|top» in",
        ("prices.py", "«step|top»(price)\n"),
    ),
    changes("one that a declared file does", "prices.py", "for «step|code» in", ("prices.py", "«step|code»(price)\n")),
    changes("one beside code that looks into frames", "prices.py", "result = x * 2\n    return «result|locals()»"),
    changes("which local is used", "prices.py", "in («low|high», high)"),
    changes("a local that comes to stand for a constant", "prices.py", "return «result|RATE»"),
    changes("two locals that changed places", "prices.py", "in («low, high|high, low»)"),
    changes("a parameter, which callers name", "deeper.py", "«more):\n    return x + more|m):\n    return x + m»"),
    changes("the name of a column", "prices.py", "«cost|price»=pl.lit(price)"),
    # -- another file
    keeps(
        "a function that moves to another file",
        "cleaning.py",
        "«def tidy(x):\n    assert x is not None\n    return weigh(x)\n|from shop.tidying import tidy\n»",
        ("shop/__init__.py", "«|»"),
        (
            "shop/tidying.py",
            "«|from numbers_for_it import weigh as w\n\n\ndef tidy(x):\n    assert x is not None\n    return w(x)\n»",
        ),
    ),
    keeps(
        "a constant that moves to another file",
        "prices.py",
        "«RATE = 1.2\n|from tables import RATE\n»",
        ("tables.py", 'OTHER = {"top": 5}\n«|RATE = 1.2\n»'),
    ),
    keeps("an import under another name", "prices.py", "from tables import LIMITS«| as LIMITS»"),
    keeps("a name taken from the module instead", "prices.py", "surcharge, «|tables.»LIMITS"),
    # -- what is not reached
    keeps("an argument of the asset's decorator", "prices.py", 'owner="«pricing|sales»"'),
    keeps("the grain, which the ledger compares", "prices.py", "Europe/«London|Berlin»"),
    keeps("an unrelated function in the file", "prices.py", "np.multiply(x, «3|4»)"),
    keeps("an unrelated function in another file", "cleaning.py", "    return «x|0»\n\n\nclass"),
    keeps("an unrelated function two files away", "numbers_for_it.py", "    return «x|0»\n"),
    keeps("an unused constant", "prices.py", "UNUSED = «5|6»"),
    keeps("an unused constant in another file", "tables.py", 'OTHER = {"top": «5|6»'),
    keeps("a file that is imported and not used", "unrelated.py", "return «1|2»"),
    keeps("another asset of which the name is a parameter's", "prices.py", "slowmath.run(«5|6»)"),
    keeps("a definition that is new", "prices.py", "UNUSED = 5«|\n\n\ndef new():\n    return half\n»"),
    # -- what is
    changes("the body", "prices.py", "orders.«|head(9).»with_columns"),
    changes("an annotation, which decides what arrives", "prices.py", "orders: pl.«DataFrame|LazyFrame», stock"),
    changes("a default", "prices.py", "surcharge: float = «2|3».5"),
    changes("a default of a helper", "prices.py", "width=«2|3»"),
    changes("a default two files away", "deeper.py", "by=«1|2».5"),
    changes("a decorator's argument", "prices.py", "@logged(level=«1|2»)"),
    changes("a decorator that goes", "prices.py", "«@logged(level=1)\n|»"),
    changes("a decorator's code", "cleaning.py", "return «|2 * »function(*args"),
    changes("a decorator's code two files away", "deeper.py", "return function(«function(x)|x»)"),
    changes("a helper in the file", "prices.py", "result = x * 2«|.5»"),
    changes("a helper in another file", "cleaning.py", "return «|-»weigh(x)"),
    changes("a helper two files away", "numbers_for_it.py", "x - 0.«25|5»"),
    changes("a type: 1 for 1.0", "prices.py", "return x + 1«|.0»\n"),
    changes("a type: True for 1", "prices.py", "return x + «1|True»\n"),
    changes("a constant", "prices.py", "RATE = 1.«2|3»"),
    changes("a constant made of a constant", "prices.py", "RATE * «10|11»"),
    changes("a constant in another file", "tables.py", '"top": «100|101»'),
    changes("a constant two files away", "numbers_for_it.py", "FACTOR = 0.«9|8»"),
    changes("a closure's content", "prices.py", "make_shift(«7|8»)"),
    changes("a closure's code", "prices.py", "return x «+|-» offset"),
    changes("a closure's content in another file", "steps.py", "make_cut(«3|4»)"),
    changes("a closure's code two files away", "deeper.py", "most * «10|11»"),
    changes("a function inside a partial", "cleaning.py", "x «*|/» factor"),
    changes("a function inside a partial two files away", "deeper.py", "return x «+|-» more"),
    changes("a partial's argument", "prices.py", "factor=0.«5|25»"),
    changes("a partial's argument two files away", "deeper.py", "more=0.«5|25»"),
    changes("the keys of a dictionary of functions", "prices.py", '"«double|twice»": double'),
    changes("the functions of a dictionary", "prices.py", '"double": «double|triple»'),
    changes("a function reached through a dictionary in another file", "steps.py", '"round": «Rounder().run|round»'),
    changes("a class attribute", "prices.py", "margin = «3|4»"),
    changes("a method", "prices.py", "self.base(x) «*|+» self"),
    changes("a method two files away, reached through a dictionary", "deeper.py", "return «|1 + »round(x"),
    changes("a base class", "prices.py", "        return x + «1|2»\n"),
    changes("a base class in another file", "cleaning.py", "def «tidied|base»(self, x):\n        return"),
    changes("a base class two files away", "deeper.py", "digits = «2|3»"),
    changes("the order of base classes", "prices.py", "Pricer(«Base, Tidier|Tidier, Base»)"),
    changes("a helper reached through a class", "cleaning.py", "    def tidied(self, x):\n        return «tidy(x)|x»"),
    changes("a pattern", "prices.py", 'case {"«price|cost»": value'),
    changes("which exception is caught", "prices.py", "except «Type|Value»Error as"),
    changes(
        "which module a name is taken from",
        "cleaning.py",
        "import FACTOR«,|\nfrom numbers_for_it import unweighed as» weigh",
    ),
    changes("which name is taken", "prices.py", "import «|OTHER as »LIMITS"),
    changes("a statement with an effect", "prices.py", "«UNUSED = 5|pl.Config.set_tbl_rows(5)»"),
    changes(
        "a statement with an effect in a file that is imported and not used",
        "unrelated.py",
        "«|import decimal\n\ndecimal.getcontext().prec = 6\n\n\n»def",
    ),
    # -- declared files and distributions
    changes("a declared SQL file", "rules.sql", "select «code|*»"),
    changes("a declared YAML file", "margins.yaml", "margin: «3|4»"),
    keeps("a file that is not declared", "undeclared.sql", "select «1|2»"),
    changes("a used distribution's version", "site-packages/fastmath-1.0.dist-info/METADATA", "Version: 1.«0|1»"),
    changes("that of what it needs", "site-packages/needed-1.0.dist-info/METADATA", "Version: 1.«0|1»"),
    keeps("an unused distribution's version", "site-packages/slowmath-1.0.dist-info/METADATA", "Version: 1.«0|1»"),
]


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Mapping[str, str]]:
    """The code version of the prices, by way of loading and by edit, before any of which it is ``shop``."""
    base = tmp_path_factory.mktemp("edits")
    Bundle(base / "shop" / "dags", SHOP)
    for number, edit in enumerate(EDITS):
        Bundle(base / f"edit-{number}" / "dags", edit.of(SHOP))
    for way in loading.WAYS:
        in_another_process(way, base)
    return {way: json.loads((base / f"{way}.json").read_text()) for way in loading.WAYS}


def in_another_process(way: str, base: Path) -> None:
    """Take the code versions in a process that is started as this way of loading is."""
    command = ["-m", "tests.fingerprint.loading", way, str(base)]
    if way == "pytest":
        (base / "test_prices.py").write_text(loading.TEST)
        command = ["-m", "pytest", "-q", "-p", "no:cacheprovider", f"--rootdir={base}", str(base / "test_prices.py")]
    path = os.pathsep.join([str(ROOT / "plugins"), str(ROOT)])
    run = subprocess.run(
        [sys.executable, *command],
        env={**os.environ, "PYTHONPATH": path, "PYTHONHASHSEED": str(len(way)), "EDITS": str(base)},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stdout + run.stderr


@pytest.mark.parametrize("edit", EDITS, ids=str)
def test_an_edit_changes_the_code_version_if_it_can_change_the_result(
    edit: Edit, answers: Mapping[str, Mapping[str, str]]
) -> None:
    """Every kind of edit, wherever it is reached from, has the right answer; all ways of loading agree on it."""
    after = f"edit-{EDITS.index(edit)}"
    assert {way: told["shop"] != told[after] for way, told in answers.items()} == dict.fromkeys(answers, edit.changes)
    assert len({told[after] for told in answers.values()}) == 1


@pytest.mark.parametrize("edit", [each for each in EDITS if each.changes], ids=str)
def test_a_component_or_a_distribution_tells_the_edit(edit: Edit, bundle: MakeBundle) -> None:
    """So explain can say what it was."""
    before, after = (loading.code_version(bundle(files).folder) for files in (SHOP, edit.of(SHOP)))
    old, new = ({each.digest for each in made.components} for made in (before, after))
    assert old != new or before.distributions != after.distributions


def test_explain_can_name_what_changed(bundle: MakeBundle) -> None:
    """The components that differ are the definitions that were edited, each with its file and line."""
    edit = next(each for each in EDITS if each.what == "a helper two files away")
    before, after = (loading.code_version(bundle(files).folder) for files in (SHOP, edit.of(SHOP)))
    old = {each.label: each.digest for each in before.components}
    changed = [each for each in after.components if old.get(each.label) != each.digest]
    assert [(each.label, Path(each.file or "").name, each.line) for each in changed] == [
        ("numbers_for_it.weigh", "numbers_for_it.py", 5)
    ]
