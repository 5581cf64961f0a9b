"""Tidemark: Airflow DAGs that remember what they computed. This is all that a scientist's file imports."""

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tidemark import pipelines as _pipelines
from tidemark.assets import Pipeline, Source
from tidemark.calendars import Calendar
from tidemark.definitions import asset, model, ref, source
from tidemark.errors import DefinitionError, TidemarkError
from tidemark.execution import Resources
from tidemark.mappings import Window, in_force, last_known, latest, parts, previous, same, trailing
from tidemark.partitions import Daily, Hourly, Monthly, Partition, Static, Unpartitioned, Weekly
from tidemark.search import Search
from tidemark.validation import Accuracy, Validation, at_least, at_most

if TYPE_CHECKING:
    from tidemark.reading import read

__all__ = [
    "Accuracy",
    "Calendar",
    "Daily",
    "Hourly",
    "Monthly",
    "Partition",
    "Resources",
    "Search",
    "Static",
    "TidemarkError",
    "Unpartitioned",
    "Validation",
    "Weekly",
    "asset",
    "at_least",
    "at_most",
    "in_force",
    "incident_forms",
    "last_known",
    "latest",
    "model",
    "parts",
    "pipeline",
    "previous",
    "read",
    "ref",
    "rollback_form",
    "same",
    "source",
    "trailing",
]


def pipeline(
    name: str,
    members: Sequence[Source | Callable[..., Any]],
    *,
    schedule: str | None = None,
    timezone: str = "UTC",
    on_arrival: bool = False,
    owner: str | None = None,
    tags: Sequence[str] = (),
    retrains: Mapping[str, str] | None = None,
    accuracy: Mapping[str, Accuracy] | None = None,
    reports: Sequence[str] = (),
    deadline: str | None = None,
) -> Any:
    """Put sources and assets together as one data product; bind the result to a name in the file.

    Args:
        name: the pipeline's name, which is the DAG's.
        members: sources, and functions decorated with ``@asset``.
        schedule: cron expression of the safety net, or None; a tick of over five minutes before the file is pushed is
            not made up for.
        timezone: zone of the schedule.
        on_arrival: a settled delivery starts a run.
        owner: who is asked about members that name no owner of their own.
        tags: words to find the DAG by.
        retrains: by the name of a model, the asset of this pipeline that asks for a training of it: a table with one
            row a partition and the columns ``retrain``, ``since``, ``champion`` and ``features``.
        accuracy: by the name of an asset of this pipeline, the column in which it says how accurate a model was: one
            row a partition. Who has subscribed is told when it goes up or down.
        reports: assets by day or such that return the text of :class:`tidemark.figures.Figures`: they are pages of the
            Airflow UI, and each new one is mailed once.
        deadline: by when people must have it, or on-call is told: ``07:30 Europe/London``, when the run of a tick of
            the schedule must be over (the next time that clocks there show it), or ``90 minutes``, which each run may
            take.

    Returns:
        The pipeline's definition; where Airflow imports the file, its DAG.

    Raises:
        DefinitionError: something about the definitions cannot be; the message names file, function and mend.

    """
    # Not inspect.stack, which looks for the source of every frame in every module that is loaded.
    caller = sys._getframe(1).f_globals
    file = caller.get("__file__")
    made = _pipelines.pipeline(
        name,
        members,
        schedule=schedule,
        timezone=timezone,
        on_arrival=on_arrival,
        owner=owner,
        tags=tags,
        doc=caller.get("__doc__") or "",
        file=Path(file) if file else None,
        retrains=retrains,
        accuracy=accuracy,
        reports=reports,
        deadline=deadline,
    )
    _check(made)
    if _airflow_imports():
        from tidemark.airflow.factory import build_dag

        return build_dag(made)
    return made


def rollback_form(name: str) -> Any:
    """Make the form by which approvers take promotions of models back; bind the result to a name in the file.

    Args:
        name: the DAG's name; the file's docstring is its page.

    Returns:
        The DAG where Airflow imports the file, else None.

    """
    if not _airflow_imports():
        return None
    from tidemark.airflow.operations import rollback_dag

    return rollback_dag(name, sys._getframe(1).f_globals.get("__doc__") or "")


def incident_forms() -> tuple[Any, Any, Any]:
    """Make the forms by which people acknowledge, silence and resolve incidents; bind each to a name in the file.

    Returns:
        The three DAGs where Airflow imports the file, whose docstring is their page; else None three times.

    """
    if not _airflow_imports():
        return None, None, None
    from tidemark.airflow.oncall import incident_dags

    return incident_dags(sys._getframe(1).f_globals.get("__doc__") or "")


def _airflow_imports() -> bool:
    """Whether it is Airflow that imports the file, to find its DAGs: a process may know Airflow for other reasons."""
    internals = sys.modules.get("airflow.sdk.definitions._internal.contextmanager")
    return internals is not None and internals.DagContext.current_autoregister_module_name is not None


def _check(made: Pipeline) -> None:
    """Check what lies outside the definitions themselves: annotations, schemas and suites."""
    from tidemark.config import expectations_of, settings
    from tidemark.frames import check_annotation, check_output, check_schema
    from tidemark.gate import find_suite

    folder = expectations_of(settings(), made)
    for each in made.sources:
        if each.schema is not None:
            check_schema(each.schema, each.where)
    suites = [(each.where, each.gate) for each in made.members]
    suites += [(each.where, each.validation.gate) for each in made.assets if each.validation]
    for where, suite in suites:
        if suite is not None:
            try:
                find_suite(suite, folder)
            except DefinitionError as problem:
                raise DefinitionError(f"{where}: {problem}") from problem
    for member in made.assets:
        for read_ in member.inputs:
            windowed = isinstance(read_.mapping, Window)
            check_annotation(read_.annotation, f"{member.where}: parameter {read_.parameter!r}", windowed=windowed)
        check_output(member.function.__annotations__.get("return"), member.where, gate=member.gate)


def __getattr__(name: str) -> object:
    if name == "read":  # brings the ledger and the store: not for a file that only defines
        from tidemark.reading import read

        return read
    raise AttributeError(f"module 'tidemark' has no attribute {name!r}")
