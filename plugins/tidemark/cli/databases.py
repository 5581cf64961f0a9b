"""The commands that care for databases: the ledger's schema, and backups."""

import argparse
import os
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from tidemark.cli.answers import Answer
from tidemark.config import settings
from tidemark.errors import Refused, Unavailable
from tidemark.ledger import Ledger

if TYPE_CHECKING:
    from tidemark.backups import Backup

_LOOK_SECONDS = 2.0


def upgrade(options: argparse.Namespace) -> Answer:
    """Make the ledger's tables, or bring their schema to this version; run it after each upgrade of Tidemark."""
    ledger = Ledger(settings().ledger_url)
    try:
        before, after = ledger.version(), ledger.upgrade()
    finally:
        ledger.close()
    said = f"the ledger is at schema {after}" + ("" if before == after else f" (was {before or 'empty'})")
    return Answer({"before": before, "after": after}, said)


def wait(options: argparse.Namespace) -> Answer:
    """Wait until the ledger can be used by this version: until somebody has made it, or brought its schema up to date.

    It changes nothing. A ledger that is newer than this version is told at once: waiting would not help.
    """
    began = time.monotonic()
    ledger = Ledger(settings().ledger_url)
    try:
        while (problem := _why_not(ledger)) is not None:
            waited = time.monotonic() - began
            if (isinstance(problem, Refused) and ledger.is_newer()) or waited + _LOOK_SECONDS > options.seconds:
                raise type(problem)(f"{problem} (waited for {waited:.0f} seconds)") from problem
            time.sleep(_LOOK_SECONDS)
    finally:
        ledger.close()
    waited = time.monotonic() - began
    return Answer({"waited": waited}, f"the ledger can be used (after {waited:.0f} seconds)")


def _why_not(ledger: Ledger) -> Refused | Unavailable | None:
    try:
        ledger.check()
    except (Refused, Unavailable) as problem:
        return problem
    return None


def make(options: argparse.Namespace) -> Answer:
    """Back databases up: dump each into a bucket, in a folder that is named after this instant.

    The one that is named ledger learns of it, so that the watch can tell when backups have stopped.
    """
    from tidemark.backups import Backups, named

    databases, now = named(options.database, os.environ), datetime.now(UTC)
    place = Backups(options.place, _folder(options))
    made, removed, problems = place.make(databases, now), list[str](), list[str]()
    # A backup it is, whatever becomes of the rest: who took it for a failure would make another, and another.
    if (problem := _announced(made, databases)) is not None:
        problems.append(f"the ledger could not be told of it, so the watch will miss it: {problem}")
    try:
        removed = place.prune(options.keep_days, now) if options.keep_days else []
    except Unavailable as refused:
        problems.append(f"older ones stay; where nobody may delete, leave that to a rule of the bucket: {refused}")
    data = {"backup": made.name, "bytes": {dump.database: dump.size for dump in made.dumps}, "removed": removed}
    lines = [f"backup {made.name} is complete", *(f"  {dump.database}: {dump.size:,} bytes" for dump in made.dumps)]
    if removed:
        lines.append(f"removed, older than {options.keep_days} days: {', '.join(removed)}")
    return Answer({**data, "problems": problems}, "\n".join([*lines, *problems]))


def _announced(backup: "Backup", databases: Mapping[str, str]) -> str | None:
    """Let the ledger know of a backup of it, if it is among some databases; returns why that could not be done."""
    from tidemark.backups import LEDGER, announce

    if LEDGER in databases:
        try:
            announce(backup, databases[LEDGER])
        except (Refused, Unavailable) as problem:
            return str(problem)
    return None


def list_backups(options: argparse.Namespace) -> Answer:
    """List the backups that are complete, the newest first."""
    from tidemark.backups import Backups

    found = Backups(options.place).complete()
    data = [{"backup": each.name, "bytes": {dump.database: dump.size for dump in each.dumps}} for each in found]
    lines = [
        f"{each.name}  {', '.join(f'{dump.database} ({dump.size:,} bytes)' for dump in each.dumps)}" for each in found
    ]
    return Answer(data, "\n".join(lines) or f"there is no complete backup in {options.place}")


def restore(options: argparse.Namespace) -> Answer:
    """Write a backup into databases, each of them entirely or not at all.

    They must be empty, unless --replace says that all that is in them may go. Nobody may use them meanwhile.
    """
    from tidemark.backups import Backups, named

    databases = named(options.database, os.environ)
    place = Backups(options.place, _folder(options))
    backup = place.find(options.backup)
    place.restore(backup, databases, replace=options.replace)
    # What was dumped knows of the backup before it alone.
    problem = _announced(backup, databases)
    problems = [] if problem is None else [f"the ledger could not be told of its backup: {problem}"]
    data = {"backup": backup.name, "databases": sorted(databases), "problems": problems}
    said = f"restored from backup {backup.name}: {', '.join(databases)}"
    return Answer(data, "\n".join([said, *problems]))


def _folder(options: argparse.Namespace) -> Path | None:
    return Path(options.scratch) if options.scratch else None
