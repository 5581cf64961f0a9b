"""The mail that on-call gets when a run brings bad news: what failed, why, what is served instead, and where to look.

Invariant: a mail that cannot be sent changes nothing about the run; the log says why it was not.
"""

import logging
import os
from collections.abc import Sequence

from airflow.providers.smtp.notifications.smtp import SmtpNotifier
from airflow.sdk import Context
from airflow.sdk.configuration import conf

from tidemark.assets import Pipeline
from tidemark.verdict import Trouble, Verdict

log = logging.getLogger(__name__)

MOST = 20
"""Partitions that one mail names."""

# The text goes in as a value, not as a template: an exception's words may hold anything. Airflow's notifier sends HTML.
_BODY = '<pre style="font-family: monospace; white-space: pre-wrap">{{ mail_text | e }}</pre>'


def send_failure(context: Context, pipeline: Pipeline, verdict: Verdict) -> None:
    """Say what failed or was blocked."""
    fresh = [each for each in verdict.troubles if each.new]
    kinds = counted(fresh)
    lines = [f"{pipeline.name}: {kinds}", ""]
    for each in fresh[:MOST]:
        lines += _told(each)
    if len(fresh) > MOST:
        lines += [f"... and {len(fresh) - MOST} more", ""]
    if verdict.blocked_below:
        lines += [f"{verdict.blocked_below} partitions wait because of it."]
    lines += ["Everything else was published.", ""]
    _send(context, pipeline, f"{pipeline.name}: {kinds}", lines)


def send_no_plan(context: Context, pipeline: Pipeline) -> None:
    """Say that there is no plan, so nothing was even tried."""
    lines = [
        f"{pipeline.name}: the plan could not be made, so nothing was computed.",
        "What was live before is still served. The log of the task 'plan' says why.",
        "",
    ]
    _send(context, pipeline, f"{pipeline.name}: no plan", lines)


def send_invalid(context: Context, pipeline: Pipeline, candidate: str, problems: Sequence[str]) -> None:
    """Say that a candidate did not pass its validation."""
    lines = [f"{candidate} did not pass its validation:", *(f"  {each}" for each in problems), ""]
    lines += ["The champion stays, and nothing was registered. 'tidemark model compare' shows all metrics.", ""]
    _send(context, pipeline, f"{candidate} did not pass", lines)


def send_swapped(context: Context, pipeline: Pipeline, swaps: Sequence[str]) -> None:
    """Say that somebody else has moved what the model registry calls champion."""
    lines = [*swaps, "", "The ledger decides what is served. The audit log has what was found.", ""]
    _send(context, pipeline, f"{pipeline.name}: a champion was swapped in the registry", lines)


def counted(troubles: Sequence[Trouble]) -> str:
    """Return how many troubles of each kind there are, in words."""
    kinds = [each.what for each in troubles]
    return ", ".join(f"{kinds.count(kind)} {kind}" for kind in dict.fromkeys(kinds))


def _told(trouble: Trouble) -> list[str]:
    return [
        f"{trouble.asset} {trouble.partition}: {trouble.what}",
        f"  why: {trouble.why}",
        f"  served instead: {trouble.instead}",
        "",
    ]


def _send(context: Context, pipeline: Pipeline, subject: str, lines: list[str]) -> None:
    receivers = [each.strip() for each in os.environ.get("TIDEMARK_MAIL_TO", "").split(",") if each.strip()]
    if not receivers:
        log.warning("Nobody gets a mail of this: TIDEMARK_MAIL_TO names no address")
        return
    airflow = conf.get("api", "base_url", fallback="http://localhost:8080").rstrip("/")
    page = f"{airflow}/dags/{context['dag'].dag_id}/runs/{context['run_id']}"
    owner = [f"Owner: {pipeline.owner}"] if pipeline.owner else []
    text = "\n".join([*lines, *owner, f"Run: {page}"])
    values = {**context, "mail_subject": subject, "mail_text": text}
    try:
        SmtpNotifier(to=receivers, subject="{{ mail_subject }}", html_content=_BODY)(values)
    except Exception:  # whatever a mail server, or the connection to it, comes up with
        log.exception("The mail to %s could not be sent. It says:\n%s", ", ".join(receivers), text)
