"""A ledger that is out of reach: told without it, once, and once more when it is back."""

import json
import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import quote

from tidemark.deployment import Deployment
from tidemark.incidents.classes import CauseClass
from tidemark.incidents.conditions import Condition, detail_of
from tidemark.ledger import incidents, notices
from tidemark.ledger.incidents import Incident
from tidemark.watching.checks import ACTOR

log = logging.getLogger(__name__)

LEDGER = "ledger"

Tell = Callable[[Incident, str, str], bool]
"""Sends an incident, as opened or resolved, and what is new of it past the outbox; returns whether that is done."""


class Outage:
    """Knows since when the ledger is out of reach, and what people were told of it.

    Args:
        environment: whose ledger it is.
        grace: for how many seconds it may be away, as when it is started anew.
        tell: how people are told while there is no outbox.
        folder: where it is kept in mind that they were, for a watch that is started anew meanwhile.

    """

    def __init__(self, environment: str, grace: float, tell: Tell, folder: Path) -> None:
        self._environment, self._grace, self._tell = environment, timedelta(seconds=grace), tell
        self._file = folder / f"ledger-outage.{quote(environment, safe='')}.json"
        self._since: datetime | None = None
        self._told: Condition | None = None
        self._over: Incident | None = None
        self._recall()

    @property
    def lasts(self) -> bool:
        """Whether the ledger is out of reach."""
        return self._since is not None and self._over is None

    def away(self, problem: str, now: datetime | None = None) -> None:
        """Hear that the ledger could not be used, and tell people if that has lasted."""
        instant = now or datetime.now(UTC)
        self._since, self._over = self._since or instant, None
        if self._told is not None or instant - self._since < self._grace:
            return
        wrong = _away(problem)
        log.info("%s: %s", wrong.summary, problem)
        if self._tell(self._incident(wrong, None), notices.OPENED, wrong.summary):
            self._told = wrong
            self._remember({"since": self._since.isoformat(), "why": problem})

    def back(self, deployment: Deployment, now: datetime | None = None) -> None:
        """Hear that the ledger can be used again: tell it if people were told the other, and write it down.

        Raises:
            Unavailable: it is away once more.

        """
        if self._told is None:
            self._since = None
            return
        if self._over is None:
            over = self._incident(self._told, now or datetime.now(UTC))
            _write(deployment, over)
            log.info("the %s is back", LEDGER)
            self._over = over
        if self._tell(self._over, notices.RESOLVED, "it is over"):
            self._since = self._told = self._over = None
            self._remember(None)

    def _recall(self) -> None:
        """Take up an outage that people were told of by a watch before this one."""
        try:
            kept = json.loads(self._file.read_text())
            self._since, self._told = datetime.fromisoformat(kept["since"]), _away(kept["why"])
        except FileNotFoundError:
            return
        except (OSError, ValueError, KeyError, TypeError) as problem:
            log.warning("%s cannot be read: %s", self._file, problem)

    def _remember(self, kept: dict[str, str] | None) -> None:
        """Keep in mind what people were told; what cannot be is told again by a watch that is started anew."""
        try:
            if kept is None:
                self._file.unlink(missing_ok=True)
            else:
                self._file.write_text(json.dumps(kept))
        except OSError as problem:
            log.warning("%s cannot be written: %s", self._file, problem)

    def _incident(self, told: Condition, resolved_at: datetime | None) -> Incident:
        assert self._since is not None
        since = self._since
        return Incident(
            int(since.timestamp()),  # which the ledger has for no other, so that both messages are of one
            self._environment,
            told.pipeline,
            told.asset,
            told.cause.value,
            told.bad.value,
            told.owner,
            told.summary,
            detail_of(told).to_json(),
            1,
            since,
            resolved_at or since,
            None,
            resolved_at,
        )


def _away(problem: str) -> Condition:
    return Condition(
        CauseClass.UNREACHABLE,
        "",
        LEDGER,
        f"the {LEDGER} {CauseClass.UNREACHABLE.said.title}",
        why=problem,
        instead="what was published before, where readers have it: nothing is computed, and no other incident can be "
        "told",
    )


def _write(deployment: Deployment, over: Incident) -> None:
    """Keep an incident in the ledger that is over; no notices, for people know."""
    values = {name: value for name, value in over._asdict().items() if name not in ("id", "environment")}
    with deployment.ledger.write() as connection:
        incidents.take_incidents(connection)
        times = {name: values.pop(name) for name in ("opened_at", "updated_at", "resolved_at")}
        number = incidents.write(connection, over.environment, values)
        incidents.change(connection, number, **times)
        incidents.write_event(connection, number, notices.OPENED, actor=ACTOR, said="told without the ledger")
        incidents.write_event(connection, number, notices.RESOLVED, actor=ACTOR, said="it is over")
