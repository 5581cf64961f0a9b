"""Airflow's own metrics: what its processes tell by StatsD, in the form that Prometheus scrapes.

Airflow runs each task in a process of its own. By StatsD a process says "one more", and the receiver adds up; by
OpenTelemetry each process would tell its own totals from zero, which only a collector with a memory can add up. A
datagram costs the sender nothing, whether somebody listens or not.

Names become Prometheus's: ``airflow.ti.finish`` is ``airflow_ti_finish_total``, a timer ``airflow.task.duration`` the
summary ``airflow_task_duration_seconds``. Tags are labels; Airflow writes them as InfluxDB does
(``name,tag=value:1|c``) once ``[metrics] statsd_influxdb_enabled`` is on.
"""

import logging
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric, SummaryMetricFamily

from tidemark.errors import UsageError
from tidemark.metrics.addresses import Address

log = logging.getLogger(__name__)

# More series than any Airflow should have: beyond it new ones are counted and dropped, so that memory has an end.
MOST_SERIES = 20_000

# Airflow counts these up and down.
_UP_AND_DOWN = frozenset({"airflow_dag_processing_processes"})

_LINE = re.compile(
    r"(?P<name>[^,:|]+)(?:,(?P<tags>.*))?:(?P<value>[+-]?[0-9.eE+-]+)\|(?P<kind>c|g|ms)(?:\|@(?P<rate>[0-9.]+))?"
)
_NOT_IN_NAMES = re.compile(r"[^a-zA-Z0-9_]")
_LABEL = re.compile(r"(?!__)[A-Za-z_][A-Za-z0-9_]*")


class Kind(StrEnum):
    """What StatsD tells apart."""

    COUNTER = "c"
    GAUGE = "g"
    TIMER = "ms"


@dataclass(frozen=True)
class Told:
    """One line of StatsD.

    Attributes:
        name: as Prometheus spells it, without unit.
        labels: names and values, in the order of the names.
        kind: what it is.
        value: of a counter what is to be added, of a timer seconds.
        relative: of a gauge, whether the value is to be added.

    """

    name: str
    labels: tuple[tuple[str, str], ...]
    kind: Kind
    value: float
    relative: bool = False


def parsed(line: str) -> Told | None:
    """Read one line; None of what is none."""
    match = _LINE.fullmatch(line)
    if match is None:
        return None
    try:
        value, rate = float(match["value"]), float(match["rate"] or 1)
    except ValueError:
        return None
    if not rate:
        return None
    pairs = (each.partition("=") for each in (match["tags"] or "").split(",") if each)
    labels = tuple(sorted((_NOT_IN_NAMES.sub("_", name), text) for name, _, text in pairs))
    if len(dict(labels)) < len(labels) or not all(_LABEL.fullmatch(name) for name, _ in labels):
        return None  # one such label would keep Prometheus from reading everything else
    name, kind = _NOT_IN_NAMES.sub("_", match["name"]), Kind(match["kind"])
    relative = kind is Kind.GAUGE and match["value"][0] in "+-"
    if kind is Kind.COUNTER:
        value /= rate
        if name in _UP_AND_DOWN:
            kind, relative = Kind.GAUGE, True
    return Told(name, labels, kind, value / 1000 if kind is Kind.TIMER else value, relative)


class Received:
    """A collector of ``prometheus_client`` over what was told; safe to be used by several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        # By kind and name, then by labels: how many values there were, and their sum (of a gauge, the last).
        self._series: dict[tuple[Kind, str], dict[tuple[tuple[str, str], ...], tuple[int, float]]] = {}
        self._count = 0
        self._lost = {"unreadable": 0, "too many series": 0}

    def take(self, datagram: bytes) -> None:
        """Add up what a datagram tells; what cannot be read is counted."""
        lines = [line for line in datagram.decode(errors="replace").splitlines() if line]
        with self._lock:
            for line in lines:
                told = parsed(line)
                if told is None:
                    self._lost["unreadable"] += 1
                else:
                    self._add(told)

    def _add(self, told: Told) -> None:
        family = self._series.setdefault((told.kind, told.name), {})
        if told.labels not in family:
            if self._count >= MOST_SERIES:
                self._lost["too many series"] += 1
                return
            self._count += 1
        times, before = family.get(told.labels, (0, 0.0))
        adds = told.kind is not Kind.GAUGE or told.relative
        family[told.labels] = (times + 1, before + told.value if adds else told.value)

    def collect(self) -> Iterator[Metric]:
        """Yield every metric that was told, and how much was lost."""
        with self._lock:
            series = {key: dict(family) for key, family in self._series.items()}
            lost = dict(self._lost)
        for (kind, name), family in sorted(series.items()):
            yield _family(kind, name, family)
        said = "Lines of StatsD that were not taken."
        lines = CounterMetricFamily("tidemark_statsd_lost_lines", said, labels=["why"])
        for why, count in lost.items():
            lines.add_metric([why], count)
        yield lines


def _family(kind: Kind, name: str, series: dict[tuple[tuple[str, str], ...], tuple[int, float]]) -> Metric:
    """Return a family of which each series may have labels of its own, as Airflow's have."""
    metric: Metric
    if kind is Kind.COUNTER:
        metric = CounterMetricFamily(name, "Counted by Airflow.")
    elif kind is Kind.GAUGE:
        metric = GaugeMetricFamily(name, "Told by Airflow.")
    else:
        metric = SummaryMetricFamily(f"{name}_seconds", "Timed by Airflow.")
    for labels, (times, value) in sorted(series.items()):
        given = dict(labels)
        if kind is Kind.TIMER:
            metric.add_sample(f"{metric.name}_count", given, times)
            metric.add_sample(f"{metric.name}_sum", given, value)
        else:
            metric.add_sample(f"{metric.name}_total" if kind is Kind.COUNTER else metric.name, given, value)
    return metric


@contextmanager
def listening(address: Address) -> Iterator[Received]:
    """Take datagrams at an address; yields what they have told.

    Raises:
        UsageError: nobody can listen there.

    """
    received = Received()
    with socket.socket(address.family, socket.SOCK_DGRAM) as receiver:
        try:
            receiver.bind((address.host, address.port))
        except OSError as problem:
            raise UsageError(f"TIDEMARK_STATSD={address}: {problem.strerror}: name another address") from problem
        receiver.settimeout(0.2)
        ends = threading.Event()

        def listen() -> None:
            while not ends.is_set():
                try:
                    received.take(receiver.recv(65_536))
                except TimeoutError:
                    continue
                except OSError as problem:  # nothing that one datagram brings may end this
                    log.warning("no datagram: %s", problem)

        listener = threading.Thread(target=listen, name="statsd", daemon=True)
        listener.start()
        try:
            yield received
        finally:
            ends.set()
            listener.join()
