"""Listings: the files of a source as they were last looked at, so that the next look sees at once which are others.

Invariants: every file that was there at its partition's newest observation is in the listing; with the token of that
observation only if that is settled and was made with the listing's basis. So a file that is listed again with its token
has nothing to tell, and one that is gone is missed.
"""

import hashlib
from typing import NamedTuple

import sqlalchemy as sa

from tidemark.ledger.database import Turn, take_turn
from tidemark.ledger.registry import upsert
from tidemark.ledger.schema import listing


class Listing(NamedTuple):
    """The files of a source, as far as it takes to know them again: the files themselves are megabytes.

    Attributes:
        basis: digest of what decides what a file says: how it is read, and what it must pass.
        digest: of the files, as :func:`digest_of` makes it.

    """

    basis: bytes
    digest: bytes


def digest_of(files: bytes) -> bytes:
    """Return the digest of files, given as :class:`tidemark.landing.listed.Listed` packs them."""
    return hashlib.sha256(files).digest()


def read(connection: sa.Connection, environment: str, asset_id: int) -> Listing | None:
    """Return what was last listed of a source in an environment."""
    query = sa.select(listing.c.basis, listing.c.digest).where(
        listing.c.environment == environment, listing.c.asset_id == asset_id
    )
    row = connection.execute(query).first()
    return Listing(*row) if row else None


def files(connection: sa.Connection, environment: str, asset_id: int, of: Listing) -> bytes | None:
    """Return the files of a listing, packed; None where another has replaced it."""
    query = sa.select(listing.c.files).where(
        listing.c.environment == environment,
        listing.c.asset_id == asset_id,
        listing.c.basis == of.basis,
        listing.c.digest == of.digest,
    )
    return connection.execute(query).scalar()


def write(
    connection: sa.Connection, environment: str, asset_id: int, before: Listing | None, now: Listing, files: bytes
) -> None:
    """Replace a listing; where another look has replaced it meanwhile, there is none afterwards."""
    take_turn(connection, Turn.OBSERVATIONS)
    if read(connection, environment, asset_id) == before:
        if now == before:
            return
        values = {"environment": environment, "asset_id": asset_id, **now._asdict(), "files": files}
        connection.execute(upsert(connection, listing), [values])
    else:
        connection.execute(
            sa.delete(listing).where(listing.c.environment == environment, listing.c.asset_id == asset_id)
        )
