"""What runs here, and what a lock file or the record of another place says should: Python, distributions, the image.

A lock is what ``pip install --require-hashes`` reads: a version for each distribution, some of them under a condition.
"""

import json
import locale
import os
import platform
import re
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

from tidemark.errors import UsageError

# Installers: they bring what runs, and nothing that runs imports them.
INSTALLERS = frozenset({"pip", "uv"})

OURS = "tidemark"

_HASH = re.compile(r"\s--hash=\S+")
_COMMENT = re.compile(r"(^|\s)#.*$")


@dataclass(frozen=True)
class Installation:
    """What runs in a place.

    Attributes:
        python: Python's version.
        distributions: version of each installed distribution by its normal name; installers and Tidemark aside.
        tidemark: Tidemark's own version, or None where it runs from a folder.
        image: the name of the image, or None where that is unknown (``TIDEMARK_IMAGE``).
        commit: of which commit the image was made, or None (``TIDEMARK_COMMIT``).
        time_zone: of the machine.
        locale: which characters the C library knows; Python asks for no other part of it by itself.
        encoding: of text files that are opened without one.

    """

    python: str
    distributions: Mapping[str, str]
    tidemark: str | None = None
    image: str | None = None
    commit: str | None = None
    time_zone: str | None = None
    locale: str | None = None
    encoding: str | None = None

    @property
    def airflow(self) -> str | None:
        """Airflow's version, or None where it is not installed."""
        return self.distributions.get("apache-airflow")

    @property
    def providers(self) -> dict[str, str]:
        """The versions of Airflow's providers."""
        return {
            name: version
            for name, version in self.distributions.items()
            if name.startswith("apache-airflow-providers-")
        }

    def plain(self) -> dict[str, Any]:
        """Return it as what JSON can hold, and :func:`read_record` reads."""
        return {**asdict(self), "airflow": self.airflow}


def normal(name: str) -> str:
    """Return the name of a distribution as all its spellings are compared."""
    return re.sub(r"[-_.]+", "-", name).lower()


def installed_here() -> Installation:
    """Return what this process runs with."""
    found: dict[str, str] = {}
    for each in distributions():
        if each.name:  # what is left of a broken installation has none
            found.setdefault(normal(each.name), each.version)  # the first on the path is the one that is imported
    own = found.pop(OURS, None)
    return Installation(
        python=platform.python_version(),
        distributions={name: version for name, version in sorted(found.items()) if name not in INSTALLERS},
        tidemark=own,
        image=os.environ.get("TIDEMARK_IMAGE") or None,
        commit=os.environ.get("TIDEMARK_COMMIT") or None,
        time_zone=_time_zone(),
        locale=locale.setlocale(locale.LC_CTYPE, None),
        encoding=locale.getencoding() if not sys.flags.utf8_mode else "utf-8",
    )


def _time_zone() -> str:
    """Return the machine's zone by its name, where it has one that can be found out."""
    given = os.environ.get("TZ", "").removeprefix(":")
    if given:
        return given
    place = os.path.realpath("/etc/localtime").partition("zoneinfo/")[2]
    return {"": time.tzname[0], "Etc/UTC": "UTC", "Etc/UCT": "UTC"}.get(place, place)


def read_lock(file: Path) -> dict[str, str]:
    """Return the version of each distribution that a lock file names for this Python and this machine.

    Args:
        file: pinned requirements, with or without hashes; conditions are judged for what runs here.

    Raises:
        UsageError: it cannot be read, or a line of it pins nothing.

    """
    from packaging.requirements import InvalidRequirement, Requirement

    found: dict[str, str] = {}
    for number, line in _requirements(_text(file)):
        try:
            one = Requirement(line)
        except InvalidRequirement as problem:
            raise UsageError(
                f"{file}, line {number}: {line!r} is no pinned requirement: write NAME==VERSION"
            ) from problem
        pins = [each.version for each in one.specifier if each.operator in ("==", "===") and "*" not in each.version]
        if len(pins) != 1 or len(one.specifier) != 1:
            raise UsageError(
                f"{file}, line {number}: {one.name} is not pinned to one version: a lock names one of each (make lock)"
            )
        if one.marker is not None and not one.marker.evaluate():
            continue
        name = normal(one.name)
        if found.setdefault(name, pins[0]) != pins[0]:
            raise UsageError(
                f"{file}, line {number}: {one.name} is pinned to {pins[0]} here and to {found[name]} above"
            )
    if not found:
        raise UsageError(f"{file} names no distribution: give a lock file, such as requirements.txt")
    return {name: version for name, version in sorted(found.items()) if name not in INSTALLERS}


def _requirements(text: str) -> Iterator[tuple[int, str]]:
    """Yield each requirement with the number of its first line; hashes and comments are for the installer."""
    begun, start = "", 0
    for number, line in enumerate(text.splitlines(), 1):
        start = start if begun else number
        line = _COMMENT.sub("", line).rstrip()
        begun += line.removesuffix("\\") + " "
        if line.endswith("\\"):
            continue
        said, begun = _HASH.sub("", begun).strip(), ""
        if said:
            yield start, said
    if begun.strip():
        yield start, _HASH.sub("", begun).strip()


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except OSError as problem:
        raise UsageError(f"{file} cannot be read: {problem.strerror or problem}: name another file") from problem
    except UnicodeDecodeError as problem:
        raise UsageError(f"{file} is no text: name another file") from problem


def find_lock() -> Path:
    """Return the lock file of what runs here: ``TIDEMARK_LOCK``, else the one of the checkout, else in this folder.

    Raises:
        UsageError: there is none.

    """
    given = os.environ.get("TIDEMARK_LOCK")
    if given:
        return Path(given)
    checkout = Path(__file__).parents[2]
    for folder in ([checkout] if (checkout / "pyproject.toml").is_file() else []) + [Path.cwd()]:
        if (folder / "requirements.txt").is_file():
            return folder / "requirements.txt"
    raise UsageError("there is no lock file: name it with --lock FILE, or in TIDEMARK_LOCK")


def read_record(file: Path) -> Installation:
    """Return what a place has said of itself: the answer of ``tidemark env-check --json``, or its part ``here``.

    Raises:
        UsageError: it cannot be read, or is no such record.

    """
    try:
        said = json.loads(_text(file))
        said = said.get("here", said)
        known = {each.name for each in fields(Installation)}
        made = Installation(**{name: value for name, value in said.items() if name in known})
        assert isinstance(made.python, str)
        assert all(isinstance(version, str) for version in made.distributions.values())
    except (ValueError, TypeError, AttributeError, AssertionError) as problem:
        raise UsageError(f"{file} is no record of a release: make one with 'tidemark env-check --json'") from problem
    return made
