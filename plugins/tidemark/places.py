"""Places named by URLs: which are local folders, what of a URL may be shown, and how long to wait for a server.

Invariant: what :func:`redact` and :func:`scrub` return holds no password and no secret query value of the URL. Where a
URL is ambiguous (an ``@`` or ``/`` in a password that should have been percent-encoded) too much is hidden, never too
little.
"""

import contextvars
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar
from urllib.parse import unquote, urlsplit

from tidemark.errors import Unavailable, UsageError

Answer = TypeVar("Answer")

CONNECT_SECONDS = 4
READ_SECONDS = 7
"""How long one attempt waits for a silent server. Three attempts and their pauses must stay under 30 seconds."""
DEADLINE_SECONDS = 28
"""How long a place may take in all to say that it is there: a name can have many addresses, each tried in turn."""

_PASSWORD = re.compile(r"^([a-z][a-z0-9+.-]*://[^:/?#@]*:)(.*)@", re.IGNORECASE | re.DOTALL)
_QUERY_SECRET = re.compile(
    r"([?&][^=&#]*(?:pass|secret|token|key|sig|credential)[^=&#]*=)([^&#]+)", re.IGNORECASE | re.DOTALL
)
_PASSWORD_WITHIN = re.compile(r"([a-z][a-z0-9+.-]{0,30}://[^\s:/?#@]*:)[^\s@]+@", re.IGNORECASE)
_SECRET_SETTING = re.compile(
    r"((?:passw(?:or)?d|secret|token|credentials?|api[_-]?key|access[_-]?key|signature|authorization)[\w-]*[\"']?"
    r"\s*[=:]\s*[\"']?(?:(?:bearer|basic)\s+)?)[^\s\"'&,;)]+",
    re.IGNORECASE,
)
_HIDDEN = "***"


def redact(url: str) -> str:
    """Return the URL as people and logs may see it: its password and secret query values replaced by ``***``."""
    return _QUERY_SECRET.sub(rf"\1{_HIDDEN}", _PASSWORD.sub(rf"\1{_HIDDEN}@", url))


def redact_text(text: str) -> str:
    """Return words that may quote URLs and settings, an exception's for instance, without the secrets in them."""
    return _SECRET_SETTING.sub(rf"\1{_HIDDEN}", _PASSWORD_WITHIN.sub(rf"\1{_HIDDEN}@", text))


def secrets(url: str) -> list[str]:
    """Return the passwords and secret query values of a URL, as written and percent-decoded, longest first."""
    written = [match.group(2) for match in (*_PASSWORD.finditer(url), *_QUERY_SECRET.finditer(url))]
    # A password up to the first @ is what a URL parser would have taken, and so what a library may quote.
    written += [text.partition("@")[0] for text in written]
    return sorted({form for text in written for form in (text, unquote(text)) if form}, key=len, reverse=True)


def scrub(text: str, hidden: list[str]) -> str:
    """Return a library's words with each of the hidden strings replaced by ``***``."""
    for secret in hidden:
        text = text.replace(secret, _HIDDEN)
    return text


def scheme(url: str) -> str:
    """Return the scheme of a URL in small letters; ``file`` for a plain folder."""
    head, separator, _ = url.partition("://")
    return head.lower() if separator else "file"


def local_folder(url: str) -> Path:
    """Return the absolute path that a plain folder or a ``file://`` URL names.

    Raises:
        UsageError: if the URL names a host, which would silently be taken for a folder.

    """
    head, separator, rest = url.partition("://")
    if not separator:
        return Path(url).absolute()
    path = unquote(rest.removeprefix("localhost"))
    if not path.startswith("/"):
        raise UsageError(f"{redact(url)}: a file URL names no host. Write {head}:///absolute/path, or the plain folder")
    return Path(path)


@dataclass(frozen=True)
class Address:
    """A server, who asks, and a path: the parts of a URL, percent-decoded. Its repr hides the password."""

    host: str
    port: int
    user: str
    password: str | None = field(repr=False)
    path: str


def address(url: str, *, port: int) -> Address:
    """Return the parts of a URL ``scheme://user:password@host:port/path``.

    Args:
        url: the URL.
        port: the port if the URL names none.

    Raises:
        UsageError: if it names no host, or has characters that must be percent-encoded.

    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port or port
    except ValueError:
        host = ""
    if not host or parts.query or parts.fragment:
        raise UsageError(
            f"{redact(url)} is not a URL like {scheme(url)}://user:password@host:port/path. "
            "In user and password write @ as %40, : as %3A, / as %2F, # as %23, ? as %3F and % as %25"
        ) from None
    password = None if parts.password is None else unquote(parts.password)
    return Address(host, port, unquote(parts.username or ""), password, unquote(parts.path))


def within(seconds: float, what: str, question: Callable[[], Answer]) -> Answer:
    """Ask a question that may hang, and give up after some seconds.

    What hangs is left behind in a daemon thread: no library can be told to stop waiting for a name server.

    Args:
        seconds: how long to wait.
        what: who is asked, for the message.
        question: asked in another thread; whatever it raises is raised here.

    Raises:
        Unavailable: when there is no answer in time.

    """
    answers: list[Answer] = []
    failures: list[BaseException] = []

    def ask() -> None:
        try:
            answers.append(question())
        except BaseException as failure:
            failures.append(failure)

    # Airflow keeps what a task may know in the context of its thread.
    context = contextvars.copy_context()
    asking = threading.Thread(target=context.run, args=(ask,), name=f"tidemark asks {what}", daemon=True)
    asking.start()
    asking.join(seconds)
    if failures:
        raise failures[0]
    if not answers:
        raise Unavailable(f"{what} did not answer within {seconds:g} s. Is it up, and reachable from here?")
    return answers[0]
