"""How the watch watches, from ``TIDEMARK_*`` environment variables."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from urllib.parse import urlsplit

from tidemark.calendars import parse_duration
from tidemark.errors import DefinitionError, UsageError


@dataclass(frozen=True)
class Options:
    """How the watch watches.

    Attributes:
        seconds: how long it waits between two looks (``TIDEMARK_WATCH_SECONDS``).
        grace: for how many seconds a process or a place may show no sign of life, as when it is started anew, and for
            how many it must have been well before that is over (``TIDEMARK_GRACE_SECONDS``).
        user: who asks Airflow; None: Airflow is not asked (``TIDEMARK_WATCH_USER``).
        password: his password (``TIDEMARK_WATCH_PASSWORD``).
        patience: how long a candidate may wait for an approver (``TIDEMARK_APPROVAL_PATIENCE``).
        backup_within: how old the newest backup of the ledger may be; None: nobody looks (``TIDEMARK_BACKUP_WITHIN``).
        disk_warning: from which percentage on a disk is told to be filling (``TIDEMARK_DISK_WARNING``).
        disk_critical: from which that is critical (``TIDEMARK_DISK_CRITICAL``).
        api: where it asks Airflow, if that is not the address for people (``TIDEMARK_WATCH_API``).
        deadman: address that is fetched for as long as all is well, or None (``TIDEMARK_DEADMAN_URL``).

    """

    seconds: float = 30.0
    grace: float = 60.0
    user: str | None = None
    password: str = field(default="", repr=False)
    patience: timedelta = timedelta(days=1)
    disk_warning: float = 85.0
    disk_critical: float = 95.0
    deadman: str | None = field(default=None, repr=False)
    api: str | None = None
    backup_within: timedelta | None = None


def read_options(environ: Mapping[str, str] | None = None) -> Options:
    """Read how to watch from environment variables.

    Raises:
        UsageError: a variable cannot be understood, or one is missing beside another.

    """
    given = {name: value for name, value in (os.environ if environ is None else environ).items() if value}
    user, password = given.get("TIDEMARK_WATCH_USER"), given.get("TIDEMARK_WATCH_PASSWORD")
    if bool(user) != bool(password):
        raise UsageError("TIDEMARK_WATCH_USER and TIDEMARK_WATCH_PASSWORD belong together: set both, or neither")
    options = Options(
        seconds=_number(given, "TIDEMARK_WATCH_SECONDS", Options.seconds, most=3600),
        grace=_number(given, "TIDEMARK_GRACE_SECONDS", Options.grace, most=86400),
        user=user,
        password=(password or "").removesuffix("\n"),  # of a Secret made from a file; accounts leave it out as well
        patience=_duration(given, "TIDEMARK_APPROVAL_PATIENCE") or Options.patience,
        backup_within=_duration(given, "TIDEMARK_BACKUP_WITHIN"),
        disk_warning=_number(given, "TIDEMARK_DISK_WARNING", Options.disk_warning, most=100),
        disk_critical=_number(given, "TIDEMARK_DISK_CRITICAL", Options.disk_critical, most=100),
        deadman=_deadman(given.get("TIDEMARK_DEADMAN_URL")),
        api=_api(given.get("TIDEMARK_WATCH_API")),
    )
    if options.disk_warning > options.disk_critical:
        raise UsageError("TIDEMARK_DISK_WARNING is above TIDEMARK_DISK_CRITICAL: nobody would be warned")
    return options


def _number(given: Mapping[str, str], name: str, otherwise: float, *, most: float) -> float:
    text = given.get(name)
    if text is None:
        return otherwise
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number <= most:
        raise UsageError(f"{name}={text!r}: write a number above 0, and of at most {most:g}")
    return number


def _duration(given: Mapping[str, str], name: str) -> timedelta | None:
    try:
        return parse_duration(given[name]) if name in given else None
    except DefinitionError as problem:
        raise UsageError(f"{name}: {problem}") from problem


def _deadman(url: str | None) -> str | None:
    if url is None or _is_address(url):
        return url
    # It is not repeated: whoever knows the address can press the switch.
    raise UsageError("TIDEMARK_DEADMAN_URL is no address: write https://..., as the service shows it")


def _api(url: str | None) -> str | None:
    if url is None or _is_address(url):
        return url
    raise UsageError(f"TIDEMARK_WATCH_API={url!r} is no address: write http://host:port")


def _is_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        return False
