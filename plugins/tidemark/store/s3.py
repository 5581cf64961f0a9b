"""A store on S3, or on any server that speaks it, with a local cache of what was read or written here.

A blob is created by a conditional put (``If-None-Match: *``), so that one that is there is never replaced. Some servers
do not enforce the condition (Ceph's gateway ignores it when a multipart upload is completed); content addressing makes
that harmless: what would replace the blob has the same bytes. An upload becomes visible only when it is complete, so a
crash leaves at worst the parts of an upload, which a lifecycle rule on the bucket removes.

What comes back is hashed before it is believed, and so is what lies in the cache, once a process.
"""

import base64
import contextlib
import os
from bisect import bisect_right
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from tidemark.bucket import CONNECTIONS, Bucket, error_code, is_absent
from tidemark.errors import Unavailable
from tidemark.places import DEADLINE_SECONDS, within
from tidemark.store.addresses import CHUNK_BYTES, address_of, chunks_of, location, lost, size_of
from tidemark.store.folder import Damaged, FolderStore

if TYPE_CHECKING:
    from botocore.response import StreamingBody
    from types_boto3_s3.type_defs import CompletedPartTypeDef

ASK_FIRST_BYTES = 64 << 10
"""From this size on it is cheaper to ask whether a blob is there than to send it in vain."""
PART_BYTES = 32 << 20
"""Larger blobs go up in parts of this size, so that a hiccup costs one part."""
_LIST_FROM = 64
"""More blobs than this are looked for in listings: one tells of 1000 blobs for the price of ten questions."""
_MAX_PARTS = 10_000  # S3's limit
_PARTS_AT_ONCE = 4  # each is in memory while it is sent
_ATTEMPTS = 3
_EMPTY = address_of(b"")
_NOWHERE = "0" * 64


class S3Store:
    """A store in a bucket.

    Args:
        url: ``s3://bucket/prefix``.
        cache: a local folder for copies of blobs; processes may share it.

    """

    def __init__(self, url: str, *, cache: Path) -> None:
        self._bucket = Bucket(url, role="store")
        self._cache = FolderStore(cache, role="store's cache", durable=False)
        self._verified: dict[str, tuple[int, ...]] = {}

    def __repr__(self) -> str:
        return f"S3Store({self.url!r})"

    @property
    def url(self) -> str:
        """The bucket and the prefix."""
        return self._bucket.url

    def put(self, payload: bytes | Path) -> str:
        """Store bytes or a file's content; see :class:`tidemark.store.Store`."""
        address = address_of(payload)
        try:
            # Into the cache first: what was just made is usually read next, and a file is sent from its verified copy.
            copy = self._cached(address) or self._keep(address, chunks_of(payload))
        except Damaged as error:
            raise Unavailable(f"{payload!r} changed while it was copied into the store; nothing was stored") from error
        with self._bucket.speaking("written"):
            if size_of(payload) < ASK_FIRST_BYTES or not self._has(address):
                self._upload(address, payload if isinstance(payload, bytes) else copy)
        return address

    def path(self, address: str) -> Path:
        """Return the blob's file in the cache, fetched if need be; see :class:`tidemark.store.Store`."""
        return self._cached(address) or self._fetch(address)

    def missing(self, addresses: Iterable[str]) -> set[str]:
        """Return the addresses without a blob; see :class:`tidemark.store.Store`."""
        asked = sorted(set(addresses))
        with self._bucket.speaking("read"):
            if len(asked) > _LIST_FROM:
                return set(asked) - self._listed(asked)
            with ThreadPoolExecutor(CONNECTIONS) as pool:
                there = pool.map(self._has, asked)
                absent = {address for address, found in zip(asked, there, strict=True) if not found}
            if absent:
                # Where there is no bucket there are no keys either: that is not the same.
                self._bucket.client.head_bucket(Bucket=self._bucket.name)
            return absent

    def check(self) -> None:
        """Put the empty blob, and ask for one that is not there; see :class:`tidemark.store.Store`.

        Who may not list the bucket is told 403 instead of 404 about what is not there.
        """

        def try_it() -> None:
            with self._bucket.speaking("written"):
                self._upload(_EMPTY, b"")
            with self._bucket.speaking("read"):
                self._has(_NOWHERE)

        within(DEADLINE_SECONDS, f"the store {self.url}", try_it)
        self._cache.check()

    def _key(self, address: str) -> str:
        return self._bucket.prefix + location(address)

    def _has(self, address: str) -> bool:
        from botocore.exceptions import ClientError

        try:
            self._bucket.ask(lambda: self._bucket.client.head_object(Bucket=self._bucket.name, Key=self._key(address)))
        except ClientError as error:
            if is_absent(error):
                return False
            raise
        return True

    def _listed(self, asked: list[str]) -> set[str]:
        """Return those of the sorted addresses that listings show, jumping to the next that is in question."""
        listing = partial(self._bucket.client.list_objects_v2, Bucket=self._bucket.name, Prefix=self._bucket.prefix)
        wanted = {self._key(address): address for address in asked}
        keys = list(wanted)
        found: set[str] = set()
        position = 0
        while position < len(keys):
            page = self._bucket.ask(partial(listing, StartAfter=keys[position][:-1]))
            seen = [entry["Key"] for entry in page.get("Contents", ())]
            found.update(wanted[key] for key in seen if key in wanted)
            if not page["IsTruncated"]:
                break
            position = bisect_right(keys, seen[-1])
        return found

    def _upload(self, address: str, payload: bytes | Path) -> None:
        """Create the object, unless it is there."""
        from botocore.exceptions import ClientError

        create = self._create_at_once if size_of(payload) <= PART_BYTES else self._create_in_parts
        for attempt in range(_ATTEMPTS):
            try:
                return create(address, payload)
            except ClientError as error:
                if error_code(error) == "PreconditionFailed":
                    return None
                # Two writers met, and S3 asks both to try again.
                if error_code(error) != "ConditionalRequestConflict" or attempt == _ATTEMPTS - 1:
                    raise
        return None

    def _create_at_once(self, address: str, payload: bytes | Path) -> None:
        body = payload if isinstance(payload, bytes) else payload.read_bytes()
        # The address is the checksum: a server that knows the header refuses what was damaged on its way.
        checksum = base64.b64encode(bytes.fromhex(address)).decode()
        self._bucket.client.put_object(
            Bucket=self._bucket.name, Key=self._key(address), Body=body, IfNoneMatch="*", ChecksumSHA256=checksum
        )

    def _create_in_parts(self, address: str, payload: bytes | Path) -> None:
        client, bucket, key = self._bucket.client, self._bucket.name, self._key(address)
        size = size_of(payload)
        part = max(PART_BYTES, -(-size // _MAX_PARTS))
        upload = client.create_multipart_upload(Bucket=bucket, Key=key)["UploadId"]

        def send(number: int) -> "CompletedPartTypeDef":
            body = _slice(payload, (number - 1) * part, part)
            sent = client.upload_part(Bucket=bucket, Key=key, UploadId=upload, PartNumber=number, Body=body)
            return {"PartNumber": number, "ETag": sent["ETag"]}

        try:
            with ThreadPoolExecutor(_PARTS_AT_ONCE) as pool:
                parts = list(pool.map(send, range(1, -(-size // part) + 1)))
            client.complete_multipart_upload(
                Bucket=bucket, Key=key, UploadId=upload, MultipartUpload={"Parts": parts}, IfNoneMatch="*"
            )
        except BaseException:
            with contextlib.suppress(Exception):  # parts cost money until they are dropped; the failure counts more
                client.abort_multipart_upload(Bucket=bucket, Key=key, UploadId=upload)
            raise

    def _cached(self, address: str) -> Path | None:
        """Return the cached copy, if there is one that is what it should be."""
        copy = self._cache.file(address)
        try:
            if self._verified.get(address) == _identity(copy):
                return copy
            return self._trust(address, copy) if address_of(copy) == address else None
        except FileNotFoundError:
            return None

    def _keep(self, address: str, chunks: Iterable[bytes]) -> Path:
        return self._trust(address, self._cache.receive(address, chunks))

    def _trust(self, address: str, copy: Path) -> Path:
        self._verified[address] = _identity(copy)
        return copy

    def _fetch(self, address: str) -> Path:
        """Download the blob into the cache, again if it arrived damaged or the connection broke."""
        from botocore.exceptions import BotoCoreError

        failure: Exception | None = None
        with self._bucket.speaking("read"):
            for _ in range(_ATTEMPTS):
                with self._open(address) as body:  # the client's own retries end where the content begins
                    try:
                        return self._keep(address, body.iter_chunks(CHUNK_BYTES))
                    except (Damaged, BotoCoreError) as error:
                        failure = error
            if isinstance(failure, BotoCoreError):
                raise failure
        raise Unavailable(
            f"the store {self.url} is damaged: what it holds at {self._key(address)} does not hash to its name. "
            "Delete that object, and bring it back from a backup or have it computed again"
        ) from failure

    def _open(self, address: str) -> "contextlib.closing[StreamingBody]":
        from botocore.exceptions import ClientError

        try:
            answer = self._bucket.ask(
                lambda: self._bucket.client.get_object(Bucket=self._bucket.name, Key=self._key(address))
            )
        except ClientError as error:
            if is_absent(error):
                raise lost(self.url, address) from error
            raise
        return contextlib.closing(answer["Body"])


def _identity(file: Path) -> tuple[int, ...]:
    stat = os.stat(file)
    return stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns


def _slice(payload: bytes | Path, start: int, length: int) -> bytes:
    if isinstance(payload, bytes):
        return payload[start : start + length]
    with payload.open("rb") as file:
        file.seek(start)
        return file.read(length)
