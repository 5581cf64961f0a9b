"""What stories about alerts share: an outbox that real incidents fill, and channels that write down what they are told.

The ledger, the incidents, the notices, the routing and the rounds are real; time is what the story says.
"""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from tidemark.alerting import Alerting, Drained, Message, Undelivered, drain
from tidemark.alerting.channels import Line
from tidemark.alerting.routes import Route, Subscription
from tidemark.config import settings
from tidemark.deployment import Deployment, open_deployment
from tidemark.incidents.classes import CauseClass, Severity
from tidemark.incidents.conditions import Condition
from tidemark.incidents.reconciling import reconcile
from tidemark.ledger import incidents, notices
from tidemark.ledger.incidents import Incident
from tidemark.ledger.schema import delivery

BAD = Condition(CauseClass.GATE_FAILED, "shop", "orders", "orders 2025-01-05: did not pass", owner="intake")
LATE = Condition(CauseClass.SOURCE_LATE, "shop", "fx_rates", "fx_rates 2025-01-05 is late", owner="pricing")


class Diary:
    """A channel that writes down what it is told, and fails as often as it is told to.

    Attributes:
        said: what was delivered, each as ``kind incident``, or ``kind topic``.
        messages: the same as they were.
        failures: what the next attempts raise.
        tried: how often anything was attempted.

    """

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.failures: list[Exception] = []
        self.tried = 0
        self._lock = threading.Lock()

    def send(self, message: Message) -> None:
        with self._lock:
            self.tried += 1
            if self.failures:
                raise self.failures.pop(0)
            self.messages.append(message)

    @property
    def said(self) -> list[str]:
        return [f"{each.kind} {each.facts.get('asset') or each.facts.get('topic')}" for each in self.messages]

    def is_down(self, times: int = 1000) -> None:
        self.failures = [Undelivered("answered 500") for _ in range(times)]

    def is_up(self) -> None:
        self.failures = []


class Board:
    """An outbox, and who is told.

    Attributes:
        now: the instant that the next round takes for now.
        chat, pager, mail: three channels; the pager's next is mail, as is the chat's.

    """

    def __init__(self, deployment: Deployment) -> None:
        self.deployment = deployment
        self.chat, self.pager, self.mail = Diary(), Diary(), Diary()
        self.now = datetime.now(UTC)
        lines = {
            "chat": Line("chat", self.chat, then="mail"),
            "pager": Line("pager", self.pager, then="mail", pages=True),
            "mail": Line("mail", self.mail),
        }
        routes = (
            Route(severity=frozenset({"critical"}), channels=("pager",)),
            Route(channels=("chat",)),
        )
        self.alerting = Alerting(lines, routes, updates=timedelta(hours=1))
        self._wrong: dict[tuple[str, str, str], Condition] = {}

    # -- what happens

    def wrong(self, *conditions: Condition) -> None:
        """Let something be wrong, beside what is already."""
        self._wrong |= {each.key: each for each in conditions}
        self._look()

    def grows(self, condition: Condition, days: int, **changes: Any) -> None:
        """Let more partitions be wrong."""
        keys = tuple(f"2025-01-{day:02}" for day in range(5, 5 + days))
        self.wrong(replace(condition, partitions=keys, **changes))

    def well(self, *conditions: Condition) -> None:
        """Let something be well again."""
        for each in conditions:
            del self._wrong[each.key]
        self._look()

    def _look(self) -> None:
        reconcile(self.deployment, list(self._wrong.values()), within=lambda one: True, actor="tester")
        # The ledger takes the clock for opened_at; rounds must not be before that.
        self.now = max(self.now, datetime.now(UTC))

    def informs(self, topic: str = "model_promoted", said: str = "ann made 1f3a the champion") -> None:
        with self.deployment.ledger.write() as connection:
            notices.write(
                connection,
                "prod",
                kind=notices.INFORMATION,
                topic=topic,
                severity=Severity.INFO,
                payload={"title": said, "lines": []},
                pipeline="shop",
            )

    def reports(self, topic: str = "business_report") -> None:
        with self.deployment.ledger.write() as connection:
            notices.write(
                connection,
                "prod",
                kind=notices.REPORT,
                topic=topic,
                severity=Severity.INFO,
                payload={"asset": topic, "partition": "2025-01-05"},
                pipeline="shop",
            )

    def silences(self, minutes: int, **wanted: str) -> int:
        values = {"pipeline": "", "asset": "", "cause": "", "why": "moving", "actor": "ann", **wanted}
        values |= {"begins_at": self.now - timedelta(seconds=1), "ends_at": self.now + timedelta(minutes=minutes)}
        with self.deployment.ledger.write() as connection:
            return incidents.write_silence(connection, "prod", values)

    def acknowledges(self, asset: str = "orders", **at: None) -> None:
        """Let somebody take an incident on; with ``at=None``, let it count as taken on by nobody."""
        (one,) = (each for each in self.open_ones() if each.asset == asset)
        with self.deployment.ledger.write() as connection:
            incidents.change(connection, one.id, acknowledged_at=at.get("at", self.now))

    def open_ones(self) -> list[Incident]:
        with self.deployment.ledger.read() as connection:
            return incidents.open_ones(connection, "prod")

    def later(self, **length: float) -> None:
        """Let time pass."""
        self.now += timedelta(**length)

    # -- rounds

    def round(self, deployment: Deployment | None = None) -> Drained:
        return drain(deployment or self.deployment, self.alerting, now=self.now)

    def rounds(self, count: int = 3) -> None:
        for _ in range(count):
            self.round()

    def passes(self, minutes: int) -> None:
        """Let time pass, with a round every half minute."""
        for _ in range(2 * minutes):
            self.later(seconds=30)
            self.round()

    def subscribes(self, channel: str, *topics: str) -> None:
        self.alerting = replace(self.alerting, subscriptions=(Subscription(frozenset(topics), channels=(channel,)),))

    # -- what there is

    def outcomes(self) -> dict[str, int]:
        """How many deliveries there are of each outcome; those that are pending are None."""
        with self.deployment.ledger.read() as connection:
            found = connection.execute(sa.select(delivery.c.outcome)).scalars().all()
        return {each: found.count(each) for each in dict.fromkeys(found)}

    def problems(self) -> list[str]:
        with self.deployment.ledger.read() as connection:
            return [each for each in connection.execute(sa.select(delivery.c.problem)).scalars() if each]

    def unrouted(self) -> Sequence[notices.Notice]:
        with self.deployment.ledger.read() as connection:
            return notices.unrouted(connection, environment="prod")


@contextmanager
def open_board(home: Path, ledger_url: str | None = None) -> Iterator[Board]:
    """Open an outbox in a folder, or on a ledger elsewhere."""
    environ = {"TIDEMARK_HOME": str(home)} | ({"TIDEMARK_LEDGER_URL": ledger_url} if ledger_url else {})
    with open_deployment(settings(environ)) as deployment:
        yield Board(deployment)
