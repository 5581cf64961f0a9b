"""The form of the "Trigger" button: what a person can ask a run for, and what that means for the plan.

Invariant: an untouched form asks for nothing special, so that a scheduled run and a triggered one do the same.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from airflow.sdk import Param

from tidemark.assets import Asset, Pipeline
from tidemark.config import parse_instant
from tidemark.definitions import with_search
from tidemark.errors import UsageError, listed
from tidemark.search import Search, problem_of
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
    searched = [_search_fields(each.name, each.search) for each in pipeline.assets if each.search]
    assets = "|".join(each.name for each in pipeline.assets)
    sources = "|".join(each.name for each in pipeline.sources)
    return {name: field for fields in searched for name, field in fields} | {
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


def _search_fields(model: str, search: Search) -> Iterator[tuple[str, Param]]:
    yield (
        f"{model}_trials",
        Param(
            search.trials,
            type="integer",
            minimum=1,
            maximum=1000,
            title=f"Trials of {model}",
            description="How many hyper-parameters are tried, each by a task of its own. What a run trains in another "
            "way than the file says is a candidate until the next run: write it into the file to keep it.",
        ),
    )
    yield (
        f"{model}_space",
        Param(
            {name: dict(each) for name, each in search.space.items()},
            type="object",
            title=f"Search space of {model}",
            description='Such as `{"alpha": {"low": 0.001, "high": 1.0, "log": true}}`, or `{"depth": {"choices": '
            "[2, 3]}}`.",
        ),
    )


def asked_pipeline(answers: Mapping[str, Any], pipeline: Pipeline) -> Pipeline:
    """Return the pipeline as a filled-in form wants its searches; the pipeline itself if the form was left as it was.

    Raises:
        UsageError: a space is none, or has other hyper-parameters than the definition's.

    """
    assets = tuple(_asked_model(answers, each) for each in pipeline.assets)
    return pipeline if assets == pipeline.assets else replace(pipeline, assets=assets)


def asked_of_searches(answers: Mapping[str, Any], pipeline: Pipeline) -> dict[str, Any]:
    """Return the answers of a form that :func:`asked_pipeline` looks at, for those who have no form."""
    names = [f"{each.name}_{what}" for each in pipeline.assets if each.search for what in ("trials", "space")]
    return {name: answers[name] for name in names if name in answers}


def _asked_model(answers: Mapping[str, Any], asset: Asset) -> Asset:
    search = asset.search
    if search is None:
        return asset
    trials = answers.get(f"{asset.name}_trials", search.trials)
    space = answers.get(f"{asset.name}_space", search.space)
    if json.loads(json.dumps(space)) == json.loads(
        json.dumps({name: dict(each) for name, each in search.space.items()})
    ):
        space = search.space  # a browser writes 1.0 as 1, which would be another range
    if trials == search.trials and space is search.space:
        return asset
    problem = problem_of(trials, space)
    if problem is None and space.keys() != search.space.keys():
        problem = f"it has to name {listed(search.space)}, and names {listed(space)}"
    if problem is not None:
        raise UsageError(f"Search space of {asset.name}: {problem}")
    return with_search(asset, replace(search, trials=trials, space=space))


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
