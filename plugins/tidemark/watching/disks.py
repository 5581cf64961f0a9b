"""Disks that fill up: under the home folder, a store in a folder, an SQLite ledger, and Airflow's logs."""

import os
import shutil
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from tidemark.deployment import Deployment
from tidemark.incidents.classes import CauseClass, Severity
from tidemark.incidents.conditions import Condition
from tidemark.places import local_folder, scheme
from tidemark.watching.checks import Found, of_cause
from tidemark.watching.options import Options

# A pace that was measured over less than this is none, and what is older than that is no recent one.
_LEAST_SECONDS, _MOST_SECONDS = 3600.0, 24 * 3600.0

# So many points below a limit it is over: one that goes to and fro about it is told of once.
_CALM = 2.0


class Usage(NamedTuple):
    """How full a disk is, in bytes."""

    total: int
    used: int
    free: int


Measure = Callable[[Path], Usage]


def measure(folder: Path) -> Usage:
    """Return how full the disk of a folder is, for those who may not use what is kept for root."""
    return Usage(*shutil.disk_usage(folder))


def folders_of(deployment: Deployment, logs: Path | None) -> dict[str, Path]:
    """Return the folders that grow, by what they are: those on this machine."""
    given, ledger = deployment.settings, deployment.ledger
    found = {"home folder": given.home}
    if scheme(given.store_url) == "file":
        found["store"] = local_folder(given.store_url)
    if ledger.is_sqlite and ledger.url.database:
        found["ledger"] = Path(ledger.url.database).parent
    if logs is not None:
        found["Airflow logs"] = logs
    return found


@dataclass(frozen=True)
class _Sample:
    at: float
    used: int


class Disks:
    """Looks at disks again and again, and so knows at which pace they fill.

    Args:
        folders: what is looked at, by what it is; several on one disk are told of as one.
        options: from which percentage on it is told.
        usage: how a disk is measured.
        clock: seconds that only rise.

    """

    def __init__(
        self,
        folders: Mapping[str, Path],
        options: Options,
        *,
        usage: Measure = measure,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._folders, self._options = folders, options
        self._usage, self._clock = usage, clock
        self._samples: dict[str, deque[_Sample]] = {}
        self._full: dict[str, float] = {}
        self._critical: set[str] = set()

    def look(self) -> Found:
        """Find every disk that is filling. Raises OSError if one cannot be measured."""
        disks: dict[int, list[str]] = {}
        for name, folder in self._folders.items():
            if (there := _nearest(folder)) is not None:
                disks.setdefault(os.stat(there).st_dev, []).append(name)
        self._full.clear()
        found = [self._measured(names) for names in disks.values()]
        wrong = tuple(each for each in found if each is not None)
        ours, calm = of_cause(CauseClass.DISK_FILLING, self._folders), self._options.disk_warning - _CALM
        return Found(wrong, lambda one: ours(one) and self._full.get(one.asset, 0.0) < calm)

    def _measured(self, names: list[str]) -> Condition | None:
        name = names[0]
        folder = _nearest(self._folders[name])
        assert folder is not None
        usage = self._usage(folder)
        lasts = self._lasts(name, usage)
        full = 100 * usage.used / (usage.used + usage.free) if usage.used + usage.free else 0.0
        self._full[name] = full
        if full >= self._options.disk_critical:
            self._critical.add(name)
        elif full < self._options.disk_critical - _CALM:
            self._critical.discard(name)
        if full < self._options.disk_warning:
            return None
        severity = Severity.CRITICAL if name in self._critical else Severity.WARNING
        return Condition(
            CauseClass.DISK_FILLING,
            "",
            name,
            f"the disk of the {' and the '.join(names)} is filling",
            why=f"{full:.0f} % of {folder} is used, {usage.free / 2**30:.1f} GiB are free{lasts}",
            severity=severity,
            happened=0,
        )

    def _lasts(self, name: str, usage: Usage) -> str:
        """Say how long what is free lasts at the pace of the last day; nothing if it was measured for too short."""
        now = _Sample(self._clock(), usage.used)
        samples = self._samples.setdefault(name, deque())
        samples.append(now)
        while now.at - samples[0].at > _MOST_SECONDS:
            samples.popleft()
        seconds, grown = now.at - samples[0].at, now.used - samples[0].used
        if seconds < _LEAST_SECONDS or grown <= 0:
            return ""
        hours = usage.free / (grown / seconds) / 3600
        return f"; at the pace of the last {seconds / 3600:.0f} hours that lasts {hours:.0f} hours"


def _nearest(folder: Path) -> Path | None:
    """Return a folder, or the nearest above it that is there: what is made at its first use fills that one's disk."""
    return next((each for each in (folder, *folder.parents) if each.is_dir()), None)
