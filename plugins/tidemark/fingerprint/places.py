"""Whose code it is: decided by the place of the file alone, never by a module's name."""

import functools
import os
import sysconfig
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_TIDEMARK = os.path.realpath(Path(__file__).parents[1])
_STANDARD_LIBRARY = tuple(os.path.realpath(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib"))


@functools.cache
def first_party(path: str) -> bool:
    """Return whether a file is the team's own code: not the standard library, nor installed, nor tidemark itself.

    ``sys.prefix`` itself says nothing: images keep folders of DAGs below it.
    """
    place = os.path.realpath(path)
    if any(inside(place, folder) for folder in (_TIDEMARK, *_STANDARD_LIBRARY)):
        return False
    return {"site-packages", "dist-packages"}.isdisjoint(Path(place).parts)


def inside(place: str, folder: str) -> bool:
    """Return whether a path is a folder or below it."""
    return place == folder or place.startswith(folder.rstrip(os.sep) + os.sep)


def is_first_party(namespace: Mapping[str, Any]) -> bool:
    """Return whether a module's namespace is the team's own code; that of a notebook or of text that was run is."""
    file = namespace.get("__file__")
    if isinstance(file, str):
        return first_party(file)
    folders = list(namespace.get("__path__") or ())
    if folders:
        return first_party(str(folders[0]))
    return namespace.get("__spec__") is None


def is_tidemark(namespace: Mapping[str, Any]) -> bool:
    """Return whether a module's namespace is one of tidemark's own."""
    file = namespace.get("__file__")
    return isinstance(file, str) and inside(os.path.realpath(file), _TIDEMARK)
