"""E-mail, through Airflow's connection ``smtp_default``.

Airflow's own notifier makes mails of HTML alone, in no thread; so its hook is asked for the server only, and what is
sent is ours: text and HTML, the mails of one incident in one thread.
"""

import copy
import logging
import smtplib
from collections.abc import Sequence
from dataclasses import dataclass
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import formatdate, parseaddr

from airflow.providers.smtp.hooks.smtp import SmtpHook

from tidemark.airflow.navigation import base_url, report_page
from tidemark.alerting import Alerting, Message, Undelivered, load_alerting
from tidemark.config import Settings
from tidemark.deployment import Deployment
from tidemark.incidents.classes import Severity
from tidemark.ledger.notices import OPENED, Notice

CONNECTION = "smtp_default"
SILENT_SECONDS = 8

# Python would leave the first line of a subject empty that just fits on the next; heads may have a thousand bytes.
_WIDE = SMTP.clone(max_line_length=900)

log = logging.getLogger(__name__)


def open_alerting(given: Settings) -> Alerting:
    """Return who is told what, and how, with e-mail through Airflow's connection ``smtp_default``.

    Raises:
        UsageError: see :func:`tidemark.alerting.load_alerting`.

    """
    return load_alerting(given, mailing=MailChannel, reporting=reported)


def reported(deployment: Deployment, notice: Notice) -> EmailMessage:
    """Return the mail of the report that a notice is about, as it is now, with the address of its page.

    Raises:
        UsageError: it is no longer there.

    """
    from tidemark.reports import as_mail, render  # brings what reads data and draws

    asset, partition = notice.payload["asset"], notice.payload["partition"]
    return as_mail(render(deployment, asset, partition, page=report_page(base_url(), asset, partition)))


@dataclass(frozen=True)
class MailChannel:
    """Mails to some addresses.

    Attributes:
        to: the addresses.

    """

    to: tuple[str, ...]

    def send(self, message: Message) -> None:
        """Send one mail to all addresses.

        Raises:
            Undelivered: Airflow knows of no such connection, or the server has not taken the mail.

        """
        try:
            hook = _known(CONNECTION)
            with hook:
                refused = hook.send(message, self.to)
        except smtplib.SMTPResponseException as problem:
            raise Undelivered(f"the mail server answered {problem.smtp_code}") from None
        except (smtplib.SMTPException, OSError) as problem:
            raise Undelivered(f"the mail server could not be used: {type(problem).__name__}") from None
        if refused:
            log.warning("the mail server refuses %s; the others have the mail", ", ".join(sorted(refused)))


class _Hook(SmtpHook):
    """Airflow's way to its mail server, for a mail that is made already, and without patience of its own."""

    @property
    def timeout(self) -> int:
        return min(super().timeout, SILENT_SECONDS)

    @property
    def smtp_retry_limit(self) -> int:
        return 0  # the outbox tries again

    def send(self, message: Message, to: Sequence[str]) -> Sequence[str]:
        """Send a mail and return the addresses that the server refuses, unless it refuses all."""
        sender = self.from_email or self.smtp_user
        if "@" not in sender:
            raise Undelivered(f"the connection {CONNECTION} has no from_email: who sends is not known")
        assert isinstance(self._smtp_client, smtplib.SMTP)
        return list(self._smtp_client.send_message(mail_of(message, sender, to), sender, list(to)))


def _known(name: str) -> _Hook:
    try:
        _Hook.get_connection(name)
    except Exception:  # Airflow names a missing connection and a silent secrets backend alike
        said = f"Airflow knows of no connection {name} here: set AIRFLOW_CONN_{name.upper()}, or a secrets backend"
        raise Undelivered(said) from None
    return _Hook(name)


def mail_of(message: Message, sender: str, to: Sequence[str]) -> EmailMessage:
    """Return the mail of a message: text and HTML, or what is ready to be sent; of one incident all in one thread."""
    mail = _made(message) if message.mail is None else copy.deepcopy(message.mail)
    home = parseaddr(sender)[1].partition("@")[2]
    thread = f"<{message.key}@{home}>"
    heads = {"From": sender, "To": ", ".join(to), "Date": formatdate(), "Auto-Submitted": "auto-generated"}
    if message.kind == OPENED or message.key == message.id:
        heads["Message-ID"] = thread
    else:
        heads |= {"Message-ID": f"<{message.id}@{home}>", "In-Reply-To": thread, "References": thread}
    if message.severity == Severity.CRITICAL and message.kind == OPENED:
        heads |= {"Importance": "high", "X-Priority": "1"}
    for name, value in heads.items():
        del mail[name]
        mail[name] = value
    mail.policy = _WIDE
    return mail


def _made(message: Message) -> EmailMessage:
    mail = EmailMessage(policy=SMTP)
    mail["Subject"] = message.title
    # No line of a mail may be longer than a thousand bytes, and not every server takes eight bits.
    mail.set_content(message.text, cte="quoted-printable")
    mail.add_alternative(message.html, subtype="html", cte="quoted-printable")
    return mail
