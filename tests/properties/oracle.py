"""A naive oracle: what must be live, marked and executed, worked out anew at each run by the rules of the design.

It has no database, no plan, no versions and no leases: everything is judged at each run, in the order in which it is
read, and the only memory is a memo of action keys. Contents stand for versions. It shares nothing with the library but
the arithmetic of grains and of due times.
"""

import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from tidemark.calendars import Due
from tidemark.partitions import Daily, Grain, Hourly, Monthly, TimeGrain, Weekly

Place = tuple[str, int]
Keyed = tuple[str, str]
Action = tuple[Any, ...]
Roots = frozenset[Keyed]
FINAL: Roots = frozenset()

ATTEMPTS = 2

PERIODS: dict[str, type[TimeGrain]] = {"hours": Hourly, "days": Daily, "weeks": Weekly, "months": Monthly}
LENGTHS = {"hours": timedelta(hours=1), "days": timedelta(days=1), "weeks": timedelta(weeks=1)}


def made(name: str, salt: int, factor: int, lossy: bool, inputs: Mapping[str, Any]) -> str:
    """What an asset's function returns: a text that all it reads goes into; a lossy one often comes out equal."""
    text = f"{name} {salt} {factor} {sorted(inputs.items())}"
    digest = zlib.crc32(text.encode())
    return f"{name} {digest % 2}" if lossy else f"{name} {digest:08x}"


@dataclass(frozen=True)
class SourceModel:
    """A source: on which weekdays (0 is Monday) a period that begins then is expected, and when it is due."""

    name: str
    grain: Grain
    expects: frozenset[int] = frozenset()
    due: str | None = None
    gated: bool = False

    def due_at(self, ordinal: int) -> datetime | None:
        """When a partition is due."""
        if not isinstance(self.grain, TimeGrain):
            return None
        begins = self.grain.begins(ordinal).astimezone(self.grain.zone)
        return self.grain.ends(ordinal) if self.due is None else Due.parse(self.due).at(begins)

    def expected(self, ordinal: int) -> bool:
        """Whether a partition is expected."""
        if not isinstance(self.grain, TimeGrain):
            return False
        return self.grain.begins(ordinal).astimezone(self.grain.zone).weekday() in self.expects


@dataclass(frozen=True)
class Reading:
    """One input: what it reads, by which mapping (``width`` in units of ``unit``), and how."""

    upstream: str
    mapping: str
    width: int = 0
    unit: str = "days"
    optional: bool = False
    strict: bool = False
    early: bool = False


@dataclass(frozen=True)
class AssetModel:
    """An asset: closed so long after its period's end."""

    name: str
    grain: Grain
    inputs: tuple[Reading, ...]
    lossy: bool = False
    closes: timedelta | None = None
    gated: bool = False


@dataclass(frozen=True)
class Live:
    """A head: its content, its action key, and what it is provisional for."""

    content: str
    action: Action
    missing: Roots


@dataclass(frozen=True)
class Sight:
    """What a run saw of a source's file: which delivery (None: it is gone), its text (None: unreadable), and the word.

    ``suite`` is the one that decided, ``tick`` tells what was earlier.
    """

    delivery: int | None
    text: str | None
    word: str
    suite: str | None
    tick: int


class View(NamedTuple):
    """A partition as its readers see it."""

    content: str | None
    roots: Roots = FINAL
    undue: bool = False
    failed: bool = False


@dataclass
class Outcome:
    """What one run did: which functions were called, what was brought back, what failed, is blocked or waits.

    Attributes:
        again: what has failed for the first time, and will be tried once more.
        reads: the partitions of assets that each partition reads, whether there is something or not.

    """

    executed: list[Keyed] = field(default_factory=list)
    restored: set[Keyed] = field(default_factory=set)
    failed: set[Keyed] = field(default_factory=set)
    blocked: set[Keyed] = field(default_factory=set)
    waiting: set[Keyed] = field(default_factory=set)
    again: set[Keyed] = field(default_factory=set)
    reads: dict[Keyed, set[Keyed]] = field(default_factory=dict)

    def below(self, these: Iterable[Keyed]) -> set[Keyed]:
        """Return what reads some partitions, at any depth."""
        found: set[Keyed] = set()
        fresh = set(these)
        while fresh:
            fresh = {reader for reader, read in self.reads.items() if read & fresh} - found
            found |= fresh
        return found


@dataclass
class Surroundings:
    """What all environments share.

    Attributes:
        files: what is in the landing zone, as (number of the delivery, text); an unreadable one has None for a text.
        suites: what each gate blocks: texts that end with one of these letters.
        asked: what a source's gate was asked about, as (source, suite, text).
        broken: partitions whose function raises.
        absent: what was declared absent, and when.
        memo: what every action key came to.
        tick: rises with everything that happens.
        seen: how often each kind of thing has happened.

    """

    files: dict[Place, tuple[int, str | None]] = field(default_factory=dict)
    suites: dict[str, str] = field(default_factory=dict)
    asked: set[tuple[str, str, str]] = field(default_factory=set)
    broken: set[Place] = field(default_factory=set)
    absent: dict[Place, int] = field(default_factory=dict)
    memo: dict[Action, str] = field(default_factory=dict)
    tick: int = 0
    seen: "Counter[str]" = field(default_factory=Counter)

    def now(self) -> int:
        """Return a number that is larger than every one before."""
        self.tick += 1
        return self.tick


@dataclass
class Oracle:
    """One environment of a deployment, naively.

    Attributes:
        sources: by name.
        assets: each after what it reads.
        as_of: the instant that is taken for now.
        around: what all environments share.
        prod: the environment that this one falls back to; None for prod itself.
        second: the assets that a second pipeline computes.
        salts: a number in each function's code.
        factors: each asset's parameter.
        held: assets (None) and partitions that are held.
        sights: everything that this environment saw of each file, in order.
        own: the heads that this environment moved itself; None where it took one away.
        follows: marks of its own on what is live in prod, as long as just that is live there.
        failures: how often an action key has failed under a suite.

    """

    sources: dict[str, SourceModel]
    assets: dict[str, AssetModel]
    as_of: datetime
    around: Surroundings = field(default_factory=Surroundings)
    prod: "Oracle | None" = None
    second: frozenset[str] = frozenset()
    salts: dict[str, int] = field(default_factory=dict)
    factors: dict[str, int] = field(default_factory=dict)
    held: set[tuple[str, int | None]] = field(default_factory=set)
    sights: dict[Place, list[Sight]] = field(default_factory=dict)
    own: dict[Place, Live | None] = field(default_factory=dict)
    follows: dict[Place, tuple[Action, Roots]] = field(default_factory=dict)
    failures: "Counter[tuple[str | None, Action]]" = field(default_factory=Counter)
    forced: Place | None = None

    # -- what is live

    @property
    def live(self) -> dict[Place, Live]:
        """Every head as this environment shows it."""
        found = dict(self.prod.live) if self.prod else {}
        for place, (action, missing) in self.follows.items():
            if place in found and found[place].action == action:
                found[place] = replace(found[place], missing=missing)
        for place, head in self.own.items():
            found.pop(place, None)
            if head is not None:
                found[place] = head
        return found

    def _put(self, place: Place, head: Live | None) -> None:
        before = self._heads.get(place)
        if head == before:
            return
        if head is None:
            del self._heads[place]
        else:
            self._heads[place] = head
        marks_alone = head is not None and before is not None and head.action == before.action
        if self.prod is not None and place not in self.own and marks_alone:
            assert head is not None
            self.follows[place] = (head.action, head.missing)
        elif self.prod is None and head is None:
            self.own.pop(place, None)
        else:
            self.own[place] = head
            self.follows.pop(place, None)

    # -- one run

    def run(self, forced: Place | None = None) -> Outcome:
        """Look at the files, and bring every partition to its result; one may be computed whatever is known of it."""
        self.forced = forced
        self.observe()
        self._heads = self.live
        outcome = Outcome()
        tracks: dict[str, dict[int, View]] = {name: self._source(source) for name, source in self.sources.items()}
        begins = {name: _first(self.sources[name].grain, track) for name, track in tracks.items()}
        for asset in self.assets.values():
            known = begins
            if asset.name in self.second:
                # Of what another pipeline computes one knows the partitions that there are, and not where it may begin.
                others = self.assets.keys() - self.second
                known = begins | {name: _first(self._grain(name), tracks[name]) for name in others & tracks.keys()}
            begins[asset.name] = self._begins(asset, known)
            existing = self._existing(asset, begins[asset.name], tracks)
            if isinstance(asset.grain, TimeGrain) and existing:
                first = asset.grain.begins(existing[0])
                begins[asset.name] = min(begins[asset.name] or first, first)
            track = tracks[asset.name] = {}
            for ordinal in existing:
                track[ordinal] = self._bring(asset, ordinal, tracks, outcome)
            for name, ordinal in list(self._heads):
                if name == asset.name and ordinal not in track:
                    self._put((name, ordinal), None)
        self.forced = None
        return outcome

    # -- the files

    def newest(self, place: Place) -> Sight | None:
        """What was last seen of a file; what this environment has not seen itself is as in prod."""
        return self._seen_of(place)[-1] if self._seen_of(place) else None

    def _seen_of(self, place: Place) -> list[Sight]:
        return self.sights.get(place) or (self.prod.sights.get(place, []) if self.prod else [])

    def accepted(self, place: Place) -> Sight | None:
        """The delivery that is in use: the last that was accepted, and not withdrawn since."""
        here = self.sights.get(place, [])
        standing = [each for each in here if each.word != "rejected"]
        if not standing and self.prod is not None:
            refused = {each.text for each in here if each.word == "rejected" and each.text is not None}
            there = self.prod.sights.get(place, [])
            standing = [each for each in there if each.word != "rejected" and each.text not in refused]
        return standing[-1] if standing and standing[-1].word == "accepted" else None

    def _foreign(self, sight: Sight, place: Place) -> bool:
        """Whether what prod accepted or rejected was so by another suite than the one in force here now."""
        here = self.sights.get(place, [])
        return not any(each is sight for each in here) and sight.suite != self._suite(place[0])

    def _suite(self, name: str) -> str | None:
        return self.around.suites.get(name)

    def _ask(self, name: str, text: str) -> bool:
        """Ask a source's gate; returns whether it lets a text pass."""
        suite = self._suite(name)
        if suite is None:
            return True
        self.around.asked.add((name, suite, text))
        return text[-1] not in suite

    def observe(self) -> None:
        """Take what is in the landing zone: a good file is accepted, a bad one rejected, a lost one withdrawn."""
        # What the gate says of one file while all are looked at changes nothing for another that holds the same.
        self._asked = frozenset(self.around.asked)
        places = {*self.sights, *(self.prod.sights if self.prod else ()), *self.around.files}
        for place in sorted(places):
            source = self.sources[place[0]]
            first = source.grain.first if isinstance(source.grain, TimeGrain) else None
            if first is not None and place[1] < first:
                continue
            word = self._word(place)
            if word is not None:
                self.sights.setdefault(place, []).append(word)

    def _word(self, place: Place) -> Sight | None:
        """What is to be written down of a file; None where nothing is."""
        newest, file, tick = self.newest(place), self.around.files.get(place), self.around.now()
        if file is None:
            gone = newest is not None and newest.word != "withdrawn"
            return Sight(None, None, "withdrawn", None, tick) if gone else None
        delivery, text = file
        suite = self._suite(place[0])
        if newest is not None and newest.delivery == delivery:
            return self._again(place, newest, tick)
        if text is None:
            return Sight(delivery, None, "rejected", None, tick)
        accepted = self.accepted(place)
        standing = accepted.text if accepted is not None and not self._foreign(accepted, place) else None
        passes = self._ask(place[0], text) or text == standing
        return Sight(delivery, text, "accepted" if passes else "rejected", suite, tick)

    def _again(self, place: Place, newest: Sight, tick: int) -> Sight | None:
        """What another suite makes of a delivery that was seen before: one that is in use stays so."""
        suite = self._suite(place[0])
        if newest.text is None or suite is None:
            return None
        known = (place[0], suite, newest.text) in self._asked
        blocked = newest.text[-1] in suite
        foreign = self._foreign(newest, place)
        if newest.word == "rejected":
            if known and blocked:
                return None
        elif known and not (blocked and foreign):
            return None
        passes = self._ask(place[0], newest.text)
        word = newest.word
        if newest.word == "rejected" or foreign:
            word = "accepted" if passes else "rejected"
        return Sight(newest.delivery, newest.text, word, suite, tick)

    def declared(self, place: Place) -> bool:
        """Whether a declaration of absence stands: it says nothing of a bad file that came after it."""
        since = self.around.absent.get(place)
        if since is None:
            return False
        seen = self._seen_of(place)
        bad = None
        for each in reversed(seen):
            if each.word != "rejected" or each.text != seen[-1].text:
                break
            bad = each
        return bad is None or bad.tick <= since

    def _source(self, source: SourceModel) -> dict[int, View]:
        places = {*self.sights, *(self.prod.sights if self.prod else ())}
        mine = [place for place in places if place[0] == source.name]
        newest = {ordinal: self.newest((name, ordinal)) for name, ordinal in mine}
        there = {ordinal for ordinal, each in newest.items() if each is not None and each.word != "withdrawn"}
        expected: set[int] = set()
        if source.expects and isinstance(source.grain, TimeGrain):
            first = source.grain.first if source.grain.first is not None else min(there, default=None)
            if first is not None:
                every = range(first, source.grain.containing(self.as_of) + 1)
                expected = {each for each in every if source.expected(each)}
        views = {}
        for ordinal in sorted(there | expected):
            place = (source.name, ordinal)
            accepted, seen = self.accepted(place), newest.get(ordinal)
            content = accepted.text if accepted is not None else None
            mark = frozenset({(source.name, source.grain.key(ordinal))})
            due = source.due_at(ordinal)
            if self.declared(place):
                views[ordinal] = View(content)
            elif seen is not None and seen.word == "rejected":
                views[ordinal] = View(content, mark, failed=True)
            elif content is not None:
                views[ordinal] = View(content)
            elif due is not None and due > self.as_of:
                views[ordinal] = View(None, undue=True)
            else:
                views[ordinal] = View(None, mark)
        return views

    # -- which partitions exist

    def _begins(self, asset: AssetModel, begins: Mapping[str, datetime | None]) -> datetime | None:
        timed = [each for each in asset.inputs if each.mapping != "previous" and each.upstream in begins]
        timed = [each for each in timed if isinstance(self._grain(each.upstream), TimeGrain)]
        needed = [begins[each.upstream] for each in timed if not each.optional]
        if any(each is None for each in needed):
            return None
        known = [each for each in needed if each is not None]
        if isinstance(asset.grain, TimeGrain) and asset.grain.first is not None:
            known.append(asset.grain.begins(asset.grain.first))
        optional = [each for each in (begins[read.upstream] for read in timed) if each is not None]
        return max(known) if known else min(optional, default=None)

    def _existing(
        self, asset: AssetModel, begins: datetime | None, tracks: Mapping[str, Mapping[int, View]]
    ) -> list[int]:
        found: Iterable[int]
        if isinstance(asset.grain, TimeGrain):
            found = []
            if begins is not None:
                first = asset.grain.containing(begins)
                found = [
                    each
                    for each in range(first, asset.grain.containing(self.as_of) + 1)
                    if asset.grain.begins(each) >= begins and asset.grain.ends(each) <= self.as_of
                ]
        else:
            found = range(len(getattr(asset.grain, "keys", ("all",))))
        same = [each.upstream for each in asset.inputs if each.mapping == "same" and not each.optional]
        kept = [
            ordinal
            for name, ordinal in self._heads
            if name == asset.name and (self.is_held(name, ordinal) or self.is_closed(asset, ordinal))
        ]
        fits = {each for each in found if all(self._twin(asset, each, name) in tracks[name] for name in same)}
        return sorted(fits | set(kept))

    def _twin(self, asset: AssetModel, ordinal: int, upstream: str) -> int:
        """The partition of an upstream that has the same key."""
        grain = self._grain(upstream)
        return ordinal if isinstance(grain, TimeGrain) else grain.ordinal(asset.grain.key(ordinal))

    def is_held(self, name: str, ordinal: int) -> bool:
        return (name, None) in self.held or (name, ordinal) in self.held

    def is_closed(self, asset: AssetModel, ordinal: int) -> bool:
        if asset.closes is None or not isinstance(asset.grain, TimeGrain):
            return False
        return self.as_of > asset.grain.ends(ordinal) + asset.closes

    def _grain(self, name: str) -> Grain:
        return self.sources[name].grain if name in self.sources else self.assets[name].grain

    # -- one partition

    def _bring(
        self, asset: AssetModel, ordinal: int, tracks: Mapping[str, Mapping[int, View]], outcome: Outcome
    ) -> View:
        """Bring one partition to its result, and return what its readers see."""
        reads = [(each, self._read(asset, each, ordinal, tracks)) for each in asset.inputs]
        outcome.reads[asset.name, asset.grain.key(ordinal)] = {
            (read.upstream, key) for read, members in reads for key, _ in members if read.upstream in self.assets
        }
        view = self._brought(asset, ordinal, reads, outcome)
        # What is closed counts as final for its readers.
        return view._replace(roots=FINAL) if view.content is not None and self.is_closed(asset, ordinal) else view

    def _brought(self, asset: AssetModel, ordinal: int, reads: "Reads", outcome: Outcome) -> View:
        place, key = (asset.name, ordinal), asset.grain.key(ordinal)
        head = self._heads.get(place)
        roots = frozenset().union(*(view.roots for _, members in reads for _, view in members))
        kept = head is not None and (self.is_held(*place) or self.is_closed(asset, ordinal))
        # A person may ask for what is closed, not for what is held.
        given = kept and (self.is_held(*place) or self.forced != place)
        stop = _stopped_by(reads)
        if stop == "blocked" and not given:
            self.around.seen["blocked by a strict input"] += 1
            return self._left(place, key, roots, outcome.blocked)
        if stop and head is not None and kept:
            return View(head.content, head.missing)
        if stop:
            self._put(place, None)
            outcome.waiting.add((asset.name, key))
            return View(None, roots, undue=stop == "undue")
        action = (asset.name, key, self.salts[asset.name], self.factors[asset.name], tuple(map(self._pinned, reads)))
        forced = self.forced == place
        if head is not None and head.action == action and not (forced and not given):
            self._put(place, Live(head.content, action, roots))
            return View(head.content, roots)
        if head is not None and given:
            self.around.seen[f"{'held' if self.is_held(*place) else 'closed'} with a change pending"] += 1
            return View(head.content, head.missing)
        if self.is_held(*place):
            return View(None, roots | {(asset.name, key)})
        return self._renewed(asset, place, action, reads, roots, outcome)

    def _renewed(
        self, asset: AssetModel, place: Place, action: Action, reads: "Reads", roots: Roots, outcome: Outcome
    ) -> View:
        """Bring back or compute what a partition is to be, and let it pass its gate."""
        keyed, forced = (place[0], asset.grain.key(place[1])), self.forced == place
        if action in self.around.memo and not forced:
            if self._passes(asset, action):
                outcome.restored.add(keyed)
        elif not self._tried(asset, place, action, reads, outcome):
            return self._left(place, keyed[1], roots, outcome.failed, action)
        if not self._passes(asset, action):
            self.around.seen["blocked by a gate"] += 1
            return self._left(place, keyed[1], roots, outcome.blocked, action)
        before, content = self._heads.get(place), self.around.memo[action]
        if before is not None and before.content == content:
            self.around.seen["came out as it was"] += 1
        self._put(place, Live(content, action, roots))
        return View(content, roots)

    def _passes(self, asset: AssetModel, action: Action) -> bool:
        return not asset.gated or self.around.memo[action][-1] not in self.around.suites[asset.name]

    def _tried(self, asset: AssetModel, place: Place, action: Action, reads: "Reads", outcome: Outcome) -> bool:
        """Call a function, unless it has failed too often; returns whether there is a result."""
        attempt = (self.around.suites.get(asset.name), action)
        if self.failures[attempt] >= ATTEMPTS and self.forced != place:
            self.around.seen["not tried again"] += 1
            return False
        keyed = (asset.name, asset.grain.key(place[1]))
        outcome.executed.append(keyed)
        if place in self.around.broken:
            self.failures[attempt] += 1
            if self.failures[attempt] < ATTEMPTS and action not in self.around.memo:
                outcome.again.add(keyed)
            self.around.seen[f"failed {self.failures[attempt]} times"] += 1
            return False
        if self.failures[attempt]:
            self.around.seen["tried again, with success"] += 1
        self.failures[attempt] = 0
        self.around.memo.setdefault(action, self._computed(asset, reads))
        return True

    def _left(self, place: Place, key: str, roots: Roots, whose: set[Keyed], action: Action | None = None) -> View:
        """Leave the last good head where it is, marked, unless it is of just this action: a person wanted it again."""
        mark, head = roots | {(place[0], key)}, self._heads.get(place)
        whose.add((place[0], key))
        if head is not None and head.action == action:
            self._put(place, Live(head.content, action, roots))
            return View(head.content, roots)
        if head is not None:
            self.around.seen["a last good head stands in"] += 1
            self._put(place, Live(head.content, head.action, mark))
        return View(head.content if head else None, mark, failed=True)

    def _computed(self, asset: AssetModel, reads: "Reads") -> str:
        values: dict[str, Any] = {}
        for read, members in reads:
            present = [(key, view.content) for key, view in members if view.content is not None]
            if read.mapping in ("trailing", "parts"):
                values[read.upstream] = present or None
            else:
                values[read.upstream] = present[0][1] if present else None
        name = asset.name
        return made(name, self.salts[name], self.factors[name], asset.lossy, values)

    @staticmethod
    def _pinned(read: tuple[Reading, list[tuple[str, View]]]) -> tuple[Any, ...]:
        reading, members = read
        if reading.mapping == "same":
            return tuple((key, view.content) for key, view in members)
        return tuple((key, view.content) for key, view in members if view.content is not None)

    def _read(
        self, asset: AssetModel, read: Reading, ordinal: int, tracks: Mapping[str, Mapping[int, View]]
    ) -> list[tuple[str, View]]:
        """The members of what an input reads, oldest first; of a newest one: it, and what is newer and without data."""
        grain, track = self._grain(read.upstream), tracks[read.upstream]
        if read.mapping == "same":
            return [(asset.grain.key(ordinal), track.get(self._twin(asset, ordinal, read.upstream), View(None)))]
        if read.mapping == "previous":
            earlier = [each for each in track if each < ordinal]
            return [(grain.key(earlier[-1]), track[earlier[-1]])] if earlier else []
        fits = self._fits(asset, read, ordinal)
        timeless = isinstance(grain, TimeGrain) and not isinstance(asset.grain, TimeGrain)
        members = [
            (grain.key(each), view)
            for each, view in sorted(track.items())
            if fits(each) and not (timeless and view.undue)
        ]
        if read.mapping in ("trailing", "parts"):
            return members
        newest: list[tuple[str, View]] = []
        for member in reversed(members):
            newest.append(member)
            if member[1].content is not None:
                break
        return newest

    def _fits(self, asset: AssetModel, read: Reading, ordinal: int) -> Callable[[int], bool]:
        grain, reader = self._grain(read.upstream), asset.grain
        if not isinstance(grain, TimeGrain):
            return lambda each: True
        if not isinstance(reader, TimeGrain):
            return lambda each: grain.ends(each) <= self.as_of
        begins, ends = reader.begins(ordinal), reader.ends(ordinal)
        if read.mapping == "parts":
            return lambda each: grain.begins(each) >= begins and grain.ends(each) <= ends
        if read.mapping == "latest":
            return lambda each: grain.ends(each) <= ends
        newest = grain.containing(ends) - 1
        if type(grain) is PERIODS[read.unit]:
            oldest = newest - read.width + (read.mapping == "trailing")
            return lambda each: oldest <= each <= newest
        # The wall clock of the reader's zone just when the newest has ended, so many units back.
        moment = timedelta(microseconds=1)
        clock = (grain.ends(newest) - moment).astimezone(reader.zone).replace(tzinfo=None, fold=0) + moment
        since = (clock - read.width * LENGTHS[read.unit]).replace(tzinfo=reader.zone)
        return lambda each: grain.ends(each) > since and each <= newest


Reads = list[tuple[Reading, list[tuple[str, View]]]]


def _stopped_by(reads: Reads) -> str | None:
    """Why a partition cannot be computed now: an input is not due, has failed and is strict, or is absent."""
    for read, members in reads:
        views = [view for _, view in members]
        if any(view.undue for view in views) and not read.early:
            return "undue"
        if any(view.failed for view in views) and read.strict:
            return "blocked"
        if not read.optional and all(view.content is None for view in views):
            return "absent"
    return None


def _first(grain: Grain, track: Mapping[int, View]) -> datetime | None:
    return grain.begins(min(track)) if isinstance(grain, TimeGrain) and track else None
