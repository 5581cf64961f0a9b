"""Rules 7, 8 and 11 across pipelines: a reader gets the answers that it would get if all were one pipeline."""

import random
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.gates import rule
from tests.scenario import Shop, new_shop, on_both_ledgers
from tidemark.errors import DefinitionError
from tidemark.running.run import prepare, run_batch
from tidemark.survey import Selection

UPSTREAM = """
    orders = source("orders", files="orders/{partition}.txt", partitions=DAYS)
    rates = source("rates", files="rates/{partition}.csv", partitions=Daily(tz="Europe/London"%s),
                   expected=Calendar("SUN-FRI", closed=["01-01"]), due="1 day 16:30 Europe/Berlin",
                   schema={"rate": float})

    @asset(partitions=DAYS%s)
    def lines(orders: bytes, factor: int = 1) -> str:
        return orders.decode() * factor
"""

FRAMES = """
    orders = source("orders", files="orders/{partition}.csv", partitions=DAYS)

    @asset(partitions=DAYS%s)
    def lines(orders: pl.DataFrame) -> pl.DataFrame:
        return orders
"""

READER = """
    @asset(partitions=%s, inputs={"given": %s})
    def reader(given: %s) -> str:
        return repr(given)
"""

# 2025-01-04 is a Saturday, on which no rates are expected.
DAYS = [f"2025-01-{day:02d}" for day in range(2, 10)]
LONDON = 'Daily(tz="Europe/London")'


@dataclass
class Story:
    """An upstream and its reader, in one pipeline or in two."""

    shop: Shop
    two: bool
    upstream: str = UPSTREAM % ("", "")
    reader: str = ""

    def define(self, name: str, mapping: str = "same()", annotation: str = "str", grain: str = "DAYS") -> None:
        """Let the reader read something."""
        read = f'ref("{name}", {mapping})' if self.two else mapping
        text = READER.replace("given", name) % (grain, read, annotation)
        if self.two:
            self.shop.define(self.upstream)
            self.shop.define(text, name="other")
        else:
            self.shop.define(self.upstream + text)

    def run(self, times: int = 1, **options: Any) -> None:
        """Run all there is, each before what reads it."""
        for _ in range(times):
            self.shop.run(**options)
            if self.two:
                self.shop.run("other", **options)

    def rates(self, *keys: str, text: str = "rate\n1.2\n") -> None:
        """Deliver rates."""
        for key in keys:
            self.shop.deliver("rates", key, text)

    @property
    def blocked(self) -> list[str]:
        """The reader's partitions that the last run's verdict calls blocked."""
        assert self.shop.verdict is not None
        return [
            each.partition for each in self.shop.verdict.troubles if (each.asset, each.what) == ("reader", "blocked")
        ]

    @property
    def waiting(self) -> dict[str, str]:
        """The reader's partitions that wait, and why."""
        assert self.shop.verdict is not None
        return {key: why for asset, key, why in self.shop.verdict.waiting if asset == "reader"}

    @property
    def marks(self) -> dict[str, set[str]]:
        """What is missing from the reader's heads."""
        return self.shop.provisional("reader")

    @property
    def live(self) -> list[str]:
        """The reader's partitions that have a head."""
        return list(self.shop.heads("reader"))


@pytest.fixture(params=["one pipeline", "two pipelines"])
def story(shop: Shop, request: pytest.FixtureRequest) -> Story:
    """A story that must come out the same in one pipeline and in two; it is six in the morning of 2025-01-10."""
    return Story(shop, request.param == "two pipelines")


# -- sources


def test_an_expected_delivery_that_is_missing_marks_the_reader(story: Story) -> None:
    """Until it comes; what is not expected marks nothing."""
    story.define("rates", "last_known(days=3)", "pl.DataFrame", LONDON)
    late, saturday = "2025-01-06", "2025-01-04"
    story.rates(*(key for key in DAYS[:-1] if key not in (late, saturday)))
    story.run()
    assert story.marks == {late: {f"rates {late}"}}
    assert saturday in story.live
    story.rates(late)
    story.run()
    assert story.marks == {}


def test_a_declared_absence_clears_the_readers_marks(story: Story) -> None:
    """And nothing runs for it."""
    story.define("rates", "last_known(days=3)", "pl.DataFrame", LONDON)
    late = "2025-01-06"
    story.rates(*(key for key in DAYS[:-1] if key != late))
    story.run()
    before = story.shop.called("reader", late)
    story.shop.declare_absent("rates", late)
    story.run()
    assert story.marks == {}
    assert story.shop.called("reader", late) == before


def test_what_is_not_yet_due_delays_the_reader(story: Story) -> None:
    """It is due at half past four in Berlin on the day after; then what stands in is used."""
    story.define("rates", "last_known(days=3)", "pl.DataFrame", LONDON)
    story.rates(*DAYS[:-1])
    story.run()
    assert DAYS[-1] not in story.live
    assert "not due before 2025-01-10 15:30 UTC" in story.shop.explain("reader", DAYS[-1])["why"]
    story.shop.now("2025-01-10 15:31")
    story.run()
    assert story.marks == {DAYS[-1]: {f"rates {DAYS[-1]}"}}


def test_a_rejected_delivery_marks_the_reader(story: Story) -> None:
    """The last good one stays."""
    story.define("rates", "same()", "pl.DataFrame", LONDON)
    story.rates(*DAYS[:-1])
    story.run()
    story.rates(DAYS[0], text="rate\nmuch\n")
    story.run()
    assert story.marks == {DAYS[0]: {f"rates {DAYS[0]}"}}


def test_a_rejected_delivery_blocks_a_strict_reader(story: Story) -> None:
    """It would rather have nothing than the one before."""
    story.define("rates", "same(strict=True)", "pl.DataFrame", LONDON)
    story.rates(*DAYS[:-1])
    story.run()
    story.rates(DAYS[0], text="rate\nmuch\n")
    story.run()
    assert story.blocked == [DAYS[0]]


def test_a_source_begins_where_it_is_declared_to(story: Story) -> None:
    """Also where its first deliveries are missing."""
    story.upstream = UPSTREAM % (', start="2025-01-05"', "")
    story.define("rates", "last_known(days=1)", "pl.DataFrame | None", LONDON)
    story.rates("2025-01-07", "2025-01-08")
    story.run()
    assert story.live == ["2025-01-05", "2025-01-06", "2025-01-07", "2025-01-08"]
    assert story.marks == {
        "2025-01-05": {"rates 2025-01-05"},
        "2025-01-06": {"rates 2025-01-05", "rates 2025-01-06"},
    }


# -- assets


def _fail(story: Story, key: str, *, first: bool = False) -> None:
    """Run well, then let one partition fail; ``first``: it never had a result."""
    story.shop.deliver_days("orders", *(each for each in DAYS if not (first and each == key)))
    story.run()
    story.shop.deliver("orders", key, "corrected")
    story.shop.breaks("lines", key)


def test_a_failed_input_blocks_a_strict_reader(story: Story) -> None:
    """As long as it is failed."""
    story.define("lines", "same(strict=True)")
    _fail(story, DAYS[1])
    for _ in range(3):
        story.run()
        assert story.blocked == [DAYS[1]]
    story.shop.mends("lines", DAYS[1])
    story.shop.deliver("orders", DAYS[1], "mended")
    story.run()
    assert story.blocked == []
    assert story.marks == {}


@on_both_ledgers
def test_a_failed_input_without_a_head_counts_as_missing(story: Story) -> None:
    """After the first failure, and when it is not tried any more; until it succeeds."""
    story.define("lines", "same()", "str | None")
    _fail(story, DAYS[1], first=True)
    for _ in range(3):
        story.run()
        assert story.marks == {DAYS[1]: {f"lines {DAYS[1]}"}}
        assert story.shop.heads("reader")[DAYS[1]] == "None"
    story.shop.mends("lines", DAYS[1])
    story.shop.force("lines", DAYS[1])
    story.run()
    assert story.marks == {}
    assert story.shop.heads("reader")[DAYS[1]] == "'corrected'"


def test_a_failed_input_without_a_head_makes_a_window_provisional(story: Story) -> None:
    """Every window that it belongs to."""
    story.upstream = FRAMES % ""
    story.define("lines", "trailing(days=2)", "pl.DataFrame")
    for key in DAYS:
        story.shop.deliver("orders", key, "k\na\n")
    story.shop.breaks("lines", DAYS[1])
    story.run(3)
    assert story.marks == {key: {f"lines {DAYS[1]}"} for key in DAYS[1:3]}


def test_what_needs_a_failed_input_waits_and_says_for_what(story: Story) -> None:
    """By name: it is not that there was nothing to make it from."""
    story.define("lines")
    _fail(story, DAYS[1], first=True)
    for _ in range(3):
        story.run()
        assert list(story.waiting) == [DAYS[1]]
        assert f"lines {DAYS[1]} failed or was rejected" in story.waiting[DAYS[1]]


def test_a_blocked_first_candidate_counts_as_missing(story: Story) -> None:
    """And blocks a strict reader."""
    story.shop.suite("lines", rule("expect_table_row_count_to_be_between", max_value=1))
    story.upstream = FRAMES % ', gate="lines"'
    story.define("lines", "trailing(days=2)", "pl.DataFrame")
    for key in DAYS[:4]:
        story.shop.deliver("orders", key, "k\na\nb\n" if key == DAYS[1] else "k\na\n")
    story.run(2)
    assert story.marks == {key: {f"lines {DAYS[1]}"} for key in DAYS[1:3]}
    story.define("lines", "trailing(days=2, strict=True)", "pl.DataFrame")
    story.run()
    assert story.blocked == DAYS[1:3]


def test_what_an_input_waits_for_marks_its_readers_too(story: Story) -> None:
    """At any depth, with the name of what is missing."""
    story.upstream = (
        UPSTREAM % ("", "")
        + """
    @asset(partitions=Daily(tz="Europe/London"))
    def priced(rates: pl.DataFrame) -> pl.DataFrame:
        return rates
    """
    )
    story.define("priced", "trailing(days=2)", "pl.DataFrame", LONDON)
    late = "2025-01-06"
    story.rates(*(key for key in DAYS[:-1] if key != late))
    story.run(2)
    assert story.marks == {key: {f"rates {late}"} for key in (late, "2025-01-07")}
    assert DAYS[-1] not in story.live  # what it reads waits for what is not due yet
    story.shop.now("2025-01-10 15:31")
    story.run()
    assert story.marks[DAYS[-1]] == {f"rates {DAYS[-1]}"}


def test_what_was_never_reached_marks_its_readers(story: Story) -> None:
    """A worker that died has left a partition as it was, and another without anything."""
    story.define("lines", "same()", "str | None")
    story.shop.deliver_days("orders", *DAYS[:3])
    story.run()
    story.shop.deliver("orders", DAYS[0], "corrected")
    story.shop.deliver_days("orders", DAYS[3])
    shop = story.shop
    with shop.deployment() as deployment:
        prepared = prepare(deployment, shop.pipelines["shop"], as_of=shop.as_of, run="broken", actor="tester")
        if not story.two:
            run_batch(deployment, shop.pipelines["shop"], prepared.plan_id, 0, "reader", run="broken", actor="tester")
    if story.two:
        shop.run("other")
    assert story.marks == {key: {f"lines {key}"} for key in (DAYS[0], DAYS[3])}
    assert story.shop.heads("reader")[DAYS[3]] == "None"
    story.run()
    assert story.marks == {}


def test_what_nobody_asked_to_compute_has_not_failed(story: Story) -> None:
    """A run of some days leaves the others as they are: that marks what reads them, and blocks nobody."""
    story.upstream = FRAMES % ""
    story.define("lines", "trailing(days=2, strict=True)", "pl.DataFrame")
    for key in DAYS[:4]:
        story.shop.deliver("orders", key, "k\na\n")
    story.run()
    story.shop.deliver("orders", DAYS[1], "k\nb\n")
    story.run(selection=Selection(first=datetime(2025, 1, 4, tzinfo=UTC)))
    assert story.blocked == []
    assert story.marks[DAYS[2]] == {f"lines {DAYS[1]}"}
    story.run()
    assert story.marks == {}


TWO = """
    orders = source("orders", files="orders/{partition}.txt", partitions=DAYS)

    @asset(partitions=DAYS)
    def lines(orders: str) -> str:
        return orders
"""
ONE = (
    TWO.partition("@asset")[0]
    + """
    @asset(partitions=DAYS)
    def others(orders: str) -> str:
        return orders
"""
)


def test_an_asset_that_its_pipeline_has_no_longer_is_a_definition_error_where_it_is_read(shop: Shop) -> None:
    """Else its readers would take for final what never changes any more; in a branch it is there for everybody else."""
    shop.define(TWO)
    shop.deliver_days("orders", *DAYS)
    shop.run()
    shop.define(READER.replace("given", "lines") % ("DAYS", 'ref("lines")', "str"), name="other")
    assert shop.run("other").ok
    shop.define(ONE)
    shop.environment = "branch"
    shop.run()
    shop.environment = "prod"
    assert shop.run("other").ok
    shop.run()
    with pytest.raises(DefinitionError, match=r"ref\('lines'\): its pipeline 'shop' has it no longer"):
        shop.run("other")
    shop.define(TWO)
    shop.run()
    assert shop.run("other").ok


def test_a_static_key_that_is_taken_out_is_not_asked_for(story: Story) -> None:
    """What its pipeline's last plan said of it is of no interest any more."""
    story.upstream = """
    countries = Static(["uk", "fr"])

    @asset(partitions=countries)
    def lines(partition: Partition) -> str:
        return partition.key
    """
    story.define("lines", "same()", "str | None", 'Static(["uk", "fr"])')
    story.shop.breaks("lines", "fr")
    story.run(2)
    assert story.marks == {"fr": {"lines fr"}}
    story.upstream = story.upstream.replace(', "fr"', "")
    story.define("lines", "same()", "str | None", 'Static(["uk"])')
    assert story.shop.explain("lines", "uk")["state"] == "fresh"
    assert story.shop.run("other" if story.two else "shop").ok


def test_a_closed_input_is_final_for_its_readers(story: Story) -> None:
    """It keeps its own mark for the record, and blocks nobody."""
    story.upstream = UPSTREAM % ("", ', closes_after="5 days"')
    story.define("lines", "same(strict=True)")
    story.shop.now("2025-01-04 06:00")
    _fail(story, DAYS[1])
    story.run()
    assert story.blocked == [DAYS[1]]
    story.shop.now("2025-01-10 06:00")
    story.run()
    assert story.shop.provisional("lines") == {DAYS[1]: {f"lines {DAYS[1]}"}}
    assert story.blocked == []
    assert story.marks == {}


# -- any story

ANY_UPSTREAM = """
    orders = source("orders", files="orders/{partition}.csv", partitions=DAYS, schema={"k": int})
    rates = source("rates", files="rates/{partition}.csv", partitions=DAYS, schema={"k": int},
                   expected=Calendar("SUN-FRI"), due="1 day 12:00")

    @asset(partitions=DAYS, closes_after="5 days")
    def lines(orders: pl.DataFrame, rates: pl.DataFrame | None) -> pl.DataFrame:
        return pl.concat([orders, rates]) if rates is not None else orders
"""

ANY_READERS = """
    @asset(partitions=DAYS, inputs={"lines": LINES(trailing(days=3))})
    def window(lines: pl.DataFrame) -> str:
        return str(lines.rows())

    @asset(partitions=DAYS, inputs={"lines": LINES(same(strict=True))})
    def strictly(lines: pl.DataFrame) -> str:
        return str(lines.rows())

    @asset(partitions=DAYS, inputs={"lines": LINES(same()), "rates": RATES(last_known(days=2))})
    def both(lines: pl.DataFrame | None, rates: pl.DataFrame | None) -> str:
        return " and ".join("nothing" if each is None else str(each.rows()) for each in (lines, rates))

    @asset(partitions=Weekly(), inputs={"rates": RATES(parts())})
    def weekly(rates: pl.DataFrame) -> str:
        return str(rates.rows())
"""


def _any_readers(*, two: bool) -> str:
    text = ANY_READERS
    for name in ("lines", "rates"):
        text = text.replace(f"{name.upper()}(", f'ref("{name}", ' if two else "(")
    return text


@pytest.mark.parametrize("seed", range(2))
def test_any_story_ends_alike_in_one_pipeline_and_in_two(tmp_path: Path, shop: Shop, seed: int) -> None:
    """Deliveries, corrections, withdrawals, failures and declarations in any order: one pipeline is the oracle."""
    chance = random.Random(seed)
    one, two = shop, new_shop(tmp_path / "two")
    one.define(ANY_UPSTREAM + _any_readers(two=False))
    two.define(ANY_UPSTREAM)
    two.define(_any_readers(two=True), name="other")
    broken: list[str] = []
    there: set[tuple[str, str]] = set()
    now = datetime(2025, 1, 4, 6, tzinfo=UTC)
    for _ in range(8):
        now += timedelta(hours=chance.choice([0, 0, 6, 12, 24]))
        for _ in range(chance.randint(1, 3)):
            act = chance.choice(["deliver"] * 6 + ["garble", "withdraw", "break", "mend", "declare"])
            source, key, value = chance.choice(["orders", "rates"]), chance.choice(DAYS), chance.randint(1, 3)
            for each in (one, two):
                if act in ("deliver", "garble"):
                    each.deliver(source, key, f"k\n{value if act == 'deliver' else 'x'}\n")
                elif act == "withdraw" and (source, key) in there:
                    each.withdraw(source, key)
                elif act == "break":
                    each.breaks("lines", key)
                elif act == "mend" and broken:
                    each.mends("lines", broken[0])
                elif act == "declare":
                    each.declare_absent("rates", key)
            there |= {(source, key)} if act in ("deliver", "garble") else set()
            there -= {(source, key)} if act == "withdraw" else set()
            broken = [*broken, key] if act == "break" and key not in broken else broken
            broken = broken[1:] if act == "mend" else broken
        confirmed = frozenset(["orders", "rates"])
        for each in (one, two):
            each.as_of = now
            each.run(confirmed=confirmed)
        two.run("other")
        assert two.state() == one.state()
        assert _troubles(two) == _troubles(one)


def _troubles(shop: Shop) -> set[tuple[str, str, str]]:
    """What the last run's verdict says of the readers."""
    assert shop.verdict is not None
    upstream = ("orders", "rates", "lines")
    return {(each.asset, each.partition, each.what) for each in shop.verdict.troubles if each.asset not in upstream}
