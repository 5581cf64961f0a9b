"""Arguments, exit codes, and how errors are told: 0 all well, 1 something failed or is blocked, 2 usage."""

import argparse
import inspect
import json
import os
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from tidemark.cli import (
    acting,
    alerting,
    batching,
    checking,
    conforming,
    databases,
    integrity,
    looking,
    modelling,
    oncall,
    planning,
    shown,
    watching,
)
from tidemark.cli.answers import Answer
from tidemark.config import misspelt
from tidemark.errors import DefinitionError, TidemarkError, Unavailable, UsageError

WELL, FAILED, USAGE = 0, 1, 2

AGAIN = 75
"""What ``run-batch`` ends with where another try may do: the number that sysexits.h has for it."""

_Add = Callable[..., argparse.ArgumentParser]

_EPILOG = """\
Where everything is comes from environment variables: 'tidemark config' shows them.
Exit codes: 0 all is well, 1 something failed or is blocked, 2 the command was not understood.
"""


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    parser = argparse.ArgumentParser(
        prog="tidemark",
        description="Plan, run and question data products that remember what they computed.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"tidemark {_version()}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", dest="command")

    def add(name: str, command: Callable[[argparse.Namespace], Answer], said: str) -> argparse.ArgumentParser:
        made: argparse.ArgumentParser = commands.add_parser(name, help=said, description=inspect.getdoc(command))
        return _completed(made, command)

    _add_planning(add)
    _add_batch(commands)
    _add_looking(add)
    _add_acting(add)
    _add_watch(add)
    _add_databases(commands)
    _add_check(add)
    _add_models(commands)
    _add_incidents(commands)
    _add_alerts(commands)
    _add_integrity(commands)
    return parser


def _add_databases(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    database = commands.add_parser("db", help="the ledger's database", description="Care for the ledger's database.")
    some = database.add_subparsers(metavar="COMMAND", required=True)
    said = "make the ledger, or bring its schema to this version"
    _completed(some.add_parser("upgrade", help=said, description=inspect.getdoc(databases.upgrade)), databases.upgrade)
    said = "wait until this version can use the ledger"
    wait = _completed(some.add_parser("wait", help=said, description=inspect.getdoc(databases.wait)), databases.wait)
    said = "for how long at most (default: 300)"
    wait.add_argument("--seconds", type=_count, default=300, metavar="N", help=said)
    _add_backups(commands)


def _add_backups(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    backup = commands.add_parser("backup", help="backups of databases", description="Backups of PostgreSQL databases.")
    some = backup.add_subparsers(metavar="COMMAND", required=True)

    def add(name: str, command: Callable[[argparse.Namespace], Answer], said: str) -> argparse.ArgumentParser:
        made = _completed(some.add_parser(name, help=said, description=inspect.getdoc(command)), command)
        made.add_argument("place", metavar="PLACE", help="where backups are kept, such as s3://bucket/prefix")
        return made

    make = add("make", databases.make, "back databases up")
    add("list", databases.list_backups, "list the complete backups")
    restore = add("restore", databases.restore, "write a backup into databases")
    for each in (make, restore):
        said = "its name in the backup, and the environment variable that holds its URL; may be given several times"
        each.add_argument("--database", action="append", required=True, metavar="NAME=VARIABLE", help=said)
        each.add_argument("--scratch", metavar="FOLDER", help="a folder with room for the largest dump")
    said = "remove backups that are older, but never the newest; 0, the default: none"
    make.add_argument("--keep-days", type=_count, default=0, metavar="N", help=said)
    restore.add_argument(
        "--backup", default="latest", metavar="NAME", help="as 'backup list' shows it; else the newest"
    )
    restore.add_argument("--replace", action="store_true", help="drop all that is in the databases")


def _completed(
    parser: argparse.ArgumentParser, command: Callable[[argparse.Namespace], Answer]
) -> argparse.ArgumentParser:
    parser.add_argument("--json", action="store_true", help="print stable JSON")
    parser.set_defaults(run=command)
    return parser


def _add_planning(add: _Add) -> None:
    plan = add("plan", planning.plan, "look at the files and say what would run, and why; runs nothing")
    _selection(plan)
    plan.add_argument("-o", "--output", metavar="FILE", help="keep the plan in a file, for run --plan")
    run = add("run", planning.run, "run what has to be run")
    _selection(run)
    run.add_argument("--plan", metavar="FILE", help="run just this plan; refuse if anything has changed since")


def _add_batch(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    said = "work off one batch of a stored plan: for machines"
    batch = commands.add_parser("run-batch", help=said, description=inspect.getdoc(batching.batch))
    batch.set_defaults(run=batching.batch, json=False, outage=AGAIN)
    batch.add_argument("plan", type=_number, metavar="PLAN", help="the number of the plan in the ledger")
    batch.add_argument("lane", type=_number, metavar="LANE", help="the number of the lane, from 0")
    batch.add_argument("asset", metavar="ASSET", help="name of an asset")
    batch.add_argument("--pipeline", required=True, metavar="NAME", help="the asset's pipeline")
    batch.add_argument("--run", dest="run_name", metavar="RUN", help="name of the run, for the record")
    batch.add_argument("--actor", metavar="ACTOR", help="who started the run, for the record")
    batch.add_argument(
        "--bundle", metavar="NAME", help="take the files of this DAG bundle of Airflow's; else TIDEMARK_DAGS"
    )
    batch.add_argument("--version", metavar="COMMIT", help="the version of the bundle")
    said = "an asset's code version where the plan was made; may be given several times"
    batch.add_argument("--code", action="append", default=[], metavar="ASSET=VERSION", help=said)
    batch.add_argument("--asked", metavar="JSON", help="what the form of the run asks of searches")


def _selection(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("pipeline", metavar="PIPELINE", help="name of a pipeline")
    parser.add_argument(
        "--from",
        dest="first",
        metavar="DAY",
        help="only what begins on this day or later, such as 2011-01-05",
    )
    parser.add_argument("--to", dest="last", metavar="DAY", help="only what begins on this day or earlier")
    parser.add_argument(
        "--as-of",
        metavar="TIME",
        help="taken for now, such as '2011-07-01T06:00 Europe/London'; else TIDEMARK_AS_OF, or the clock",
    )
    parser.add_argument(
        "--force",
        action="append",
        default=[],
        metavar="ASSET[:PARTITION]",
        help="compute it whatever is known of it; may be given several times",
    )
    parser.add_argument(
        "--confirm-withdrawals",
        action="append",
        default=[],
        metavar="SOURCE",
        help="many files of this source are gone on purpose; may be given several times",
    )
    parser.add_argument(
        "--verify",
        action="store_true",
        help="look at everything, not only at what has changed since the last plan",
    )


def _add_looking(add: _Add) -> None:
    read = add("read", looking.read, "print or save what is live")
    _asset(read, "all of them, with a column partition", name=EITHER)
    read.add_argument("--format", choices=looking.FORMATS, help="csv, unless the file's name says otherwise")
    read.add_argument("-o", "--output", metavar="FILE", help="write to this file; its name may say the format")
    _asset(add("explain", looking.explain, "say why a partition is as it is, and what it was made from"), name=EITHER)
    _asset(add("history", looking.history, "list what was live, and when"), name=EITHER)
    diff = add("diff", looking.diff, "show which rows changed between two versions")
    _asset(diff, name=EITHER)
    diff.add_argument(
        "versions",
        nargs="*",
        default=[],  # else argparse takes it for required where the partition is forgotten
        metavar="VERSION",
        help="two of them, the earlier first, by their first characters; without: what is live and what was before it",
    )
    diff.add_argument(
        "--limit", type=_count, default=20, metavar="N", help="show the first N rows of each sort (default: 20)"
    )
    sql = add("sql", looking.sql, "query live data; one view an asset, with the column partition")
    sql.add_argument(
        "query", metavar="QUERY", help="such as \"SELECT * FROM price_list WHERE partition = '2011-06-30'\""
    )
    add("status", looking.status, "show the state of every asset")
    metrics = add("metrics", looking.metrics, "print, or serve, how the ledger stands in Prometheus's form")
    metrics.add_argument("--serve", action="store_true", help="serve them at TIDEMARK_METRICS until it is stopped")
    add("config", looking.config, "show the settings that are in force, secrets masked")
    check = add("env-check", conforming.env_check, "hold what runs here against the lock, the ledger and a release")
    check.add_argument(
        "--lock",
        action="append",
        default=[],
        metavar="FILE",
        help="pinned requirements; else TIDEMARK_LOCK, or requirements.txt; given twice: the second is the one to come",
    )
    check.add_argument("--release", metavar="FILE", help="what another place has said with 'tidemark env-check --json'")


def _add_acting(add: _Add) -> None:
    absent = add("absent", acting.absent, "declare that a delivery will not come")
    _asset(absent, name="SOURCE")
    absent.add_argument("--undo", action="store_true", help="take back such a declaration")
    hold = add("hold", acting.hold, "stop re-execution of an asset, or of one partition")
    _asset(hold, "the whole asset")
    release = add("release-hold", acting.release_hold, "let what was held run again")
    _asset(release, "the hold of the whole asset; partitions held by themselves stay so")
    restore = add("restore", acting.restore, "make an earlier version live again, and hold it")
    _asset(restore)
    restore.add_argument("version", metavar="VERSION", help="its first characters, as 'tidemark history' shows it")
    retire = add("retire", acting.retire, "say that a pipeline is gone, whose file was deleted")
    retire.add_argument("pipeline", metavar="PIPELINE", help="its name, as its assets were registered with")
    for each in (absent, hold, release, restore, retire):
        _why(each)


def _add_watch(add: _Add) -> None:
    watch = add("watch", watching.watch, "look after what tasks cannot tell of, and send what people must be told")
    watch.add_argument("--once", action="store_true", help="do everything once, and end: for cron")


def _add_check(add: _Add) -> None:
    check = add("check", checking.check, "check pipeline files before they are merged")
    check.add_argument("folder", metavar="DAGS_FOLDER", help="the folder of pipeline files")
    budget = "seconds of CPU that the import of a file may cost (default: 2)"
    check.add_argument("--budget", type=_seconds, default=2.0, metavar="SECONDS", help=budget)
    limit = "seconds after which the import of a file is given up (default: 30)"
    check.add_argument("--timeout", type=_seconds, default=30.0, metavar="SECONDS", help=limit)
    check.add_argument("--strict", action="store_true", help="warnings fail too")


def _add_models(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    model = commands.add_parser(
        "model", help="versions of models, and who is champion", description="Versions of models."
    )
    some = model.add_subparsers(metavar="COMMAND", required=True)

    def add(name: str, command: Callable[[argparse.Namespace], Answer], said: str) -> argparse.ArgumentParser:
        made = _completed(some.add_parser(name, help=said, description=inspect.getdoc(command)), command)
        made.add_argument("model", metavar="MODEL", help="name of a model")
        return made

    add("list", modelling.list_versions, "list versions: the champion, the candidate, and what became of others")
    add("show", modelling.show, "show from when to when each champion is in force")
    compare = add("compare", modelling.compare, "show how a candidate did beside the champion")
    promote = add("promote", modelling.promote, "make a candidate the champion")
    reject = add("reject", modelling.reject, "decide that a candidate will not be the champion")
    rollback = add("rollback", modelling.rollback, "take the newest promotion back")
    for each in (compare, promote, reject):
        each.add_argument(
            "version", nargs="?", metavar="VERSION", help="its first characters; without it the newest training's"
        )
    promote.add_argument("--from", dest="first", metavar="DAY", help="the first day on which it is in force")
    rollback.add_argument("--to", metavar="VERSION", help="the version that is to be champion again")
    for each in (promote, reject, rollback):
        _why(each)


def _add_incidents(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    said = "what is wrong, who is at it, and what is kept quiet"
    some = commands.add_parser("incident", help=said, description="Incidents, and silences of them.")
    parts = some.add_subparsers(metavar="COMMAND", required=True)

    def add(name: str, command: Callable[[argparse.Namespace], Answer], said: str) -> argparse.ArgumentParser:
        return _completed(parts.add_parser(name, help=said, description=inspect.getdoc(command)), command)

    everything = "also those that are over, the newest first"
    add("list", oncall.list_incidents, "list what is wrong").add_argument("--all", action="store_true", help=everything)
    show = add("show", oncall.show, "show everything about an incident")
    ack = add("ack", oncall.acknowledge, "take an incident on")
    quiet = add("silence", oncall.silence, "keep incidents quiet for a while")
    resolve = add("resolve", oncall.resolve, "call an incident over")
    add("silences", oncall.list_silences, "list what is kept quiet")
    lift = add("lift", oncall.lift, "end a silence before its time")
    for each in (show, ack, resolve):
        each.add_argument("number", type=_number, metavar="N", help="its number, as 'tidemark incident list' shows it")
    lift.add_argument("number", type=_number, metavar="N", help="its number, as 'tidemark incident silences' shows it")
    quiet.add_argument("number", nargs="?", type=_number, metavar="N", help="what this incident is of")
    for name in ("pipeline", "asset", "cause"):
        quiet.add_argument(
            f"--{name}", default="", metavar=name.upper(), help=f"what is of this {name}; and the others"
        )
    quiet.add_argument("--for", dest="lasts", metavar="DURATION", help="such as '4 hours' or '3 days'")
    quiet.add_argument("--until", metavar="TIME", help="such as 2026-12-24T08:00+01:00, or '2026-12-24T08:00 UTC'")
    for each in (ack, quiet, resolve, lift):
        _why(each)


def _add_alerts(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    alert = commands.add_parser("alert", help="who is told of what", description="Who is told of what, and how.")
    some = alert.add_subparsers(metavar="COMMAND", required=True)
    said = "say whether the file of alerts can be used"
    _completed(some.add_parser("check", help=said, description=inspect.getdoc(alerting.check)), alerting.check)
    said = "send one alert of each kind through every channel"
    test = _completed(some.add_parser("test", help=said, description=inspect.getdoc(alerting.test)), alerting.test)
    test.add_argument("--channel", metavar="NAME", help="through this channel only")


def _add_integrity(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    store = commands.add_parser("store", help="whether all that is live is there", description="What is stored.")
    some = store.add_subparsers(metavar="COMMAND", required=True)
    check, said = integrity.check_store, "say which live data the store lacks"
    _completed(some.add_parser("check", help=said, description=inspect.getdoc(check)), check)
    audit = commands.add_parser("audit", help="whether the audit log is whole", description="What people did.")
    some = audit.add_subparsers(metavar="COMMAND", required=True)
    verify, said = integrity.verify_audit, "verify that the audit log is as it was written"
    made = _completed(some.add_parser("verify", help=said, description=inspect.getdoc(verify)), verify)
    made.add_argument("--mark", metavar="NUMBER:DIGEST", help="what this command printed before, kept elsewhere")


def _why(parser: argparse.ArgumentParser) -> None:
    said = "kept in the audit log, for those who look later"
    parser.add_argument("--why", required=True, metavar="REASON", help=said)


EITHER = "ASSET|SOURCE"
_NAMES = {"ASSET": "name of an asset", "SOURCE": "name of a source", EITHER: "name of an asset or a source"}


def _asset(parser: argparse.ArgumentParser, otherwise: str = "", *, name: str = "ASSET") -> None:
    """Add an asset and a partition; the partition may be left out where it is said what that means."""
    parser.add_argument("asset", metavar=name, help=_NAMES[name])
    said = "its key, such as 2011-01-05; 'all' where there is but one"
    if otherwise:
        said = f"{said}; without it {otherwise}"
    parser.add_argument("partition", nargs="?" if otherwise else None, metavar="PARTITION", help=said)


def _count(text: str) -> int:
    """Return a number; argparse tells what is none."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is no number: 0 or more")
    return int(text)


def _seconds(text: str) -> float:
    """Return a time in seconds; argparse tells what is none."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is no time: seconds, more than 0")
    return seconds


def _number(text: str) -> int:
    """Return the number of an incident or a silence; argparse tells what is none."""
    if not text.isdecimal() or len(text) > 9:
        raise argparse.ArgumentTypeError(f"{text!r} is no number")
    return int(text)


def _version() -> str:
    try:
        return version("tidemark")
    except PackageNotFoundError:  # run from a folder, without having been installed
        return "(not installed)"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    parser = build_parser()
    options = parser.parse_args(arguments)
    if options.command is None:
        parser.print_help(sys.stderr)
        return USAGE
    for sentence in misspelt():
        shown.warn(sentence)
    try:
        answer: Answer = options.run(options)
    except (UsageError, DefinitionError) as problem:
        return _complain(problem, USAGE)
    except Unavailable as problem:
        return _complain(problem, getattr(options, "outage", FAILED))
    except TidemarkError as problem:
        return _complain(problem, FAILED)
    except KeyboardInterrupt:
        said = "stopped; what was finished is published, and the next run goes on from there"
        return _complain(said, getattr(options, "outage", FAILED))
    try:
        _tell(answer, options.json)
        sys.stdout.flush()
    except BrokenPipeError:
        # Who read us has seen enough; Python would complain once more as it closes what it writes to.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return WELL if answer.ok else FAILED


def _complain(problem: object, code: int) -> int:
    print(f"tidemark: {problem}", file=sys.stderr)  # noqa: T201
    return code


def _tell(answer: Answer, as_json: bool) -> None:
    if as_json:
        print(json.dumps(answer.plain(), indent=2))  # noqa: T201
        if not answer.ok:
            _complain(answer.problem, FAILED)
    elif answer.raw is not None:
        sys.stdout.buffer.write(answer.raw)
    elif answer.shown is not None:
        _print(answer.shown)


def _print(drawn: Any) -> None:
    console = shown.console()
    console.print(drawn, highlight=False, markup=False, soft_wrap=isinstance(drawn, str))
