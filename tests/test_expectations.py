"""The suites of the project: what each lets through, what it stops, and on which real days it stays silent."""

from datetime import date, datetime
from pathlib import Path

import polars as pl
import pytest

from dags import price_list as product
from tests.gates import BLOCKED, FLAGGED, GOOD, PII, SUITES, Defect, Spoil
from tidemark import Partition
from tidemark.frames import read_delivery
from tidemark.gate import Failure, Gate, Outcome

DAYS_TRIED = 8


@pytest.fixture(scope="module")
def gate() -> Gate:
    return Gate(SUITES, None)


def named(defects: list[Defect]) -> list[object]:
    return [pytest.param(*defect, id=f"{defect[0]}: {defect[1]}") for defect in defects]


def test_every_suite_has_a_good_table_to_try_it_on() -> None:
    """No suite is left out below."""
    assert sorted(path.stem for path in SUITES.glob("*.json")) == sorted(GOOD)


@pytest.mark.parametrize("suite", GOOD)
def test_a_good_table_passes_without_a_word(gate: Gate, suite: str) -> None:
    """Nothing fails, at any severity."""
    result = gate.check(suite, GOOD[suite](), label=suite)
    assert (result.outcome, result.failures) == (Outcome.PASSED, ())


@pytest.mark.parametrize(("suite", "what", "spoil", "said"), named(BLOCKED))
def test_a_critical_defect_blocks(gate: Gate, suite: str, what: str, spoil: Spoil, said: str) -> None:
    """The table is not published, and a message says what is wrong."""
    result = gate.check(suite, spoil(GOOD[suite]()), label=what)
    assert result.outcome is Outcome.BLOCKED
    assert any(said in failure.message for failure in result.failures), told(result.failures)


@pytest.mark.parametrize(("suite", "what", "spoil", "said"), named(FLAGGED))
def test_an_oddity_is_flagged_and_published(gate: Gate, suite: str, what: str, spoil: Spoil, said: str) -> None:
    """Nothing critical fails, and a message says what is odd."""
    result = gate.check(suite, spoil(GOOD[suite]()), label=what)
    assert result.outcome is Outcome.FLAGGED, told(result.failures)
    assert any(said in failure.message for failure in result.failures), told(result.failures)


def told(failures: tuple[Failure, ...]) -> str:
    return "\n".join(f"{failure.severity}: {failure.message}" for failure in failures)


def sampled(files: list[Path]) -> list[Path]:
    """Days spread over the whole time, the first and the last among them."""
    return sorted({files[round(n * (len(files) - 1) / (DAYS_TRIED - 1))] for n in range(DAYS_TRIED)})


def rates_of(file: Path) -> pl.DataFrame:
    schema = {"date": date, "currency": str, "eur_rate": float}
    return pl.from_arrow(read_delivery(file.read_bytes(), name=file.name, schema=schema).table)


def orders_of(file: Path) -> pl.DataFrame:
    return pl.from_arrow(read_delivery(file.read_bytes(), name=file.name, schema=product.ORDER_COLUMNS).table)


def assert_silent(gate: Gate, suite: str, frame: pl.DataFrame, day: str) -> None:
    result = gate.check(suite, frame.to_arrow(), label=f"{suite} {day}", pii=PII.get(suite, frozenset()))
    assert not result.failures, f"{day}: {told(result.failures)}"


def test_real_rates_pass(gate: Gate, real_deliveries: Path) -> None:
    """No day of the central bank's is even flagged."""
    for file in sampled(sorted(real_deliveries.glob("fx_rates/*.csv"))):
        assert_silent(gate, "fx_rates", rates_of(file), file.stem)


def test_real_orders_and_lines_pass(gate: Gate, real_deliveries: Path) -> None:
    """No day of the shop's is even flagged, as delivered and as cleaned; the days at the edges are among them."""
    files = sorted(real_deliveries.glob("orders/*.csv"))
    by_size = sorted(files, key=lambda file: file.stat().st_size)
    for file in {*sampled(files), by_size[0], by_size[-1]}:
        orders = orders_of(file)
        assert_silent(gate, "orders", orders, file.stem)
        assert_silent(gate, "order_lines", product.order_lines(orders), file.stem)


def test_real_price_lists_pass(gate: Gate, real_deliveries: Path) -> None:
    """Prices made from four real weeks, and from the first day alone, are not even flagged."""
    files = sorted(real_deliveries.glob("orders/*.csv"))
    for window in (files[:1], files[60:84]):
        days = [
            product.product_days(product.order_lines(orders_of(file)).lazy()).with_columns(partition=pl.lit(file.stem))
            for file in window
        ]
        day = Partition(window[-1].stem, datetime.fromisoformat(window[-1].stem))
        base = product.base_prices(product.product_features(pl.concat(days).lazy(), day), None)
        rates = rates_of(max(file for file in real_deliveries.glob("fx_rates/*.csv") if file.stem <= day.key))
        assert_silent(gate, "price_list", product.price_list(base, rates), day.key)
