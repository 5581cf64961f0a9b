"""Rule 2 for declared files and installed distributions, and what a code version costs."""

import ast
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.fingerprint.bundles import MakeBundle, installed, program
from tests.fingerprint.edited import SHOP
from tidemark.errors import DefinitionError
from tidemark.fingerprint import Fingerprint, fingerprint


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
    one = SHOP["prices.py"].split('@asset(partitions=DAYS, owner="pricing"')[1].split("dag = ")[0]
    text = SHOP["prices.py"] + "".join(
        f'\n\n@asset(partitions=DAYS, owner="pricing"{one}'.replace("def prices", f"def prices_{number}")
        for number in range(20)
    )
    made = bundle({**SHOP, "prices.py": text})
    with made.on_the_path():
        module = made.load()
        start = time.process_time()
        digests = {fingerprint(getattr(module, f"prices_{number}")).digest for number in range(20)}
        assert time.process_time() - start < 0.3
    assert len(digests) == 20
