"""How answers look on a terminal: tables, progress, warnings."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import groupby
from typing import TYPE_CHECKING, Any

from rich.console import Console, Group
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from tidemark.causes import Cause, Kind
from tidemark.observe import Progress
from tidemark.outlook import AT_ONCE, Change, Outlook
from tidemark.places import redact
from tidemark.plan import Plan
from tidemark.running.results import Result
from tidemark.survey import Certainty, State
from tidemark.verdict import Trouble, Verdict

if TYPE_CHECKING:
    import polars as pl

# Rows of a table that a person still looks at, and words of a line.
MANY, FEW = 40, 5

# Columns of a screen that is not there.
UNBOUNDED = 100_000

# States whose own words say too little.
_STATES: dict[str, str] = {
    State.FRESH: "up to date",
    State.STALE: "to be computed",
    State.KNOWN: "to be brought back",
    State.UNSURE: "may have to be computed",
}

_ERRORS = Console(stderr=True, soft_wrap=True)


class _Output(Console):
    """Standard output; who stops reading is ours to deal with, where rich would end the process."""

    def on_broken_pipe(self) -> None:
        """Let the caller know."""
        raise BrokenPipeError


def console() -> Console:
    """Return what answers are printed on; in a pipe a table is as wide as it must be: there is no screen to fit."""
    return _Output() if sys.stdout.isatty() else _Output(width=UNBOUNDED)


def warn(text: str) -> None:
    """Print a warning to standard error."""
    _ERRORS.print(text, style="yellow", highlight=False, markup=False)


@contextmanager
def progress() -> Iterator[Progress]:
    """Yield a function that shows how far each source and asset is; it prints nothing where nobody looks."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Bars(*columns, console=_ERRORS, transient=True, disable=not sys.stderr.isatty()) as bars:
        tasks: dict[str, TaskID] = {}

        def tell(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = bars.add_task(what, total=total)
            bars.update(tasks[what], completed=done, total=total)

        yield tell


def alerts_text(rows: Sequence[tuple[str, str, str]]) -> Any:
    """Return what came of test alerts: a line for each channel and kind."""
    table = Table("channel", "kind", "outcome")
    for row in rows:
        table.add_row(*(Text(each) for each in row))
    return table


def plan_text(made: Plan, ahead: Outlook, file: str | None) -> Any:
    """Return a plan as a table with a line for each asset and reason, what changed in the code, and what would lack."""
    said: list[Any] = [Text(f"rejected: {source} {key}: {why}") for source, key, why in made.rejected]
    if made.items:
        said += [_plan_table(made.pipeline, ahead), *(_code_tree(each) for each in ahead.code)]
    if ahead.provisional:
        said.append(_provisional_table(ahead))
    said += [Text(f"at once: {each.asset} {_span_of(each)}: {each.reason}") for each in ahead.at_once[:MANY]]
    if len(ahead.at_once) > MANY:
        said.append(f"at once: {len(ahead.at_once) - MANY} more: --json has them")
    said += [Text(f"not tried again: {each.asset} {_span_of(each)}: {each.reason}") for each in ahead.stuck[:MANY]]
    if ahead.stuck:
        first = ahead.stuck[0]
        more = f"; --json has {len(ahead.stuck) - MANY} more" if len(ahead.stuck) > MANY else ""
        said.append(Text(f"'tidemark explain {first.asset} {first.keys[0]}' says what can be done{more}"))
    if made.items or made.moves:
        said.append(_plan_sums(made, ahead))
    else:
        said.append(f"{made.pipeline}: nothing to do as of {_minute(made.as_of.isoformat())}")
    if file:
        said.append(Text(f"kept in {file}: 'tidemark run {made.pipeline} --plan {file}' runs just this"))
    return Group(*said)


def _plan_table(pipeline: str, ahead: Outlook) -> Table:
    table = Table("", "asset", "partitions", "count", "why", "seconds", title=f"{pipeline}: plan")
    for column in (table.columns[3], table.columns[5]):
        column.justify = "right"
    for place, each in enumerate(ahead.groups):
        if place and each.certainty is not ahead.groups[place - 1].certainty:
            table.add_section()
        table.add_row(
            f"{each.certainty} run" if each.runs else "no run",
            each.asset,
            _span(each.keys),
            str(len(each.keys)),
            Text(each.reason),
            ("<0.1" if 0 < each.seconds < 0.05 else f"{each.seconds:.1f}") + ("?" if each.guessed else ""),
        )
    return table


def _span_of(change: Change) -> str:
    return _span(change.keys) + (f" ({len(change.keys)})" if len(change.keys) > 1 else "")


def _code_tree(cause: Cause) -> Tree:
    tree = Tree(Text(cause.said))
    for each in cause.causes:
        tree.add(Text(each.said))
    return tree


def _provisional_table(ahead: Outlook) -> Table:
    when = {AT_ONCE: "at once", Certainty.WILL.value: "will run", Certainty.MAY.value: "may run"}
    table = Table("", "asset", "partitions", "count", "for", title="would become provisional")
    table.columns[3].justify = "right"
    for each in ahead.provisional[:MANY]:
        missing = _first([f"{asset} {key}" for asset, key in sorted(each.missing)])
        table.add_row(when[each.certainty], each.asset, _span(each.keys), str(len(each.keys)), Text(missing))
    if len(ahead.provisional) > MANY:
        table.add_row("...", "", f"and {len(ahead.provisional) - MANY} more lines: --json has them", "", "")
    return table


def _plan_sums(made: Plan, ahead: Outlook) -> str:
    heads = "1 head changes" if len(made.moves) == 1 else f"{len(made.moves)} heads change"
    moves = f"; {heads} without a run" if made.moves else ""
    idle = f", {ahead.idle} need no run" if ahead.idle else ""
    guess = ", a guess for what has never run" if any(each.guessed for each in ahead.groups) else ""
    cost = f"; about {_duration(ahead.seconds)}{guess}" if ahead.seconds else ""
    return f"{ahead.counted(Certainty.WILL)} will run, {ahead.counted(Certainty.MAY)} may run{idle}{cost}{moves}"


def _duration(seconds: float) -> str:
    """Return a time as people say it."""
    for unit, length in (("h", 3600.0), ("min", 60.0)):
        if seconds >= 2 * length:
            return f"{seconds / length:.1f} {unit}"
    return f"{max(seconds, 0.1):.1f} s"


def _span(keys: Sequence[str]) -> str:
    return keys[0] if len(keys) == 1 else f"{keys[0]} .. {keys[-1]}"


def _minute(instant: str) -> str:
    """Return an ISO instant in UTC as people read it."""
    return f"{instant[:10]} {instant[11:16]} UTC"


def verdict_text(judged: Verdict, landing: str, *, selected: bool = False) -> Any:
    """Return the counts of a run, what went wrong and what is served instead, and what waits.

    Args:
        judged: what the run came to.
        landing: where was looked for deliveries.
        selected: whether --from or --to left anything out.

    """
    names = ["computed", "restored", "unchanged", "blocked", "failed", "waiting", "provisional"]
    table = Table("asset", *names, title=judged.pipeline)
    for column in table.columns[1:]:
        column.justify = "right"
    for asset, counts in judged.counts.items():
        table.add_row(asset, *(str(counts[name]) if counts[name] else "-" for name in names))
    said: list[Any] = [table]
    if judged.troubles:
        said.append(_troubles(judged.troubles))
    waits = [Text(f"{asset} {key} waits: {why}") for asset, key, why in judged.waiting[:FEW]]
    if len(judged.waiting) > FEW:
        waits.append(Text(f"... and {len(judged.waiting) - FEW} more wait: 'tidemark explain' says for what"))
    said += [*waits, Text(_summary(judged, landing, selected))]
    return Group(*said)


def _summary(judged: Verdict, landing: str, selected: bool) -> str:
    if not any(judged.total(each) for each in (*Result, "provisional")):
        if selected:
            return f"{judged.pipeline}: no partition begins between --from and --to"
        return f"{judged.pipeline}: nothing was delivered yet that can be computed from; looked in {redact(landing)}"
    below = f"; {judged.blocked_below} partitions wait because of it" if judged.blocked_below else ""
    return f"{judged.summary}{below}; all else is published" if judged.troubles else judged.summary


def troubles_text(judged: Verdict) -> str:
    """Return what went wrong in plain lines, for those who read the data by a program."""
    lines = []
    for some in _alike(judged.troubles)[:MANY]:
        first = some[0]
        lines.append(f"{first.asset} {_partitions(some)}: {first.what}: {first.why}; served instead: {_instead(some)}")
    more = len(_alike(judged.troubles)) - MANY
    return "\n".join([*lines, f"... and {more} more: 'tidemark status' counts them all"] if more > 0 else lines)


def _alike(troubles: Sequence[Trouble]) -> list[list[Trouble]]:
    """Group neighbours with one cause."""
    return [list(some) for _, some in groupby(troubles, key=lambda each: (each.what, each.asset, each.why))]


def _partitions(some: Sequence[Trouble]) -> str:
    return _span([each.partition for each in some]) + (f" ({len(some)})" if len(some) > 1 else "")


def _instead(some: Sequence[Trouble]) -> str:
    return some[0].instead if len(some) == 1 else "of each its last good result, if it has one"


def _troubles(troubles: Sequence[Trouble]) -> Table:
    """Return what went wrong, worst things not hidden by many: neighbours with one cause are one line."""
    table = Table("what", "asset", "partitions", "why", "what is served instead", title="what is wrong")
    lines = _alike(troubles)
    for some in lines[:MANY]:
        first = some[0]
        table.add_row(first.what, first.asset, _partitions(some), Text(first.why), Text(_instead(some)))
    if len(lines) > MANY:
        table.add_row("...", "", f"and {len(lines) - MANY} more", "'tidemark status' counts them all", "")
    return table


def account_text(account: Mapping[str, Any]) -> Any:
    """Return what is known of a partition as a tree."""
    tree = Tree(Text(f"{account['asset']} {account['partition']}: {state_word(account['state'])}"))
    if account["why"]:
        _add_causes(tree.add(Text(account["why"])), account["causes"])
    if account["held"] and f"held: {account['held']}" not in account["why"]:
        tree.add(Text(f"held: {account['held']}"))
    if "file" in account:
        there = account["state"].startswith(("delivered", "rejected"))
        tree.add(Text(f"{'delivered' if there else 'would be delivered'} as {account['file']}"))
        if account["declared"] and account["state"] != "absent":
            tree.add(Text(f"declared absent: {account['declared']}"))
    _add_live(tree, account["live"], account["became"])
    _add_provisional(tree, account)
    _add_inputs(tree, account["inputs"])
    if account["gate"]:
        _add_gate(tree, "gate", account["gate"])
    for each in account["quarantined"]:
        _add_gate(tree, f"quarantined candidate {each['version'][:12]}", each["gate"])
    what = "rejected" if "file" in account else "failed"
    for each in account["failures"]:
        if each["error"] != account["why"]:
            tree.add(Text(f"{what} {_minute(each['at'])}: {each['error']}"))
    return tree


def _add_causes(tree: Tree, causes: Sequence[Mapping[str, Any]]) -> None:
    for each in causes:
        _add_causes(tree.add(Text(each["said"])), each["causes"])


def _add_live(tree: Tree, live: Mapping[str, Any] | None, became: Mapping[str, Any] | None) -> None:
    if live is None:
        tree.add("nothing is live")
        return
    rows = f", {live['rows']} rows" if live["rows"] is not None else ""
    node = tree.add(Text(f"live: {live['version'][:12]}{rows}, made {_minute(live['computed_at'])}"))
    node.add(Text(f"by {live['by']} in {live['run']}"))
    if live["code"]:
        commit = (live["code"]["commit"] or "no commit")[:12]
        dirty = ", with uncommitted changes" if live["code"]["uncommitted_changes"] else ""
        node.add(Text(f"code {live['code']['version'][:12]} ({commit}{dirty})"))
    places = [f"{name} {live[name]}" for name in ("image", "bundle") if live[name]]
    if places:
        node.add(Text(f"made in the {', of the '.join(places)}"))
    if became:
        _add_causes(node.add(Text(f"live since {_minute(became['at'])}: {became['reason']}")), became["causes"])


def _add_provisional(tree: Tree, account: Mapping[str, Any]) -> None:
    """Say what a head lacks: what it did not read, what it read a stand-in for, what its inputs lack; and why."""
    inputs, itself = account["inputs"], f"{account['asset']} {account['partition']}"
    lacking = [each for each in account["provisional_for"] if each != itself]
    there = {f"{read['asset']} {each['partition']}" for read in inputs for each in read["members"] if each["version"]}
    without = [each for each in account["made_without"] if each in lacking]
    instead = [each for each in lacking if each in there]
    above = [each for each in lacking if each not in without and each not in there]
    said = (
        ("made without", without, ""),
        ("the newest of", instead, " is no good: its last good version stands in"),
        ("what it reads is provisional for", above, ""),
    )
    causes = account["lacks"]
    if itself in account["provisional_for"]:
        came = "its newest computation came to nothing" if _came_to_nothing(account) else "it was not computed anew yet"
        tree.add(f"provisional: {came}, and this is its last good result")
    for before, some, after in said:
        if some:
            node = tree.add(Text(f"provisional: {before} {_first(some)}{after}"))
            mine = [each for each in causes if _lack_of(each) in some]
            _add_causes(node, mine)
            causes = [each for each in causes if each not in mine]
    _add_causes(tree, causes)


def _lack_of(cause: Mapping[str, Any]) -> str:
    """Return what is missing that a cause tells of; of a substitute what it stands in for."""
    key = cause["before"] if cause["kind"] == Kind.SUBSTITUTE else cause["partition"]
    return f"{cause['asset']} {key}"


def _came_to_nothing(account: Mapping[str, Any]) -> bool:
    """Return whether a partition failed or was stopped since what is live became so; else nobody reached it."""
    since = account["became"]["at"] if account["became"] else ""
    failed = any(each["at"] >= since for each in account["failures"])
    return failed or account["state"] in (State.FAILED, State.BLOCKED)


def _add_inputs(tree: Tree, inputs: Sequence[Mapping[str, Any]]) -> None:
    for read in inputs:
        node = tree.add(Text(f"reads {read['asset']} by {read['mapping']}"))
        members = read["members"]
        absent = [each["partition"] for each in members if not each["version"]]
        if len(members) > FEW:  # a window: each of its versions is in the data
            node.add(Text(f"{members[0]['partition']} .. {members[-1]['partition']} ({len(members)})"))
            members = ()
            if absent:
                node.add(Text(f"ABSENT: {_first(absent)}"))
        for member in members:
            node.add(Text(f"{member['partition']}: {(member['version'] or 'ABSENT')[:12]}"))


def state_word(state: str) -> str:
    """Return a state in a word that says by itself what it means."""
    return _STATES.get(state, state)


def _add_gate(tree: Tree, title: str, result: Mapping[str, Any]) -> None:
    node = tree.add(Text(f"{title}: {result['suite']} {result['outcome']} ({result['checked']} expectations)"))
    for failure in result["failures"]:
        failed = node.add(Text(f"{failure['severity']}: {failure['message']}"))
        for row in failure["sample"]:
            failed.add(Text(", ".join(f"{name}={value}" for name, value in row.items())))


def history_table(asset: str, partition: str, entries: list[dict[str, Any]]) -> Any:
    """Return the heads of a partition as a table."""
    if not entries:
        return f"{asset} {partition} never had a head"
    table = Table("when (UTC)", "version", "", "provisional for", "reason", "run", "by", title=f"{asset} {partition}")
    for each in entries:
        version = each["version"][:12] if each["version"] else "ABSENT"
        missing = ", ".join(each["provisional_for"])
        live = "live" if each["live"] else ""
        when = f"{each['at'][:10]} {each['at'][11:19]}"
        table.add_row(when, version, live, Text(missing), Text(each["reason"]), each["run"], each["by"])
    return table


def versions_table(model: str, versions: Sequence[Mapping[str, Any]]) -> Any:
    """Return the versions of a model as a table."""
    if not versions:
        return f"{model} was never trained"
    table = Table("trained for", "version", "", "decided", "by", "why", title=model)
    for each in versions:
        said = each["decisions"][-1] if each["decisions"] else None
        void = said is not None and said["void_at"] is not None
        at, by, why = ("void_at", "void_by", "void_why") if void else ("at", "by", "why")
        told: list[str] = []
        if said is not None:
            told = [f"{'rolled back' if void else said['outcome']} {_minute(said[at])}", said[by], said[why]]
        state = f"{each['state']}, provisional" if each["provisional_for"] else each["state"]
        table.add_row(each["trained"], each["version"][:12], state, *map(Text, told))
    return table


def reigns_table(model: str, reigns: Sequence[Mapping[str, Any]]) -> Any:
    """Return the champions of a model as a table."""
    if not reigns:
        return f"{model} has no champion: 'tidemark model list {model}' shows its candidates"
    table = Table("in force from (UTC)", "until", "version", "trained for", "by", "why", title=f"champions of {model}")
    for each in reigns:
        until = _minute(each["ends"]) if each["ends"] else ""
        told = Text(each["by"]), Text(each["why"])
        table.add_row(_minute(each["begins"]), until, each["version"][:12], each["trained"], *told)
    return table


def comparison_table(model: str, data: Mapping[str, Any]) -> Any:
    """Return how a version did beside the champion: its metrics as a table, and what is wrong."""
    what = f"{model} {(data['version'] or '')[:12]}, trained for {data['trained']}"
    if data["passed"] is None:
        return f"{what} was not validated: its model has no validation=, or its pipeline has not run since"
    table = Table(
        "metric", "candidate", "champion", "bound", title=f"{what}: {'passed' if data['passed'] else 'did not pass'}"
    )
    for column in table.columns[1:]:
        column.justify = "right"
    for name, each in sorted(data["metrics"].items(), key=lambda item: item[0] != data["business"]):
        values = ("" if each[which] is None else f"{each[which]:.4g}" for which in ("candidate", "champion", "bound"))
        table.add_row(f"{name} (business)" if name == data["business"] else name, *values)
    gate = data["gate"]
    said = [*([data["note"]] if data["note"] else []), *data["problems"]]
    if gate is not None:
        said.append(f"the predictions {gate['outcome']} the gate {gate['suite']!r}: {data['rows']} rows")
    came_out = "passed" if data["passed"] else "did not pass"
    return Group(Text(f"{what}: {came_out}"), table, *map(Text, said))


def difference_text(data: Mapping[str, Any]) -> Any:
    """Return what differs between two versions: sums, columns, and the first rows of each sort."""
    what, kind, totals = f"{data['asset']} {data['partition']}", data["kind"], data["totals"]
    said: list[Any] = [Text(f"{what}: {_version(data['before'])} -> {_version(data['after'])}")]
    if data["note"]:
        said.append(Text(data["note"]))
    said += [Text(_column(each)) for each in data["columns"]]
    if kind == "bytes":
        said.append(Text(f"{totals['before']} bytes before, {totals['after']} after"))
    else:
        by = ", ".join(data["by"]) or f"whole {kind}"
        sorts = ("added", "removed", "changed") if data["by"] else ("added", "removed")
        counted = ", ".join(f"{totals[each]} {each}" for each in sorts)
        said.append(Text(f"by {by}: {counted}; {totals['before']} {kind} before, {totals['after']} after"))
    if data["cells"]:
        cells = ", ".join(f"{name} ({count} rows)" for name, count in data["cells"].items())
        said.append(Text(f"changed in: {cells}"))
    said += _difference_tables(data)
    said += [Text(line) for line in data["lines"]]
    return Group(*said)


def _version(version: Mapping[str, Any]) -> str:
    live = "live, " if version["live"] else ""
    return f"{version['version'][:12]} ({live}made {_minute(version['at'])} by {version['by']})"


def _column(column: Mapping[str, Any]) -> str:
    if column["before"] is None:
        return f"column {column['column']} was added ({column['after']})"
    if column["after"] is None:
        return f"column {column['column']} was removed ({column['before']})"
    return f"column {column['column']} is {column['after']}, and was {column['before']}"


def _difference_tables(data: Mapping[str, Any]) -> Iterator[Any]:
    for sort in ("added", "removed"):
        if data[sort]:
            yield _rows_table(f"{sort} rows", data[sort], data["totals"][sort])
    if data["changed"]:
        names = [name for name in data["cells"] if any(name in each["values"] for each in data["changed"])]
        rows = [
            {**each["key"], **{name: _change(each["values"].get(name)) for name in names}} for each in data["changed"]
        ]
        yield _rows_table("changed rows", rows, data["totals"]["changed"])


def _change(values: Mapping[str, Any] | None) -> str | None:
    return None if values is None else f"{_cell(values['before'])} -> {_cell(values['after'])}"


def _rows_table(title: str, rows: Sequence[Mapping[str, Any]], total: int) -> Any:
    table = Table(*rows[0], title=f"{title} ({total})")
    for row in rows:
        table.add_row(*(Text("" if value is None else str(value)) for value in row.values()))
    more = total - len(rows)
    return Group(table, f"... and {more} more: --limit {total} shows all") if more > 0 else table


def _cell(value: Any) -> str:
    return "null" if value is None else str(value)


def status_text(state: Mapping[str, Any]) -> Any:
    """Return how everything stands."""
    said: list[Any] = [f"environment {state['environment']}"]
    for name, pipeline in state["pipelines"].items():
        since = f"as of {_minute(pipeline['as_of'])}" if pipeline["as_of"] else "not run yet"
        table = Table("asset", "live", "provisional", "newest", "state", title=f"{name} ({since})")
        for column in table.columns[1:3]:
            column.justify = "right"
        for source, each in pipeline["sources"].items():
            table.add_row(f"{source} (source)", str(each["delivered"]), "", each["newest"], Text(_source_line(each)))
        for asset, each in pipeline["assets"].items():
            provisional = str(each["provisional"]) if each["provisional"] else "-"
            table.add_row(asset, str(each["live"]), provisional, each["newest"], Text(_asset_line(each)))
        said.append(table)
        if not pipeline["as_of"]:
            said.append(f"'tidemark run {name}' runs it")
    if not state["pipelines"]:
        said.append("there is no pipeline yet: TIDEMARK_DAGS names the folder of their files")
    said += [Text(f"{name} cannot be used: {problem}", style="red") for name, problem in state["problems"].items()]
    return Group(*said)


def _source_line(source: Mapping[str, Any]) -> str:
    return "; ".join(f"{what}: {_first(source[what])}" for what in ("rejected", "missing") if source[what])


def _asset_line(asset: Mapping[str, Any]) -> str:
    said = [f"{count} {state_word(state)}" for state, count in asset["states"].items()]
    if asset["flagged"]:
        said.append(f"{len(asset['flagged'])} flagged by its gate: {_first(asset['flagged'])}")
    if asset["held_partitions"]:
        said.insert(0, f"held: {_first(asset['held_partitions'])}")
    if asset["held"]:
        said.insert(0, f"held: {asset['held']}")
    return "; ".join(said)


def _first(keys: list[str]) -> str:
    more = f" and {len(keys) - FEW} more" if len(keys) > FEW else ""
    return ", ".join(keys[:FEW]) + more


def settings_text(shown: Mapping[str, str | None]) -> str:
    """Return the settings, and what it means where one is not given."""
    otherwise = {
        "TIDEMARK_EXPECTATIONS": "the folder 'expectations' nearest above each pipeline's file",
        "TIDEMARK_AS_OF": "the clock",
        "TIDEMARK_APPROVERS": "nobody",
        "TIDEMARK_APPROVAL_PATIENCE": "1 day",
        "TIDEMARK_BACKUP_WITHIN": "nobody looks",
        "TIDEMARK_DASK_SCHEDULER": "on this machine",
        "TIDEMARK_DEADMAN_URL": "no switch is held",
        "TIDEMARK_DISK_CRITICAL": "95",
        "TIDEMARK_DISK_WARNING": "85",
        "TIDEMARK_GRACE_SECONDS": "60",
        "TIDEMARK_LOCK": "requirements.txt",
        "TIDEMARK_MAIL_TO": "nobody",
        "TIDEMARK_METRICS": "nowhere",
        "TIDEMARK_SETTLE_SECONDS": "10",
        "TIDEMARK_SPARK_REMOTE": "on this machine",
        "TIDEMARK_STATSD": "nowhere",
        "TIDEMARK_WATCH_API": "the address for people",
        "TIDEMARK_WATCH_SECONDS": "30",
        "TIDEMARK_WATCH_USER": "Airflow is not asked",
    }
    width = max(map(len, shown))
    lines = []
    for name, value in shown.items():
        default = f"- ({otherwise[name]})" if name in otherwise else "-"
        lines.append(f"{name.ljust(width)}  {value or default}")
    return "\n".join(lines)


def frame_table(frame: "pl.DataFrame") -> Any:
    """Return the first rows of a data frame as a table."""
    table = Table(*frame.columns)
    for column, kind in zip(table.columns, frame.dtypes, strict=True):
        column.justify = "right" if kind.is_numeric() else "left"
    for row in frame.head(MANY).iter_rows():
        table.add_row(*(Text("" if value is None else str(value)) for value in row))
    rest = frame.height - MANY
    return Group(table, f"... and {rest} more rows: use --json, or LIMIT") if rest > 0 else table
