"""Landing zones on SFTP and FTP servers: who they are, what they refuse, and when they are silent or gone."""

import os
import time
from datetime import UTC, datetime
from pathlib import Path

import paramiko
import pytest

from tests.landing.conftest import in_folder
from tests.servers import FileServer, ftp_server, growing, silent_server
from tidemark.errors import DeliveryError, Unavailable
from tidemark.landing import Landing, open_landing
from tidemark.landing.remote import TICK, RemoteLanding, Tree


@pytest.fixture(params=["sftp", "ftp"])
def server(request: pytest.FixtureRequest) -> FileServer:
    chosen: FileServer = request.getfixturevalue(request.param)
    return chosen


def names(landing: Landing, prefix: str = "") -> list[str]:
    return [file.name for file in landing.files(prefix)]


def test_a_file_that_grows_while_it_is_read_is_not_half_read(server: FileServer) -> None:
    with growing(server.root / "1.csv"), pytest.raises(DeliveryError, match=r"'1\.csv' changed while it was read"):
        open_landing(server.url).read("1.csv")


def test_a_wrong_password_is_refused_and_not_shown(server: FileServer) -> None:
    with pytest.raises(Unavailable, match=r"(?i)auth.*are user and password right") as refusal:
        open_landing(server.url_as("wr@ng-password")).files("")
    assert "wr@ng" not in str(refusal.value)
    assert "wr%40ng" not in str(refusal.value)
    assert refusal.value.__cause__ is None
    assert refusal.value.__suppress_context__


def test_a_password_in_the_words_of_a_library_is_not_shown() -> None:
    def connect() -> Tree:
        raise ValueError("cannot log in with p@ss, p%40ss\nor the key")

    landing = RemoteLanding("sftp://me:p%40ss@host/", "/", connect, hidden=["the key"])
    with pytest.raises(
        Unavailable, match=r"cannot be reached: cannot log in with \*\*\*, \*\*\* or \*\*\* \(ValueError\)"
    ):
        landing.files("")


def test_the_time_of_a_file_is_in_utc(server: FileServer) -> None:
    (server.root / "1.csv").touch()
    os.utime(server.root / "1.csv", (1e9, 1e9))
    (file,) = open_landing(server.url).files("")
    assert file.modified == datetime.fromtimestamp(1e9, UTC)


def test_a_file_is_settled_only_when_a_clock_that_is_off_cannot_matter(server: FileServer) -> None:
    (server.root / "1.csv").touch()
    (file,) = open_landing(server.url).files("")
    assert file.modified is not None
    assert not file.settled(file.modified + TICK)
    assert file.settled(file.modified + 2 * TICK)


def test_a_server_that_is_down_is_said_plainly(server: FileServer) -> None:
    url = server.url.replace(f":{server.port}", ":1")
    with pytest.raises(Unavailable, match=r"cannot be reached: .*Is the server up and reachable from here") as refusal:
        open_landing(url).files("")
    assert "p%40ss" not in str(refusal.value)


@pytest.mark.parametrize("scheme", ["sftp", "ftp"])
def test_a_silent_server_is_given_up(scheme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"tidemark.landing.{scheme}.READ_SECONDS", 0.3)
    with silent_server() as silent:
        started = time.monotonic()
        with pytest.raises(Unavailable, match=r"cannot be reached.*Is the server up"):
            open_landing(f"{scheme}://me:secret@127.0.0.1:{silent.port}/").files("")
    assert time.monotonic() - started < 5


def test_a_server_that_never_takes_the_connection_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """As when a name server does not answer, which no client can be told to give up."""
    monkeypatch.setattr("tidemark.landing.remote.DEADLINE_SECONDS", 0.3)
    with (
        silent_server() as silent,
        pytest.raises(Unavailable, match=r"sftp://me:\*\*\*@.*did not answer within 0\.3 s"),
    ):
        open_landing(f"sftp://me:secret@127.0.0.1:{silent.port}/").files("")


def test_a_connection_that_was_lost_while_idle_is_made_again(
    tmp_path: Path, host_key: paramiko.PKey, sftp: FileServer
) -> None:
    landing = open_landing(sftp.url)
    assert landing.files("") == []
    (sftp.root / "1.csv").write_text("1")
    landing._tree._client.get_transport().close()  # type: ignore[attr-defined]
    assert names(landing) == ["1.csv"]
    landing._tree._client.get_transport().close()  # type: ignore[attr-defined]
    assert landing.read("1.csv")[0] == b"1"


def test_an_ftp_session_that_the_server_ended_is_made_again(ftp: FileServer) -> None:
    landing = open_landing(ftp.url)
    assert landing.files("") == []
    (ftp.root / "1.csv").write_text("1")
    landing._tree._ftp.voidcmd("QUIT")  # type: ignore[attr-defined]
    assert names(landing) == ["1.csv"]


def test_symbolic_links_of_an_sftp_server_are_not_followed(sftp: FileServer, tmp_path: Path) -> None:
    zone = in_folder(f"{sftp.url}in", sftp.root / "in")
    (sftp.root / "secret").mkdir()
    (sftp.root / "secret" / "1.csv").write_text("secret")
    assert zone.folder is not None
    (zone.folder / "orders").symlink_to(sftp.root / "secret")
    (zone.folder / "1.csv").symlink_to(sftp.root / "secret" / "1.csv")
    landing = zone.open()
    assert names(landing) == []
    assert names(landing, "orders") == []
    with pytest.raises(FileNotFoundError):
        landing.read("1.csv")


def test_an_unknown_sftp_server_is_refused_with_the_mend(sftp: FileServer, tmp_path: Path) -> None:
    (tmp_path / "home" / ".ssh" / "known_hosts").unlink()
    with pytest.raises(Unavailable, match=f"is not known yet.*ssh-keyscan -p {sftp.port} 127"):
        open_landing(sftp.url).files("")


def test_an_sftp_server_with_another_key_than_it_had_is_refused(
    sftp: FileServer, tmp_path: Path, host_key: paramiko.PKey
) -> None:
    other = paramiko.ECDSAKey.generate()
    known = tmp_path / "home" / ".ssh" / "known_hosts"
    known.write_text(known.read_text().replace(host_key.get_base64(), other.get_base64()))
    with pytest.raises(Unavailable, match="is not the SFTP server that it was"):
        open_landing(sftp.url).files("")


def test_a_folder_that_an_ftp_server_closes_is_not_an_empty_one(tmp_path: Path) -> None:
    """FTP says the same of a folder that is closed and of one that is not there."""
    for without in ((), ("MLSD", "MLST")):
        root = tmp_path / f"served{len(without)}"
        (root / "orders").mkdir(parents=True)
        (root / "orders" / "1.csv").write_text("1")
        with ftp_server(root, without=without, closed=root / "orders") as server:
            for prefix in ("orders", ""):
                with pytest.raises(
                    Unavailable, match=r"the folder 'orders' .*may not be opened.*let this user read it"
                ):
                    open_landing(server.url).files(prefix)
            with pytest.raises(Unavailable):
                open_landing(server.url).read("orders/1.csv")


def test_a_file_that_an_ftp_server_shows_and_does_not_give_is_not_taken_for_withdrawn(tmp_path: Path) -> None:
    (tmp_path / "1.csv").write_text("1")
    with ftp_server(tmp_path, without=("RETR",)) as server, pytest.raises(Unavailable, match="RETR"):
        open_landing(server.url).read("1.csv")


def test_an_ftp_listing_that_is_not_understood_is_not_an_empty_one(tmp_path: Path) -> None:
    (tmp_path / "1.csv").write_text("1")
    dos = "01-29-11  11:32PM                    1 1.csv"
    with (
        ftp_server(tmp_path, without=("MLSD", "MLST"), listing=dos) as server,
        pytest.raises(Unavailable, match=r"unknown form: '01-29-11 .*use SFTP"),
    ):
        open_landing(server.url).files("")


def test_an_ftp_server_without_times_has_files_that_never_settle(tmp_path: Path) -> None:
    (tmp_path / "1.csv").write_text("1")
    with ftp_server(tmp_path, without=("MLSD", "MLST", "MDTM")) as server:
        landing = open_landing(server.url)
        (file,) = landing.files("")
        assert file.modified is None
        assert not file.settled(datetime.max.replace(tzinfo=UTC))
        assert landing.read("1.csv") == (b"1", file.token)


def test_an_ftp_name_in_another_encoding_does_not_fail_the_listing(ftp: FileServer) -> None:
    for name in (b"Gr\xf6\xdfe.csv", "Größe.csv".encode()):
        with open(os.fsencode(ftp.root) + b"/" + name, "wb"):
            pass
    assert names(open_landing(ftp.url)) == ["Größe.csv", "Gr\ufffd\ufffde.csv"]


def test_a_large_file_crosses_sftp_in_many_requests_at_once(sftp: FileServer) -> None:
    content = bytes(range(256)) * 20_000
    (sftp.root / "large.csv").write_bytes(content)
    assert open_landing(sftp.url).read("large.csv")[0] == content
