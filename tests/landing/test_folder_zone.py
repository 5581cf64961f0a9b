"""A landing zone in a folder: writers at work, links that lead out, and folders that may not be read."""

import contextlib
import os
import shutil
import stat
import tempfile
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.servers import growing
from tidemark.errors import DeliveryError, Unavailable
from tidemark.landing import File
from tidemark.landing.folder import TICK, FolderLanding

NOBODY = 65534


@contextlib.contextmanager
def as_nobody() -> Iterator[None]:
    """For root may read everything."""
    before = os.geteuid()
    if before == 0:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(before)


@pytest.fixture
def open_to_all() -> Iterator[Path]:
    """A folder that nobody may look into, which pytest's own are not."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def names(landing: FolderLanding, prefix: str = "") -> list[str]:
    return [file.name for file in landing.files(prefix)]


def test_a_file_that_grows_while_it_is_read_is_not_half_read(tmp_path: Path) -> None:
    landing = FolderLanding(tmp_path)

    def read_often() -> None:
        for _ in range(200):  # one that falls between two writes is no half read
            landing.read("1.csv")

    with growing(tmp_path / "1.csv"), pytest.raises(DeliveryError, match=r"'1\.csv' changed while .*\.part"):
        read_often()


def test_a_file_that_is_replaced_while_it_is_read_is_read_whole(tmp_path: Path) -> None:
    """What was delivered under another name and renamed is one delivery or the other, never a mixture."""
    contents = [bytes([number]) * 200_000 for number in (1, 2)]
    stop = threading.Event()

    def replace() -> None:
        turn = 0
        while not stop.is_set():
            (tmp_path / "1.part").write_bytes(contents[turn % 2])
            (tmp_path / "1.part").rename(tmp_path / "1.csv")
            turn += 1

    (tmp_path / "1.csv").write_bytes(contents[0])
    replacing = threading.Thread(target=replace)
    replacing.start()
    try:
        read = 0
        while read < 50:
            with contextlib.suppress(DeliveryError):  # a rename changes the inode that is being read
                assert FolderLanding(tmp_path).read("1.csv")[0] in contents
                read += 1
    finally:
        stop.set()
        replacing.join()


def test_symbolic_links_are_not_followed(tmp_path: Path) -> None:
    outside, zone = tmp_path / "outside", tmp_path / "zone"
    for folder in (outside, zone):
        folder.mkdir()
        (folder / "1.csv").write_text("1")
    (zone / "link.csv").symlink_to(outside / "1.csv")
    (zone / "orders").symlink_to(outside)
    (zone / "inside.csv").symlink_to(zone / "1.csv")
    landing = FolderLanding(zone)
    assert names(landing) == ["1.csv"]
    assert names(landing, "orders") == []
    for name in ("link.csv", "orders/1.csv", "inside.csv"):
        with pytest.raises(FileNotFoundError):
            landing.read(name)


def test_the_zone_itself_may_be_a_symbolic_link(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "1.csv").write_text("1")
    (tmp_path / "zone").symlink_to(tmp_path / "there")
    assert names(FolderLanding(tmp_path / "zone")) == ["1.csv"]
    assert FolderLanding(tmp_path / "zone").read("1.csv")[0] == b"1"


def test_a_pipe_is_not_a_delivery_and_does_not_keep_us_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "1.csv")
    assert names(FolderLanding(tmp_path)) == []
    with pytest.raises(FileNotFoundError):
        FolderLanding(tmp_path).read("1.csv")


def test_a_folder_that_may_not_be_read_fails_the_listing(open_to_all: Path) -> None:
    """A listing without its files would be a withdrawal."""
    (open_to_all / "1.csv").write_text("1")
    closed = open_to_all / "orders" / "closed"
    closed.mkdir(parents=True)
    (closed / "1.csv").write_text("1")
    closed.chmod(0)
    landing = FolderLanding(open_to_all)
    with as_nobody():
        for prefix in ("", "orders", "orders/closed", "orders/closed/deeper"):
            with pytest.raises(Unavailable, match=r"Permission denied \(.*closed.*may this user read it"):
                landing.files(prefix)
    closed.chmod(0o700)


def test_a_file_that_may_not_be_read_is_named(open_to_all: Path) -> None:
    (open_to_all / "1.csv").write_text("1")
    (open_to_all / "1.csv").chmod(0)
    with as_nobody(), pytest.raises(Unavailable, match=r"'1\.csv' .*Permission denied\. May this user read it"):
        FolderLanding(open_to_all).read("1.csv")


def test_a_zone_that_is_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "zone").touch()
    with pytest.raises(Unavailable, match=f"the landing zone {tmp_path}/zone cannot be listed: Not a directory"):
        FolderLanding(tmp_path / "zone").files("orders")


def test_a_name_in_another_encoding_is_shown_printably_and_cannot_be_read(tmp_path: Path) -> None:
    """It matches no partition, and the warning that names it must be writable."""
    with open(os.fsencode(tmp_path) + b"/Gr\xf6\xdfe.csv", "wb"):
        pass
    assert names(FolderLanding(tmp_path)) == ["Gr\ufffd\ufffde.csv"]
    with pytest.raises(FileNotFoundError):
        FolderLanding(tmp_path).read("Gr\ufffd\ufffde.csv")


def test_a_corrected_file_with_the_old_size_and_time_has_another_token(tmp_path: Path) -> None:
    """As when a tool keeps the modification time of what it copies."""
    landing = FolderLanding(tmp_path)
    for content in ("1", "2"):
        (tmp_path / "new.part").write_text(content)
        os.utime(tmp_path / "new.part", (1e9, 1e9))
        (tmp_path / "new.part").rename(tmp_path / f"{content}.csv")
    one, two = landing.files("")
    assert (one.size, one.modified) == (two.size, two.modified)
    assert one.token != two.token


def test_a_file_settles_when_the_clock_of_the_file_system_has_moved_on(tmp_path: Path) -> None:
    (tmp_path / "1.csv").touch()
    (file,) = FolderLanding(tmp_path).files("")
    assert file.modified is not None
    assert not file.settled(file.modified + TICK)
    assert not file.settled(file.modified - timedelta(hours=1))  # a clock that is ahead of ours
    assert file.settled(file.modified + TICK + timedelta(microseconds=1))


@pytest.mark.parametrize("seconds", [3e11, 1e20, float("inf")])
def test_a_time_that_no_calendar_has_is_none(seconds: float) -> None:
    """Anybody can set one: the year 11476 on some file systems. What has no time is read again at every look."""
    file = File("1.csv", "token", seconds, 0, TICK)
    assert file.modified is None
    assert not file.settled(datetime.now(UTC))


def test_a_time_far_in_the_future_does_not_fail_the_listing(tmp_path: Path) -> None:
    """However much of it the file system can write down."""
    (tmp_path / "1.csv").touch()
    os.utime(tmp_path / "1.csv", (3e11, 3e11))
    (file,) = FolderLanding(tmp_path).files("")
    assert not file.settled(datetime.now(UTC))


def test_reading_leaves_no_file_open(tmp_path: Path) -> None:
    (tmp_path / "orders").mkdir()
    (tmp_path / "orders" / "1.csv").write_text("1")
    landing = FolderLanding(tmp_path)
    before = len(os.listdir("/proc/self/fd"))
    for name in ("orders/1.csv", "orders/2.csv", "orders", "2/1.csv"):
        with contextlib.suppress(FileNotFoundError):
            landing.read(name)
    assert len(os.listdir("/proc/self/fd")) == before


def test_the_zone_is_never_written(tmp_path: Path) -> None:
    (tmp_path / "orders").mkdir()
    (tmp_path / "orders" / "1.csv").write_text("1")
    before = [(each, each.stat().st_mtime_ns, stat.S_IMODE(each.stat().st_mode)) for each in tmp_path.rglob("*")]
    landing = FolderLanding(tmp_path)
    landing.files("")
    landing.read("orders/1.csv")
    after = [(each, each.stat().st_mtime_ns, stat.S_IMODE(each.stat().st_mode)) for each in tmp_path.rglob("*")]
    assert after == before
