"""Listings: the files of a source as they were last looked at, so that the next look sees at once which are others.

Invariants: every file that was there at its partition's newest observation is in the listing; with the token of that
observation only if that is settled and was made with the listing's basis. So a file that is listed again with its token
has nothing to tell, and one that is gone is missed.
"""

from bisect import bisect_left
from collections.abc import Iterable
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
    shorter = min(len(before), len(now))
    same = bisect_left(range(shorter), True, key=lambda at: before[: at + 1] != now[: at + 1])
    begins = before.rfind(_CUT, 0, same) + len(_CUT) if _CUT in before[:same] else 0
    shorter -= begins
    same = bisect_left(range(shorter), True, key=lambda at: before[-1 - at :] != now[-1 - at :])
    cut = before.find(_CUT, len(before) - same) if same else -1
    ends = len(before) - cut if cut >= 0 else 0
    was, is_now = (unpacked(each[begins : len(each) - ends]) for each in (before, now))
    return sorted(set(was) - set(is_now)), sorted(set(is_now) - set(was))


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
