"""The form of the trigger button."""

from datetime import UTC, datetime
from typing import Any

import pytest
from products import shop

from tidemark.airflow.form import form_of, read_form
from tidemark.errors import UsageError
from tidemark.survey import EVERYTHING


def filled_in(**answers: object) -> dict[str, Any]:
    """The form's answers, after Airflow has checked them."""
    form = form_of(shop())
    return {name: param.resolve(answers[name]) if name in answers else param.resolve() for name, param in form.items()}


def test_an_untouched_form_asks_for_nothing_special() -> None:
    """A triggered run does what a scheduled one does."""
    asked = read_form(filled_in(), shop())
    assert (asked.as_of, asked.selection, asked.confirmed) == (None, EVERYTHING, frozenset())


def test_days_are_days_of_the_products_clock() -> None:
    """From the first moment of the first day to the last of the last, in London."""
    selection = read_form(filled_in(**{"from": "2011-06-01", "to": "2011-06-02"}), shop()).selection
    assert selection.first == datetime(2011, 5, 31, 23, tzinfo=UTC)
    assert selection.last == datetime(2011, 6, 2, 22, 59, 59, 999999, tzinfo=UTC)


def test_a_person_can_ask_to_compute_an_asset_or_a_partition_again() -> None:
    """One a line, as the command takes it."""
    selection = read_form(filled_in(force=["lines", "stock:2011-06-01"]), shop()).selection
    assert selection.force == {("lines", None), ("stock", "2011-06-01")}


def test_as_of_and_confirmations_are_passed_on() -> None:
    """An instant with its offset, and names of sources."""
    asked = read_form(filled_in(as_of="2011-07-01T06:00:00+01:00", confirm_withdrawals=["orders"]), shop())
    assert asked.as_of == datetime(2011, 7, 1, 5, tzinfo=UTC)
    assert asked.confirmed == {"orders"}


@pytest.mark.parametrize(
    ("field", "answer"),
    [
        ("from", "last week"),
        ("force", ["nothing_like_it"]),
        ("force", "lines"),
        ("confirm_withdrawals", ["lines"]),
    ],
)
def test_an_answer_that_cannot_be_is_refused_before_a_run_starts(field: str, answer: object) -> None:
    """Airflow checks the form by its schema."""
    with pytest.raises(Exception, match=r"Invalid input for param|is not|does not match"):
        form_of(shop())[field].resolve(answer)


def test_a_partition_that_cannot_be_is_refused_by_the_plan() -> None:
    """The form cannot know an asset's keys; the message shows what one looks like."""
    with pytest.raises(UsageError, match="2011-13-01"):
        read_form(filled_in(force=["lines:2011-13-01"]), shop())


def test_days_in_the_wrong_order_are_refused_by_the_plan() -> None:
    """In the words of the form."""
    with pytest.raises(UsageError, match="From 2011-06-02 lies after To 2011-06-01: there is nothing between them"):
        read_form(filled_in(**{"from": "2011-06-02", "to": "2011-06-01"}), shop())
