"""Who is told what, and how: one small YAML file, checked as it is read."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from email.message import EmailMessage

from tidemark.alerting.channels import Channel
from tidemark.config import Settings
from tidemark.deployment import Deployment
from tidemark.ledger.notices import Notice

Mailing = Callable[[tuple[str, ...]], Channel]
"""Makes the channel that mails to some addresses; only those who know Airflow can."""

Reporting = Callable[[Deployment, Notice], EmailMessage]
"""Makes the mail of a notice of the kind report."""


@dataclass(frozen=True)
class Alerting:
    """Who is told what, and how.

    Attributes:
        updates: of one incident at most one update in this time.

    """

    updates: timedelta = timedelta(hours=1)


def load_alerting(
    given: Settings,
    *,
    mailing: Mailing | None = None,
    reporting: Reporting | None = None,
    environ: Mapping[str, str] | None = None,
) -> Alerting:
    """Read the file that ``TIDEMARK_ALERTS`` names; without it, whom ``TIDEMARK_MAIL_TO`` names gets everything.

    Args:
        given: the settings.
        mailing: makes mail channels; ``tidemark.airflow.mailing.open_alerting`` hands it in.
        reporting: renders reports.
        environ: where secrets are found by name; the environment variables by default.

    Raises:
        UsageError: the file is not there, or says something that cannot be: which key, what is wrong, what to do.

    """
    raise NotImplementedError
