"""The cause classes of incidents: what can be wrong, how bad that is, and what people call it."""

from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """How bad it is: critical wakes somebody, warning waits for the morning, info is only told."""

    CRITICAL = "critical"
    WARNING = "warning"
    INFO = "info"

    @property
    def rank(self) -> int:
        """How bad, as a number: more is worse."""
        return [Severity.INFO, Severity.WARNING, Severity.CRITICAL].index(self)


class CauseClass(StrEnum):
    """What can be wrong. Each has a runbook of its name, in ``docs/runbooks``."""

    GATE_FAILED = "gate_failed"
    SOURCE_LATE = "source_late"
    SOURCE_MALFORMED = "source_malformed"
    ASSET_FAILED = "asset_failed"
    RUN_FAILED = "run_failed"
    DEADLINE_MISSED = "deadline_missed"
    VALIDATION_FAILED = "validation_failed"
    APPROVAL_WAITING = "approval_waiting"
    DRIFT = "drift"
    CHAMPION_SWAPPED = "champion_swapped"
    UNREACHABLE = "unreachable"
    DISK_FILLING = "disk_filling"
    HEARTBEAT_MISSING = "heartbeat_missing"
    DAG_BROKEN = "dag_broken"
    DAG_PAUSED = "dag_paused"

    @property
    def said(self) -> "Said":
        """What people are told of it."""
        return _SAID[self]


@dataclass(frozen=True)
class Said:
    """What people are told of a cause class.

    Attributes:
        title: it in a few words.
        severity: how bad it is, where nothing else is known.

    """

    title: str
    severity: Severity


_SAID = {
    CauseClass.GATE_FAILED: Said("did not pass its gate", Severity.CRITICAL),
    CauseClass.SOURCE_LATE: Said("is late", Severity.WARNING),
    CauseClass.SOURCE_MALFORMED: Said("cannot be read", Severity.CRITICAL),
    CauseClass.ASSET_FAILED: Said("failed", Severity.CRITICAL),
    CauseClass.RUN_FAILED: Said("a run ended without a verdict", Severity.CRITICAL),
    CauseClass.DEADLINE_MISSED: Said("missed its deadline", Severity.WARNING),
    CauseClass.VALIDATION_FAILED: Said("a candidate did not pass its validation", Severity.WARNING),
    CauseClass.APPROVAL_WAITING: Said("a candidate waits for an approver", Severity.WARNING),
    CauseClass.DRIFT: Said("the data drift away from what the champion was trained on", Severity.WARNING),
    CauseClass.CHAMPION_SWAPPED: Said("the champion was swapped behind our back", Severity.CRITICAL),
    CauseClass.UNREACHABLE: Said("cannot be reached", Severity.CRITICAL),
    CauseClass.DISK_FILLING: Said("the disk is filling", Severity.WARNING),
    CauseClass.HEARTBEAT_MISSING: Said("shows no sign of life", Severity.CRITICAL),
    CauseClass.DAG_BROKEN: Said("a DAG file cannot be imported", Severity.CRITICAL),
    CauseClass.DAG_PAUSED: Said("a DAG is paused", Severity.WARNING),
}

FAILURES = frozenset(
    {CauseClass.GATE_FAILED, CauseClass.SOURCE_MALFORMED, CauseClass.ASSET_FAILED, CauseClass.RUN_FAILED}
)
"""What makes a run fail; who is late because of one of these is not told of twice."""
