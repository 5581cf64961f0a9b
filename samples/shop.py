"""The simulated shop: its products and customers, what they buy at which prices, and the day's exchange rates.

Invariants:
- What a day's file holds depends on the seed and the day alone, to the byte: a longer simulation adds files and
  changes none.
- Units of a product sold in a day are Poisson with a mean proportional to ``(price / usual price) ** ELASTICITY``,
  where the price is that day's list price: a model can recover the elasticity, and its answer can be checked.
"""

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from pathlib import Path

import numpy as np

from tidemark.calendars import Calendar

ELASTICITY = -1.6
SEED = 2010

OPEN_DAYS = Calendar("SUN-FRI", holidays="GB-ENG", closed=["12-24..01-03", "easter"])
RATE_DAYS = Calendar("MON-FRI", holidays="ECB")
# Rates start this much earlier than orders, so that the first day has last known ones.
RATE_DAYS_BEFORE = 7

ORDER_COLUMNS = [
    "InvoiceNo",
    "StockCode",
    "Description",
    "Quantity",
    "InvoiceDate",
    "UnitPrice",
    "CustomerID",
    "Country",
]
RATE_COLUMNS = ["date", "currency", "eur_rate"]

# Usual price in pounds of each article; with the designs, 80 products.
_ARTICLES = {
    "T-LIGHT HOLDER": 1.25, "LUNCH BAG": 1.65, "MUG": 2.95, "CAKE STAND": 12.75, "TEA TOWEL": 2.55, "JUMBO BAG": 2.08,
    "DOORMAT": 7.95, "HOT WATER BOTTLE": 4.25, "PARASOL,GARDEN": 5.95, "CHILDREN'S APRON": 1.95, "BUNTING": 4.95,
    "PAPER NAPKINS": 0.85, "CAKE CASES": 0.55, "ALARM CLOCK": 3.75, "PHOTO FRAME": 3.39, "STORAGE TIN": 1.45,
}  # fmt: skip
_DESIGNS = {
    "RED RETROSPOT": 1.0,
    "WHITE HANGING HEART": 1.1,
    "PINK POLKADOT": 0.95,
    "UNION JACK": 1.2,
    "STRAWBERRY": 1.0,
}

# Units of the currency for one euro at the start of December 2010, and how far they swing.
_RATES = {
    "USD": (1.3115, 0.05), "JPY": (110.37, 0.05), "BGN": (1.9558, 0.0), "CZK": (24.961, 0.02), "DKK": (7.4528, 0.0005),
    "GBP": (0.8393, 0.03), "HUF": (280.45, 0.03), "LTL": (3.4528, 0.0), "LVL": (0.7097, 0.002), "PLN": (4.0202, 0.02),
    "RON": (4.2973, 0.02), "SEK": (9.154, 0.02), "CHF": (1.3178, 0.04), "NOK": (8.06, 0.02), "HRK": (7.4243, 0.01),
    "RUB": (41.2445, 0.03), "TRY": (1.961, 0.05), "AUD": (1.3615, 0.03), "BRL": (2.2349, 0.03), "CAD": (1.336, 0.03),
    "CNY": (8.739, 0.04), "HKD": (10.1864, 0.05), "IDR": (11812.03, 0.04), "INR": (59.4664, 0.04),
    "KRW": (1508.78, 0.04), "MXN": (16.2214, 0.03), "MYR": (4.1338, 0.04), "NZD": (1.7589, 0.03),
    "PHP": (57.184, 0.04), "SGD": (1.7176, 0.03), "THB": (39.443, 0.04), "ZAR": (9.2045, 0.04),
}  # fmt: skip

_HOME = "United Kingdom"
# The other 37 countries, the busiest first.
_ABROAD = [
    "Germany", "France", "EIRE", "Netherlands", "Spain", "Belgium", "Switzerland", "Australia", "Portugal", "Norway",
    "Channel Islands", "Cyprus", "Finland", "Italy", "Japan", "Sweden", "Hong Kong", "Poland", "Denmark", "Austria",
    "Singapore", "Iceland", "Greece", "Unspecified", "Canada", "Malta", "Lebanon", "Israel", "Lithuania", "Brazil",
    "European Community", "United Arab Emirates", "USA", "Bahrain", "Czech Republic", "Saudi Arabia", "RSA",
]  # fmt: skip
_CUSTOMERS = 400
_CUSTOMERS_ABROAD = 60

# How busy a day of the week is, from Monday; the shop is closed on Saturdays.
_BUSY = [1.0, 1.1, 1.05, 1.15, 0.85, 0.0, 0.6]
_QUANTITIES = [1, 2, 3, 4, 6, 8, 10, 12, 24]
_QUANTITY_ODDS = [0.25, 0.15, 0.08, 0.10, 0.17, 0.05, 0.04, 0.13, 0.03]

_INVOICES_A_DAY = 30
_NUMBERS_A_DAY = 60
_FIRST_NUMBER = 536365
_FIRST_DAY = date(2010, 12, 1)

# Each kind of draw has its own stream of random numbers, so that none moves another.
_POPULARITY, _PRICES, _SALES, _RATES_TREND, _RATES_NOISE = range(5)


@dataclass(frozen=True)
class Product:
    """A product: its code, its description, its usual price in pounds, and units sold on a usual day."""

    stock_code: str
    description: str
    usual_price: float
    units_a_day: float


@dataclass(frozen=True)
class Invoice:
    """What the lines of one invoice share; ``markup`` is the ratio of its prices to the list's."""

    number: str
    at: datetime
    customer: str
    country: str
    markup: float = 1.0

    def line(self, stock_code: str, description: str, quantity: int, price: float) -> list[object]:
        """Return a line of the order file."""
        return [self.number, stock_code, description, quantity, self.at, price, self.customer, self.country]


def simulate(folder: Path, *, days: int = 60, until: date, seed: int = SEED) -> None:
    """Write ``orders/YYYY-MM-DD.csv`` and ``fx_rates/YYYY-MM-DD.csv`` for the expected ones of so many calendar days.

    Args:
        folder: the landing zone's folder; made if it is not there. Files of the same days are replaced.
        days: calendar days of orders, ending with ``until``; rates start a week earlier.
        until: the last day.
        seed: 0 or more; another seed is another history.

    """
    first = until - timedelta(days - 1)
    catalogue = products(seed)
    for day in _days(first, until):
        if OPEN_DAYS.expects(day):
            _write(folder / "orders" / f"{day}.csv", orders_of(day, catalogue, seed))
    for day in _days(first - timedelta(RATE_DAYS_BEFORE), until):
        if RATE_DAYS.expects(day):
            _write(folder / "fx_rates" / f"{day}.csv", rates_of(day, seed))


def _days(first: date, last: date) -> Iterator[date]:
    return (first + timedelta(step) for step in range((last - first).days + 1))


def _write(file: Path, content: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(content, encoding="utf-8", newline="")


def _csv(header: list[str], rows: list[list[object]], line_end: str) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator=line_end)
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue()


def products(seed: int = SEED) -> list[Product]:
    """Return the catalogue: every article in every design."""
    rng = np.random.default_rng([seed, _POPULARITY])
    found = []
    for number, (article, price) in enumerate(_ARTICLES.items()):
        for letter, (design, dearer) in zip("ABCDE", _DESIGNS.items(), strict=True):
            # Some articles have a number a design, the others a letter.
            code = f"{84000 + 17 * number}{letter}" if number % 2 else f"{21000 + 50 * number + ord(letter)}"
            popularity = float(np.exp(rng.normal(2.7, 0.5)))
            found.append(Product(code, f"{design} {article}", round(price * dearer, 2), popularity))
    return found


def list_prices(day: date, catalogue: list[Product], seed: int = SEED) -> list[float]:
    """Return the day's list price of each product, in pounds: a new level every Monday, and some noise every day."""
    monday = day - timedelta(day.weekday())
    level = np.random.default_rng([seed, _PRICES, monday.toordinal()]).uniform(-0.18, 0.18, len(catalogue))
    noise = np.random.default_rng([seed, _PRICES, day.toordinal(), 1]).uniform(-0.02, 0.02, len(catalogue))
    ratios = np.exp(level + noise)
    return [round(product.usual_price * float(ratio), 2) for product, ratio in zip(catalogue, ratios, strict=True)]


def orders_of(day: date, catalogue: list[Product], seed: int = SEED) -> str:
    """Return the order file of a day."""
    rng = np.random.default_rng([seed, _SALES, day.toordinal()])
    prices = list_prices(day, catalogue, seed)
    invoices = _invoices(day, rng)
    lines = _sales(day, catalogue, prices, invoices, rng)
    lines += _services(invoices, rng)
    lines += [lines[int(index)] for index in rng.integers(len(lines), size=3)]  # the system sends some lines twice
    lines.sort(key=lambda line: str(line[0]))
    lines += _afterwards(invoices, catalogue, prices, rng)
    return _csv(ORDER_COLUMNS, lines, "\n")


def _invoices(day: date, rng: np.random.Generator) -> list[Invoice]:
    """Return the day's invoices in the order of their numbers and times."""
    minutes = np.sort(rng.integers(8 * 60, 17 * 60, _INVOICES_A_DAY))
    found = []
    for index, minute in enumerate(minutes):
        at = datetime.combine(day, time(int(minute) // 60, int(minute) % 60))
        customer, country = _customer(rng)
        kind = rng.random()
        if kind < 0.25:  # from the web: no customer number, and prices a little higher
            found.append(Invoice(_number(day, index), at, "", _HOME, 1.03))
        else:
            found.append(Invoice(_number(day, index), at, customer, country, 0.97 if kind < 0.4 else 1.0))
    return found


def _number(day: date, index: int) -> str:
    return str(_FIRST_NUMBER + _NUMBERS_A_DAY * (day - _FIRST_DAY).days + index)


def _customer(rng: np.random.Generator) -> tuple[str, str]:
    """Draw a customer's number, as the shop's system writes it, and country."""
    if rng.random() < 0.88:
        return f"{12346 + int(rng.integers(_CUSTOMERS_ABROAD, _CUSTOMERS))}.0", _HOME
    index = int(rng.integers(_CUSTOMERS_ABROAD))
    return f"{12346 + index}.0", _ABROAD[index] if index < len(_ABROAD) else _ABROAD[index % 5]


def _sales(
    day: date, catalogue: list[Product], prices: list[float], invoices: list[Invoice], rng: np.random.Generator
) -> list[list[object]]:
    lines = []
    for product, price in zip(catalogue, prices, strict=True):
        mean = product.units_a_day * _BUSY[day.weekday()] * (price / product.usual_price) ** ELASTICITY
        quantities = _split(int(rng.poisson(mean)), rng)
        # Different invoices, so that no two lines of a product are equal by chance and dropped as a duplicate.
        for index, quantity in zip(rng.permutation(len(invoices)), quantities, strict=False):
            invoice = invoices[int(index)]
            charged = round(price * invoice.markup, 2)
            lines.append(invoice.line(product.stock_code, product.description, quantity, charged))
    return lines


def _split(units: int, rng: np.random.Generator) -> list[int]:
    """Return the quantities of the lines that make up so many units, at most one line an invoice."""
    quantities: list[int] = []
    while units > 0:
        last = len(quantities) == _INVOICES_A_DAY - 1
        quantity = units if last else min(units, int(rng.choice(_QUANTITIES, p=_QUANTITY_ODDS)))
        quantities.append(quantity)
        units -= quantity
    return quantities


def _services(invoices: list[Invoice], rng: np.random.Generator) -> list[list[object]]:
    """Postage abroad, and what else is charged that is no product."""
    lines = [each.line("POST", "POSTAGE", int(rng.integers(1, 4)), 18.0) for each in invoices if each.country != _HOME]
    web = [each for each in invoices if not each.customer]
    lines += [each.line("DOT", "DOTCOM POSTAGE", 1, round(float(rng.uniform(5, 300)), 2)) for each in web[:2]]
    lines.append(invoices[0].line("M", "Manual", 1, round(float(rng.uniform(0.5, 60)), 2)))
    if rng.random() < 0.3:
        lines.append(invoices[1].line("C2", "CARRIAGE", 1, 50.0))
    if rng.random() < 0.1:
        lines.append(invoices[2].line("BANK CHARGES", "Bank Charges", 1, 15.0))
    return lines


def _afterwards(
    invoices: list[Invoice], catalogue: list[Product], prices: list[float], rng: np.random.Generator
) -> list[list[object]]:
    """Cancellations, a discount, corrections of stock and, some days, an adjustment: what is booked in the evening."""
    day = invoices[0].at.date()
    known = [each for each in invoices if each.customer]

    def booked(index: int, letter: str, customer: str = "", country: str = _HOME) -> Invoice:
        at = datetime.combine(day, time(17, index))
        return Invoice(letter + _number(day, _INVOICES_A_DAY + index), at, customer, country)

    lines = []
    for index in range(4):
        buyer = known[int(rng.integers(len(known)))]
        returned = int(rng.integers(len(catalogue)))
        product, quantity = catalogue[returned], -int(rng.integers(1, 7))
        invoice = booked(index, "C", buyer.customer, buyer.country)
        lines.append(invoice.line(product.stock_code, product.description, quantity, prices[returned]))
    lines.append(booked(4, "C", known[0].customer, known[0].country).line("D", "Discount", -1, 12.5))
    for index, sign in ((5, 1), (6, -1)):
        product = catalogue[int(rng.integers(len(catalogue)))]
        lines.append(booked(index, "").line(product.stock_code, "", sign * int(rng.integers(1, 60)), 0.0))
    if rng.random() < 0.1:
        lines.append(booked(7, "A").line("B", "Adjust bad debt", 1, round(float(rng.uniform(50, 5000)), 2)))
    return lines


def rates_of(day: date, seed: int = SEED) -> str:
    """Return the file of a day's euro rates: slow waves around the rates of December 2010, and noise."""
    waves = np.random.default_rng([seed, _RATES_TREND]).uniform(0, 2 * np.pi, (len(_RATES), 2))
    noise = np.random.default_rng([seed, _RATES_NOISE, day.toordinal()]).normal(0, 0.05, len(_RATES))
    rows: list[list[object]] = []
    for (currency, (rate, swing)), (slow, fast), bump in zip(_RATES.items(), waves, noise, strict=True):
        turns = 2 * np.pi * day.toordinal()
        change = 0.8 * np.sin(turns / 190 + slow) + 0.2 * np.sin(turns / 23 + fast) + bump
        rows.append([day, currency, round(rate * float(np.exp(swing * change)), 4)])
    return _csv(RATE_COLUMNS, rows, "\r\n")
