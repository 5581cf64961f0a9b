"""Claims about `tidemark plan` and `tidemark run`: what they say, their data, and their exit codes."""

import json
from datetime import date, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from tests.cli.conftest import AS_OF, DAYS, Command, csv, process
from tests.scenario import Shop
from tidemark.ledger import listings, schema

NOTHING = dict.fromkeys(
    ["computed", "restored", "unchanged", "blocked", "failed", "waiting", "provisional"],
    0,
)


def counts(**given: int) -> dict[str, int]:
    return NOTHING | given


# -- run


def test_a_run_answers_with_the_counts_of_each_asset(delivered: Shop, tidemark: Command) -> None:
    """The data is stable: just these keys, all seven counts, sources left out."""
    assert tidemark.json("run", "shop", "--as-of", AS_OF) == {
        "pipeline": "shop",
        "assets": dict.fromkeys(["lines", "totals", "label"], counts(computed=3)),
    }
    assert tidemark.json("run", "shop", "--as-of", AS_OF) == {
        "pipeline": "shop",
        "assets": dict.fromkeys(["lines", "totals", "label"], counts(unchanged=3)),
    }


def test_a_pipeline_without_models_asks_nothing_of_a_registry(
    delivered: Shop, tidemark: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is legal for MLflow, and no server, is nobody's business here."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///mlflow.db")
    for command in ("plan", "run"):
        assert tidemark(command, "shop", "--as-of", AS_OF).code == 0


def test_a_run_shows_its_counts_as_a_table_and_a_line(delivered: Shop, tidemark: Command) -> None:
    done = tidemark("run", "shop", "--as-of", AS_OF)
    assert (done.code, done.err) == (0, "")
    for name in NOTHING:
        assert name in done.out
    assert "shop: 9 computed" in done.out
    assert "what is wrong" not in done.out


def test_restored_is_what_moved_without_running(open_shop: Shop, tidemark: Command) -> None:
    open_shop.edit('pl.col("price"))', 'pl.col("price") * 2)')
    assert tidemark.json("run", "shop", "--as-of", AS_OF)["assets"]["lines"] == counts(computed=3)
    open_shop.edit('pl.col("price") * 2)', 'pl.col("price"))')
    assert tidemark.json("run", "shop", "--as-of", AS_OF)["assets"] == {
        "lines": counts(restored=3),
        "totals": counts(restored=3),
        "label": counts(restored=3),
    }


def test_what_waits_and_what_is_provisional_is_well_and_told(delivered: Shop, tidemark: Command) -> None:
    """A day's orders have not come, though they are due."""
    delivered.withdraw("orders", DAYS[1])
    done = tidemark("run", "shop", "--as-of", AS_OF)
    assert done.code == 0
    assert "lines 2025-01-06 waits: orders is absent: orders 2025-01-06 is missing" in done.out
    data = tidemark.json("run", "shop", "--as-of", AS_OF)["assets"]
    assert data["lines"] == counts(unchanged=2, waiting=1)
    assert data["totals"] == counts(unchanged=3, provisional=2)


def test_a_function_that_raises_is_exit_code_1_with_what_is_served_instead(open_shop: Shop, tidemark: Command) -> None:
    """The others are published all the same; the message names file and line."""
    open_shop.edit('return f"{lines.height} lines', 'return f"{1 / (lines.height - 3)} lines')
    open_shop.deliver("orders", DAYS[1], csv("apple,9,0.5", "pear,1,0.25", "plum,1,1"))
    done = tidemark("run", "shop", "--as-of", AS_OF)
    assert done.code == 1
    assert "ZeroDivisionError: " in done.out
    assert "(shop.py:" in done.out
    assert "its last good result " in done.out
    assert "1 failed" in done.out
    assert "all else is published" in done.out
    assert tidemark("run", "shop", "--as-of", AS_OF, "--json").data["assets"]["label"]["failed"] == 1


def test_a_rejected_delivery_is_exit_code_1_and_names_the_column(open_shop: Shop, tidemark: Command) -> None:
    open_shop.deliver("orders", DAYS[2], "item,units\napple,3\n")
    done = tidemark("run", "shop", "--as-of", AS_OF)
    assert done.code == 1
    assert "rejected" in done.out
    assert "orders/2025-01-07.csv: column 'price' is missing" in done.out
    assert "its last good delivery " in done.out


def test_a_run_that_is_not_well_says_why_beside_its_data(open_shop: Shop, tidemark: Command) -> None:
    """The data counts; on standard error is what went wrong, a line for each cause."""
    open_shop.edit('return f"{lines.height} lines', 'return f"{1 / (lines.height - 3)} lines')
    open_shop.deliver("orders", DAYS[0], "item,units\napple,3\n")
    open_shop.deliver("orders", DAYS[1], csv("apple,9,0.5", "pear,1,0.25", "plum,1,1"))
    done = tidemark("run", "shop", "--as-of", AS_OF, "--json")
    assert (done.code, done.data["assets"]["label"]["failed"]) == (1, 1)
    rejected, failed = done.err.splitlines()
    assert rejected.startswith(
        "tidemark: orders 2025-01-05: rejected: orders/2025-01-05.csv: column 'price' is missing"
    )
    assert "; served instead: its last good delivery " in rejected
    assert failed.startswith("label 2025-01-06: failed: ZeroDivisionError: ")
    assert "; served instead: its last good result " in failed


def test_many_troubles_of_one_cause_are_one_line(open_shop: Shop, tidemark: Command) -> None:
    open_shop.edit("return orders.with_columns", "raise OSError('no rates today')\n    return orders.with_columns")
    done = tidemark("run", "shop", "--as-of", AS_OF)
    assert done.code == 1
    assert done.out.count("no rates today") == 1
    assert "2025-01-05 .. 2025-01-07 (3)" in done.out


def test_a_file_that_matches_no_partition_is_told_once(delivered: Shop, tidemark: Command) -> None:
    (delivered.landing / "orders" / "readme.txt").write_text("hello")
    done = tidemark("run", "shop", "--as-of", AS_OF)
    assert done.code == 0
    assert done.err.count("readme.txt") == 1


def test_many_ignored_files_are_named_in_the_data_and_counted_in_words(delivered: Shop, tidemark: Command) -> None:
    for number in range(7):
        (delivered.landing / "orders" / f"copy{number}.csv").write_text("hello")
    done = tidemark("plan", "shop", "--as-of", AS_OF, "--json")
    why = "matches no partition of 'orders/{partition}.csv'"
    assert done.data["ignored"] == [
        {"source": "orders", "file": f"orders/copy{number}.csv", "why": why} for number in range(7)
    ]
    assert [f"copy{number}.csv" in done.err for number in range(7)] == [True] * 5 + [False] * 2
    assert done.err.endswith(" and 2 more\n")


def test_a_table_in_a_pipe_is_as_wide_as_it_must_be(open_shop: Shop) -> None:
    """Whatever width the terminal had from which it was started; a program finds each sentence on one line."""
    open_shop.edit("return orders.with_columns", f"raise OSError({'no rates ' * 40!r})\n    return orders.with_columns")
    done = process(open_shop, "run", "shop", "--as-of", AS_OF, COLUMNS="80")
    assert done.returncode == 1
    assert "no rates " * 40 in done.stdout
    assert "…" not in done.stdout


def test_a_first_run_without_deliveries_says_where_it_looked(shop: Shop, tidemark: Command) -> None:
    shop.define('orders = source("orders", files="{partition}", partitions=DAYS)\n' + LINES_ONLY)
    done = tidemark("run", "shop", "--as-of", AS_OF)
    assert done.code == 0
    assert f"nothing was delivered yet that can be computed from; looked in {shop.landing}" in done.out


LINES_ONLY = """
@asset(partitions=DAYS)
def lines(orders: str) -> str:
    return orders
"""


def test_only_what_was_asked_for_is_run(delivered: Shop, tidemark: Command) -> None:
    chosen = ("--from", DAYS[1], "--to", DAYS[1])
    assert tidemark.json("run", "shop", "--as-of", AS_OF, *chosen)["assets"]["lines"] == counts(computed=1)
    assert tidemark.json("run", "shop", "--as-of", AS_OF)["assets"]["lines"] == counts(computed=2, unchanged=1)


def test_force_computes_what_is_known_and_nothing_else(open_shop: Shop, tidemark: Command) -> None:
    assert tidemark.json("run", "shop", "--as-of", AS_OF, "--force", f"lines:{DAYS[0]}")["assets"] == {
        "lines": counts(computed=1, unchanged=2),
        "totals": counts(unchanged=3),
        "label": counts(unchanged=3),
    }
    forced = tidemark.json("run", "shop", "--as-of", AS_OF, "--force", "totals", "--force", "label")["assets"]
    assert (forced["totals"], forced["label"]) == (counts(computed=3), counts(computed=3))


def test_force_of_what_does_not_exist_is_an_error_of_usage(open_shop: Shop, tidemark: Command) -> None:
    """Neither a plan nor a run is made; a key of the grain may still be none of a partition."""
    for command in ("plan", "run"):
        done = tidemark(command, "shop", "--as-of", AS_OF, "--force", "lines:2025-02-01")
        assert (done.code, done.out) == (2, "")
        assert done.err == (
            "tidemark: lines 2025-02-01 does not exist, so that it cannot be computed: "
            "'tidemark explain lines 2025-02-01' says why; nothing was run\n"
        )


def test_force_in_vain_is_told(delivered: Shop, tidemark: Command) -> None:
    """The partition exists, but waits for its orders."""
    delivered.withdraw("orders", DAYS[1])
    done = tidemark("run", "shop", "--as-of", AS_OF, "--force", f"lines:{DAYS[1]}")
    assert done.code == 0
    assert "nothing to compute for lines 2025-01-06: 'tidemark explain lines 2025-01-06' says why" in done.err


@pytest.mark.parametrize("command", ["plan", "run"])
def test_force_of_what_is_held_is_told_with_the_reason(open_shop: Shop, tidemark: Command, command: str) -> None:
    tidemark("hold", "lines", "--why", "fair")
    for what, said in (("lines", "lines"), (f"lines:{DAYS[1]}", f"lines {DAYS[1]}")):
        done = tidemark(command, "shop", "--as-of", AS_OF, "--force", what)
        assert done.code == 0
        assert done.err == f"--force: there is nothing to compute for {said}: held: fair (ada)\n"


def test_now_is_the_clock_a_variable_or_an_option(
    delivered: Shop, tidemark: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TIDEMARK_AS_OF", "2025-01-07T06:00 UTC")
    assert tidemark.json("run", "shop")["assets"]["lines"] == counts(computed=2)
    assert tidemark.json("run", "shop", "--as-of", AS_OF)["assets"]["lines"] == counts(computed=1, unchanged=2)
    done = tidemark("run", "shop")
    assert done.code == 1
    assert "lies before 2025-01-08T06:00:00+00:00" in done.err
    assert "TIDEMARK_ENVIRONMENT" in done.err


def test_now_is_never_far_ahead(delivered: Shop, tidemark: Command) -> None:
    """A slip of the finger would bind the environment for good."""
    done = tidemark("run", "shop", "--as-of", "2205-01-08T06:00Z")
    assert done.code == 1
    assert "lies over a year ahead" in done.err
    assert tidemark("run", "shop", "--as-of", AS_OF).code == 0


@pytest.mark.parametrize("name", ["nope", "order"])
def test_to_confirm_for_what_is_no_source_is_an_error_of_usage(open_shop: Shop, tidemark: Command, name: str) -> None:
    done = tidemark("run", "shop", "--as-of", AS_OF, "--confirm-withdrawals", name)
    assert (done.code, done.out) == (2, "")
    assert f"pipeline 'shop' has no source {name!r}" in done.err


def test_a_plan_writes_down_what_it_saw(open_shop: Shop, tidemark: Command) -> None:
    """So that what it confirms is confirmed, and its help says so."""
    for day in DAYS[:2]:
        open_shop.withdraw("orders", day)
    assert tidemark("plan", "shop", "--as-of", AS_OF).code == 1
    assert tidemark("plan", "shop", "--as-of", AS_OF, "--confirm-withdrawals", "orders").code == 0
    assert tidemark("run", "shop", "--as-of", AS_OF).code == 0
    assert "What it saw in the landing zone is written down" in " ".join(tidemark("plan", "--help").out.split())


def test_many_files_gone_at_once_are_refused_until_a_person_confirms(open_shop: Shop, tidemark: Command) -> None:
    open_shop.withdraw("orders", *DAYS[:2])
    done = tidemark("run", "shop", "--as-of", AS_OF)
    assert done.code == 1
    assert "run again with --confirm-withdrawals orders" in done.err
    confirmed = tidemark("run", "shop", "--as-of", AS_OF, "--confirm-withdrawals", "orders", "--json")
    assert confirmed.code == 0
    assert confirmed.data["assets"]["lines"] == counts(unchanged=1)


# -- plan


def test_a_plan_says_what_would_run_and_why_and_runs_nothing(delivered: Shop, tidemark: Command) -> None:
    done = tidemark("plan", "shop", "--as-of", AS_OF)
    assert (done.code, done.err) == (0, "")
    assert "2025-01-05 .. 2025-01-07" in done.out
    assert "9 will run, 0 may run" in done.out
    assert delivered.heads("lines") == {}
    data = tidemark.json("plan", "shop", "--as-of", AS_OF)
    assert [(item["asset"], item["partition"], item["certainty"], item["reason"]) for item in data["items"][:4]] == [
        ("lines", DAYS[0], "will", "new"),
        ("lines", DAYS[1], "will", "new"),
        ("lines", DAYS[2], "will", "new"),
        ("totals", DAYS[0], "will", "new"),
    ]
    assert (data["pipeline"], data["environment"], data["as_of"]) == ("shop", "prod", "2025-01-08T06:00:00+00:00")


def test_a_plan_without_anything_to_do_says_so(open_shop: Shop, tidemark: Command) -> None:
    assert tidemark("plan", "shop", "--as-of", AS_OF).out == "shop: nothing to do as of 2025-01-08 06:00 UTC\n"


def test_a_plan_tells_what_may_run_and_by_what_it_is_caused(open_shop: Shop, tidemark: Command) -> None:
    open_shop.deliver("orders", DAYS[2], csv("apple,7,0.5"))
    done = tidemark("plan", "shop", "--as-of", AS_OF)
    assert "orders 2025-01-07 changed" in done.out
    assert "depends on lines" in done.out
    assert "1 will run, 2 may run" in done.out


def test_a_plan_tells_of_deliveries_that_it_rejected(delivered: Shop, tidemark: Command) -> None:
    delivered.deliver("orders", DAYS[2], "item,units\napple,3\n")
    for _ in range(2):  # a second look finds no news, but the delivery is rejected still
        done = tidemark("plan", "shop", "--as-of", AS_OF)
        assert done.out.startswith("rejected: orders 2025-01-07: orders/2025-01-07.csv: column 'price' is missing")
        [rejected] = tidemark.json("plan", "shop", "--as-of", AS_OF)["rejected"]
        assert (rejected["source"], rejected["partition"]) == ("orders", DAYS[2])
        assert rejected["why"].startswith("orders/2025-01-07.csv: column 'price' is missing")


def test_a_change_of_code_that_a_year_shares_is_one_line(shop: Shop, tidemark: Command) -> None:
    """Also where each partition has a window of its own that changed, or a file of its own that came again."""
    shop.define(YEAR)
    days = [f"{date(2024, 1, 1) + timedelta(days=number)}" for number in range(365)]
    for day in days:
        shop.deliver("orders", day, csv("apple,1,0.5"))
    assert tidemark("run", "shop", "--as-of", AS_OF).code == 0
    shop.edit("return orders.upper()", "return orders.lower()")
    done = tidemark("plan", "shop", "--as-of", AS_OF)
    [line] = [each for each in done.out.splitlines() if "code changed" in each]
    for said in ("will run", "lines", "2024-01-01 .. 2024-12-30", "365"):
        assert said in line
    assert "code of lines changed" in done.out
    assert "for 365 partitions\n└── shop.lines changed (shop.py:" in done.out
    for number, day in enumerate(days[:100]):
        shop.deliver("orders", day, csv(f"apple,{number + 2},0.5"))
    groups = tidemark.json("plan", "shop", "--as-of", AS_OF)["groups"]
    assert [(each["asset"], each["certainty"], each["reason"], each["count"]) for each in groups] == [
        ("lines", "will", "code changed, orders changed", 100),
        ("lines", "will", "code changed", 265),
        ("sizes", "may", "depends on lines", 365),
    ]


YEAR = """
    orders = source("orders", files="orders/{partition}.csv", partitions=DAYS)

    @asset(partitions=DAYS)
    def lines(orders: str) -> str:
        return orders.upper()

    @asset(partitions=DAYS)
    def sizes(lines: str) -> str:
        return str(len(lines))
"""


def test_a_group_of_one_reason_says_the_whole_of_it(open_shop: Shop, tidemark: Command) -> None:
    """Which partition changed is left out only where it differs from line to line."""
    open_shop.deliver("orders", DAYS[2], csv("apple,7,0.5"))
    assert tidemark.json("plan", "shop", "--as-of", AS_OF)["groups"][0]["reason"] == "orders 2025-01-07 changed"
    open_shop.deliver("orders", DAYS[1], csv("apple,7,0.5"))
    assert tidemark.json("plan", "shop", "--as-of", AS_OF)["groups"][0]["reason"] == "orders changed"


def test_a_plan_sums_what_it_costs_by_past_runs(open_shop: Shop, tidemark: Command) -> None:
    """Of what may run as of what will; each group its part."""
    open_shop.deliver("orders", DAYS[2], csv("apple,7,0.5"))
    data = tidemark.json("plan", "shop", "--as-of", AS_OF)
    assert (data["totals"]["will"], data["totals"]["may"]) == (1, 2)
    assert data["totals"]["seconds"] == pytest.approx(sum(item["seconds"] for item in data["items"]), abs=0.001)
    assert sum(each["seconds"] for each in data["groups"]) == pytest.approx(data["totals"]["seconds"], abs=0.001)
    past = [each.seconds or 0 for day in DAYS for each in open_shop.made("lines", day)]
    assert data["groups"][0]["seconds"] == pytest.approx(sum(past) / 3, abs=0.001)


def test_what_will_run_comes_before_what_may(open_shop: Shop, tidemark: Command) -> None:
    open_shop.deliver("orders", DAYS[2], csv("apple,7,0.5"))
    open_shop.edit('return f"{lines.height} lines', 'return f"{lines.height} Lines')
    groups = tidemark.json("plan", "shop", "--as-of", AS_OF)["groups"]
    assert [(each["certainty"], each["asset"]) for each in groups] == [
        ("will", "lines"),
        ("will", "label"),
        ("may", "totals"),
    ]


def test_a_plan_says_what_would_become_provisional_and_for_what(open_shop: Shop, tidemark: Command) -> None:
    """By a result that is computed without something, and by a mark on what is live; once it is so, no more."""
    open_shop.deliver("orders", DAYS[2], "item,units\napple,3\n")
    open_shop.withdraw("orders", DAYS[1])
    data = tidemark.json("plan", "shop", "--as-of", AS_OF)
    missing = [{"asset": "orders", "partition": day} for day in DAYS[1:]]
    assert data["provisional"] == [
        {"asset": "lines", "certainty": "now", "first": DAYS[2], "last": DAYS[2], "count": 1, "missing": missing[1:]},
        {"asset": "label", "certainty": "now", "first": DAYS[2], "last": DAYS[2], "count": 1, "missing": missing[1:]},
        {"asset": "totals", "certainty": "will", "first": DAYS[1], "last": DAYS[1], "count": 1, "missing": missing[:1]},
        {"asset": "totals", "certainty": "will", "first": DAYS[2], "last": DAYS[2], "count": 1, "missing": missing},
    ]
    done = tidemark("plan", "shop", "--as-of", AS_OF)
    assert "would become provisional" in done.out
    assert "orders 2025-01-06, orders 2025-01-07" in done.out
    assert tidemark("run", "shop", "--as-of", AS_OF).code == 1
    assert tidemark.json("plan", "shop", "--as-of", AS_OF)["provisional"] == []
    assert "would become provisional" not in tidemark("plan", "shop", "--as-of", AS_OF).out


def test_what_is_provisional_already_is_not_said_to_become_so(open_shop: Shop, tidemark: Command) -> None:
    """It is computed again for another reason, and lacks just what it lacked."""
    open_shop.withdraw("orders", DAYS[1])
    tidemark("run", "shop", "--as-of", AS_OF)
    open_shop.edit('.agg(pl.col("value").sum())', '.agg(pl.col("value").max())')
    data = tidemark.json("plan", "shop", "--as-of", AS_OF)
    assert {item["partition"] for item in data["items"]} >= set(DAYS[1:])
    assert data["provisional"] == []


def test_marks_alone_are_something_to_do(open_shop: Shop, tidemark: Command) -> None:
    open_shop.deliver("orders", DAYS[2], "item,units\napple,3\n")
    done = tidemark("plan", "shop", "--as-of", AS_OF)
    assert "nothing to do" not in done.out
    assert done.out.endswith("0 will run, 0 may run; 3 heads change without a run\n")


def test_what_is_brought_back_or_only_checked_is_not_said_to_run(open_shop: Shop, tidemark: Command) -> None:
    """It is planned, and costs nothing: its function is not called."""
    open_shop.edit('return f"{lines.height} lines', 'return f"{lines.height} Lines')
    assert tidemark("run", "shop", "--as-of", AS_OF).code == 0
    open_shop.edit('return f"{lines.height} Lines', 'return f"{lines.height} lines')
    done = tidemark("plan", "shop", "--as-of", AS_OF)
    assert "no run" in done.out
    assert "will run │" not in done.out
    assert done.out.endswith("0 will run, 0 may run, 3 need no run\n")
    data = tidemark.json("plan", "shop", "--as-of", AS_OF)
    assert (data["totals"]["will"], data["totals"]["without_run"], data["groups"][0]["runs"]) == (0, 3, False)
    assert not any(item["runs"] for item in data["items"])


def test_a_plan_names_the_results_that_it_takes_away(open_shop: Shop, tidemark: Command) -> None:
    """And why: a withdrawal that was confirmed by mistake shows before it is run."""
    open_shop.withdraw("orders", DAYS[1])
    done = tidemark("plan", "shop", "--as-of", AS_OF)
    gone = "no longer live: orders is absent: orders 2025-01-06 is missing"
    assert f"at once: lines 2025-01-06: {gone}\n" in done.out
    told = tidemark.json("plan", "shop", "--as-of", AS_OF)["at_once"]
    assert {"asset": "lines", "first": DAYS[1], "last": DAYS[1], "count": 1, "reason": gone} in told


def test_a_plan_names_what_failed_and_is_not_tried_again(open_shop: Shop, tidemark: Command) -> None:
    """Else it would say that there is nothing to do, and no more."""
    open_shop.edit("return orders.with", "1 / 0\n    return orders.with")
    for _ in range(2):
        assert tidemark("run", "shop", "--as-of", AS_OF).code == 1
    done = tidemark("plan", "shop", "--as-of", AS_OF)
    assert "not tried again: lines 2025-01-05 .. 2025-01-07 (3): failed 2 times: ZeroDivisionError" in done.out
    assert "'tidemark explain lines 2025-01-05' says what can be done\n" in done.out
    [stuck] = tidemark.json("plan", "shop", "--as-of", AS_OF)["stuck"]
    assert (stuck["asset"], stuck["count"]) == ("lines", 3)


def test_a_run_of_days_that_there_are_not_says_so(open_shop: Shop, tidemark: Command) -> None:
    """Much was delivered: it is not that nothing came."""
    done = tidemark("run", "shop", "--as-of", AS_OF, "--from", "2025-02-01")
    assert (done.code, done.out.splitlines()[-1]) == (0, "shop: no partition begins between --from and --to")


# -- verify


def bring_back_unseen(shop: Shop, asset: str, day: str) -> None:
    """Put the first version of a partition in the place of what is live, past the numbered changes."""
    with shop.deployment() as deployment, deployment.ledger.write() as connection:
        number = sa.select(schema.asset.c.id).where(schema.asset.c.name == asset).scalar_subquery()
        key = sa.select(schema.partition.c.id).where(schema.partition.c.key == day).scalar_subquery()
        head, made = schema.head_log.c, schema.materialization.c
        first = sa.select(sa.func.min(made.id)).where(made.asset_id == number, made.partition_id == key)
        changed = connection.execute(
            sa.update(schema.head_log)
            .where(head.asset_id == number, head.partition_id == key, head.to_seq.is_(None))
            .values(materialization_id=first.scalar_subquery())
        )
        assert changed.rowcount == 1


def test_verify_finds_a_head_that_nobody_said_had_changed(open_shop: Shop, tidemark: Command) -> None:
    """Such as after a restored backup; a plan otherwise looks only at what has changed since the last one."""
    open_shop.deliver("orders", DAYS[1], csv("apple,9,0.5"))
    assert tidemark("run", "shop", "--as-of", AS_OF).code == 0
    bring_back_unseen(open_shop, "lines", DAYS[1])
    assert tidemark.json("plan", "shop", "--as-of", AS_OF)["items"] == []
    found = tidemark.json("plan", "shop", "--as-of", AS_OF, "--verify")["items"]
    assert [(each["asset"], each["partition"]) for each in found if each["certainty"] == "will"] == [("lines", DAYS[1])]
    assert tidemark.json("run", "shop", "--as-of", AS_OF)["assets"]["lines"] == counts(unchanged=3)
    done = tidemark.json("run", "shop", "--as-of", AS_OF, "--verify")["assets"]
    assert done["lines"] == counts(restored=1, unchanged=2)
    assert tidemark.json("plan", "shop", "--as-of", AS_OF, "--verify")["items"] == []


def test_verify_looks_at_files_that_are_listed_as_they_were(open_shop: Shop, tidemark: Command) -> None:
    """The list of files says that this one was looked at, and its observation that it was not."""
    open_shop.deliver("orders", DAYS[1], csv("apple,9,0.5"))
    with open_shop.deployment() as deployment, deployment.ledger.write() as connection:
        files = deployment.landing.listing("orders").packed
        values = {"files": files, "digest": listings.digest_of(files)}
        assert connection.execute(sa.update(schema.listing).values(**values)).rowcount == 1
    assert tidemark.json("plan", "shop", "--as-of", AS_OF)["items"] == []
    found = tidemark.json("plan", "shop", "--as-of", AS_OF, "--verify")["items"]
    assert ("lines", DAYS[1]) in [(each["asset"], each["partition"]) for each in found]


# -- run --plan


@pytest.fixture
def kept(delivered: Shop, tidemark: Command) -> str:
    """A file with a plan of the first two days."""
    done = tidemark("plan", "shop", "--as-of", AS_OF, "--to", DAYS[1], "-o", "plan.json")
    assert "kept in plan.json: 'tidemark run shop --plan plan.json' runs just this" in done.out
    return "plan.json"


def test_a_kept_plan_is_run_as_it_was_made(kept: str, tidemark: Command, delivered: Shop) -> None:
    """At its own instant, for the partitions that were asked for."""
    assert tidemark.json("run", "shop", "--plan", kept)["assets"]["lines"] == counts(computed=2)
    assert list(delivered.heads("lines")) == DAYS[:2]


def test_a_kept_plan_is_refused_after_a_delivery_was_corrected(kept: str, tidemark: Command, delivered: Shop) -> None:
    """Though just the same partitions would run."""
    delivered.deliver("orders", DAYS[0], csv("apple,99,0.5"))
    done = tidemark("run", "shop", "--plan", kept)
    assert done.code == 1
    assert "a head of orders has changed since the plan was made: nothing was run" in done.err
    assert delivered.heads("lines") == {}


def test_a_kept_plan_is_refused_after_a_definition_was_edited(kept: str, tidemark: Command, delivered: Shop) -> None:
    delivered.edit('pl.col("price"))', 'pl.col("price") * 2)')
    done = tidemark("run", "shop", "--plan", kept)
    assert done.code == 1
    assert "a definition has changed" in done.err


def test_a_kept_plan_is_refused_after_a_hold(kept: str, tidemark: Command, delivered: Shop) -> None:
    assert tidemark("hold", "lines", "--why", "under review").code == 0
    done = tidemark("run", "shop", "--plan", kept)
    assert done.code == 1
    assert "a hold, a declaration or what is known has changed" in done.err


def test_what_a_partition_may_cost_does_not_make_a_kept_plan_stale(kept: str, tidemark: Command) -> None:
    """It is learnt from every run, also from those of other environments."""
    data = json.loads(Path(kept).read_text())
    for item in data["items"]:
        item["seconds"] += 1
    Path(kept).write_text(json.dumps(data))
    assert tidemark("run", "shop", "--plan", kept).code == 0


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "is no plan"),
        ("{}", "is no plan"),
        ("[1]", "is no plan"),
        ('{"pipeline": "shop"}', "is no plan"),
    ],
)
def test_what_is_no_plan_is_an_error_of_usage(kept: str, tidemark: Command, text: str, says: str) -> None:
    Path(kept).write_text(text)
    done = tidemark("run", "shop", "--plan", kept)
    assert done.code == 2
    assert says in done.err


@pytest.mark.parametrize("what", ["pipeline", "environment"])
def test_a_plan_of_something_else_is_an_error_of_usage(kept: str, tidemark: Command, what: str) -> None:
    data = json.loads(Path(kept).read_text())
    Path(kept).write_text(json.dumps(data | {what: "other"}))
    done = tidemark("run", "shop", "--plan", kept)
    assert done.code == 2
    assert f"is a plan of the {what} 'other'" in done.err


@pytest.mark.parametrize("options", [["--force", "lines"], ["--from", DAYS[0]], ["--to", DAYS[0]], ["--as-of", AS_OF]])
def test_a_kept_plan_takes_no_options_that_it_has_itself(kept: str, tidemark: Command, options: list[str]) -> None:
    done = tidemark("run", "shop", "--plan", kept, *options)
    assert done.code == 2
    assert "leave these out" in done.err


def test_a_plan_cannot_be_kept_in_a_folder_that_is_not_there(delivered: Shop, tidemark: Command) -> None:
    done = tidemark("plan", "shop", "--as-of", AS_OF, "-o", "nowhere/plan.json")
    assert done.code == 2
    assert "-o nowhere/plan.json: No such file or directory" in done.err


# -- other pipelines


def test_an_asset_of_another_pipeline_is_read_by_ref(open_shop: Shop, tidemark: Command) -> None:
    open_shop.define(
        """
        @asset(partitions=Weekly(), inputs={"days": ref("totals", parts(early=True))})
        def week(days: pl.DataFrame) -> str:
            return f"{days.height} rows"
        """,
        name="weekly",
    )
    assert tidemark("run", "weekly", "--as-of", "2025-01-13T06:00Z").code == 0
    assert tidemark.json("run", "weekly", "--as-of", "2025-01-13T06:00Z")["assets"] == {"week": counts(unchanged=1)}


def test_an_asset_that_nobody_has_registered_cannot_be_read_by_ref(open_shop: Shop, tidemark: Command) -> None:
    open_shop.define(
        '@asset(partitions=DAYS, inputs={"x": ref("total")})\ndef other(x: str) -> str:\n    return x\n', name="other"
    )
    done = tidemark("run", "other", "--as-of", AS_OF)
    assert done.code == 2
    assert "other.py:7: other(): ref('total'): no pipeline has registered it: did you mean 'totals'?" in done.err


def test_a_circle_across_pipelines_is_refused_with_its_path(open_shop: Shop, tidemark: Command) -> None:
    open_shop.define(
        '@asset(partitions=DAYS, inputs={"x": ref("totals")})\ndef other(x: str) -> str:\n    return x\n', name="other"
    )
    assert tidemark("run", "other", "--as-of", AS_OF).code in (0, 1)
    open_shop.edit(
        '@asset(partitions=DAYS, key=["item"])\ndef lines(',
        '@asset(partitions=DAYS, inputs={"x": ref("other")})\ndef lines(x: str, ',
    )
    done = tidemark("run", "shop", "--as-of", AS_OF)
    assert done.code == 2
    assert "lines(): lines reads other reads totals reads lines, a circle across pipelines" in done.err
