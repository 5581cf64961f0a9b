"""The form of the "Trigger" button: what a person can ask a run for, and what that means for the plan.

Invariant: an untouched form asks for nothing special, so that a scheduled run and a triggered one do the same.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from airflow.sdk import Param

from tidemark.assets import Pipeline
from tidemark.config import parse_instant
from tidemark.selection import read_selection
from tidemark.survey import Selection


@dataclass(frozen=True)
class Asked:
    """What a run was asked for.

    Attributes:
        as_of: the instant to take for now, or None for what the deployment says.
        selection: which partitions.
        confirmed: sources of which a person says that many files are gone on purpose.

    """

    as_of: datetime | None
    selection: Selection
    confirmed: frozenset[str]


def form_of(pipeline: Pipeline) -> dict[str, Param]:
    """Return the form's fields; Airflow refuses a run whose answers do not fit them."""
    assets = "|".join(each.name for each in pipeline.assets)
    sources = "|".join(each.name for each in pipeline.sources)
    return {
        "as_of": Param(
            None,
            type=["null", "string"],
            format="date-time",
            title="As of",
            description="The instant to take for now. Empty: the clock's. It never goes back within an environment.",
        ),
        "from": Param(
            None,
            type=["null", "string"],
            format="date",
            title="From",
            description="Only partitions that begin on this day or later.",
        ),
        "to": Param(
            None,
            type=["null", "string"],
            format="date",
            title="To",
            description="Only partitions that begin on this day or earlier.",
        ),
        "force": Param(
            [],
            type="array",
            items={"type": "string", "pattern": f"^({assets})(:.+)?$"},
            title="Compute again",
            description="One `ASSET` or `ASSET:PARTITION` a line: computed whatever is known of it.",
        ),
        "confirm_withdrawals": Param(
            [],
            type="array",
            items={"type": "string", "pattern": f"^({sources})$"},
            title="Files are gone on purpose",
            description="One source a line. A plan refuses when many files of a source vanish at once, "
            "until somebody says here that it is meant.",
        ),
    }


def read_form(answers: Mapping[str, Any], pipeline: Pipeline) -> Asked:
    """Return what a filled-in form asks for.

    Raises:
        UsageError: From lies after To, or there is no such asset or key.

    """
    return Asked(
        as_of=parse_instant(answers["as_of"]) if answers["as_of"] else None,
        selection=read_selection(
            pipeline, answers["from"], answers["to"], answers["force"] or (), names=("From", "To")
        ),
        confirmed=frozenset(pipeline.source(name).name for name in answers["confirm_withdrawals"] or ()),
    )
