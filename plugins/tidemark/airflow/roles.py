"""The roles of people in Airflow, under FAB's auth manager: what each may do, as data, and the command that makes them.

Two kinds of permission make up a role. Those below are the same for all DAGs. FAB asks for the right to edit a DAG
beside them whenever somebody acts on one of its runs: which DAGs that are, the DAGs say themselves (:func:`let`), so
that a form of on-call's is no pipeline of a scientist's. The administrator is FAB's own `Admin`, whom Airflow gives
every permission there is.

``python -m tidemark.airflow.roles`` makes them in the database of the Airflow that is configured, and is safe to run
again: a role has afterwards exactly what this file says, and what DAGs say of themselves stays. With ``--wait SECONDS``
it waits until somebody else has made them, where they are needed.
"""

import os
import re
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from tidemark.config import switch
from tidemark.errors import Refused, TidemarkError, Unavailable, UsageError

if TYPE_CHECKING:
    from airflow.sdk import DAG

READ, CREATE, EDIT, DELETE, MENU = "can_read", "can_create", "can_edit", "can_delete", "menu_access"

_DAGS, _RUNS, _TASKS, _HITL = "DAGs", "DAG Runs", "Task Instances", "HITL Detail"

Permission = tuple[str, str]
"""An action, and what it is done to, both in FAB's words."""

SWITCH = "TIDEMARK_ROLES"

_LOOK_SECONDS = 2.0

# What FAB keeps of single DAGs: it is theirs to say, and not a role's.
_OF_ONE_DAG = ("DAG:", "DAG Run:")


_MIGRATED = "alembic_version_fab"
"""The table in which Airflow keeps which migration of FAB's tables was the last."""


@dataclass(frozen=True)
class Role:
    """What somebody may do.

    Attributes:
        name: as FAB and its pages call it.
        permissions: those that do not depend on the DAG.

    """

    name: str
    permissions: frozenset[Permission]


def _each(action: str, *resources: str) -> frozenset[Permission]:
    return frozenset((action, resource) for resource in resources)


# What Tidemark tells people is in logs, XComs, assets and the pages of its plugin.
_SEES = _each(
    READ,
    _DAGS,
    "DAG Code",
    "DAG Dependencies",
    _RUNS,
    "DAG Versions",
    "DAG Warnings",
    _TASKS,
    "Task Logs",
    "XComs",
    _HITL,
    "Assets",
    "Asset Aliases",
    "Backfills",
    "Pools",
    "ImportError",
    "Jobs",
    "Cluster Activity",
    "Plugins",
    "Website",
    "My Profile",
    "My Password",
) | _each(
    MENU,
    _DAGS,
    "DAG Dependencies",
    _RUNS,
    _TASKS,
    _HITL,
    "Assets",
    "Jobs",
    "Cluster Activity",
    "Browse",
    "Docs",
    "Documentation",
)
_IS_A_PERSON = _SEES | _each(EDIT, "My Profile", "My Password")

# Clearing and marking; on which DAGs, they say themselves.
_REPAIRS = _each(EDIT, _RUNS, _TASKS)

SCIENTIST = Role("Scientist", _IS_A_PERSON | _REPAIRS)
OPERATOR = Role(
    "Operator",
    _IS_A_PERSON | _REPAIRS | _each(EDIT, _DAGS) | _each(CREATE, _RUNS, "Assets"),
)
APPROVER = Role("Approver", _IS_A_PERSON | _each(EDIT, _HITL))
ON_CALL = Role("On-call", _IS_A_PERSON | _REPAIRS)
AUDITOR = Role(
    "Auditor",
    _IS_A_PERSON
    | _each(READ, "Audit Logs", "All Audit Logs", "All Import Errors", "Users", "Roles", "Providers")
    | _each(MENU, "Audit Logs", "Admin", "Plugins", "Providers", "Pools", "XComs", "List Users", "List Roles"),
)
# What is read by :mod:`tidemark.airflow.watched`. FAB gives every role the right to read "Website".
WATCH = Role("Watch", _each(READ, _DAGS, _RUNS, _TASKS, "XComs", "ImportError", "Website"))

ROLES = (SCIENTIST, OPERATOR, APPROVER, ON_CALL, AUDITOR, WATCH)
"""Every role that is made; the administrator's is FAB's `Admin`."""

# FAB's own, for places that go on with them; the rest of what they may is FAB's to say.
_FABS_OWN = ("Viewer", "User")
_REPORTS = (READ, "Plugins")


class Kind(StrEnum):
    """What a DAG is to the people who act on it."""

    PIPELINE = "a pipeline"
    MODEL = "a pipeline with a model that somebody approves"
    INCIDENTS = "a form of incidents"
    ROLLBACK = "the form that rolls a model back"


_STARTS = {_DAGS: {EDIT}, _RUNS: {CREATE}}
_ACTS = {_DAGS: {EDIT}}

ACCESS: Mapping[Kind, Mapping[Role, Mapping[str, set[str]]]] = {
    Kind.PIPELINE: {SCIENTIST: _STARTS, ON_CALL: _ACTS},
    Kind.MODEL: {SCIENTIST: _STARTS, ON_CALL: _ACTS, APPROVER: _ACTS},
    Kind.INCIDENTS: {ON_CALL: _STARTS},
    Kind.ROLLBACK: {APPROVER: _STARTS},
}
"""Who may do what on a DAG, beside the operator and the administrator, who may on all."""


def let(dag: "DAG", kind: Kind) -> None:
    """Let a DAG say which roles may act on it, where ``TIDEMARK_ROLES`` is on.

    Without the roles in its database FAB refuses such a DAG, so it is off until somebody has made them.

    Raises:
        UsageError: ``TIDEMARK_ROLES`` is neither on nor off.

    """
    if switch(SWITCH, os.environ.get(SWITCH) or "off"):
        dag.access_control = {
            role.name: {what: set(actions) for what, actions in rights.items()} for role, rights in ACCESS[kind].items()
        }


def make() -> list[str]:
    """Make the roles in Airflow's database, or give those that are there exactly what they should have.

    Returns:
        A line for each permission that was given or taken.

    Raises:
        Refused: Airflow's auth manager is not FAB's, or its tables are not there yet.
        Unavailable: Airflow's database cannot be reached.

    """
    from airflow.configuration import conf
    from airflow.utils.providers_configuration_loader import providers_configuration_loaded

    manager = conf.get("core", "auth_manager")
    if "FabAuthManager" not in manager:
        raise Refused(
            f"Airflow's auth manager is {manager.rpartition('.')[2]}, which has roles of its own: see docs/security.md"
        )
    return list(providers_configuration_loaded(_make)())


def wait(seconds: float) -> str:
    """Wait until the roles are in Airflow's database, if DAGs name them at all.

    Returns:
        What was waited for, in a sentence.

    Raises:
        UsageError: ``TIDEMARK_ROLES`` is neither on nor off.
        Unavailable: some are not there after so many seconds.

    """
    if not switch(SWITCH, os.environ.get(SWITCH) or "off"):
        return f"{SWITCH} is off: no DAG names a role"
    end, began = time.monotonic() + seconds, time.monotonic()
    while lacking := _lacking():
        if time.monotonic() + _LOOK_SECONDS > end:
            raise Unavailable(f"{lacking} after {seconds:g} seconds: run 'python -m tidemark.airflow.roles'")
        time.sleep(_LOOK_SECONDS)
    return f"the roles are there (after {time.monotonic() - began:.0f} seconds)"


def _lacking() -> str | None:
    """Return what keeps DAGs from naming the roles, in words."""
    from airflow import settings
    from sqlalchemy import text
    from sqlalchemy.exc import DBAPIError

    try:
        with settings.get_engine().connect() as connection:  # type: ignore[no-untyped-call]
            there = {name for (name,) in connection.execute(text("SELECT name FROM ab_role"))}
    except DBAPIError as problem:
        return f"Airflow's database has no roles ({str(problem.orig).strip().splitlines()[0]})"
    lacking = [role.name for role in ROLES if role.name not in there]
    return f"there is no role {', '.join(lacking)}" if lacking else None


def _make() -> list[str]:
    from airflow import settings
    from airflow.providers.fab.auth_manager.cli_commands.utils import get_application_builder
    from sqlalchemy import inspect
    from sqlalchemy.exc import OperationalError, ProgrammingError

    try:
        # FAB would make tables of its own, over which Airflow's migration then stumbles.
        if not inspect(settings.get_engine()).has_table(_MIGRATED):  # type: ignore[no-untyped-call]
            raise Refused("Airflow's database has no tables for roles yet: run 'airflow db migrate'")
        with get_application_builder() as builder:
            made = [line for role in ROLES for line in _give(builder.sm, role)]
            return made + [line for name in _FABS_OWN for line in _show_reports(builder.sm, name)]
    except (OperationalError, ProgrammingError) as problem:
        said = str(problem.orig).strip().splitlines()[0]
        raise Unavailable(f"Airflow's database cannot be used: {said}") from None


def _give(security: Any, role: Role) -> Iterator[str]:
    """Give a role what it should have, take what it should not, and say each."""
    found = security.find_role(role.name) or security.add_role(role.name)
    if found is None:
        raise Unavailable(f"FAB cannot make the role {role.name}: its log says why")
    has = {(each.action.name, each.resource.name): each for each in found.permissions}
    for permission in sorted(role.permissions - has.keys()):
        security.add_permission_to_role(found, security.create_permission(*permission))
        yield f"{role.name}: given {' '.join(permission)}"
    for action, resource in sorted(has.keys() - role.permissions):
        if not resource.startswith(_OF_ONE_DAG):
            security.remove_permission_from_role(found, has[action, resource])
            yield f"{role.name}: taken {action} {resource}"
    # FAB logs what it cannot write, and goes on.
    lacking = role.permissions - {(each.action.name, each.resource.name) for each in found.permissions}
    if lacking:
        raise Unavailable(f"FAB has not given {role.name} {' '.join(min(lacking))}: its log says why; run this again")


def _show_reports(security: Any, name: str) -> Iterator[str]:
    """Let one of FAB's own roles see our pages, if it is there, and say so."""
    found = security.find_role(name)
    if found is not None and _REPORTS not in {(each.action.name, each.resource.name) for each in found.permissions}:
        security.add_permission_to_role(found, security.create_permission(*_REPORTS))
        yield f"{name}: given {' '.join(_REPORTS)}"


def _seconds(words: Sequence[str]) -> float | None:
    """Return how long to wait for the roles; None: make them.

    Raises:
        UsageError: something else is asked for.

    """
    match words:
        case []:
            return None
        case ["--wait", text] if re.fullmatch(r"\d+(\.\d+)?", text):
            return float(text)
    raise UsageError(
        f"{' '.join(words)!r} is not understood: 'python -m tidemark.airflow.roles' makes the roles, with "
        "'--wait SECONDS' it waits until somebody else has made them"
    )


def main() -> int:
    """Run the command; returns its exit code."""
    try:
        seconds = _seconds(sys.argv[1:])
        if seconds is not None:
            print(wait(seconds))  # noqa: T201
            return 0
        done = make()
    except UsageError as problem:
        print(f"tidemark: {problem}", file=sys.stderr)  # noqa: T201
        return 2
    except TidemarkError as problem:
        print(f"tidemark: {problem}", file=sys.stderr)  # noqa: T201
        return 1
    for line in done:
        print(line)  # noqa: T201
    print(f"{', '.join(role.name for role in ROLES)}: {len(done)} changed")  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
