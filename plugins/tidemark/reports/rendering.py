"""Putting a report together: the figures that are stored, and what the ledger says of them now."""

import base64
import hashlib
from collections.abc import Callable
from dataclasses import dataclass

from tidemark.deployment import Deployment
from tidemark.errors import UsageError
from tidemark.figures import Figures, charts_of
from tidemark.partitions import Daily
from tidemark.reading import read
from tidemark.reports.charts import draw
from tidemark.reports.pages import body_of, document
from tidemark.reports.standing import (
    Standing,
    live_partitions,
    registered_report,
    registered_reports,
    seen_by,
    standing,
)
from tidemark.reports.texts import text_of
from tidemark.reports.wording import sentence


@dataclass(frozen=True)
class Picture:
    """A picture within a report.

    Attributes:
        cid: by which name the HTML shows it.
        png: what it is.

    """

    cid: str
    png: bytes


@dataclass(frozen=True)
class Report:
    """A report as it is shown now.

    Attributes:
        standing: what the ledger says of it.
        subject: the core numbers, in a line.
        text: all of it, as plain text.
        body: all of it, as HTML; pictures are shown from ``cid:`` addresses.
        pictures: these pictures.

    """

    standing: Standing
    subject: str
    text: str
    body: str
    pictures: tuple[Picture, ...]

    @property
    def html(self) -> str:
        """The whole page, as a mail shows it."""
        return document(self.subject, self.body)

    @property
    def body_alone(self) -> str:
        """The body with its pictures in it, for a browser, which knows no ``cid:``."""
        body = self.body
        for each in self.pictures:
            body = body.replace(f'"cid:{each.cid}"', f'"data:image/png;base64,{base64.b64encode(each.png).decode()}"')
        return body


def render(
    deployment: Deployment,
    asset: str,
    partition: str,
    *,
    page: str | None = None,
    sees: Callable[[str], bool] = lambda pipeline: True,
) -> Report:
    """Return a partition of a report as it is shown now.

    Args:
        deployment: where.
        asset: the report: an asset of which its pipeline says that it is one.
        partition: its key.
        page: the address of its page, which a mail names: there it is as it is by then.
        sees: whether who is shown it may see a pipeline, and so what is wrong with that.

    Raises:
        UsageError: there is no such report, the key is none, nothing is live for it, or its text holds no figures.
        Unavailable: the ledger or the store cannot be used.

    """
    said = seen_by(standing(deployment, asset, partition), sees)
    try:
        figures = Figures.of_text(str(read(asset, partition, as_=str, deployment=deployment)))
    except ValueError as problem:
        raise UsageError(f"{asset} {partition}: {problem}") from problem
    pictures = {chart: _picture(draw(chart)) for chart in charts_of(figures)}
    subject = sentence(figures, partition) + ("" if said.is_final else " [provisional]")
    when = _when(deployment, asset, partition)
    body = body_of(figures, said, when, lambda chart: f"cid:{pictures[chart].cid}", page)
    return Report(said, subject, text_of(subject, figures, said, page), body, tuple(pictures.values()))


def _picture(png: bytes) -> Picture:
    return Picture(f"{hashlib.sha256(png).hexdigest()[:24]}@tidemark", png)


def _when(deployment: Deployment, asset: str, partition: str) -> str:
    """Return a period as a person says it."""
    with deployment.ledger.read() as connection:
        grain = registered_report(connection, asset).grain
    if not isinstance(grain, Daily):
        return f"{grain.name} {partition}"
    day = grain.partition(grain.ordinal(partition)).date
    return f"{day:%A}, {day.day} {day:%B %Y}"


def reports(deployment: Deployment) -> dict[str, str]:
    """Return the pipeline of each report that the ledger knows, by the report's name."""
    with deployment.ledger.read() as connection:
        return {each.name: each.pipeline for each in registered_reports(connection)}


def days_of(deployment: Deployment, asset: str) -> dict[str, bool]:
    """Return whether each live partition of a report is final, by key, the newest first.

    Raises:
        UsageError: there is no such report.

    """
    with deployment.ledger.read() as connection:
        return live_partitions(connection, deployment, registered_report(connection, asset))
