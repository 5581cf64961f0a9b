"""The gate: what a delivery or a candidate output must pass before anything reads it. Real Great Expectations.

Invariants: severity decides, nothing else; a result follows from the suite and the data alone, so that it may be kept
by (suite digest, data version); what is told of a failure never shows a value of a masked column.
"""

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tidemark.datadocs import Check, DataDocs
from tidemark.evaluation import Evaluator, Verdict, quiet
from tidemark.findings import message_of, sample_of
from tidemark.suites import SEVERITIES, Suite, find_suite, parse_suite, suite_digest

if TYPE_CHECKING:
    import pyarrow as pa

log = logging.getLogger(__name__)

__all__ = ["Failure", "Gate", "GateResult", "Outcome", "Severity", "find_suite", "suite_digest"]


class Severity(StrEnum):
    """What it means that an expectation failed."""

    CRITICAL = "critical"
    WARNING = "warning"
    INFO = "info"


class Outcome(StrEnum):
    """What a check says of the data: publish it; publish and flag it (a warning failed); block it (a critical did)."""

    PASSED = "passed"
    FLAGGED = "flagged"
    BLOCKED = "blocked"


@dataclass(frozen=True)
class Failure:
    """One expectation that failed.

    Attributes:
        expectation: its type, such as ``expect_column_values_to_not_be_null``.
        column: the column that it is about; None for several, and for the whole table.
        severity: what its author says of its failure.
        message: what is wrong and where, in words for people.
        unexpected_count: number of rows at fault; None where it is not about single rows.
        unexpected_percent: their share of the rows that have a value there, 0 to 100.
        sample: up to ten of those rows, whole and JSON-ready, each with its ``row_number`` counted from 1.

    """

    expectation: str
    column: str | None
    severity: Severity
    message: str
    unexpected_count: int | None = None
    unexpected_percent: float | None = None
    sample: tuple[Mapping[str, object], ...] = ()


@dataclass(frozen=True)
class GateResult:
    """What a suite says of a table.

    Attributes:
        suite: its name.
        suite_digest: the digest of its rules.
        outcome: what the failures amount to.
        failures: of every severity; the worst first, then in the suite's order.
        checked: number of expectations.
        page: the page of Data Docs, within their folder; None if the check passed, or there are no Data Docs.

    """

    suite: str
    suite_digest: bytes
    outcome: Outcome
    failures: tuple[Failure, ...]
    checked: int
    page: str | None = None

    def lines(self) -> list[str]:
        """Return what a log is to hold of it: a line for each failure that is more than information, and its rows."""
        shown: list[str] = []
        for failure in self.failures:
            if failure.severity != Severity.INFO:
                shown.append(f"{failure.severity}: {failure.message}")
                shown += ["  " + ", ".join(f"{name}={value}" for name, value in row.items()) for row in failure.sample]
        return shown

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-ready object, of which `from_json` makes this result again."""
        failures = [{**asdict(each), "sample": [dict(row) for row in each.sample]} for each in self.failures]
        return {**asdict(self), "suite_digest": self.suite_digest.hex(), "failures": failures}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> "GateResult":
        """Make a result of what `to_json` returned."""
        failures = tuple(
            Failure(**{**each, "severity": Severity(each["severity"]), "sample": tuple(each["sample"])})
            for each in stored["failures"]
        )
        digest, outcome = bytes.fromhex(stored["suite_digest"]), Outcome(stored["outcome"])
        return cls(**{**stored, "suite_digest": digest, "outcome": outcome, "failures": failures})


class Gate:
    """Checks tables against the suites of a folder: made once for many checks, for one thread at a time.

    Great Expectations is loaded by the first check. A suite's file is read at every check, so an edit counts at once.
    """

    def __init__(self, folder: Path, docs: Path | None) -> None:
        """Take the folder of the suites, and that of Data Docs; None for no Data Docs."""
        self._folder = folder
        self._docs = DataDocs(docs) if docs else None
        self._evaluator: Evaluator | None = None
        self._suites: dict[str, tuple[bytes, Suite]] = {}
        self._passed: dict[str, Check] = {}

    def check(
        self,
        suite: str,
        table: "pa.Table",
        *,
        label: str,
        pii: frozenset[str] = frozenset(),
        line_of: Callable[[int], int] | None = None,
    ) -> GateResult:
        """Check a table against a suite.

        Args:
            suite: name of the suite.
            table: what is checked.
            label: what people call it, such as ``fx_rates 2011-01-05 1f3a5c7e9b0d``; names the page in Data Docs.
            pii: columns whose values nobody is to see: masked in samples, messages and pages.
            line_of: says on which line of its file a row, from 0, begins; None for what has no lines.

        Raises:
            DefinitionError: there is no such suite, or it is malformed.

        """
        rules = self._suite(suite)
        with quiet():
            if self._evaluator is None:
                self._evaluator = Evaluator()
            verdicts = self._evaluator.evaluate(rules, table)
            failures = {
                at: _failure(suite, verdict, table, pii, line_of)
                for at, verdict in enumerate(verdicts)
                if not verdict.passed
            }
            outcome = _outcome(failures.values())
            messages = {at: failure.message for at, failure in failures.items()}
            page = self._show(Check(rules, label, outcome, verdicts, messages, pii))
        result = GateResult(suite, rules.digest, outcome, _told(failures.values()), len(verdicts), page)
        for line in result.lines():
            log.warning("%s: %s", label, line)
        return result

    def finish(self) -> None:
        """Bring Data Docs up to date after the last check: newest checks that passed, rules, index."""
        if self._docs is None or not self._suites:
            return
        with quiet():
            for check in self._passed.values():
                self._docs.write(check)
            for _, suite in self._suites.values():
                self._docs.write_rules(suite)
        self._docs.write_index()
        self._passed.clear()

    def _suite(self, name: str) -> Suite:
        path = self._folder / f"{name}.json"
        try:
            text = path.read_bytes()
        except OSError:
            text = find_suite(name, self._folder).read_bytes()  # it says what is wrong
        known = self._suites.get(name)
        if known is None or known[0] != text:
            known = self._suites[name] = (text, parse_suite(path, text))
        return known[1]

    def _show(self, check: Check) -> str | None:
        if self._docs is None:
            return None
        if check.outcome == Outcome.PASSED:
            self._passed[check.suite.name] = check
            return None
        return self._docs.write(check)


def _failure(
    suite: str, verdict: Verdict, table: "pa.Table", pii: frozenset[str], line_of: Callable[[int], int] | None
) -> Failure:
    rule, sample = verdict.rule, sample_of(verdict, table, pii)
    return Failure(
        expectation=rule.type,
        column=rule.columns[0] if len(rule.columns) == 1 else None,
        severity=Severity(rule.severity),
        message=message_of(suite, verdict, table, sample, pii, line_of),
        unexpected_count=verdict.details.get("unexpected_count"),
        unexpected_percent=verdict.details.get("unexpected_percent"),
        sample=sample,
    )


def _outcome(failures: Iterable[Failure]) -> Outcome:
    severities = {failure.severity for failure in failures}
    if Severity.CRITICAL in severities:
        return Outcome.BLOCKED
    return Outcome.FLAGGED if Severity.WARNING in severities else Outcome.PASSED


def _told(failures: Iterable[Failure]) -> tuple[Failure, ...]:
    """Sort by severity; what several say in the same words, as all do whose column is missing, is told once."""
    told: dict[str, Failure] = {}
    for failure in sorted(failures, key=lambda failure: SEVERITIES.index(failure.severity)):
        told.setdefault(failure.message, failure)
    return tuple(told.values())
