"""Claims about --json: every command takes it, and these are its keys; programs rely on them."""

from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import AS_OF, DAYS, Command, csv
from tests.scenario import Shop

# What each command answers. A list stands for the shape of all its items, a name in <> for whatever keys there are.
COUNTS = {"computed", "restored", "unchanged", "blocked", "failed", "waiting", "provisional"}
RUN = {"pipeline": None, "assets": {"<asset>": COUNTS}}
COMMIT = {"id", "author", "at", "subject"}
CAUSE: dict[str, Any] = {
    "kind": None,
    "said": None,
    "asset": None,
    "partition": None,
    "before": None,
    "after": None,
    "file": None,
    "line": None,
    "commit": COMMIT,
}
CAUSE["causes"] = [CAUSE]
SPAN = {"first": None, "last": None, "count": None}
PLAN = {
    "pipeline": None,
    "environment": None,
    "as_of": None,
    "selection": {"first", "last", "force"},
    "seq": None,
    "definitions": None,
    "items": [{"asset", "partition", "certainty", "runs", "reason", "seconds", "guessed"}],
    "groups": [
        {"asset": None, "certainty": None, "runs": None, "reason": None, **SPAN, "seconds": None, "guessed": None}
    ],
    "totals": {"will", "may", "without_run", "seconds"},
    "code": [CAUSE],
    "provisional": [{"asset": None, "certainty": None, **SPAN, "missing": [{"asset", "partition"}]}],
    "at_once": [{"asset": None, **SPAN, "reason": None}],
    "stuck": [{"asset": None, **SPAN, "reason": None}],
    "rejected": [{"source", "partition", "why"}],
    "ignored": [{"source", "file", "why"}],
}
ACCOUNT = {
    "asset": None,
    "partition": None,
    "as_of": None,
    "state": None,
    "why": None,
    "causes": [CAUSE],
    "held": None,
    "live": {
        "version": None,
        "action_key": None,
        "blob": None,
        "rows": None,
        "bytes": None,
        "seconds": None,
        "computed_at": None,
        "run": None,
        "by": None,
        "code": {"version", "commit", "uncommitted_changes", "image"},
        "image": None,
        "bundle": None,
        "parameters": {"<parameter>": None},
    },
    "became": {"reason": None, "at": None, "run": None, "by": None, "causes": [CAUSE]},
    "provisional_for": [],
    "made_without": [],
    "lacks": [CAUSE],
    "inputs": [
        {"parameter": None, "asset": None, "mapping": None, "members": [{"partition", "version"}]},
    ],
    "gate": None,
    "quarantined": [],
    "failures": [{"at", "run", "error"}],
}
STATUS = {
    "environment": None,
    "pipelines": {
        "<pipeline>": {
            "last_run": None,
            "as_of": None,
            "sources": {"<source>": {"delivered", "rejected", "missing", "newest"}},
            "assets": {
                "<asset>": {
                    "live": None,
                    "provisional": None,
                    "newest": None,
                    "flagged": [],
                    "held": None,
                    "held_partitions": [],
                    "states": {"<state>": None},
                }
            },
        }
    },
    "problems": {"<file>": None},
}
CONFIG = {
    "TIDEMARK_HOME",
    "TIDEMARK_LEDGER_URL",
    "TIDEMARK_STORE_URL",
    "TIDEMARK_LANDING_URL",
    "TIDEMARK_LANDING_CONNECTION",
    "TIDEMARK_ENVIRONMENT",
    "TIDEMARK_DAGS",
    "TIDEMARK_EXPECTATIONS",
    "TIDEMARK_AS_OF",
    "TIDEMARK_APPROVERS",
    "TIDEMARK_PEOPLE",
    "TIDEMARK_FOUR_EYES",
    "TIDEMARK_ACTOR",
    "TIDEMARK_ALERTS",
    "TIDEMARK_APPROVAL_PATIENCE",
    "TIDEMARK_BACKUP_WITHIN",
    "TIDEMARK_COMMIT",
    "TIDEMARK_DASK_SCHEDULER",
    "TIDEMARK_DEADMAN_URL",
    "TIDEMARK_DISK_CRITICAL",
    "TIDEMARK_DISK_WARNING",
    "TIDEMARK_MAIL_TO",
    "TIDEMARK_METRICS",
    "TIDEMARK_POD_SECONDS",
    "TIDEMARK_ROLES",
    "TIDEMARK_SETTLE_SECONDS",
    "TIDEMARK_SPARK_REMOTE",
    "TIDEMARK_STATSD",
    "TIDEMARK_GRACE_SECONDS",
    "TIDEMARK_IMAGE",
    "TIDEMARK_LOCK",
    "TIDEMARK_WATCH_API",
    "TIDEMARK_WATCH_PASSWORD",
    "TIDEMARK_WATCH_SECONDS",
    "TIDEMARK_WATCH_USER",
}
VERSION = {"version", "at", "run", "by", "live"}
DIFF = {
    "asset": None,
    "partition": None,
    "before": VERSION,
    "after": VERSION,
    "kind": None,
    "by": [],
    "note": None,
    "totals": {"before", "after", "added", "removed", "changed"},
    "columns": [{"column", "before", "after"}],
    "cells": {"<column>": None},
    "added": [{"<column>": None}],
    "removed": [{"<column>": None}],
    "changed": [{"key": {"<column>": None}, "values": {"<column>": {"before", "after"}}}],
    "lines": [],
}
HISTORY = [{"at", "version", "live", "provisional_for", "reason", "run", "by"}]


def differences(data: Any, shape: Any, place: str = "") -> list[str]:
    """Where data has not the shape; None is any single value, or none."""
    if isinstance(shape, set):
        shape = dict.fromkeys(shape)
    if shape is None or (data is None and place):
        return []
    if isinstance(shape, list):
        assert isinstance(data, list), place
        return [each for item in data for each in (differences(item, shape[0], f"{place}[]") if shape else ())]
    assert isinstance(data, dict), place
    if all(key.startswith("<") for key in shape):
        [(name, inner)] = shape.items()
        return [each for item in data.values() for each in differences(item, inner, f"{place}.{name}")]
    wrong = [f"{place}.{key}" for key in sorted(data.keys() ^ shape.keys())]
    return wrong + [
        each for key in data.keys() & shape.keys() for each in differences(data[key], shape[key], f"{place}.{key}")
    ]


@pytest.fixture
def eventful(open_shop: Shop, tidemark: Command) -> Shop:
    """A shop in which something failed, was rejected and ignored, so that every list has items."""
    open_shop.edit('return f"{lines.height} lines', 'return f"{1 / (lines.height - 3)} lines')
    open_shop.deliver("orders", DAYS[0], "item,units\napple,3\n")
    open_shop.deliver("orders", DAYS[1], csv("apple,9,0.5", "pear,1,0.25", "plum,1,1"))
    (open_shop.landing / "orders" / "copy.csv").write_text("hello")
    (open_shop.dags / "bad.py").write_text("import tidemark\nDaily()")
    return open_shop


def test_the_data_of_every_command_has_these_keys(eventful: Shop, tidemark: Command) -> None:
    before = eventful.versions("lines")[DAYS[1]]
    version = {"version", "before"}
    declared = {"news", "marks_changed", "expected", "delivered"}
    wanted: list[tuple[list[str], int, Any]] = [
        (["plan", "shop", "--as-of", AS_OF], 0, PLAN),
        (["run", "shop", "--as-of", AS_OF], 1, RUN),
        (["explain", "totals", DAYS[1]], 0, ACCOUNT),
        (["explain", "label", DAYS[1]], 0, ACCOUNT),
        (["explain", "orders", DAYS[0]], 0, ACCOUNT | {"file": None, "declared": None}),
        (["history", "totals", DAYS[1]], 0, HISTORY),
        (["diff", "lines", DAYS[1]], 0, DIFF),
        (["diff", "orders", DAYS[1]], 0, DIFF),
        (["status"], 0, STATUS),
        (["config"], 0, CONFIG),
        (["read", "lines", DAYS[1]], 0, [{"item", "units", "price", "value"}]),
        (["read", "lines", DAYS[1], "-o", "lines.csv"], 0, {"file", "format", "rows"}),
        (["read", "label", DAYS[0], "-o", "label.txt"], 0, {"file", "format"}),
        (["sql", "SELECT partition, item FROM lines"], 0, [{"partition", "item"}]),
        (["absent", "orders", DAYS[0], "--why", "x"], 0, declared),
        (["absent", "orders", DAYS[0], "--undo", "--why", "x"], 0, declared),
        (["restore", "lines", DAYS[1], before[:8], "--why", "x"], 0, version),
        (["hold", "lines", "--why", "x"], 0, {"held", "held_before"}),
        (["release-hold", "lines", "--why", "x"], 0, {"released", "still_held", "partitions_held"}),
        (["db", "upgrade"], 0, {"before", "after"}),
        (["db", "wait"], 0, {"waited"}),
    ]
    for words, code, shape in wanted:
        done = tidemark(*words, "--json")
        assert done.code == code, (words, done.err)
        assert done.data, words
        assert differences(done.data, shape) == [], words


def test_every_list_of_the_keys_was_filled(eventful: Shop, tidemark: Command) -> None:
    """An empty list would have any shape."""
    data = tidemark.json("plan", "shop", "--as-of", AS_OF)
    assert all(data[name] for name in ("items", "groups", "code", "provisional", "rejected", "ignored"))
    assert data["code"][0]["causes"]
    tidemark("run", "shop", "--as-of", AS_OF)
    account = tidemark.json("explain", "lines", DAYS[0])
    assert account["lacks"]
    assert account["became"]["causes"]
    assert tidemark.json("explain", "label", DAYS[1])["causes"]
    difference = tidemark.json("diff", "lines", DAYS[1])
    assert all(difference[name] for name in ("cells", "added", "changed"))
    assert tidemark.json("explain", "label", DAYS[1])["failures"]
    assert tidemark.json("explain", "totals", DAYS[1])["inputs"][0]["members"]
    assert tidemark.json("status")["problems"]


def test_a_refused_command_leaves_standard_output_empty(look: Command, tmp_path: Path) -> None:
    for words in (["run", "shopp"], ["read", "line"], ["sql", "SELEC"], ["plan", "shop", "--from", "x"]):
        done = look(*words, "--json")
        assert (done.code, done.out) == (2, "")


TYPES = {
    "plan": {
        "items": list,
        "groups.asset": str,
        "groups.certainty": str,
        "groups.reason": str,
        "groups.first": str,
        "groups.last": str,
        "groups.count": int,
        "groups.seconds": float,
        "totals.will": int,
        "totals.may": int,
        "totals.seconds": float,
        "code.kind": str,
        "code.said": str,
        "code.causes": list,
        "code.causes.file": str,
        "code.causes.line": int,
        "provisional.certainty": str,
        "provisional.count": int,
        "provisional.missing.partition": str,
    },
    "explain": {
        "why": str,
        "causes.kind": str,
        "causes.said": str,
        "became.reason": str,
        "became.causes.kind": str,
        "lacks": list,
    },
    "diff": {
        "kind": str,
        "by": list,
        "totals.before": int,
        "totals.after": int,
        "totals.added": int,
        "totals.removed": int,
        "totals.changed": int,
        "cells": dict,
        "before.version": str,
        "before.live": bool,
        "added": list,
        "changed.key": dict,
        "changed.values": dict,
    },
}


def at(data: Any, path: str) -> Any:
    """What stands at a path; of a list, its first item."""
    for name in path.split("."):
        data = data[0][name] if isinstance(data, list) else data[name]
    return data


def test_values_are_of_these_types(eventful: Shop, tidemark: Command) -> None:
    plan = tidemark.json("plan", "shop", "--as-of", AS_OF)
    tidemark("run", "shop", "--as-of", AS_OF)
    found = {
        "plan": plan,
        "explain": tidemark.json("explain", "label", DAYS[1]),
        "diff": tidemark.json("diff", "lines", DAYS[1]),
    }
    for command, types in TYPES.items():
        assert {path: type(at(found[command], path)) for path in types} == types, command
