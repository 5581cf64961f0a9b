"""What the ledger says of a report, in sentences: the same in text and HTML."""

from collections.abc import Iterator

from tidemark.reports.standing import InForce, Standing

NEWER = "This report, as it is by now"


def told_state(standing: Standing) -> list[str]:
    """Return whether a report is final, and what it lacks if not."""
    if standing.is_final:
        return ["Final: nothing that it is made from is missing."]
    return ["Provisional: it is made anew when this comes.", *(f"- {each}." for each in standing.lacks)]


def told_models(standing: Standing) -> list[tuple[str, list[str]]]:
    """Return for each model a heading, and which version is in force and how good it is."""
    return [(f"Model in force: {each.model}", list(_told(each))) for each in standing.models]


def _told(model: InForce) -> Iterator[str]:
    if model.version is None:
        yield "None on this day."
        return
    assert model.since is not None
    yield (
        f"Version {model.version}, trained for {model.trained}, in force since {model.since:%Y-%m-%d %H:%M} UTC, "
        f"promoted by {model.by}."
    )
    if model.metrics:
        yield "When it was judged: " + ", ".join(
            f"{each.name}{' (business)' if each.business else ''} "
            + ("not measured" if each.value is None else f"{each.value:.3g}")
            for each in model.metrics
        )
    else:
        yield "It was promoted without having been judged."


def told_incidents(standing: Standing) -> tuple[str, list[str]]:
    """Return a heading, and a sentence for each open incident; that there is none is said, too."""
    said = [
        f"{each.severity}, since {each.opened_at:%Y-%m-%d %H:%M} UTC: {each.summary}"
        + ("" if each.acknowledged_at is None else " (somebody is on it)")
        for each in standing.incidents
    ]
    if standing.unseen:
        others = "incident" if standing.unseen == 1 else "incidents"
        said.append(f"{standing.unseen} {others} of pipelines that you may not see.")
    return "Open incidents", said or ["None."]


def told_origin(standing: Standing) -> list[str]:
    """Return what it takes to ask where the figures come from."""
    owner = f" Owner: {standing.owner}." if standing.owner else ""
    return [
        f"Data version {standing.version}, made {standing.made_at:%Y-%m-%d %H:%M} UTC by the pipeline "
        f"{standing.pipeline}.{owner}",
        f"'tidemark explain {standing.asset} {standing.partition}' says from what.",
    ]
