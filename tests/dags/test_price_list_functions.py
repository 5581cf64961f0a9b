"""Claims about the price list: one a line of its definition, on small frames; and on real days where there are some."""

import csv
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from dags import price_list as product
from tidemark import Partition

RATES = {
    "GBP": 0.8, "USD": 1.3, "CHF": 1.25, "SEK": 9.0, "NOK": 8.0, "DKK": 7.45, "AUD": 1.35, "JPY": 110.0, "CAD": 1.35,
    "PLN": 4.0, "ZAR": 9.2,
}  # fmt: skip


def orders(*lines: dict[str, Any]) -> pl.DataFrame:
    """Order lines as delivered: the given cells, and for the others a sale of six at 2.55."""
    usual = {
        "InvoiceNo": "536365",
        "StockCode": "85123A",
        "Description": "WHITE HANGING HEART",
        "Quantity": 6,
        "InvoiceDate": datetime(2010, 12, 1, 8, 26),
        "UnitPrice": 2.55,
        "CustomerID": "17850.0",
        "Country": "United Kingdom",
    }
    types: dict[type, Any] = {str: pl.String, int: pl.Int64, float: pl.Float64, datetime: pl.Datetime("us")}
    schema = {name: types[kind] for name, kind in product.ORDER_COLUMNS.items()}
    return pl.DataFrame([{**usual, **line} for line in lines], schema=schema)


def lines(*cells: dict[str, Any]) -> pl.DataFrame:
    return product.order_lines(orders(*cells))


def rates(**changed: float | None) -> pl.DataFrame:
    table = {name: rate for name, rate in {**RATES, **changed}.items() if rate is not None}
    return pl.DataFrame(
        {"date": [date(2010, 12, 1)] * len(table), "currency": list(table), "eur_rate": list(table.values())}
    )


def one(frame: pl.DataFrame, **where: object) -> dict[str, Any]:
    """Return the only row that matches."""
    return frame.row(by_predicate=pl.all_horizontal(pl.col(name) == value for name, value in where.items()), named=True)


# --- order_lines


def test_order_lines_drop_exact_duplicates() -> None:
    """Three equal lines are one."""
    assert lines({}, {}, {}).height == 1


@pytest.mark.parametrize("column", list(product.ORDER_COLUMNS))
def test_lines_that_differ_in_any_of_the_eight_columns_are_kept(column: str) -> None:
    """No column is left out of the comparison."""
    other = {"Quantity": 7, "UnitPrice": 2.56, "InvoiceDate": datetime(2010, 12, 1, 8, 27)}.get(column, "1")
    assert lines({}, {column: other}).height == 2


@pytest.mark.parametrize(
    ("invoice", "stock_code", "kind"),
    [
        ("536365", "85123A", "sale"),
        ("536365", "71053", "sale"),
        ("536365", "15056bl", "sale"),
        ("C536379", "22632", "return"),
        ("C536379", "D", "return"),
        ("A563185", "B", "adjustment"),
        ("A563185", "22632", "adjustment"),
        ("536370", "POST", "service"),
        ("536370", "M", "service"),
        ("536370", "C2", "service"),
        ("536370", "BANK CHARGES", "service"),
        ("536370", "DCGS0003", "service"),
        ("536370", "gift_0001_20", "service"),
        ("536370", "123456", "service"),
        ("536370", "8512", "service"),
    ],
)
def test_order_lines_are_told_apart_by_invoice_and_stock_code(invoice: str, stock_code: str, kind: str) -> None:
    """A product's code is five digits and perhaps letters; C is a return and A an adjustment, whatever the code."""
    assert lines({"InvoiceNo": invoice, "StockCode": stock_code})["kind"].to_list() == [kind]


def test_order_lines_are_typed_and_valued() -> None:
    """The value has no floating noise; a customer number loses its .0, and a missing one stays missing."""
    typed = lines({}, {"CustomerID": None, "Quantity": -3, "InvoiceNo": "C1"})
    assert typed.columns == [
        "invoice_no", "stock_code", "description", "quantity", "invoice_date", "unit_price", "customer_id", "country",
        "kind", "value_gbp",
    ]  # fmt: skip
    assert typed["value_gbp"].to_list() == [15.3, -7.65]
    assert 6 * 2.55 != 15.3
    assert typed["customer_id"].to_list() == ["17850", None]


# --- product_days


def days(*cells: dict[str, Any]) -> pl.DataFrame:
    return product.product_days(lines(*cells).lazy())


def test_product_days_count_what_was_sold_returned_and_earned() -> None:
    """The mean price is that of the sales alone, weighted by units."""
    day = days(
        {"InvoiceNo": "1", "Quantity": 10, "UnitPrice": 2.0, "CustomerID": "1.0"},
        {"InvoiceNo": "2", "Quantity": 30, "UnitPrice": 1.0, "CustomerID": "1.0"},
        {"InvoiceNo": "2", "Quantity": 10, "UnitPrice": 1.5, "CustomerID": None},
        {"InvoiceNo": "C3", "Quantity": -5, "UnitPrice": 2.0, "CustomerID": "2.0"},
    )
    assert day.to_dicts() == [
        {
            "stock_code": "85123A",
            "units_sold": 50,
            "units_returned": 5,
            "revenue_gbp": 55.0,
            "mean_price_gbp": 1.3,
            "orders": 2,
            "customers": 1,
        }
    ]


def test_product_days_leave_out_services_and_adjustments() -> None:
    """Postage and bad debts are no products."""
    day = days({}, {"StockCode": "POST", "UnitPrice": 18.0}, {"InvoiceNo": "A1", "StockCode": "B", "UnitPrice": 9.0})
    assert day["stock_code"].to_list() == ["85123A"]


def test_lines_without_a_price_are_neither_sales_nor_prices() -> None:
    """The shop corrects its stock by lines at a price of zero, of either sign: they are no trade."""
    day = days({}, {"Quantity": 56, "UnitPrice": 0.0}, {"Quantity": -600, "UnitPrice": 0.0, "InvoiceNo": "2"})
    assert day.select("units_sold", "mean_price_gbp", "orders").row(0) == (6, 2.55, 1)


def test_a_product_that_was_only_returned_has_no_price_that_day() -> None:
    """Not a price of NaN."""
    day = days({"InvoiceNo": "C1", "Quantity": -2})
    assert day.select("units_sold", "units_returned", "mean_price_gbp").row(0) == (0, 2, None)


# --- product_features


def window(*rows: tuple[str, int, float | None, int]) -> pl.LazyFrame:
    """A window of product_days of one product: partition, units sold, mean price, units returned."""
    return pl.LazyFrame(
        [(*row, "85123A") for row in rows],
        schema={
            "partition": pl.String,
            "units_sold": pl.Int64,
            "mean_price_gbp": pl.Float64,
            "units_returned": pl.Int64,
            "stock_code": pl.String,
        },
        orient="row",
    )


def features(rows: pl.LazyFrame, day: str, **parameters: int) -> dict[str, Any]:
    start = datetime.fromisoformat(day).replace(tzinfo=UTC)
    return product.product_features(rows, Partition(day, start, start + timedelta(1)), **parameters).row(0, named=True)


def test_product_features_describe_the_window() -> None:
    """Usual price is the median of the daily means; a day counts if the shop was open; Saturday the 8th was not."""
    rows = window(
        ("2011-01-04", 10, 2.0, 0), ("2011-01-05", 20, 3.0, 6), ("2011-01-06", 0, None, 3), ("2011-01-07", 30, 2.2, 0)
    )
    assert features(rows, "2011-01-08") == {
        "stock_code": "85123A",
        "usual_price_gbp": 2.2,
        "mean_price_gbp": pytest.approx((10 * 2.0 + 20 * 3.0 + 30 * 2.2) / 60),
        "units_per_day": 15.0,
        "days_since_last_sale": 1,
        "return_rate": 0.15,
        "trend": 0.0,
    }


def test_the_trend_compares_the_last_open_days_with_the_whole_window() -> None:
    """Two days of 30 after two of 10: half as much again as the window's 20 a day."""
    rows = window(*[(f"2011-01-0{day}", units, 2.0, 0) for day, units in [(4, 10), (5, 10), (6, 30), (7, 30)]])
    assert features(rows, "2011-01-07", recent_days=2)["trend"] == pytest.approx(0.5)


def test_a_day_counts_for_every_product_if_the_shop_was_open() -> None:
    """A product that sold on one of two open days sold half as much a day."""
    other = window(("2011-01-05", 1, 9.0, 0)).with_columns(stock_code=pl.lit("22632"))
    frame = product.product_features(
        pl.concat([window(("2011-01-04", 10, 2.0, 0)), other]),
        Partition("2011-01-05", datetime(2011, 1, 5, tzinfo=UTC)),
    )
    assert one(frame, stock_code="85123A")["units_per_day"] == 5.0
    assert one(frame, stock_code="85123A")["days_since_last_sale"] == 1


def test_products_that_were_only_returned_in_the_window_have_no_features() -> None:
    """They have no price, so no price can be made for them."""
    frame = product.product_features(window(("2011-01-04", 0, None, 3)), Partition("2011-01-04", datetime(2011, 1, 4)))
    assert frame.is_empty()


# --- daily_revenue


def test_daily_revenue_is_the_value_of_sales_and_returns_by_country() -> None:
    """Services and adjustments are left out; euros are pounds over the pounds that a euro buys."""
    revenue = product.daily_revenue(
        lines(
            {"Quantity": 10, "UnitPrice": 2.0},
            {"Quantity": -1, "UnitPrice": 2.0, "InvoiceNo": "C1"},
            {"StockCode": "POST", "UnitPrice": 18.0},
            {"StockCode": "B", "InvoiceNo": "A1", "UnitPrice": 11062.06},
            {"Quantity": 4, "UnitPrice": 1.0, "Country": "France"},
        ),
        rates(GBP=0.8),
    )
    assert sorted(revenue.rows()) == [("France", 4.0, 5.0), ("United Kingdom", 18.0, 22.5)]


def test_a_sum_of_money_is_written_as_money_is() -> None:
    """505.38 and not 505.38000000000005, for any sum."""
    pence = pl.DataFrame({"money": [number / 100 for number in range(100_000)]})
    summed = pence.group_by("money").agg(total=product.exact_sum(pl.col("money")))
    assert summed.filter(pl.col("money") != pl.col("total")).height == 0


def test_sums_of_money_do_not_depend_on_the_order_of_the_lines() -> None:
    """To the last bit: an equal delivery in another order must give equal content."""
    cells = [
        {"InvoiceNo": str(n), "Quantity": 1 + n % 7, "UnitPrice": 0.1 + n * 0.37 % 11, "Country": f"C{n % 3}"}
        for n in range(3000)
    ]
    straight = lines(*cells)
    shuffled = straight.sample(fraction=1, shuffle=True, seed=7)
    plain = straight.group_by("country").agg(pl.col("value_gbp").sum()).sort("country")
    mixed = shuffled.group_by("country").agg(pl.col("value_gbp").sum()).sort("country")
    assert not plain.equals(mixed), "floating sums happened to agree: the claim is not tested"
    for one_way, other_way in (
        (product.daily_revenue(straight, rates()), product.daily_revenue(shuffled, rates())),
        (product.product_days(straight.lazy()), product.product_days(shuffled.lazy())),
    ):
        assert_frame_equal(one_way, other_way, check_row_order=False, check_exact=True)


# --- base_prices


def usual(**prices: float) -> pl.DataFrame:
    return pl.DataFrame({"stock_code": list(prices), "usual_price_gbp": list(prices.values())})


def base(**prices: float) -> pl.DataFrame:
    return pl.DataFrame({"stock_code": list(prices), "price_gbp": list(prices.values())})


def test_the_first_price_is_the_usual_one_in_pence() -> None:
    """Without a day before, or for a product that it did not have."""
    assert product.base_prices(usual(a=2.5512), None).rows() == [("a", 2.55)]
    assert product.base_prices(usual(a=2.5512), base(b=9.0)).rows() == [("a", 2.55)]


@pytest.mark.parametrize(
    ("before", "wanted", "price"), [(10.0, 11.0, 10.5), (10.0, 9.0, 9.5), (10.0, 10.3, 10.3), (2.0, 30.0, 2.1)]
)
def test_a_price_moves_at_most_five_per_cent_a_day(before: float, wanted: float, price: float) -> None:
    """Up or down; within that it goes where it should."""
    assert product.base_prices(usual(a=wanted), base(a=before)).rows() == [("a", price)]


def test_the_step_is_a_parameter() -> None:
    """So that a change of it recomputes the prices."""
    assert product.base_prices(usual(a=11.0), base(a=10.0), max_step=0.02).rows() == [("a", 10.2)]


def test_products_that_no_longer_sell_leave_the_list() -> None:
    """Yesterday's price alone keeps no product."""
    assert product.base_prices(usual(a=1.0), base(a=1.0, b=2.0)).rows() == [("a", 1.0)]


def test_nothing_is_given_away_by_rounding() -> None:
    """A product at a tenth of a penny costs a penny."""
    assert product.base_prices(usual(a=0.001), None).rows() == [("a", 0.01)]


# --- price_list


def test_the_price_list_has_every_product_in_every_currency() -> None:
    """Eleven currencies, each once; others among the rates are left out."""
    listed = product.price_list(base(a=2.0, b=3.0), rates())
    assert listed.columns == ["stock_code", "currency", "price"]
    assert sorted(listed["currency"].to_list()) == sorted(product.CURRENCIES * 2)
    assert len(product.CURRENCIES) == 11


def test_prices_go_over_the_euro_and_are_rounded_as_the_currency_is() -> None:
    """Pounds stay as they are; yen have no hundredths."""
    listed = product.price_list(base(a=2.55), rates(GBP=0.8393, USD=1.3115, JPY=110.37))
    prices = dict(listed.select("currency", "price").iter_rows())
    assert prices["GBP"] == 2.55
    assert prices["EUR"] == 3.04
    assert prices["USD"] == 3.98
    assert prices["JPY"] == 335.0


def test_a_currency_that_the_rates_lack_is_an_error_that_names_it_and_the_day() -> None:
    """Not a price of null."""
    with pytest.raises(ValueError, match="2010-12-01 lack SEK, PLN"):
        product.price_list(base(a=1.0), rates(SEK=None, PLN=None))
    with pytest.raises(ValueError, match="lack GBP"):
        product.daily_revenue(lines({}), rates(GBP=None))


# --- the definitions


def test_the_definitions_are_short_enough_to_be_read() -> None:
    """A data product is definitions and nothing else."""
    assert len(Path(product.__file__).read_text().splitlines()) < 200


def test_the_calendars_of_the_definition_expect_just_the_real_deliveries(real_deliveries: Path) -> None:
    """Over seven months."""
    period = [date(2010, 12, 1) + timedelta(step) for step in range(212)]
    for each in (product.orders, product.fx_rates):
        assert each.expected is not None
        delivered = {date.fromisoformat(file.stem) for file in (real_deliveries / each.name).glob("*.csv")}
        assert [day for day in period if each.expected.expects(day) != (day in delivered)] == []


# --- real days


def real_orders(file: Path) -> pl.DataFrame:
    return pl.read_csv(file, schema=orders().schema | {"InvoiceDate": pl.String}).with_columns(
        pl.col("InvoiceDate").str.to_datetime("%Y-%m-%d %H:%M:%S")
    )


def revenue_by_hand(file: Path) -> dict[str, Decimal]:
    """Revenue by country from the file's text alone: the standard library, decimals, and the definition read anew."""
    with file.open(newline="") as text:
        unique = {tuple(row.values()) for row in csv.DictReader(text)}
    found: dict[str, Decimal] = {}
    for invoice, stock_code, _, quantity, _, price, _, country in unique:
        digits, letters = stock_code[:5], stock_code[5:]
        is_product = len(digits) == 5 and digits.isdigit() and (letters == "" or letters.isalpha())
        if invoice.startswith("C") or (not invoice.startswith("A") and is_product):
            found[country] = found.get(country, Decimal()) + int(quantity) * Decimal(price)
    return found


def test_the_revenue_of_every_real_day_agrees_to_the_penny_with_a_computation_by_hand(
    real_deliveries: Path,
) -> None:
    """167 days, every country."""
    files = sorted((real_deliveries / "orders").glob("*.csv"))
    for file in files:
        revenue = product.daily_revenue(product.order_lines(real_orders(file)), rates(GBP=0.8))
        by_hand = revenue_by_hand(file)
        assert set(revenue["country"]) == set(by_hand)
        for country, pounds, euros in revenue.iter_rows():
            assert abs(Decimal(pounds) - by_hand[country]) < Decimal("0.001"), f"{country} in {file.name}"
            assert abs(Decimal(euros) - by_hand[country] / Decimal("0.8")) < Decimal("0.001")
    assert len(files) > 150


def test_real_prices_move_at_most_five_per_cent_a_day_and_half_a_penny_of_rounding(
    real_deliveries: Path,
) -> None:
    """Over the first 40 days with deliveries, each with a window of at most 28 calendar days."""
    history: list[pl.DataFrame] = []
    before: pl.DataFrame | None = None
    moved = 0
    for file in sorted((real_deliveries / "orders").glob("*.csv"))[:40]:
        day = date.fromisoformat(file.stem)
        sold = product.product_days(product.order_lines(real_orders(file)).lazy())
        history.append(sold.with_columns(partition=pl.lit(file.stem)))
        recent = pl.concat(history).filter(pl.col("partition").str.to_date() > day - timedelta(28))
        features = product.product_features(recent.lazy(), Partition(file.stem, datetime(day.year, day.month, day.day)))
        prices = product.base_prices(features, before)
        assert prices["price_gbp"].min() >= 0.01  # type: ignore[operator]
        assert prices.null_count().sum_horizontal().item() == 0
        assert set(prices["stock_code"]) == set(recent.filter(pl.col("units_sold") > 0)["stock_code"])
        if before is not None:
            both = prices.join(before, on="stock_code", suffix="_before")
            step = (both["price_gbp"] - both["price_gbp_before"]).abs()
            assert (step <= both["price_gbp_before"] * 0.05 + 0.005 + 1e-9).all(), file.name
            moved += int((step > 0).sum())
        before = prices
    assert moved > 1000
