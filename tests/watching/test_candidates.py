"""A candidate that waits for an approver, and a champion whose data drift away, are told until they do not."""

from datetime import UTC, datetime, timedelta

import pytest

from tests.incidents.story import open_incidents
from tests.models.selling import SALES, begin, due, learn_anew, presented, promoted
from tests.models.test_retraining import ALARM, EPISODES
from tests.scenario import Shop
from tidemark.watching.candidates import drifting_models, waiting_candidates
from tidemark.watching.checks import act_on

DAY = timedelta(days=1)


def looked(shop: Shop, later: timedelta) -> list[str]:
    """Look for candidates that wait, some time from now; returns what became of incidents, a line each."""
    with shop.deployment() as deployment:
        found = waiting_candidates(deployment, DAY, datetime.now(UTC) + later)
        return [line.partition(" (")[0] for line in act_on(deployment, found)]


def test_a_candidate_that_waits_for_long_is_told_until_it_is_decided(shop: Shop) -> None:
    """From its validation on; the decision is the all-clear."""
    begin(shop)
    assert due(shop)
    assert looked(shop, 2 * DAY) == []  # nobody was asked
    presented(shop)
    assert looked(shop, DAY - timedelta(minutes=1)) == []
    assert looked(shop, DAY) == ["incident 1 opened"]
    assert looked(shop, 2 * DAY) == []
    one = open_incidents(shop)["demand approval_waiting"]
    assert (one.pipeline, one.severity) == ("shop", "warning")
    assert "trained for 2025-01-13, waits for an approver since" in one.summary
    assert one.detail["instead"] == "no model: there is no champion yet"
    promoted(shop)
    assert looked(shop, 3 * DAY) == ["incident 1 resolved"]


def test_a_candidate_that_a_newer_one_supersedes_waits_no_more(shop: Shop) -> None:
    """The newer one has its own time."""
    begin(shop)
    presented(shop)
    looked(shop, DAY)
    learn_anew(shop, 110)
    assert looked(shop, DAY) == ["incident 1 resolved"]


def test_one_that_did_not_pass_waits_for_nobody(shop: Shop) -> None:
    """No person is asked about it."""
    begin(shop, SALES.replace("at_most(20, worse_by=0.5)", "at_most(0.001)"))
    assert not presented(shop).passed
    assert looked(shop, 2 * DAY) == []


@pytest.mark.parametrize(("day", "drifts"), [("2025-01-14", False), ("2025-01-15", False), ("2025-01-17", True)])
def test_a_model_drifts_for_as_long_as_its_asset_asks_for_a_training(shop: Shop, day: str, drifts: bool) -> None:
    """One incident of the model for an episode, with the features; over when the newest day says so."""
    text = "    from tidemark import Partition\n" + SALES + ALARM.replace("EPISODES", EPISODES)
    begin(shop, text)
    shop.edit("alarm])\n", "alarm], retrains={'demand': 'alarm'})\n")
    later = [each for each in shop.heads("alarm") if each > day]
    files = {each: shop.file("sales", each).read_bytes() for each in later}
    shop.withdraw("sales", *later)
    shop.run(confirmed=frozenset({"sales"}))
    with shop.deployment() as deployment:
        lines = act_on(deployment, drifting_models(deployment))
    if not drifts:
        assert lines == []
        return
    what = "demand: the data drift away from what the champion was trained on, since 2025-01-15: price"
    assert lines == [f"incident 1 opened (drift): {what}"]
    assert "champion c0ffee" in open_incidents(shop)["demand drift"].detail["why"]
    shop.deliver("sales", later[0], files[later[0]])
    shop.run()
    with shop.deployment() as deployment:
        assert act_on(deployment, drifting_models(deployment)) == [f"incident 1 resolved (drift): {what}"]
