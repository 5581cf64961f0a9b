"""Claims about the commands that look: read, explain, history, sql, status, config."""

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from tests.cli.conftest import AS_OF, DAYS, ORDERS, Command, csv
from tests.gates import rule
from tests.scenario import Shop

LINES = [
    {"item": "apple", "units": 1, "price": 0.5, "value": 0.5},
    {"item": "pear", "units": 1, "price": 0.25, "value": 0.25},
]


# -- read


def test_a_partition_is_printed_as_csv(look: Command) -> None:
    assert look("read", "lines", DAYS[0]).out == "item,units,price,value\napple,1,0.5,0.5\npear,1,0.25,0.25\n"


def test_a_partition_is_printed_as_json(look: Command) -> None:
    assert look.json("read", "lines", DAYS[0]) == LINES
    assert json.loads(look("read", "lines", DAYS[0], "--format", "json").out) == LINES


def test_without_a_partition_all_of_them_come_in_the_order_of_time(look: Command) -> None:
    rows = look.json("read", "lines")
    assert [row["partition"] for row in rows] == [day for day in DAYS for _ in range(2)]


@pytest.mark.parametrize(
    ("file", "options", "form"),
    [
        ("lines.csv", [], "csv"),
        ("lines.parquet", [], "parquet"),
        ("lines.json", [], "json"),
        ("lines.PARQUET", [], "parquet"),
        ("lines", [], "csv"),
        ("lines.txt", ["--format", "parquet"], "parquet"),
        ("lines.csv", ["--format", "json"], "json"),
    ],
)
def test_a_file_is_of_the_format_that_its_name_says(
    look: Command, tmp_path: Path, file: str, options: list[str], form: str
) -> None:
    place = tmp_path / file
    done = look("read", "lines", DAYS[0], "-o", str(place), *options)
    assert done.out == f"wrote 2 rows to {place} ({form})\n"
    readers: dict[str, Any] = {"csv": pl.read_csv, "parquet": pl.read_parquet, "json": pl.read_json}
    assert readers[form](place).to_dicts() == LINES


@pytest.mark.parametrize("file", ["lines.foo", "lines.csv.gz", "lines.xlsx"])
def test_a_name_that_says_no_format_is_an_error_of_usage(look: Command, tmp_path: Path, file: str) -> None:
    done = look("read", "lines", DAYS[0], "-o", str(tmp_path / file))
    assert (done.code, done.out) == (2, "")
    assert "is no format: end the name with .csv, .parquet, .json, or say --format" in done.err
    assert not (tmp_path / file).exists()


def test_what_is_written_to_a_file_is_told_as_data_and_not_printed_too(look: Command, tmp_path: Path) -> None:
    place = str(tmp_path / "lines.parquet")
    assert look.json("read", "lines", DAYS[0], "-o", place) == {"file": place, "format": "parquet", "rows": 2}


def test_parquet_goes_into_a_pipe_but_not_onto_a_terminal(look: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    done = look("read", "lines", DAYS[0], "--format", "parquet")
    assert (done.code, done.out) == (2, "")
    assert "name a file, -o FILE" in done.err


def test_text_is_printed_as_it_is(look: Command, tmp_path: Path) -> None:
    assert look("read", "label", DAYS[0]).out == "2 lines, naïve"
    assert look.json("read", "label", DAYS[0]) == "2 lines, naïve"
    done = look("read", "label", DAYS[0], "-o", str(tmp_path / "label.txt"))
    assert done.out == f"wrote {tmp_path / 'label.txt'}\n"
    assert (tmp_path / "label.txt").read_text() == "2 lines, naïve"


def test_text_is_read_one_partition_at_a_time(look: Command) -> None:
    done = look("read", "label")
    assert done.code == 2
    assert "label holds text, no tables: name one partition" in done.err


def test_a_source_is_read_as_its_schema_says(look: Command) -> None:
    assert look.json("read", "orders", DAYS[0])[0] == {"item": "apple", "units": 1, "price": 0.5}


def test_a_file_that_cannot_be_written_is_told(look: Command, tmp_path: Path) -> None:
    for place, problem in (
        (tmp_path / "nowhere" / "x.csv", "No such file or directory"),
        (tmp_path, "Is a directory"),
    ):
        done = look("read", "lines", DAYS[0], "-o", str(place))
        assert done.code == 2
        assert problem in done.err


ODD = """
    @asset()
    def odd() -> pl.DataFrame:
        from datetime import date, datetime, timedelta
        from decimal import Decimal
        return pl.DataFrame({
            "ratio": [1.5, float("nan"), float("inf")],
            "day": [date(2025, 1, 5)] * 3,
            "moment": [datetime(2025, 1, 5, 6)] * 3,
            "money": [Decimal("1.50")] * 3,
            "blob": [b"\\xff"] * 3,
            "parts": [[1, 2], [], None],
        })
"""


def test_data_is_json_that_any_program_reads(shop: Shop, tidemark: Command) -> None:
    """No NaN, no Infinity; dates in ISO form; exact numbers as text."""
    shop.define(ODD)
    assert tidemark("run", "shop", "--as-of", AS_OF).code == 0

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    for words in (["read", "odd", "all"], ["sql", "SELECT * EXCLUDE (partition) FROM odd ORDER BY ratio"]):
        text = tidemark(*words, "--json").out
        rows = json.loads(text, parse_constant=refuse)
        assert sorted(row["ratio"] or 0 for row in rows) == [0, 0, 1.5]
        assert {row["day"] for row in rows} == {"2025-01-05"}
        assert {row["moment"] for row in rows} == {"2025-01-05T06:00:00"}
        assert {row["money"] for row in rows} == {"1.50"}
        assert {row["blob"] for row in rows} == {"ff"}
        assert [1, 2] in [row["parts"] for row in rows]
    done = tidemark("read", "odd", "all")
    assert done.code == 2
    assert "use --format json or parquet" in done.err


# -- explain


def test_explain_says_what_is_live_and_what_it_was_made_from(look: Command) -> None:
    done = look("explain", "totals", DAYS[1])
    assert done.out.startswith("totals 2025-01-06: up to date\n")
    for said in (
        "code, parameters and the content of all inputs are those that it was computed from",
        "2 rows, made ",
        "by ada in cli ",
        "reads lines by trailing(days=2)",
        "2025-01-05: ",
    ):
        assert said in done.out
    data = look.json("explain", "totals", DAYS[1])
    assert (data["state"], data["as_of"], data["held"]) == ("fresh", "2025-01-08T06:00:00+00:00", None)
    assert [each["partition"] for each in data["inputs"][0]["members"]] == DAYS[:2]


@pytest.mark.parametrize(
    ("asset", "key", "state", "why"),
    [
        ("orders", DAYS[0], "delivered", ""),
        ("orders", "2025-01-04", "does not exist", "neither delivered nor expected"),
        ("orders", "2025-01-08", "not yet due", "due 2025-01-09 02:00 UTC"),
        ("lines", "2025-01-04", "does not exist", "what it reads begins 2025-01-05 00:00 UTC, later than its period"),
        ("lines", "2025-01-08", "does not exist", "its period ends 2025-01-09 00:00 UTC, after 2025-01-08 06:00 UTC"),
    ],
)
def test_explain_says_what_there_is_not(look: Command, asset: str, key: str, state: str, why: str) -> None:
    data = look.json("explain", asset, key)
    assert (data["state"], data["why"], data["live"] is None) == (state, why, state != "delivered")


@pytest.mark.parametrize(("key", "says"), [(DAYS[0], "delivered"), ("2025-01-04", "would be delivered")])
def test_explain_says_of_a_file_that_is_not_there_how_it_would_come(look: Command, key: str, says: str) -> None:
    assert f" {says} as orders/{key}.csv" in look("explain", "orders", key).out


def test_explain_says_what_stands_in_for_what(open_shop: Shop, tidemark: Command) -> None:
    """A last good delivery was read; what came to nothing was not; and further up it is the inputs that lack it."""
    open_shop.deliver("orders", DAYS[2], "item,units\napple,3\n")
    open_shop.withdraw("orders", DAYS[1])
    tidemark("run", "shop", "--as-of", AS_OF)
    good = tidemark("explain", "lines", DAYS[2]).out
    assert "provisional: the newest of orders 2025-01-07 is no good: its last good version stands in" in good
    assert "made without" not in good
    assert "provisional: what it reads is provisional for orders 2025-01-06, orders 2025-01-07" in (
        tidemark("explain", "totals", DAYS[2]).out
    )


def test_explain_hangs_each_cause_below_what_it_is_of(shop: Shop, tidemark: Command) -> None:
    """An asset that is also read for its own day lacks another day only by way of its own past."""
    shop.define(
        """
        orders = source("orders", files="orders/{partition}", partitions=DAYS, expected=Calendar())
        rates = source("rates", files="rates/{partition}", partitions=DAYS, expected=Calendar())

        @asset(partitions=DAYS, inputs={"rates": last_known(days=3)})
        def priced(orders: str, rates: str) -> str:
            return orders + rates

        @asset(partitions=DAYS, inputs={"running": previous()})
        def running(priced: str, running: str | None) -> str:
            return priced + (running or "")
        """
    )
    shop.deliver_days("orders", *DAYS)
    shop.deliver_days("rates", DAYS[0], DAYS[2])
    tidemark("run", "shop", "--as-of", AS_OF)
    shop.edit("return orders + rates", "1 / 0")
    shop.deliver("orders", DAYS[1], "corrected")
    tidemark("run", "shop", "--as-of", AS_OF)
    priced = tidemark.json("explain", "priced", DAYS[1])
    assert priced["made_without"] == [f"rates {DAYS[1]}"]
    running = tidemark.json("explain", "running", DAYS[2])
    assert f"priced {DAYS[1]}" in running["provisional_for"]
    assert running["made_without"] == []
    said = tidemark("explain", "priced", DAYS[1]).out.splitlines()
    (line,) = (number for number, text in enumerate(said) if "provisional: made without" in text)
    assert f"rates {DAYS[1]}: missing" in said[line + 1]
    assert f"rates {DAYS[0]} stands in for rates {DAYS[1]}" in "".join(said[line:])


def test_explain_says_how_what_a_gate_stopped_comes_to_run_again(shop: Shop, tidemark: Command) -> None:
    shop.suite("lines", rule("expect_column_values_to_be_in_set", column="v", value_set=[1]))
    shop.define(
        """
        orders = source("orders", files="orders/{partition}.csv", partitions=DAYS)

        @asset(partitions=DAYS, gate="lines")
        def lines(orders: pl.DataFrame) -> pl.DataFrame:
            return orders
        """
    )
    shop.deliver("orders", DAYS[0], "v\n2\n")
    tidemark("run", "shop", "--as-of", AS_OF)
    assert tidemark.json("explain", "lines", DAYS[0])["why"].endswith(
        "; it runs again once its code, what it reads or the gate 'lines' is corrected"
    )
    shop.suite("lines", rule("expect_column_values_to_be_in_set", column="v", value_set=[2]))
    tidemark("run", "shop", "--as-of", AS_OF)
    shop.suite("lines", rule("expect_column_values_to_be_in_set", column="v", value_set=[3]))
    tidemark("run", "shop", "--as-of", AS_OF)
    assert tidemark.json("explain", "lines", DAYS[0])["why"].endswith(
        "; the gate 'lines' as it is now would stop it, and takes nothing away"
    )


def test_explain_says_that_what_it_reads_has_failed(delivered: Shop, tidemark: Command) -> None:
    delivered.edit("return orders.with", "1 / 0\n    return orders.with")
    tidemark("run", "shop", "--as-of", AS_OF)
    tidemark("run", "shop", "--as-of", AS_OF)
    assert "lines cannot be read: lines 2025-01-05 failed or was rejected" in tidemark("explain", "label", DAYS[0]).out


def test_explain_says_of_a_last_good_result_that_it_is_one(open_shop: Shop, tidemark: Command) -> None:
    """The failure is its own, and none of what it reads."""
    open_shop.edit("return orders.with", "1 / 0\n    return orders.with")
    tidemark("run", "shop", "--as-of", AS_OF)
    done = tidemark("explain", "lines", DAYS[0])
    assert "provisional: its newest computation came to nothing, and this is its last good result" in done.out
    assert "what it reads is provisional" not in done.out
    assert "made without" not in done.out


def test_explain_shows_the_causes_below_the_reason(open_shop: Shop, tidemark: Command) -> None:
    """What would run, and what made it what it is; a long window as a span."""
    open_shop.edit('pl.col("price"))', 'pl.col("price") * 2)')
    shown = tidemark("explain", "lines", DAYS[0]).out
    assert "├── would run: code changed\n│   └── code of lines changed: " in shown
    assert "\n│       └── shop.lines changed (shop.py:" in shown
    assert "│   └── live since " in shown
    assert "\n│       └── computed for the first time, " in shown


def test_explain_shows_a_long_window_as_a_span(shop: Shop, tidemark: Command) -> None:
    shop.define(ORDERS.replace("trailing(days=2)", "trailing(days=28)"))
    for day in range(1, 9):
        shop.deliver("orders", f"2025-01-0{day}", csv("apple,1,0.5"))
    tidemark("run", "shop", "--as-of", "2025-01-09T06:00Z")
    assert "    └── 2025-01-01 .. 2025-01-08 (8)\n" in tidemark("explain", "totals", "2025-01-08").out
    assert len(tidemark.json("explain", "totals", "2025-01-08")["inputs"][0]["members"]) == 8


def test_explain_tells_a_hold_once(open_shop: Shop, tidemark: Command) -> None:
    tidemark("hold", "lines", "--why", "fair")
    open_shop.deliver("orders", DAYS[2], csv("apple,7,0.5"))
    tidemark("run", "shop", "--as-of", AS_OF)
    for day in DAYS:
        assert tidemark("explain", "lines", day).out.count("held: fair (ada)") == 1


def test_explain_tells_of_a_rejected_delivery_and_its_file(open_shop: Shop, tidemark: Command) -> None:
    open_shop.deliver("orders", DAYS[2], "item,units\napple,3\n")
    tidemark("run", "shop", "--as-of", AS_OF)
    done = tidemark("explain", "orders", DAYS[2])
    assert done.out.startswith("orders 2025-01-07: rejected: the last good delivery stays live\n")
    assert done.out.count("column 'price' is missing") == 1
    assert "delivered as orders/2025-01-07.csv" in done.out
    assert tidemark.json("explain", "orders", DAYS[2])["file"] == "orders/2025-01-07.csv"


def test_explain_tells_what_would_run_and_what_failed(open_shop: Shop, tidemark: Command) -> None:
    open_shop.edit("return orders.with_columns", "raise OSError('no rates today')\n    return orders.with_columns")
    assert "would run: code changed" in tidemark("explain", "lines", DAYS[0]).out
    for _ in range(2):
        tidemark("run", "shop", "--as-of", AS_OF)
    done = tidemark("explain", "lines", DAYS[0])
    assert done.out.startswith("lines 2025-01-05: failed\n")
    assert "failed 2 times: OSError: no rates today (shop.py:" in done.out
    assert "'tidemark run shop --force lines:2025-01-05' tries it now" in done.out


def test_explain_says_of_what_was_left_out_that_nobody_has_computed_it_yet(open_shop: Shop, tidemark: Command) -> None:
    """It has not failed: it was not asked for."""
    open_shop.edit('pl.col("price"))', 'pl.col("price") * 2)')
    tidemark("run", "shop", "--as-of", AS_OF, "--from", DAYS[2])
    said = tidemark("explain", "lines", DAYS[0]).out
    assert "provisional: it was not computed anew yet, and this is its last good result" in said


@pytest.mark.slow
def test_explain_shows_the_rows_that_a_gate_stopped(shop: Shop, tidemark: Command) -> None:
    """Of a delivery and of a candidate, with personal data masked."""
    shop.suite("orders", rule("expect_column_values_to_be_between", column="units", min_value=0))
    shop.suite("lines", rule("expect_column_values_to_be_between", column="value", max_value=100))
    shop.define(
        ORDERS.replace('source("orders",', 'source("orders", gate="orders", pii=["item"],').replace(
            '@asset(partitions=DAYS, key=["item"])\n    def lines',
            '@asset(partitions=DAYS, key=["item"], gate="lines")\n    def lines',
        )
    )
    shop.deliver("orders", DAYS[0], csv("apple,-1,0.5"))
    shop.deliver("orders", DAYS[1], csv("pear,1000,0.5"))
    assert tidemark("run", "shop", "--as-of", "2025-01-07T06:00Z").code == 1
    rejected = tidemark("explain", "orders", DAYS[0]).out
    assert "did not pass the gate 'orders'" in rejected
    assert "quarantined candidate" in rejected
    assert "units=-1" in rejected
    assert "apple" not in rejected
    blocked = tidemark("explain", "lines", DAYS[1]).out
    assert blocked.startswith("lines 2025-01-06: blocked\n")
    assert "value=500.0" in blocked
    assert "critical" in blocked
    assert "gate: orders passed (1 expectations)" in tidemark("explain", "orders", DAYS[1]).out


# -- history


def test_history_lists_every_head_with_the_reason(open_shop: Shop, tidemark: Command) -> None:
    open_shop.deliver("orders", DAYS[2], csv("apple,7,0.5"))
    tidemark("run", "shop", "--as-of", AS_OF)
    entries = tidemark.json("history", "lines", DAYS[2])
    assert [(each["reason"], each["live"], each["by"]) for each in entries] == [
        ("computed: new", False, "ada"),
        ("computed: orders 2025-01-07 changed", True, "ada"),
    ]
    shown = tidemark("history", "lines", DAYS[2]).out
    for each in entries:
        assert each["version"][:12] in shown
        assert each["at"][11:19] in shown


def test_what_never_was_live_has_no_history(look: Command) -> None:
    assert look("history", "lines", "2025-02-01").out == "lines 2025-02-01 never had a head\n"
    assert look.json("history", "lines", "2025-02-01") == []


# -- sql


def test_sql_sees_one_view_an_asset_with_the_partition_as_a_column(look: Command) -> None:
    query = "SELECT partition, sum(value) AS value FROM lines GROUP BY 1 ORDER BY 1"
    assert look.json("sql", query) == [
        {"partition": DAYS[0], "value": 0.75},
        {"partition": DAYS[1], "value": 1.25},
        {"partition": DAYS[2], "value": 1.75},
    ]
    assert "2025-01-06" in look("sql", query).out


@pytest.mark.parametrize(
    "query",
    [
        "SELECT count(*) AS n FROM LINES",
        "WITH x AS (FROM lines) SELECT count(*) AS n FROM x;",
        "SELECT count(*) AS n FROM totals JOIN orders USING (item, partition)",
        "SELECT count(*) AS n FROM orders",
    ],
)
def test_sql_finds_assets_and_sources_however_they_are_written(look: Command, query: str) -> None:
    assert look.json("sql", query) == [{"n": 6}]


def test_sql_describes_an_asset(look: Command) -> None:
    names = [row["column_name"] for row in look.json("sql", "DESCRIBE lines")]
    assert names == ["partition", "item", "units", "price", "value"]


@pytest.mark.parametrize(
    "query",
    [
        "PIVOT lines ON item USING sum(units) GROUP BY partition ORDER BY partition",
        "EXPLAIN SELECT * FROM lines",
        "EXPLAIN ANALYZE SELECT * FROM lines",
        "SUMMARIZE lines",
        "SHOW TABLES",
    ],
)
def test_sql_takes_every_kind_of_query(look: Command, query: str) -> None:
    done = look("sql", query)
    assert (done.code, done.err) == (0, "")


def test_sql_sees_partitions_that_gained_a_column_as_one_table(open_shop: Shop, tidemark: Command) -> None:
    """The others hold nothing in it; and a whole number is a number."""
    open_shop.edit('value=pl.col("units") * pl.col("price")', 'value=pl.col("units"), more=pl.lit(1)')
    assert tidemark("run", "shop", "--as-of", AS_OF, "--from", DAYS[2]).code == 0
    rows = tidemark.json("sql", "SELECT partition, value, more FROM lines WHERE item = 'apple' ORDER BY partition")
    assert [(row["partition"], row["value"], row["more"]) for row in rows] == [
        (DAYS[0], 0.5, None),
        (DAYS[1], 1.0, None),
        (DAYS[2], 3.0, 1),
    ]


def everything(folder: Path) -> dict[str, bytes]:
    """All files below a folder; the ledger's change as it is looked at."""
    return {
        str(file): file.read_bytes() for file in folder.rglob("*") if file.is_file() and not file.name.startswith("l")
    }


@pytest.mark.parametrize(
    "query",
    [
        "COPY (SELECT 1) TO '{place}'",
        "COPY (PIVOT lines ON item USING sum(units)) TO '{place}'",
        "EXPLAIN ANALYZE COPY (SELECT 1) TO '{place}'",
        "EXPLAIN ANALYZE COPY (SELECT 1) TO '{blob}'",
        "WITH x AS (COPY lines TO '{place}') SELECT * FROM x",
        "WITH x AS (COPY (SELECT 1) TO '{blob}') SELECT * FROM lines",
        "SELECT * FROM query('WITH x AS (COPY (SELECT 1) TO ''{blob}'') SELECT * FROM lines')",
        "EXPORT DATABASE '{place}'",
        "ATTACH '{place}'",
        "INSTALL httpfs",
        "LOAD httpfs",
        "SET enable_external_access = true",
        "RESET lock_configuration",
        "PRAGMA temp_directory = '/tmp'",
        "SELECT * FROM read_csv('/etc/passwd')",
        "SELECT * FROM read_text('/etc/passwd')",
        "SELECT * FROM read_blob('{blob}')",
        "SELECT * FROM parquet_metadata('{blob}')",
        "SELECT * FROM glob('/etc/*')",
        "SELECT * FROM '{ledger}'",
        "SELECT * FROM sqlite_scan('{ledger}', 'head_log')",
        "SELECT * FROM 'https://127.0.0.1/x.csv'",
        "SELECT * FROM known",
        "SELECT getenv('HOME')",
    ],
)
def test_sql_reads_what_is_live_and_reaches_nothing_else(standing: Shop, look: Command, query: str) -> None:
    """No file of the machine, no network, no extension, no variable of the program; and it writes nowhere."""
    blob = next(file for file in (standing.home / "store").rglob("*") if file.is_file() and len(file.name) == 62)
    place = standing.home / "out.csv"
    before = everything(standing.home)
    done = look("sql", query.format(place=place, blob=blob, ledger=standing.home / "ledger.db"))
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("tidemark: ")
    assert "Traceback" not in done.err
    assert everything(standing.home) == before


def test_a_long_answer_is_cut_on_the_screen_and_whole_as_data(look: Command) -> None:
    assert "... and 960 more rows: use --json, or LIMIT" in look("sql", "SELECT * FROM range(1000)").out
    assert len(look.json("sql", "SELECT * FROM range(1000)")) == 1000


def test_sql_before_any_run_says_what_to_do(shop: Shop, tidemark: Command) -> None:
    done = tidemark("sql", "SELECT * FROM lines")
    assert done.code == 2
    assert "the ledger knows no asset yet: run a pipeline" in done.err


# -- status


def test_status_counts_every_state(open_shop: Shop, tidemark: Command) -> None:
    open_shop.deliver("orders", DAYS[2], "item,units\napple,3\n")
    open_shop.withdraw("orders", DAYS[1])
    tidemark("run", "shop", "--as-of", AS_OF)
    tidemark("hold", "totals", "--why", "under review")
    tidemark("hold", "label", DAYS[0], "--why", "under review")
    state = tidemark.json("status")["pipelines"]["shop"]
    assert state["as_of"] == "2025-01-08T06:00:00+00:00"
    assert state["sources"] == {
        "orders": {"delivered": 2, "rejected": [DAYS[2]], "missing": [DAYS[1]], "newest": DAYS[2]}
    }
    assert state["assets"]["lines"] == {
        "live": 2,
        "provisional": 1,
        "newest": DAYS[2],
        "flagged": [],
        "held": None,
        "held_partitions": [],
        "states": {"fresh": 2, "waiting": 1},
    }
    assert state["assets"]["totals"]["held"] == "under review (ada)"
    assert state["assets"]["label"]["held_partitions"] == [DAYS[0]]
    shown = tidemark("status").out
    for said in (
        "shop (as of 2025-01-08 06:00 UTC)",
        "orders (source)",
        "rejected: 2025-01-07; missing: 2025-01-06",
        "2 up to date; 1 waiting",
        "held: under review (ada)",
        "held: 2025-01-05",
    ):
        assert said in shown


def test_status_before_the_first_run_says_how_to_make_one(delivered: Shop, tidemark: Command) -> None:
    done = tidemark("status")
    assert "shop (not run yet)" in done.out
    assert "'tidemark run shop' runs it" in done.out


def test_status_does_not_depend_on_which_pipeline_is_looked_at_first(delivered: Shop, tidemark: Command) -> None:
    """One that reads another comes before it by name, and before the other was ever run."""
    delivered.define(
        """
        @asset(partitions=Daily(), inputs={"read": ref("lines")})
        def above(read: pl.DataFrame) -> pl.DataFrame:
            return read
        """,
        "above",
    )
    state = tidemark.json("status")
    assert list(state["pipelines"]) == ["above", "shop"]
    assert state["problems"] == {}


def test_status_without_a_pipeline_says_where_they_are_looked_for(tidemark: Command) -> None:
    assert "there is no pipeline yet: TIDEMARK_DAGS names the folder of their files" in tidemark("status").out


# -- config


def test_config_shows_what_is_in_force_with_secrets_masked(look: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIDEMARK_LEDGER_URL", "postgresql://ada:hunter2@db/ledger")
    monkeypatch.setenv("TIDEMARK_AS_OF", "")
    done = look("config")
    assert (done.code, done.err) == (0, "")
    assert "TIDEMARK_LEDGER_URL          postgresql://ada:***@db/ledger" in done.out
    assert "TIDEMARK_AS_OF               - (the clock)" in done.out
    assert "TIDEMARK_ACTOR               ada" in done.out
    assert "TIDEMARK_MAIL_TO             - (nobody)" in done.out
    assert "TIDEMARK_SETTLE_SECONDS      - (10)" in done.out
    monkeypatch.setenv("TIDEMARK_SETTLE_SECONDS", "3")
    data = look.json("config")
    assert data["TIDEMARK_SETTLE_SECONDS"] == "3"
    assert (data["TIDEMARK_ENVIRONMENT"], data["TIDEMARK_AS_OF"]) == ("prod", None)
    assert "hunter2" not in done.out + json.dumps(data)
