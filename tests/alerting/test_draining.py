"""From the outbox to people: at least once, in order, once an hour, to whom it concerns, whatever the channels do."""

import logging
import threading
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from pathlib import Path

import pytest

from tests.alerting.board import BAD, LATE, Board, Diary, open_board
from tests.alerting.receiving import Receiver
from tidemark.alerting import Alerting, Drained, Message, Undelivered
from tidemark.alerting import draining as draining_module
from tidemark.alerting.channels import Line
from tidemark.alerting.routes import Route
from tidemark.alerting.webhook import Webhook
from tidemark.config import settings
from tidemark.deployment import open_deployment
from tidemark.errors import Unavailable
from tidemark.incidents.classes import CauseClass, Severity
from tidemark.ledger import incidents, notices


def test_an_incident_is_told_once_and_its_end_once(any_board: Board) -> None:
    """However many rounds there are; and to whom its route says."""
    board = any_board
    board.wrong(BAD, LATE)
    first = board.round()
    assert (first.routed, first.sent, first.failed) == (2, 2, 0)
    board.rounds()
    assert (board.pager.said, board.chat.said, board.mail.said) == (["opened orders"], ["opened fx_rates"], [])
    board.well(BAD, LATE)
    board.rounds()
    assert board.pager.said == ["opened orders", "resolved orders"]
    assert board.chat.said == ["opened fx_rates", "resolved fx_rates"]
    assert board.round() == Drained()
    assert len({each.key for each in board.pager.messages}) == 1
    assert len({each.id for each in board.pager.messages}) == 2


# -- at least once


def test_what_was_sent_but_not_noted_is_sent_again_with_the_same_id(
    board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A crash between the two: once too often, never once too few."""
    board.wrong(BAD)
    with monkeypatch.context() as patch:
        patch.setattr(draining_module._Sending, "_finish", _power_cut)
        with pytest.raises(Unavailable):
            board.round()
    assert board.pager.said == ["opened orders"]
    board.round()
    board.later(seconds=50)
    board.round()
    assert board.pager.said == ["opened orders"]  # the claim of who has died still counts, for a minute
    board.later(seconds=11)
    board.rounds()
    assert board.pager.said == ["opened orders", "opened orders"]
    assert len({each.id for each in board.pager.messages}) == 1


def _power_cut(*_: object) -> None:
    raise Unavailable("the power is cut")


def test_nothing_is_lost_when_the_process_starts_anew(board: Board) -> None:
    """What was to be told, and what failed and waits for its next attempt, is in the ledger."""
    board.mail.is_down()
    board.pager.is_down()
    board.wrong(BAD)
    board.rounds()
    assert board.mail.said == []
    with open_deployment(board.deployment.settings) as another:
        told = Diary()
        alerting = Alerting({"mail": Line("mail", told)}, (Route(channels=("mail",)),))
        draining_module.drain(another, alerting, now=board.now + timedelta(minutes=15))
    assert told.said == ["opened orders"]


def test_two_processes_at_once_do_not_send_twice(any_board: Board) -> None:
    """Each claims what it sends before it does so."""
    board = any_board
    many = [replace(BAD, asset=f"a{number}") for number in range(20)]
    board.wrong(*many)
    together = threading.Barrier(4)
    problems: list[BaseException] = []

    def go() -> None:
        try:
            with open_deployment(board.deployment.settings) as own:
                together.wait()
                board.round(own)
        except BaseException as problem:
            problems.append(problem)

    threads = [threading.Thread(target=go) for _ in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert problems == []
    assert sorted(board.pager.said) == sorted(f"opened {each.asset}" for each in many)
    assert board.outcomes() == {"sent": 20}


def test_who_comes_second_sees_what_the_first_has_claimed(any_board: Board) -> None:
    """It waits until the first has said so, and finds nothing left to do."""
    board = any_board
    board.chat.is_down(1)
    board.wrong(LATE)
    board.round()
    board.later(minutes=1)
    second: list[Drained] = []
    thread = threading.Thread(target=lambda: second.append(board.round()))
    with board.deployment.ledger.write() as connection:
        notices.take_notices(connection)
        (waiting,) = notices.pending(connection, "prod")
        notices.wait(connection, waiting.id, board.now + draining_module.LEASE)
        thread.start()
        thread.join(1)
        assert thread.is_alive()
    thread.join()
    assert second == [Drained()]
    assert board.chat.said == []


# -- failures


def test_a_failed_attempt_is_made_again_later_and_later(board: Board) -> None:
    """Ten seconds, twenty, forty, ... and no more than ten minutes; each a little off, so that not all come at once."""
    board.mail.is_down()
    board.alerting = replace(board.alerting, routes=(Route(channels=("mail",)),))
    board.wrong(LATE)
    waits, last = [], board.now
    for _ in range(40 * 60):
        before = board.mail.tried
        board.round()
        if board.mail.tried > before:
            waits.append((board.now - last).total_seconds())
            last = board.now
        if len(waits) == 11:
            break
        board.later(seconds=2)
    wanted = [0, 10, 20, 40, 80, 160, 320, 600, 600, 600, 600]
    assert all(0.8 * want <= wait <= 1.2 * want + 2 for want, wait in zip(wanted, waits, strict=True)), waits
    board.mail.is_up()
    board.later(minutes=12)
    board.rounds()
    assert board.mail.said == ["opened fx_rates"]


def test_who_asks_to_be_left_alone_is(board: Board) -> None:
    """Retry-After counts where it is longer than our own patience, and holds for all that waits behind."""
    board.chat.failures = [Undelivered("answered 429", 300)]
    board.wrong(LATE, replace(LATE, asset="other"))
    done = board.round()
    assert (done.failed, board.chat.tried) == (2, 1)
    board.later(seconds=290)
    board.round()
    assert board.chat.tried == 1
    board.later(seconds=20)
    board.round()
    assert board.chat.said == ["opened fx_rates", "opened other"]


def test_who_asks_for_a_day_is_asked_again_after_an_hour(board: Board) -> None:
    """Or one header would keep everybody from hearing of anything."""
    board.mail.failures = [Undelivered("answered 429", 86_400)]
    board.alerting = replace(board.alerting, routes=(Route(channels=("mail",)),))
    board.wrong(LATE)
    board.round()
    board.later(minutes=59)
    board.round()
    assert board.mail.tried == 1
    board.later(minutes=2)
    board.round()
    assert board.mail.said == ["opened fx_rates"]


def test_a_critical_alert_does_not_wait_for_a_second_attempt(board: Board) -> None:
    """The next channel tells it at once and once, and its own does as soon as it can; what follows is told by both."""
    board.pager.is_down()
    board.wrong(BAD)
    done = board.round()
    assert (done.sent, done.failed, done.fell_back) == (0, 1, 1)
    assert done.problems == ("pager: answered 500",)
    board.passes(5)
    assert board.pager.tried > 3
    assert (board.pager.said, board.mail.said) == ([], ["opened orders"])
    board.pager.is_up()
    board.passes(10)
    assert (board.pager.said, board.mail.said) == (["opened orders"], ["opened orders"])
    board.grows(BAD, 2)
    board.passes(70)
    board.well(BAD)
    board.rounds()
    assert board.pager.said == board.mail.said == ["opened orders", "updated orders", "resolved orders"]


def test_a_page_of_which_only_the_answer_was_lost_is_closed(any_board: Board) -> None:
    """It may be open there: the all-clear goes to whoever was tried, and what is over pages nobody any more."""
    board = any_board
    board.pager.is_down()
    board.wrong(BAD)
    board.passes(5)
    board.well(BAD)
    board.passes(5)
    assert board.mail.said == ["opened orders", "resolved orders"]
    board.pager.is_up()
    board.passes(15)
    assert board.pager.said == ["resolved orders"]
    assert board.mail.said == ["opened orders", "resolved orders"]
    assert None not in board.outcomes()


def test_a_page_that_may_have_arrived_is_closed_in_silence_too(board: Board) -> None:
    board.pager.is_down()
    board.wrong(BAD)
    board.round()
    board.silences(600)
    board.well(BAD)
    board.pager.is_up()
    board.passes(5)
    assert board.pager.said == ["resolved orders"]
    assert board.mail.said == []


def test_who_has_taken_it_on_is_not_woken_by_a_pager_that_comes_back(board: Board) -> None:
    """Another channel has told it; if it becomes worse then, the pager hears of it with all others."""
    board.pager.is_down()
    board.wrong(BAD)
    board.rounds()
    board.acknowledges()
    board.pager.is_up()
    board.passes(20)
    assert (board.pager.said, board.mail.said) == ([], ["opened orders"])
    board.acknowledges(at=None)
    board.grows(BAD, 2)
    board.passes(70)
    assert board.pager.said == ["updated orders"]
    board.well(BAD)
    board.rounds()
    assert board.pager.said[-1] == board.mail.said[-1] == "resolved orders"


def test_who_has_failed_with_an_update_hears_of_the_next(board: Board) -> None:
    """A chat has told the warning, the pager could not tell that it became critical; a newer update replaces that."""
    board.wrong(LATE)
    board.round()
    board.pager.is_down()
    board.grows(LATE, 2, severity=Severity.CRITICAL)
    board.passes(5)
    assert board.mail.said == ["updated fx_rates"]
    board.grows(LATE, 3, severity=Severity.CRITICAL)
    board.pager.is_up()
    board.passes(15)
    assert board.pager.said == ["updated fx_rates"]
    assert "3 partitions" in board.pager.messages[0].text
    board.well(LATE)
    board.rounds()
    assert board.pager.said[-1] == board.chat.said[-1] == board.mail.said[-1] == "resolved fx_rates"


def test_others_are_taken_over_after_three_attempts(board: Board) -> None:
    board.chat.is_down()
    board.wrong(LATE)
    while not board.mail.tried:
        board.later(seconds=10)
        board.round()
    assert board.chat.tried == 3
    board.passes(60)
    assert board.mail.said == ["opened fx_rates"]
    assert board.chat.tried > 3


def test_an_all_clear_is_told_by_the_next_channel_and_still_by_its_own(board: Board) -> None:
    """A page that was opened is closed by nothing else."""
    board.wrong(BAD)
    board.rounds()
    board.pager.is_down()
    board.well(BAD)
    board.passes(5)
    assert board.mail.said == ["resolved orders"]
    board.pager.is_up()
    board.passes(15)
    assert board.pager.said == ["opened orders", "resolved orders"]
    assert board.mail.said == ["resolved orders"]


def test_a_channel_that_is_down_holds_up_no_other(board: Board) -> None:
    board.chat.is_down()
    board.wrong(BAD, LATE)
    board.round()
    assert board.pager.said == ["opened orders"]


def test_a_channel_that_hangs_holds_up_no_other_and_only_once_a_round(
    board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Five alerts wait for it, and the round is over after one time limit, not after five."""
    monkeypatch.setattr(Line.deliver, "__kwdefaults__", {"seconds": 0.5})
    stuck = threading.Event()

    class Hanging(Diary):
        def send(self, message: object) -> None:
            self.tried += 1
            stuck.wait(30)

    hanging = Hanging()
    board.alerting = replace(board.alerting, lines={**board.alerting.lines, "chat": Line("chat", hanging, then="mail")})
    board.wrong(BAD, *(replace(LATE, asset=f"a{number}") for number in range(5)))
    began = datetime.now(UTC)
    done = board.round()
    assert datetime.now(UTC) - began < timedelta(seconds=3)
    assert (done.sent, done.failed, hanging.tried) == (1, 5, 1)
    assert set(done.problems) == {"chat: gave no answer within 0.5 seconds"}
    board.passes(3)
    assert sorted(board.mail.said) == [f"opened a{number}" for number in range(5)]
    stuck.set()


def test_a_slow_channel_sends_the_rest_in_the_next_round(board: Board, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a round ends, and the others have their turn."""
    monkeypatch.setattr(draining_module, "ROUND_SECONDS", 0.05)

    class Slow(Diary):
        def send(self, message: Message) -> None:
            time.sleep(0.1)
            super().send(message)

    slow = Slow()
    board.alerting = Alerting({"slow": Line("slow", slow)}, (Route(channels=("slow",)),))
    board.wrong(*(replace(BAD, asset=f"a{number}") for number in range(3)))
    assert [board.round().sent for _ in range(4)] == [1, 1, 1, 0]
    assert slow.said == ["opened a0", "opened a1", "opened a2"]


def test_a_message_that_cannot_be_made_holds_up_no_other(board: Board, monkeypatch: pytest.MonkeyPatch) -> None:
    made = draining_module.incident_message

    def breaks(notice: notices.Notice, one: incidents.Incident, **options: object) -> object:
        if one.asset == "orders":
            raise KeyError("a row")
        return made(notice, one, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(draining_module, "incident_message", breaks)
    board.alerting = replace(board.alerting, routes=(Route(channels=("mail",)),))
    board.wrong(BAD, LATE)
    assert board.round().problems == ("mail: the message could not be made: KeyError",)
    assert board.mail.said == ["opened fx_rates"]


def test_a_channel_that_was_taken_out_of_the_file_loses_nothing(board: Board) -> None:
    """Who is told now by the routes gets what it had not sent."""
    board.mail.is_down()
    board.pager.is_down()
    board.wrong(BAD)
    board.rounds()
    lines = {"chat": board.alerting.lines["chat"]}
    board.alerting = replace(board.alerting, lines=lines, routes=(Route(channels=("chat",)),))
    board.passes(2)
    assert board.chat.said == ["opened orders"]
    assert None not in board.outcomes()


# -- one thing after another


def test_updates_come_at_most_once_an_hour_and_only_the_newest(board: Board) -> None:
    board.wrong(LATE)
    board.round()
    for days in (2, 3, 4):
        board.later(minutes=5)
        board.grows(LATE, days)
        board.rounds()
    assert board.chat.said == ["opened fx_rates"]
    board.later(minutes=50)
    board.rounds()
    assert board.chat.said == ["opened fx_rates", "updated fx_rates"]
    assert "4 partitions" in board.chat.messages[-1].text
    board.later(minutes=30)
    board.grows(LATE, 5)
    board.rounds()
    assert len(board.chat.said) == 2
    board.passes(31)
    assert board.chat.said == ["opened fx_rates", "updated fx_rates", "updated fx_rates"]


def test_nothing_overtakes_what_was_told_before_it(board: Board) -> None:
    """An update is in the alert that could not be sent yet; once it is over, the all-clear alone says all of it."""
    board.mail.is_down()
    board.alerting = replace(board.alerting, routes=(Route(channels=("mail",)),))
    board.wrong(BAD, LATE)
    board.round()
    board.grows(BAD, 2)
    board.grows(LATE, 3)
    board.well(LATE)
    board.rounds()
    board.mail.is_up()
    board.passes(2)
    assert board.mail.said == ["opened orders", "resolved fx_rates"]
    assert "It is over: fx_rates" in board.mail.messages[1].text


# -- what is over before anybody was told


def test_what_is_over_before_anybody_was_told_is_one_message_and_no_page(any_board: Board) -> None:
    """The watch was down over night: who comes after the pager reads in the morning what was wrong, and until when."""
    board = any_board
    board.wrong(BAD, LATE)
    board.grows(BAD, 2)
    board.well(BAD, LATE)
    board.later(hours=8)
    board.passes(90)
    assert board.pager.tried == 0
    assert (board.mail.said, board.chat.said) == (["resolved orders"], ["resolved fx_rates"])
    text = board.mail.messages[0].text
    assert text.startswith("It is over: orders 2025-01-05: did not pass")
    assert "It lasted " in text
    assert list(board.unrouted()) == []


def test_what_is_long_over_is_not_told_at_all(board: Board) -> None:
    """A laptop that is opened after two months."""
    board.wrong(BAD, LATE)
    board.well(BAD, LATE)
    board.later(days=8)
    board.rounds()
    assert (board.pager.tried, board.mail.tried, board.chat.tried) == (0, 0, 0)
    assert list(board.unrouted()) == []


def test_what_was_about_to_be_told_and_is_long_over_ends_nothing(board: Board) -> None:
    """Nobody was told by the chat, so there is nothing for it to take back."""
    board.chat.is_down()
    board.wrong(LATE)
    board.round()
    board.well(LATE)
    board.chat.is_up()
    board.later(days=8)
    board.rounds()
    assert board.chat.said == []
    assert None not in board.outcomes()


def test_what_nobody_was_to_be_told_of_is_not_told_when_it_is_over(board: Board) -> None:
    """Whatever the routes say by then: that its route names no channel is a decision."""
    routes, board.alerting = board.alerting.routes, replace(board.alerting, routes=(Route(),))
    board.wrong(LATE)
    board.round()
    board.alerting = replace(board.alerting, routes=routes)
    board.well(LATE)
    board.rounds()
    assert (board.chat.tried, list(board.unrouted())) == (0, [])


def test_an_update_that_waits_is_not_sent_once_it_is_over(board: Board) -> None:
    board.wrong(LATE)
    board.round()
    board.grows(LATE, 3)
    board.round()
    board.well(LATE)
    board.rounds()
    board.passes(90)
    assert board.chat.said == ["opened fx_rates", "resolved fx_rates"]


def test_what_becomes_worse_is_told_at_once_and_to_whom_that_concerns(board: Board) -> None:
    """A warning in the chat that becomes critical pages somebody."""
    board.wrong(LATE)
    board.round()
    board.grows(LATE, 2, severity=Severity.CRITICAL)
    board.rounds()
    assert board.chat.said == ["opened fx_rates", "updated fx_rates"]
    assert board.pager.said == ["updated fx_rates"]
    board.well(LATE)
    board.rounds()
    assert board.chat.said[-1] == board.pager.said[-1] == "resolved fx_rates"


def test_what_nobody_was_told_of_is_routed_anew_when_it_grows(board: Board) -> None:
    """It concerned nobody as a warning; it does now."""
    board.alerting = replace(board.alerting, routes=(board.alerting.routes[0], Route()))
    board.wrong(LATE)
    board.rounds()
    board.grows(LATE, 2, severity=Severity.CRITICAL)
    board.rounds()
    board.well(LATE)
    board.rounds()
    assert (board.pager.said, board.chat.said) == (["updated fx_rates", "resolved fx_rates"], [])


# -- who does not want to hear


def test_a_silenced_incident_is_told_when_the_silence_ends(board: Board) -> None:
    """As it is then, once."""
    board.silences(30, asset="orders")
    board.wrong(BAD, LATE)
    board.grows(BAD, 3)
    board.passes(29)
    assert (board.pager.said, board.chat.said) == ([], ["opened fx_rates"])
    board.passes(2)
    assert board.pager.said == ["opened orders"]
    board.passes(90)
    assert board.pager.said == ["opened orders"]


def test_what_begins_and_ends_in_silence_is_never_told(board: Board) -> None:
    """Also if nobody looks before the silence is over."""
    board.silences(30)
    board.wrong(BAD)
    board.round()
    board.wrong(LATE)
    board.well(BAD)
    board.rounds()
    board.well(LATE)
    board.later(minutes=45)
    board.rounds()
    assert (board.pager.said, board.chat.said, list(board.unrouted())) == ([], [], [])


def test_who_was_told_before_the_silence_hears_the_all_clear(board: Board) -> None:
    board.wrong(BAD)
    board.round()
    board.silences(600)
    board.grows(BAD, 3)
    board.passes(90)
    board.well(BAD)
    board.rounds()
    assert board.pager.said == ["opened orders", "resolved orders"]
    assert list(board.unrouted()) == []


def test_a_silence_also_stops_what_was_about_to_be_told(board: Board) -> None:
    """An update that waits for its hour, and an alert whose channel is down."""
    board.chat.is_down()
    board.wrong(BAD, LATE)
    board.round()
    board.grows(BAD, 2)
    board.round()
    board.silences(300)
    board.chat.is_up()
    board.passes(120)
    assert (board.pager.said, board.chat.said, board.mail.said) == (["opened orders"], [], [])
    board.well(LATE)
    board.passes(200)
    assert (board.chat.said, board.mail.said) == ([], [])
    assert board.pager.said == ["opened orders", "updated orders"]


def test_who_has_taken_it_on_hears_only_that_it_is_over(board: Board) -> None:
    board.wrong(BAD)
    board.round()
    board.grows(BAD, 2)
    board.round()
    board.acknowledges()
    board.grows(BAD, 3)
    board.passes(90)
    board.well(BAD)
    board.rounds()
    assert board.pager.said == ["opened orders", "resolved orders"]


def test_what_becomes_worse_is_told_although_somebody_had_taken_on_what_it_was(board: Board) -> None:
    """Whoever sees it become worse takes the mark off: what was taken on was a warning."""
    board.wrong(LATE)
    board.round()
    board.acknowledges("fx_rates")
    board.grows(LATE, 2)
    board.passes(90)
    assert board.chat.said == ["opened fx_rates"]
    board.acknowledges("fx_rates", at=None)
    board.grows(LATE, 3, severity=Severity.CRITICAL)
    board.rounds()
    assert (board.chat.said, board.pager.said) == (["opened fx_rates", "updated fx_rates"], ["updated fx_rates"])


def test_that_it_is_known_why_is_told_although_somebody_had_taken_on_that_it_is_late(board: Board) -> None:
    """The pipeline that misses its deadline and then fails has one incident, whose cause becomes another."""
    late = replace(BAD, cause=CauseClass.DEADLINE_MISSED, asset="", severity=Severity.CRITICAL)
    board.wrong(late)
    board.round()
    board.acknowledges("")
    board.acknowledges("", at=None)
    board.wrong(BAD)
    board.passes(70)
    assert board.pager.messages[0].facts["cause"] == "deadline_missed"
    assert [each.kind for each in board.pager.messages] == ["opened", "updated"]
    assert board.pager.messages[1].facts["cause"] == "gate_failed"


# -- information and reports


def test_information_that_no_channel_takes_is_given_up_after_a_day(
    board: Board, caplog: pytest.LogCaptureFixture
) -> None:
    """So is an incident that is no more than that; one that is, is tried for as long as it takes."""
    board.alerting = replace(board.alerting, lines={**board.alerting.lines, "chat": Line("chat", board.chat)})
    board.subscribes("chat")
    board.chat.is_down()
    board.informs()
    board.wrong(LATE, replace(LATE, asset="other", severity=Severity.INFO))
    board.round()
    board.later(hours=23)
    board.round()
    assert board.outcomes() == {None: 3}
    board.later(hours=2)
    board.round()
    assert board.outcomes() == {None: 1, "dropped": 2}
    assert "about model_promoted, is given up: for a day chat did not take it: answered 500" in caplog.text
    board.chat.is_up()
    board.passes(15)
    assert board.chat.said == ["opened fx_rates"]


def test_information_of_days_ago_is_still_tried_once(board: Board) -> None:
    """That nobody saw to the outbox is no failure of the channel."""
    board.subscribes("chat")
    board.informs()
    board.later(days=3)
    board.round()
    assert board.chat.said == ["information model_promoted"]


def test_information_goes_to_who_has_subscribed_and_to_nobody_else(board: Board) -> None:
    board.subscribes("chat", "model_promoted")
    board.informs("model_promoted")
    board.informs("repaired")
    assert board.round().dropped == 1
    board.rounds()
    assert board.chat.said == ["information model_promoted"]
    assert (board.pager.said, board.mail.said, list(board.unrouted())) == ([], [], [])


def test_information_never_becomes_a_page(board: Board) -> None:
    """Not even when its channel is down and the next one would be the pager."""
    lines = {**board.alerting.lines, "chat": Line("chat", board.chat, then="pager")}
    board.alerting = replace(board.alerting, lines=lines)
    board.subscribes("chat", "model_promoted", "source_late")
    board.chat.is_down()
    board.informs()
    board.wrong(replace(LATE, severity=Severity.INFO))
    board.passes(60)
    assert board.pager.said == []
    board.chat.is_up()
    board.passes(15)
    assert sorted(board.chat.said) == ["information model_promoted", "opened fx_rates"]


def test_a_report_is_made_when_it_is_sent_and_goes_out_as_the_mail_it_is(board: Board) -> None:
    """One that cannot be made is tried again, and holds up nothing."""
    board.subscribes("mail", "report", "model_promoted")
    board.reports()
    board.informs()
    board.round()
    assert board.mail.said == ["information model_promoted"]  # nobody can make it yet: it waits
    outcomes: list[object] = [ValueError("no chart"), EmailMessage()]

    def render(_: object, notice: notices.Notice) -> EmailMessage:
        outcome = outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        assert isinstance(outcome, EmailMessage)
        outcome["Subject"] = f"The shop on {notice.payload['partition']}"
        outcome.set_content("Revenue: 12")
        return outcome

    board.alerting = replace(board.alerting, reporting=render)
    assert board.round().problems == ("mail: the message could not be made: ValueError",)
    board.passes(1)
    (message,) = (each for each in board.mail.messages if each.kind == "report")
    assert (message.title, message.text) == ("The shop on 2025-01-05", "Revenue: 12\n")
    assert message.mail is not None


def test_another_environments_notices_are_let_be(board: Board, tmp_path: Path) -> None:
    """A branch that shares the ledger has its own incidents, and its own file."""
    board.wrong(BAD)
    given = settings({"TIDEMARK_HOME": str(board.deployment.settings.home), "TIDEMARK_ENVIRONMENT": "branch"})
    with open_deployment(given) as branch:
        assert board.round(branch) == Drained()
    assert board.round().sent == 1


def test_a_round_with_nothing_to_do_writes_nothing(board: Board, monkeypatch: pytest.MonkeyPatch) -> None:
    """It comes every second: it must not take the ledger's write lock from those who work."""
    board.silences(60, asset="orders")
    board.chat.is_down()
    board.mail.is_down()
    board.wrong(BAD, LATE)
    board.rounds()
    monkeypatch.setattr(type(board.deployment.ledger), "write", lambda self: pytest.fail("it writes"))
    assert board.round() == Drained()


def test_the_outbox_of_one_home_is_found_again(tmp_path: Path) -> None:
    """The notices are in the ledger, so who opens it later finds them."""
    with open_board(tmp_path / "home") as board:
        board.wrong(BAD)
    with open_board(tmp_path / "home") as board:
        assert board.round().sent == 1
        assert board.pager.said == ["opened orders"]


def test_no_secret_is_kept_in_the_ledger_or_logged(
    board: Board, hook: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    """What a failed attempt came up with is kept, and shown to who asks; the address and the key are not."""
    caplog.set_level(logging.DEBUG)
    key, token = "hunter2-hunter2", "t0ken-of-the-hook"
    hook.answers = [500, "closes", (429, {"Retry-After": "1"}), 404]
    line = Line("desk", Webhook(f"{hook.url}/in?token={token}", key))
    board.alerting = Alerting({"desk": line}, (Route(channels=("desk",)),))
    board.wrong(BAD)
    problems = set()
    for _ in range(6):
        board.round()
        problems |= set(board.problems())
        board.later(minutes=11)
    assert problems == {"answered 500", "could not be reached: RemoteProtocolError", "answered 429", "answered 404"}
    assert len(hook.got) == 5
    kept = b"".join(each.read_bytes() for each in board.deployment.settings.home.glob("ledger.db*"))
    for secret in (key, token):
        assert secret.encode() not in kept
        assert secret not in caplog.text + repr(board.alerting) + repr(line)
