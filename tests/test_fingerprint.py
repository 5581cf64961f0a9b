"""Rule 2: an edit that can change a result changes the code version; any other edit leaves it alone."""

import ast
import contextlib
import decimal
import importlib
import importlib.machinery
import importlib.util
import linecache
import os
import re
import subprocess
import sys
import textwrap
import threading
import time
import types
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from tidemark.errors import DefinitionError
from tidemark.fingerprint import Fingerprint, capture, fingerprint

Files = Mapping[str, str]


# -- a shop to edit

SHOP: Files = {
    "prices.py": '''
"""What things cost."""

from functools import partial

import numpy as np
import polars as pl
from tidemark import Daily, asset

import cleaning
import tables
from cleaning import Tidier, logged
from tables import LIMITS
from unrelated import nothing_to_do_with_it

DAYS = Daily(tz="Europe/London")
RATE = 1.2
CEILING = RATE * 10
UNUSED = 5


def double(x):
    """Twice as much."""
    # two times
    result = x * 2
    return result


def triple(x):
    return np.multiply(x, 3)


half = partial(cleaning.scale, factor=0.5)
STEPS = {"double": double, "tidy": cleaning.tidy}


def make_shift(offset):
    def shift(x):
        return x + offset

    return shift


shift = make_shift(7)


class Base:
    def base(self, x):
        return x + 1


class Pricer(Base, Tidier):
    margin = 3

    def price(self, x):
        return self.base(x) * self.margin


@asset(partitions=DAYS, gate="stock", owner="stock")
def stock(orders: pl.DataFrame) -> pl.DataFrame:
    return orders.head(5)


@asset(partitions=DAYS, gate="prices", owner="pricing", key=["code"])
@logged(level=1)
def prices(orders: pl.DataFrame, stock: pl.DataFrame, surcharge: float = 2.5) -> pl.DataFrame:
    """The prices of a day."""
    price = Pricer().price(half(shift(RATE))) + min(CEILING, surcharge, LIMITS["top"])
    for step in STEPS.values():
        price = step(price)
    return orders.with_columns(price=pl.lit(price))
''',
    "cleaning.py": """
from numbers_for_it import FACTOR, weigh


def tidy(x):
    return weigh(x)


def scale(x, factor):
    return x * factor * FACTOR


def untouched(x):
    return x


class Tidier:
    def tidied(self, x):
        return tidy(x)


def logged(level):
    def decorate(function):
        import functools

        @functools.wraps(function)
        def call(*args, **kwargs):
            return function(*args, **kwargs)

        return call

    return decorate
""",
    "numbers_for_it.py": """
FACTOR = 0.9


def weigh(x):
    return x - 0.25


def unweighed(x):
    return x
""",
    "tables.py": 'LIMITS = {"top": 100, "bottom": 1}\nOTHER = {"top": 5}\n',
    "unrelated.py": "def nothing_to_do_with_it():\n    return 1\n",
}


@dataclass(frozen=True)
class Edit:
    """One edit of one file, ``«this|that»`` inside a text that is there once; and whether the result may change."""

    what: str
    changes: bool
    file: str
    text: str

    def of(self, files: Files) -> Files:
        old, new = (read_marked(self.text, chosen) for chosen in (BEFORE, AFTER))
        assert files[self.file].count(old) == 1, f"{old!r} is not there once"
        return {**files, self.file: files[self.file].replace(old, new)}


BEFORE, AFTER = r"\1", r"\2"


def read_marked(text: str, chosen: str) -> str:
    """Return a text as it is before or after the edit that is marked in it."""
    return re.sub("«(.*)[|](.*)»", chosen, text, flags=re.DOTALL)


def keeps(what: str, file: str, text: str) -> Edit:
    return Edit(what, False, file, text)


def changes(what: str, file: str, text: str) -> Edit:
    return Edit(what, True, file, text)


EDITS = [
    # what cannot change a result
    keeps("a comment", "prices.py", "# «two times|2 x»"),
    keeps("a comment at the top, which moves every line", "prices.py", "«|# days\n\n\n»DAYS = "),
    keeps("a docstring", "prices.py", "«Twice as much|Double»."),
    keeps("the docstring of the file", "prices.py", "«What things cost|Prices»."),
    keeps("a docstring that goes", "prices.py", '«    """The prices of a day."""\n|»'),
    keeps("layout", "prices.py", '{«"double": double, "tidy"|\n    "double": (double),\n    \'tidy\'»'),
    keeps("parentheses that were not needed", "cleaning.py", "* «FACTOR|(FACTOR)»"),
    keeps("another spelling of a number", "prices.py", "RATE = 1.2«|0»"),
    keeps("an argument of the asset's decorator", "prices.py", 'gate="«prices"|other", pii=["code"]»'),
    keeps("the grain, which the ledger compares", "prices.py", "Europe/«London|Berlin»"),
    keeps("an unrelated function in the file", "prices.py", "np.multiply(x, «3|4»)"),
    keeps("an unrelated function in another file", "cleaning.py", "    return «x|0»\n\n\nclass"),
    keeps("an unrelated function two files away", "numbers_for_it.py", "    return «x|0»\n"),
    keeps("an unused constant", "prices.py", "UNUSED = «5|6»"),
    keeps("an unused constant in another file", "tables.py", '"top": «5|6»'),
    keeps("a file that is imported and not used", "unrelated.py", "return «1|2»"),
    keeps("another asset of which the name is a parameter's", "prices.py", "orders.head(«5|6»)"),
    keeps("a definition that is new", "prices.py", "UNUSED = 5«|\n\n\ndef new():\n    return half\n»"),
    keeps("an import under another name", "prices.py", "from tables import LIMITS«| as LIMITS»"),
    # what can
    changes("the body", "prices.py", "orders.«|head(9).»with_columns"),
    changes(
        "a local name, which a result can show",
        "prices.py",
        "«result = x * 2\n    return result|y = x * 2\n    return y»",
    ),
    changes("the name of a column", "prices.py", "«price|cost»=pl.lit(price)"),
    changes("an annotation, which decides what arrives", "prices.py", "orders: pl.«DataFrame|LazyFrame», stock"),
    changes("a default", "prices.py", "surcharge: float = «2|3».5"),
    changes("a decorator's argument", "prices.py", "@logged(level=«1|2»)"),
    changes("a decorator that goes", "prices.py", "«@logged(level=1)\n|»"),
    changes("a decorator's code", "cleaning.py", "return «|2 * »function(*args"),
    changes("a helper in the file", "prices.py", "result = x * 2«|.5»"),
    changes("a type: 1 for 1.0", "prices.py", "return x + 1«|.0»\n"),
    changes("a type: True for 1", "prices.py", "return x + «1|True»\n"),
    changes("a helper in another file", "cleaning.py", "return «|-»weigh(x)"),
    changes("a helper two files away", "numbers_for_it.py", "x - 0.«25|5»"),
    changes("a constant", "prices.py", "RATE = 1.«2|3»"),
    changes("a constant made of a constant", "prices.py", "RATE * «10|11»"),
    changes("a constant in another file", "tables.py", '"top": «100|101»'),
    changes("a constant two files away", "numbers_for_it.py", "FACTOR = 0.«9|8»"),
    changes("a closure's content", "prices.py", "make_shift(«7|8»)"),
    changes("a closure's code", "prices.py", "return x «+|-» offset"),
    changes("a function inside a partial", "cleaning.py", "x «*|/» factor"),
    changes("a partial's argument", "prices.py", "factor=0.«5|25»"),
    changes("the keys of a dictionary of functions", "prices.py", '"«double|twice»": double'),
    changes("the functions of a dictionary", "prices.py", '"double": «double|triple»'),
    changes("a class attribute", "prices.py", "margin = «3|4»"),
    changes("a method", "prices.py", "self.base(x) «*|+» self"),
    changes("a base class", "prices.py", "return x + «1|2»\n"),
    changes("a base class in another file", "cleaning.py", "def «tidied|base»(self, x):\n        return"),
    changes("the order of base classes", "prices.py", "Pricer(«Base, Tidier|Tidier, Base»)"),
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
]


class Bundle:
    """A folder of DAG files, loaded as Airflow loads them: by path, under a name of its own, the folder on the path."""

    def __init__(self, folder: Path, files: Files) -> None:
        self.folder = folder
        for name, text in files.items():
            self.write(name, text)

    def write(self, name: str, text: str) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))
        importlib.invalidate_caches()

    def load(self, name: str = "prices") -> types.ModuleType:
        path = self.folder / f"{name}.py"
        mangled = f"unusual_prefix_{abs(hash(str(path)))}_{name}"
        spec = importlib.util.spec_from_loader(mangled, importlib.machinery.SourceFileLoader(mangled, str(path)))
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[mangled] = module
        spec.loader.exec_module(module)
        return module

    @contextlib.contextmanager
    def on_the_path(self) -> Iterator[None]:
        """For a while, modules are found in this folder and no other bundle's are loaded."""
        places = [str(self.folder), str(self.folder / "site-packages")]
        others = self._take_modules()
        sys.path[:0] = places
        try:
            with decimal.localcontext():  # some of these files set it
                yield
        finally:
            for place in places:
                sys.path.remove(place)
            self._take_modules()
            sys.modules.update(others)

    def _take_modules(self) -> dict[str, types.ModuleType]:
        """Remove from ``sys.modules`` what was loaded from any bundle."""
        home = f"{self.folder.parents[1]}{os.sep}"
        names = [name for name, module in sys.modules.items() if str(getattr(module, "__file__", "")).startswith(home)]
        return {name: sys.modules.pop(name) for name in names}

    def fingerprint(self, name: str = "prices", function: str | None = None) -> Fingerprint:
        with self.on_the_path():
            return fingerprint(getattr(self.load(name), function or name))


@pytest.fixture
def bundle(tmp_path: Path) -> Callable[[Files], Bundle]:
    """Make a folder of files; each call makes another folder."""
    made: list[Bundle] = []

    def make(files: Files) -> Bundle:
        made.append(Bundle(tmp_path / f"v{len(made)}" / "dags", files))
        return made[-1]

    return make


MakeBundle = Callable[[Files], Bundle]


@pytest.mark.parametrize("edit", EDITS, ids=lambda edit: f"{edit.what} {'changes it' if edit.changes else 'keeps it'}")
def test_an_edit_changes_the_fingerprint_if_it_can_change_the_result(edit: Edit, bundle: MakeBundle) -> None:
    """Every kind of edit, in every place that code can be reached from, has the right answer."""
    before, after = bundle(SHOP).fingerprint(), bundle(edit.of(SHOP)).fingerprint()
    assert (before.digest != after.digest) == edit.changes
    if edit.changes:
        assert {each.digest for each in before.components} != {each.digest for each in after.components}


def test_the_order_of_definitions_is_nothing(bundle: MakeBundle) -> None:
    """Functions, classes and constants may stand in another order."""
    shop = dict(SHOP)
    head, *parts = shop["cleaning.py"].split("\n\n\n")
    shop["cleaning.py"] = "\n\n\n".join([head, *reversed(parts)])
    assert bundle(shop).fingerprint().digest == bundle(SHOP).fingerprint().digest


def test_moving_a_function_to_another_file_changes_nothing(bundle: MakeBundle) -> None:
    """Neither does the way in which it is imported then."""
    tidy = "def tidy(x):\n    return weigh(x)\n"
    moved = {
        **SHOP,
        "cleaning.py": SHOP["cleaning.py"].replace(tidy, "from shop.tidying import tidy\n"),
        "shop/__init__.py": "",
        "shop/tidying.py": "from numbers_for_it import weigh as to_weigh\n\n\ndef tidy(x):\n    return to_weigh(x)\n",
    }
    assert bundle(moved).fingerprint().digest == bundle(SHOP).fingerprint().digest


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


def test_explain_can_name_what_changed(bundle: MakeBundle) -> None:
    """The components that differ are the definitions that were edited, each with its file and line."""
    edit = next(each for each in EDITS if each.what == "a helper two files away")
    before, after = bundle(SHOP).fingerprint(), bundle(edit.of(SHOP)).fingerprint()
    old = {each.label: each.digest for each in before.components}
    changed = [each for each in after.components if old.get(each.label) != each.digest]
    assert [(each.label, Path(each.file or "").name, each.line) for each in changed] == [
        ("numbers_for_it.weigh", "numbers_for_it.py", 5)
    ]


# -- where the same source is loaded


def test_two_bundle_versions_give_the_same_fingerprint(bundle: MakeBundle) -> None:
    """Neither the folder nor the module's name enters it."""
    assert bundle(SHOP).fingerprint().digest == bundle(SHOP).fingerprint().digest


def test_versions_of_a_bundle_that_are_loaded_at_once_are_told_apart(bundle: MakeBundle) -> None:
    """A helper's name in ``sys.modules`` may by now stand for the other version's."""
    edit = next(each for each in EDITS if each.what == "a helper in another file")
    old, new = bundle(SHOP), bundle(edit.of(SHOP))
    with old.on_the_path():
        first = old.load().prices
        capture(first.__globals__)
    with new.on_the_path():
        second = new.load().prices
        digests = fingerprint(first).digest, fingerprint(second).digest
    assert digests == (bundle(SHOP).fingerprint().digest, bundle(edit.of(SHOP)).fingerprint().digest)


def test_every_process_gives_the_same_fingerprint(bundle: MakeBundle) -> None:
    """A script, a plain import, another hash seed and a DAG file's mangled name do not differ."""
    made = bundle(SHOP)
    program = "import prices, tidemark.fingerprint as f; print(f.fingerprint(prices.prices).digest.hex())"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(made.folder), *filter(None, sys.path)])}
    for seed in ("1", "2"):
        run = subprocess.run(
            [sys.executable, "-c", program],
            env={**environment, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        )
        assert run.stdout.strip() == made.fingerprint().digest.hex()


def test_a_zip_of_dag_files_gives_the_same_fingerprint(bundle: MakeBundle, tmp_path: Path) -> None:
    """Its text comes from what loads it, also that of what a function imports as it runs."""
    files = program("def prices(x):\n    from helper import RATE\n    return RATE", helper="RATE = 1")
    path = tmp_path / "dags.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    sys.path.insert(0, str(path))
    try:
        assert fingerprint(importlib.import_module("prices").prices).digest == bundle(files).fingerprint().digest
    finally:
        sys.path.remove(str(path))
        del sys.modules["prices"]


class Notebook:
    """A namespace in which cells are run as IPython does it: no file, the text in linecache, the history in ``In``."""

    def __init__(self) -> None:
        self.names: dict[str, object] = {"__name__": "__main__", "In": [""]}

    def run(self, cell: str) -> None:
        history = self.names["In"]
        assert isinstance(history, list)
        history.append(cell)
        name = f"<ipython-input-{len(history)}-{abs(hash(cell))}>"
        linecache.cache[name] = (len(cell), None, cell.splitlines(keepends=True), name)
        exec(compile(cell, name, "exec"), self.names)


def test_a_notebook_gives_the_same_fingerprint_as_the_file(bundle: MakeBundle) -> None:
    """Cells may be run in another order, tried out in between, and run again after an edit."""
    made = bundle(SHOP)
    with made.on_the_path():
        notebook = Notebook()
        imports, rest = SHOP["prices.py"].split("DAYS = ", 1)
        constants, functions = rest.split("def double", 1)
        notebook.run(imports)
        notebook.run("RATE = 99\n1 + 1")
        notebook.run("DAYS = " + constants)
        notebook.run("def double" + functions.replace("x * 2", "x * 22"))
        function = notebook.names["prices"]
        assert callable(function)
        other = fingerprint(function).digest
        notebook.run("def double" + functions)
        function = notebook.names["prices"]
        assert callable(function)
        assert other != fingerprint(function).digest == made.fingerprint().digest


# -- small programs, each about one way to reach code


def program(text: str, helper: str = "") -> Files:
    return {"prices.py": text, "helper.py": helper}


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


CASES = list(read_cases(Path(__file__).with_name("fingerprint_cases.txt").read_text(encoding="utf-8")))


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


# -- an oracle: run it


ORACLE: Files = {
    **SHOP,
    "prices.py": SHOP["prices.py"].replace("orders.with_columns(price=pl.lit(price))", "price, type(price)"),
    "run.py": "import prices\n\n\ndef result():\n    return repr(prices.prices(None, None))\n",
}


def numbers_in(files: Files) -> Iterator[tuple[str, Files]]:
    """Yield the files with one number changed, for each number in each."""
    for name, text in files.items():
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Constant) and type(node.value) in (int, float):
                lines = text.splitlines(keepends=True)
                line = lines[node.lineno - 1]
                changed = f"{line[: node.col_offset]}({node.value!r} + 17){line[node.end_col_offset :]}"
                where = f"{name}:{node.lineno}: {changed.strip()}"
                yield where, {**files, name: "".join([*lines[: node.lineno - 1], changed, *lines[node.lineno :]])}


def test_no_number_can_be_changed_that_changes_the_result_but_not_the_fingerprint(bundle: MakeBundle) -> None:
    """Each number in the shop is changed in turn, the function is run, and its result compared."""

    def outcome(files: Files) -> tuple[str, bytes]:
        made = bundle(files)
        with made.on_the_path():
            return made.load("run").result(), fingerprint(importlib.import_module("prices").prices).digest

    result, digest = outcome(ORACLE)
    told = kept = 0
    for where, files in numbers_in(ORACLE):
        new_result, new_digest = outcome(files)
        assert new_result == result or new_digest != digest, f"{where} changes the result and not the fingerprint"
        told += new_digest != digest
        kept += new_digest == digest
    assert told > 10
    assert kept > 3


# -- what is loaded and what is on disk


def test_an_edit_after_the_import_is_refused_with_what_to_do(bundle: MakeBundle) -> None:
    """What would be digested is not what would run."""
    made = bundle(SHOP)
    with made.on_the_path():
        prices = made.load().prices
        made.write("cleaning.py", SHOP["cleaning.py"].replace("return weigh(x)", "return -weigh(x)"))
        with pytest.raises(DefinitionError, match=r"cleaning.py: tidy is loaded in another form .*importlib.reload"):
            fingerprint(prices)


@pytest.mark.parametrize("how", ["captured at import", "fingerprinted before"])
def test_an_edit_after_the_capture_changes_nothing_until_it_is_loaded(how: str, bundle: MakeBundle) -> None:
    """The captured text is the one that runs; a reload takes the new one."""
    made = bundle(SHOP)
    edited = SHOP["cleaning.py"].replace("return weigh(x)", "return -weigh(x)")
    with made.on_the_path():
        module = made.load()
        if how == "captured at import":
            capture(vars(module))
        else:
            fingerprint(module.prices)
        made.write("cleaning.py", edited)
        assert fingerprint(module.prices).digest == bundle(SHOP).fingerprint().digest
        importlib.reload(sys.modules["cleaning"])
        new = made.load().prices
        assert fingerprint(new).digest == bundle({**SHOP, "cleaning.py": edited}).fingerprint().digest


def test_a_reload_after_an_edit_of_a_constant_alone_is_noticed(bundle: MakeBundle) -> None:
    """No function tells it, but the value does."""
    files = program("import helper\ndef prices(x): return helper.RATE", helper="RATE = 1")
    made = bundle(files)
    with made.on_the_path():
        prices = made.load().prices
        fingerprint(prices)
        made.write("helper.py", "RATE = 20")
        importlib.reload(sys.modules["helper"])
        assert fingerprint(prices).digest == bundle({**files, "helper.py": "RATE = 20"}).fingerprint().digest


def test_an_edit_before_a_function_imports_it_is_noticed(bundle: MakeBundle) -> None:
    """What is not loaded yet runs as it is when it is."""
    files = program("def prices(x):\n    from helper import RATE\n    return RATE", helper="RATE = 1")
    made = bundle(files)
    with made.on_the_path():
        prices = made.load().prices
        before = fingerprint(prices).digest
        made.write("helper.py", "RATE = 20")
        after = fingerprint(prices).digest
        assert before != after == bundle({**files, "helper.py": "RATE = 20"}).fingerprint().digest
        assert prices(1) == 20
        assert fingerprint(prices).digest == after


def test_an_edited_comment_after_the_import_is_no_matter(bundle: MakeBundle) -> None:
    """Though every line has moved."""
    made = bundle(SHOP)
    with made.on_the_path():
        prices = made.load().prices
        made.write("cleaning.py", "# new\n\n" + SHOP["cleaning.py"])
        assert fingerprint(prices).digest == bundle(SHOP).fingerprint().digest


def test_a_function_without_text_is_refused() -> None:
    """Nobody could notice a change to it."""
    names: dict[str, Callable[..., object]] = {}
    exec("def f(x): return x", names)
    with pytest.raises(DefinitionError, match="no source text"):
        fingerprint(names["f"])


def test_a_closure_whose_content_cannot_be_told_is_refused() -> None:
    """A lock, say: two of them look the same."""
    lock = threading.Lock()

    def prices(x: int) -> int:
        with lock:
            return x

    with pytest.raises(DefinitionError, match=r"prices\(\) holds a lock"):
        fingerprint(prices)


def test_functions_of_one_factory_differ_by_what_they_hold() -> None:
    """As assets made in a loop do."""

    def make(country: str) -> Callable[[str], str]:
        def sales(orders: str) -> str:
            return orders + country

        return sales

    assert fingerprint(make("GB")).digest == fingerprint(make("GB")).digest != fingerprint(make("FR")).digest


# -- values that are worked out at import


def test_the_environment_counts_where_a_constant_reads_it(bundle: MakeBundle, monkeypatch: pytest.MonkeyPatch) -> None:
    """The text is the same, the value is not."""
    made = bundle(program("import os\nRATE = float(os.environ['RATE'])\ndef prices(x): return x * RATE"))
    digests = []
    for rate in ("1", "2", "1"):
        monkeypatch.setenv("RATE", rate)
        digests.append(made.fingerprint().digest)
    assert digests[0] == digests[2] != digests[1]


def test_the_environment_counts_where_it_chooses_a_function(
    bundle: MakeBundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both are in the text, and one is loaded."""
    text = "import os\nif os.environ['RATE'] == '1':\n    def rate(): return 1\nelse:\n    def rate(): return 2\n"
    made = bundle(program(text + "def prices(x): return x * rate()"))
    digests = []
    for rate in ("1", "2", "1"):
        monkeypatch.setenv("RATE", rate)
        digests.append(made.fingerprint().digest)
    assert digests[0] == digests[2] != digests[1]


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


# -- resources and distributions


def test_a_declared_file_counts_by_its_content(tmp_path: Path) -> None:
    """Neither by its name nor by its place; the order of the files is that of the declaration."""
    one, two, same = tmp_path / "one.sql", tmp_path / "two.sql", tmp_path / "elsewhere.sql"
    one.write_text("select 1")
    two.write_text("select 2")
    same.write_text("select 1")

    def digest(*files: Path) -> bytes:
        return fingerprint(test_a_declared_file_counts_by_its_content, resources=files).digest

    assert digest(one) == digest(same)
    assert len({digest(), digest(one), digest(two), digest(one, two), digest(two, one)}) == 5
    with pytest.raises(DefinitionError, match=r"gone.sql: .* name a file that is there"):
        digest(tmp_path / "gone.sql")


def installed(name: str, version: str, *needs: str, module: str = "") -> Files:
    """Name the files of an installed distribution with one module."""
    module = module or name
    information = f"site-packages/{name.replace('-', '_')}-{version}.dist-info"
    metadata = [
        "Metadata-Version: 2.1",
        f"Name: {name}",
        f"Version: {version}",
        *(f"Requires-Dist: {x}" for x in needs),
    ]
    return {
        f"site-packages/{module}/__init__.py": "def run(x):\n    return x\n",
        f"{information}/METADATA": "\n".join([*metadata, ""]),
        f"{information}/RECORD": f"{module}/__init__.py,,\n",
    }


def test_the_versions_of_what_is_used_count_and_of_nothing_else(bundle: MakeBundle) -> None:
    """What the closure imports and what that needs where it runs, not what stands beside it."""
    text = """
import fast_math, other_math

def prices(x):
    return fast_math.run(x)

def other(x):
    return other_math.run(x)
"""
    needs = ("needed>=1", "extra; extra == 'all'", "gone; python_version < '3'")

    def made(fast: str = "1.0", needed: str = "1.0", beside: str = "1.0") -> Fingerprint:
        files = {
            **installed("Fast-Math", fast, *needs, module="fast_math"),
            **installed("needed", needed),
            **installed("extra", beside),
            **installed("gone", beside),
            **installed("other_math", beside),
            "prices.py": text,
        }
        return bundle(files).fingerprint()

    first = made()
    assert first.distributions == (("fast-math", "1.0"), ("needed", "1.0"))
    assert made(fast="1.1").digest != first.digest
    assert made(needed="1.1").digest != first.digest
    assert made(beside="1.1").digest == first.digest


def test_a_package_that_is_imported_and_never_named_counts(bundle: MakeBundle) -> None:
    """It is imported for its effect, such as methods that it adds to data frames."""
    made = bundle({**installed("framemath", "3.1"), "prices.py": "import framemath\n\ndef prices(x):\n    return x\n"})
    assert made.fingerprint().distributions == (("framemath", "3.1"),)


def test_the_distribution_of_what_a_function_imports_as_it_runs_counts(bundle: MakeBundle) -> None:
    """And it is not imported for that."""
    text = "def prices(x):\n    from lazymath import run\n    return run(x)\n"
    made = bundle({**installed("lazymath", "3.1"), "prices.py": text})
    assert made.fingerprint().distributions == (("lazymath", "3.1"),)


def test_nothing_is_imported(bundle: MakeBundle) -> None:
    """The DAG processor stays light, whatever the functions will import."""
    text = "def prices(x):\n    import helper, sklearn.linear_model\n    return helper.tidy(sklearn)\n"
    made = bundle(program(text, helper="import mailcap\ndef tidy(x): return x"))
    code = """if True:
        import sys, prices, tidemark.fingerprint
        before = set(sys.modules)
        tidemark.fingerprint.fingerprint(prices.prices)
        print(set(sys.modules) - before)
    """
    path = os.pathsep.join([str(made.folder), *filter(None, sys.path)])
    run = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, check=True
    )
    loaded = {name.partition(".")[0] for name in ast.literal_eval(run.stdout)}
    assert loaded.isdisjoint({"helper", "sklearn", "mailcap", "numpy", "pandas", "pyarrow"})


def test_twenty_assets_of_one_file_cost_little(bundle: MakeBundle) -> None:
    """The DAG processor does this at each parse."""
    one = SHOP["prices.py"].split('@asset(partitions=DAYS, gate="prices"')[1]
    text = SHOP["prices.py"] + "".join(
        f'\n\n@asset(partitions=DAYS, gate="prices"{one}'.replace("def prices", f"def prices_{number}")
        for number in range(20)
    )
    made = bundle({**SHOP, "prices.py": text})
    with made.on_the_path():
        module = made.load()
        start = time.process_time()
        digests = {fingerprint(getattr(module, f"prices_{number}")).digest for number in range(20)}
        assert time.process_time() - start < 0.3
    assert len(digests) == 20
