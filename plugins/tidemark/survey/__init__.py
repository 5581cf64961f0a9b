"""The survey: what each partition of a pipeline would be computed from now, and whether its head still is just that.

A pure function of definitions, the ledger's answers (:class:`Facts`) and the as-of instant. Planner, runner and explain
all ask the same survey, so that they cannot disagree.

Invariants:

* A partition is judged after everything that it reads, so a judgement never has to be taken back.
* Equal judgements have equal action keys; an action key holds no clock, no path and no completeness.
* What is missing travels beside the data (``View.roots``), never into an action key.
* A sweep that begins with what has changed judges as one that looks at everything does.

``given`` is what it is given, ``tracks`` are assets along their partitions, ``reads`` what one input reads, ``sources``
what others deliver; ``survey`` judges one partition, ``verification`` finds those that are not plainly fresh, ``clock``
what time alone changes, and ``sweep`` goes through all that has to be judged.
"""

from tidemark.survey.given import EVERYTHING, Delivered, Facts, Selection, Stored, Upstream
from tidemark.survey.judgement import STANDING, Certainty, Judgement, Member, Read, State, View
from tidemark.survey.survey import ATTEMPTS, Edges, Survey
from tidemark.survey.sweep import Changes, EdgeMovedError, Sweep

__all__ = [
    "ATTEMPTS",
    "EVERYTHING",
    "STANDING",
    "Certainty",
    "Changes",
    "Delivered",
    "EdgeMovedError",
    "Edges",
    "Facts",
    "Judgement",
    "Member",
    "Read",
    "Selection",
    "State",
    "Stored",
    "Survey",
    "Sweep",
    "Upstream",
    "View",
]
