"""The commands that verify the state: the store against the ledger, and the audit log against itself."""

import argparse
import re
from collections.abc import Iterator, Sequence
from itertools import groupby

from tidemark.cli.answers import Answer
from tidemark.deployment import Deployment, open_deployment
from tidemark.errors import UsageError, listed
from tidemark.integrity import Lost, audit_chain, digest_at, lost_blobs
from tidemark.ledger.heads import PROD

# Lines that a person still reads, and partitions that are still named one by one.
_FEW = 20

_MARK = re.compile(r"([1-9][0-9]{0,17}):([0-9a-f]{64})")


def check_store(options: argparse.Namespace) -> Answer:
    """Say of every live partition, in all environments, whether its data is in the store; reads no data.

    After a restore it names what the store lacks, and says what brings it back.
    """
    with open_deployment() as deployment:
        count, lost = lost_blobs(deployment)
    mends = list(_mends(lost))
    data = {"live": count, "lost": [vars(each) for each in lost], "mend": mends}
    if not lost:
        return Answer(data, f"the store has the data of all {count} live partitions")
    problem = f"the store has no data of {len(lost)} of {count} live partitions"
    lines = [f"  {each.environment}: {each.asset} {each.partition}" for each in lost[:_FEW]]
    if len(lost) > _FEW:
        lines.append(f"  and {len(lost) - _FEW} more: --json has all")
    return Answer(data, "\n".join([f"{problem}:", *lines, *mends]), ok=False, problem=problem)


def _mends(lost: Sequence[Lost]) -> Iterator[str]:
    """Yield what brings back what is lost: files first, then what is made of them, all of a pipeline in one run."""
    files = sorted({each.asset for each in lost if each.is_source})
    if files:
        yield f"deliver the files of {listed(files)} again, or touch them: the next run takes them in anew"
    for (environment, pipeline), some in groupby(
        (each for each in lost if not each.is_source), lambda each: (each.environment, each.pipeline)
    ):
        by_asset: dict[str, list[str]] = {}
        for each in some:
            by_asset.setdefault(each.asset, []).append(each.partition)
        words = [
            f"--force {name}" if len(keys) > _FEW else " ".join(f"--force {name}:{key}" for key in keys)
            for name, keys in by_asset.items()
        ]
        prefix = "" if environment == PROD else f"TIDEMARK_ENVIRONMENT={environment} "
        yield f"{prefix}tidemark run {pipeline} {' '.join(words)}"


def verify_audit(options: argparse.Namespace) -> Answer:
    """Verify that the audit log is as it was written, and print a mark: the number and digest of its newest entry.

    The chain shows an entry that was changed, or removed from among others. That the last ones were removed shows only
    against a mark of before, kept elsewhere: give it with --mark.
    """
    with open_deployment() as deployment:
        chain = audit_chain(deployment)
        problem = _problem(deployment, chain.broken, options.mark)
    mark = f"{chain.entries}:{chain.newest.hex()}" if chain.newest is not None else ""
    data = {"entries": chain.entries, "mark": mark or None, "broken": chain.broken, "problem": problem or None}
    said = f"{chain.entries} entries, unbroken{f'; mark: {mark}' if mark else ''}"
    return Answer(data, problem or said, ok=not problem, problem=problem)


def _problem(deployment: Deployment, broken: int | None, mark: str | None) -> str:
    """Return what is wrong with the audit log, or nothing."""
    if mark is not None:
        match = _MARK.fullmatch(mark)
        if match is None:
            raise UsageError(f"--mark {mark}: write NUMBER:DIGEST, as this command prints it")
        number, digest = match.groups()
        found = digest_at(deployment, int(number))
        if found is None:
            return f"the audit log has no entry {number} any more: its end was removed"
        if found.hex() != digest:
            return f"entry {number} of the audit log is another one than when the mark was taken"
    if broken is not None:
        return f"entry {broken} of the audit log is not as it was written, or the one before it is gone"
    return ""
