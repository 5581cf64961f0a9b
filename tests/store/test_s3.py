"""A store on S3: conditional puts, the cache, and servers that are wrong, closed or silent."""

import hashlib
import os
from pathlib import Path
from typing import Any

import pytest

from tests.servers import KEYS_A_PAGE, credentials_checked, silent_server
from tidemark.errors import Unavailable, UsageError
from tidemark.places import DEADLINE_SECONDS, READ_SECONDS
from tidemark.store.addresses import location
from tidemark.store.s3 import S3Store


@pytest.fixture
def store(s3: str, tmp_path: Path) -> S3Store:
    return S3Store(f"{s3}/pre", cache=tmp_path / "cache")


def replace_object(s3_client: Any, s3: str, address: str, content: bytes) -> None:
    s3_client.put_object(Bucket=s3.removeprefix("s3://"), Key=f"pre/{location(address)}", Body=content)


def test_a_blob_that_is_there_is_never_replaced(store: S3Store, s3_client: Any, s3: str) -> None:
    address = hashlib.sha256(b"hello").hexdigest()
    replace_object(s3_client, s3, address, b"first")
    assert store.put(b"hello") == address
    key = f"pre/{location(address)}"
    assert s3_client.get_object(Bucket=s3.removeprefix("s3://"), Key=key)["Body"].read() == b"first"


def test_an_upload_in_parts_that_comes_second_leaves_no_parts(
    store: S3Store, s3_client: Any, s3: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when two writers both found the blob missing."""
    monkeypatch.setattr("tidemark.store.s3.PART_BYTES", 5 << 20)
    content = bytes(6 << 20)
    address = store.put(content)
    monkeypatch.setattr(store, "_has", lambda address: False)
    assert store.put(content) == address
    assert "Uploads" not in s3_client.list_multipart_uploads(Bucket=s3.removeprefix("s3://"))


def test_a_corrupt_copy_in_the_cache_is_fetched_again(store: S3Store, s3: str, tmp_path: Path) -> None:
    address = store.put(b"hello")
    copy = store.path(address)
    copy.unlink()
    copy.write_bytes(b"jello")
    assert store.path(address).read_bytes() == b"hello"
    copy.unlink()
    copy.write_bytes(b"")
    another_process = S3Store(f"{s3}/pre", cache=tmp_path / "cache")
    assert another_process.path(address).read_bytes() == b"hello"


def test_a_corrupt_copy_in_the_cache_is_not_stored(store: S3Store, s3: str, tmp_path: Path) -> None:
    address = hashlib.sha256(b"hello").hexdigest()
    copy = tmp_path / "cache" / location(address)
    copy.parent.mkdir(parents=True)
    copy.write_bytes(b"jello")
    store.put(b"hello")
    assert S3Store(f"{s3}/pre", cache=tmp_path / "another machine").path(address).read_bytes() == b"hello"


def test_a_copy_in_the_cache_needs_no_server(store: S3Store, monkeypatch: pytest.MonkeyPatch) -> None:
    address = store.put(b"hello")
    monkeypatch.setattr(store, "_bucket", None)
    assert store.path(address).read_bytes() == b"hello"


def test_a_damaged_blob_is_not_believed(store: S3Store, s3_client: Any, s3: str, tmp_path: Path) -> None:
    address = hashlib.sha256(b"hello").hexdigest()
    replace_object(s3_client, s3, address, b"jello")
    with pytest.raises(Unavailable, match=rf"is damaged: what it holds at pre/{address[:2]}/.*Delete that object"):
        store.path(address)
    assert [file for file in (tmp_path / "cache").rglob("*") if file.is_file()] == []


def test_missing_looks_through_as_many_listings_as_it_takes(store: S3Store) -> None:
    """Those that are there and those that are not are spread over all pages."""
    there = {store.put(b"%d" % number) for number in range(4 * KEYS_A_PAGE)}
    absent = {hashlib.sha256(b"no %d" % number).hexdigest() for number in range(70)}
    assert store.missing(there | absent) == absent
    assert store.missing(there) == set()


def test_a_blob_that_is_gone_is_named_with_the_mend(store: S3Store) -> None:
    with pytest.raises(Unavailable, match=f"has no blob {'0' * 64}.*from a backup"):
        store.path("0" * 64)


def test_a_forked_process_has_connections_of_its_own(store: S3Store) -> None:
    """On a socket that two processes share each gets the other's answers."""
    address = store.put(b"hello")
    before = store._bucket.client
    child = os.fork()
    if child == 0:
        os._exit(0 if store._bucket.client is not before and not store.missing([address]) else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert store._bucket.client is before


def test_a_bucket_that_does_not_exist_is_said_plainly(s3: str, tmp_path: Path) -> None:
    store = S3Store("s3://no-such-bucket/pre", cache=tmp_path)
    for question in (
        store.check,
        lambda: store.put(b"x"),
        lambda: store.path("0" * 64),
        lambda: store.missing(["0" * 64] * 2),
    ):
        with pytest.raises(Unavailable, match=r"s3://no-such-bucket/pre.*(create it|has no blob)"):
            question()


def test_credentials_that_are_refused_are_said_plainly_without_the_secret(store: S3Store, s3_endpoint: str) -> None:
    with credentials_checked(s3_endpoint), pytest.raises(Unavailable, match="correct AWS_ACCESS_KEY_ID") as refusal:
        store.check()
    assert "testing-secret" not in str(refusal.value)


def test_no_credentials_are_said_plainly(store: S3Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(Unavailable, match=r"there are no credentials\. Set AWS_ACCESS_KEY_ID"):
        store.check()


def test_a_server_that_is_down_is_said_plainly(store: S3Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    with pytest.raises(Unavailable, match=r"no answer from http://127\.0\.0\.1:1 .*Is AWS_ENDPOINT_URL right"):
        store.check()


@pytest.mark.parametrize("question", ["check", "path"])
def test_a_silent_server_is_given_up_after_three_attempts(
    store: S3Store, monkeypatch: pytest.MonkeyPatch, question: str
) -> None:
    """With their pauses, of up to 2 and 4 seconds, these take at most 27 seconds."""
    assert 3 * READ_SECONDS + 2 + 4 < DEADLINE_SECONDS < 30
    monkeypatch.setattr("tidemark.bucket.READ_SECONDS", 0.35)
    ask = {
        "check": store.check,
        "path": lambda: store.path("0" * 64),
    }[question]
    with silent_server() as silent:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{silent.port}")
        with pytest.raises(Unavailable, match="ReadTimeoutError"):
            ask()
        assert silent.callers() == 3


def test_a_server_with_many_addresses_is_given_up_too(store: S3Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each would be waited for: the patience for all of them together is as long."""
    monkeypatch.setattr("tidemark.bucket.DEADLINE_SECONDS", 0.3)
    with silent_server() as silent:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{silent.port}")
        for question in (lambda: store.path("0" * 64), lambda: store.missing(["0" * 64])):
            with pytest.raises(Unavailable, match=r"the store s3://.* did not answer within 0\.3 s"):
                question()


@pytest.mark.parametrize("url", ["s3://", "s3:///prefix"])
def test_a_url_without_a_bucket_is_refused(url: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="names no bucket"):
        S3Store(url, cache=tmp_path)


def test_credentials_in_the_url_are_refused_and_not_shown(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"s3://key:\*\*\*@bucket") as refusal:
        S3Store("s3://key:secret@bucket/prefix", cache=tmp_path)
    assert "secret" not in str(refusal.value)
