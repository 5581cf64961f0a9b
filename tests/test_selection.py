"""Claims about selections: what a person asks for, read the same way by the command and by Airflow's form."""

from datetime import UTC, datetime

import pytest

from tests.definitions import small
from tidemark.errors import UsageError
from tidemark.selection import read_selection, selection_data, selection_from
from tidemark.survey import EVERYTHING


def test_who_asks_for_nothing_gets_everything() -> None:
    assert read_selection(small(), None, None, []) == EVERYTHING


def test_days_are_whole_days_of_the_pipelines_clock() -> None:
    selection = read_selection(small(), "2011-01-05", "2011-01-06", [])
    assert selection.first == datetime(2011, 1, 5, tzinfo=UTC)
    assert selection.last == datetime(2011, 1, 6, 23, 59, 59, 999999, tzinfo=UTC)


def test_an_asset_or_a_partition_is_computed_again() -> None:
    selection = read_selection(small(), None, None, ["lines", "totals:2011-01-05"])
    assert selection.force == {("lines", None), ("totals", "2011-01-05")}


@pytest.mark.parametrize(
    ("first", "last", "force", "says"),
    [
        ("today", None, [], "From='today' is no day: write it as 2011-01-05"),
        (None, "2011-02-30", [], "To='2011-02-30' is no day"),
        ("2011-01-06", "2011-01-05", [], "From 2011-01-06 lies after To 2011-01-05: there is nothing between them"),
        (None, None, ["total"], "no asset 'total': did you mean 'totals'?"),
        (None, None, ["orders"], "'orders' is a source: it is delivered, not computed"),
        (None, None, ["lines:2011-1"], "'2011-1' is no daily partition"),
        (None, None, ["lines:"], "'' is no daily partition"),
    ],
)
def test_what_cannot_be_is_an_error_in_the_askers_words(
    first: str | None, last: str | None, force: list[str], says: str
) -> None:
    with pytest.raises(UsageError) as caught:
        read_selection(small(), first, last, force, names=("From", "To"))
    assert says in str(caught.value)


def test_a_selection_survives_json() -> None:
    selection = read_selection(small(), "2011-01-05", None, ["lines", "totals:2011-01-05"])
    assert selection_from(selection_data(selection)) == selection
    assert selection_from(selection_data(EVERYTHING)) == EVERYTHING
