"""The errors that people meet: each says what is wrong, where, and what to do."""

import difflib
from collections.abc import Iterable

MASK = "•••"
"""Stands in a message for a value that nobody is to see."""


class TidemarkError(Exception):
    """Something a person can mend; the message tells how."""


class DefinitionError(TidemarkError):
    """A pipeline file says something that cannot be: shown at import, and as an import error in the Airflow UI."""


class UsageError(TidemarkError):
    """A command or a call asked for something that is not there or not allowed."""


class DeliveryError(TidemarkError):
    """A delivered file cannot be read as what its source declares; names the file and, where known, line and column."""


class OutputError(TidemarkError):
    """An asset's function returned something that cannot be published."""


class Unavailable(TidemarkError):
    """The ledger, the store or the landing zone cannot be reached or written: worth a retry, nothing was half done."""


class Refused(TidemarkError):
    """A safety rule stopped the action; the message says which and who may go on."""


def listed(names: Iterable[str]) -> str:
    """Return names as a part of a sentence."""
    return ", ".join(sorted(names)) or "none"


def close(name: str, names: Iterable[str]) -> str:
    """Return the end of a sentence that says a name is not there: the one that may be meant, or all there are."""
    near = difflib.get_close_matches(name, list(names), n=1)
    return f": did you mean {near[0]!r}?" if near else f"; there are {listed(names)}"
