"""Folders of DAG files for the tests of code versions, and the ways in which the product loads them."""

import contextlib
import decimal
import importlib
import importlib.machinery
import importlib.util
import os
import re
import sys
import textwrap
import types
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from tidemark.fingerprint import Fingerprint, fingerprint

Files = Mapping[str, str]
"""The texts of files, by their path in the folder."""

BEFORE, AFTER = r"\1", r"\2"


def read_marked(text: str, chosen: str) -> str:
    """Return a text as it is before or after the edit that is marked in it as ``«this|that»``."""
    return re.sub("«(.*)[|](.*)»", chosen, text, flags=re.DOTALL)


def program(text: str, helper: str = "") -> Files:
    """Return two files: ``prices.py``, and a ``helper.py`` that it may import."""
    return {"prices.py": text, "helper.py": helper}


def installed(name: str, version: str, *needs: str, module: str = "") -> Files:
    """Return the files of an installed distribution with one module."""
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


class Bundle:
    """A folder of DAG files, loaded as Airflow loads them: by path, under a name of its own, the folder on the path."""

    def __init__(self, folder: Path, files: Files = types.MappingProxyType({})) -> None:
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


MakeBundle = Callable[[Files], Bundle]
