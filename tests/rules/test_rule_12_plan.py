"""Rule 12: what a plan says before anything runs, and whether it still holds when it is run."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.scenario import Shop
from tidemark.cli import main
from tidemark.errors import Refused, UsageError
from tidemark.facts import register
from tidemark.outlook import outlook_of
from tidemark.running.run import prepare, run_batch
from tidemark.survey import Certainty, Selection

SHOP = """
    orders = source("orders", files="orders/{partition}.txt", partitions=DAYS)
    rates = source("rates", files="rates/{partition}.txt", partitions=DAYS)

    @asset(partitions=DAYS)
    def lines(orders: bytes) -> str:
        return orders.decode().strip()

    @asset(partitions=DAYS, inputs={"rates": last_known(days=3)}, params={"factor": 1})
    def prices(lines: str, rates: bytes, factor: int) -> str:
        return f"{lines} at {rates.decode()} by {factor}"

    @asset(partitions=DAYS)
    def listed(prices: str) -> str:
        return prices.upper()
"""

DAYS = ["2025-01-05", "2025-01-06"]


@pytest.fixture
def running(shop: Shop) -> Shop:
    """Two days of orders and rates that have run."""
    shop.define(SHOP)
    shop.deliver_days("orders", *DAYS)
    shop.deliver_days("rates", *DAYS)
    shop.run()
    return shop


def _said(shop: Shop, **options: Any) -> dict[tuple[str, str], tuple[str, str]]:
    """Return certainty and reason of each item that a plan would have."""
    return {(each.asset, each.key): (each.certainty.value, each.reason) for each in shop.planned(**options).items}


# -- will and may


def test_what_is_new_will_run(shop: Shop) -> None:
    """Everything that can be computed, at every depth."""
    shop.define(SHOP)
    shop.deliver_days("orders", DAYS[0])
    shop.deliver_days("rates", DAYS[0])
    assert _said(shop) == {(asset, DAYS[0]): ("will", "new") for asset in ("lines", "prices", "listed")}


def test_what_depends_on_the_outcome_above_may_run(running: Shop) -> None:
    """A corrected file will run what reads it; below that it depends on whether anything comes out changed."""
    running.deliver("orders", DAYS[0], "corrected")
    assert _said(running) == {
        ("lines", DAYS[0]): ("will", f"orders {DAYS[0]} changed"),
        ("prices", DAYS[0]): ("may", "depends on lines"),
        ("listed", DAYS[0]): ("may", "depends on prices"),
    }


@pytest.mark.parametrize(
    ("before", "after", "reason"),
    [
        ("{rates.decode()} by", "{rates.decode()} times", "code changed"),
        ('"factor": 1', '"factor": 2', "parameter factor changed"),
    ],
)
def test_what_has_changed_itself_will_run_whatever_comes_out_above(
    running: Shop, before: str, after: str, reason: str
) -> None:
    """Its own code or parameters are another key for sure."""
    running.deliver("orders", DAYS[0], "corrected")
    running.edit(before, after)
    said = _said(running)
    assert said["prices", DAYS[0]] == ("will", reason)
    assert said["prices", DAYS[1]] == ("will", reason)
    assert said["listed", DAYS[0]] == ("may", "depends on prices")


def test_what_reads_a_changed_delivery_beside_will_run_whatever_comes_out_above(running: Shop) -> None:
    """One input has changed for sure: that the other may or may not makes no difference."""
    running.deliver("orders", DAYS[0], "corrected")
    running.deliver("rates", DAYS[0], "corrected")
    assert _said(running)["prices", DAYS[0]] == ("will", f"rates {DAYS[0]} changed")


def test_every_item_that_will_run_does(running: Shop) -> None:
    """And none that is not in the plan; of those that may, those that must."""
    running.deliver("orders", DAYS[0], f"orders {DAYS[0]}\n\n")
    running.deliver("orders", DAYS[1], "corrected")
    plan = running.planned()
    will = {(each.asset, each.key) for each in plan.items if each.certainty is Certainty.WILL}
    running.run()
    ran = {(asset, key) for asset, keys in running.ran.items() for key in keys}
    assert will <= ran <= {(each.asset, each.key) for each in plan.items}
    assert ran == {("lines", DAYS[0]), ("lines", DAYS[1]), ("prices", DAYS[1]), ("listed", DAYS[1])}


def test_a_plan_runs_nothing(running: Shop) -> None:
    """It only looks."""
    running.deliver("orders", DAYS[0], "corrected")
    before = {asset: running.state()[asset] for asset in ("lines", "prices", "listed")}
    running.planned()
    assert {asset: running.state()[asset] for asset in before} == before


# -- reasons


def test_reasons_name_what_arrived_changed_and_went(running: Shop) -> None:
    """In words that an operator understands."""
    running.withdraw("rates", DAYS[1])
    assert _said(running)["prices", DAYS[1]] == (
        "will",
        f"rates {DAYS[1]} is gone, {DAYS[0]} stands in",
    )


def test_a_forced_item_was_asked_for(running: Shop) -> None:
    """By a person, whatever is known."""
    said = _said(running, selection=Selection(force=frozenset([("lines", DAYS[0])])))
    assert said["lines", DAYS[0]] == ("will", "asked for")


def test_a_known_result_says_so(running: Shop) -> None:
    """What comes back without running."""
    running.edit("prices.upper()", "prices.title()")
    running.run()
    running.edit("prices.title()", "prices.upper()")
    assert _said(running)["listed", DAYS[0]] == ("will", "code changed, result known")


def test_the_reason_stays_with_what_was_made(running: Shop) -> None:
    """History tells why each head came to be."""
    running.deliver("orders", DAYS[0], "corrected")
    running.run()
    assert [entry["reason"] for entry in running.history("lines", DAYS[0])] == [
        "computed: new",
        f"computed: orders {DAYS[0]} changed",
    ]


# -- cost


def test_a_plan_tells_what_it_will_cost_from_what_it_did_cost(running: Shop) -> None:
    """The mean of past runs, in seconds; what is only brought back costs nothing."""
    running.breaks("lines", how="time.sleep(0.2)")
    running.edit("strip()", "rstrip()")
    running.run()
    running.mends("lines")
    running.edit("rstrip()", "strip()")
    back = {each.seconds for each in running.planned().items if each.asset == "lines"}
    assert back == {0.0}
    running.edit(".strip()", ".lstrip()")
    again = {each.seconds for each in running.planned().items if each.asset == "lines"}
    assert 0.1 <= min(again) <= max(again) < 1


# -- a selection


def test_only_what_was_asked_for_runs(running: Shop) -> None:
    """``--from`` and ``--to``: the others stay, and what reads them knows."""
    running.edit("lines} at", "lines} for")
    day = datetime(2025, 1, 6, tzinfo=UTC)
    running.run(selection=Selection(day, day))
    assert running.ran == {"prices": [DAYS[1]], "listed": [DAYS[1]]}
    assert running.counts("prices") == {"computed": 1}
    running.run()
    assert running.ran == {"prices": [DAYS[0]], "listed": [DAYS[0]]}
    assert running.state() == running.rebuilt().state()


# -- as-of


def test_as_of_never_goes_back(running: Shop) -> None:
    """Within an environment; another one may replay history."""
    running.now("2025-01-09 06:00")
    with pytest.raises(Refused, match=r"as-of 2025-01-09T06:00:00\+00:00 lies before 2025-01-10T06:00:00"):
        running.run()
    running.environment = "replay"
    running.now("2025-01-06 06:00")
    running.run()
    assert running.ran == {}
    assert running.heads("lines").keys() == {DAYS[0]}
    running.environment = "prod"
    assert running.heads("lines").keys() == {*DAYS}


# -- run --plan


class Command:
    """The tidemark command on a shop, as at different times of a day."""

    def __init__(self, shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
        self.shop = shop
        self.file = shop.home / "plan.json"
        for name, value in {**shop.environ, "TIDEMARK_AS_OF": shop.as_of.isoformat()}.items():
            monkeypatch.setenv(name, value)

    def __call__(self, *arguments: str) -> int:
        self.shop.forget_modules()
        return main(arguments)

    def plan(self, *arguments: str) -> None:
        assert self("plan", "shop", "-o", str(self.file), *arguments) == 0

    def run(self, *arguments: str) -> int:
        return self("run", "shop", "--plan", str(self.file), *arguments)


@pytest.fixture
def command(running: Shop, monkeypatch: pytest.MonkeyPatch) -> Command:
    """With a corrected file that has not run yet."""
    running.deliver("orders", DAYS[0], "corrected")
    return Command(running, monkeypatch)


def test_a_kept_plan_runs_as_it_is(command: Command) -> None:
    """What was looked at is what is done."""
    command.plan()
    assert {item["asset"] for item in json.loads(command.file.read_text())["items"]} == {"lines", "prices", "listed"}
    assert command.run() == 0
    assert command.shop.heads("lines")[DAYS[0]] == "corrected"


def _corrected_again(shop: Shop) -> None:
    shop.deliver("orders", DAYS[0], "corrected again")


def _another_corrected(shop: Shop) -> None:
    shop.deliver("orders", DAYS[1], "corrected")


def _run_meanwhile(shop: Shop) -> None:
    shop.run()


def _held(shop: Shop) -> None:
    shop.hold("lines")


def _edited(shop: Shop) -> None:
    shop.edit("prices.upper()", "prices.title()")


def _closing(shop: Shop) -> None:
    shop.edit("@asset(partitions=DAYS)\ndef listed", '@asset(partitions=DAYS, closes_after="300 days")\ndef listed')


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (_corrected_again, "a head"),
        (_another_corrected, "a head"),
        (_run_meanwhile, "a head"),
        (_held, "a hold"),
        (_edited, "a definition"),
        (_closing, "a definition"),
    ],
)
def test_a_kept_plan_is_refused_after_a_change(
    command: Command, change: Any, what: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A head or a definition that it has read is not what it was: nothing runs."""
    command.plan()
    change(command.shop)
    before = {asset: command.shop.state()[asset] for asset in ("lines", "prices", "listed")}
    capsys.readouterr()
    assert command.run() == 1
    said = capsys.readouterr().err
    assert what in said
    assert "has changed since the plan was made: nothing was run" in said
    assert {asset: command.shop.state()[asset] for asset in before} == before


def test_a_kept_plan_keeps_what_was_asked_for(command: Command, capsys: pytest.CaptureFixture[str]) -> None:
    """``--from`` and ``--force`` are part of the plan: they need not be said again."""
    command.plan("--force", f"listed:{DAYS[1]}", "--from", DAYS[1])
    capsys.readouterr()
    assert command.run("--json") == 0
    counts = json.loads(capsys.readouterr().out)["assets"]
    assert counts["listed"]["computed"] == 1
    assert counts["lines"] == dict.fromkeys(counts["lines"], 0) | {"unchanged": 1}
    assert command.shop.heads("lines")[DAYS[0]] == f"orders {DAYS[0]}"


def test_what_is_no_plan_is_refused(command: Command, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With the mend."""
    command.file.write_text("{}")
    assert command.run() == 2
    assert "give a file that 'tidemark plan -o FILE' wrote" in capsys.readouterr().err


def test_batches_check_each_key_again(running: Shop) -> None:
    """A worker refuses nothing: it looks at each key as it starts, and leaves what is done."""
    running.deliver("orders", DAYS[0], "corrected")
    pipeline = running.pipelines["shop"]
    with running.deployment() as deployment:
        prepared = prepare(deployment, pipeline, as_of=running.as_of, run="first", actor="tester")
        running.run()
        report = run_batch(deployment, pipeline, prepared.plan_id, 0, "lines", run="first", actor="tester")
    assert report.counted() == {"unchanged": 1}
    assert running.called("lines", DAYS[0]) == 2


def test_a_window_of_which_one_member_is_gone_for_sure_will_run(shop: Shop) -> None:
    """That another one is still to be computed makes no difference; where nothing else has changed, it does."""
    days = [f"2025-01-{day:02d}" for day in range(5, 10)]
    shop.define("""
        orders = source("orders", files="orders/{partition}.csv", partitions=DAYS)

        @asset(partitions=DAYS)
        def lines(orders: pl.DataFrame) -> pl.DataFrame:
            return orders.select("k")

        @asset(partitions=DAYS, inputs={"lines": trailing(days=2)})
        def sums(lines: pl.DataFrame) -> str:
            return str(lines.height)
    """)
    for key in days:
        shop.deliver("orders", key, "k,other\n1,2\n")
    shop.run()
    shop.withdraw("orders", days[0])
    shop.deliver("orders", days[1], "k,other\n1,3\n")
    said = _said(shop)
    assert said["sums", days[1]] == ("will", f"lines {days[0]} is gone")
    assert said["sums", days[2]] == ("may", "depends on lines")
    shop.run()
    assert shop.ran == {"lines": [days[1]], "sums": [days[1]]}


def test_a_cost_that_nobody_knows_is_called_a_guess(shop: Shop) -> None:
    """Until the asset has run for the first time."""
    shop.define(SHOP)
    shop.deliver_days("orders", *DAYS)
    shop.deliver_days("rates", *DAYS)
    assert all(item.guessed for item in shop.planned().items)
    shop.run()
    shop.deliver("orders", DAYS[0], "corrected")
    items = shop.planned().items
    assert items
    assert not any(item.guessed for item in items)


def test_a_mark_that_only_shrinks_is_told(shop: Shop) -> None:
    """It is neither final nor newly provisional."""
    shop.define("""
        orders = source("orders", files="orders/{partition}.csv", partitions=DAYS, expected=Calendar())

        @asset(partitions=DAYS, inputs={"orders": trailing(days=3)})
        def window(orders: pl.DataFrame) -> str:
            return "all the same"
    """)
    for key in (DAYS[0], "2025-01-08"):
        shop.deliver("orders", key, "k\n1\n")
    shop.run()
    assert shop.provisional("window")["2025-01-08"] == {"orders 2025-01-06", "orders 2025-01-07"}
    shop.edit("Calendar()", 'Calendar(closed=["01-06"])')
    made, pipeline = shop.planned(), shop.pipelines["shop"]
    with shop.deployment() as deployment:
        told = outlook_of(deployment, pipeline, register(deployment, pipeline), made).at_once
    shrunk = ("2025-01-07", "2025-01-08")
    assert ("window", "lacks less now", shrunk) in {(each.asset, each.reason, each.keys) for each in told}


def test_what_is_forced_outside_of_what_was_asked_for_is_left_alone(shop: Shop) -> None:
    """Nothing runs there, and nothing is marked: it is in order. Who names just that partition is told so."""
    shop.define("""
        orders = source("orders", files="orders/{partition}.txt", partitions=DAYS)

        @asset(partitions=DAYS)
        def lines(orders: bytes) -> str:
            return orders.decode()
    """)
    shop.deliver_days("orders", "2025-01-05", "2025-01-07")
    shop.run()
    before = shop.state()
    late = datetime(2025, 1, 7, tzinfo=UTC)
    shop.run(selection=Selection(first=late, force=frozenset([("lines", None)])))
    assert shop.ran == {"lines": ["2025-01-07"]}
    assert shop.state() == before
    with pytest.raises(UsageError, match="lines 2025-01-05 does not begin between --from and --to"):
        shop.run(selection=Selection(first=late, force=frozenset([("lines", "2025-01-05")])))
