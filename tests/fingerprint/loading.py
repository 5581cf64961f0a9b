"""The ways in which the product comes to load a DAG file, and the code version of its prices after each.

``python -m tests.fingerprint.loading WAY FOLDER`` writes ``FOLDER/WAY.json``: the code version in each folder below.
"""

import importlib
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

from tests.fingerprint.bundles import Bundle
from tidemark.catalog import load_catalog
from tidemark.fingerprint import Fingerprint


def as_airflow(folder: Path) -> Fingerprint:
    """Load the file by its path, under a name that its place is mangled into, as the DAG processor does."""
    return _prices(Bundle(folder).load())


def as_command(folder: Path) -> Fingerprint:
    """Load the folder as ``tidemark plan`` does."""
    return load_catalog(folder).pipeline("prices").asset("prices").code


def as_import(folder: Path) -> Fingerprint:
    """Import the file as a test does, or a notebook."""
    return _prices(importlib.import_module("prices"))


def as_renamed_copy(folder: Path) -> Fingerprint:
    """Load a copy of the file in another folder, inside a package and under another name, its helpers beside it."""
    copy = folder.with_name("a copy")
    if not copy.exists():
        shutil.copytree(folder, copy)
        (copy / "team").mkdir()
        (copy / "team" / "__init__.py").touch()
        for file in ("prices.py", "rules.sql", "margins.yaml"):
            (copy / file).rename(copy / "team" / file.replace("prices", "renamed"))
    with Bundle(copy).on_the_path():
        return _prices(importlib.import_module("team.renamed"))


WAYS: dict[str, Callable[[Path], Fingerprint]] = {
    "airflow": as_airflow,
    "command": as_command,
    "pytest": as_import,
    "copy": as_renamed_copy,
}

TEST = """
import os
from pathlib import Path

import pytest

from tests.fingerprint import loading

pytest.register_assert_rewrite("prices", "cleaning")


def test_prices():
    loading.take("pytest", Path(os.environ["EDITS"]))
"""
"""The file that pytest is given: it rewrites the asserts of the modules that it is told to."""


def code_version(folder: Path, way: str = "airflow") -> Fingerprint:
    """Return the code version of a folder's prices, loaded in one of the ways."""
    with Bundle(folder).on_the_path():
        return WAYS[way](folder)


def take(way: str, base: Path) -> None:
    """Write down the code version of the prices in each folder below a folder."""
    taken = {each.parent.name: code_version(each, way).digest.hex() for each in sorted(base.glob("*/dags"))}
    (base / f"{way}.json").write_text(json.dumps(taken))


def _prices(module: ModuleType) -> Fingerprint:
    found: Fingerprint = module.prices.__tidemark__.code
    return found


if __name__ == "__main__":
    take(sys.argv[1], Path(sys.argv[2]))
