"""Sample alerts: what templates are tried on as they are read, and what ``tidemark alert test`` sends."""

from datetime import UTC, datetime, timedelta
from typing import Any

from tidemark.incidents.classes import CauseClass, Severity
from tidemark.incidents.conditions import Condition, Reached, detail_of
from tidemark.incidents.topics import Topic
from tidemark.ledger.incidents import Incident
from tidemark.ledger.notices import INFORMATION, OPENED, RESOLVED, UPDATED, Notice

_SAID = {
    OPENED: "orders 2011-01-05: did not pass its gate",
    UPDATED: "2 partitions, 1 before",
    RESOLVED: "it is over",
}


def sample_incident(environment: str, now: datetime, *, number: int = 0, test: str = "") -> Incident:
    """Return an incident that never was; ``test`` is said in front of its summary."""
    condition = Condition(
        cause=CauseClass.GATE_FAILED,
        pipeline="price_list",
        asset="orders",
        summary=f"{test}orders 2011-01-05: did not pass its gate",
        why="orders.UnitPrice: 2 of 1,204 values fail: at least 0 was expected, such as -3.75 on line 17",
        partitions=("2011-01-05",),
        rows=(
            {"row_number": 16, "InvoiceNo": "536370", "StockCode": "22728", "UnitPrice": -3.75, "CustomerID": "•••"},
            {"row_number": 88, "InvoiceNo": "536378", "StockCode": "84519A", "UnitPrice": -0.85, "CustomerID": "•••"},
        ),
        instead="the last good result",
        instead_of=now - timedelta(hours=26),
        reach=(
            Reached("order_lines", "price_list", "asset", 1, "2011-01-05", "2011-01-05"),
            Reached("product_features", "price_list", "asset", 28, "2011-01-05", "2011-02-01"),
            Reached("demand_model", "demand_model", "model"),
            Reached("business_report", "price_list", "report", 1, "2011-01-05", "2011-01-05"),
        ),
        owner="intake",
    )
    return Incident(
        id=number,
        environment=environment,
        pipeline=condition.pipeline,
        asset=condition.asset,
        cause=condition.cause.value,
        severity=condition.bad.value,
        owner=condition.owner,
        summary=condition.summary,
        detail=detail_of(condition).to_json(),
        happened=1,
        opened_at=now - timedelta(minutes=42),
        updated_at=now,
        acknowledged_at=None,
        resolved_at=None,
    )


def sample_notice(environment: str, kind: str, now: datetime, *, test: str = "") -> Notice:
    """Return a notice that never was: of the sample incident, or of information."""
    information = kind == INFORMATION
    said = "demand_model: ann made version 1f3a5c7e9b0d the champion" if information else _SAID[kind]
    payload: dict[str, Any] = {"said": said}
    if information:
        payload = {"title": f"{test}{said}", "lines": ["Its prices are in force from 2011-01-06 on."]}
    return Notice(
        id=0,
        environment=environment,
        kind=kind,
        topic=Topic.MODEL_PROMOTED if information else CauseClass.GATE_FAILED,
        incident=None if information else 0,
        unique_key=None,
        severity=Severity.INFO if information else Severity.CRITICAL,
        pipeline="price_list",
        owner="intake",
        payload=payload,
        at=now,
    )


def samples() -> list[tuple[Notice, Incident | None]]:
    """Return a notice of each kind, with its incident."""
    now = datetime(2011, 1, 6, 8, 2, tzinfo=UTC)
    one = sample_incident("prod", now)
    over = one._replace(resolved_at=now)
    pairs = ((OPENED, one), (UPDATED, one), (RESOLVED, over), (INFORMATION, None))
    return [(sample_notice("prod", kind, now), about) for kind, about in pairs]
