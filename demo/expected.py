"""What should happen, worked out a second time and naively, from what the price list's page says of its assets.

Nothing here asks Tidemark's planner: which partitions should have run follows from comparing, day by day, what they
read before with what they read after; which should be provisional, from which deliveries are lacking.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta

WINDOW_DAYS, RATES_GOOD_FOR_DAYS, BEST_SELLER_DAYS, CLOSES_AFTER_DAYS = 28, 7, 7, 35

Delivery = tuple[str, date]
"""A source and a day."""


@dataclass(frozen=True)
class Live:
    """What is live for one partition.

    Attributes:
        version: its data version, as hex.
        lacks: what it was made without.

    """

    version: str
    lacks: frozenset[Delivery] = frozenset()


Heads = Mapping[str, Mapping[date, Live]]
"""What is live, by source or asset, and day."""

Partitions = dict[str, set[date]]
"""Some partitions of each asset; an asset without any is left out."""

Marks = dict[str, dict[date, frozenset[Delivery]]]
"""What each provisional partition was made without."""


@dataclass(frozen=True)
class Oracle:
    """The naive judge of one history.

    Attributes:
        first: the first day of orders.
        last: the last day that has ended.

    """

    first: date
    last: date

    def days(self) -> Iterator[date]:
        """Every day of the history, in order."""
        return (self.first + timedelta(step) for step in range((self.last - self.first).days + 1))

    def _closed(self, day: date) -> bool:
        return day + timedelta(CLOSES_AFTER_DAYS) <= self.last

    def runs(self, before: Heads, after: Heads, assets: Collection[str]) -> Partitions:
        """Return which partitions of some assets had to run between two moments.

        A partition has to if it can be computed, and had no result before or reads something that is not what it was.
        """
        found: Partitions = {}
        for name in assets:
            reads = _READS[name]
            done = before.get(name, {})
            frozen = [day for day in done if name == "base_prices" and self._closed(day)]
            for day in self.days():
                now = reads(after, day)
                if now is None or day in frozen or (day in done and now == reads(before, day)):
                    continue
                found.setdefault(name, set()).add(day)
        return found

    def marks(self, live: Heads, lacking: Collection[Delivery]) -> Marks:
        """Return what is to be provisional, and for what, while some deliveries are lacking.

        Args:
            live: what is live; only that bears marks.
            lacking: what should have come and has not, or came and was rejected.

        """
        orders = {day: lacking_on("orders", [day], lacking) for day in self.days()}
        rates = {day: lacking_on("fx_rates", _rate_days(live, day), lacking) for day in self.days()}
        prices: dict[date, frozenset[Delivery]] = {}
        features: dict[date, frozenset[Delivery]] = {}
        for day in self.days():
            features[day] = lacking_on("orders", _back(day, WINDOW_DAYS), lacking)
            yesterday = day - timedelta(1)
            inherited = frozenset() if self._closed(yesterday) else prices.get(yesterday, frozenset())
            prices[day] = features[day] | inherited
        all_marks = {
            "order_lines": orders,
            "product_days": orders,
            "product_features": features,
            "daily_revenue": {day: orders[day] | rates[day] for day in self.days()},
            "base_prices": prices,
            "price_list": {day: prices[day] | rates[day] for day in self.days()},
        }
        borne = {
            name: {day: marks for day, marks in some.items() if marks and day in live.get(name, {})}
            for name, some in all_marks.items()
        }
        return {name: some for name, some in borne.items() if some}


def lacking_on(source: str, days: Iterable[date], lacking: Collection[Delivery]) -> frozenset[Delivery]:
    """Return which deliveries of a source on some days are lacking."""
    return frozenset((source, day) for day in days) & frozenset(lacking)


def _back(day: date, count: int) -> list[date]:
    """Return a day and the ones before, so many in all, the newest first."""
    return [day - timedelta(back) for back in range(count)]


def _version(heads: Heads, name: str, day: date) -> str | None:
    live = heads.get(name, {}).get(day)
    return live.version if live else None


def _rate_days(heads: Heads, day: date) -> list[date]:
    """Return the days that are looked at for rates: back to the newest that has them."""
    looked: list[date] = []
    for each in _back(day, RATES_GOOD_FOR_DAYS + 1):
        looked.append(each)
        if _version(heads, "fx_rates", each):
            break
    return looked


def _rates(heads: Heads, day: date) -> object | None:
    chosen = _rate_days(heads, day)[-1]
    version = _version(heads, "fx_rates", chosen)
    return (chosen, version) if version else None


def _window(heads: Heads, day: date, width: int) -> object | None:
    """Return what a window of product days holds; it can be read if it holds anything."""
    held = {each: _version(heads, "product_days", each) for each in _back(day, width)}
    return held if any(held.values()) else None


def _both(one: object | None, other: object | None) -> object | None:
    return None if one is None or other is None else (one, other)


def _prices(heads: Heads, day: date) -> object | None:
    features = _version(heads, "product_features", day)
    return (features, _version(heads, "base_prices", day - timedelta(1))) if features else None


# What each asset reads for a day; None where it cannot be computed.
_READS: Mapping[str, Callable[[Heads, date], object | None]] = {
    "order_lines": lambda heads, day: _version(heads, "orders", day),
    "product_days": lambda heads, day: _version(heads, "order_lines", day),
    "product_features": lambda heads, day: _window(heads, day, WINDOW_DAYS),
    "daily_revenue": lambda heads, day: _both(_version(heads, "order_lines", day), _rates(heads, day)),
    "base_prices": _prices,
    "price_list": lambda heads, day: _both(_version(heads, "base_prices", day), _rates(heads, day)),
    "best_sellers": lambda heads, day: _window(heads, day, BEST_SELLER_DAYS),
}
