"""Listings: the files of a source as they were last looked at, so that the next look sees at once which are others.

Invariants: every file that was there at its partition's newest observation is in the listing; with the token of that
observation only if that is settled and was made with the listing's basis. So a file that is listed again with its token
has nothing to tell, and one that is gone is missed.
"""

from collections.abc import Callable, Iterable
from typing import NamedTuple

import sqlalchemy as sa

from tidemark.ledger.database import Turn, take_turn
from tidemark.ledger.registry import upsert
from tidemark.ledger.schema import listing

# Not in a line: nothing in one is empty.
_BETWEEN = "\0\0"
_CUT = _BETWEEN.encode()


class Listing(NamedTuple):
    """The files of a source.

    Attributes:
        basis: digest of what decides what a file says: how it is read, and what it must pass.
        files: a line for each (see :mod:`tidemark.landing.listed`), as :func:`packed` makes it of them.

    """

    basis: bytes
    files: bytes


def packed(lines: Iterable[str]) -> bytes:
    """Return lines as a listing keeps them, in the order given."""
    return _BETWEEN.join(lines).encode("utf-8", "surrogatepass")


def unpacked(files: bytes) -> list[str]:
    """Return the lines that :func:`packed` was given."""
    return files.decode("utf-8", "surrogatepass").split(_BETWEEN) if files else []


def differing(before: bytes, now: bytes) -> tuple[list[str], list[str]]:
    """Return the lines of each of two listings that are not in the other.

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


def read(connection: sa.Connection, environment: str, asset_id: int) -> Listing | None:
    """Return what was last listed of a source in an environment."""
    query = sa.select(listing.c.basis, listing.c.files).where(
        listing.c.environment == environment, listing.c.asset_id == asset_id
    )
    row = connection.execute(query).first()
    return Listing(*row) if row else None


def write(
    connection: sa.Connection, environment: str, asset_id: int, before: Listing | None, now: Listing | None
) -> None:
    """Replace a listing; where another look has replaced it meanwhile, or None comes, there is none afterwards."""
    take_turn(connection, Turn.OBSERVATIONS)
    if now is not None and read(connection, environment, asset_id) == before:
        values = {"environment": environment, "asset_id": asset_id, **now._asdict()}
        connection.execute(upsert(connection, listing), [values])
    else:
        connection.execute(
            sa.delete(listing).where(listing.c.environment == environment, listing.c.asset_id == asset_id)
        )
