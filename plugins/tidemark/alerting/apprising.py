"""Slack, Teams, PagerDuty, and whatever else Apprise knows.

Airflow's own notifier for Apprise throws away whether Apprise delivered anything; we cannot, so the library is called.
"""

import re
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from tidemark.alerting.channels import Undelivered, hushed
from tidemark.alerting.messages import Message
from tidemark.errors import UsageError
from tidemark.ledger.notices import RESOLVED

if TYPE_CHECKING:
    from apprise import AppriseAsset, NotifyBase

REGIONS = ("us", "eu")

# What Apprise holds for the longest text of Teams is that of a service that is no more: cards may have 28 kB.
_ROOM = {"workflow": 20_000, "workflows": 20_000}
_STATUS = re.compile(r"\berror[=: ]+(\d{3})\b")
_MOST_SUMMARY = 1_000


@dataclass(frozen=True)
class Apprised:
    """Sends through an Apprise URL, as plain text, which Apprise escapes as the service at hand wants it.

    Attributes:
        url: the URL; not shown, since it is the secret.

    """

    url: str = field(repr=False)

    def __post_init__(self) -> None:
        """Raise UsageError where Apprise makes nothing of the URL."""
        _ = self._plugin

    @cached_property
    def _plugin(self) -> "NotifyBase":
        from apprise import Apprise

        with hushed():
            made = Apprise.instantiate(self.url, asset=_asset(), suppress_exceptions=True)
        if made is None:
            raise UsageError("Apprise does not know such a URL: https://appriseit.com/services shows each service's")
        return made

    @property
    def _room(self) -> int:
        """How many characters of text one message may have."""
        return max(_ROOM.get(self.url.partition("://")[0].lower(), 0), self._plugin.body_maxlen)

    def send(self, message: Message) -> None:
        """Send a message.

        Raises:
            Undelivered: Apprise says that it was not delivered.

        """
        _notify(self._plugin, message.title, self._fitted(message), message)

    def _fitted(self, message: Message) -> str:
        """Return the text as far as one message holds it: what matters most comes first, and is told in one."""
        room = self._room - (0 if self._plugin.title_maxlen > 0 else len(message.title) + 2)
        if len(message.text) <= room:
            return message.text
        rest = f"\n… and more: {message.link}" if message.link else "\n… and more"
        return message.text[: max(room - len(rest), 0)].rpartition("\n")[0] + rest


@dataclass(frozen=True)
class PagerDuty:
    """Triggers, updates and resolves one PagerDuty incident for each of ours.

    Attributes:
        key: the integration key of the service; not shown.
        region: us or eu.

    """

    key: str = field(repr=False)
    region: str = "us"

    def send(self, message: Message) -> None:
        """Trigger what the message is about, or resolve it; an update triggers what is there once more.

        Raises:
            Undelivered: PagerDuty has not taken it.

        """
        from apprise.plugins.pagerduty import NotifyPagerDuty

        # The Events API wants no token beside the key; Apprise does.
        plugin = NotifyPagerDuty(
            apikey=self.key,
            integrationkey=self.key,
            region_name=self.region,
            source="tidemark",
            component=str(message.facts.get("asset") or message.facts.get("pipeline") or "tidemark"),
            group=str(message.facts.get("pipeline") or "") or None,
            class_id=str(message.facts.get("cause") or "") or None,
            click=message.link or None,
            details={"alert": message.text},
            severity=message.severity,
            action="resolve" if message.kind == RESOLVED else "trigger",
            dedup=message.key,
            include_image=False,
            asset=_asset(),
        )
        _notify(plugin, "", message.title[:_MOST_SUMMARY], message)


def _asset() -> "AppriseAsset":
    from apprise import AppriseAsset

    return AppriseAsset(app_id="Tidemark", app_desc="Tidemark", image_url_mask="", image_url_logo="")


def _notify(plugin: "NotifyBase", title: str, body: str, message: Message) -> None:
    from apprise import NotifyFormat, NotifyType

    types = {"critical": NotifyType.FAILURE, "warning": NotifyType.WARNING, "info": NotifyType.INFO}
    kind = NotifyType.SUCCESS if message.kind == RESOLVED else types[message.severity]
    with hushed() as heard:
        done = plugin.notify(body=body, title=title, notify_type=kind, body_format=NotifyFormat.TEXT)
    if not done:
        raise Undelivered(_reason(heard))


def _reason(heard: list[str]) -> str:
    """Say why Apprise failed without its own words, which may hold the URL."""
    said = " ".join(heard)
    status = _STATUS.search(said)
    if status:
        return f"answered {status[1]}"
    return "could not be reached" if "onnection error" in said else "Apprise could not deliver it"
