"""The survey: what each partition of a pipeline would be computed from now, and whether its head still is just that.

A pure function of definitions, the ledger's answers (:class:`Facts`) and the as-of instant. Planner, runner and explain
all ask the same survey, so that they cannot disagree.

Invariants:

* A partition is judged after everything that it reads, so a judgement never has to be taken back.
* Equal judgements have equal action keys; an action key holds no clock, no path and no completeness.
* What is missing travels beside the data (``View.roots``), never into an action key.
"""

from tidemark.survey.given import EVERYTHING, Delivered, Facts, Gap, Selection, Upstream
from tidemark.survey.judgement import STANDING, Certainty, Judgement, Member, Read, State, View
from tidemark.survey.survey import ATTEMPTS, Survey

__all__ = [
    "ATTEMPTS",
    "EVERYTHING",
    "STANDING",
    "Certainty",
    "Delivered",
    "Facts",
    "Gap",
    "Judgement",
    "Member",
    "Read",
    "Selection",
    "State",
    "Survey",
    "Upstream",
    "View",
]
