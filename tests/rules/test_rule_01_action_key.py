"""Rule 1: what an action key is made of, told by what runs when one part changes and nothing else does."""

from itertools import pairwise

import pytest

from tests.scenario import Shop
from tidemark.survey import survey

LINES = """
    orders = source("orders", files="orders/{partition}.txt", partitions=DAYS)

    @asset(partitions=DAYS, params={"factor": 1})
    def lines(orders: bytes, factor: object) -> str:
        return f"{factor}: {orders.decode()}"
"""

WEEK = ["2025-01-05", "2025-01-06", "2025-01-07"]


def test_a_known_action_key_runs_nothing(shop: Shop) -> None:
    """A second run, at a later instant, of what has not changed calls no function."""
    shop.define(LINES)
    shop.deliver_days("orders", *WEEK)
    shop.run()
    assert shop.ran == {"lines": WEEK}
    shop.now("2025-03-01 06:00")
    shop.run()
    assert shop.ran == {}
    assert shop.plan is not None
    assert shop.plan.items == ()


def test_the_partition_is_in_the_key(shop: Shop) -> None:
    """Two partitions of equal content are two computations."""
    shop.define(LINES)
    shop.deliver("orders", "2025-01-05", "same")
    shop.deliver("orders", "2025-01-06", "same")
    shop.run()
    assert shop.ran == {"lines": ["2025-01-05", "2025-01-06"]}
    assert shop.action_key("lines", "2025-01-05") != shop.action_key("lines", "2025-01-06")


def test_partitions_that_read_the_same_have_keys_of_their_own(shop: Shop) -> None:
    """Three days that use one substitute are three computations."""
    shop.define("""
        rates = source("rates", files="rates/{partition}.txt", partitions=DAYS)

        @asset(partitions=DAYS, inputs={"rates": last_known(days=3)})
        def used(rates: bytes) -> bytes:
            return rates
    """)
    shop.deliver_days("rates", WEEK[0])
    shop.now("2025-01-08 06:00")
    shop.run()
    assert shop.ran == {"used": WEEK}
    assert len({shop.action_key("used", key) for key in WEEK}) == 3


def test_the_asset_is_in_the_key(shop: Shop) -> None:
    """Two assets of the same code and inputs do not take each other's results."""
    shop.define(
        LINES
        + """
    @asset(partitions=DAYS, params={"factor": 1})
    def other_lines(orders: bytes, factor: object) -> str:
        return f"{factor}: {orders.decode()}"
    """
    )
    shop.deliver_days("orders", "2025-01-05")
    shop.run()
    assert shop.ran == {"lines": ["2025-01-05"], "other_lines": ["2025-01-05"]}


def test_the_code_version_is_in_the_key(shop: Shop) -> None:
    """An edit of the function runs it again, for every partition."""
    shop.define(LINES)
    shop.deliver_days("orders", *WEEK)
    shop.run()
    shop.edit("{factor}: {orders", "{factor} x {orders")
    shop.run()
    assert shop.ran == {"lines": WEEK}
    assert shop.heads("lines")["2025-01-05"] == "1 x orders 2025-01-05\n"


def test_parameters_are_in_the_key_with_their_types(shop: Shop) -> None:
    """1, True, 1.0 and "1" are four parameters: each runs once, and going back to one runs nothing."""
    shop.define(LINES)
    shop.deliver_days("orders", "2025-01-05")
    shop.run()
    keys = [shop.action_key("lines", "2025-01-05")]
    values = ["1", "True", "1.0", "'1'"]
    for before, after in pairwise(values):
        shop.edit(f'"factor": {before}', f'"factor": {after}')
        shop.run()
        assert shop.ran == {"lines": ["2025-01-05"]}, after
        keys.append(shop.action_key("lines", "2025-01-05"))
    assert len(set(keys)) == 4
    shop.edit("\"factor\": '1'", '"factor": 1')
    shop.run()
    assert shop.ran == {}
    assert shop.action_key("lines", "2025-01-05") == keys[0]


def test_parameters_do_not_run_into_each_other(shop: Shop) -> None:
    """("ab", "c") and ("a", "bc") are different parameters."""
    shop.define("""
        @asset(params={"left": "ab", "right": "c"})
        def joined(left: str, right: str) -> str:
            return left + right
    """)
    shop.run()
    shop.edit('"left": "ab", "right": "c"', '"left": "a", "right": "bc"')
    shop.run()
    assert shop.ran == {"joined": ["all"]}


def test_the_data_version_of_each_input_is_in_the_key(shop: Shop) -> None:
    """A corrected delivery runs its own partition and no other."""
    shop.define(LINES)
    shop.deliver_days("orders", *WEEK)
    shop.run()
    shop.deliver("orders", "2025-01-06", "corrected")
    shop.run()
    assert shop.ran == {"lines": ["2025-01-06"]}
    assert shop.state() == shop.rebuilt().state()


def test_it_is_told_which_input_holds_what(shop: Shop) -> None:
    """Two inputs that change places run again."""
    shop.define("""
        left = source("left", files="left/{partition}.txt", partitions=DAYS)
        right = source("right", files="right/{partition}.txt", partitions=DAYS)

        @asset(partitions=DAYS)
        def both(left: bytes, right: bytes) -> bytes:
            return left + right
    """)
    shop.deliver("left", "2025-01-05", "a")
    shop.deliver("right", "2025-01-05", "b")
    shop.run()
    shop.deliver("left", "2025-01-05", "b")
    shop.deliver("right", "2025-01-05", "a")
    shop.run()
    assert shop.ran == {"both": ["2025-01-05"]}
    assert shop.heads("both") == {"2025-01-05": b"ba"}


def test_it_is_told_which_asset_was_read(shop: Shop) -> None:
    """An input that is pointed at another asset of just the same content is another input."""
    shop.define("""
        @asset()
        def left() -> str:
            return "same"

        @asset()
        def right() -> str:
            return "same"
    """)
    reader = """
        @asset(inputs={"side": ref("left")})
        def copy(side: str) -> str:
            return side
    """
    shop.define(reader, name="other")
    shop.run()
    shop.run("other")
    before = shop.action_key("copy", "all")
    shop.define(reader.replace('ref("left")', 'ref("right")'), name="other")
    shop.run("other")
    assert shop.ran == {"copy": ["all"]}
    assert shop.action_key("copy", "all") != before


WINDOW = """
    orders = source("orders", files="orders/{partition}.csv", partitions=DAYS)

    @asset(partitions=DAYS, inputs={"orders": trailing(days=2)})
    def recent(orders: pl.DataFrame) -> str:
        return " ".join(f"{row['partition'][-1]}{row['k']}" for row in orders.to_dicts())
"""


def test_it_is_told_which_partition_of_a_window_holds_what(shop: Shop) -> None:
    """Two members of a window that change places run again, though the window holds the same contents."""
    shop.define(WINDOW)
    shop.deliver("orders", "2025-01-05", "k\na\n")
    shop.deliver("orders", "2025-01-06", "k\nb\n")
    shop.run()
    assert shop.heads("recent")["2025-01-06"] == "5a 6b"
    shop.deliver("orders", "2025-01-05", "k\nb\n")
    shop.deliver("orders", "2025-01-06", "k\na\n")
    shop.run()
    assert shop.heads("recent")["2025-01-06"] == "5b 6a"
    assert shop.state() == shop.rebuilt().state()


def test_a_member_that_moves_within_a_window_is_another_key(shop: Shop) -> None:
    """The same content, of another day: what reads the day's name must see it."""
    shop.define(WINDOW)
    shop.deliver("orders", "2025-01-04", "k\na\n")
    shop.deliver("orders", "2025-01-05", "k\nb\n")
    shop.deliver("orders", "2025-01-08", "k\nd\n")
    shop.run()
    assert shop.heads("recent")["2025-01-06"] == "5b"
    shop.withdraw("orders", "2025-01-05")
    shop.deliver("orders", "2025-01-06", "k\nb\n")
    shop.run()
    assert shop.heads("recent")["2025-01-06"] == "6b"
    assert shop.state() == shop.rebuilt().state()


def test_what_is_missing_now_can_appear_later(shop: Shop) -> None:
    """An absence is part of the key: the late file runs what was made without it, and only that."""
    shop.define(WINDOW)
    shop.deliver("orders", "2025-01-04", "k\na\n")
    shop.deliver("orders", "2025-01-06", "k\nc\n")
    shop.deliver("orders", "2025-01-09", "k\nd\n")
    shop.run()
    assert shop.heads("recent")["2025-01-06"] == "6c"
    shop.deliver("orders", "2025-01-05", "k\nb\n")
    shop.run()
    assert shop.ran == {"recent": ["2025-01-05", "2025-01-06"]}
    assert shop.heads("recent")["2025-01-06"] == "5b 6c"
    assert shop.state() == shop.rebuilt().state()


def test_an_absent_optional_input_is_another_key_than_a_present_one(shop: Shop) -> None:
    """None and an empty file are two inputs; the file's going brings the first result back."""
    shop.define("""
        orders = source("orders", files="orders/{partition}.txt", partitions=DAYS)
        notes = source("notes", files="notes/{partition}.txt", partitions=DAYS)

        @asset(partitions=DAYS)
        def noted(orders: bytes, notes: bytes | None) -> str:
            return repr(notes)
    """)
    shop.deliver_days("orders", "2025-01-05")
    shop.run()
    assert shop.heads("noted") == {"2025-01-05": "None"}
    shop.deliver("notes", "2025-01-05", "")
    shop.run()
    assert shop.heads("noted") == {"2025-01-05": "b''"}
    shop.withdraw("notes", "2025-01-05")
    shop.run()
    assert shop.ran == {}
    assert shop.heads("noted") == {"2025-01-05": "None"}
    assert shop.state() == shop.rebuilt().state()


def test_no_clock_no_folder_and_no_environment_is_in_the_key(shop: Shop) -> None:
    """A shop elsewhere, at another instant and in another environment, has the same keys."""
    shop.define(LINES)
    shop.deliver_days("orders", *WEEK)
    shop.run()
    shop.now("2025-02-01 06:00")
    shop.environment = "trial"
    elsewhere = shop.rebuilt()
    assert elsewhere.home != shop.home
    assert [elsewhere.action_key("lines", key) for key in WEEK] == [shop.action_key("lines", key) for key in WEEK]


def test_a_mapping_that_reads_the_same_is_the_same_key(shop: Shop) -> None:
    """The key holds what is read, not how it was found."""
    shop.define(LINES)
    shop.deliver_days("orders", *WEEK)
    shop.run()
    shop.edit(
        '@asset(partitions=DAYS, params={"factor": 1})',
        '@asset(partitions=DAYS, params={"factor": 1}, inputs={"orders": last_known(days=3)})',
    )
    shop.run()
    # The new mapping reaches two days further; for the others it reads what was read before.
    assert shop.ran == {"lines": ["2025-01-08", "2025-01-09"]}


def test_a_new_scheme_of_keys_makes_all_of_them_new(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys of two schemes are never compared."""
    shop.define(LINES)
    shop.deliver_days("orders", *WEEK)
    shop.run()
    monkeypatch.setattr(survey, "SCHEME_VERSION", survey.SCHEME_VERSION + 1)
    shop.run()
    assert shop.ran == {"lines": WEEK}


def test_how_rows_are_sorted_is_part_of_the_action_key(shop: Shop) -> None:
    """Readers get rows in the order of the key, so that another key is another result."""
    body = """
        orders = source("orders", files="orders/{partition}.csv", partitions=DAYS)

        @asset(partitions=DAYS, key=["%s"])
        def pairs(orders: pl.DataFrame) -> pl.DataFrame:
            return pl.DataFrame({"x": [1, 2], "y": [2, 1]})

        @asset(partitions=DAYS)
        def first(pairs: pl.DataFrame) -> str:
            return str(pairs["x"][0])
    """
    shop.define(body % "x")
    shop.deliver("orders", "2025-01-05", "k\n1\n")
    shop.run()
    assert shop.heads("first") == {"2025-01-05": "1"}
    shop.define(body % "y")
    shop.run()
    assert shop.heads("first") == {"2025-01-05": "2"}
