"""A job that hangs or raises stops no other, and a watch that has gone blind says so."""

import threading
import time
from collections.abc import Callable, Iterable

import pytest

from tidemark.errors import Unavailable
from tidemark.watching.loop import Job, Loop


def until(looked: Callable[[], bool], seconds: float = 10) -> None:
    """Wait until something is so."""
    end = time.monotonic() + seconds
    while not looked():
        assert time.monotonic() < end
        time.sleep(0.02)


class Done:
    """Work that counts how often it was done."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(self) -> Iterable[str]:
        self.times += 1
        return [f"done {self.times} times"]


def said(loop: Loop) -> str:
    """What the one incident says of a watch that is blind."""
    return "".join(each.why for each in loop.blind().conditions)


def raises() -> Iterable[str]:
    raise ZeroDivisionError("on purpose")


def is_out_of_reach() -> Iterable[str]:
    raise Unavailable("the ledger is away")


def test_what_hangs_or_raises_stops_no_other(caplog: pytest.LogCaptureFixture) -> None:
    """The others go on; each trouble is logged once; after the grace they are one incident, and not before."""
    caplog.set_level("INFO")
    hangs, stop, well, told = threading.Event(), threading.Event(), Done(), list[str]()

    def hanging() -> Iterable[str]:
        hangs.wait()
        return []

    jobs = [
        Job("hanging", hanging, every=0.1, limit=0.3, hangs=told.append),
        Job("raising", raises, every=0.1),
        Job("away", is_out_of_reach, every=0.1),
        Job("well", well, every=0.1),
    ]
    loop = Loop(jobs, acts=lambda: True, grace=1.0)
    thread = threading.Thread(target=loop.run, args=(stop,))
    thread.start()
    try:
        until(lambda: bool(told))
        before = well.times
        assert loop.blind().conditions == ()
        until(lambda: "raising" in said(loop) and "hanging" in said(loop))
        assert well.times > before + 1
        assert said(loop) == "hanging: has not come back for 0.3 s\nraising: failed: ZeroDivisionError: on purpose"
        hangs.set()
        until(lambda: said(loop) == "raising: failed: ZeroDivisionError: on purpose")
    finally:
        hangs.set()
        stop.set()
        thread.join()
    warnings = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert sorted(warnings) == [
        "away: the ledger is away",
        "hanging: has not come back for 0.3 s",
        "raising: failed: ZeroDivisionError: on purpose",
    ]


def test_a_watch_that_stands_by_does_nothing_but_ask_whether_it_still_does() -> None:
    """Until it acts."""
    asked, work, stop, acts = Done(), Done(), threading.Event(), list[bool]()
    jobs = [Job("work", work, every=0.1), Job("ledger", asked, every=0.1, stands_by=True)]
    loop = Loop(jobs, acts=lambda: bool(acts), grace=60)
    thread = threading.Thread(target=loop.run, args=(stop,))
    thread.start()
    until(lambda: asked.times > 2)
    assert work.times == 0
    acts.append(True)
    until(lambda: work.times > 0)
    stop.set()
    thread.join()


def test_once_does_each_job_and_says_what_is_wrong_with_them() -> None:
    """One that hangs is not waited for longer than its limit."""
    work, never = Done(), threading.Event()

    def hanging() -> Iterable[str]:
        never.wait()
        return []

    jobs = [Job("raising", raises, 1), Job("hanging", hanging, 1, limit=0.2), Job("work", work, 1)]
    assert Loop(jobs, acts=lambda: True, grace=60).once() == [
        "raising: failed: ZeroDivisionError: on purpose",
        "hanging: has not come back for 0.2 s",
    ]
    never.set()
    assert work.times == 1
