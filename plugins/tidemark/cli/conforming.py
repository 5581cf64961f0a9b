"""The commands that hold what is here against what is written down."""

import argparse
from collections.abc import Sequence
from dataclasses import asdict
from itertools import groupby
from pathlib import Path

from tidemark.catalog import load_catalog
from tidemark.cli.answers import Answer
from tidemark.config import settings
from tidemark.conformity import (
    Closures,
    Difference,
    Migration,
    against_ledger,
    against_lock,
    against_release,
    closures_of,
    live_code,
    migration,
)
from tidemark.errors import UsageError
from tidemark.installation import Installation, find_lock, installed_here, read_lock, read_record

# Names of a list that a person still reads: beside other things, and where it is the answer.
_FEW, _MANY = 6, 30


def env_check(options: argparse.Namespace) -> Answer:
    """Hold what runs here against the lock, the ledger, and with --release against what ran elsewhere.

    What a result depends on and differs is an error; what else differs is a warning. With a second --lock: which
    assets would be computed again if that one were installed.
    """
    if len(options.lock) > 2:
        raise UsageError("--lock may be given twice: the lock that is installed, and the one to come")
    locks = [Path(each) for each in options.lock] or [find_lock()]
    wanted = [read_lock(each) for each in locks]
    release = read_record(Path(options.release)) if options.release else None
    given = settings()
    here = installed_here()
    live, silent = live_code(given)
    closures = closures_of(load_catalog(given.dags) if given.dags.is_dir() else None, live)
    found = [*against_lock(here, wanted[0], str(locks[0]), closures)]
    if release is not None:
        found += against_release(here, release, options.release, closures)
    found += against_ledger(here, live)
    other = migration(wanted[0], wanted[1], str(locks[1]), closures) if len(locks) > 1 else None
    unknown = [*closures.unknown, *([silent] if silent else [])]
    wrong = sum(each.is_error for each in found)
    data = {
        "ok": not wrong,
        "here": here.plain(),
        "lock": str(locks[0]),
        "differences": [asdict(each) for each in found],
        "unknown": unknown,
        "migration": asdict(other) if other else None,
    }
    lines = [*_here(here), *_sentences(found, str(locks[0]), options.release), *_doubts(closures, found, unknown)]
    if other is not None:
        lines += _migration(other, locks)
    problem = f"{wrong} {'difference' if wrong == 1 else 'differences'} on which results may depend"
    return Answer(data, "\n".join(lines), ok=not wrong, problem=problem)


def _here(here: Installation) -> list[str]:
    airflow = f"Airflow {here.airflow} with {len(here.providers)} providers" if here.airflow else "no Airflow"
    return [
        f"Tidemark {here.tidemark or '(not installed)'}, Python {here.python}, {airflow}, "
        f"{len(here.distributions)} distributions",
        f"image {here.image or '-'}, commit {here.commit or '-'}",
        f"time zone {here.time_zone}, locale {here.locale}, encoding {here.encoding}",
    ]


def _sentences(found: Sequence[Difference], lock: str, release: str | None) -> list[str]:
    if not found:
        return [f"all is as {lock} and {release} say" if release else f"all is as {lock} says"]
    lines = [_sentence(each) for each in sorted(found, key=lambda each: not each.is_error) if not each.is_extra]
    extras = sorted((each for each in found if each.is_extra), key=lambda each: (each.against, each.what))
    for against, some in groupby(extras, key=lambda each: each.against):
        names = [f"{each.what} {each.here}" for each in some]
        lines.append(f"warning: {against} does not name {_names(names)}; no result is known to depend on it")
    return lines


def _sentence(one: Difference) -> str:
    mine = f"{one.what} is {one.here} here" if one.here else f"{one.what} is not here"
    theirs = f"{one.there} in {one.against}" if one.there else f"not named in {one.against}"
    assets = f"; it matters to {_names(one.assets)}" if one.assets else ""
    return f"{'error' if one.is_error else 'warning'}: {mine}, {theirs}{assets}"


def _names(names: Sequence[str], limit: int = _FEW) -> str:
    rest = len(names) - limit
    return ", ".join(names[:limit]) + (f" and {rest} more" if rest > 0 else "")


def _doubts(closures: Closures, found: Sequence[Difference], unknown: Sequence[str]) -> list[str]:
    doubts = [f"warning: {each}" for each in unknown]
    if found and not closures.names:
        doubts.append(
            "warning: no pipeline and no live result is known here, so each difference counts as one that matters: "
            "name the folder of pipelines in TIDEMARK_DAGS, or the ledger in TIDEMARK_LEDGER_URL"
        )
    return doubts


def _migration(other: Migration, locks: Sequence[Path]) -> list[str]:
    lines = ["", f"{locks[1]} in place of {locks[0]}:"]
    for each in other.differences:
        assets = f"   {_names(each.assets)}" if each.assets else ""
        lines.append(f"  {each.what} {each.here or '-'} -> {each.there or '-'}{assets}")
    if not other.differences:
        lines.append("  no version is another")
    lines.append(f"computed again: {_names(other.recomputed, _MANY) or 'nothing'}")
    return [*lines, f"as they are: {_names(other.kept, _MANY) or 'nothing'}"]
