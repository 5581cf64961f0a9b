"""Facts: what a template may say of a notice, as plain values, bounded and free of control characters.

Invariant: however much is wrong, and whatever is in the data, the facts of one notice are a few kilobytes.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from tidemark.alerting.advice import first_step
from tidemark.incidents.classes import CauseClass
from tidemark.incidents.conditions import Detail, Reached
from tidemark.ledger.incidents import Incident
from tidemark.ledger.notices import INFORMATION, Notice

MOST_ROWS, MOST_COLUMNS, MOST_CELL = 5, 12, 80
MOST_LINES, MOST_LINE, MOST_WHY = 8, 300, 1_500
MOST_NEWS = 21

# Control characters, and those that make text run backwards: a terminal or a mail client may obey them.
_UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]")

Facts = dict[str, Any]


def clean(value: object, most: int = MOST_LINE) -> str:
    """Return a value as text of at most so many characters, without what people cannot see."""
    text = str(value)[: most + 1]
    text = _UNSEEN.sub("\ufffd", text.replace("\r\n", "\n").replace("\r", "\n")).strip()
    return text if len(text) <= most else f"{text[: most - 1].rstrip()}…"


def line(value: object, most: int = MOST_LINE) -> str:
    """Return a value as one line."""
    return " ".join(clean(value, most).split())


def incident_facts(notice: Notice, one: Incident, *, runbook: str, page: str, now: datetime) -> Facts:
    """Return what can be said of an incident as it is now, and what is new of it.

    Args:
        notice: opened, updated or resolved.
        one: the incident.
        runbook: where its runbook is.
        page: where to look when the incident itself does not say.
        now: the instant for which it is said.

    """
    detail = Detail.from_json(one.detail)
    newest = detail.partitions[-1] if detail.partitions else ""
    until = one.resolved_at or now
    return {
        "kind": notice.kind,
        "severity": one.severity,
        "number": one.id,
        "environment": one.environment,
        "pipeline": line(one.pipeline),
        "asset": line(one.asset),
        "cause": one.cause,
        "cause_title": CauseClass(one.cause).said.title,
        "summary": line(one.summary),
        "said": clean(notice.payload.get("said", "")),
        "owner": line(one.owner),
        "since": instant(one.opened_at),
        "lasted": span(until - one.opened_at),
        "over": instant(one.resolved_at) if one.resolved_at else "",
        "acknowledged": instant(one.acknowledged_at) if one.acknowledged_at else "",
        "happened": one.happened,
        "why": clean(detail.why, MOST_WHY),
        "partitions": partitions(detail.partitions, detail.total),
        **_rows(detail.rows),
        "instead": clean(detail.served(until)),
        **_reach(detail.reach),
        **_also(detail.also),
        "do": clean(detail.do, MOST_WHY),
        "first_step": first_step(one.cause, line(one.asset), line(newest)),
        "runbook": runbook,
        "link": line(detail.link) or page,
    }


def information_facts(notice: Notice, *, page: str) -> Facts:
    """Return what can be said of information, as :func:`tidemark.incidents.information.inform` has written it down."""
    lines = notice.payload.get("lines", ())
    return {
        "kind": INFORMATION,
        "severity": notice.severity,
        "topic": notice.topic,
        "environment": notice.environment,
        "pipeline": line(notice.pipeline),
        "owner": line(notice.owner),
        "title": line(notice.payload.get("title", notice.topic)),
        "lines": [clean(each) for each in lines[:MOST_NEWS]],
        "lines_left": max(len(lines) - MOST_NEWS, 0),
        "at": instant(notice.at),
        "link": page,
    }


def instant(at: datetime) -> str:
    """Return an instant as people read it."""
    return f"{at.astimezone(UTC):%a %Y-%m-%d %H:%M} UTC"


def span(length: timedelta) -> str:
    """Return how long something lasted, in the two units that people would use."""
    minutes = max(int(length.total_seconds()) // 60, 0)
    if minutes == 0:
        return "less than a minute"
    days, hours, minutes = minutes // 1440, minutes // 60 % 24, minutes % 60
    units = [_counted(days, "day"), _counted(hours, "hour"), _counted(minutes, "minute")]
    first = next(place for place, each in enumerate(units) if each)
    return " ".join(each for each in units[first : first + 2] if each)


def partitions(keys: Sequence[str], total: int) -> str:
    """Return which partitions something is about, in a few words; ``keys`` are the first of them, or all."""
    if total <= 3:
        return ", ".join(line(each, MOST_CELL) for each in keys[:total])
    if len(keys) == total:
        return _spanned(keys[0], keys[-1], total)
    return f"{line(keys[0], MOST_CELL)} and {total - 1} more" if keys else str(total)


def _spanned(first: str, last: str, total: int) -> str:
    ends = [line(each, MOST_CELL) for each in (first, last)]
    return ends[0] if total == 1 else ", ".join(ends) if total == 2 else f"{ends[0]} … {ends[1]} ({total})"


def _counted(number: int, what: str) -> str:
    return "" if number == 0 else f"{number} {what}" if number == 1 else f"{number} {what}s"


def _rows(rows: Sequence[Mapping[str, Any]]) -> Facts:
    columns = list(dict.fromkeys(name for row in rows[:MOST_ROWS] for name in row))
    shown = columns[:MOST_COLUMNS]
    return {
        "columns": [line(each, MOST_CELL) for each in shown],
        "rows": [[line(row.get(each, ""), MOST_CELL) for each in shown] for row in rows[:MOST_ROWS]],
        "rows_left": max(len(rows) - MOST_ROWS, 0),
        "columns_left": max(len(columns) - MOST_COLUMNS, 0),
    }


def _reach(reached: Iterable[Reached]) -> Facts:
    """Return what depends on it: first what lacks something right now, and of that models and reports first."""
    order = {"model": 0, "report": 1}
    ranked = sorted(reached, key=lambda each: (each.partitions == 0, order.get(each.kind, 2)))
    said = [
        {
            "asset": line(each.asset, MOST_CELL),
            "kind": each.kind,
            "pipeline": line(each.pipeline, MOST_CELL),
            "partitions": each.partitions,
            "which": _spanned(each.first, each.last, each.partitions),
        }
        for each in ranked[:MOST_LINES]
    ]
    repaired = any(each.partitions for each in ranked)
    return {"reach": said, "reach_left": max(len(ranked) - MOST_LINES, 0), "repaired": repaired}


def _also(also: Sequence[str]) -> Facts:
    return {"also": [clean(each) for each in also[:MOST_LINES]], "also_left": max(len(also) - MOST_LINES, 0)}
