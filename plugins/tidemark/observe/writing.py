"""Writing down what was observed: deliveries, what gates said, the heads that follow, and listings."""

from dataclasses import replace

import sqlalchemy as sa

from tidemark.deployment import Deployment
from tidemark.facts import Names, declaration_of
from tidemark.gate import GateResult
from tidemark.landing.listed import line_of, packed
from tidemark.ledger import heads, listings, records, sources
from tidemark.ledger.heads import FINAL, Move, Touch
from tidemark.ledger.listings import Listing
from tidemark.ledger.sources import REJECTED
from tidemark.observe.look import Look, may_differ, seen_of, standing
from tidemark.observe.taking import Change

# Stands in a listing for the token of a file that is to be asked about again, whatever its token is then.
UNTOLD = "?"


def write(
    deployment: Deployment, look: Look, names: Names, changes: list[Change], run: str, actor: str
) -> list[Change]:
    """Write a group of changes down: deliveries that are new, what the gate said, and the observations.

    Returns those that were written: the others were read before another run has looked, and may be older than that.
    """
    with deployment.ledger.write() as connection:
        names.ensure(connection, look.source.name, [each.key for each in changes])
        numbers = {each.key: names.id_of(look.source.name, each.key) for each in changes}
        newest = sources.newest(connection, look.environment, look.asset_id, numbers.values())
        group = [each for each in changes if newest.get(numbers[each.key]) in (None, look.newest(each.key))]
        known = records.known(
            connection,
            look.asset_id,
            environment=deployment.environment,
            suite=look.suite,
            partition_ids=numbers.values(),
        )
        made: dict[str, int] = {}
        new: list[tuple[str, records.Record]] = []
        for each in group:
            if each.record is None:
                continue
            before = known.get((numbers[each.key], each.record.action_key))
            if before is not None and before.materialization is not None:
                made[each.key] = before.materialization
            else:
                new.append((each.key, replace(each.record, partition_id=numbers[each.key])))
        ids = records.write(
            connection, [record for _, record in new], environment=deployment.environment, run=run, actor=actor
        )
        made.update({key: number for (key, _), number in zip(new, ids, strict=True)})
        for each in group:
            if each.result is not None and each.observation.data_version is not None:
                _write_result(connection, each.result, each.observation.data_version)
        sources.write(
            connection,
            look.environment,
            look.asset_id,
            [
                each.observation._replace(
                    partition_id=numbers[each.key],
                    materialization=made.get(each.key, each.observation.materialization),
                )
                for each in group
            ],
        )
        touches = [Touch(look.environment, look.asset_id, numbers[each.key]) for each in group if not each.again]
        if touches:  # a rejection moves no head, but others have to know
            heads.new_change(connection, run=run, actor=actor, touches=touches)
    return group


def _write_result(connection: sa.Connection, result: GateResult, version: bytes) -> None:
    records.write_gate_result(
        connection, result.suite, result.suite_digest, version, result.outcome.value, result.to_json()
    )


def adopt(deployment: Deployment, look: Look, names: Names, run: str, actor: str) -> None:
    """Make the standing delivery of each partition its head in this environment."""
    with deployment.ledger.read() as connection:
        moves = _adoptions(connection, look)
    if moves:
        with deployment.ledger.write() as connection:
            seq = heads.new_change(connection, run=run, actor=actor)
            # Asked again, now that nobody else moves heads: another run may have seen a newer file since.
            now = replace(look, seen=seen_of(connection, deployment, names, look.source, look.seen))
            heads.move(connection, deployment.environment, _adoptions(connection, now), seq)


def _adoptions(connection: sa.Connection, look: Look) -> list[Move]:
    """Return the moves from the heads that are live to the deliveries that stand."""
    wants = {
        each.newest.partition_id: each.accepted.materialization if each.accepted else None
        for each in look.seen.values()
    }
    between = (min(wants), max(wants)) if look.partial and wants else (None, None)
    if look.environment == heads.PROD and wants == heads.live_ids(connection, look.asset_id, wants, *between):
        return []
    live = heads.current(connection, look.environment, look.asset_id, *between)
    moves = []
    for each in look.seen.values():
        number = each.newest.partition_id
        head, wanted = live.get(number), wants[number]
        before = head.materialization if head else None
        if before == wanted:
            continue
        if head and each.accepted and head.data_version == each.accepted.data_version:
            continue
        gone = "rejected" if each.newest.outcome == REJECTED else "withdrawn"
        reason = gone if wanted is None else "delivered" if before is None else "corrected"
        moves.append(Move(look.asset_id, number, before, wanted, FINAL, reason))
    return moves


def keep_listing(deployment: Deployment, look: Look) -> None:
    """Write down which files need not be asked about again as long as they are listed as they are now."""
    declaration, seen = declaration_of(look.source), look.seen
    if look.partial and not look.files:
        return
    told = {
        ordinal: line_of(file.name, file.token)
        for ordinal, file in look.files.items()
        if not may_differ(seen.get(ordinal), file, declaration)
    }
    untold = set(look.others).difference(told.values())
    # What is not told, and was there when it was last looked at, is listed all the same, or nobody would miss it.
    there = [look.source.grain.key(ordinal) for ordinal in standing(seen) if ordinal not in told]
    missed = [line_of(name, UNTOLD) for name in sorted(map(look.source.file_of, there))]
    now, files = look.now, look.listed.packed
    if untold or missed:
        files = packed([*(line for line in look.listed.lines if line not in untold), *missed])
        now = Listing(now.basis, listings.digest_of(files))
    # Who has looked at all of them says so in any case: another look may have left a listing that knows more.
    if now != look.before or not look.partial:
        with deployment.ledger.write() as connection:
            listings.write(connection, look.environment, look.asset_id, look.before, now, files)
