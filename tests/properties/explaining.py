"""Explaining: what is judged by way of what has changed since the newest plan is what looking at everything judges."""

from dataclasses import replace
from typing import Any

from tests.properties.worlds import World
from tidemark.facts import register
from tidemark.inspecting import judgement_in, survey_now
from tidemark.survey import Judgement


def check_explained(world: World) -> None:
    """Check that explain says of every partition what it would say if it looked at everything."""
    assert world.shop is not None
    with world.shop.deployment() as deployment:
        for name in world.pipelines:
            pipeline = world.shop.pipelines[name]
            names = register(deployment, pipeline)
            with deployment.ledger.read() as connection:
                quick, whole = (
                    survey_now(connection, deployment, pipeline, names, whole=each) for each in (False, True)
                )
                assert quick[0].edges == whole[0].edges
                for asset in pipeline.assets:
                    ordinals = {*whole[0].range_of(asset), *whole[0].tracks[asset.name].kept()}
                    for ordinal in sorted(ordinals):
                        one, other = (_told(judgement_in(*each, asset, ordinal)) for each in (quick, whole))
                        assert one == other, f"{asset.name} {ordinal} is explained as {one}, and is {other}"


def _told(judged: Judgement | None) -> Any:
    """Return all that a judgement says, in a form that is compared by value."""
    if judged is None:
        return None
    reads = [
        (each.members, each.digest, each.present, each.roots, each.undue, each.pending, each.failed)
        for each in judged.reads
    ]
    return replace(judged, reads=()), reads
