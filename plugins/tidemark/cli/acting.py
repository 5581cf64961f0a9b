"""The commands by which a person changes the state; each wants a reason, and is kept in the audit log."""

import argparse

from tidemark import interventions, retiring
from tidemark.assets import Source
from tidemark.cli.answers import Answer, opened
from tidemark.config import person
from tidemark.errors import UsageError
from tidemark.explain import short


def absent(options: argparse.Namespace) -> Answer:
    """Declare that a delivery will not come, or take that back.

    What was made without it is final then; nothing runs.
    """
    act = interventions.withdraw_declaration if options.undo else interventions.declare_absent
    with opened() as (_, catalog, deployment):
        pipeline = catalog.owner_of(options.asset)
        news, marks = act(deployment, pipeline, options.asset, options.partition, why=options.why, actor=person())
        delivered = interventions.is_delivered(deployment, pipeline, options.asset, options.partition)
    source = pipeline.source(options.asset)
    expected = _expects(source, options.partition)
    what = f"{options.asset} {options.partition}"
    if options.undo:
        again = f"{what} is expected again" if expected else f"{what} is no longer declared absent"
        said = again if news else f"{what} was not declared absent"
    else:
        said = f"{what} is declared absent" if news else f"{what} was declared absent before"
    if not expected:
        said += ", though no delivery is expected for it" + ("" if source.expected else ": its source has no calendar")
    if delivered and not options.undo:
        said += "; it is delivered, and stays in use"
    data = {"news": news, "marks_changed": marks, "expected": expected, "delivered": delivered}
    return Answer(data, f"{said}; {_counted(marks, 'mark')} changed, nothing ran")


def _expects(source: Source, key: str) -> bool:
    try:
        return source.expects(source.grain.ordinal(key))
    except UsageError:
        return False  # a static key that was taken out of the definition


def hold(options: argparse.Namespace) -> Answer:
    """Stop an asset, or one partition of it, from being computed again; what is live stays live."""
    with opened() as (_, catalog, deployment):
        pipeline = catalog.owner_of(options.asset)
        before = interventions.hold(
            deployment, pipeline, options.asset, options.partition, why=options.why, actor=person()
        )
    what = _what(options)
    said = f"{what} is held already: {before}" if before else f"{what} is held: what is live stays"
    data = {"held": before is None, "held_before": before}
    return Answer(data, f"{said}; 'tidemark release-hold {what} --why ...' lifts it")


def release_hold(options: argparse.Namespace) -> Answer:
    """Let what was held follow its inputs again, from the next run on.

    Without a partition it lifts the hold of the asset as a whole; partitions that are held by themselves, by hand or
    by a restore, stay so until each is released.
    """
    with opened() as (_, catalog, deployment):
        pipeline = catalog.owner_of(options.asset)
        done = interventions.release_hold(
            deployment, pipeline, options.asset, options.partition, why=options.why, actor=person()
        )
    what = _what(options)
    said = [f"{what} is no longer held by itself" if done.lifted else f"nothing held {what} by itself"]
    if done.asset_held and options.partition:
        said.append(f"all of {options.asset} is still held: {done.asset_held}")
    said += [
        f"{options.asset} {key} is still held: 'tidemark release-hold {options.asset} {key} --why ...' lifts it"
        for key in done.partitions_held
    ]
    data = {"released": done.lifted, "still_held": done.asset_held, "partitions_held": list(done.partitions_held)}
    return Answer(data, "\n".join(said))


def restore(options: argparse.Namespace) -> Answer:
    """Make an earlier version of a partition live again, and hold it there until somebody releases the hold.

    It must pass its gate as that is now.
    """
    with opened() as (_, catalog, deployment):
        pipeline = catalog.owner_of(options.asset)
        done = interventions.restore(
            deployment,
            pipeline,
            options.asset,
            options.partition,
            options.version,
            why=options.why,
            actor=person(),
        )
    data = {"version": done.version.hex(), "before": done.before.hex() if done.before else None}
    flagged = f", with {done.flagged}" if done.flagged else ""
    what = _what(options)
    said = f"{what} is {short(done.version)} again{flagged} (was {short(done.before)}), and held"
    return Answer(data, f"{said}; 'tidemark release-hold {what} --why ...' lets it follow its inputs again")


def retire(options: argparse.Namespace) -> Answer:
    """Say that a pipeline is gone, whose file was deleted: nobody waits for it any more, and its incidents are over.

    What is live can still be read. It comes back when a file defines it again and it is run.
    """
    with opened() as (_, catalog, deployment):
        done = retiring.retire(deployment, catalog, options.pipeline, why=options.why, actor=person())
    data = {"retired": bool(done.assets), "assets": list(done.assets), "incidents_resolved": list(done.incidents)}
    if done.assets:
        said = f"{options.pipeline} is retired: nobody waits for {', '.join(done.assets)} any more"
    else:
        said = f"{options.pipeline} was retired before"
    return Answer(data, f"{said}; {_counted(len(done.incidents), 'incident')} resolved")


def _what(options: argparse.Namespace) -> str:
    return f"{options.asset} {options.partition or ''}".strip()


def _counted(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
