"""Who may decide about models: the people that the settings name, and for a promotion nobody who wrote what changed."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import sqlalchemy as sa

from tidemark.assets import Asset
from tidemark.causes import code_of
from tidemark.commits import Commit, last_commit
from tidemark.config import Settings
from tidemark.errors import Refused, listed
from tidemark.explain import changed_parameters, edited
from tidemark.fingerprint import Component
from tidemark.ledger import validations
from tidemark.ledger.records import Made, inputs_of
from tidemark.ledger.validations import Validated


def check_approver(given: Settings, actor: str) -> None:
    """Refuse a decision of somebody who is none of the approvers.

    Raises:
        Refused: so it is, or nobody is one.

    """
    if not given.approvers:
        raise Refused("nobody may decide about models: name the user ids of those who may in TIDEMARK_APPROVERS")
    if actor not in given.approvers:
        raise Refused(f"{actor} may not decide about models: TIDEMARK_APPROVERS names {listed(given.approvers)}")


def check_four_eyes(
    connection: sa.Connection, given: Settings, asset: Asset, made: Made, champion: Made | None, actor: str
) -> None:
    """Refuse a promotion by who wrote code that makes the candidate another one than the champion.

    Args:
        connection: a transaction.
        given: the settings; they can switch this off.
        asset: the model's definition.
        made: the candidate.
        champion: the champion; None: there is none, so that all of the candidate's code is new.
        actor: who promotes.

    Raises:
        Refused: the actor is an author, or it cannot be told who wrote it, or under which user id.

    """
    if not given.four_eyes:
        return
    otherwise = "TIDEMARK_FOUR_EYES=off lets authors approve"
    for label, commit in changes(connection, asset, made, champion):
        if commit is None:
            raise Refused(
                f"four eyes: nobody knows who wrote {label}: where its file was loaded from, git has no history of it, "
                f"or not enough: an administrator finds in docs/git.md what a bundle needs; {otherwise}"
            )
        if commit.id is None or commit.email is None:
            raise Refused(
                f"four eyes: nobody knows who wrote {label}, which is in no commit: "
                f"commit it and train again; {otherwise}"
            )
        user = given.people.get(commit.email.lower())
        if user is None:
            raise Refused(
                f"four eyes: {label} is of {commit}; its author's user id is not in TIDEMARK_PEOPLE; {otherwise}"
            )
        if user == actor:
            raise Refused(f"four eyes: {actor} wrote {label} ({commit}): somebody else has to approve it; {otherwise}")


def changes(
    connection: sa.Connection, asset: Asset, made: Made, champion: Made | None
) -> Iterator[tuple[str, Commit | None]]:
    """Yield what makes a candidate another one than the champion, or lets it pass in another way, and who wrote that.

    That is first-party code that trains or judges, the suite of the predictions, and what the definition itself says:
    parameters, mappings, the space of a search, limits.

    Args:
        connection: a transaction.
        asset: the model's definition.
        made: the candidate.
        champion: the champion; None: there is none, so that all of the code is new.

    """
    told = set[str]()
    if made.code_version is not None and (champion is None or champion.code_version != made.code_version):
        now = code_of(connection, made.code_version)
        old = champion.code_version if champion is not None else None
        before = code_of(connection, old).components if old is not None else ()
        for label, commit in _edits(before, now.components, now.revision):
            told.add(label)
            yield label, commit
    judged = validations.newest(connection, made.id)
    rival = validations.newest(connection, champion.id) if champion is not None else None
    if judged is not None:
        also = _edits(_components(rival), _components(judged), None)
        yield from ((label, commit) for label, commit in also if label not in told)
    if champion is not None and _is_said_otherwise(connection, made, champion, judged, rival):
        yield f"what {asset.name} is defined to be", _last_of(asset)


def _edits(
    before: Sequence[Component], now: Sequence[Component], revision: str | None
) -> Iterator[tuple[str, Commit | None]]:
    for each in edited(before, now):
        if each.file is not None:
            line = each.line if each.what != "removed" else None
            yield each.label, last_commit(Path(each.file), line, revision=revision)


def _components(judged: Validated | None) -> list[Component]:
    kept = judged.report.get("code", ()) if judged is not None else ()
    return [Component(label, file, line, bytes.fromhex(said)) for label, file, line, said in kept]


def _is_said_otherwise(
    connection: sa.Connection, made: Made, champion: Made, judged: Validated | None, before: Validated | None
) -> bool:
    """Whether the definition itself trains or judges in another way than the champion was."""
    inputs = inputs_of(connection, [made.id, champion.id])
    mappings = [
        [(read.parameter, read.asset_id, read.mapping) for read in inputs.get(each.id, ())] for each in (made, champion)
    ]
    rules = [each.report.get("rules") if each is not None else None for each in (judged, before)]
    others = changed_parameters(champion.parameters, made.parameters)
    return bool(others) or mappings[0] != mappings[1] or rules[0] != rules[1]


def _last_of(asset: Asset) -> Commit | None:
    """Return the newest commit of a definition's statement, with its decorators."""
    own = [each for each in asset.code.components if each.label.rpartition(".")[2] == asset.name and each.file]
    return last_commit(Path(own[0].file), own[0].line) if own and own[0].file else None
