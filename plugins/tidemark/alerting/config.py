"""Who is told what, and how: one small YAML file, checked as it is read.

``docs/alerting.md`` shows every key. Invariant: what comes out can be used as it is: each name in it names something,
each secret is there, every alert has a route, and no information goes where people are woken.
"""

import logging
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from email.message import EmailMessage
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from tidemark.alerting.apprising import REGIONS, Apprised, PagerDuty
from tidemark.alerting.channels import Channel, Line
from tidemark.alerting.facts import Facts, incident_facts, information_facts, line
from tidemark.alerting.messages import Links
from tidemark.alerting.routes import Hours, Route, Subscription, parse_hours
from tidemark.alerting.samples import samples
from tidemark.alerting.webhook import Webhook
from tidemark.alerting.wording import Wording
from tidemark.config import Settings
from tidemark.deployment import Deployment
from tidemark.errors import UsageError, close, listed
from tidemark.incidents.classes import CauseClass, Severity
from tidemark.incidents.topics import Topic
from tidemark.ledger.notices import REPORT, Notice

Mailing = Callable[[tuple[str, ...]], Channel]
"""Makes the channel that mails to some addresses; only those who know Airflow can."""

Reporting = Callable[[Deployment, Notice], EmailMessage]
"""Makes the mail of a notice of the kind report; its sender and receivers are set by the channel."""

TOPICS = tuple(str(each) for each in (*Topic, REPORT, *CauseClass))

_KINDS = ("mail", "pagerduty", "apprise", "webhook")
_OPTIONS = {"mail": ("mail",), "pagerduty": ("pagerduty", "region"), "apprise": ("apprise",)}
_OPTIONS["webhook"] = ("webhook", "secret")
_KEYS = ("channels", "routes", "subscriptions", "updates", "links", "templates")
_TIME = re.compile(r"(\d{1,4}) *(minute|hour|day)s?")
_ADDRESS = re.compile(r"[^@\s,;<>]+@[^@\s,;<>]+")

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Alerting:
    """Who is told what, and how.

    Attributes:
        lines: the channels by name.
        routes: an incident's alerts go to the channels of the first that fits.
        subscriptions: who is told of what though nothing is wrong.
        updates: of one incident at most one update in this time.
        links: where people find more.
        wording: how things are said.
        reporting: renders reports, or None: they wait.

    """

    lines: Mapping[str, Line] = field(default_factory=dict)
    routes: tuple[Route, ...] = ()
    subscriptions: tuple[Subscription, ...] = ()
    updates: timedelta = timedelta(hours=1)
    links: Links = field(default_factory=Links)
    wording: Wording = field(default_factory=Wording)
    reporting: Reporting | None = None


def load_alerting(
    given: Settings,
    *,
    mailing: Mailing | None = None,
    reporting: Reporting | None = None,
    environ: Mapping[str, str] | None = None,
) -> Alerting:
    """Read the file that ``TIDEMARK_ALERTS`` names; without it, whom ``TIDEMARK_MAIL_TO`` names gets everything.

    Args:
        given: the settings.
        mailing: makes mail channels; ``tidemark.airflow.mailing.open_alerting`` hands it in.
        reporting: renders reports.
        environ: where secrets are found by name; the environment variables by default.

    Raises:
        UsageError: the file is not there, or says something that cannot be: which key, what is wrong, what to do.

    """
    variables = os.environ if environ is None else environ
    if given.alerts is None:
        return _everything_by_mail(variables, mailing, reporting)
    try:
        return _Reading(given.alerts.parent, variables, mailing).alerting(_parsed(given.alerts), reporting)
    except UsageError as problem:
        raise UsageError(f"TIDEMARK_ALERTS, {given.alerts}: {problem}") from problem


def _everything_by_mail(variables: Mapping[str, str], mailing: Mailing | None, reporting: Reporting | None) -> Alerting:
    to = [each.strip() for each in variables.get("TIDEMARK_MAIL_TO", "").split(",") if each.strip()]
    if not to or mailing is None:
        log.warning("nobody is told of incidents: set TIDEMARK_ALERTS, or at least TIDEMARK_MAIL_TO")
        return Alerting(routes=(Route(),), reporting=reporting)
    try:
        told = Line("mail", mailing(_addresses(to)))
    except UsageError as problem:
        raise UsageError(f"TIDEMARK_MAIL_TO: {problem}") from problem
    names = ("mail",)
    return Alerting({"mail": told}, (Route(channels=names),), (Subscription(channels=names),), reporting=reporting)


# -- the file


class _OnceEach(yaml.SafeLoader):
    """Reads YAML, and refuses a key that is there twice, where others would take the last."""


def _mapping(loader: _OnceEach, node: yaml.MappingNode) -> dict[Any, Any]:
    seen: set[str] = set()
    for key, _ in node.value:
        if not isinstance(key, yaml.ScalarNode):
            raise UsageError(f"line {key.start_mark.line + 1}: a key is a name")
        if key.value in seen:
            raise UsageError(f"line {key.start_mark.line + 1}: {key.value!r} is there twice; keep one of them")
        seen.add(key.value)
    return loader.construct_mapping(node, deep=True)


_OnceEach.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)


def _parsed(file: Path) -> Mapping[str, Any]:
    try:
        content = yaml.load(file.read_text(encoding="utf-8"), _OnceEach)  # noqa: S506 - a SafeLoader, see above
    except OSError as problem:
        raise UsageError(f"it cannot be read: {problem.strerror}") from problem
    except UsageError:
        raise
    except (yaml.YAMLError, UnicodeDecodeError) as problem:
        raise UsageError(f"it is no YAML: {' '.join(str(problem).split())}") from problem
    except Exception as problem:  # PyYAML raises whatever Python does where a date or a number is none
        raise UsageError(
            f"a value in it is none of its kind: {line(f'{type(problem).__name__}: {problem}')}"
        ) from problem
    if not isinstance(content, dict):
        raise UsageError(f"it has no keys; write {listed(_KEYS)}")
    return content


class _Reading:
    """Turns what the file says into what can be used."""

    def __init__(self, folder: Path, variables: Mapping[str, str], mailing: Mailing | None) -> None:
        self._folder, self._variables, self._mailing = folder, variables, mailing

    def alerting(self, said: Mapping[str, Any], reporting: Reporting | None) -> Alerting:
        _known(said, _KEYS, "the file")
        lines = {name: self._line(name, each) for name, each in _keyed(said.get("channels"), "channels").items()}
        for name, each in lines.items():
            _check_then(name, each, lines)
        routes = [self._route(where, each, lines) for where, each in _listed(said.get("routes"), "routes")]
        _check_reachable(routes)
        subscriptions = [
            self._subscription(where, each, lines)
            for where, each in _listed(said.get("subscriptions", []), "subscriptions")
        ]
        return Alerting(
            lines=lines,
            routes=tuple(routes),
            subscriptions=tuple(subscriptions),
            updates=_time(said.get("updates", "1 hour"), "updates"),
            links=_links(said.get("links", {})),
            wording=self._wording(said.get("templates")),
            reporting=reporting,
        )

    # -- channels

    def _line(self, name: str, said: Any) -> Line:
        where = f"channels.{name}"
        _keyed(said, where)
        kinds = [each for each in _KINDS if each in said]
        if len(kinds) != 1:
            raise UsageError(f"{where}: write one of {listed(_KINDS)}; there is {listed(kinds)}")
        (kind,) = kinds
        _known(said, (*_OPTIONS[kind], "then"), where)
        try:
            channel = getattr(self, f"_{kind}")(where, said)
        except UsageError as problem:
            text = str(problem)
            raise UsageError(text if text.startswith(where) else f"{where}: {text}") from problem
        then = said.get("then")
        if then is not None and not isinstance(then, str):
            raise UsageError(f"{where}.then: write the name of one channel; there is {then!r}")
        return Line(name, channel, then=then, pages=kind == "pagerduty")

    def _mail(self, where: str, said: Mapping[str, Any]) -> Channel:
        if self._mailing is None:
            raise UsageError("e-mail goes through Airflow's connection smtp_default, and Airflow is not asked here")
        return self._mailing(_addresses(_names(said["mail"], f"{where}.mail")))

    def _pagerduty(self, where: str, said: Mapping[str, Any]) -> Channel:
        region = said.get("region", "us")
        if region not in REGIONS:
            raise UsageError(f"{where}.region: there is no {region!r}{close(str(region), REGIONS)}")
        return PagerDuty(self._secret(said["pagerduty"], f"{where}.pagerduty"), region)

    def _apprise(self, where: str, said: Mapping[str, Any]) -> Channel:
        return Apprised(self._secret(said["apprise"], f"{where}.apprise"))

    def _webhook(self, where: str, said: Mapping[str, Any]) -> Channel:
        if "secret" not in said:
            raise UsageError(f"{where}: a webhook is signed: add secret: $NAME, the variable that holds what both know")
        url = said["webhook"]
        if str(url).startswith("$"):
            url = self._secret(url, f"{where}.webhook")
        if not isinstance(url, str) or not _is_web(url):
            raise UsageError(f"{where}.webhook: write https://host/path, or the $NAME of a variable that holds it")
        return Webhook(url, self._secret(said["secret"], f"{where}.secret"))

    def _secret(self, said: Any, where: str) -> str:
        if not isinstance(said, str) or not re.fullmatch(r"\$[A-Za-z_]\w*", said):
            raise UsageError(
                f"{where}: a secret is not written here: write $NAME, an environment variable that holds it"
            )
        value = self._variables.get(said[1:], "").strip()
        if not value:
            raise UsageError(f"{where}: the environment variable {said[1:]} is not set, or empty")
        return value

    # -- routes

    def _route(self, where: str, said: Any, lines: Mapping[str, Line]) -> Route:
        _keyed(said, where)
        _known(said, ("severity", "cause", "pipeline", "owner", "hours", "channels"), where)
        severities = _each_of(said, "severity", where, list(Severity))
        if Severity.INFO in severities:
            raise UsageError(f"{where}.severity: what is only information goes by subscription, never by a route")
        return Route(
            severity=severities,
            cause=_each_of(said, "cause", where, list(CauseClass)),
            pipeline=_any_of(said, "pipeline", where),
            owner=_any_of(said, "owner", where),
            hours=_hours(said, where),
            channels=_channels(said, where, lines),
        )

    def _subscription(self, where: str, said: Any, lines: Mapping[str, Line]) -> Subscription:
        _keyed(said, where)
        _known(said, ("topics", "pipeline", "owner", "channels"), where)
        channels = _channels(said, where, lines)
        for each in channels:
            if lines[each].pages:
                raise UsageError(f"{where}.channels: {each!r} wakes people, and information never does; take another")
        return Subscription(
            topics=_each_of(said, "topics", where, TOPICS),
            pipeline=_any_of(said, "pipeline", where),
            owner=_any_of(said, "owner", where),
            channels=channels,
        )

    # -- the rest

    def _wording(self, said: Any) -> Wording:
        if said is None:
            return Wording()
        if not isinstance(said, str):
            raise UsageError("templates: write the name of a folder")
        made = Wording(self._folder / said)
        made.check(_sample_facts())
        return made


def _sample_facts() -> dict[str, list[Facts]]:
    found: dict[str, list[Facts]] = {"incident": [], "information": []}
    for notice, one in samples():
        if one is None:
            found["information"].append(information_facts(notice, page=""))
        else:
            facts = incident_facts(notice, one, runbook="https://docs.test/gate_failed.md", page="", now=notice.at)
            found["incident"].append(facts)
    return found


# -- what is wrong with it


def _known(said: Mapping[str, Any], names: tuple[str, ...], where: str) -> None:
    for key in said:
        if key not in names:
            raise UsageError(f"{where}: there is no key {key!r}{close(str(key), names)}")


def _keyed(said: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(said, dict) or not all(isinstance(each, str) for each in said):
        raise UsageError(f"{where}: write keys with values, such as {{name: value}}; there is {type(said).__name__}")
    return said


def _listed(said: Any, where: str) -> list[tuple[str, Any]]:
    if not isinstance(said, list):
        raise UsageError(f"{where}: write a list, each entry of which begins with '-'")
    return [(f"{where}, entry {number}", each) for number, each in enumerate(said, 1)]


def _names(said: Any, where: str) -> list[str]:
    names = [said] if isinstance(said, str) else said
    if not isinstance(names, list) or not all(isinstance(each, str) and each for each in names):
        raise UsageError(f"{where}: write a name, or [one, another]")
    return names


def _any_of(said: Mapping[str, Any], key: str, where: str) -> frozenset[str]:
    if key not in said:
        return frozenset()
    names = _names(said[key], f"{where}.{key}")
    if not names:
        raise UsageError(f"{where}.{key}: there is none, so nothing would ever fit; leave the key out to fit all")
    return frozenset(names)


def _each_of(said: Mapping[str, Any], key: str, where: str, known: Any) -> frozenset[str]:
    names = _any_of(said, key, where)
    for each in sorted(names):
        if each not in known:
            raise UsageError(f"{where}.{key}: there is no {each!r}{close(each, map(str, known))}")
    return names


def _channels(said: Mapping[str, Any], where: str, lines: Mapping[str, Line]) -> tuple[str, ...]:
    if "channels" not in said:
        raise UsageError(f"{where}: name the channels, or write channels: [] so that nobody is told")
    names = _names(said["channels"], f"{where}.channels")
    for each in names:
        if each not in lines:
            raise UsageError(f"{where}.channels: there is no channel {each!r}{close(each, lines)}")
    return tuple(dict.fromkeys(names))


def _hours(said: Mapping[str, Any], where: str) -> tuple[Hours, ...]:
    if "hours" not in said:
        return ()
    try:
        return tuple(parse_hours(each) for each in _names(said["hours"], "hours"))
    except UsageError as problem:
        raise UsageError(f"{where}.hours: {problem}") from problem


def _check_then(name: str, first: Line, lines: Mapping[str, Line]) -> None:
    seen, at = [name], first
    while at.then is not None:
        if at.then not in lines:
            raise UsageError(f"channels.{at.name}.then: there is no channel {at.then!r}{close(str(at.then), lines)}")
        if at.then in seen:
            raise UsageError(f"channels.{name}.then: {' -> '.join([*seen, at.then])} goes round; let one be the last")
        seen.append(at.then)
        at = lines[at.then]


def _check_reachable(routes: list[Route]) -> None:
    for number, each in enumerate(routes, 1):
        for before, earlier in enumerate(routes[: number - 1], 1):
            if earlier.covers(each):
                raise UsageError(
                    f"routes, entry {number}: it is never reached, since all that fits it fits entry {before}; "
                    "put it before that, or take it out"
                )
    if not routes or not routes[-1].covers(Route()):
        raise UsageError(
            "routes: an alert that fits no route would be lost: end with one that has nothing but channels "
            "(channels: [] if nobody is to be told)"
        )


def _addresses(said: list[str]) -> tuple[str, ...]:
    for each in said:
        if not _ADDRESS.fullmatch(each):
            raise UsageError(f"{each!r} is no mail address: write name@host")
    if not said:
        raise UsageError("there is no mail address")
    return tuple(said)


def _time(said: Any, where: str) -> timedelta:
    match = _TIME.fullmatch(str(said).strip())
    if match is None:
        raise UsageError(f"{where}: {said!r} is no time: write '30 minutes', '1 hour' or '1 day'")
    return timedelta(**{f"{match[2]}s": int(match[1])})


def _links(said: Any) -> Links:
    _known(_keyed(said, "links"), ("runbooks", "airflow"), "links")
    for key, url in said.items():
        if not isinstance(url, str) or not _is_web(url):
            raise UsageError(f"links.{key}: {url!r} is no address: write https://host/path")
    return Links(**{key: url.rstrip("/") for key, url in said.items()})


def _is_web(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0  # or it is no number
    except ValueError:
        return False
