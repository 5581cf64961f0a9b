"""Listed files as lines: a run with nothing to do makes one of each file, and compares them all at once.

What is done for each file is done here and in a zone's own loop, and nowhere else: there may be hundreds of thousands.
"""

from collections.abc import Callable, Iterable
from typing import NamedTuple

from tidemark.landing import File

# Neither in a file's name, nor in a token; lines are in the order of names since nothing comes before it.
_WITHIN = "\0"

# Stands for a token that a zone leaves empty.
_NONE = "-"

# Not in a line: nothing in one is empty.
_BETWEEN = _WITHIN * 2
_CUT = _BETWEEN.encode()


class Listed(NamedTuple):
    """The deliveries under a folder.

    Attributes:
        packed: a line for each, by name, as :func:`line_of` makes it; equal only if names and tokens are.
        file: returns the file that a line of these is of.

    """

    packed: bytes
    file: Callable[[str], File]

    @property
    def lines(self) -> list[str]:
        """The lines, one by one."""
        return unpacked(self.packed)

    @property
    def files(self) -> list[File]:
        """The files, by name."""
        return list(map(self.file, self.lines))


def line_of(name: str, token: str) -> str:
    """Return the line of a file."""
    return f"{name}{_WITHIN}{token or _NONE}"


def name_in(line: str) -> str:
    """Return the name of the file that a line is of."""
    return line.partition(_WITHIN)[0]


def token_in(line: str) -> str:
    """Return the token of the file that a line is of."""
    return line.partition(_WITHIN)[2]


def listed(files: Iterable[File]) -> Listed:
    """Return files, given by name, as they are listed."""
    by_line = {line_of(file.name, file.token): file for file in files}
    return Listed(packed(by_line), by_line.__getitem__)


def packed(lines: Iterable[str]) -> bytes:
    """Return lines as one value, in the order given."""
    return _BETWEEN.join(lines).encode("utf-8", "surrogatepass")


def unpacked(files: bytes) -> list[str]:
    """Return the lines that :func:`packed` was given."""
    return files.decode("utf-8", "surrogatepass").split(_BETWEEN) if files else []


def differing(before: bytes, now: bytes) -> tuple[list[str], list[str]]:
    """Return the lines of each of two packed listings that are not in the other.

    What both begin with and what both end with is compared as a whole, for most looks find one file that is another.
    """
    same = _longest(min(len(before), len(now)), lambda one, two: before[one:two] == now[one:two])
    cut = before.rfind(_CUT, 0, same)
    begins = 0 if cut < 0 else cut + len(_CUT)
    old, new = len(before), len(now)
    same = _longest(
        min(old, new) - begins, lambda one, two: before[old - two : old - one] == now[new - two : new - one]
    )
    cut = before.find(_CUT, old - same)
    ends = 0 if cut < 0 else old - cut
    was, is_now = set(unpacked(before[begins : old - ends])), set(unpacked(now[begins : new - ends]))
    return sorted(was - is_now), sorted(is_now - was)


def _longest(most: int, alike: Callable[[int, int], bool]) -> int:
    """Return how long a stretch is alike, asked by its parts: from where to where."""
    same = 0
    while same < most:
        middle = (same + most + 1) // 2
        if alike(same, middle):
            same = middle
        else:
            most = middle - 1
    return same
