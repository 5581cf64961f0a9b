"""A landing zone in a bucket on S3.

S3 shows and returns whole objects only, so nothing is ever seen half written, and an ETag changes with the content.
"""

import contextlib
import logging

from tidemark.bucket import Bucket, is_absent
from tidemark.landing import File, folder_in, is_finished, is_inside
from tidemark.landing.listed import Listed, listed

_log = logging.getLogger(__name__)


class S3Landing:
    """A landing zone in a bucket.

    Args:
        url: ``s3://bucket/prefix``.

    """

    def __init__(self, url: str) -> None:
        self._bucket = Bucket(url, role="landing zone")
        self._odd: set[str] = set()

    def __repr__(self) -> str:
        return f"S3Landing({self.url!r})"

    @property
    def url(self) -> str:
        """The bucket and the prefix."""
        return self._bucket.url

    def files(self, prefix: str) -> list[File]:
        """Return all deliveries under a folder; see :class:`tidemark.landing.Landing`."""
        folder = folder_in(self.url, prefix)
        start = self._bucket.prefix + (f"{folder}/" if folder else "")
        found = []
        with self._bucket.speaking("listed"):
            listing = self._bucket.client.get_paginator("list_objects_v2")
            pages = iter(listing.paginate(Bucket=self._bucket.name, Prefix=start))
            while page := self._bucket.ask(lambda: next(pages, None)):
                for entry in page.get("Contents", ()):
                    name = entry["Key"].removeprefix(self._bucket.prefix)
                    if self._is_delivery(name):
                        token = entry["ETag"].strip('"')
                        found.append(File(name, token, entry["LastModified"].timestamp(), entry["Size"], None))
        found.sort(key=lambda file: file.name)
        return found

    def listing(self, prefix: str) -> Listed:
        """Return all deliveries under a folder as lines; see :class:`tidemark.landing.Landing`."""
        return listed(self.files(prefix))

    def read(self, name: str) -> tuple[bytes, str]:
        """Return an object's content and ETag; see :class:`tidemark.landing.Landing`."""
        from botocore.exceptions import ClientError

        if not is_inside(name):
            raise FileNotFoundError(f"{name!r} is not a name in the landing zone {self.url}")
        with self._bucket.speaking("read"):
            try:
                answer = self._bucket.ask(
                    lambda: self._bucket.client.get_object(Bucket=self._bucket.name, Key=self._bucket.prefix + name)
                )
            except ClientError as error:
                if is_absent(error):
                    raise FileNotFoundError(f"{name!r} is not in the landing zone {self.url}") from error
                raise
            with contextlib.closing(answer["Body"]) as body:
                return body.read(), answer["ETag"].strip('"')

    def _is_delivery(self, name: str) -> bool:
        """Whether a key is a delivery; one that would lead out of its folder is passed over with one warning."""
        if name.endswith("/") or not name:  # what consoles make to show an empty folder
            return False
        if is_inside(name):
            return all(map(is_finished, name.split("/")))
        if name not in self._odd:
            self._odd.add(name)
            _log.warning("%s: ignored %r: its name leads out of its folder", self.url, name)
        return False
