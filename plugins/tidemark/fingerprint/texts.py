"""The source of modules, captured: read once, so that what is looked at is what was loaded, not what is there now."""

import hashlib
import importlib.machinery
import linecache
import os
import sys
import tokenize
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any
from weakref import WeakSet

from tidemark.errors import DefinitionError
from tidemark.fingerprint.places import first_party

_EXTENSIONS = tuple(importlib.machinery.EXTENSION_SUFFIXES)


@dataclass(frozen=True)
class Text:
    """The source of a module, as captured.

    Attributes:
        cells: its text, as one cell; a notebook has many.
        token: size and time of the file, or None.
        binary: digest of a compiled extension, which has no text.

    """

    cells: tuple[str, ...]
    token: tuple[int, int] | None = None
    binary: bytes = b""


# By the id of a namespace; each is kept, so that its id stays its own.
_texts: dict[int, tuple[dict[str, Any], Text]] = {}
_captured: "WeakSet[ModuleType]" = WeakSet()


def capture(namespace: dict[str, Any]) -> None:
    """Read the text of a first-party module, and of each one loaded so far, unless that was done before.

    Called while a file of definitions is imported, it leaves no time in which a file could be edited unnoticed.
    """
    new = [each for each in list(sys.modules.values()) if type(each) is ModuleType and each not in _captured]
    _captured.update(new)
    for each in [namespace, *map(vars, new)]:
        file = each.get("__file__")
        if isinstance(file, str) and first_party(file):
            text_of(file, each)


def text_of(path: str, namespace: dict[str, Any]) -> Text:
    """Return the text of a loaded module, as it was when it was first asked for.

    Raises:
        DefinitionError: if it cannot be read.

    """
    known = _texts.get(id(namespace))
    if known is None:
        known = _texts[id(namespace)] = (namespace, read(path, str(namespace.get("__name__")), namespace))
    return known[1]


def captured(name: str) -> list[dict[str, Any]]:
    """Return the namespaces of all modules that had a name when they were captured, the latest first."""
    return [namespace for namespace, _ in reversed(_texts.values()) if namespace.get("__name__") == name]


def forget(namespace: Mapping[str, Any]) -> None:
    """Forget the text of a module, which is loaded anew."""
    _texts.pop(id(namespace), None)


def file_token(path: str | None) -> tuple[int, int] | None:
    """Return the size and time of a file, or None if there is none."""
    try:
        status = os.stat(path) if path is not None else None
    except OSError:
        return None
    return (status.st_size, status.st_mtime_ns) if status is not None else None


def read(path: str, name: str, namespace: Mapping[str, Any]) -> Text:
    """Read a module's text from its file or, if it stands in no file of its own, from what loaded it.

    Raises:
        DefinitionError: if it cannot be read.

    """
    token = file_token(path)
    if path.endswith(_EXTENSIONS):
        return Text((), token, hashlib.sha256(Path(path).read_bytes()).digest())
    try:
        with tokenize.open(path) as file:
            return Text((file.read(),), token)
    except (OSError, SyntaxError, UnicodeDecodeError):
        return Text((_source_from_loader(path, name, namespace),), token)


def _source_from_loader(path: str, name: str, namespace: Mapping[str, Any]) -> str:
    """Return the text of a module that is no file of its own: one inside a zip, for instance."""
    loader = namespace.get("__loader__")
    try:
        text = loader.get_source(name) if loader is not None else None
    except (ImportError, OSError, AttributeError):
        text = None
    if text is None:
        raise DefinitionError(
            f"{path}: its source text cannot be read, so a change to it could not be noticed: "
            "deploy the .py file, in UTF-8 or with its encoding declared"
        )
    return str(text)


def cells_of(namespace: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the texts that were run in a namespace without a file: IPython's history, or what linecache knows."""
    history = namespace.get("In")
    if isinstance(history, list):
        return tuple(each for each in history if isinstance(each, str))
    functions = [each for each in list(namespace.values()) if isinstance(each, FunctionType)]
    names = dict.fromkeys(each.__code__.co_filename for each in functions if each.__globals__ is namespace)
    return tuple("".join(linecache.getlines(each, dict(namespace))) for each in names)
