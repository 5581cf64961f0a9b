"""Claims about the simulated shop and its unhappy days."""

import csv
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import date, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from dags import price_list as product
from samples import ELASTICITY, simulate, unhappy
from tidemark import Partition
from tidemark.assets import Source
from tidemark.errors import DeliveryError
from tidemark.frames import encode, read_delivery
from tidemark.gate import Gate, Outcome

UNTIL = date(2011, 6, 30)


@pytest.fixture(scope="module")
def landing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixty simulated days."""
    folder = tmp_path_factory.mktemp("landing")
    simulate(folder, days=60, until=UNTIL)
    return folder


@pytest.fixture(scope="module")
def order_file(landing: Path) -> bytes:
    return (landing / "orders" / f"{UNTIL}.csv").read_bytes()


@pytest.fixture(scope="module")
def rate_file(landing: Path) -> bytes:
    return (landing / "fx_rates" / f"{UNTIL}.csv").read_bytes()


def contents(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in sorted(folder.rglob("*.csv"))}


def all_orders(landing: Path) -> list[dict[str, str]]:
    return [row for file in sorted((landing / "orders").glob("*.csv")) for row in csv.DictReader(file.open(newline=""))]


def orders_of(file: Path) -> pl.DataFrame:
    """Read an order file as the source declares it."""
    types = {str: pl.String, int: pl.Int64, float: pl.Float64}
    schema = {name: types.get(kind, pl.String) for name, kind in product.ORDER_COLUMNS.items()}
    return pl.read_csv(file, schema=schema).with_columns(pl.col("InvoiceDate").str.to_datetime("%Y-%m-%d %H:%M:%S"))


# --- the shop


def test_equal_seeds_give_equal_files_and_other_seeds_other_ones(tmp_path: Path) -> None:
    """To the byte."""
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        simulate(tmp_path / name, days=5, until=UNTIL, seed=seed)
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    other = contents(tmp_path / "c")
    assert other.keys() == contents(tmp_path / "a").keys()
    assert all(other[file] != content for file, content in contents(tmp_path / "a").items())


def test_a_longer_simulation_adds_days_and_changes_none(landing: Path, tmp_path: Path) -> None:
    """Earlier and later days leave a day as it was."""
    simulate(tmp_path, days=10, until=UNTIL - timedelta(20))
    short, long = contents(tmp_path), contents(landing)
    assert len(short) == 22
    assert short.items() <= long.items()


def test_files_come_on_the_expected_days_and_on_no_others(landing: Path) -> None:
    """By the calendars of the price list; rates start a week before the orders."""
    first = UNTIL - timedelta(59)
    for each, start in ((product.orders, first), (product.fx_rates, first - timedelta(7))):
        assert each.expected is not None
        period = [start + timedelta(step) for step in range((UNTIL - start).days + 1)]
        delivered = {file.stem for file in (landing / each.name).glob("*.csv")}
        assert delivered == {str(day) for day in period if each.expected.expects(day)}


def test_the_schemas_are_those_of_the_price_list(landing: Path) -> None:
    """The same columns in the same order, in every file; each value of its type."""
    for each in (product.orders, product.fx_rates):
        assert each.schema is not None
        for file in (landing / each.name).glob("*.csv"):
            assert file.read_text().splitlines()[0] == ",".join(each.schema)
    for file in (landing / "orders").glob("*.csv"):
        frame = orders_of(file)
        assert frame["InvoiceDate"].dt.date().unique().to_list() == [date.fromisoformat(file.stem)]


def test_orders_have_the_habits_of_the_real_ones(landing: Path) -> None:
    """What must be handled is there to be handled."""
    rows = all_orders(landing)
    days = len(list((landing / "orders").glob("*.csv")))
    products = {row["StockCode"] for row in rows if row["StockCode"][:5].isdigit()}
    assert len(products) == 80
    assert 200 < len(rows) / days < 600
    assert 0.15 < sum(not row["CustomerID"] for row in rows) / len(rows) < 0.35
    assert sum(row["Country"] == "United Kingdom" for row in rows) / len(rows) > 0.85
    assert len({row["Country"] for row in rows}) >= 30
    assert {row["StockCode"] for row in rows} >= {"POST", "DOT", "M", "C2", "BANK CHARGES", "D", "B"}
    assert all(int(row["Quantity"]) < 0 for row in rows if row["InvoiceNo"].startswith("C"))
    assert {row["InvoiceNo"][0] for row in rows} == {"5", "C", "A"}
    assert any(float(row["UnitPrice"]) == 0 and not row["Description"] for row in rows)
    assert len(rows) - len({tuple(row.values()) for row in rows}) > days
    assert any("," in row["Description"] for row in rows)


def test_one_product_has_several_prices_in_one_day(landing: Path) -> None:
    """As in the real shop."""
    frame = orders_of(landing / "orders" / f"{UNTIL}.csv").filter(~pl.col("InvoiceNo").str.starts_with("C"))
    prices = frame.filter(pl.col("UnitPrice") > 0).group_by("StockCode").agg(pl.col("UnitPrice").n_unique())
    assert (prices["UnitPrice"] > 1).mean() > 0.5  # type: ignore[operator]


def test_an_invoice_has_one_number_customer_country_and_time(landing: Path) -> None:
    """And no number comes on two days."""
    seen: dict[str, tuple[str, str, str]] = {}
    for row in all_orders(landing):
        shared = (row["CustomerID"], row["Country"], row["InvoiceDate"])
        assert seen.setdefault(row["InvoiceNo"], shared) == shared


def test_rates_move_from_day_to_day_and_stay_near_the_real_ones(landing: Path) -> None:
    """Every currency of the price list is there, every day, and none jumps."""
    files = sorted((landing / "fx_rates").glob("*.csv"))
    table = pl.concat([pl.read_csv(file) for file in files]).pivot("currency", index="date", values="eur_rate")
    assert table.height == len(files)
    assert set(product.CURRENCIES) - {"EUR"} <= set(table.columns)
    assert table.null_count().sum_horizontal().item() == 0
    for currency in table.columns[1:]:
        steps = table[currency].pct_change().drop_nulls().abs()
        assert steps.max() < 0.03, currency  # type: ignore[operator]
    assert table["USD"].n_unique() > 0.9 * table.height
    assert table["USD"].is_between(1.2, 1.45).all()


def poisson_regression(design: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Return the coefficients by Newton's method, started from the logarithms of the counts."""
    coefficients, *_ = np.linalg.lstsq(design, np.log(counts), rcond=None)
    for _ in range(10):
        mean = np.exp(design @ coefficients)
        coefficients = coefficients + np.linalg.solve(design.T @ (design * mean[:, None]), design.T @ (counts - mean))
    return np.asarray(coefficients)


def test_a_model_recovers_the_elasticity(landing: Path) -> None:
    """Poisson regression of the day's units on the log of the price, with an effect for each product and weekday."""
    days = [
        product.product_days(product.order_lines(orders_of(file)).lazy()).with_columns(
            weekday=pl.lit(str(date.fromisoformat(file.stem).weekday()))
        )
        for file in sorted((landing / "orders").glob("*.csv"))
    ]
    sold = pl.concat(days).filter(pl.col("units_sold") > 0)
    effects = [sold.select("stock_code").to_dummies(), sold.select("weekday").to_dummies(drop_first=True)]
    design = np.column_stack([np.log(sold["mean_price_gbp"].to_numpy()), *(each.to_numpy() for each in effects)])
    found = poisson_regression(design, sold["units_sold"].to_numpy())[0]
    assert found == pytest.approx(ELASTICITY, abs=0.1)


def test_the_command_writes_the_same_files(landing: Path, tmp_path: Path) -> None:
    """``python -m samples FOLDER --days N --until DATE``."""
    command = [sys.executable, "-m", "samples", str(tmp_path), "--days", "60", "--until", str(UNTIL)]
    root = Path(product.__file__).parent.parent
    environment = {**os.environ, "PYTHONPATH": str(root / "plugins")}
    subprocess.run(command, check=True, cwd=root, env=environment)
    assert contents(tmp_path) == contents(landing)


# --- the gates


@pytest.fixture(scope="module")
def gate() -> Gate:
    return Gate(Path(product.__file__).parent.parent / "expectations", None)


def outcome(gate: Gate, each: Source, content: bytes) -> Outcome:
    """What becomes of a delivery: what cannot be read is blocked."""
    assert each.gate is not None
    try:
        table = read_delivery(content, name=f"{UNTIL}.csv", schema=each.schema).table
    except DeliveryError:
        return Outcome.BLOCKED
    assert table is not None
    return gate.check(each.gate, table, label=each.name).outcome


def test_simulated_deliveries_pass_their_gates_without_a_warning(landing: Path, gate: Gate) -> None:
    """Every twelfth file, to be quick."""
    for each in (product.orders, product.fx_rates):
        for file in sorted((landing / each.name).glob("*.csv"))[::12]:
            assert outcome(gate, each, file.read_bytes()) is Outcome.PASSED, file.name


def test_what_is_made_of_simulated_deliveries_passes_its_gates(landing: Path, gate: Gate) -> None:
    """Order lines and price list of the last day, from a window of that day alone."""
    lines = product.order_lines(orders_of(landing / "orders" / f"{UNTIL}.csv"))
    window = product.product_days(lines.lazy()).lazy().with_columns(partition=pl.lit(str(UNTIL)))
    start = datetime(UNTIL.year, UNTIL.month, UNTIL.day)
    prices = product.base_prices(product.product_features(window, Partition(str(UNTIL), start)), None)
    rates = pl.read_csv(landing / "fx_rates" / f"{UNTIL}.csv", try_parse_dates=True)
    for suite, frame in (("order_lines", lines), ("price_list", product.price_list(prices, rates))):
        table = encode(frame, name=suite).table
        assert table is not None
        result = gate.check(suite, table, label=suite)
        assert result.outcome is Outcome.PASSED, result.failures


@pytest.mark.parametrize(
    ("change", "kind"),
    [(change, "orders") for change in unhappy.MALFORMED_ORDERS]
    + [(change, "fx_rates") for change in unhappy.MALFORMED_RATES],
)
def test_no_malformed_file_gets_past_the_gate(change: str, kind: str, landing: Path, gate: Gate) -> None:
    """It cannot be read, or its suite blocks it."""
    each, table = (
        (product.orders, unhappy.MALFORMED_ORDERS) if kind == "orders" else (product.fx_rates, unhappy.MALFORMED_RATES)
    )
    content = (landing / kind / f"{UNTIL}.csv").read_bytes()
    assert outcome(gate, each, table[change](content)) is Outcome.BLOCKED


def test_harmless_changes_leave_the_content_as_it_was(order_file: bytes, rate_file: bytes) -> None:
    """The same data version: nothing runs."""
    for each, content in ((product.orders, order_file), (product.fx_rates, rate_file)):
        for change in unhappy.HARMLESS.values():
            read = read_delivery(change(content), name="2011-06-30.csv", schema=each.schema)
            before = read_delivery(content, name="2011-06-30.csv", schema=each.schema)
            assert read.data_version == before.data_version


# --- the unhappy days


def test_a_late_file_is_gone_until_it_is_delivered(landing: Path, tmp_path: Path, rate_file: bytes) -> None:
    """And comes back as it was."""
    file = tmp_path / "fx_rates" / f"{UNTIL}.csv"
    unhappy.deliver(file, rate_file)
    held = unhappy.hold_back(file)
    assert not file.exists()
    unhappy.deliver(file, held)
    assert file.read_bytes() == rate_file
    assert [each.name for each in file.parent.iterdir()] == [file.name]


def changed_lines(before: bytes, after: bytes) -> list[tuple[bytes, bytes]]:
    one, other = before.splitlines(keepends=True), after.splitlines(keepends=True)
    return [pair for pair in zip(one, other, strict=True) if pair[0] != pair[1]]


def test_a_correction_changes_one_line(order_file: bytes, rate_file: bytes) -> None:
    """The line ends of the file stay as they were."""
    [(before, after)] = changed_lines(order_file, unhappy.corrected_order(order_file))
    assert [int(line.split(b",")[3]) for line in (before, after)][1] == int(before.split(b",")[3]) + 1
    [(before, after)] = changed_lines(rate_file, unhappy.corrected_rate(rate_file, "GBP"))
    assert b"GBP" in before
    assert after.endswith(b"\r\n")


def test_a_correction_of_a_real_file_changes_one_line(real_deliveries: Path) -> None:
    """Quoted cells and all."""
    real = (real_deliveries / "orders" / "2011-06-20.csv").read_bytes()
    assert len(changed_lines(real, unhappy.corrected_order(real))) == 1
    real = (real_deliveries / "fx_rates" / "2011-06-20.csv").read_bytes()
    assert len(changed_lines(real, unhappy.corrected_rate(real))) == 1


@pytest.mark.parametrize(
    ("change", "kind"),
    [(change, "orders") for change in unhappy.MALFORMED_ORDERS]
    + [(change, "rates") for change in unhappy.MALFORMED_RATES],
)
def test_every_malformed_file_differs_from_the_good_one(
    change: str, kind: str, order_file: bytes, rate_file: bytes
) -> None:
    """Each in its own way."""
    table: dict[str, Callable[[bytes], bytes]]
    good, table = (order_file, unhappy.MALFORMED_ORDERS) if kind == "orders" else (rate_file, unhappy.MALFORMED_RATES)
    assert len({made(good) for made in table.values()} | {good}) == len(table) + 1
    assert table[change](good) != good


def test_malformed_files_are_malformed_as_they_are_called(order_file: bytes, rate_file: bytes) -> None:
    """One look at each."""
    assert unhappy.without_column(order_file, "UnitPrice").splitlines()[0] == (
        b"InvoiceNo,StockCode,Description,Quantity,InvoiceDate,CustomerID,Country"
    )
    assert unhappy.with_text(rate_file, "eur_rate").splitlines()[1].endswith(b",USD,n/a")
    assert b",USD,-1." in unhappy.negative_rate(rate_file)
    assert b"USD" not in unhappy.without_rate(rate_file)
    cut = unhappy.truncated(rate_file)
    assert rate_file.startswith(cut)
    assert float(cut.splitlines()[-1].split(b",")[2]) > 0
    assert unhappy.in_utf_16(order_file).decode("utf-16").encode() == order_file
    assert unhappy.emptied(order_file) == b""
    assert unhappy.only_header(order_file).decode().strip().split(",") == list(product.ORDER_COLUMNS)


def test_harmless_changes_keep_every_cell(order_file: bytes, rate_file: bytes) -> None:
    """A byte-order mark, and other line ends."""
    for content in (order_file, rate_file):
        for change in unhappy.HARMLESS.values():
            assert change(content) != content
            assert change(content).decode("utf-8-sig").splitlines() == content.decode().splitlines()
