"""Plays the chapters of the story one by one in a running Airflow, and says in a line what came of each."""

import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.message import EmailMessage

from demo.check import Outcome, differences, problems_of
from demo.expected import Heads, Oracle, Partitions
from demo.mail import mails_in
from demo.mail import text as mail_text
from demo.memory import Memory, Playing
from demo.record import count, definitions_of, heads_of, newest_plan, work_since
from demo.screen import Screen, Tell
from demo.services import Services
from demo.story import FIRST_RUN, PRICE_LIST, Chapter
from demo.watch import LOOK_EVERY, Run, Watch
from tidemark.assets import Pipeline
from tidemark.catalog import load_catalog
from tidemark.deployment import Deployment

MAILS_WITHIN = 60.0
"""Seconds after which a mail that must come is waited for no longer."""

_EVER = datetime.min.replace(tzinfo=UTC)


@dataclass
class Stage:
    """What the story is played on.

    Attributes:
        services: Airflow and the rest, running.
        watch: looks at Airflow.
        deployment: the ledger.
        memory: how far the story went.
        remember: writes the memory down.
        oracle: knows what must come of things.
        screen: the terminal.
        problems: how many things were not as expected.

    """

    services: Services
    watch: Watch
    deployment: Deployment
    memory: Memory
    remember: Callable[[], None]
    oracle: Oracle
    screen: Screen
    problems: int = field(default=0)

    def pipelines(self, *names: str) -> list[Pipeline]:
        """Return pipelines as their files define them now, each once."""
        catalog = load_catalog(self.deployment.settings.dags)
        return [catalog.pipeline(name) for name in dict.fromkeys(names)]

    def play(self, chapter: Chapter) -> None:
        """Play a chapter, say what came of it, and remember that.

        Raises:
            WatchError: no run starts, or it does not end.
            ServicesError: a service has ended.

        """
        started = time.monotonic()
        with self.screen.going_on(chapter.name) as tell:
            resumed = self._resumed(chapter)
            playing = self.memory.playing if resumed else None
            if playing is None:
                playing = self._begin(chapter, tell)
            since = _EVER if chapter.name == FIRST_RUN else datetime.now(UTC)
            tell(chapter.happens, 0, 0)
            chapter.deed()
            run = self._run(chapter, playing.mark, since, tell, by_hand=resumed or not chapter.by_arrival)
            ran, failed = self.watch.ran(chapter.pipeline, run)
        pipelines = self.pipelines(PRICE_LIST, chapter.pipeline)
        mails = self._mails(chapter, playing.mails, {each.name for one in pipelines for each in one.members})
        outcome = Outcome(
            before=playing.before,
            after=heads_of(self.deployment, pipelines),
            work=work_since(self.deployment, playing.mark),
            state=str(run["state"]),
            tasks=None if resumed else ran,
            failed=failed,
            mails=[str(mail["Subject"]) for mail in mails],
        )
        assets = [each.name for each in pipelines[-1].assets]
        problems = problems_of(chapter, outcome, self.oracle, assets)
        line = said(chapter, outcome, assets, time.monotonic() - started)
        self._show(chapter, line, problems, run, [mail_text(mail) for mail in mails])
        self.memory.played[chapter.name] = line
        if problems:
            self.memory.wrong.append(chapter.name)
        self.memory.playing = None
        self.remember()

    def look_again(self) -> None:
        """Check, in a demo that goes on, that what is served is right: a run must find what it finds, and no more.

        Raises:
            WatchError: no run starts, or it does not end.
            ServicesError: a service has ended.

        """
        name = "what is served"
        with self.screen.going_on(name) as tell:
            tell("a person presses Trigger", 0, 0)
            self.watch.appears(PRICE_LIST, lambda: None)
            self.watch.quiet(PRICE_LIST, lambda: None)
            pipeline = self.pipelines(PRICE_LIST)[0]
            before, mark = heads_of(self.deployment, [pipeline]), newest_plan(self.deployment)
            definitions = definitions_of(self.deployment, PRICE_LIST)
            run = self.watch.by_hand(PRICE_LIST, lambda: None)
        after, work = heads_of(self.deployment, [pipeline]), work_since(self.deployment, mark)
        assets = [each.name for each in pipeline.assets]
        ran = work.came_to("computed", "restored")
        edited = definitions_of(self.deployment, PRICE_LIST) != definitions
        problems = [] if edited else differences("ran", ran, self.oracle.runs(before, after, assets))
        if run["state"] != "success":
            problems.append(f"the run ended as {run['state']}: {self.watch.why_failed(PRICE_LIST, run)}")
        why = "the definitions have changed since" if edited else "deliveries have changed since"
        results = sum(len(after[each]) for each in assets)
        line = (
            f"ran: {counts(ran, assets)}: {why}" if ran else f"nothing ran: all {results} results are as they were left"
        )
        self.problems += len(problems)
        if problems:
            self.screen.wrong(name, line, problems)
        else:
            self.screen.well(name, line)

    def _mails(self, chapter: Chapter, before: int, names: Collection[str]) -> list[EmailMessage]:
        """Wait for the mails that must come, and return those about what has one of these names.

        It is the watch that sends them, and sees what is late: soon, and not at once.
        """
        end = time.monotonic() + MAILS_WITHIN
        while True:
            every = mails_in(self.services.folder / "mail")[before:]
            found = [mail for mail in every if any(f" {name} " in str(mail["Subject"]) for name in names)]
            if len(found) >= len(chapter.mails) or time.monotonic() > end:
                return found
            time.sleep(LOOK_EVERY)

    def _resumed(self, chapter: Chapter) -> bool:
        return self.memory.playing is not None and self.memory.playing.chapter == chapter.name

    def _begin(self, chapter: Chapter, tell: Tell) -> Playing:
        """Write down that a chapter begins, and how everything is before it."""
        if chapter.name == FIRST_RUN:  # which may have begun by itself by now
            playing = Playing(chapter.name, 0, 0, {})
        else:
            tell("waiting for a quiet moment", 0, 0)
            self.watch.quiet(PRICE_LIST, lambda: None)
            before = heads_of(self.deployment, self.pipelines(PRICE_LIST))
            playing = Playing(
                chapter.name, newest_plan(self.deployment), len(mails_in(self.services.folder / "mail")), before
            )
        self.memory.playing = playing
        self.remember()
        return playing

    def _run(self, chapter: Chapter, mark: int, since: datetime, tell: Tell, *, by_hand: bool) -> Run:
        look = self._look(chapter, mark, tell)
        self.watch.appears(chapter.pipeline, look)
        if by_hand:
            return self.watch.by_hand(chapter.pipeline, look)
        return self.watch.by_arrival(chapter.pipeline, since, look)

    def _look(self, chapter: Chapter, mark: int, tell: Tell) -> Callable[[], None]:
        """Return what shows how far a run is: deliveries while they are looked at, then partitions."""
        expected = count(chapter.arrives)

        def look() -> None:
            work = work_since(self.deployment, mark)
            if work.planned:
                tell("computing partitions", work.done, work.planned)
            elif chapter.name == FIRST_RUN:
                heads = heads_of(self.deployment, self.pipelines(PRICE_LIST))
                accepted = sum(len(heads[name]) for name in chapter.arrives)
                tell("checking deliveries", accepted, expected)

        return look

    def _show(self, chapter: Chapter, line: str, problems: Sequence[str], run: Run, mails: Sequence[str]) -> None:
        if problems:
            self.problems += len(problems)
            self.screen.wrong(chapter.name, line, problems)
            if run["state"] == "failed" and not chapter.red:
                self.screen.error(f"    {self.watch.why_failed(chapter.pipeline, run)}")
        else:
            self.screen.well(chapter.name, line)
        for mail in mails:
            self.screen.quote("The mail that was sent, caught here", mail)


def said(chapter: Chapter, outcome: Outcome, assets: Sequence[str], seconds: float) -> str:
    """Return in a line what ran, what did not, and why."""
    ran = outcome.work.came_to("computed", "restored")
    rest = sum(len(outcome.after.get(name, {})) for name in assets) - count(ran)
    parts = [f"ran: {counts(ran, assets)}" if ran else "nothing ran"]
    if rest:
        parts.append(f"{rest} did not: {chapter.because}" if ran else f"{rest} results stay: {chapter.because}")
    marks = marks_said(outcome.before, outcome.after)
    if marks:
        parts.append(marks)
    if chapter.red:
        parts.append("the run is red")
    if outcome.mails:
        parts.append("one mail" if len(outcome.mails) == 1 else f"{len(outcome.mails)} mails")
    return f"{chapter.happens} → {'; '.join(parts)} ({seconds:.0f} s)"


def counts(partitions: Partitions, assets: Sequence[str]) -> str:
    """Return how many partitions of each asset there are, in words."""
    return ", ".join(f"{len(partitions[name])} {name}" for name in assets if partitions.get(name))


def marks_said(before: Heads, after: Heads) -> str:
    """Return how many more or fewer results are provisional, in words."""
    was, now = (sum(bool(live.lacks) for some in heads.values() for live in some.values()) for heads in (before, after))
    if now > was:
        return f"{now - was} {'more ' if was else ''}provisional"
    return f"{was - now} no longer provisional" if was > now else ""
