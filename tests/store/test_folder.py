"""A store in a folder: crashes, full disks, and folders that are not mounted."""

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.lacking import lacking
from tidemark.errors import Unavailable
from tidemark.store import open_store
from tidemark.store.folder import FolderStore


def blobs_in(root: Path) -> list[str]:
    """The addresses of what somebody who lists the folder takes for a blob."""
    return [f"{file.parent.name}{file.name}" for file in root.glob("[0-9a-f][0-9a-f]/*")]


def run(script: str, *arguments: object, before: str = "") -> subprocess.CompletedProcess[str]:
    """Run a script that finds `store`, a FolderStore in its first argument."""
    head = (
        "import os, sys, pathlib\n"
        "from tidemark.store.folder import FolderStore\n"
        "store = FolderStore(pathlib.Path(sys.argv[1]))\n"
    )
    command = [sys.executable, "-c", head + script, *map(str, arguments)]
    if before:
        command = [
            "unshare",
            "--user",
            "--map-root-user",
            "--mount",
            "sh",
            "-c",
            before + ' && exec "$@"',
            "sh",
            *command,
        ]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.run(command, env=environment, capture_output=True, text=True)


def test_a_writer_that_is_killed_leaves_no_blob(tmp_path: Path) -> None:
    root = tmp_path / "store"
    content = b"first half" + b"second half"
    address = hashlib.sha256(content).hexdigest()
    killed = run(
        "def chunks():\n    yield b'first half'\n    os.kill(os.getpid(), 9)\nstore.receive(sys.argv[2], chunks())\n",
        root,
        address,
    )
    assert killed.returncode == -signal.SIGKILL
    assert len(list((root / ".incoming").iterdir())) == 1
    assert blobs_in(root) == []
    store = FolderStore(root)
    assert store.missing([address]) == {address}
    assert store.path(store.put(content)).read_bytes() == content


def test_what_a_crash_left_is_swept_when_nobody_can_be_writing_it(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    store.check()
    for name in ("old", "new"):
        (tmp_path / ".incoming" / name).write_bytes(b"left")
    two_days_ago = time.time() - 2 * 24 * 3600
    os.utime(tmp_path / ".incoming" / "old", (two_days_ago, two_days_ago))
    store.check()
    assert [left.name for left in (tmp_path / ".incoming").iterdir()] == ["new"]


def test_what_was_damaged_on_its_way_is_not_stored(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    with pytest.raises(Exception, match="0000"):
        store.receive("0" * 64, [b"something else"])
    assert blobs_in(tmp_path) == []
    assert list((tmp_path / ".incoming").iterdir()) == []


def test_a_blob_that_the_disk_cut_short_is_healed_by_the_next_put(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    blob = store.path(store.put(b"hello"))
    blob.unlink()
    blob.write_bytes(b"hel")
    assert store.path(store.put(b"hello")).read_bytes() == b"hello"


def test_a_full_disk_is_said_plainly_and_leaves_nothing(tmp_path: Path) -> None:
    """On a file system of 256 KiB: a blob that fits is stored, one that does not is not, and the first one stays."""
    mount = f"mount -t tmpfs -o size=256k tidemark {tmp_path}"
    if shutil.which("unshare") is None or run("", tmp_path, before=mount).returncode:
        lacking("This machine does not let us mount a small file system")
    ended = run(
        "from tidemark.errors import Unavailable\n"
        "address = store.put(b'a' * 100_000)\n"
        "try:\n"
        "    store.put(b'b' * 300_000)\n"
        "except Unavailable as error:\n"
        "    print(error)\n"
        "files = [each for each in pathlib.Path(sys.argv[1]).rglob('*') if each.is_file()]\n"
        "print(files == [store.path(address)], len(store.put(b'c' * 100_000)))\n",
        tmp_path,
        before=mount,
    )
    assert ended.stderr == ""
    message, left = ended.stdout.splitlines()
    assert message.startswith(f"the store {tmp_path} cannot be written: No space left on device. The disk is full")
    assert left == "True 64"


def test_a_file_that_may_not_grow_leaves_nothing(tmp_path: Path) -> None:
    """The limit of the process stands for all errors in the middle of a write."""
    ended = run(
        "import resource\n"
        "from tidemark.errors import Unavailable\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
        "try:\n"
        "    store.put(b'b' * 300_000)\n"
        "except Unavailable as error:\n"
        "    sys.exit(str(error))\n",
        tmp_path,
    )
    assert "ulimit -f" in ended.stderr
    assert [file for file in tmp_path.rglob("*") if file.is_file()] == []


def test_a_store_that_is_not_mounted_is_not_a_store_without_blobs(tmp_path: Path) -> None:
    """Its blobs taken for missing, everything would be computed again."""
    store = FolderStore(tmp_path / "store")
    address = store.put(b"hello")
    (tmp_path / "store").rename(tmp_path / "elsewhere")
    for mount_point in (False, True):
        if mount_point:
            (tmp_path / "store").mkdir()
        for question in (store.path, lambda address: store.missing([address])):
            with pytest.raises(Unavailable, match="not mounted"):
                question(address)


def test_a_path_that_is_no_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    store = open_store(str(tmp_path / "file"), cache=tmp_path)
    for question in (
        store.check,
        lambda: store.put(b""),
        lambda: store.path("0" * 64),
        lambda: store.missing(["0" * 64]),
    ):
        with pytest.raises(Unavailable, match=rf"the store {tmp_path}/file cannot be (read|written)"):
            question()


def test_a_blob_that_is_gone_is_named_with_the_mend(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    store.check()
    with pytest.raises(Unavailable, match=f"has no blob {'0' * 64}.*from a backup"):
        store.path("0" * 64)


def test_a_read_only_folder_fails_its_check(tmp_path: Path) -> None:
    if run("", tmp_path, before="true").returncode:
        lacking("This machine does not let us mount a folder")
    ended = run(
        "from tidemark.errors import Unavailable\n"
        "try:\n"
        "    store.check()\n"
        "except Unavailable as error:\n"
        "    sys.exit(str(error))\n",
        tmp_path,
        before=f"mount --bind {tmp_path} {tmp_path} && mount -o remount,ro,bind {tmp_path}",
    )
    assert "mounted read-only" in ended.stderr


def test_every_blob_and_every_name_on_the_way_to_it_is_brought_to_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The blob, then its folder; and the store's own folder once for each folder in it, which names it for good."""
    synced: list[str] = []
    fsync = os.fsync
    monkeypatch.setattr(os, "fsync", lambda fd: (synced.append(os.readlink(f"/proc/self/fd/{fd}")), fsync(fd)))
    store = FolderStore(tmp_path)
    first = store.path(store.put(b"hello"))
    assert synced[0].startswith(f"{tmp_path}/.incoming/")
    assert synced[1:] == [str(first.parent), str(tmp_path)]
    synced.clear()
    store.put(b"hello")
    assert synced == [str(first.parent)]
    synced.clear()
    FolderStore(tmp_path).put(b"hello")
    assert synced == [str(first.parent), str(tmp_path)]
