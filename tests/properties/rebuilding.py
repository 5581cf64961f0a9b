"""A clean rebuild: a new ledger and a new store, the same files and definitions, and what is given taken as given.

It asks no oracle what must be so: it runs the same code without a past. Given are the heads that are held or closed,
those that a changed suite would not let pass any more (a changed suite takes nothing away), and of each source the
last delivery that was accepted, where a bad one has come after it.
"""

import copy

from tests.properties.oracle import Keyed, Oracle, Place
from tests.properties.shops import QuickShop
from tests.properties.worlds import World, check_equal, unreadable
from tidemark.deployment import Deployment
from tidemark.facts import Names, register
from tidemark.ledger import heads, records, registry, sources
from tidemark.ledger.heads import Move


def check_rebuild(world: World, fresh: QuickShop) -> None:
    """Check that every settled head is what a clean rebuild gives; all heads and marks, where nothing has failed."""
    future = copy.deepcopy(world.oracle)
    outcome = future.run()
    failed = outcome.failed | outcome.blocked | set(outcome.executed)
    # What breaks by now, and did not when it was computed, must not break the rebuild.
    world.mend_all()
    _rebuild(world, fresh)
    assert world.shop is not None
    found, clean = world.found_in(world.shop, world.environment), world.found_in(fresh, "prod")
    if failed:
        settled = {place for place, (_, missing) in found.items() if not missing}
        found, clean = ({place: of[place] for place in settled if place in of} for of in (found, clean))
    check_equal(found, clean, f"what is settled in {world.environment} is not what a clean rebuild gives")
    world.seen["rebuilt, all alike" if not failed else "rebuilt, what is settled alike"] += 1


def _rebuild(world: World, fresh: QuickShop) -> None:
    assert world.shop is not None
    wanted = world.oracle
    fresh.pipelines, fresh.as_of = world.shop.pipelines, wanted.as_of
    everything = frozenset(wanted.sources)
    for name in world.around.suites:
        fresh.gate_blocks(name, "" if name in wanted.sources else world.around.suites[name])
    for (name, ordinal), text in _accepted_before(wanted).items():
        fresh.deliver(name, world.key(name, ordinal), f"v\n{text}\n")
    fresh.planned(confirmed=everything)
    for name in wanted.sources.keys() & world.around.suites.keys():
        fresh.gate_blocks(name, world.around.suites[name])
    given = _accepted_before(wanted)
    for place, (_, text) in world.around.files.items():
        if place not in given or given[place] != text:
            fresh.deliver(place[0], world.key(*place), unreadable() if text is None else f"v\n{text}\n")
    fresh.planned(confirmed=everything)
    with fresh.deployment() as deployment:
        names = {name: register(deployment, world.shop.pipelines[name]) for name in world.pipelines}
        _declare(world, deployment, names["shop"])
        _give(world, deployment, names)
    for asset, held in wanted.held:
        fresh.hold(asset, None if held is None else world.key(asset, held))
    for name in world.pipelines:
        fresh.run(name, confirmed=everything)


def _accepted_before(wanted: Oracle) -> dict[Place, str]:
    """Return the deliveries in use that are not in the landing zone any more, or would not pass their gate now."""
    found: dict[Place, str] = {}
    places = {*wanted.sights, *(wanted.prod.sights if wanted.prod else ())}
    for place in places:
        accepted, file = wanted.accepted(place), wanted.around.files.get(place)
        if accepted is None or accepted.text is None:
            continue
        blocked = accepted.text[-1] in wanted.around.suites.get(place[0], "")
        if file is None or file[1] != accepted.text or blocked:
            found[place] = accepted.text
    return found


def _declare(world: World, deployment: Deployment, names: Names) -> None:
    """Declare absent what is declared so, unless a bad file came after that."""
    for place in world.around.absent:
        if world.oracle.declared(place):
            key = world.key(*place)
            with deployment.ledger.write() as connection:
                names.ensure(connection, place[0], [key])
                number = names.id_of(place[0], key)
                sources.declare_absent(connection, names.assets[place[0]], number, why="so it was", actor="tester")


def _given(world: World) -> set[Keyed]:
    """Return the heads that no run replaces: held, closed, or stopped by a gate that let them pass before."""
    wanted, found = world.oracle, set()
    for place, head in wanted.live.items():
        name, ordinal = place
        itself = (name, world.key(*place))
        flagged = head.content[-1] in wanted.around.suites.get(name, "") and itself not in head.missing
        if wanted.is_held(*place) or wanted.is_closed(wanted.assets[name], ordinal) or flagged:
            found.add(itself)
    return found


def _give(world: World, deployment: Deployment, names: dict[str, Names]) -> None:
    """Let the heads that are given be live, with their marks."""
    assert world.shop is not None
    live = world.shop.everything((each.name for each in world.plot.assets), world.environment)
    with world.shop.deployment() as old:
        with old.ledger.read() as connection:
            made = records.made(connection, [head.materialization for head in live.values()])
        for asset, key in sorted(_given(world)):
            head, known = live[asset, key], names[world.owner(asset)]
            before = made[head.materialization]
            assert before.blob is not None
            blob = deployment.store.put(old.store.path(before.blob).read_bytes())
            code = world.shop.pipelines[world.owner(asset)].asset(asset).code
            with deployment.ledger.write() as connection:
                known.ensure(connection, asset, [key])
                asset_id, partition_id = known.assets[asset], known.id_of(asset, key)
                record = records.Record(
                    asset_id,
                    partition_id,
                    records.COMPUTED,
                    head.action_key,
                    registry.code_version_id(connection, code, (None, None)),
                    data_version=head.data_version,
                    blob=blob,
                    format=before.format,
                )
                ids = records.write(connection, [record], environment="prod", run="given", actor="tester")
                move = Move(asset_id, partition_id, None, ids[0], head.missing, "given")
                heads.move(connection, "prod", [move], heads.new_change(connection, run="given", actor="tester"))
