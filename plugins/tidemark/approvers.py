"""Who may decide about models: the people that the settings name, and for a promotion nobody who wrote what changed."""

from collections.abc import Iterator
from pathlib import Path

import sqlalchemy as sa

from tidemark.causes import code_of
from tidemark.commits import Commit, last_commit
from tidemark.config import Settings
from tidemark.errors import Refused, listed
from tidemark.explain import edited
from tidemark.ledger.records import Made


def check_approver(given: Settings, actor: str) -> None:
    """Refuse a decision of somebody who is none of the approvers.

    Raises:
        Refused: so it is, or nobody is one.

    """
    if not given.approvers:
        raise Refused("nobody may decide about models: name the user ids of those who may in TIDEMARK_APPROVERS")
    if actor not in given.approvers:
        raise Refused(f"{actor} may not decide about models: TIDEMARK_APPROVERS names {listed(given.approvers)}")


def check_four_eyes(connection: sa.Connection, given: Settings, made: Made, champion: Made | None, actor: str) -> None:
    """Refuse a promotion by who wrote code that makes the candidate another one than the champion.

    Args:
        connection: a transaction.
        given: the settings; they can switch this off.
        made: the candidate.
        champion: the champion; None: there is none, so that all of the candidate's code is new.
        actor: who promotes.

    Raises:
        Refused: the actor is an author, or it cannot be told who wrote it, or under which user id.

    """
    if not given.four_eyes:
        return
    otherwise = "TIDEMARK_FOUR_EYES=off lets authors approve"
    for label, commit in changes(connection, made, champion):
        if commit is None or commit.id is None or commit.email is None:
            raise Refused(
                f"four eyes: nobody knows who wrote {label}, which is in no commit that can be seen here: "
                f"commit it and train again; {otherwise}"
            )
        user = given.people.get(commit.email.lower())
        if user is None:
            raise Refused(
                f"four eyes: {label} is of {commit}; its author's user id is not in TIDEMARK_PEOPLE; {otherwise}"
            )
        if user == actor:
            raise Refused(f"four eyes: {actor} wrote {label} ({commit}): somebody else has to approve it; {otherwise}")


def changes(connection: sa.Connection, made: Made, champion: Made | None) -> Iterator[tuple[str, Commit | None]]:
    """Yield what of first-party code is another in a candidate than in the champion, and its newest commit."""
    if made.code_version is None or (champion is not None and champion.code_version == made.code_version):
        return
    now = code_of(connection, made.code_version)
    old = champion.code_version if champion is not None else None
    for each in edited(code_of(connection, old).components if old is not None else (), now.components):
        if each.file is not None:
            line = each.line if each.what != "removed" else None
            yield each.label, last_commit(Path(each.file), line, revision=now.revision)
