"""What a run does with a candidate: validate it, register it, and put it into words for those who decide."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from tidemark.approvers import changes
from tidemark.assets import Pipeline
from tidemark.deployment import Deployment
from tidemark.explain import short
from tidemark.gate import Outcome
from tidemark.ledger import heads, registry, validations
from tidemark.ledger.records import inputs_of
from tidemark.ledger.validations import Registration
from tidemark.models.aliases import registry_url
from tidemark.models.known import named
from tidemark.models.tracking import Registered, register
from tidemark.models.validating import Challenge, Report, challenge, champion_alone
from tidemark.validation import Limit

MOST_FEATURES = 10
"""Features that are shown with their drift, the farthest first."""


@dataclass(frozen=True)
class Presented:
    """A candidate that was validated.

    Attributes:
        challenge: how it came out.
        registered: where the registry has it; None: it did not pass, or there is no registry.
        page: all that a person needs to decide, as Markdown.

    """

    challenge: Challenge
    registered: Registered | None
    page: str

    @property
    def passed(self) -> bool:
        """Whether a person may be asked."""
        return self.challenge.passed

    @property
    def version(self) -> str:
        """The candidate's data version, in hex."""
        assert self.challenge.candidate.data_version is not None
        return self.challenge.candidate.data_version.hex()


def present(
    deployment: Deployment,
    pipeline: Pipeline,
    name: str,
    *,
    again: bool = False,
    revived: bool = False,
    run: str,
    actor: str,
    link: str = "",
) -> Presented | None:
    """Validate the candidate of a model and register it if it passes; None: none awaits a decision.

    With it, or without one, the champion is registered that the registry has not, or has lost. ``again`` judges it
    also if it did not pass before, ``revived`` also if its promotion was rolled back; ``link`` is the page of the run.

    Raises:
        Refused: the candidate would be trained otherwise by now.
        Unavailable: the ledger, the store or the registry cannot be used; the next run tries again.

    """
    url = registry_url() if deployment.environment == heads.PROD else None  # a branch has no models of its own
    made = challenge(deployment, pipeline, name, again=again, revived=revived, run=run, actor=actor, link=link)
    if url is not None and (made is None or not made.passed):
        _register_champion(url, deployment, pipeline, name, run=run, actor=actor)
    if made is None:
        return None
    registered = None
    if made.passed and url is not None:
        number, known = _known(deployment, name)
        champion = made.champion
        if champion is not None and champion.data_version not in known and made.rival is not None:
            register(url, deployment, number, champion, made)
        registered = register(url, deployment, number, made.candidate, made)
    return Presented(made, registered, "\n".join(_page(deployment, made, registered)))


def _register_champion(
    url: str, deployment: Deployment, pipeline: Pipeline, name: str, *, run: str, actor: str
) -> None:
    made = champion_alone(deployment, pipeline, name, run=run, actor=actor)
    if made is not None:
        number, known = _known(deployment, name)
        if made.candidate.data_version not in known:
            register(url, deployment, number, made.candidate, made, as_candidate=False)


def _known(deployment: Deployment, name: str) -> tuple[int, dict[bytes, Registration]]:
    """Return a model's number, and what the registry calls each content of it."""
    with deployment.ledger.read() as connection:
        number = registry.assets(connection)[name].id
        return number, validations.registrations(connection, number)


def _page(deployment: Deployment, made: Challenge, registered: Registered | None) -> Iterator[str]:
    candidate, champion = made.candidate, made.champion
    yield f"**Candidate** {named(made.asset.name, candidate)}"
    yield ""
    against = named(made.asset.name, champion) if champion else "none: it would be the first"
    yield f"**Champion** {against}"
    yield ""
    assert made.asset.validation is not None
    yield from metrics_table(made.report, made.asset.validation.limits)
    said = [each for each in (made.report["note"], *made.report["problems"]) if each]
    if said:
        yield from (f"- {plain(each)}" for each in said)
        yield ""  # or what follows would be more of the last point
    gate = made.report["gate"]
    if gate is not None:
        yield f"The gate `{gate['suite']}` {gate['outcome']} the predictions ({made.report['rows']} rows)."
        if gate["outcome"] != Outcome.BLOCKED:  # else they are among the problems
            yield from (f"- {plain(each)}" for each in gate["failures"])
        yield ""
    yield from _drift(made.report)
    yield from _origins(deployment, made)
    if registered is not None:
        yield f"[Run in MLflow, version {registered.registration.version}]({registered.page})"
        if registered.picture:
            yield ""
            yield f"![Predicted and actual, by tenths of the predictions]({registered.picture})"


def plain(text: str) -> str:
    """Return text that says in Markdown what it says: data, names and commits must not be able to write the page."""
    return re.sub(r"([\\`*_{}\[\]()<>#+!|~&-])", r"\\\1", " ".join(text.split()))


def metrics_table(report: Report, limits: Mapping[str, Limit]) -> Iterator[str]:
    """Yield the lines of a Markdown table of all metrics, the business one first, and what each has to keep."""
    business = report["business"]
    yield "| metric | candidate | champion | bound |"
    yield "| --- | ---: | ---: | ---: |"
    for name, each in sorted(report["metrics"].items(), key=lambda item: item[0] != business):
        shown = f"**{plain(name)}** (business)" if name == business else plain(name)
        bound = _number(each["bound"])
        if bound and name in limits:
            bound = f"at {'most' if limits[name].less_is_better else 'least'} {bound}"
        yield f"| {shown} | {_number(each['candidate'])} | {_number(each['champion'])} | {bound} |"
    yield ""


def _drift(report: Report) -> Iterator[str]:
    """Yield the features whose training data differs most from that of the champion."""
    drifted = sorted(report["drift"], key=lambda each: -each["psi"])[:MOST_FEATURES]
    if not drifted:
        return
    yield "| feature | PSI against the champion's training data | Kolmogorov-Smirnov |"
    yield "| --- | ---: | ---: |"
    for each in drifted:
        yield f"| {plain(each['feature'])} | {each['psi']:.2f} | {each['ks']:.2f} |"
    yield ""


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def _origins(deployment: Deployment, made: Challenge) -> Iterator[str]:
    """Yield what the candidate was made from: data, code, and who wrote what changed."""
    with deployment.ledger.read() as connection:
        names = {each.id: each.name for each in registry.assets(connection).values()}
        inputs = inputs_of(connection, [made.candidate.id]).get(made.candidate.id, [])
        edits = list(changes(connection, made.asset, made.candidate, made.champion))
    yield "| trained from | partitions | data version |"
    yield "| --- | --- | --- |"
    for read in inputs:
        keys = [key for key, version, _ in read.members if version is not None]
        span = f"{keys[0]} .. {keys[-1]} ({len(keys)})" if keys else "nothing"
        yield f"| `{names[read.asset_id]}` | {span} | {short(read.digest)} |"
    yield ""
    if edits:
        yield "What has changed since the champion:" if made.champion else "All of its code is new:"
    else:
        yield "Nothing that trains or judges it has changed."
    yield ""
    for label, commit in edits:
        yield f"- {plain(label)}: {plain(str(commit or 'nobody knows who wrote it'))}"
    yield ""
