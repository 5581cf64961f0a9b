"""The price list through the real scheduler: the happy day, and the unhappy ones."""

import shutil
import time
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from conftest import Deployment, Run, wait_for

from demo.mail import text
from demo.services import ROOT
from samples import simulate, unhappy
from tidemark.inspecting import account_of

pytestmark = [pytest.mark.end_to_end, pytest.mark.timeout(1800)]

ASSETS = ["order_lines", "product_days", "product_features", "daily_revenue", "base_prices", "price_list"]


@pytest.fixture(scope="module")
def shop(deployment: Deployment) -> Iterator[Deployment]:
    """Ten days of deliveries up to Sunday, 2011-03-20, of which the rates of Friday are late."""
    simulate(deployment.landing, days=10, until=date(2011, 3, 20))
    late = unhappy.hold_back(rates(deployment, "2011-03-18"))
    (deployment.landing.parent / "late.csv").write_bytes(late)
    shutil.copy(ROOT / "dags" / "price_rules.py", deployment.dags)
    # Its clock must not tick while the deliveries ring.
    text = (ROOT / "dags" / "price_list.py").read_text()
    later = (datetime.now(ZoneInfo("Europe/London")) + timedelta(hours=12)).hour
    assert 'schedule="0 6 * * *"' in text
    deployment.push("price_list", text.replace('schedule="0 6 * * *"', f'schedule="0 {later} * * *"'))
    yield deployment
    for name in ("price_list.py", "price_rules.py"):
        (deployment.dags / name).unlink()


def rates(deployment: Deployment, day: str) -> Path:
    """The file of a day's exchange rates."""
    return deployment.landing / "fx_rates" / f"{day}.csv"


def provisional(deployment: Deployment, asset: str) -> list[str]:
    """The days whose live result is marked provisional."""
    days = [f"2011-03-{day}" for day in range(11, 21)]
    with deployment.opened() as (opened, catalog):
        pipeline = catalog.pipeline("price_list")
        return [day for day in days if account_of(opened, pipeline, asset, day)["provisional_for"]]


def computed(run: Run, asset: str) -> int:
    """How many partitions of an asset a run computed."""
    return int(run.client.xcom(run.dag, run.id, "verdict")["assets"][asset]["computed"])


def test_the_price_list_through_good_and_bad_days(shop: Deployment) -> None:
    """Each delivery wakes the pipeline by itself, and exactly what depends on it is computed."""
    # The happy day: dozens of files, one run, each asset one task that is named after its partitions.
    run = shop.next_run("price_list")
    assert (run.state, run.kind) == ("success", "asset_triggered")
    assert set(run.states) == {"plan", *ASSETS, "verdict"}
    assert computed(run, "price_list") == 10
    assert run.labels("price_list") == ["2011-03-11 … 2011-03-20 (10)"]
    assert run.events()["price_list", "2011-03-20"]["state"] == "provisional"
    assert run.events()["price_list", "2011-03-17"]["state"] == "final"
    assert provisional(shop, "price_list") == ["2011-03-18", "2011-03-19", "2011-03-20"], "Friday's rates are late"

    # The late file arrives: what was made without it is made again, and is final.
    unhappy.deliver(rates(shop, "2011-03-18"), (shop.landing.parent / "late.csv").read_bytes())
    run = shop.next_run("price_list")
    assert run.state == "success"
    assert run.started == {"plan", "daily_revenue", "price_list", "verdict"}
    assert run.states["product_features"] == "skipped"
    assert computed(run, "price_list") == 3
    assert provisional(shop, "price_list") == []

    # The same file again: a run that starts one worker.
    again = rates(shop, "2011-03-18").read_bytes()
    unhappy.deliver(rates(shop, "2011-03-18"), again)
    run = shop.next_run("price_list")
    assert (run.state, run.started) == ("success", {"plan"})

    # A corrected file: the days that read it, and no other.
    orders = shop.landing / "orders" / "2011-03-18.csv"
    unhappy.deliver(orders, unhappy.corrected_order(orders.read_bytes()))
    run = shop.next_run("price_list")
    assert run.state == "success"
    assert run.labels("order_lines") == ["2011-03-18"]
    assert "order_lines 2011-03-18: will run: orders 2011-03-18 changed" in run.log("plan")
    assert computed(run, "product_days") == 1

    # A malformed file: quarantined, the run is red, one mail says what is served instead, and the prices stay.
    before = shop.tidemark("read", "price_list", "2011-03-18")
    unhappy.deliver(rates(shop, "2011-03-18"), unhappy.negative_rate(again))
    run = shop.next_run("price_list")
    assert run.state == "failed"
    assert run.started == {"plan", "verdict"}
    assert "fx_rates" in run.log("verdict")
    about = "fx_rates 2011-03-18: did not pass its gate"
    mail = text(wait_for(lambda: shop.mails(about), "the mail")[0])
    assert f"Subject: CRITICAL: {about}" in mail
    assert "the last good result, made " in mail
    assert f"/dags/price_list/runs/{run.id}" in mail
    assert shop.tidemark("read", "price_list", "2011-03-18") == before
    assert provisional(shop, "price_list") == ["2011-03-18", "2011-03-19", "2011-03-20"]

    # Nothing new: the run is still red, but nobody is told twice.
    run = shop.trigger("price_list")
    assert run.state == "failed"
    time.sleep(8)  # the watch sends every two seconds
    assert len(shop.mails(about)) == 1

    # The good file comes back: the marks clear, and nothing is computed.
    unhappy.deliver(rates(shop, "2011-03-18"), again)
    run = shop.next_run("price_list")
    assert (run.state, run.started) == ("success", {"plan"})
    assert provisional(shop, "price_list") == []
    over = wait_for(lambda: shop.mails(about)[1:], "the all-clear")
    assert [mail["Subject"].startswith("Over after") for mail in over] == [True]
    assert shop.unseen_runs("price_list") == 0, "the doorbell rang for nothing"
