"""Conditions: what is wrong right now, as whoever has just looked says it; incidents follow from them."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from tidemark.incidents.classes import CauseClass, Severity
from tidemark.places import redact_text

MOST_PARTITIONS = 200
MOST_ROWS = 10
MOST_TEXT = 2_000


@dataclass(frozen=True)
class Reached:
    """An asset that depends on what is wrong.

    Attributes:
        asset: its name.
        pipeline: whose.
        kind: asset, model or report.
        partitions: how many of its partitions are provisional or wait because of it.
        first: the first of these, or empty.
        last: the last of these, or empty.

    """

    asset: str
    pipeline: str
    kind: str
    partitions: int = 0
    first: str = ""
    last: str = ""


@dataclass(frozen=True)
class Condition:
    """Something that is wrong.

    Attributes:
        cause: the cause class.
        pipeline: whose; empty: of the deployment as a whole.
        asset: of which asset, source, model or process; empty: of the pipeline as a whole.
        summary: it in one sentence.
        why: what is behind it: the failed expectation, an exception's last line.
        partitions: which partitions are wrong, in order.
        rows: rows at fault, masked, JSON-ready.
        instead: what is served instead.
        instead_of: when that was made; None: it says so itself, or there is nothing.
        reach: what depends on it.
        also: what failed below because of it, a sentence each.
        do: what to do, beyond what the runbook says.
        owner: who owns it, or empty.
        link: where to look: the page of the run, or empty.
        happened: how often it has happened since it was last told of.
        severity: how bad it is; None: as bad as its cause class.
        event: it is something that was done, not a state that lasts: each time is told.
        partial: who looks has not seen all partitions: those that are known to be wrong are so still.
        since: from when on it should have been otherwise; what is older explains it no more. None: nobody knows.

    """

    cause: CauseClass
    pipeline: str
    asset: str
    summary: str
    why: str = ""
    partitions: tuple[str, ...] = ()
    rows: tuple[Mapping[str, Any], ...] = ()
    instead: str = ""
    instead_of: datetime | None = None
    reach: tuple[Reached, ...] = ()
    also: tuple[str, ...] = ()
    do: str = ""
    owner: str = ""
    link: str = ""
    happened: int = 1
    severity: Severity | None = None
    event: bool = False
    partial: bool = False
    since: datetime | None = None

    @property
    def key(self) -> tuple[str, str, str]:
        """By what its incident is known while it is open."""
        return (self.pipeline, self.asset, self.cause.value)

    @property
    def bad(self) -> Severity:
        """How bad it is."""
        return self.severity or self.cause.said.severity


@dataclass(frozen=True)
class Detail:
    """What an incident says beyond its own columns, bounded however much is wrong.

    Attributes:
        why, rows, instead, also, do, link: see :class:`Condition`.
        instead_of: when what is served instead was made, as ISO text, or empty.
        partitions: the first of those that are wrong.
        total: how many are.
        reach: what depends on it.

    """

    why: str = ""
    partitions: tuple[str, ...] = ()
    total: int = 0
    rows: tuple[Mapping[str, Any], ...] = ()
    instead: str = ""
    instead_of: str = ""
    reach: tuple[Reached, ...] = ()
    also: tuple[str, ...] = ()
    do: str = ""
    link: str = ""

    def served(self, now: datetime) -> str:
        """Say what is served instead, and how old that is at an instant."""
        if not self.instead_of:
            return self.instead
        made = datetime.fromisoformat(self.instead_of)
        return f"{self.instead}, made {made:%Y-%m-%d %H:%M} UTC ({age(now - made)} ago)"

    def to_json(self) -> dict[str, Any]:
        """Return it as the ledger keeps it."""
        return asdict(self)

    @classmethod
    def from_json(cls, kept: Mapping[str, Any]) -> "Detail":
        """Return the detail that :meth:`to_json` wrote."""
        lists = {name: tuple(kept[name]) for name in ("partitions", "rows", "also")}
        return cls(**{**kept, **lists, "reach": tuple(Reached(**each) for each in kept["reach"])})


def detail_of(condition: Condition) -> Detail:
    """Return what an incident keeps of a condition."""
    return Detail(
        why=_told(condition.why),
        partitions=condition.partitions[:MOST_PARTITIONS],
        total=len(condition.partitions),
        rows=condition.rows[:MOST_ROWS],
        instead=condition.instead,
        instead_of=condition.instead_of.astimezone(UTC).isoformat() if condition.instead_of else "",
        reach=condition.reach,
        also=tuple(_told(each) for each in condition.also[:MOST_ROWS]),
        do=condition.do,
        link=condition.link,
    )


def age(length: timedelta) -> str:
    """Return how long something lasted, in the unit that people would use."""
    seconds = max(length.total_seconds(), 0.0)
    for unit, size in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} seconds"


def _told(text: str) -> str:
    """Return words of others, an exception's for instance, bounded and without the secrets in them."""
    # A secret that the cut would leave half of is looked for before it; nobody looks through a megabyte.
    text = redact_text(text[: 2 * MOST_TEXT])
    return text if len(text) <= MOST_TEXT else f"{text[:MOST_TEXT]} ..."


def has_grown(before: Detail, now: Detail) -> str:
    """Say what has become worse: more partitions, or more that fails below; empty: nothing has.

    That more of what depends on it comes to lack it is no news: who was told what depends on it knows.
    """
    fresh = [each for each in now.partitions if each not in before.partitions]
    said = []
    if now.total > before.total:
        said.append(f"{now.total} partitions, {before.total} before")
    elif fresh:
        said.append(f"{fresh[0]} too" if len(fresh) == 1 else f"{len(fresh)} other partitions")
    also = [each for each in now.also if each not in before.also]
    if also:
        said.append(also[0] if len(also) == 1 else f"{len(also)} more failures below")
    return "; ".join(said)
