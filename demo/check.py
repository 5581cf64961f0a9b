"""Holds what came of a chapter against what had to: exactly, and in words where they differ. Pure functions."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date

from demo.expected import Heads, Marks, Oracle, Partitions
from demo.record import Work
from demo.story import Chapter

PLAN, VERDICT = "plan", "verdict"
_NAMED = 5


@dataclass(frozen=True)
class Outcome:
    """What came of a chapter.

    Attributes:
        before: what was live before it.
        after: what is live after it.
        work: what became of what was planned.
        state: how Airflow has the run end.
        tasks: the tasks that a worker was started for; None if an earlier run had begun with the chapter.
        failed: those of them that failed.
        mails: the mails that came about what the chapter's pipelines have, each by its subject.

    """

    before: Heads
    after: Heads
    work: Work
    state: str
    tasks: Collection[str] | None
    failed: Collection[str]
    mails: Sequence[str]


def problems_of(chapter: Chapter, outcome: Outcome, oracle: Oracle, assets: Sequence[str]) -> list[str]:
    """Return what is not as expected, a sentence each.

    Args:
        chapter: says what had to happen.
        outcome: what happened.
        oracle: works out what that means for every partition.
        assets: the chapter's assets, in order.

    """
    found: list[str] = []
    wanted_state, wanted_failed = ("failed", {VERDICT}) if chapter.red else ("success", set())
    if outcome.state != wanted_state or set(outcome.failed) != wanted_failed:
        failed = [", ".join(sorted(some)) or "none" for some in (outcome.failed, wanted_failed)]
        found.append(
            f"the run ended as {outcome.state}, expected {wanted_state}; failed tasks: {failed[0]}, not {failed[1]}"
        )
    found += _wrong_mails(chapter, outcome)
    sources = ("orders", "fx_rates")
    found += differences("content accepted", _moved(outcome, sources), chapter.arrives)
    must = oracle.runs(outcome.before, outcome.after, assets)
    found += differences("ran", outcome.work.came_to("computed"), must)
    for result in ("restored", "failed", "blocked", "waiting"):
        found += differences(result, outcome.work.came_to(result), {})
    found += differences("never reached by a worker", outcome.work.came_to_nothing(), {})
    found += _wrong_marks(outcome.after, oracle.marks(outcome.after, chapter.lacking))
    return found + _wrong_tasks(chapter, outcome)


def _wrong_mails(chapter: Chapter, outcome: Outcome) -> list[str]:
    wanted = len(chapter.mails)
    if len(outcome.mails) != wanted:
        return [f"{len(outcome.mails)} mails came, expected {wanted}"]
    return [
        f"no mail begins with {each!r}"
        for each in chapter.mails
        if not any(mail.startswith(each) for mail in outcome.mails)
    ]


def _moved(outcome: Outcome, names: Collection[str]) -> Partitions:
    found: Partitions = {}
    for name in names:
        before, after = outcome.before.get(name, {}), outcome.after.get(name, {})
        for day in {*before, *after}:
            if day not in before or day not in after or before[day].version != after[day].version:
                found.setdefault(name, set()).add(day)
    return found


def differences(what: str, had: Partitions, must: Partitions) -> list[str]:
    """Say where the partitions that something became of are not those that it had to become of."""
    found = []
    for name in sorted({*had, *must}):
        too_many, too_few = had.get(name, set()) - must.get(name, set()), must.get(name, set()) - had.get(name, set())
        if too_many:
            found.append(f"{name}: {what} though it should not have: {named(too_many)}")
        if too_few:
            found.append(f"{name}: should have, and was not: {what}: {named(too_few)}")
    return found


def _wrong_marks(after: Heads, must: Marks) -> list[str]:
    found = []
    for name, some in after.items():
        for day, live in some.items():
            wanted = must.get(name, {}).get(day, frozenset())
            if live.lacks != wanted:
                words = [", ".join(f"{source} {on}" for source, on in sorted(each)) for each in (live.lacks, wanted)]
                found.append(
                    f"{name} {day} is provisional for {words[0] or 'nothing'}, expected {words[1] or 'nothing'}"
                )
    return found[:_NAMED]


def _wrong_tasks(chapter: Chapter, outcome: Outcome) -> list[str]:
    """Say if workers were started for anything but the plan, what is in it, and a verdict that is due."""
    if outcome.tasks is None:
        return []
    planned = {name for some in outcome.work.results.values() for name in some}
    wanted = {PLAN, *planned}
    if planned or chapter.red:
        wanted.add(VERDICT)
    if set(outcome.tasks) == wanted:
        return []
    return [f"workers were started for {', '.join(sorted(outcome.tasks))}; expected {', '.join(sorted(wanted))}"]


def named(days: Collection[date]) -> str:
    """Return days in words: the first few, and how many more."""
    some = [str(day) for day in sorted(days)]
    more = f" and {len(some) - _NAMED} more" if len(some) > _NAMED else ""
    return ", ".join(some[:_NAMED]) + more
