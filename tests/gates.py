"""For the tests of the gate: suites written on the spot, one good table for each suite of the project, and defects."""

import json
from collections.abc import Callable
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

SUITES = Path(__file__).parents[1] / "expectations"
CURRENCIES = ["GBP", "EUR", "USD", "CHF", "SEK", "NOK", "DKK", "AUD", "JPY", "CAD", "PLN"]
RATES = [0.86, 1.0, 1.32, 1.26, 8.93, 7.79, 7.45, 1.33, 108.7, 1.32, 3.9]
PII = {"orders": frozenset({"CustomerID"}), "order_lines": frozenset({"customer_id"})}


def rule(kind: str, severity: str = "critical", **kwargs: Any) -> dict[str, Any]:
    return {"type": kind, "kwargs": kwargs, "severity": severity}


def write_suite(folder: Path, *rules: dict[str, Any], name: str = "prices") -> Path:
    path = folder / f"{name}.json"
    path.write_text(json.dumps({"name": name, "expectations": rules}))
    return path


def orders() -> pa.Table:
    """Sixty lines of a day: sales, a cancellation, one line without customer and description, one for nothing."""
    lines = 60
    at = [datetime(2011, 1, 5, 8 + n // 10, n) for n in range(lines)]
    return pa.table(
        {
            "InvoiceNo": [f"5401{n // 4:02}" for n in range(lines - 1)] + ["C540199"],
            "StockCode": [f"{22000 + n}" for n in range(lines - 2)] + ["85123A", "POST"],
            "Description": ["CAKESTAND"] * (lines - 1) + [None],
            "Quantity": pa.array([n % 7 + 1 for n in range(lines - 1)] + [-2]),
            "InvoiceDate": pa.array(at, pa.timestamp("us")),
            "UnitPrice": [0.0, *[round(0.42 + n / 10, 2) for n in range(lines - 1)]],
            "CustomerID": [*[f"{13000 + n}.0" for n in range(lines - 1)], None],
            "Country": ["United Kingdom"] * lines,
        }
    )


def order_lines() -> pa.Table:
    table = orders()
    value = [
        round(q * p, 4) for q, p in zip(table["Quantity"].to_pylist(), table["UnitPrice"].to_pylist(), strict=True)
    ]
    names = [
        "invoice_no",
        "stock_code",
        "description",
        "quantity",
        "invoice_date",
        "unit_price",
        "customer_id",
        "country",
    ]
    kinds = ["sale"] * (table.num_rows - 1) + ["return"]
    return (
        table.rename_columns(names).append_column("kind", pa.array(kinds)).append_column("value_gbp", pa.array(value))
    )


def fx_rates() -> pa.Table:
    rates = [(name, rate) for name, rate in zip(CURRENCIES, RATES, strict=True) if name != "EUR"]
    names, values = zip(*rates, strict=True)
    return pa.table({"date": pa.array([date(2011, 1, 5)] * len(rates)), "currency": names, "eur_rate": values})


def price_list() -> pa.Table:
    pairs = [(code, name, rate) for code in ("22776", "85123A") for name, rate in zip(CURRENCIES, RATES, strict=True)]
    codes, names, rates = zip(*pairs, strict=True)
    return pa.table({"stock_code": codes, "currency": names, "price": [round(2 * rate, 2) for rate in rates]})


def demand_predictions() -> pa.Table:
    """Two weeks of five products, of which each sells more than the one before."""
    weeks = [date(2011, 5, 16), date(2011, 5, 23)]
    return pa.table(
        {
            "week": [week for week in weeks for _ in range(5)],
            "stock_code": [f"{22000 + n}" for _ in weeks for n in range(5)],
            "predicted": [0.5 + 3 * n for _ in weeks for n in range(5)],
        }
    )


GOOD: dict[str, Callable[[], pa.Table]] = {
    "orders": orders,
    "order_lines": order_lines,
    "fx_rates": fx_rates,
    "price_list": price_list,
    "demand_predictions": demand_predictions,
}


def with_cell(table: pa.Table, column: str, row: int, value: object) -> pa.Table:
    """The table with another value in one cell."""
    cells = table[column].to_pylist()
    cells[row] = value
    at = table.column_names.index(column)
    return table.set_column(at, column, pa.array(cells, table.schema.field(column).type))


def as_text(table: pa.Table, column: str) -> pa.Table:
    """The table with a column of another type."""
    at = table.column_names.index(column)
    return table.set_column(at, column, pa.array([str(value) for value in table[column].to_pylist()]))


def twice(table: pa.Table, row: int = 0) -> pa.Table:
    """The table with one row once more."""
    return pa.concat_tables([table, table.slice(row, 1)])


Spoil = Callable[[pa.Table], pa.Table]
Defect = tuple[str, str, Spoil, str]
# Suite, what is wrong, how it is made of a good table, and what the worst failure must name.
BLOCKED: list[Defect] = [
    ("demand_predictions", "fewer than none", lambda t: with_cell(t, "predicted", 3, -0.5), "-0.5 in row 4"),
    ("demand_predictions", "no number", lambda t: with_cell(t, "predicted", 3, float("nan")), "NaN in row 4"),
    (
        "demand_predictions",
        "infinitely many",
        lambda t: with_cell(t, "predicted", 3, float("inf")),
        "Infinity in row 4",
    ),
    ("demand_predictions", "nothing predicted", lambda t: with_cell(t, "predicted", 3, None), "nothing in row 4"),
    ("demand_predictions", "a product twice a week", lambda t: with_cell(t, "stock_code", 1, "22000"), "stock_code"),
    (
        "demand_predictions",
        "the same for all",
        lambda t: t.set_column(2, "predicted", pa.array([4.0] * len(t))),
        "demand_predictions.predicted",
    ),
    ("orders", "a missing column", lambda t: t.drop_columns(["UnitPrice"]), "UnitPrice is missing"),
    ("orders", "no row", lambda t: t.slice(0, 0), "observed 0"),
    ("orders", "text for numbers", lambda t: as_text(t, "Quantity"), "orders.Quantity"),
    ("orders", "text for times", lambda t: as_text(t, "InvoiceDate"), "orders.InvoiceDate"),
    ("orders", "an empty quantity", lambda t: with_cell(t, "Quantity", 3, None), "nothing in row 4"),
    ("orders", "an empty country", lambda t: with_cell(t, "Country", 0, None), "nothing in row 1"),
    ("orders", "a price that is no number", lambda t: with_cell(t, "UnitPrice", 3, float("nan")), "NaN in row 4"),
    ("orders", "an infinite price", lambda t: with_cell(t, "UnitPrice", 3, float("inf")), "Infinity in row 4"),
    ("orders", "a strange invoice number", lambda t: with_cell(t, "InvoiceNo", 9, "X1"), "X1 in row 10"),
    ("orders", "a blank stock code", lambda t: with_cell(t, "StockCode", 9, "  "), "row 10"),
    ("orders", "a clock that was reset", lambda t: with_cell(t, "InvoiceDate", 9, datetime(1970, 1, 1)), "1970-01-01"),
    ("fx_rates", "a missing column", lambda t: t.drop_columns(["eur_rate"]), "eur_rate is missing"),
    ("fx_rates", "no row", lambda t: t.slice(0, 0), "observed 0"),
    ("fx_rates", "text for rates", lambda t: as_text(t, "eur_rate"), "fx_rates.eur_rate"),
    ("fx_rates", "text for dates", lambda t: as_text(t, "date"), "fx_rates.date"),
    ("fx_rates", "a rate below zero", lambda t: with_cell(t, "eur_rate", 1, -1.32), "-1.32 in row 2"),
    ("fx_rates", "a rate of zero", lambda t: with_cell(t, "eur_rate", 1, 0.0), "0.0 in row 2"),
    ("fx_rates", "an empty rate", lambda t: with_cell(t, "eur_rate", 1, None), "nothing in row 2"),
    ("fx_rates", "a rate that is no number", lambda t: with_cell(t, "eur_rate", 1, float("nan")), "NaN in row 2"),
    ("fx_rates", "a currency twice", twice, "GBP in row 1; GBP in row 11"),
    ("fx_rates", "a currency left out", lambda t: t.slice(0, 9), "missing: PLN"),
    ("fx_rates", "two days", lambda t: with_cell(t, "date", 1, date(2011, 1, 4)), "all rates are of one day"),
    ("order_lines", "a missing column", lambda t: t.drop_columns(["kind"]), "kind is missing"),
    ("order_lines", "a column too many", lambda t: t.append_column("x", pa.nulls(len(t))), "unexpected: x"),
    ("order_lines", "no row", lambda t: t.slice(0, 0), "observed 0"),
    ("order_lines", "a line twice", twice, "no line is there twice"),
    ("order_lines", "an unknown kind", lambda t: with_cell(t, "kind", 5, "gift"), "gift in row 6"),
    ("order_lines", "a value that is no number", lambda t: with_cell(t, "value_gbp", 5, float("nan")), "NaN in row 6"),
    ("order_lines", "a sale below zero", lambda t: with_cell(t, "value_gbp", 5, -1.0), "-1.0 in row 6"),
    ("order_lines", "a return that sells", lambda t: with_cell(t, "quantity", 59, 2), "2 in row 60"),
    ("price_list", "a missing column", lambda t: t.drop_columns(["currency"]), "currency is missing"),
    ("price_list", "no row", lambda t: t.slice(0, 0), "observed 0"),
    ("price_list", "text for prices", lambda t: as_text(t, "price"), "price_list.price"),
    ("price_list", "a price that is no number", lambda t: with_cell(t, "price", 4, float("nan")), "NaN in row 5"),
    ("price_list", "an empty price", lambda t: with_cell(t, "price", 4, None), "nothing in row 5"),
    ("price_list", "an infinite price", lambda t: with_cell(t, "price", 4, float("inf")), "Infinity in row 5"),
    ("price_list", "a price of nothing", lambda t: with_cell(t, "price", 4, 0.0), "0.0 in row 5"),
    ("price_list", "a price below zero", lambda t: with_cell(t, "price", 4, -2.0), "-2.0 in row 5"),
    ("price_list", "two prices", lambda t: twice(t, 1), "22776, EUR in row 2; 22776, EUR in row 23"),
    ("price_list", "a currency left out", lambda t: pa.concat_tables([t.slice(0, 10), t.slice(11, 10)]), "PLN"),
    ("price_list", "a strange currency", lambda t: with_cell(t, "currency", 4, "XXX"), "unexpected: XXX"),
]
FLAGGED: list[Defect] = [
    ("orders", "a new column", lambda t: t.append_column("Channel", pa.nulls(len(t))), "unexpected: Channel"),
    ("orders", "hardly a line", lambda t: t.slice(0, 20), "observed 20"),
    ("orders", "a price below zero", lambda t: with_cell(t, "UnitPrice", 3, -11062.06), "-11062.06 in row 4"),
    ("orders", "a quantity of nothing", lambda t: with_cell(t, "Quantity", 3, 0), "0 in row 4"),
    (
        "orders",
        "hardly a description",
        lambda t: t.set_column(2, "Description", pa.nulls(len(t), pa.string())),
        "60 of 60",
    ),
    ("fx_rates", "a slipped decimal point", lambda t: with_cell(t, "eur_rate", 0, 8.6), "8.6 in row 1"),
    ("order_lines", "a huge sale", lambda t: with_cell(t, "value_gbp", 5, 250_000.0), "250000.0 in row 6"),
    ("price_list", "a dear product", lambda t: with_cell(t, "price", 0, 9_999.0), "9999.0 in row 1"),
]
