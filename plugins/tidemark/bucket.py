"""An S3 bucket and a prefix in it, for the store and for landing zones: patience with limits, and failures in words.

Where and who comes from the environment, as for every AWS tool: ``AWS_ENDPOINT_URL``, ``AWS_ACCESS_KEY_ID``,
``AWS_SECRET_ACCESS_KEY``, ``AWS_REGION``, ``AWS_PROFILE``, or the role of the machine or pod. ``boto3`` is imported
when a client is first needed: that takes a third of a second.
"""

import contextlib
import os
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, TypeVar

from tidemark.errors import Unavailable, UsageError
from tidemark.places import CONNECT_SECONDS, DEADLINE_SECONDS, READ_SECONDS, redact, within

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

Answer = TypeVar("Answer")

CONNECTIONS = 16
"""How many requests at once."""

_ABSENT = {"NoSuchKey", "404", "NotFound"}
_MENDS = {
    "NoSuchBucket": "The bucket does not exist: create it, or correct the URL",
    "AccessDenied": "The credentials are wrong, or may not do that: the policy must allow s3:ListBucket on the bucket, "
    "and s3:GetObject and, where something is written, s3:PutObject and s3:AbortMultipartUpload on its objects; "
    "s3:DeleteObject only where old backups are removed",
    "InvalidAccessKeyId": "The server does not know the access key: correct AWS_ACCESS_KEY_ID",
    "SignatureDoesNotMatch": "The secret is wrong: correct AWS_SECRET_ACCESS_KEY",
    "ExpiredToken": "The credentials have expired: get new ones",
    "PermanentRedirect": "The bucket is in another region: set AWS_REGION to it",
    "AuthorizationHeaderMalformed": "The bucket is in another region: set AWS_REGION to it",
    "QuotaExceeded": "The quota is used up: raise it or make room",
    "XMinioStorageFull": "The server's disks are full: make room there",
}
# A reply without a body, as to HEAD, has its status for a code. Servers disagree on some of the codes.
_SAME = {
    "403": "AccessDenied",
    "301": "PermanentRedirect",
    "RequestTimeTooSkewed": "SignatureDoesNotMatch",
    "InvalidToken": "ExpiredToken",
}


class Bucket:
    """A bucket, a prefix in it, and the connections to it: for any number of threads, and safe over a fork.

    Args:
        url: ``s3://bucket`` or ``s3://bucket/prefix``.
        role: what it is used as, for messages: ``store`` or ``landing zone``.

    Raises:
        UsageError: if the URL is not of that form.

    """

    def __init__(self, url: str, *, role: str) -> None:
        if "@" in url:
            raise UsageError(
                f"{redact(url)}: credentials do not belong in an s3:// URL. "
                "Give them as AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
            )
        self.name, _, path = url.partition("://")[2].partition("/")
        if not self.name:
            raise UsageError(f"{url}: names no bucket. Write s3://bucket/prefix")
        self.prefix = f"{path.strip('/')}/" if path.strip("/") else ""
        self.url = f"s3://{self.name}/{self.prefix}".rstrip("/")
        self._role = role
        self._client: S3Client | None = None
        self._process = 0
        self._lock = threading.Lock()

    @property
    def client(self) -> "S3Client":
        """The client of this process: sockets that two processes share would mix up their answers."""
        with self._lock:
            if self._client is None or self._process != os.getpid():
                self._client, self._process = _connect(), os.getpid()
            return self._client

    def ask(self, question: Callable[[], Answer]) -> Answer:
        """Ask something that is answered at once or not at all, and give up in time.

        The client's own patience is for each address of the server, and Amazon's have eight.

        Raises:
            Unavailable: when there is no answer in time.

        """
        return within(DEADLINE_SECONDS, f"the {self._role} {self.url}", question)

    @contextlib.contextmanager
    def speaking(self, doing: str) -> Iterator[None]:
        """Turn every failure of S3 into an :class:`Unavailable` that says what to do.

        Args:
            doing: what is tried, for the message: ``cannot be <doing>``.

        """
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            yield
        except (BotoCoreError, ClientError) as error:
            raise Unavailable(f"the {self._role} {self.url} cannot be {doing}: {self._reason(error)}") from error

    def _reason(self, error: Exception) -> str:
        from botocore.exceptions import (
            ClientError,
            ConnectionError,
            HTTPClientError,
            NoCredentialsError,
            PartialCredentialsError,
        )

        if isinstance(error, ClientError):
            code = error_code(error)
            code = "NoSuchBucket" if code in _ABSENT else _SAME.get(code, code)
            said = error.response.get("Error", {}).get("Message") or f"the server answered {code}"
            return f"{said.rstrip('.')}. {_MENDS.get(code, f'The server calls it {code}')}"
        if isinstance(error, (NoCredentialsError, PartialCredentialsError)):
            return (
                "there are no credentials. Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, "
                "or give the machine or pod a role"
            )
        if isinstance(error, (HTTPClientError, ConnectionError)):
            endpoint = redact(self.client.meta.endpoint_url)
            return (
                f"no answer from {endpoint} ({type(error).__name__}). "
                "Is AWS_ENDPOINT_URL right, the server up and reachable from here?"
            )
        return redact(str(error))


def error_code(error: Exception) -> str:
    """Return the code that S3 gave a failure, empty if it was none of S3's."""
    return str(getattr(error, "response", {}).get("Error", {}).get("Code", ""))


def is_absent(error: Exception) -> bool:
    """Whether a failure says that the key is not there (and not that the bucket is not)."""
    return error_code(error) in _ABSENT


def _connect() -> "S3Client":
    from boto3.session import Session
    from botocore.config import Config

    config = Config(
        connect_timeout=CONNECT_SECONDS,
        read_timeout=READ_SECONDS,
        retries={"mode": "standard", "total_max_attempts": 3},
        max_pool_connections=CONNECTIONS,
        # Checksums in trailers are refused by many servers that are not Amazon's; blobs carry their own.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )
    return Session().client("s3", config=config)
