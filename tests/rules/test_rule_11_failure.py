"""Rule 11: what fails takes nothing with it, is tried as often as it should be, and is told."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.gates import rule
from tests.scenario import Shop, news, on_both_ledgers
from tidemark.errors import Unavailable
from tidemark.ledger import plans
from tidemark.running.results import BatchReport
from tidemark.running.run import prepare, run_batch
from tidemark.survey import EVERYTHING, Selection
from tidemark.verdict import verdict

SHOP = """
    orders = source("orders", files="orders/{partition}.txt", partitions=DAYS)

    @asset(partitions=DAYS)
    def lines(orders: bytes) -> str:
        return orders.decode()

    @asset(partitions=DAYS, inputs={"lines": same(%s)})
    def loud(lines: str) -> str:
        return lines.upper()
"""

DAYS = [f"2025-01-{day:02d}" for day in range(5, 10)]


@pytest.fixture
def running(shop: Shop) -> Shop:
    """Five days that have run well."""
    shop.define(SHOP % "")
    shop.deliver_days("orders", *DAYS)
    assert shop.run().ok
    return shop


def _correct(shop: Shop, *keys: str) -> None:
    for key in keys:
        shop.deliver("orders", key, f"corrected {key}")


# -- what fails alone


def test_a_failed_partition_keeps_its_last_good_head(running: Shop) -> None:
    """Its readers use that, and know; the rest of the batch is published; then the run is red."""
    _correct(running, DAYS[0], DAYS[1], DAYS[2])
    running.breaks("lines", DAYS[1], "raise ValueError('no such product')")
    verdict = running.run()
    assert running.ran == {"lines": DAYS[:3], "loud": [DAYS[0], DAYS[2]]}
    assert running.counts("lines") == {"computed": 2, "failed": 1, "unchanged": 2, "provisional": 1}
    assert running.heads("loud")[DAYS[1]] == f"ORDERS {DAYS[1]}\n"
    assert running.heads("loud")[DAYS[2]] == f"CORRECTED {DAYS[2]}"
    mark = {DAYS[1]: {f"lines {DAYS[1]}"}}
    assert running.provisional("lines") == running.provisional("loud") == mark
    assert not verdict.ok
    [trouble] = verdict.troubles
    assert (trouble.asset, trouble.partition, trouble.what, trouble.new) == ("lines", DAYS[1], "failed", True)
    assert trouble.why.startswith("ValueError: no such product")
    assert trouble.instead.startswith("its last good result")


def test_the_verdict_is_a_table(running: Shop) -> None:
    """Which partitions failed, what stands in for them, what waits because of it, and that the rest is out."""
    running.deliver_days("orders", "2025-01-04")
    _correct(running, DAYS[0])
    running.breaks("lines")
    table = running.run().table().splitlines()
    assert table[0].split("  ")[0] == "what"
    assert [line.split()[:3] for line in table[1:3]] == [
        ["failed", "lines", "2025-01-04"],
        ["failed", "lines", DAYS[0]],
    ]
    assert "nothing: it has no result yet" in table[1]
    assert "its last good result" in table[2]
    assert table[-1] == (
        "shop: 9 unchanged, 2 failed, 1 waiting, 2 provisional; 1 partitions wait because of it; "
        "everything else was published"
    )


def test_a_failed_partition_without_a_head_counts_as_missing(running: Shop) -> None:
    """What needs it waits; what can do without is provisional."""
    running.edit("def loud(lines: str)", "def loud(lines: str | None)")
    running.edit("lines.upper()", "(lines or 'nothing').upper()")
    running.deliver_days("orders", "2025-01-04")
    running.breaks("lines", "2025-01-04")
    running.run()
    assert running.heads("loud")["2025-01-04"] == "NOTHING"
    assert running.provisional("loud") == {"2025-01-04": {"lines 2025-01-04"}}
    running.edit("def loud(lines: str | None)", "def loud(lines: str)")
    running.run()
    assert "2025-01-04" not in running.heads("loud")


def test_strict_blocks_instead(running: Shop) -> None:
    """A reader that would rather have nothing new than something of the day before keeps its own last good head."""
    running.define(SHOP % "strict=True")
    running.run()
    _correct(running, DAYS[0], DAYS[1])
    running.breaks("lines", DAYS[1])
    running.edit("lines.upper()", "lines.title()")
    verdict = running.run()
    assert running.ran["loud"] == [DAYS[0], DAYS[2], DAYS[3], DAYS[4]]
    assert running.heads("loud")[DAYS[1]] == f"ORDERS {DAYS[1]}\n"
    assert running.counts("loud") == {"computed": 4, "blocked": 1, "provisional": 1}
    assert [(each.asset, each.what) for each in verdict.troubles] == [("lines", "failed"), ("loud", "blocked")]
    assert "lines failed, and is read with strict=True" in verdict.troubles[1].why
    running.mends("lines", DAYS[1])
    assert running.run().ok
    assert running.heads("loud")[DAYS[1]] == f"Corrected {DAYS[1]}"
    assert running.provisional("loud") == {}


CLOSING = """
    orders = source("orders", files="orders/{partition}.txt", partitions=DAYS)

    @asset(partitions=DAYS)
    def lines(orders: bytes) -> str:
        return orders.decode()

    @asset(partitions=DAYS, inputs={"lines": same(strict=True)}, closes_after="7 days")
    def loud(lines: str) -> str:
        return lines.upper()
"""


def test_strict_blocks_also_where_the_last_good_head_is_what_the_reader_was_made_from(running: Shop) -> None:
    """It would rather have nothing than what stands in, whether there was something to compute or not."""
    running.define(SHOP % "strict=True")
    running.run()
    _correct(running, DAYS[1])
    running.breaks("lines", DAYS[1])
    for _ in range(3):
        verdict = running.run()
        assert [(each.asset, each.what) for each in verdict.troubles] == [("lines", "failed"), ("loud", "blocked")]
        assert running.provisional("loud") == {DAYS[1]: {f"lines {DAYS[1]}", f"loud {DAYS[1]}"}}
    assert "loud" not in running.ran


def test_strict_blocks_in_a_worker_of_its_own(running: Shop) -> None:
    """Whoever works below learns from the ledger that it failed, and was not only left for the next plan."""
    running.define(SHOP % "strict=True")
    running.run()
    _correct(running, DAYS[1])
    running.breaks("lines", DAYS[1])
    running.edit("lines.upper()", "lines.title()")
    verdict = running.run(lanes=True)
    assert running.ran["loud"] == [DAYS[0], *DAYS[2:]]
    assert [(each.asset, each.what) for each in verdict.troubles] == [("lines", "failed"), ("loud", "blocked")]


def test_strict_blocks_where_the_input_was_never_reached(running: Shop) -> None:
    """A worker that died above has failed as well."""
    running.define(SHOP % "strict=True")
    running.run()
    _correct(running, DAYS[0])
    running.edit("lines.upper()", "lines.title()")
    pipeline = running.pipelines["shop"]
    with running.deployment() as deployment:
        prepared = prepare(deployment, pipeline, as_of=running.as_of, run="broken", actor="tester")
        run_batch(deployment, pipeline, prepared.plan_id, 0, "loud", run="broken", actor="tester")
        judged = verdict(deployment, pipeline, prepared.plan_id)
    assert running.heads("loud")[DAYS[0]] == f"ORDERS {DAYS[0]}\n"
    assert [(each.asset, each.what) for each in judged.troubles] == [("lines", "failed"), ("loud", "blocked")]


def test_what_is_held_or_closed_is_not_blocked_by_a_strict_input(shop: Shop) -> None:
    """Nothing would be computed there: a failure above is no trouble of theirs."""
    shop.define(CLOSING)
    shop.deliver_days("orders", "2025-01-01", *DAYS)
    shop.run()
    shop.hold("loud", DAYS[1])
    _correct(shop, "2025-01-01", DAYS[1])
    shop.breaks("lines")
    for _ in range(3):
        verdict = shop.run()
        assert {(each.asset, each.partition) for each in verdict.troubles} == {
            ("lines", "2025-01-01"),
            ("lines", DAYS[1]),
        }
    assert shop.explain("loud", "2025-01-01")["state"] == "closed"
    assert shop.explain("loud", DAYS[1])["state"] == "held"
    assert shop.provisional("loud") == {}


def test_a_closed_partition_that_a_person_asks_for_is_blocked_by_a_strict_input(shop: Shop) -> None:
    """The person is to learn why nothing was computed."""
    shop.define(CLOSING)
    shop.deliver_days("orders", "2025-01-01", *DAYS)
    shop.run()
    _correct(shop, "2025-01-01")
    shop.breaks("lines")
    shop.run()
    verdict = shop.force("loud", "2025-01-01")
    assert ("loud", "blocked") in {(each.asset, each.what) for each in verdict.troubles}


def test_without_strict_the_last_good_head_is_used(running: Shop) -> None:
    """The same story, by default: the reader runs with what there is."""
    _correct(running, DAYS[1])
    running.breaks("lines", DAYS[1])
    running.edit("lines.upper()", "lines.title()")
    running.run()
    assert running.ran["loud"] == DAYS
    assert running.heads("loud")[DAYS[1]] == f"Orders {DAYS[1]}\n"


def test_a_failure_in_a_chain_goes_on_with_the_last_good_link(shop: Shop) -> None:
    """The next day reads what the failed day had, provisionally, and all is repaired once it runs."""
    shop.define("""
        orders = source("orders", files="orders/{partition}.txt", partitions=DAYS)

        @asset(partitions=DAYS, inputs={"total": previous()})
        def total(orders: bytes, total: str | None) -> str:
            return str(int(orders) + int(total or 0))
    """)
    for key in DAYS:
        shop.deliver("orders", key, "1")
    shop.run()
    shop.deliver("orders", DAYS[1], "10")
    shop.breaks("total", DAYS[1])
    shop.run()
    assert shop.ran == {"total": [DAYS[1]]}
    assert list(shop.heads("total").values()) == ["1", "2", "3", "4", "5"]
    assert shop.provisional("total") == {key: {f"total {DAYS[1]}"} for key in DAYS[1:]}
    shop.mends("total", DAYS[1])
    shop.run()
    assert list(shop.heads("total").values()) == ["1", "11", "12", "13", "14"]
    assert shop.provisional("total") == {}
    assert shop.state() == shop.rebuilt().state()


# -- how often


def test_an_exception_is_tried_once_more_by_the_next_plan(running: Shop) -> None:
    """It may have been bad luck: if it was, all is well, and nobody was asked."""
    _correct(running, DAYS[1])
    running.breaks("lines", DAYS[1])
    running.run()
    running.mends("lines", DAYS[1])
    assert running.run().ok
    assert running.plan is not None
    assert "failed once" in running.plan.items[0].reason
    assert "tried once more" in running.plan.items[0].reason
    assert running.ran == {"lines": [DAYS[1]], "loud": [DAYS[1]]}
    assert running.provisional("lines") == running.provisional("loud") == {}
    assert running.state() == running.rebuilt().state()


def test_a_key_that_failed_twice_is_not_tried_again(running: Shop) -> None:
    """The verdict stays red, and says so without being news; nothing runs."""
    _correct(running, DAYS[1])
    running.breaks("lines", DAYS[1], "raise ValueError('no such product')")
    for _ in range(2):
        assert news(running.run())
        assert running.ran == {"lines": [DAYS[1]]}
    for _ in range(2):
        verdict = running.run()
        assert running.ran == {}
        assert not verdict.ok
        assert not news(verdict)
        assert running.counts("lines") == {"failed": 1, "unchanged": 4, "provisional": 1}
        assert running.provisional("loud") == {DAYS[1]: {f"lines {DAYS[1]}"}}
    assert "failed 2 times: ValueError: no such product" in verdict.troubles[0].why


def test_a_person_says_retry(running: Shop) -> None:
    """And then it is tried, however often it has failed."""
    _correct(running, DAYS[1])
    running.breaks("lines", DAYS[1])
    for _ in range(3):
        running.run()
    running.mends("lines", DAYS[1])
    assert running.force("lines", DAYS[1]).ok
    assert running.ran == {"lines": [DAYS[1]], "loud": [DAYS[1]]}
    assert running.provisional("lines") == running.provisional("loud") == {}


@pytest.mark.parametrize("change", ["code", "input"])
def test_a_new_key_is_a_new_chance(running: Shop, change: str) -> None:
    """Corrected code or a corrected file is tried at once."""
    _correct(running, DAYS[1])
    running.breaks("lines", DAYS[1])
    for _ in range(3):
        running.run()
    running.mends("lines", DAYS[1])
    if change == "code":
        running.edit("return orders.decode()", "return orders.decode() + ''")
        assert running.run().ok
        assert running.ran["lines"] == DAYS
    else:
        running.deliver("orders", DAYS[1], "corrected again")
        assert running.run().ok
        assert running.ran["lines"] == [DAYS[1]]
    assert running.provisional("loud") == {}


@on_both_ledgers
def test_a_changed_suite_is_a_new_chance(shop: Shop) -> None:
    """Failures count under the suite under which they happened, as those of a gate that could not be asked."""
    shop.suite("lines", rule("expect_table_row_count_to_be_between", min_value=1))
    shop.define(SHOP % "")
    shop.deliver_days("orders", DAYS[0])
    shop.edit("orders: bytes) -> str", "orders: bytes)")  # or the definition would be refused
    shop.edit("@asset(partitions=DAYS)\ndef lines", '@asset(partitions=DAYS, gate="lines")\ndef lines')
    for _ in range(3):
        verdict = shop.run()
    assert shop.called("lines", DAYS[0]) == 2
    assert "checks tables" in verdict.troubles[0].why
    shop.suite("lines", rule("expect_table_row_count_to_be_between", min_value=2))
    for _ in range(3):
        shop.run()
    assert shop.called("lines", DAYS[0]) == 4
    shop.edit('@asset(partitions=DAYS, gate="lines")', "@asset(partitions=DAYS)")
    assert shop.run().ok
    assert shop.called("lines", DAYS[0]) == 5
    assert shop.heads("lines") == {DAYS[0]: f"orders {DAYS[0]}\n"}


@on_both_ledgers
def test_each_environment_counts_its_own_failures(shop: Shop) -> None:
    """What was tried in a branch, with other data at hand or another machine, is no attempt of prod's."""
    shop.define(SHOP % "")
    shop.deliver_days("orders", DAYS[0])
    shop.run()
    _correct(shop, DAYS[0])
    shop.breaks("lines")
    shop.environment = "branch"
    for _ in range(3):
        shop.run()
    assert shop.called("lines", DAYS[0]) == 3
    shop.mends("lines")
    shop.environment = "prod"
    assert shop.run().ok
    assert shop.heads("lines") == {DAYS[0]: f"corrected {DAYS[0]}"}


def test_going_back_to_what_worked_needs_no_retry(running: Shop) -> None:
    """A reverted file is what the head was made from: the failure is of no interest any more."""
    _correct(running, DAYS[1])
    running.breaks("lines", DAYS[1])
    for _ in range(3):
        running.run()
    running.deliver_days("orders", DAYS[1])
    assert running.run().ok
    assert running.ran == {}
    assert running.provisional("lines") == running.provisional("loud") == {}


# -- workers that die


@on_both_ledgers
def test_a_partition_that_kills_its_worker_is_given_up(shop: Shop) -> None:
    """After two dead workers it has failed, for good, and all others are done; the verdict says what happened."""
    shop.define(SHOP % "")
    shop.deliver_days("orders", *DAYS[:3])
    shop.run()
    _correct(shop, *DAYS[:3])
    shop.breaks("lines", DAYS[1], "os.kill(os.getpid(), 9)")
    for _ in range(2):
        runner = shop.start()
        assert runner.wait() == -9, runner.log.read_text()
    for _ in range(2):
        runner = shop.start()
        assert runner.wait() == 0, runner.log.read_text()
        assert "its worker died 2 times while it was computed" in runner.log.read_text()
    assert shop.called("lines", DAYS[1]) == 3  # once well, and two that died
    assert shop.heads("loud") == {
        DAYS[0]: f"CORRECTED {DAYS[0]}",
        DAYS[1]: f"ORDERS {DAYS[1]}\n",
        DAYS[2]: f"CORRECTED {DAYS[2]}",
    }
    assert shop.provisional("loud") == {DAYS[1]: {f"lines {DAYS[1]}"}}
    shop.mends("lines", DAYS[1])
    assert shop.force("lines", DAYS[1]).ok
    assert shop.provisional("loud") == {}


@on_both_ledgers
def test_workers_that_died_are_counted(shop: Shop) -> None:
    """The verdict compares the plan with the ledger: what nobody reached has failed, and says so."""
    shop.define(SHOP % "")
    shop.deliver_days("orders", *DAYS)
    shop.breaks("lines", DAYS[2], "os.kill(os.getpid(), 9)")
    runner = shop.start()
    assert runner.wait() == -9, runner.log.read_text()
    with shop.deployment() as deployment:
        with deployment.ledger.read() as connection:
            newest = plans.newest(connection, "prod", "shop")
        assert newest is not None
        judged = verdict(deployment, shop.pipelines["shop"], newest.id)
    failed = {(each.asset, each.partition): each.why for each in judged.troubles}
    assert ("lines", DAYS[2]) in failed
    assert failed["lines", DAYS[2]].startswith("was never reached")
    assert news(judged)
    assert judged.counts["loud"]["failed"] + judged.counts["loud"]["waiting"] == len(DAYS)


def test_what_was_never_reached_is_served_as_it_was_and_done_by_the_next_run(running: Shop) -> None:
    """The workers below start all the same: they use what was live, and what they make is provisional for it."""
    _correct(running, *DAYS[:2])
    running.edit("lines.upper()", "lines.title()")
    pipeline = running.pipelines["shop"]
    with running.deployment() as deployment:
        prepared = prepare(deployment, pipeline, as_of=running.as_of, run="broken", actor="tester")
        run_batch(deployment, pipeline, prepared.plan_id, 0, "loud", run="broken", actor="tester")
        judged = verdict(deployment, pipeline, prepared.plan_id)
    assert {(each.asset, each.partition) for each in judged.troubles} == {("lines", DAYS[0]), ("lines", DAYS[1])}
    assert running.heads("loud")[DAYS[0]] == f"Orders {DAYS[0]}\n"
    assert running.provisional("loud") == {key: {f"lines {key}"} for key in DAYS[:2]}
    assert running.run().ok
    assert running.heads("loud")[DAYS[0]] == f"Corrected {DAYS[0]}"
    assert running.provisional("loud") == {}
    assert running.state() == running.rebuilt().state()


# -- a batch that Airflow tries again


def _outage(shop: Shop, *, selection: Selection = EVERYTHING) -> int:
    """Plan, and let a worker of the first asset lose its store at the third day; returns the plan's number."""
    pipeline = shop.pipelines["shop"]
    store = shop.home / "store"
    shop.breaks("lines", DAYS[2], f"os.rename({str(store)!r}, {str(store) + '.away'!r}); open({str(store)!r}, 'w')")
    with shop.deployment() as deployment:
        prepared = prepare(deployment, pipeline, as_of=shop.as_of, run="broken", actor="tester", selection=selection)
        with pytest.raises(Unavailable, match="store"):
            run_batch(deployment, pipeline, prepared.plan_id, 0, "lines", run="broken", actor="tester")
    store.unlink()
    store.with_name("store.away").rename(store)
    shop.mends("lines", DAYS[2])
    shop.plan_id = prepared.plan_id
    return prepared.plan_id


def _batch(shop: Shop, asset: str) -> BatchReport:
    """Work off a batch of the last plan, as Airflow does when it tries it again."""
    with shop.deployment() as deployment:
        return run_batch(deployment, shop.pipelines["shop"], shop.plan_id, 0, asset, run="again", actor="tester")


def test_a_batch_that_is_tried_again_goes_on_where_it_was(running: Shop) -> None:
    """What failed in it waits for the next plan, what is done is done, and the whole batch is reported."""
    _correct(running, *DAYS[:4])
    running.breaks("lines", DAYS[1])
    _outage(running)
    assert running.outcomes("lines") == {DAYS[0]: "computed", DAYS[1]: "failed", DAYS[2]: None, DAYS[3]: None}
    report = _batch(running, "lines")
    assert [running.called("lines", key) for key in DAYS[:4]] == [2, 2, 3, 2]
    assert report.partitions == DAYS[:4]
    assert report.counted() == {"computed": 3, "failed": 1}
    assert running.outcomes("lines") == {
        DAYS[0]: "computed",
        DAYS[1]: "failed",
        DAYS[2]: "computed",
        DAYS[3]: "computed",
    }
    running.mends("lines", DAYS[1])
    assert running.run().ok
    assert running.ran["lines"] == [DAYS[1]]


def test_what_a_person_forced_is_computed_once_by_a_plan(running: Shop) -> None:
    """A batch that is tried again does not force again, and who reads it takes it for done."""
    _outage(running, selection=Selection(force=frozenset([("lines", None)])))
    report = _batch(running, "lines")
    assert [running.called("lines", key) for key in DAYS] == [2, 2, 3, 2, 2]
    assert report.counted() == {"computed": 5}
    _batch(running, "loud")
    assert running.provisional("lines") == running.provisional("loud") == {}


def test_what_is_forced_in_lanes_leaves_no_mark(running: Shop) -> None:
    """Once it is computed it is what it should be, for workers of other assets too."""
    running.edit("lines.upper()", "lines.title()")
    running.run(lanes=True, selection=Selection(force=frozenset([("lines", DAYS[1])])))
    assert running.ran["lines"] == [DAYS[1]]
    assert running.provisional("lines") == running.provisional("loud") == {}


def test_what_is_forced_leaves_no_mark_where_a_worker_looks_again(running: Shop) -> None:
    """Somebody changes something while the reader is computed: what was forced above is done all the same."""
    running.edit("lines.upper()", "lines.title()")
    running.pauses("loud", DAYS[0])
    with ThreadPoolExecutor(1) as pool:
        run = pool.submit(running.twin().force, "lines")
        running.wait_for("loud", DAYS[0], 2)
        running.declare_absent("orders", "2025-01-20")
        running.mends("loud", DAYS[0])
        run.result()
    assert running.provisional("lines") == running.provisional("loud") == {}


@pytest.mark.parametrize("lanes", [False, True])
def test_what_is_forced_and_fails_leaves_no_mark_on_what_is_right(running: Shop, lanes: bool) -> None:
    """What is live is still what its code and its inputs give: only that it could not be made again is told."""
    running.breaks("lines", DAYS[1])
    before = running.heads("lines")
    told = running.run(lanes=lanes, selection=Selection(force=frozenset([("lines", DAYS[1])])))
    assert [(each.asset, each.partition, each.what) for each in told.troubles] == [("lines", DAYS[1], "failed")]
    assert running.heads("lines") == before
    assert running.provisional("lines") == running.provisional("loud") == {}
    assert running.run().ok
    assert running.ran == {}


# -- what is no failure of a partition


def test_an_outage_is_nobodys_failure(running: Shop) -> None:
    """A store that cannot be written ends the run with what it has, to be tried again as it was."""
    _correct(running, DAYS[0])
    store = running.home / "store"
    running.breaks("lines", DAYS[0], f"os.rename({str(store)!r}, {str(store) + '.away'!r}); open({str(store)!r}, 'w')")
    with pytest.raises(Unavailable, match="store"):
        running.run()
    store.unlink()
    store.with_name("store.away").rename(store)
    running.mends("lines", DAYS[0])
    assert [made.status for made in running.made("lines", DAYS[0])] == ["computed"]
    assert running.provisional("lines") == {}
    assert running.run().ok
    assert running.ran == {"lines": [DAYS[0]], "loud": [DAYS[0]]}


def test_ctrl_c_is_nobodys_failure(running: Shop) -> None:
    """What is finished is published, the partition is as it was, and the next run goes on from there."""
    _correct(running, *DAYS[:2])
    running.breaks("lines", DAYS[1], "raise KeyboardInterrupt")
    with pytest.raises(KeyboardInterrupt):
        running.run()
    assert running.heads("lines")[DAYS[0]] == f"corrected {DAYS[0]}"
    running.mends("lines", DAYS[1])
    assert running.run().ok
    assert running.ran["lines"] == [DAYS[1]]
    assert [made.status for made in running.made("lines", DAYS[1])] == ["computed", "computed"]


def test_sys_exit_in_a_function_is_its_failure(running: Shop) -> None:
    """It is code like any other: it does not end the batch."""
    _correct(running, *DAYS[:2])
    running.breaks("lines", DAYS[0], "raise SystemExit('enough')")
    running.run()
    assert running.counts("lines") == {"failed": 1, "computed": 1, "unchanged": 3, "provisional": 1}


def test_a_corrected_file_does_not_pay_for_the_deaths_of_the_bad_one(shop: Shop) -> None:
    """Who died of one action key has not died of another."""
    shop.define(SHOP % "")
    shop.deliver("orders", DAYS[0], "bad")
    shop.breaks("lines", how="os.kill(os.getpid(), 9)")
    for _ in range(2):
        shop.start().wait()
    shop.mends("lines")
    shop.deliver("orders", DAYS[0], "good", age=1800)
    assert shop.run().ok
    assert shop.heads("lines").keys() == {DAYS[0]}


def test_two_runs_at_once_are_one_attempt(shop: Shop) -> None:
    """A run that waited for another to fail has had its answer; the next plan tries once more."""
    shop.define(SHOP % "")
    shop.deliver_days("orders", DAYS[0])
    shop.breaks("lines", DAYS[0], "pause(); raise RuntimeError('broken on purpose')")
    runs = [threading.Thread(target=shop.twin().run) for _ in range(2)]
    runs[0].start()
    shop.wait_for("lines", DAYS[0])
    runs[1].start()
    time.sleep(1)
    shop.mends("lines", DAYS[0])
    for each in runs:
        each.join()
    assert shop.called("lines", DAYS[0]) == 1
    shop.run()
    assert shop.heads("lines").keys() == {DAYS[0]}
