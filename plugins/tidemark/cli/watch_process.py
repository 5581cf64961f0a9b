"""The process that watches: it puts together what is looked at, how often, and who is told."""

import argparse
import logging
import os
import signal
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import TextIO

from tidemark.alerting import drain
from tidemark.cli.answers import Answer, connect
from tidemark.config import Settings, settings
from tidemark.deployment import Deployment, open_deployment
from tidemark.errors import Unavailable
from tidemark.incidents.information import list_silences
from tidemark.ledger import Ledger
from tidemark.watching.backups import overdue_backup
from tidemark.watching.checks import Look, act_on, lasting
from tidemark.watching.deadlines import missed_deadlines
from tidemark.watching.direct import send_directly
from tidemark.watching.disks import Disks, folders_of
from tidemark.watching.lateness import late_sources
from tidemark.watching.loop import Job, Loop
from tidemark.watching.options import Options, read_options
from tidemark.watching.outage import LEDGER, Outage
from tidemark.watching.places import landing_within_reach, store_within_reach
from tidemark.watching.standing import Standing
from tidemark.watching.switch import press, why_not

log = logging.getLogger(__name__)

_BEAT_SECONDS = 10.0
_DRAIN_SECONDS = 5.0
_SWITCH_SECONDS = 60.0
_SILENCES_SECONDS = 300.0

# Looks that cost more, or at what changes slowly, are further apart.
_SLOWLY, _RARELY = 2, 10


def run(options: argparse.Namespace) -> Answer:
    """Do what the command says; see :func:`tidemark.cli.watching.watch`."""
    how, given = read_options(), settings()
    with _logging_to(sys.stderr), _watched(given) as deployment:
        # Who looks once waits for nothing, and keeps in mind nothing that a grace could be counted from.
        watching = _Watching(deployment, how, grace=0.0 if options.once else how.grace)
        if options.once:
            problems = watching.once()
            return Answer({"acts": watching.acted, "problems": problems}, ok=not problems, problem="; ".join(problems))
        from tidemark.metrics.serving import serve_if_asked

        with serve_if_asked(deployment):
            watching.run()
    return Answer({})


@contextmanager
def _watched(given: Settings) -> Iterator[Deployment]:
    """Yield a deployment whose ledger may be out of reach: that is one of the things that are told."""
    with suppress(Unavailable), open_deployment(given):
        log.debug("the ledger is within reach")
    ledger = Ledger(given.ledger_url)
    try:
        yield Deployment(given, ledger, connect)
    finally:
        ledger.close()


class _Watching:
    """One watch: what it does, and what its parts know of each other."""

    def __init__(self, deployment: Deployment, how: Options, grace: float) -> None:
        from tidemark.airflow.mailing import open_alerting  # brings Airflow: not for who asks the command for help

        self._deployment, self._how, self._grace = deployment, how, grace
        self._standing = Standing(deployment)
        self._alerting = open_alerting(deployment.settings)
        self._outage = Outage(
            deployment.environment, grace, lambda *told: send_directly(self._alerting, *told), deployment.settings.home
        )
        self._loop = Loop(list(self._jobs()), acts=lambda: self._standing.acts, grace=grace)
        self._drained_at: datetime | None = None
        self.acted = False

    def once(self) -> list[str]:
        """Do everything once; returns what is wrong with the watch itself, a sentence each."""
        try:
            return self._loop.once()
        finally:
            self._leave()

    def run(self) -> None:
        """Go on until a signal ends it."""
        stop = threading.Event()

        def end(number: int, frame: FrameType | None) -> None:
            stop.set()

        before = {each: signal.signal(each, end) for each in (signal.SIGTERM, signal.SIGINT)}
        try:
            self._loop.run(stop)
        finally:
            self._leave()
            for number, handler in before.items():
                signal.signal(number, handler)

    def _leave(self) -> None:
        self.acted = self._standing.acts
        with suppress(Unavailable):
            self._standing.leave()

    # -- what is done, and how often

    def _jobs(self) -> Iterator[Job]:
        every = min(self._how.seconds, _BEAT_SECONDS)
        yield Job(LEDGER, self._beat, every, limit=30.0, stands_by=True, hangs=self._away)
        yield from self._looks()
        if self._how.user is not None:
            yield from self._looks_at_airflow(self._how.user)
        yield self._look("watch itself", lambda: self._loop.blind(), 1)
        yield Job("silences", self._list_silences, _SILENCES_SECONDS)
        yield Job("outbox", self._drain, min(self._how.seconds, _DRAIN_SECONDS))
        if self._how.deadman is not None:
            yield Job("dead man's switch", self._press, _SWITCH_SECONDS)

    def _looks(self) -> Iterator[Job]:
        from tidemark.watching.candidates import drifting_models, waiting_candidates  # brings what reads data

        deployment, how = self._deployment, self._how
        logs = _airflow_logs() if how.user is not None else None
        yield self._look("late sources", lambda: late_sources(deployment), 1)
        yield self._look("deadlines", lambda: missed_deadlines(deployment), 1)
        yield self._look("candidates", lambda: waiting_candidates(deployment, how.patience), _SLOWLY)
        yield self._look("drift", lambda: drifting_models(deployment), _RARELY)
        for name, look in (("store", store_within_reach), ("landing zone", landing_within_reach)):
            yield self._look(name, lasting(look(deployment), wrong_for=self._grace, well_for=self._grace), _SLOWLY)
        yield self._look("backups", lambda: overdue_backup(deployment, how.backup_within), _RARELY)
        yield self._look("disks", Disks(folders_of(deployment, logs), how).look, _SLOWLY)

    def _looks_at_airflow(self, user: str) -> Iterator[Job]:
        from tidemark.airflow.navigation import base_url
        from tidemark.airflow.rest import Api
        from tidemark.airflow.watched import Airflow

        url = base_url()
        api = Api(self._how.api or url, user, self._how.password)
        airflow = Airflow(api, url, self._deployment, self._how.grace)
        yield self._look("Airflow's processes", lasting(airflow.processes, well_for=self._grace), 1)
        yield self._look("DAG files", airflow.broken, 1)
        yield self._look("paused DAGs", airflow.paused, 1)
        yield self._look("runs", airflow.unjudged, 1)

    def _look(self, name: str, look: Look, times: int) -> Job:
        return Job(name, lambda: act_on(self._deployment, look()), times * self._how.seconds)

    def _beat(self) -> Iterable[str]:
        try:
            changed = self._standing.beat()
            self._outage.back(self._deployment)
        except Unavailable as problem:
            self._away(str(problem))
            raise
        if not changed:
            return []
        return ["this watch acts"] if self._standing.acts else ["another watch acts, this one stands by"]

    def _away(self, problem: str) -> None:
        """Hear that the ledger is out of reach; who stands by leaves it to the other to tell that."""
        if not self._standing.stands_by:
            self._outage.away(problem)

    def _list_silences(self) -> Iterable[str]:
        told = list_silences(self._deployment, datetime.now(UTC))
        return ["this week's silences are listed"] if told else []

    def _drain(self) -> Iterable[str]:
        drained = drain(self._deployment, self._alerting)
        self._drained_at = datetime.now(UTC)
        return drained.problems

    def _press(self) -> Iterable[str]:
        assert self._how.deadman is not None
        problem = "the ledger is out of reach" if self._outage.lasts else why_not(self._deployment, self._drained_at)
        if problem:
            raise Unavailable(f"not pressed: {problem}")
        press(self._how.deadman)
        return []


def _airflow_logs() -> Path | None:
    from airflow.sdk.configuration import conf

    folder = conf.get("logging", "base_log_folder", fallback="")
    return Path(os.path.expanduser(folder)) if folder else None


@contextmanager
def _logging_to(stream: TextIO) -> Iterator[None]:
    """Log what is found, a line each, and nothing that libraries have to say: one of them would tell the switch."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    ours, theirs = logging.getLogger("tidemark"), logging.getLogger("httpx")
    before = (ours.level, ours.propagate, ours.handlers, theirs.level)
    ours.setLevel(logging.INFO)
    ours.propagate, ours.handlers = False, [handler]
    theirs.setLevel(logging.WARNING)
    try:
        yield
    finally:
        ours.propagate, ours.handlers = before[1], before[2]
        ours.setLevel(before[0])
        theirs.setLevel(before[3])
