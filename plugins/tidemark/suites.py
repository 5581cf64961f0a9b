"""Suites: the files in which people write what a gate checks, in Great Expectations' own JSON form.

Invariants: a suite that is read is well formed, so that a mistake in one shows when definitions are loaded and not when
a delivery waits at the gate; its digest changes when, and only when, one of its rules does. Great Expectations is never
imported here: planning needs the digests, and it costs seconds to import.
"""

import difflib
import importlib.util
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from tidemark.errors import DefinitionError
from tidemark.hashing import canonical, digest

SEVERITIES = ("critical", "warning", "info")  # from the worst to the mildest
_SUITE_KEYS = {"name", "expectations", "suite_parameters", "meta", "notes", "id"}
_EXPECTATION_KEYS = {"type", "kwargs", "severity", "description", "notes", "meta", "id", "rendered_content"}
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")


@dataclass(frozen=True)
class Rule:
    """One expectation of a suite.

    Attributes:
        type: which of Great Expectations' it is, such as ``expect_column_values_to_not_be_null``.
        kwargs: its arguments.
        severity: what its failure means: one of `SEVERITIES`.
        description: its author's words for it, or None.

    """

    type: str
    kwargs: Mapping[str, Any]
    severity: str
    description: str | None = None

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that it is about; none if it is about the whole table."""
        named = [self.kwargs.get(key) for key in ("column", "column_A", "column_B")]
        return tuple(str(name) for name in [*named, *(self.kwargs.get("column_list") or ())] if name is not None)

    def touches(self, columns: frozenset[str]) -> bool:
        """Whether it reads one of some columns, be it in a condition on rows that is written as text."""
        looked_at = {key: value for key, value in self.kwargs.items() if key != "column_set"}  # names, never values
        return any(name in text for text in _texts(looked_at) for name in columns)


@dataclass(frozen=True)
class Suite:
    """A suite file, read and found well formed.

    Attributes:
        name: its name, which is also the file's.
        path: the file.
        digest: 32 bytes that stand for its rules: equal digests, equal verdicts on equal data.
        rules: its expectations, in the file's order.

    """

    name: str
    path: Path
    digest: bytes
    rules: tuple[Rule, ...]


def find_suite(name: str, folder: Path) -> Path:
    """Return the file of a suite, ``folder/NAME.json``, after reading it.

    Raises:
        DefinitionError: there is none, or it is malformed; the message names the file, where known the line, and the
            mend.

    """
    if not _NAME.fullmatch(name):
        raise DefinitionError(f"gate {name!r} is no name of a suite: use letters, digits, '_', '-' and '.'")
    path = folder / f"{name}.json"
    if not path.is_file():
        there = sorted(each.stem for each in folder.glob("*.json"))
        close = difflib.get_close_matches(name, there, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"suites there: {', '.join(there) or 'none'}."
        raise DefinitionError(f"gate {name!r}: there is no suite {path}; {hint} docs/gates.md shows how to write one")
    read_suite(path)
    return path


def suite_digest(path: Path) -> bytes:
    """Return the digest of a suite's rules: 32 bytes.

    Formatting, the order of keys and of expectations, ids, notes, descriptions and meta do not count.

    Raises:
        DefinitionError: the file cannot be read, or is malformed.

    """
    return read_suite(path).digest


def read_suite(path: Path) -> Suite:
    """Read a suite file.

    Raises:
        DefinitionError: the file cannot be read, or is malformed.

    """
    try:
        return parse_suite(path, path.read_bytes())
    except OSError as error:
        raise DefinitionError(f"{path}: cannot be read: {error.strerror or error}") from error


def parse_suite(path: Path, text: bytes) -> Suite:
    """Make a suite of a file's text.

    Raises:
        DefinitionError: it is malformed.

    """
    content = _json(path, text)
    if not isinstance(content, dict) or not isinstance(content.get("expectations"), list):
        raise DefinitionError(f'{path}: a suite is an object with a "name" and a list of "expectations"')
    _refuse_unknown(path, "the suite", content, _SUITE_KEYS)
    if content.get("name") != path.stem:
        raise DefinitionError(f'{path}: its "name" is {content.get("name")!r}; it must be the file\'s, {path.stem!r}')
    if not content["expectations"]:
        raise DefinitionError(
            f"{path}: there are no expectations, so everything would pass; write one, or drop the gate"
        )
    rules = tuple(_rule(path, number, each) for number, each in enumerate(content["expectations"], start=1))
    counted = sorted(canonical((rule.type, rule.kwargs, rule.severity)) for rule in rules)
    return Suite(path.stem, path, digest("suite", path.stem, counted), rules)


def _json(path: Path, text: bytes) -> object:
    try:
        # 1.0 and 1 are the same limit, whichever of them an editor writes.
        return json.loads(text.decode("utf-8-sig"), parse_float=_number)
    except UnicodeDecodeError as error:
        line = text.count(b"\n", 0, error.start) + 1
        raise DefinitionError(f"{path}, line {line}: not UTF-8 text; save the file as UTF-8") from error
    except json.JSONDecodeError as error:
        raise DefinitionError(
            f"{path}, line {error.lineno}, column {error.colno}: not JSON: {error.msg}; "
            "look there and at the end of the line above for a comma, quote or bracket too many or too few"
        ) from error


def _number(text: str) -> float:
    number = float(text)
    return int(number) if number.is_integer() else number


def _rule(path: Path, number: int, given: object) -> Rule:
    where = f"expectation {number}"
    if not isinstance(given, dict) or not isinstance(given.get("type"), str):
        raise DefinitionError(f'{path}, {where}: an expectation is an object with a "type", such as "expect_..."')
    kind, kwargs = given["type"], given.get("kwargs") or {}
    where = f"{where} ({kind})"
    _refuse_unknown(path, where, given, _EXPECTATION_KEYS)
    if kind not in _known_types():
        close = difflib.get_close_matches(kind, _known_types(), n=1)
        hint = f"did you mean {close[0]!r}?" if close else "see https://greatexpectations.io/expectations"
        raise DefinitionError(f"{path}, {where}: Great Expectations has no expectation of this type; {hint}")
    severity = given.get("severity") or "critical"  # as in Great Expectations
    if severity not in SEVERITIES:
        raise DefinitionError(f"{path}, {where}: severity {severity!r} is none of {', '.join(SEVERITIES)}")
    if not isinstance(kwargs, dict):
        raise DefinitionError(f'{path}, {where}: "kwargs" must be an object, such as {{"column": "price"}}')
    if "$PARAMETER" in _texts(kwargs):
        raise DefinitionError(
            f"{path}, {where}: a parameter ($PARAMETER) is not supported: a verdict must follow from the suite and the "
            "data alone, or it could not be kept; write the value"
        )
    return Rule(kind, kwargs, severity, given.get("description"))


def _refuse_unknown(path: Path, where: str, given: Mapping[str, object], known: set[str]) -> None:
    for key in given:
        if key not in known:
            close = difflib.get_close_matches(key, known, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"known: {', '.join(sorted(known))}"
            raise DefinitionError(f"{path}, {where}: unknown key {key!r}; {hint}")


@cache
def _known_types() -> frozenset[str]:
    """The types of Great Expectations' core expectations: each has a module of its name. Finding is not importing."""
    found = importlib.util.find_spec("great_expectations")
    places = (found.submodule_search_locations or []) if found else []
    return frozenset(
        module.stem for place in places for module in Path(place, "expectations", "core").glob("[eu]*_*.py")
    )


def _texts(value: object) -> Iterator[str]:
    """Yield every text in a JSON value: keys and values, at any depth."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _texts(key)
            yield from _texts(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _texts(item)
