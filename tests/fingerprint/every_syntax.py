"""A small package that has every kind of syntax somewhere: what the mutants are made from.

Its names tell whose code a definition is: that of the asset ``left``, that of ``right``, that of neither (``idle``), or
of both. They say it for the test, which has no other way to know; the fingerprint takes no notice of names.
"""

from tests.fingerprint.bundles import Files

PACKAGE: Files = {
    "prices.py": '''
"""Two assets."""

from __future__ import annotations

from dataclasses import dataclass as left_dataclass, field as left_field
from functools import partial as left_partial
from typing import TypeAlias as LeftAlias

from tidemark import Daily as IdleDaily, asset

import deep as left_deep
from helping import LEFT_LIMITS, LeftBase, left_logged, left_make
from helping import right_sum
from helping import right_steps as right_all
from helping import idle_from_there

IDLE_DAYS = IdleDaily(tz="UTC")
SHARED = 12
LEFT_RATE = 1.25 + SHARED
LeftNumber: LeftAlias = "int | float"
RIGHT_SIZE: int = 4
left_half = left_partial(left_deep.left_scale, factor=0.5)
left_shift = left_make(7, by=[1, 2])
LEFT_STEPS = {"half": left_half, "shift": left_shift, **LEFT_LIMITS}
left_square = lambda number, *, power=2: number**power
RIGHT_TEXT = f"{RIGHT_SIZE!r:>{SHARED}} of {SHARED}" "!"
right_top, (right_low, *right_rest) = 9, [8, 7, 6]
IDLE_TABLE = {"a": (1, 2.5, None, True, ...), "b": {3, 4}, "c": b"x"}

if SHARED > 10:
    right_kind = "big"
elif SHARED:
    right_kind = "small"
else:
    right_kind = "none"

try:
    from json import loads as left_parse
except ImportError:
    left_parse = None

for right_each in range(2):
    RIGHT_SIZE += right_each


@left_dataclass(frozen=True)
class LeftRow:
    name: str
    parts: list[int] = left_field(default_factory=list)

    def size(self) -> int:
        """How many."""
        return len(self.parts) or -1


class LeftPricer(LeftBase, margin=3):
    """It prices."""

    cost = 5
    del cost

    def price(self, amount: LeftNumber, /, extra: float = 0.5, *rest: int, flat: bool = False, **more: str) -> float:
        base = super().price(amount)
        if not flat and base >= extra:
            return base + extra - len(rest)
        else:
            return base if more else extra

    @property
    def row(self):
        return LeftRow(name="x", parts=[1, *range(3)])


def left_choose(value):
    match value:
        case {"kind": "a" | "b", "size": size, **others} if size:
            return size, others
        case [first, 5, *tail]:
            return first, tail
        case LeftRow(name=name) | LeftRow("n", parts=name):
            return name
        case None | True:
            return SHARED
        case -1 as negative:
            return negative
        case _:
            return value


def left_try(value):
    result = None
    try:
        with open(value) as file, left_deep.left_lock():
            result = file.read()
    except (OSError, ValueError) as problem:
        raise RuntimeError("no file") from problem
    except KeyError:
        raise
    else:
        result = result[1:-1:2]
    finally:
        assert result, "empty"
    return result


def right_loop(numbers):
    total, index = 0, 10
    while index > 0:
        index -= 1
        if index in numbers and index is not None:
            continue
        elif index == 3:
            break
        total += numbers[index] * 2 // 3 % 5 | 1 ^ 6 & 7 << 1 >> 2
    else:
        total = ~total
    for one, (two, three) in zip(numbers, numbers):
        total = total @ one or two and three
    else:
        total /= 2
    return total


def right_comprehend(rows):
    table = {key: value for key, value in rows.items() if value if key}
    letters = {each for row in rows for each in row}
    return [(last := each) for each in letters], sum(each for each in table), last, RIGHT_TEXT, right_all


def right_generate(rows):
    global right_top
    count = 0

    def counted():
        nonlocal count
        count += 1
        return count

    right_top = right_top + counted()
    received = yield rows
    yield from right_rest
    del rows[0]
    return (received, right_low, right_kind, count)


async def right_gather(rows):
    async with rows as opened:
        async for each in opened:
            await each
    return [each async for each in rows if not each]


def idle_function(value):
    return IDLE_TABLE["a"] if value else idle_from_there(value - 1)


class IdleClass(LeftBase):
    size = 3

    def run(self, value):
        return [part for part in value if part != self.size]


@asset(partitions=IDLE_DAYS, owner="left", key=["code", "day"])
@left_logged("left", level=2)
def left(orders: str, rate: float = 1.5) -> str:
    """It is left."""
    from deep import left_late

    priced = LeftPricer().price(LEFT_RATE * rate, flat=True)
    return f"{left_choose(orders)} {left_try(orders)!s} {left_square(priced):.2f} {LEFT_STEPS} {left_late(left_parse)}"


@asset(partitions=IDLE_DAYS, owner="right")
def right(orders: str, size: int = 3) -> str:
    found = [right_loop(orders), right_comprehend(orders), right_generate(orders), right_gather(orders)]
    return str(found) + right_sum(*found, **{"size": size}) + str(SHARED)
''',
    "helping.py": '''
"""What they need."""

import functools as left_functools

from deep import LEFT_FACTOR
from deep import idle_deep
from deep import right_registered

LEFT_LIMITS = {"low": 1, "high": LEFT_FACTOR * 100}
IDLE_LIMITS = {"low": 2}


class LeftMeta(type):
    def __new__(cls, name, bases, names, margin=1):
        names["margin"] = margin
        return super().__new__(cls, name, bases, names)


class LeftBase(metaclass=LeftMeta):
    def price(self, amount):
        return amount * self.margin


def left_make(offset, by):
    def shifted(value):
        return value + offset + sum(by)

    return shifted


def left_logged(name, level):
    def decorate(function):
        @left_functools.wraps(function)
        def call(*args, **kwargs):
            print(name, level)
            return function(*args, **kwargs)

        return call

    return decorate


def right_sum(*parts, size):
    return parts[0] + size if parts else right_registered["double"](size)


def right_steps(value):
    return [right_registered[each] for each in sorted(right_registered)] + [value]


def idle_from_there(value):
    return idle_deep(value) + 1
''',
    "deep.py": '''
import contextlib as left_contextlib

LEFT_FACTOR = 0.9
right_registered = {}


def right_register(function):
    right_registered[function.__name__[6:]] = function
    return function


@right_register
def right_double(value):
    return value * 2


@left_contextlib.contextmanager
def left_lock():
    yield LEFT_FACTOR


def left_scale(value, factor):
    return value * factor * LEFT_FACTOR


def left_late(parse):
    import math

    return parse("[1]") if parse != math.pi else {1, 2}


def idle_deep(value):
    """Nobody comes here."""
    return value**2
''',
}
