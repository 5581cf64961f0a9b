"""Definitions as values: sources, assets and pipelines, as the planner and the runner know them.

Nothing here reads data or knows Airflow. :mod:`tidemark.definitions` makes sources and assets of what a scientist
declares, :mod:`tidemark.pipelines` puts them together.
"""

import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

from tidemark.calendars import Calendar, Due
from tidemark.errors import UsageError, close, listed
from tidemark.execution import Resources
from tidemark.fingerprint import Fingerprint, fingerprint, together
from tidemark.mappings import Mapping as PartitionMapping
from tidemark.mappings import Previous
from tidemark.partitions import Grain, Hourly, TimeGrain
from tidemark.search import Search
from tidemark.validation import Accuracy, Validation


@dataclass(frozen=True)
class Ref:
    """An input that another pipeline owns; the ledger knows its grain."""

    name: str
    mapping: PartitionMapping


def champion_of(model: str) -> str:
    """Return the name under which a model's champions are kept: no function can have it."""
    return f"{model}{_CHAMPION}"


def model_of(name: str) -> str | None:
    """Return the model whose champions a name stands for; None: it stands for something else."""
    return name.removesuffix(_CHAMPION) if name.endswith(_CHAMPION) else None


_CHAMPION = ".champion"

CHAMPIONS = Hourly()
"""The grain of champions: by the hour from which each is in force."""


@dataclass(frozen=True)
class Input:
    """One input of an asset: which upstream, by which mapping, into which parameter, as what.

    Attributes:
        parameter: name of the function's parameter.
        upstream: name of the asset that is read.
        mapping: which of its partitions are read.
        annotation: the parameter's annotation; decides what arrives.
        optional: the annotation allows None, so the input may be absent.
        external: another pipeline owns the upstream.

    """

    parameter: str
    upstream: str
    mapping: PartitionMapping
    annotation: object
    optional: bool
    external: bool = False

    @property
    def needs_same(self) -> bool:
        """Whether a partition of the reader exists only where the same one of the upstream does."""
        return self.mapping.name == "same" and not self.optional


@dataclass(frozen=True)
class Source:
    """An asset that others deliver into the landing zone: it is observed, never written.

    Attributes:
        name: the asset's name.
        files: path inside the landing zone, with ``{partition}`` where the key stands.
        grain: how it is partitioned.
        gate: name of the suite that a delivery must pass, or None.
        schema: type of each declared column of a CSV, or None to infer the types.
        expected: which partitions are expected, or None: only what was delivered exists.
        due: when an expected partition is late, counted from the start of its period.
        owner: who is asked about it.
        pii: columns with personal data: masked wherever rows are shown.
        doc: one paragraph for people.
        newline_at_end: a CSV without a final line end counts as cut off.
        where: file, line and name, for messages.

    """

    name: str
    files: str
    grain: Grain
    gate: str | None = None
    schema: Mapping[str, type] | None = None
    expected: Calendar | None = None
    due: Due | None = None
    owner: str | None = None
    pii: frozenset[str] = frozenset()
    doc: str = ""
    newline_at_end: bool = True
    where: str = field(default="", compare=False)

    @property
    def folder(self) -> str:
        """The part of ``files`` before the first varying folder: what has to be listed."""
        return self.files.partition("{partition}")[0].rpartition("/")[0]

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        before, found, after = self.files.partition("{partition}")
        # A key holds no slash, so a delivery cannot name a file outside its folder.
        return re.compile(re.escape(before) + (r"([^/]+)" if found else "()") + re.escape(after))

    def ordinal_of(self, file: str) -> int | None:
        """Return the number of the partition that a file's name stands for, or None if it matches no partition."""
        match = self._pattern.fullmatch(file)
        if match is None:
            return None
        try:
            return self.grain.ordinal(match[1] or "all")
        except UsageError:
            return None

    def key_of(self, file: str) -> str | None:
        """Return the partition key that a file's name stands for, or None if it matches no partition."""
        ordinal = self.ordinal_of(file)
        return None if ordinal is None else self.grain.key(ordinal)

    def expects(self, ordinal: int) -> bool:
        """Return whether the calendar expects a partition; without one nothing is expected."""
        if self.expected is None or not isinstance(self.grain, TimeGrain):
            return False
        return self.expected.expects(self.grain.begins(ordinal).astimezone(self.grain.zone).date())

    def file_of(self, key: str) -> str:
        """Return the name of the file in which a partition is delivered."""
        return self.files.replace("{partition}", key)


@dataclass(frozen=True)
class Asset:
    """A step: a function, what it reads, and how its output is checked, kept and closed.

    Attributes:
        name: the asset's name, which is the function's.
        function: the plain function.
        grain: how the asset is partitioned.
        inputs: what it reads, in the order of the function's parameters.
        parameters: value of each parameter that is no input; enters the action key.
        partition_parameter: name of the parameter that receives the :class:`Partition`, or None.
        gate: name of the suite that a candidate must pass, or None.
        key: columns that identify a row; outputs are stored sorted by them.
        ordered: the order of the rows is content; outputs are stored as they come.
        closes_after: age after a period's end at which no plan re-runs the partition, or None for never.
        pii: columns with personal data.
        owner: who is asked about it.
        files: files that the function reads (SQL, YAML); their content is part of the code version.
        doc: the function's docstring.
        is_model: a result is a candidate, which a person may make the champion.
        validation: how a candidate is judged before a person is asked; None: it is not.
        search: how hyper-parameters are found; None: there are none to be found.
        resources: what a task of it needs of a machine; None: what every task is given.
        image: the container image that it runs in where Airflow runs on Kubernetes; part of the code version, in place
            of the packages that are installed where one asks. None: Airflow's own.
        pool: Airflow's pool of its tasks, or None.

    """

    name: str
    function: Callable[..., Any]
    grain: Grain
    inputs: tuple[Input, ...]
    parameters: Mapping[str, object] = field(default_factory=dict)
    partition_parameter: str | None = None
    gate: str | None = None
    key: tuple[str, ...] | None = None
    ordered: bool = False
    closes_after: timedelta | None = None
    pii: frozenset[str] = frozenset()
    owner: str | None = None
    files: tuple[Path, ...] = ()
    doc: str = ""
    is_model: bool = False
    validation: Validation | None = None
    search: Search | None = None
    resources: Resources | None = None
    image: str | None = None
    pool: str | None = None

    @cached_property
    def code(self) -> Fingerprint:
        """The code version, with its components."""
        own = fingerprint(self.function, resources=self.files, image=self.image)
        return own if self.search is None else together(own, fingerprint(self.search.objective, image=self.image))

    def with_code(self, version: bytes) -> "Asset":
        """Return the asset with a code version that was worked out elsewhere; its components are not known here.

        An image may have other packages than the place where plans are made: there, those of other assets count.
        """
        made = replace(self)
        vars(made)["code"] = Fingerprint(version, (), ())
        return made

    @property
    def chained(self) -> bool:
        """Whether a partition reads the asset's own past, so that partitions must be computed in time order."""
        return any(isinstance(each.mapping, Previous) for each in self.inputs)

    @property
    def where(self) -> str:
        """File, line and function, for messages."""
        return where_of(self.function)


@dataclass(frozen=True)
class Pipeline:
    """A data product: sources and assets that are planned and run together, as one DAG.

    Attributes:
        name: the pipeline's name, which is the DAG's.
        sources: what is delivered, in the order given.
        assets: the steps, each after what it reads.
        schedule: cron expression of the safety net, or None for runs on arrival or by hand only.
        timezone: zone of the schedule.
        on_arrival: a settled delivery starts a run.
        doc: the file's docstring, the DAG's page.
        owner: who is asked about it.
        tags: words to find the DAG by.
        file: the definition's file, or None.
        retrains: by the name of a model, the asset of this pipeline that asks for a training of it.
        accuracy: by the name of an asset of this pipeline, what it says of how accurate a model is.
        reports: the assets that hold figures, which are mailed and shown as pages.
        deadline: when a run must be over, counted from the tick of the schedule, or from the run where it names no time
            of day; None: whenever it is.

    """

    name: str
    sources: tuple[Source, ...]
    assets: tuple[Asset, ...]
    schedule: str | None = None
    timezone: str = "UTC"
    on_arrival: bool = False
    doc: str = ""
    owner: str | None = None
    tags: tuple[str, ...] = ()
    file: Path | None = None
    retrains: Mapping[str, str] = field(default_factory=dict)
    accuracy: Mapping[str, Accuracy] = field(default_factory=dict)
    reports: tuple[str, ...] = ()
    deadline: Due | None = None

    @property
    def members(self) -> tuple[Source | Asset, ...]:
        """All sources, then all assets."""
        return self.sources + self.assets

    @cached_property
    def _by_name(self) -> dict[str, Source | Asset]:
        return {each.name: each for each in self.members}

    def __getitem__(self, name: str) -> Source | Asset:
        """Return the source or asset of a name.

        Raises:
            UsageError: when there is none; names the closest ones.

        """
        try:
            return self._by_name[name]
        except KeyError:
            raise UsageError(f"pipeline {self.name!r} has no asset {name!r}{close(name, self._by_name)}") from None

    def asset(self, name: str) -> Asset:
        """Return the asset of a name, which must be none of the sources.

        Raises:
            UsageError: when there is none, or when it is a source.

        """
        found = self[name]
        if isinstance(found, Source):
            raise UsageError(f"{name!r} is a source: it is delivered, not computed")
        return found

    def source(self, name: str) -> Source:
        """Return the source of a name.

        Raises:
            UsageError: when there is none, or when it is computed.

        """
        found = self._by_name.get(name)
        if found is None:
            sources = [each.name for each in self.sources]
            raise UsageError(f"pipeline {self.name!r} has no source {name!r}{close(name, sources)}")
        if isinstance(found, Asset):
            raise UsageError(f"{name!r} is computed, not delivered: name one of {listed(s.name for s in self.sources)}")
        return found

    @property
    def externals(self) -> dict[str, list[Input]]:
        """The inputs that other pipelines own, by upstream name."""
        found: dict[str, list[Input]] = {}
        for each in self.assets:
            for read in each.inputs:
                if read.external:
                    found.setdefault(read.upstream, []).append(read)
        return found


def where_of(function: Callable[..., Any]) -> str:
    """Return file, line and name of a function, for messages."""
    code = inspect.unwrap(function).__code__
    return f"{Path(code.co_filename).name}:{code.co_firstlineno}: {function.__name__}()"
