"""How incidents and silences look on a terminal."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from rich.console import Group
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from tidemark.incidents.accounts import MOST
from tidemark.incidents.handling import shown

# Partitions and rows that a person still looks at.
FEW = 10


def list_table(environment: str, found: Sequence[Mapping[str, Any]], *, everything: bool) -> Any:
    """Return incidents as a table."""
    if not found:
        return f"{environment}: there was never an incident" if everything else f"{environment}: nothing is wrong"
    table = Table("", "severity", "what", "since (UTC)", "owner", "state", title=f"incidents in {environment}")
    table.columns[0].justify = "right"
    for each in found:
        since = f"{each['opened_at']:%Y-%m-%d %H:%M}"
        told = Text(each["summary"]), since, each["owner"], Text(each["standing"])
        table.add_row(str(each["number"]), each["severity"], *told)
    return Group(table, f"the newest {MOST}") if everything and len(found) == MOST else table


def account_text(data: Mapping[str, Any]) -> Any:
    """Return everything about an incident: a tree, then its rows, what became of it, and who was told."""
    tree = Tree(Text(f"incident {data['number']}: {data['summary']}"))
    of = " ".join(each for each in (data["cause"], data["pipeline"], data["asset"]) if each)
    tree.add(Text(f"{data['severity']}, {data['standing']}: {of}, in {data['environment']}"))
    grown = f", last changed {shown(data['updated_at'])}" if data["updated_at"] > data["opened_at"] else ""
    times = f", {data['happened']} times" if data["happened"] > 1 else ""
    tree.add(Text(f"since {shown(data['opened_at'])}{grown}{times}"))
    for line in _lines(data):
        tree.add(Text(line))
    if data["reach"]:
        _add_reach(tree, data["reach"])
    said: list[Any] = [tree]
    if data["rows"]:
        said.append(_rows_table(data["rows"]))
    said.append(_events_table(data["events"]))
    if data["sent"]:
        said.append(_sent_table(data["sent"]))
    return Group(*said)


def _lines(data: Mapping[str, Any]) -> Iterator[str]:
    if data["why"]:
        yield f"why: {data['why']}"
    if data["partitions"]:
        some = ", ".join(data["partitions"][:FEW])
        more = f" and {data['total'] - FEW} more" if data["total"] > FEW else ""
        yield f"partitions: {some}{more}"
    yield from (f"also: {each}" for each in data["also"])
    for name, said in (("served instead", "instead"), ("do", "do"), ("owner", "owner"), ("look at", "link")):
        if data[said]:
            yield f"{name}: {data[said]}"
    if data["silenced"]:
        yield f"silence {data['silenced']['number']}: {data['silenced']['why']}"
    yield f"runbook: {data['runbook']}"


def _add_reach(tree: Tree, reach: Sequence[Mapping[str, Any]]) -> None:
    node = tree.add(f"{len(reach)} depend on it")
    for each in reach:
        node.add(Text(f"{each['kind']} {each['asset']} in {each['pipeline']}: {_lacks(each)}"))


def _lacks(each: Mapping[str, Any]) -> str:
    if not each["partitions"]:
        return "nothing lacks it yet"
    if each["partitions"] == 1:
        return f"{each['first']} lacks it"
    return f"{each['partitions']} partitions lack it, {each['first']} .. {each['last']}"


def _rows_table(rows: Sequence[Mapping[str, Any]]) -> Any:
    names = list(dict.fromkeys(name for row in rows for name in row))
    table = Table(*names, title="rows at fault")
    for row in rows:
        table.add_row(*(Text(str(row.get(name, ""))) for name in names))
    return table


def _events_table(events: Sequence[Mapping[str, Any]]) -> Any:
    table = Table("when (UTC)", "what", "by", "said", title="what became of it")
    for each in events:
        table.add_row(f"{each['at']:%Y-%m-%d %H:%M:%S}", each["what"], Text(each["by"]), Text(each["said"]))
    return table


def _sent_table(sent: Sequence[Mapping[str, Any]]) -> Any:
    table = Table("when (UTC)", "notice", "channel", "came to", "problem", title="who was told")
    for each in sent:
        when: datetime = each["done_at"] or each["at"]
        channel = each["channel"] or ("nobody" if each["routed"] else "")
        table.add_row(f"{when:%Y-%m-%d %H:%M:%S}", each["kind"], channel, _outcome(each), Text(each["problem"] or ""))
    return table


def _outcome(each: Mapping[str, Any]) -> str:
    if each["channel"] is None:
        return "no channel is for it" if each["routed"] else "not sent yet"
    tries = f", failed {each['attempts']} times" if each["attempts"] else ""
    return f"{each['outcome'] or 'not sent yet'}{tries}"


def silences_table(found: Sequence[Mapping[str, Any]]) -> Any:
    """Return silences as a table."""
    if not found:
        return "nothing is silenced"
    table = Table("", "what", "until (UTC)", "by", "why", title="silences")
    table.columns[0].justify = "right"
    for each in found:
        told = Text(each["what"]), f"{each['ends_at']:%Y-%m-%d %H:%M}", Text(each["by"]), Text(each["why"])
        table.add_row(str(each["number"]), *told)
    return table
