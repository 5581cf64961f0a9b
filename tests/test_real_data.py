"""Seven months of real deliveries: what can be computed is, and a change repairs exactly what it must."""

import csv
import shutil
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest

from tidemark.catalog import load_catalog
from tidemark.config import parse_instant, settings
from tidemark.deployment import Deployment, open_deployment
from tidemark.ledger import heads, plans, records, registry
from tidemark.reading import read
from tidemark.running.run import prepare, run_plan
from tidemark.verdict import Verdict, verdict

ROOT = Path(__file__).parent.parent
AS_OF = parse_instant("2011-07-01T06:00 Europe/London")
DAYS = [(date(2010, 12, 1) + timedelta(number)).isoformat() for number in range(212)]
ASSETS = ("order_lines", "product_days", "product_features", "daily_revenue", "base_prices", "price_list")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
]

Versions = dict[tuple[str, str], bytes]
Ran = set[tuple[str, str]]


@dataclass
class Shop:
    """The price list over a copy of the deliveries."""

    deployment: Deployment
    landing: Path

    def run(self) -> tuple[Verdict, Ran]:
        """Run the pipeline; returns the verdict, and what was computed."""
        pipeline = load_catalog(ROOT / "dags").pipeline("price_list")
        prepared = prepare(self.deployment, pipeline, as_of=AS_OF, run="test", actor="test")
        run_plan(self.deployment, pipeline, prepared, run="test", actor="test")
        with self.deployment.ledger.read() as connection:
            items = plans.items(connection, prepared.plan_id)
        ran = {(item.asset, item.partition) for item in items if item.outcome == "computed"}
        return verdict(self.deployment, pipeline, prepared.plan_id), ran

    def versions(self) -> Versions:
        """Return the data version of every head."""
        return {place: head.data_version for place, head in self._heads().items()}

    def provisional(self) -> dict[tuple[str, str], set[tuple[str, str]]]:
        """Return what each provisional head was made without."""
        return {place: set(head.missing) for place, head in self._heads().items() if head.missing}

    def inputs(self) -> dict[tuple[str, str], dict[tuple[str, str], bytes]]:
        """Return what each head was made from, as the ledger wrote it down: versions by asset and key."""
        live = {head.materialization: place for place, head in self._heads().items()}
        with self.deployment.ledger.read() as connection:
            names = {each.id: name for name, each in registry.assets(connection).items()}
            found = records.inputs_of(connection, live)
        return {
            live[number]: {(names[read.asset_id], key): version for read in reads for key, version, _ in read.members}
            for number, reads in found.items()
        }

    def _heads(self) -> dict[tuple[str, str], heads.Head]:
        with self.deployment.ledger.read() as connection:
            found = {}
            for name, each in registry.assets(connection).items():
                keys = {number: key for key, number in registry.partition_ids(connection, each.grain).items()}
                for number, head in heads.current(connection, "prod", each.id).items():
                    found[name, keys[number]] = head
        return found


@pytest.fixture(scope="module")
def first_run(tmp_path_factory: pytest.TempPathFactory, real_deliveries: Path) -> Iterator[tuple[Shop, Verdict]]:
    """The whole history, computed once for all tests of this file."""
    folder = tmp_path_factory.mktemp("shop")
    for source in ("orders", "fx_rates"):
        shutil.copytree(real_deliveries / source, folder / "landing" / source)
    given = settings({"TIDEMARK_HOME": str(folder), "TIDEMARK_LANDING_URL": str(folder / "landing")})
    with open_deployment(given) as deployment:
        shop = Shop(deployment, folder / "landing")
        yield shop, shop.run()[0]


def test_everything_that_can_be_computed_is_and_nothing_is_provisional(first_run):
    """A partition a delivered day where a delivery is needed, a partition a calendar day where the past is enough."""
    shop, came_out = first_run
    delivered = len(list((shop.landing / "orders").iterdir()))
    expected = dict.fromkeys(("order_lines", "product_days", "daily_revenue"), delivered)
    expected |= dict.fromkeys(("product_features", "base_prices", "price_list"), len(DAYS))
    assert delivered == 167
    for asset in ASSETS:
        wanted = dict.fromkeys(came_out.counts[asset], 0) | {"computed": expected[asset]}
        assert came_out.counts[asset] == wanted, asset
    assert came_out.ok
    assert not shop.provisional()


def euro_rate(rates: Path, day: str) -> Decimal:
    """Return how many pounds a euro cost on a day, or on the last day before it with a rate."""
    file = max(each for each in rates.iterdir() if each.stem <= day)
    with file.open(newline="", encoding="utf-8-sig") as source:
        return next(Decimal(row["eur_rate"]) for row in csv.DictReader(source) if row["currency"] == "GBP")


def test_daily_revenue_agrees_to_the_penny_with_an_independent_computation(first_run):
    """Read with the csv module and added up as decimals, per day and country."""
    shop, _ = first_run
    frame = read("daily_revenue", as_=pl.DataFrame, deployment=shop.deployment)
    columns = ("revenue_gbp", "revenue_eur")
    found = {
        (row["partition"], row["country"], name): Decimal(str(row[name]))
        for row in frame.to_dicts()
        for name in columns
    }
    wanted: dict[tuple[str, str], Decimal] = defaultdict(Decimal)
    for file in (shop.landing / "orders").iterdir():
        with file.open(newline="", encoding="utf-8") as source:
            lines = {tuple(line) for line in list(csv.reader(source))[1:]}
        for invoice, stock, _, quantity, _, price, _, country in lines:
            is_return = invoice.startswith("C")
            suffix = stock[5:]
            is_product = stock[:5].isdigit() and len(stock) >= 5 and (not suffix or suffix.isalpha())
            if is_return or (not invoice.startswith("A") and is_product):
                wanted[file.stem, country] += Decimal(quantity) * Decimal(price)
    assert found.keys() == {(*place, name) for place in wanted for name in columns}
    for (day, country), pounds in wanted.items():
        euros = pounds / euro_rate(shop.landing / "fx_rates", day)
        # To the penny: half a penny may be rounded either way.
        assert abs(found[day, country, "revenue_gbp"] - pounds) <= Decimal("0.005"), (day, country)
        assert abs(found[day, country, "revenue_eur"] - euros) <= Decimal("0.0051"), (day, country)


def test_a_second_run_computes_nothing(first_run):
    """Nothing has changed, so nothing runs."""
    shop, _ = first_run
    before = shop.versions()
    came_out, ran = shop.run()
    assert not ran
    assert came_out.total("unchanged") == 3 * 167 + 3 * len(DAYS)
    assert shop.versions() == before


def test_a_missing_rate_marks_exactly_what_used_it_and_its_return_clears_exactly_that(first_run):
    """A Friday's rate also stands for the weekend; what comes back is not computed again."""
    shop, _ = first_run
    before = shop.versions()
    file = shop.landing / "fx_rates" / "2011-05-06.csv"
    away = shop.landing.parent / file.name
    # 2011-05-07 is a Saturday, on which the shop is closed: a price list, no revenue.
    dependent = {("price_list", f"2011-05-0{day}") for day in (6, 7, 8)}
    dependent |= {("daily_revenue", f"2011-05-0{day}") for day in (6, 8)}

    file.rename(away)
    came_out, ran = shop.run()
    assert ran == dependent
    assert shop.provisional() == {each: {("fx_rates", "2011-05-06")} for each in dependent}
    assert came_out.total("provisional") == len(dependent)

    away.rename(file)
    came_out, ran = shop.run()
    assert not ran
    assert came_out.total("restored") == len(dependent)
    assert not shop.provisional()
    assert shop.versions() == before


def test_one_changed_line_recomputes_exactly_what_reads_changed_content(first_run):
    """What ran is just what read something whose content differs from what it had been made from."""
    shop, _ = first_run
    before, read_before = shop.versions(), shop.inputs()
    file = shop.landing / "orders" / "2011-06-10.csv"
    lines = file.read_text(encoding="utf-8").splitlines(keepends=True)
    cells = lines[5].split(",")
    cells[-5] = str(int(cells[-5]) + 100)
    file.write_text("".join([*lines[:5], ",".join(cells), *lines[6:]]), encoding="utf-8")

    _, ran = shop.run()
    after = shop.versions()
    # No partition came or went, so each reads the same members as before: it must run if one of them has other content.
    must = {
        place
        for place, members in read_before.items()
        if place[0] in ASSETS and any(after.get(member) != version for member, version in members.items())
    }
    assert ran == must
    # The window of 28 days reads it until the last day that there is.
    assert {key for asset, key in ran if asset == "product_features"} == {day for day in DAYS if day >= "2011-06-10"}
    assert [len([1 for asset, _ in ran if asset == name]) for name in ASSETS[:2]] == [1, 1]
    assert {place for place in after if after[place] != before[place] and place[0] in ASSETS} <= ran
