"""Landing zones whose secrets are in an Airflow connection: what is refused, and what is not shown.

That they work as every other zone does is in test_landing.py.
"""

import os
from typing import Any

import pytest

from tests.landing.conftest import connect, connection_to
from tests.servers import FileServer, silent_server
from tidemark.airflow.landing import open_connection
from tidemark.errors import Unavailable, UsageError

pytestmark = pytest.mark.usefixtures("airflow", "no_pauses")


@pytest.fixture
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Airflow's SSH hook rests for some seconds between its three attempts."""
    from tenacity import wait_none

    for pause in ("wait_fixed", "wait_random"):
        monkeypatch.setattr(f"airflow.providers.ssh.hooks.ssh.{pause}", lambda *seconds: wait_none())


def test_a_connection_that_is_not_defined_is_named_with_the_mend() -> None:
    with pytest.raises(Unavailable, match=r"'nowhere', which TIDEMARK_LANDING_CONNECTION names.*AIRFLOW_CONN_NOWHERE"):
        open_connection("s3://bucket", "nowhere")


def test_a_scheme_that_no_provider_reads_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    name = connect(monkeypatch, conn_type="generic", host="host")
    with pytest.raises(UsageError, match=r"No Airflow provider .* memory:///in"):
        open_connection("memory:///in", name).files("")


def test_a_connection_that_was_corrected_is_used_by_the_next_landing_zone(
    s3: str, s3_client: Any, s3_endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a process that lives long, too, as the triggerer does."""
    s3_client.put_object(Bucket=s3.removeprefix("s3://"), Key="in/1.csv", Body=b"1")
    fields = {"conn_type": "aws", "login": "key", "password": "testing-secret"}
    extra = {"region_name": "us-east-1", "config_kwargs": {"retries": {"max_attempts": 0}}}
    name = connect(monkeypatch, **fields, extra=extra | {"endpoint_url": "http://127.0.0.1:1"})
    with pytest.raises(Unavailable):
        open_connection(f"{s3}/in", name).files("")
    connect(monkeypatch, **fields, extra=extra | {"endpoint_url": s3_endpoint})
    assert [file.name for file in open_connection(f"{s3}/in", name).files("")] == ["1.csv"]


def test_a_folder_takes_no_connection() -> None:
    with pytest.raises(UsageError, match="needs no TIDEMARK_LANDING_CONNECTION"):
        open_connection("/landing", "deliveries")


@pytest.mark.parametrize("url", ["sftp://me:s3cret@host/in", "ftp://me@host/in", "s3://key:s3cret@bucket"])
def test_a_user_beside_a_connection_is_refused(url: str) -> None:
    with pytest.raises(UsageError, match="user and password come from the Airflow connection 'deliveries'") as refusal:
        open_connection(url, "deliveries")
    assert "s3cret" not in str(refusal.value)


def test_another_host_than_the_connection_has_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The password would go to a server that it is not for, or the files come from one that is not meant."""
    name = connect(monkeypatch, conn_type="sftp", host="files.example.com", login="me")
    with pytest.raises(UsageError, match=r"names the host other\.example\.com.*Write sftp:///in"):
        open_connection("sftp://other.example.com/in", name)
    assert open_connection("sftp://Files.example.com/in", name).url == "sftp://files.example.com:22/in"


@pytest.mark.parametrize("kind", ["sftp", "ftp"])
def test_a_wrong_password_is_refused_and_not_shown(
    kind: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    server: FileServer = request.getfixturevalue(kind)
    name = connection_to(server, monkeypatch, password="wr@ng-password")
    with pytest.raises(Unavailable, match=r"(?i)auth") as refusal:
        open_connection(f"{kind}:///", name).files("")
    assert "wr@ng" not in str(refusal.value)


def test_an_unknown_sftp_server_is_refused_unless_the_connection_says_otherwise(
    sftp: FileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.unlink(os.path.expanduser("~/.ssh/known_hosts"))
    name = connection_to(sftp, monkeypatch)
    with pytest.raises(Unavailable, match="known_hosts"):
        open_connection("sftp:///", name).files("")


def test_an_s3_server_that_is_silent_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """The client would try for minutes."""
    monkeypatch.setattr("tidemark.landing.filesystem.DEADLINE_SECONDS", 1)
    with silent_server() as silent:
        extra = {"endpoint_url": f"http://127.0.0.1:{silent.port}", "region_name": "us-east-1"}
        name = connect(monkeypatch, conn_type="aws", login="key", password="testing-secret", extra=extra)
        with pytest.raises(Unavailable, match="did not answer within 1 s"):
            open_connection("s3://bucket/in", name).files("")


def test_an_s3_secret_is_not_shown(s3: str, monkeypatch: pytest.MonkeyPatch) -> None:
    extra = {
        "endpoint_url": "http://127.0.0.1:1",
        "region_name": "us-east-1",
        "aws_session_token": "testing-token",
        "config_kwargs": {"retries": {"max_attempts": 0}},
    }
    name = connect(monkeypatch, conn_type="aws", login="key", password="testing-secret", extra=extra)
    with pytest.raises(Unavailable) as refusal:
        open_connection(f"{s3}/in", name).files("")
    assert "testing-" not in str(refusal.value)
