"""What the plugin adds to Airflow's UI, without the cost of it: every process of Airflow loads plugins."""

from collections.abc import Awaitable, Callable, MutableMapping
from functools import cached_property
from typing import Any
from urllib.parse import quote

PREFIX = "/tidemark"
"""Where the pages are, below Airflow's own address."""

_ICON = (
    "data:image/svg+xml;utf8,<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 24 24' fill='none' "
    "stroke='%230d9488' stroke-width='2' stroke-linecap='round'><path d='M4 20V11M10 20V4M16 20v-7M22 20H2'/></svg>"
)

_ROUTE = "tidemark-reports"

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class Pages:
    """The app that serves pages, made at its first request: only Airflow's API server ever gets one."""

    @cached_property
    def _app(self) -> Callable[[Scope, Receive, Send], Awaitable[None]]:
        from tidemark.airflow.pages import app

        return app()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        await self._app(scope, receive, send)


def base_url() -> str:
    """Return where people and processes find Airflow, as its own configuration says."""
    from airflow.sdk.configuration import conf

    return str(conf.get("api", "base_url", fallback="") or "http://localhost:8080").rstrip("/")


def report_page(airflow: str, report: str, partition: str) -> str:
    """Return where the page of a report is, within the UI of the Airflow at an address."""
    return f"{airflow.rstrip('/')}/plugin/{_ROUTE}{PREFIX}/reports/{quote(report)}/{quote(partition)}"


APPS = [{"app": Pages(), "url_prefix": PREFIX, "name": "Tidemark reports"}]

VIEWS = [
    {
        "name": "Reports",
        "href": f"{PREFIX}/reports".lstrip("/"),  # Airflow itself need not be at the root of its server
        "destination": "nav",
        "url_route": _ROUTE,
        "icon": _ICON,  # one that can be told from light, dark and the blue of what is chosen
    }
]
