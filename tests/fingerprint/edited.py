"""A shop whose prices reach code in every way that there is, and its marked edits."""

from dataclasses import dataclass

from tests.fingerprint.bundles import AFTER, BEFORE, Files, installed, read_marked

SHOP: Files = {
    "prices.py": '''
"""What things cost."""

from functools import partial

import fastmath
import numpy as np
import polars as pl
import slowmath
from tidemark import Daily, asset, pipeline, source

import cleaning
import steps
import tables
from cleaning import Tidier, logged
from tables import LIMITS
from unrelated import nothing_to_do_with_it

DAYS = Daily(tz="Europe/London")
RATE = 1.2
CEILING = RATE * 10
UNUSED = 5

orders = source("orders", files="orders/{partition}.csv", partitions=DAYS)


def double(x):
    """Twice as much."""
    # two times
    result = x * 2
    return result


def triple(x):
    return np.multiply(x, 3)


half = partial(cleaning.scale, factor=0.5)
STEPS = {"double": double, "tidy": cleaning.tidy}


def make_shift(offset):
    def shift(x):
        return x + offset

    return shift


shift = make_shift(7)


class Base:
    def base(self, x):
        return x + 1


class Pricer(Base, Tidier):
    margin = 3

    def price(self, x):
        total = self.base(x) * self.margin
        return total


def pick(x):
    match x:
        case [first, *others]:
            return first
        case {"price": value, **rest}:
            return value
    try:
        return float(x)
    except TypeError as problem:
        raise ValueError from problem


def spread(x, width=2):
    low, high = (x - width, x + width)
    return [part for part in (low, high) if (half_part := part / 2) > 0]


@asset(partitions=DAYS, owner="stock")
def stock(orders: pl.DataFrame) -> pl.DataFrame:
    return orders.head(slowmath.run(5))


@asset(partitions=DAYS, owner="pricing", key=["code"], files=["rules.sql", "margins.yaml"])
@logged(level=1)
def prices(orders: pl.DataFrame, stock: pl.DataFrame, surcharge: float = 2.5) -> pl.DataFrame:
    """The prices of a day."""
    price = Pricer().price(half(shift(RATE))) + min(CEILING, surcharge, LIMITS["top"])
    for step in STEPS.values():
        price = step(price)
    price = steps.run(pick(spread(fastmath.run(price))))
    return orders.with_columns(cost=pl.lit(price))


dag = pipeline("prices", [orders, stock, prices])
''',
    "cleaning.py": """
from numbers_for_it import FACTOR, weigh


def tidy(x):
    assert x is not None
    return weigh(x)


def scale(x, factor):
    return x * factor * FACTOR


def untouched(x):
    return x


class Tidier:
    def tidied(self, x):
        return tidy(x)


def logged(level):
    def decorate(function):
        import functools

        @functools.wraps(function)
        def call(*args, **kwargs):
            return function(*args, **kwargs)

        return call

    return decorate
""",
    "numbers_for_it.py": """
FACTOR = 0.9


def weigh(x):
    return x - 0.25


def unweighed(x):
    return x
""",
    "steps.py": """
from deeper import ROUNDING, Rounder, add, make_cut, twice

ALL = {"cut": make_cut(3), "round": Rounder().run}
EACH = [*ALL.values(), ROUNDING, twice]


def run(x):
    for each in EACH:
        x = each(x)
    return x
""",
    "deeper.py": """
from functools import partial


class Digits:
    digits = 2


class Rounder(Digits):
    def run(self, x):
        return round(x, self.digits)


def add(x, more):
    return x + more


ROUNDING = partial(add, more=0.5)


def make_cut(most):
    def cut(x):
        return min(x, most * 10)

    return cut


def doubly(function):
    def call(x):
        return function(function(x))

    return call


@doubly
def twice(x, by=1.5):
    return x * by
""",
    "tables.py": 'LIMITS = {"top": 100, "bottom": 1}\nOTHER = {"top": 5}\n',
    "unrelated.py": "def nothing_to_do_with_it():\n    return 1\n",
    "rules.sql": "select code from orders\n",
    "margins.yaml": "margin: 3\n",
    "undeclared.sql": "select 1\n",
    **installed("fastmath", "1.0", "needed"),
    **installed("needed", "1.0"),
    **installed("slowmath", "1.0"),
}


@dataclass(frozen=True)
class Edit:
    """An edit of files, and whether the result may change.

    Attributes:
        what: what is edited, for people.
        changes: whether the result may change.
        texts: by file, ``«this|that»`` inside a text that is there once; a file that is not there is empty.

    """

    what: str
    changes: bool
    texts: tuple[tuple[str, str], ...]

    def __str__(self) -> str:
        return f"{self.what} {'changes it' if self.changes else 'keeps it'}"

    def of(self, files: Files) -> Files:
        """Return the files after the edit."""
        edited = dict(files)
        for file, text in self.texts:
            old, new = (read_marked(text, chosen) for chosen in (BEFORE, AFTER))
            there = edited.get(file, "")
            assert there.count(old) == 1 or (there, old) == ("", ""), f"{old!r} is not there once"
            edited[file] = there.replace(old, new) if there else new
        return edited


def keeps(what: str, file: str, text: str, *more: tuple[str, str]) -> Edit:
    """Make an edit after which the code version must be the same."""
    return Edit(what, False, ((file, text), *more))


def changes(what: str, file: str, text: str, *more: tuple[str, str]) -> Edit:
    """Make an edit after which the code version must be another one."""
    return Edit(what, True, ((file, text), *more))
