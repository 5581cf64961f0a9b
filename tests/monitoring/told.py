"""A shop with a past that metrics can be checked against, and what it tells of itself."""

from prometheus_client.parser import text_string_to_metric_families

from tests.gates import rule
from tests.incidents.story import told as run_and_tell
from tests.scenario import Shop
from tidemark.metrics.serving import exposition

SHOP = """
    orders = source("orders", files="orders/{partition}.csv", partitions=DAYS, gate="orders", expected=Calendar(),
                    due="1 day 02:00 UTC", schema={"k": str, "v": float})

    @asset(partitions=DAYS, gate="lines")
    def lines(orders: pl.DataFrame) -> pl.DataFrame:
        return orders

    @asset(partitions=DAYS, inputs={"lines": trailing(days=2)})
    def totals(lines: pl.DataFrame) -> str:
        return str(lines["v"].sum())

    @asset()
    def motto() -> str:
        return "all is well"
"""
GOOD, BAD, ODD = "k,v\na,1\n", "k,v\na,-7\n", "k,v\na,700\n"

# All that the exporter tells of the ledger, whatever has happened.
OURS = {
    "tidemark_up",
    "tidemark_collect_seconds",
    "tidemark_heads",
    "tidemark_failed_partitions",
    "tidemark_holds",
    "tidemark_freshness_seconds",
    "tidemark_period_seconds",
    "tidemark_oldest_provisional_seconds",
    "tidemark_plan_seconds_count",
    "tidemark_plan_seconds_sum",
    "tidemark_last_plan_timestamp_seconds",
    "tidemark_batch_seconds_count",
    "tidemark_batch_seconds_sum",
    "tidemark_computed_partitions_total",
    "tidemark_failed_computations_total",
    "tidemark_gate_failures_total",
    "tidemark_rejected_deliveries_total",
    "tidemark_incidents_open",
    "tidemark_heartbeat_timestamp_seconds",
}
# What a process that also listens to Airflow tells of that.
LISTENING = "tidemark_statsd_lost_lines_total"


class Told(dict[tuple[str, ...], float]):
    """Samples: a metric's name and its labels' values, in the order of the labels' names, to the value."""

    def of(self, name: str) -> dict[tuple[str, ...], float]:
        """The samples of one metric that are not zero."""
        return {key[1:]: value for key, value in self.items() if key[0] == name and value}

    @property
    def names(self) -> set[str]:
        """The names of all samples."""
        return {key[0] for key in self}


def told_by(text: bytes) -> Told:
    """What a text says."""
    samples = (each for family in text_string_to_metric_families(text.decode()) for each in family.samples)
    return Told({(each.name, *(text for _, text in sorted(each.labels.items()))): each.value for each in samples})


def told(shop: Shop) -> Told:
    """What a shop's ledger says."""
    with shop.deployment() as deployment:
        return told_by(exposition(deployment))


def play(shop: Shop) -> None:
    """Until the morning of the 9th one day is missing, one was stopped by its gate, one broke, and one is flagged."""
    shop.suite("orders", rule("expect_column_values_to_be_between", "critical", column="v", min_value=0))
    shop.suite("lines", rule("expect_column_values_to_be_between", "warning", column="v", max_value=500))
    shop.define(SHOP)
    shop.now("2025-01-09T06:00")
    shop.deliver("orders", "2025-01-04", GOOD)
    shop.deliver("orders", "2025-01-05", ODD)
    shop.deliver("orders", "2025-01-06", BAD)
    shop.deliver("orders", "2025-01-08", GOOD)
    shop.breaks("totals", "2025-01-04")
    run_and_tell(shop)
    shop.hold("lines", "2025-01-04")
    shop.hold("motto")
