"""The loop of the watch: jobs at intervals of their own, none of which can stop the others.

Invariants: each run of a job has a thread of its own, which nobody waits for longer than its limit; a job is not begun
again while it runs. What raises or hangs is logged once, and is wrong itself for as long as it lasts: a watch that has
gone blind says so.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from tidemark.errors import Unavailable
from tidemark.incidents.classes import CauseClass
from tidemark.incidents.conditions import Condition
from tidemark.watching.checks import Found, of_cause

log = logging.getLogger(__name__)

_TICK = 0.2
_LEAVE_SECONDS = 5.0

_OURS = "watch"


@dataclass(frozen=True)
class Job:
    """Something that is done again and again.

    Attributes:
        name: what it is, for people.
        work: does it once, and returns a line for everything that people may want to read in the log.
        every: how many seconds lie between two beginnings.
        limit: after how many seconds it is taken to hang.
        stands_by: it is done by a watch that does not act, too.
        hangs: is called with what is wrong for as long as it hangs.

    """

    name: str
    work: Callable[[], Iterable[str]]
    every: float
    limit: float = 60.0
    stands_by: bool = False
    hangs: Callable[[str], None] = lambda problem: None


@dataclass
class _Turn:
    """What is known of a job's runs."""

    job: Job
    thread: threading.Thread | None = None
    begun: float = float("-inf")
    problem: str = ""
    blind_since: float | None = None

    @property
    def runs(self) -> bool:
        return self.thread is not None and self.thread.is_alive()

    def start(self, now: float) -> None:
        self.begun = now
        self.thread = threading.Thread(target=self._run, name=f"tidemark-{self.job.name}", daemon=True)
        self.thread.start()

    def _run(self) -> None:
        try:
            for line in self.job.work():
                log.info("%s: %s", self.job.name, line)
        except Unavailable as problem:
            # Whatever is out of reach is told of by who looks after it.
            self._say(str(problem))
            self.blind_since = None
        except Exception as problem:  # whatever a check comes up with: the others go on
            self._say(f"failed: {type(problem).__name__}: {problem}")
            self.blind_since = self.blind_since or time.monotonic()
        else:
            self.problem, self.blind_since = "", None

    def note_hanging(self, now: float) -> None:
        if self.runs and now - self.begun > self.job.limit:
            self._say(f"has not come back for {self.job.limit:g} s")
            self.blind_since = self.blind_since or self.begun
            self.job.hangs(self.problem)

    def _say(self, problem: str) -> None:
        """Log what is wrong, if it was not so before."""
        if problem != self.problem:
            log.warning("%s: %s", self.job.name, problem)
        self.problem = problem


class Loop:
    """Does jobs until it is told to stop.

    Args:
        jobs: what is done.
        acts: whether this watch is the one that acts.
        grace: for how many seconds a job may fail or hang before that is wrong itself.

    """

    def __init__(self, jobs: Sequence[Job], *, acts: Callable[[], bool], grace: float) -> None:
        self._turns = [_Turn(each) for each in jobs]
        self._acts, self._grace = acts, grace

    def run(self, stop: threading.Event) -> None:
        """Do all jobs when their time has come, until the event is set; what runs then has a moment to end."""
        while not stop.wait(_TICK):
            now = time.monotonic()
            for each in self._turns:
                each.note_hanging(now)
                if not each.runs and now - each.begun >= each.job.every and (each.job.stands_by or self._acts()):
                    each.start(now)
        self._wait(_LEAVE_SECONDS)

    def once(self) -> list[str]:
        """Do each job once, those first that stand by; returns what is wrong with jobs, a sentence each."""
        for each in sorted(self._turns, key=lambda turn: not turn.job.stands_by):
            if each.job.stands_by or self._acts():
                each.start(time.monotonic())
                assert each.thread is not None
                each.thread.join(each.job.limit)
                each.note_hanging(time.monotonic())
        return [f"{each.job.name}: {each.problem}" for each in self._turns if each.problem]

    def blind(self) -> Found:
        """Find whether jobs have failed or hung for longer than the grace: that is one incident, however many do."""
        now = time.monotonic()
        blind = [each for each in self._turns if each.blind_since is not None and now - each.blind_since >= self._grace]
        scope = of_cause(CauseClass.HEARTBEAT_MISSING, [_OURS])
        if not blind:
            return Found((), scope)
        names = tuple(each.job.name for each in blind)
        wrong = Condition(
            CauseClass.HEARTBEAT_MISSING,
            "",
            _OURS,
            f"the watch cannot look after: {', '.join(names)}",
            why="\n".join(f"{each.job.name}: {each.problem}" for each in blind),
            also=tuple(f"nobody is told of what is wrong with: {name}" for name in names),
            happened=0,
        )
        return Found((wrong,), scope)

    def _wait(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        for each in self._turns:
            if each.thread is not None:
                each.thread.join(max(0.0, end - time.monotonic()))
