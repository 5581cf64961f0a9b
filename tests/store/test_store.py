"""What every store promises: the same tests on a folder and on S3.

TIDEMARK_TEST_S3_URL=s3://bucket/prefix, with AWS_ENDPOINT_URL and credentials, adds a server of your own.
"""

import hashlib
import os
import subprocess
import sys
import uuid
from pathlib import Path

import pytest

from tidemark.errors import UsageError
from tidemark.store import Store, open_store

NOWHERE = "0" * 64


# An S3 server that is not ours is tried where somebody names one.
EXTERNAL = os.environ.get("TIDEMARK_TEST_S3_URL")


@pytest.fixture(params=["folder", "s3", *(["external"] if EXTERNAL else [])])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "folder":
        return str(tmp_path / "store")
    if request.param == "s3":
        return f"{request.getfixturevalue('s3')}/some/prefix"
    assert EXTERNAL is not None
    return f"{EXTERNAL.rstrip('/')}/{uuid.uuid4().hex}"


@pytest.fixture
def store(url: str, tmp_path: Path) -> Store:
    return open_store(url, cache=tmp_path / "cache")


def test_a_blob_comes_back_as_it_was(store: Store) -> None:
    address = store.put(b"hello")
    assert address == hashlib.sha256(b"hello").hexdigest()
    assert store.path(address).read_bytes() == b"hello"


def test_a_blob_is_read_where_it_was_not_written(store: Store, url: str, tmp_path: Path) -> None:
    address = store.put(b"hello")
    elsewhere = open_store(url, cache=tmp_path / "another machine")
    assert elsewhere.path(address).read_bytes() == b"hello"


def test_a_file_is_stored_as_its_bytes_are(store: Store, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"content")
    assert store.put(tmp_path / "file") == store.put(b"content")
    assert (tmp_path / "file").read_bytes() == b"content"


def test_the_empty_blob_is_a_blob(store: Store) -> None:
    address = store.put(b"")
    assert store.path(address).read_bytes() == b""


def test_putting_a_blob_again_changes_nothing(store: Store) -> None:
    first = store.path(store.put(b"hello"))
    before = first.stat()
    again = store.path(store.put(b"hello"))
    assert (again, again.stat()) == (first, before)


def test_a_large_blob_comes_back_as_it_was(
    store: Store, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over three parts on S3, the last of them short."""
    monkeypatch.setattr("tidemark.store.s3.PART_BYTES", 5 << 20)
    content = os.urandom(1 << 20) * 12
    (tmp_path / "large").write_bytes(content)
    elsewhere = open_store(url, cache=tmp_path / "another machine")
    assert elsewhere.path(store.put(tmp_path / "large")).read_bytes() == content
    assert elsewhere.path(store.put(content + b"!")).read_bytes() == content + b"!"


def test_a_blob_can_only_be_read(store: Store) -> None:
    assert not store.path(store.put(b"hello")).stat().st_mode & 0o222


@pytest.mark.parametrize("many", [0, 100])
def test_missing_names_what_is_not_there(store: Store, many: int) -> None:
    """A hundred more are looked for in another way on S3 than a few."""
    there = [store.put(b"one"), store.put(b"two")]
    absent = {NOWHERE} | {hashlib.sha256(b"%d" % number).hexdigest() for number in range(many)}
    assert store.missing([*there, *absent]) == absent
    assert store.missing(there) == set()


@pytest.mark.parametrize("address", ["", "..", "../../etc/passwd", "A" * 64, "0" * 63, "0" * 64 + "\n"])
def test_what_is_no_address_is_refused(store: Store, address: str) -> None:
    for question in (store.path, lambda address: store.missing([address])):
        with pytest.raises(ValueError, match="is not an address"):
            question(address)


def test_a_working_store_passes_its_check_every_time(store: Store) -> None:
    store.check()
    store.check()


def test_writers_of_one_blob_do_not_disturb_each_other(store: Store, url: str, tmp_path: Path) -> None:
    """Four processes put the same eight blobs at once; at each moment a blob is whole or not there."""
    store.check()
    script = (
        "import sys, pathlib, tidemark.store as s\n"
        "store = s.open_store(sys.argv[1], cache=pathlib.Path(sys.argv[2]))\n"
        "sys.stdin.read()\n"
        "for number in range(8): store.put(bytes([number]) * 3_000_000)\n"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", script, url, str(tmp_path / "cache")]
    writers = [subprocess.Popen(command, stdin=subprocess.PIPE, env=environment) for _ in range(4)]
    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.close()
    contents = [bytes([number]) * 3_000_000 for number in range(8)]
    addresses = {hashlib.sha256(content).hexdigest(): content for content in contents}
    reader = open_store(url, cache=tmp_path / "another machine")
    while any(writer.poll() is None for writer in writers):
        for address in set(addresses) - reader.missing(addresses):
            assert reader.path(address).read_bytes() == addresses[address]
    assert [writer.returncode for writer in writers] == [0, 0, 0, 0]
    assert reader.missing(addresses) == set()


@pytest.mark.parametrize("url", ["ftp://me:secret@host/store", "gs://bucket"])
def test_another_kind_of_store_is_refused(url: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="a folder or s3://bucket/prefix") as refusal:
        open_store(url, cache=tmp_path)
    assert "secret" not in str(refusal.value)


def test_opening_a_store_loads_no_client(tmp_path: Path) -> None:
    """boto3 takes a third of a second, which a run with nothing to do should not spend."""
    script = (
        "import sys, pathlib, tidemark.store as s\n"
        "for url in sys.argv[1:]: s.open_store(url, cache=pathlib.Path('cache'))\n"
        "print('boto3' in sys.modules)"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", script, str(tmp_path), "s3://bucket"]
    assert subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout == "False\n"
