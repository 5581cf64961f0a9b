"""Listed files as lines: a run with nothing to do makes one of each file, and compares them with the ones before."""

from collections.abc import Callable, Iterable
from typing import NamedTuple

from tidemark.landing import File

# Neither in a file's name, nor in a token; lines are in the order of names since nothing comes before it.
_WITHIN = "\0"


class Listed(NamedTuple):
    """The deliveries under a folder.

    Attributes:
        lines: one for each, by name, as :func:`line_of` makes it.
        file: returns the file that a line of these is of.

    """

    lines: list[str]
    file: Callable[[str], File]


def line_of(name: str, token: str) -> str:
    """Return the line of a file."""
    return f"{name}{_WITHIN}{token}"


def name_in(line: str) -> str:
    """Return the name of the file that a line is of."""
    return line.partition(_WITHIN)[0]


def token_in(line: str) -> str:
    """Return the token of the file that a line is of."""
    return line.partition(_WITHIN)[2]


def listed(files: Iterable[File]) -> Listed:
    """Return files, given by name, as they are listed."""
    by_line = {line_of(file.name, file.token): file for file in files}
    return Listed(list(by_line), by_line.__getitem__)
