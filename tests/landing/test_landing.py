"""What every landing zone promises, whatever it is on: the same tests on all of them."""

import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest

from tests.landing.conftest import Zone
from tests.servers import PASSWORD
from tidemark.errors import Unavailable, UsageError
from tidemark.landing import File, open_landing

LATER = timedelta(days=1)


def names(files: list[File]) -> list[str]:
    return [file.name for file in files]


def test_a_listing_shows_all_files_under_a_folder_by_name(zone: Zone) -> None:
    for name in ("orders/2011-01-02.csv", "orders/2011-01-01.csv", "orders/late/x/2010.csv", "fx_rates/1.csv", "a.csv"):
        zone.deliver(name, b"12345")
    landing = zone.open()
    orders = ["orders/2011-01-01.csv", "orders/2011-01-02.csv", "orders/late/x/2010.csv"]
    assert names(landing.files("orders")) == orders
    assert names(landing.files("orders/")) == orders
    assert names(landing.files("orders/late")) == ["orders/late/x/2010.csv"]
    assert names(landing.files("")) == ["a.csv", "fx_rates/1.csv", *orders]
    assert {file.size for file in landing.files("")} == {5}


def test_a_folder_that_is_not_there_has_no_files(zone: Zone) -> None:
    """A source whose first delivery is still to come."""
    zone.deliver("orders/1.csv", b"1")
    landing = zone.open()
    assert landing.files("fx_rates") == []
    assert landing.files("fx_rates/daily/late") == []
    assert landing.files("order") == []
    assert landing.files("orders/1.csv") == []


def test_a_zone_that_is_not_there_is_not_an_empty_one(zone: Zone) -> None:
    """An unmounted landing zone is not a mass deletion."""
    zone.deliver("orders/1.csv", b"1")
    landing = zone.open()
    assert names(landing.files("orders")) == ["orders/1.csv"]
    zone.unmount()
    for again in (landing, zone.open()):
        for prefix in ("orders", "fx_rates", ""):
            with pytest.raises(Unavailable, match=r"the landing zone .*cannot be (listed|read)"):
                again.files(prefix)
        with pytest.raises(Unavailable):
            again.read("orders/1.csv")


def test_hidden_and_temporary_files_are_not_deliveries(zone: Zone) -> None:
    for name in (".1.csv", "1.csv.tmp", "1.csv.part", "1.csv.filepart", "1.csv~", ".new/1.csv", "up.part/1.csv"):
        zone.deliver(f"orders/{name}", b"1")
    zone.deliver("orders/1.csv", b"1")
    assert names(zone.open().files("")) == ["orders/1.csv"]


def test_a_file_is_read_with_the_token_of_its_listing(zone: Zone) -> None:
    zone.deliver("orders/1.csv", b"")
    zone.deliver("orders/2.csv", bytes(range(256)) * 3000)
    landing = zone.open()
    for file, content in zip(landing.files("orders"), (b"", bytes(range(256)) * 3000), strict=True):
        assert landing.read(file.name) == (content, file.token)


def test_an_untouched_file_keeps_its_token(zone: Zone) -> None:
    zone.deliver("orders/1.csv", b"1")
    assert zone.open().files("orders") == zone.open().files("orders")


def test_a_changed_file_has_another_token_or_is_not_settled(zone: Zone) -> None:
    """Of equal size and at once, so that a coarse clock shows no change."""
    landing = zone.open()
    zone.deliver("orders/1.csv", b"1")
    seen = datetime.now(UTC)
    (before,) = landing.files("orders")
    zone.deliver("orders/1.csv", b"2")
    (after,) = landing.files("orders")
    assert after.token != before.token or not before.settled(seen)
    assert landing.read("orders/1.csv") == (b"2", after.token)


def test_a_file_settles(zone: Zone) -> None:
    """Its time of change is in UTC, and near to now."""
    zone.deliver("orders/1.csv", b"1")
    (file,) = zone.open().files("orders")
    assert file.modified is not None
    assert abs(datetime.now(UTC) - file.modified) < timedelta(minutes=1)
    assert file.settled(datetime.now(UTC) + LATER)


def test_a_delivery_after_the_first_look_is_seen(zone: Zone) -> None:
    landing = zone.open()
    zone.deliver("orders/1.csv", b"1")
    assert names(landing.files("orders")) == ["orders/1.csv"]
    zone.deliver("orders/2.csv", b"2")
    assert names(landing.files("orders")) == ["orders/1.csv", "orders/2.csv"]
    zone.deliver("orders/1.csv", None)
    assert names(landing.files("orders")) == ["orders/2.csv"]


def test_a_file_that_vanished_after_the_listing_is_not_found(zone: Zone) -> None:
    zone.deliver("orders/1.csv", b"1")
    zone.deliver("orders/2.csv", b"2")
    landing = zone.open()
    (_, file) = landing.files("orders")
    zone.deliver(file.name, None)
    for name in (file.name, "nowhere/1.csv", "orders"):
        with pytest.raises(FileNotFoundError):
            landing.read(name)
    assert landing.read("orders/1.csv")[0] == b"1"


@pytest.mark.parametrize("name", ["", "..", "../secret", "orders/../../secret", "/etc/passwd", "orders//1.csv", "a\0b"])
def test_a_name_that_leads_out_of_the_zone_is_not_found(zone: Zone, name: str) -> None:
    if zone.folder:
        (zone.folder.parent / "secret").write_text("secret")
    zone.deliver("orders/1.csv", b"1")
    with pytest.raises(FileNotFoundError):
        zone.open().read(name)


@pytest.mark.parametrize("prefix", ["..", "../other", "orders/../..", "/etc", "//"])
def test_a_folder_that_leads_out_of_the_zone_is_refused(zone: Zone, prefix: str) -> None:
    with pytest.raises(UsageError, match=r"is no folder of the landing zone .* write it relative"):
        zone.open().files(prefix)


def test_any_name_can_be_delivered(zone: Zone) -> None:
    """Those that mean something in a URL, in a listing of an FTP server, or in a pattern, too."""
    delivered = ["a b.csv", "a  b ", "100%25.csv", "a#b?c.csv", "[1-2]*.csv", "-> x", "Größe €.csv", "a:b;c='1'.csv"]
    for name in delivered:
        zone.deliver(f"orders/{name}", name.encode())
    landing = zone.open()
    assert names(landing.files("orders")) == sorted(f"orders/{name}" for name in delivered)
    for name in delivered:
        assert landing.read(f"orders/{name}")[0] == name.encode()


def test_what_is_shown_of_a_zone_has_no_password(zone: Zone) -> None:
    landing = zone.open()
    for shown in (landing.url, repr(landing)):
        assert "testing-secret" not in shown
        assert PASSWORD not in shown
        assert "p%40ss" not in shown


@pytest.mark.parametrize("url", ["nosuch://me:s3cret@host/", "sftp://me:s3cret@x/y@host/in", "sftp://me:s3cret@/in"])
def test_a_url_that_cannot_be_is_refused_without_showing_its_password(url: str) -> None:
    with pytest.raises((UsageError, Unavailable)) as refusal:
        open_landing(url).files("")
    assert "s3cret" not in str(refusal.value)
    assert "x/y" not in str(refusal.value)


@pytest.mark.parametrize("url", ["sftp://me:a/b@host/in", "ftp:///in", "sftp://host:port/", "ftp://me@host/in?mode=x"])
def test_a_malformed_url_is_refused_with_the_form_that_it_should_have(url: str) -> None:
    with pytest.raises(UsageError, match=r"is not a URL like s?ftp://user:password@host:port/path"):
        open_landing(url)


def test_opening_a_zone_loads_no_client_before_it_is_asked() -> None:
    """A run with nothing to do should not spend the second that these take."""
    script = (
        "import sys\n"
        "from tidemark.landing import open_landing\n"
        "for url in sys.argv[1:]: open_landing(url)\n"
        "print([name for name in ('boto3', 'paramiko', 'fsspec', 'airflow') if name in sys.modules])"
    )
    command = [sys.executable, "-c", script, "/tmp", "s3://bucket", "sftp://host/", "ftp://host/"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    assert subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout == "[]\n"
