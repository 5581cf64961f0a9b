"""Claims about `tidemark retire`: a deleted pipeline alarms until a person says that it is gone, and never after."""

from datetime import UTC, datetime, timedelta

import pytest

from tests.cli.conftest import Command
from tests.cli.test_acting import audited
from tests.incidents.story import notices_of, open_incidents, told
from tests.monitoring.told import told as metrics_of
from tests.scenario import Shop, on_both_ledgers
from tests.watching.watched import look_for_late_ones
from tidemark.watching.checks import act_on
from tidemark.watching.deadlines import missed_deadlines

SHOP = """
    orders = source("orders", files="orders/{partition}.csv", partitions=Daily(), expected=Calendar("MON-SUN"))

    @asset(partitions=Daily())
    def lines(orders: str) -> str:
        return orders
"""
READER = """
    @asset(partitions=Daily(), inputs={"lines": ref("lines")})
    def copies(lines: str) -> str:
        return lines
"""
FIRST, SECOND = "2025-01-05", "2025-01-06"
NOW = "2025-01-07T06:00"
GONE = ("retire", "shop", "--why", "sold")


def missed(shop: Shop) -> list[str]:
    """Look for missed deadlines three days from now; returns what became of incidents."""
    with shop.deployment() as deployment:
        return act_on(deployment, missed_deadlines(deployment, datetime.now(UTC) + timedelta(days=3)))


@pytest.fixture
def promised(shop: Shop) -> Shop:
    """A shop that promises its lines each morning; of its two days one broke."""
    shop.define(SHOP)
    shop.edit("])\n", "], schedule='0 6 * * *', timezone='UTC', deadline='07:00 UTC')\n")
    shop.deliver_days("orders", FIRST, SECOND)
    shop.now(NOW)
    shop.breaks("lines", SECOND)
    told(shop)
    return shop


def delete(shop: Shop) -> None:
    (shop.dags / "shop.py").unlink()
    shop.load()


@on_both_ledgers
def test_what_was_deleted_alarms_until_it_is_retired_and_never_after(
    shop: Shop, promised: Shop, tidemark: Command
) -> None:
    """Late sources, missed deadlines, what failed in it; who was told of these is told that they are over."""
    delete(shop)
    look_for_late_ones(shop, "2025-01-09T06:00")
    assert list(open_incidents(shop)) == ["lines asset_failed", "orders source_late"]
    done = tidemark(*GONE)
    assert done.out == "shop is retired: nobody waits for lines, orders any more; 2 incidents resolved\n"
    assert open_incidents(shop) == {}
    assert notices_of(shop)[-2:] == ["resolved asset_failed", "resolved source_late"]
    assert look_for_late_ones(shop, "2025-01-10T06:00") == []
    assert missed(shop) == []
    detail = {"pipeline": "shop", "assets": ["lines", "orders"], "incidents": [1, 2], "why": "sold"}
    assert audited(shop) == [("ada", "retire pipeline", detail)]
    assert tidemark("read", "lines", FIRST).out == "orders 2025-01-05\n", "what is live can still be read"


def test_nothing_of_what_is_retired_makes_prometheus_alarm(promised: Shop, tidemark: Command) -> None:
    alarming = ("tidemark_failed_partitions", "tidemark_freshness_seconds", "tidemark_last_plan_timestamp_seconds")
    assert all(metrics_of(promised).of(each) for each in alarming)
    delete(promised)
    tidemark(*GONE)
    assert [metrics_of(promised).of(each) for each in (*alarming, "tidemark_incidents_open")] == [{}] * 4


def test_a_deadline_that_a_deleted_pipeline_misses_is_over_with_it(promised: Shop, tidemark: Command) -> None:
    promised.mends("lines", SECOND)
    told(promised)
    assert open_incidents(promised) == {}
    delete(promised)
    assert [line.split(":")[0] for line in missed(promised)] == ["incident 2 opened (deadline_missed)"]
    assert tidemark.json(*GONE)["incidents_resolved"] == [2]
    assert missed(promised) == []


def test_to_retire_twice_does_nothing_more(promised: Shop, tidemark: Command) -> None:
    delete(promised)
    tidemark(*GONE)
    data = {"retired": False, "assets": [], "incidents_resolved": []}
    assert tidemark.json(*GONE) == data
    assert tidemark(*GONE).out == "shop was retired before; 0 incidents resolved\n"
    assert len(audited(promised)) == 1


def test_it_comes_back_when_a_file_defines_it_and_it_is_run(promised: Shop, tidemark: Command) -> None:
    """And goes on where it was."""
    text = (promised.dags / "shop.py").read_text()
    delete(promised)
    tidemark(*GONE)
    (promised.dags / "shop.py").write_text(text)
    promised.load()
    promised.deliver_days("orders", "2025-01-07")
    promised.now("2025-01-08T06:00")
    promised.mends("lines", SECOND)
    promised.run()
    assert sorted(promised.live("lines")) == [FIRST, SECOND, "2025-01-07"]
    assert look_for_late_ones(promised, "2025-01-10T06:00") == [
        "incident 2 opened (source_late): orders 2025-01-09 and 1 more: is late"
    ]


def refused(shop: Shop, tidemark: Command, *, code: int = 1) -> str:
    """Try in vain; returns what is said. Nothing may have changed."""
    before = open_incidents(shop)
    done = tidemark(*GONE)
    assert done.code == code
    assert open_incidents(shop) == before
    assert audited(shop) == []
    return done.err


def test_what_a_file_defines_is_not_retired(promised: Shop, tidemark: Command) -> None:
    """Nor what a broken one may define."""
    assert "shop.py defines the pipeline 'shop': delete the file first" in refused(promised, tidemark)
    file = promised.dags / "shop.py"
    file.write_text(file.read_text() + "\n1 / 0\n")
    assert "shop.py names 'shop' and cannot be used: mend or delete it first" in refused(promised, tidemark)


def test_what_others_read_is_not_retired_before_they_are(promised: Shop, tidemark: Command) -> None:
    promised.define(READER, "reader")
    promised.run("reader")
    delete(promised)
    assert "others read what 'shop' has: copies of 'reader' reads lines" in refused(promised, tidemark)
    (promised.dags / "reader.py").unlink()
    assert tidemark("retire", "reader", "--why", "sold").code == 0
    assert tidemark(*GONE).code == 0


def test_what_cannot_be_retired_is_said(promised: Shop, tidemark: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    delete(promised)
    assert tidemark("retire", "shap", "--why", "sold").err == (
        "tidemark: the ledger knows no pipeline 'shap': did you mean 'shop'?\n"
    )
    assert tidemark("retire", "(champions)", "--why", "sold").code == 2
    assert "--why is empty" in tidemark("retire", "shop", "--why", " ").err
    monkeypatch.setenv("TIDEMARK_ENVIRONMENT", "trial")
    assert "set TIDEMARK_ENVIRONMENT=prod" in refused(promised, tidemark, code=2)
