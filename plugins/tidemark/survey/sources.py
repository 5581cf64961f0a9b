"""What readers see of sources, and of what other pipelines compute: judged without anything to compute."""

from datetime import datetime, timedelta

from tidemark.assets import Source
from tidemark.ledger.gaps import Gap
from tidemark.ledger.heads import FINAL, Head
from tidemark.partitions import Grain, TimeGrain
from tidemark.survey.given import Delivered, Upstream
from tidemark.survey.judgement import View


def source_view(
    source: Source, ordinal: int, head: Head | None, delivered: Delivered | None, absent: bool, as_of: datetime
) -> View:
    """Return a partition of a source that was delivered or is expected, as its readers see it."""
    roots, undue, failed = FINAL, None, False
    if not absent:
        failed = delivered is not None and delivered.rejected is not None
        if failed or head is None:
            due = due_of(source, ordinal)
            if head is None and not failed and due is not None and due > as_of:
                undue = due
            else:
                roots = frozenset({(source.name, source.grain.key(ordinal))})
    version, made = (head.data_version, head.materialization) if head else (None, None)
    return View(version, made, roots, undue, None, failed)


def due_of(source: Source, ordinal: int) -> datetime | None:
    """Return when a source partition is due: by its own rule, or when its period has ended."""
    if not isinstance(source.grain, TimeGrain):
        return None
    if source.due is None:
        return source.grain.ends(ordinal)
    return source.due.at(source.grain.begins(ordinal).astimezone(source.grain.zone))


def external_view(name: str, upstream: Upstream, ordinal: int, head: Head | None, as_of: datetime) -> View | None:
    """Return a partition that another pipeline computes, as its readers see it; None if it does not exist."""
    grain, gap = upstream.grain, upstream.gaps.get(ordinal)
    itself = frozenset({(name, grain.key(ordinal))})
    if head is None:
        return None if gap is None else _lacking(gap, itself, as_of)
    if is_closed(grain, upstream.closes_after, ordinal, as_of):
        return View(head.data_version, head.materialization)
    roots = head.missing | itself if ordinal in upstream.unreached else head.missing
    # The head's mark alone may say that nobody asked for its computation; the plan's word may be outdated.
    failed = itself <= head.missing and gap is not None and gap.failed
    return View(head.data_version, head.materialization, roots, None, None, failed)


def _lacking(gap: Gap, itself: frozenset[tuple[str, str]], as_of: datetime) -> View:
    undue = gap.undue if gap.undue is not None and gap.undue > as_of else None
    # What has become due since that pipeline's plan, it has not made yet.
    roots = gap.missing | itself if gap.undue is not None and undue is None else gap.missing
    return View(None, None, roots, undue, None, gap.failed)


def is_closed(grain: Grain, closes_after: timedelta | None, ordinal: int, as_of: datetime) -> bool:
    """Return whether a partition is older than its asset's ``closes_after``."""
    if closes_after is None or not isinstance(grain, TimeGrain):
        return False
    return as_of > grain.ends(ordinal) + closes_after
