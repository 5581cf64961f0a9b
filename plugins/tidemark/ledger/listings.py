"""Listings: the files of a source as they were last looked at, so that the next look sees at once which are others.

Invariants: every file that was there at its partition's newest observation is in the listing; with the token of that
observation only if that is settled and was made with the listing's basis. So a file that is listed again with its token
has nothing to tell, and one that is gone is missed.
"""

from collections.abc import Iterable
from typing import NamedTuple

import sqlalchemy as sa

from tidemark.ledger.database import Turn, take_turn
from tidemark.ledger.registry import upsert
from tidemark.ledger.schema import listing

# Neither is in a file's name, nor in a token.
_WITHIN, _BETWEEN = "\0", "\0\0"


class Listing(NamedTuple):
    """The files of a source.

    Attributes:
        basis: digest of what decides what a file says: how it is read, and what it must pass.
        files: a line for each, as :func:`packed` makes it of them.

    """

    basis: bytes
    files: bytes


def lines_of(files: Iterable[tuple[str, str]]) -> list[str]:
    """Return a line for each file, given as (name, token)."""
    return list(map(_WITHIN.join, files))


def name_in(line: str) -> str:
    """Return the name of the file that a line is of."""
    return line.partition(_WITHIN)[0]


def packed(lines: Iterable[str]) -> bytes:
    """Return lines as a listing keeps them, in the order given."""
    return _BETWEEN.join(lines).encode("utf-8", "surrogatepass")


def unpacked(files: bytes) -> list[str]:
    """Return the lines that :func:`packed` was given."""
    return files.decode("utf-8", "surrogatepass").split(_BETWEEN) if files else []


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
