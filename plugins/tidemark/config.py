"""Settings: where everything is, from ``TIDEMARK_*`` environment variables; one folder for all of it by default."""

import difflib
import getpass
import os
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from zoneinfo import ZoneInfo

from tidemark.assets import Pipeline
from tidemark.checkouts import version_of
from tidemark.errors import UsageError
from tidemark.ledger.heads import PROD
from tidemark.places import redact

_INSTANT = re.compile(r"(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d[\d:.]*)(Z|[+-][\d:]+)?)?(?: +([A-Za-z]\S*))?", re.ASCII)

# Variables that are read where they are needed, and not part of the settings.
OTHER_VARIABLES = (
    "TIDEMARK_ACTOR",
    "TIDEMARK_APPROVAL_PATIENCE",
    "TIDEMARK_BACKUP_WITHIN",
    "TIDEMARK_COMMIT",
    "TIDEMARK_DASK_SCHEDULER",
    "TIDEMARK_DEADMAN_URL",
    "TIDEMARK_DISK_CRITICAL",
    "TIDEMARK_DISK_WARNING",
    "TIDEMARK_GRACE_SECONDS",
    "TIDEMARK_IMAGE",
    "TIDEMARK_LOCK",
    "TIDEMARK_MAIL_TO",
    "TIDEMARK_METRICS",
    "TIDEMARK_POD_SECONDS",
    "TIDEMARK_ROLES",
    "TIDEMARK_SETTLE_SECONDS",
    "TIDEMARK_SPARK_REMOTE",
    "TIDEMARK_STATSD",
    "TIDEMARK_WATCH_API",
    "TIDEMARK_WATCH_PASSWORD",
    "TIDEMARK_WATCH_SECONDS",
    "TIDEMARK_WATCH_USER",
)

# Of these it is only shown whether they are set: the address of a dead man's switch is all that one needs to press it,
# and that of a Spark Connect server may hold a token.
SECRET_VARIABLES = frozenset({"TIDEMARK_DEADMAN_URL", "TIDEMARK_SPARK_REMOTE", "TIDEMARK_WATCH_PASSWORD"})


@dataclass(frozen=True)
class Settings:
    """What is in force.

    Attributes:
        home: folder of everything that is not given its own place (``TIDEMARK_HOME``).
        ledger_url: SQLAlchemy URL (``TIDEMARK_LEDGER_URL``).
        store_url: folder or ``s3://bucket/prefix`` (``TIDEMARK_STORE_URL``).
        landing_url: folder or URL of the landing zone (``TIDEMARK_LANDING_URL``).
        landing_connection: Airflow connection that knows how to reach it, or None (``TIDEMARK_LANDING_CONNECTION``).
        environment: named set of heads (``TIDEMARK_ENVIRONMENT``).
        dags: folder of pipeline files (``TIDEMARK_DAGS``).
        expectations: folder of suites, or None: the one nearest above each pipeline file (``TIDEMARK_EXPECTATIONS``).
        as_of: the instant that plans take for now, or None: the clock (``TIDEMARK_AS_OF``).
        approvers: those who may decide about models: Airflow's id of each by the name with which he signs in, which
            are the same unless ``TIDEMARK_APPROVERS`` says ``NAME=ID``.
        people: user ids by git e-mail, in small letters (``TIDEMARK_PEOPLE``).
        four_eyes: who wrote a change may not promote it (``TIDEMARK_FOUR_EYES``).
        alerts: the file that says who is told what, and how, or None (``TIDEMARK_ALERTS``).

    """

    home: Path
    ledger_url: str
    store_url: str
    landing_url: str
    landing_connection: str | None
    environment: str
    dags: Path
    expectations: Path | None
    as_of: datetime | None
    approvers: Mapping[str, str] = field(default_factory=dict)
    people: Mapping[str, str] = field(default_factory=dict)
    four_eyes: bool = True
    alerts: Path | None = None

    @property
    def embedded(self) -> bool:
        """Whether the ledger is the one in the home folder, which is made when it is first used."""
        return self.ledger_url == _embedded_ledger(self.home)

    @property
    def data_docs(self) -> Path:
        """Where the gates' Data Docs are written."""
        return self.home / "data_docs"

    @property
    def cache(self) -> Path:
        """Where blobs of a remote store are kept for reading."""
        return self.home / "cache"

    def shown(self) -> dict[str, str | None]:
        """Return the settings by the names of their variables, secrets masked."""
        shown: dict[str, str | None] = {}
        for each in fields(self):
            value = getattr(self, each.name)
            if each.name == "approvers":
                value = tuple(name if name == number else f"{name}={number}" for name, number in value.items())
            text = _text(value)
            shown[f"TIDEMARK_{each.name.upper()}"] = redact(text) if text and "://" in text else text
        return shown


def _text(value: object) -> str | None:
    """Return a setting as it is shown; whose e-mail is whose is nobody's business."""
    match value:
        case None | ():
            return None
        case bool():
            return "on" if value else "off"
        case datetime():
            return value.isoformat()
        case tuple():
            return ", ".join(value)
        case Mapping():
            return f"of {', '.join(sorted(set(value.values())))}" if value else None
    return str(value)


def in_force() -> dict[str, str | None]:
    """Return every setting by the name of its variable, also those that are read where they are needed."""
    given = {name: os.environ.get(name) or None for name in OTHER_VARIABLES}
    given |= {name: "***" for name in SECRET_VARIABLES if given[name]}
    return {**settings().shown(), **given, "TIDEMARK_ACTOR": person()}


def _embedded_ledger(home: Path) -> str:
    return f"sqlite:///{home / 'ledger.db'}"


def parse_instant(text: str, what: str = "as-of") -> datetime:
    """Read an instant such as ``2011-07-01T06:00+01:00`` or ``2011-07-01 06:00 Europe/London``.

    Raises:
        UsageError: when it is none, or has no time of day, no zone, or two.

    """
    example = "write 2011-07-01T06:00+01:00 or '2011-07-01T06:00 Europe/London'"
    match = _INSTANT.fullmatch(text.strip())
    if match is None:
        raise UsageError(f"{what}={text!r} is no instant: {example}")
    day, clock, offset, zone = match.groups()
    if clock is None:
        raise UsageError(f"{what}={text!r} has no time of day: {example}")
    if bool(offset) == bool(zone):
        raise UsageError(f"{what}={text!r} has {'two zones' if zone else 'no zone'}: {example}")
    try:
        parsed = datetime.fromisoformat(f"{day}T{clock}{offset or ''}")
        return (parsed.replace(tzinfo=ZoneInfo(zone)) if zone else parsed).astimezone(UTC)
    except (ValueError, KeyError, OSError, OverflowError) as problem:
        raise UsageError(f"{what}={text!r} is no instant ({problem}): {example}") from problem


def settings(environ: Mapping[str, str] | None = None) -> Settings:
    """Read the settings from environment variables.

    Raises:
        UsageError: when a variable cannot be understood.

    """
    given = {name: value for name, value in _ours(environ).items() if value}
    home = Path(given.get("TIDEMARK_HOME", ".tidemark")).expanduser().absolute()
    as_of = given.get("TIDEMARK_AS_OF")
    expectations, alerts = given.get("TIDEMARK_EXPECTATIONS"), given.get("TIDEMARK_ALERTS")
    environment = given.get("TIDEMARK_ENVIRONMENT", PROD)
    if not environment.replace("-", "").replace("_", "").isalnum():
        raise UsageError(f"TIDEMARK_ENVIRONMENT={environment!r}: use letters, digits, '-' and '_'")
    return Settings(
        home=home,
        ledger_url=_ledger_url(given.get("TIDEMARK_LEDGER_URL"), home),
        store_url=given.get("TIDEMARK_STORE_URL", str(home / "store")),
        landing_url=given.get("TIDEMARK_LANDING_URL", str(home / "landing")),
        landing_connection=given.get("TIDEMARK_LANDING_CONNECTION"),
        environment=environment,
        dags=Path(given.get("TIDEMARK_DAGS", "dags")).expanduser().absolute(),
        expectations=Path(expectations).expanduser().absolute() if expectations else None,
        as_of=parse_instant(as_of, "TIDEMARK_AS_OF") if as_of else None,
        approvers=_approvers(given.get("TIDEMARK_APPROVERS", "")),
        people=_people(given.get("TIDEMARK_PEOPLE", "")),
        four_eyes=switch("TIDEMARK_FOUR_EYES", given.get("TIDEMARK_FOUR_EYES", "on")),
        alerts=Path(alerts).expanduser().absolute() if alerts else None,
    )


def _listed(text: str) -> list[str]:
    return [each.strip() for each in text.split(",") if each.strip()]


def _approvers(text: str) -> dict[str, str]:
    found = {}
    for place, each in enumerate(_listed(text), 1):
        name, between, number = (part.strip() for part in each.partition("="))
        if not name or (between and not number):
            raise UsageError(f"TIDEMARK_APPROVERS, entry {place}: write NAME, or NAME=ID, with commas between them")
        found[name] = number or name
    return found


def _people(text: str) -> dict[str, str]:
    found = {}
    for place, each in enumerate(_listed(text), 1):
        email, between, user = (part.strip() for part in each.partition("="))
        if not between or "@" not in email or not user:
            raise UsageError(f"TIDEMARK_PEOPLE, entry {place}: write EMAIL=USER, with commas between them")
        found[email.lower()] = user
    return found


def switch(name: str, text: str) -> bool:
    """Return whether a switch is on.

    Raises:
        UsageError: the text is neither on nor off.

    """
    if text not in ("on", "off"):
        raise UsageError(f"{name}={text!r}: write on or off")
    return text == "on"


def _ours(environ: Mapping[str, str] | None) -> dict[str, str]:
    everything = os.environ if environ is None else environ
    return {name: value for name, value in everything.items() if name.startswith("TIDEMARK_")}


def misspelt(environ: Mapping[str, str] | None = None) -> list[str]:
    """Return a sentence for each variable that looks like a setting and is none; what looks like none is let be."""
    known = [*(f"TIDEMARK_{each.name.upper()}" for each in fields(Settings)), *OTHER_VARIABLES]
    sentences = []
    for name in sorted(_ours(environ).keys() - set(known)):
        close = difflib.get_close_matches(name, known, n=1, cutoff=0.85)
        if close:
            sentences.append(f"{name} is no setting and was ignored: did you mean {close[0]}?")
    return sentences


def _ledger_url(given: str | None, home: Path) -> str:
    if given is None:
        return _embedded_ledger(home)
    if "://" in given:
        return given
    return _embedded_ledger(Path(given).expanduser().absolute())  # a folder


def expectations_of(given: Settings, pipeline: Pipeline) -> Path:
    """Return the folder of a pipeline's suites: the configured one, or the nearest above the pipeline's file."""
    if given.expectations is not None:
        return given.expectations
    start = pipeline.file.parent if pipeline.file else given.dags
    for folder in (start, *start.parents):
        if (folder / "expectations").is_dir():
            return folder / "expectations"
    return start / "expectations"


def person() -> str:
    """Return who acts: ``TIDEMARK_ACTOR``, or the name of the account."""
    try:
        return os.environ.get("TIDEMARK_ACTOR") or getpass.getuser()
    except (KeyError, OSError):  # an account without a name, as in a container
        return f"uid {os.getuid()}"


def running_image() -> str | None:
    """Return the container image in which this process runs, as whoever built or started it says; None: in none."""
    return os.environ.get("TIDEMARK_IMAGE") or None


@cache
def git_commit(folder: Path) -> tuple[str | None, bool | None]:
    """Return the commit of a folder's repository and whether it has uncommitted changes; None where there is none."""
    version = version_of(folder)
    if version is not None:  # Airflow's own folder, in which nobody works
        return version.commit, False
    try:
        commit = git(folder, "rev-parse", "HEAD").strip()
        return (commit, bool(git(folder, "status", "--porcelain").strip())) if commit else (None, None)
    except (OSError, subprocess.SubprocessError):
        return None, None


def git(folder: Path, *arguments: str) -> str:
    """Return what git says in a folder.

    Raises:
        OSError: git is not installed, or there is no such folder.
        subprocess.SubprocessError: it refused, or took too long.

    """
    command = ["git", "-C", str(folder), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout  # noqa: S603
