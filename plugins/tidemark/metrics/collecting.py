"""Our own metrics, from the ledger alone."""

import logging
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import sqlalchemy as sa
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric, SummaryMetricFamily

from tidemark.errors import TidemarkError
from tidemark.incidents.classes import CauseClass
from tidemark.ledger import Ledger, counts

log = logging.getLogger(__name__)

# So many seconds after it was asked, a scrape is answered whatever the ledger does: Prometheus waits for 10 by default.
DEADLINE_SECONDS = 8.0

# By what a gate says of data that does not pass.
_SEVERITIES = {"blocked": "critical", "flagged": "warning"}

_ASSET = ("environment", "asset")


@dataclass(frozen=True)
class History:
    """What is counted over all that was ever written down.

    Attributes:
        live: the heads by environment and asset.
        periods: when the periods of the newest live partitions begin and end, by id.
        moments: when the changes were made that ``live`` names.
        batches: what was computed.
        gate_failures: (environment, suite, outcome, how many contents).
        rejections: (environment, asset id, how many deliveries).
        plans: by environment and pipeline.

    """

    live: list[counts.Live]
    periods: dict[int, tuple[datetime, datetime]]
    moments: dict[int, datetime]
    batches: list[counts.Batches]
    gate_failures: list[tuple[str, str, str, int]]
    rejections: list[tuple[str, int, int]]
    plans: list[counts.Plans]


@dataclass(frozen=True)
class Reading:
    """One look at the ledger: its history, and what people and workers change without adding to it."""

    history: History
    members: dict[int, counts.Member]
    failed: list[tuple[str, int, int]]
    held: list[tuple[str, int, int]]
    incidents: list[tuple[str, str, str, int]]
    heartbeats: dict[str, datetime]

    @property
    def environments(self) -> list[str]:
        """The environments in which somebody has planned."""
        return sorted({each.environment for each in self.history.plans})


def read_history(connection: sa.Connection) -> History:
    """Count over the whole ledger: the costly part, tenths of a second for a hundred thousand heads."""
    live = counts.live(connection)
    changes = {seq for each in live for seq in (each.moved, each.marked) if seq is not None}
    return History(
        live,
        counts.periods_of(connection, {each.newest for each in live if each.newest is not None}),
        counts.moments_of(connection, changes),
        counts.batches(connection),
        counts.gate_failures(connection),
        counts.rejections(connection),
        counts.plans(connection),
    )


class LedgerMetrics:
    """A collector of ``prometheus_client`` over a ledger; safe to be asked by several threads.

    A ledger that cannot be asked, or does not answer in time, is told as ``tidemark_up 0`` and nothing else. What is
    counted over its history is counted again only once the ledger has grown.

    Args:
        ledger: the ledger.
        as_of: the instant that freshness is counted to; None: the clock.
        deadline: seconds after which a scrape is answered without it.

    """

    def __init__(self, ledger: Ledger, as_of: datetime | None = None, *, deadline: float = DEADLINE_SECONDS) -> None:
        self._ledger = ledger
        self._as_of = as_of
        self._deadline = deadline
        self._known: tuple[counts.State, History] | None = None
        self._turn = threading.Lock()

    def collect(self) -> Iterator[Metric]:
        """Yield every metric; never raises."""
        began = time.monotonic()
        # A thread of its own, for a database that hangs cannot be interrupted; a daemon, for nobody waits for it.
        found: list[Reading] = []
        asking = threading.Thread(target=self._ask, args=(found,), name="ledger metrics", daemon=True)
        asking.start()
        asking.join(self._deadline)
        yield GaugeMetricFamily("tidemark_up", "Whether the ledger answers.", value=float(bool(found)))
        if not found:
            return
        took = time.monotonic() - began
        yield GaugeMetricFamily("tidemark_collect_seconds", "What it took to ask the ledger.", value=took)
        yield from families(found[0], as_of=self._as_of)

    def read(self) -> Reading:
        """Look at the ledger.

        Raises:
            Unavailable: the ledger cannot be reached.

        """
        with self._ledger.read() as connection:
            state = counts.state(connection)
            if self._known is None or self._known[0] != state:
                self._known = (state, read_history(connection))
            return Reading(
                self._known[1],
                counts.members(connection),
                counts.failed(connection),
                counts.held(connection),
                counts.open_incidents(connection),
                counts.heartbeats(connection),
            )

    def _ask(self, found: list[Reading]) -> None:
        # One asks at a time: scrapes that are given up must not pile up on a ledger that hangs.
        if not self._turn.acquire(timeout=self._deadline):
            return
        try:
            found.append(self.read())
        except (TidemarkError, sa.exc.SQLAlchemyError) as problem:
            log.warning("no metrics: %s", problem)
        finally:
            self._turn.release()


def families(reading: Reading, *, as_of: datetime | None = None) -> Iterator[Metric]:
    """Yield the metrics of one look at the ledger.

    Args:
        reading: the look.
        as_of: the instant that freshness is counted to; None: the clock.

    """
    yield from _standing(reading)
    yield from _ages(reading, as_of)
    yield from _work(reading)
    yield from _refusals(reading)
    yield from _alarms(reading)


def _gauge(name: str, said: str, labels: Sequence[str], values: Mapping[tuple[str, ...], float]) -> Metric:
    family = GaugeMetricFamily(name, said, labels=labels)
    for given, value in values.items():
        family.add_metric(given, value)
    return family


def _counter(name: str, said: str, labels: Sequence[str], values: Mapping[tuple[str, ...], float]) -> Metric:
    family = CounterMetricFamily(name, said, labels=labels)
    for given, value in values.items():
        family.add_metric(given, value)
    return family


def _standing(reading: Reading) -> Iterator[Metric]:
    """Yield how many partitions are in which state."""
    names = reading.members
    heads: dict[tuple[str, ...], float] = {}
    nothing: dict[tuple[str, ...], float] = {}
    for each in reading.history.live:
        place = (each.environment, names[each.asset].name)
        heads[*place, "final"], heads[*place, "provisional"] = each.final, each.provisional
        nothing[place] = 0
    yield _gauge("tidemark_heads", "What is live, by how complete it is.", (*_ASSET, "state"), heads)
    said = "Partitions whose newest computation failed, or newest delivery was rejected."
    failed = {
        (environment, names[number].name): float(count)
        for environment, number, count in reading.failed
        if not names[number].given_up
    }
    yield _gauge("tidemark_failed_partitions", said, _ASSET, nothing | failed)
    held = {(environment, names[number].name): float(count) for environment, number, count in reading.held}
    yield _gauge("tidemark_holds", "Holds of partitions or whole assets, not lifted.", _ASSET, nothing | held)


def _ages(reading: Reading, as_of: datetime | None) -> Iterator[Metric]:
    """Yield how old things are; nobody waits for what its pipeline has given up, nor for another champion."""
    clock, history = datetime.now(UTC), reading.history
    fresh: dict[tuple[str, ...], float] = {}
    periods: dict[tuple[str, ...], float] = {}
    provisional: dict[tuple[str, ...], float] = {}
    for each in history.live:
        member = reading.members[each.asset]
        if member.given_up or member.kind not in ("source", "asset") or each.newest is None or each.moved is None:
            continue
        place = (each.environment, member.name, member.kind)
        if each.newest in history.periods:
            begins, ends = history.periods[each.newest]
            age, periods[place] = (as_of or clock) - ends, (ends - begins).total_seconds()
        else:  # how long ago it came about: that is of the clock, whatever plans take for now
            age = clock - history.moments[each.moved]
        fresh[place] = max(0.0, age.total_seconds())
        marked = history.moments[each.marked] if each.marked is not None else clock
        provisional[place] = (clock - marked).total_seconds()
    said = "Since the end of the newest live partition's period; without periods, since anything of it last changed."
    yield _gauge("tidemark_freshness_seconds", said, (*_ASSET, "kind"), fresh)
    said = "How long a period of it is; only of what has periods."
    yield _gauge("tidemark_period_seconds", said, (*_ASSET, "kind"), periods)
    said = "For how long the oldest provisional head has been as it is; 0: none is provisional."
    yield _gauge("tidemark_oldest_provisional_seconds", said, (*_ASSET, "kind"), provisional)


def _work(reading: Reading) -> Iterator[Metric]:
    """Yield what planning and computing took."""
    planning = SummaryMetricFamily(
        "tidemark_plan_seconds", "What looking and deciding took, a plan.", labels=["environment", "pipeline"]
    )
    last: dict[tuple[str, ...], float] = {}
    there = {each.pipeline for each in reading.members.values() if not each.given_up}
    for plan in reading.history.plans:
        planning.add_metric([plan.environment, plan.pipeline], plan.timed, plan.seconds)
        if plan.pipeline in there:  # nobody waits for a plan of one that was retired
            last[plan.environment, plan.pipeline] = plan.last.timestamp()
    yield planning
    said = "When the newest plan was made."
    yield _gauge("tidemark_last_plan_timestamp_seconds", said, ("environment", "pipeline"), last)
    batches = SummaryMetricFamily(
        "tidemark_batch_seconds", "What computing took, a run and asset, failures included.", labels=_ASSET
    )
    computed: dict[tuple[str, ...], float] = {}
    failures: dict[tuple[str, ...], float] = {}
    for each in reading.history.batches:
        place = (each.environment, reading.members[each.asset].name)
        batches.add_metric(place, each.batches, each.seconds)
        computed[place], failures[place] = each.partitions, each.failures
    yield batches
    yield _counter("tidemark_computed_partitions", "Partitions that were computed.", _ASSET, computed)
    yield _counter("tidemark_failed_computations", "Computations that failed or died.", _ASSET, failures)


def _refusals(reading: Reading) -> Iterator[Metric]:
    """Yield what did not pass; zero from the start, for Prometheus sees no increase in a counter that appears."""
    members = reading.members.values()
    gates: dict[tuple[str, ...], float] = {
        (environment, each.gate, severity): 0
        for environment in reading.environments
        for each in members
        if each.gate
        for severity in _SEVERITIES.values()
    }
    for environment, suite, outcome, count in reading.history.gate_failures:
        gates[environment, suite, _SEVERITIES[outcome]] = count
    said = "Contents that a gate stopped (critical) or flagged (warning); each is counted once a suite."
    yield _counter("tidemark_gate_failures", said, ("environment", "suite", "severity"), gates)
    sources = [each.name for each in members if each.kind == "source"]
    rejected: dict[tuple[str, ...], float] = {
        (environment, name): 0 for environment in reading.environments for name in sources
    }
    for environment, number, count in reading.history.rejections:
        rejected[environment, reading.members[number].name] = count
    said = "Deliveries that were rejected: malformed, or stopped by their gate."
    yield _counter("tidemark_rejected_deliveries", said, _ASSET, rejected)


def _alarms(reading: Reading) -> Iterator[Metric]:
    """Yield what people are told of, and who still shows signs of life."""
    incidents: dict[tuple[str, ...], float] = {
        (environment, cause.value, cause.said.severity.value): 0
        for environment in reading.environments
        for cause in CauseClass
    }
    for environment, name, severity, count in reading.incidents:
        incidents[environment, name, severity] = count
    labels = ("environment", "cause", "severity")
    yield _gauge("tidemark_incidents_open", "Incidents that are not over.", labels, incidents)
    beats: dict[tuple[str, ...], float] = {(name,): at.timestamp() for name, at in reading.heartbeats.items()}
    said = "When each of those that should show signs of life last did; of who has left, nothing."
    yield _gauge("tidemark_heartbeat_timestamp_seconds", said, ("name",), beats)
