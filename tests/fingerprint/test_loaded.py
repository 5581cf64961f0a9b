"""Rule 2, wherever and whenever code is loaded: one source has one code version, and what is digested is what runs."""

import importlib
import linecache
import sys
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.fingerprint.bundles import MakeBundle, program
from tests.fingerprint.edited import SHOP, changes
from tidemark.errors import DefinitionError
from tidemark.fingerprint import capture, fingerprint

HELPER = changes("a helper in another file", "cleaning.py", "return «|-»weigh(x)")


def test_two_bundle_versions_give_the_same_fingerprint(bundle: MakeBundle) -> None:
    """Neither the folder nor the module's name enters it."""
    assert bundle(SHOP).fingerprint().digest == bundle(SHOP).fingerprint().digest


def test_versions_of_a_bundle_that_are_loaded_at_once_are_told_apart(bundle: MakeBundle) -> None:
    """A helper's name in ``sys.modules`` may by now stand for the other version's."""
    old, new = bundle(SHOP), bundle(HELPER.of(SHOP))
    with old.on_the_path():
        first = old.load().prices
        capture(first.__globals__)
    with new.on_the_path():
        second = new.load().prices
        digests = fingerprint(first).digest, fingerprint(second).digest
    assert digests == (bundle(SHOP).fingerprint().digest, bundle(HELPER.of(SHOP)).fingerprint().digest)


def test_what_is_worked_out_in_a_version_that_was_loaded_before_counts_all_the_same(bundle: MakeBundle) -> None:
    """Whether another version of the bundle was loaded since makes no difference."""
    files = {
        "prices.py": "import helper\nfrom rated import rates\ndef prices(x): return helper.RATE, rates.RATE",
        "helper.py": "RATE = 1 + 1",
        "rated/__init__.py": "",
        "rated/rates.py": "RATE = 2 + 2",
    }
    old, new = bundle(files), bundle({**files, "rated/rates.py": "RATE = 3 + 3"})
    with old.on_the_path():
        first = old.load().prices
        capture(first.__globals__)
    with new.on_the_path():
        new.load()
        assert fingerprint(first).digest == bundle(files).fingerprint().digest


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


def test_a_notebook_gives_the_same_fingerprint_as_the_file(bundle: MakeBundle, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cells may be run in another order, tried out in between, and run again after an edit."""
    made = bundle(SHOP)
    monkeypatch.chdir(made.folder)
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
