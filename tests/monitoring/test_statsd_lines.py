"""What Airflow's processes tell by StatsD adds up to what Prometheus scrapes."""

import socket
import time

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from statsd import StatsClient

from tests.monitoring.told import told_by
from tests.prometheus import promtool
from tests.servers import free_port
from tidemark.errors import UsageError
from tidemark.metrics import statsd
from tidemark.metrics.addresses import Address, parse_address
from tidemark.metrics.statsd import Kind, Received, Told, listening, parsed


@pytest.mark.parametrize(
    ("line", "read"),
    [
        ("airflow.scheduler_heartbeat:1|c", Told("airflow_scheduler_heartbeat", (), Kind.COUNTER, 1)),
        ("airflow.a:1|c|@0.1", Told("airflow_a", (), Kind.COUNTER, 10)),
        (
            "airflow.ti.finish,state=success,dag_id=a b:1|c",
            Told("airflow_ti_finish", (("dag_id", "a b"), ("state", "success")), Kind.COUNTER, 1),
        ),
        ("airflow.dagrun.dependency-check:250|ms", Told("airflow_dagrun_dependency_check", (), Kind.TIMER, 0.25)),
        ("airflow.pool.open_slots:128|g", Told("airflow_pool_open_slots", (), Kind.GAUGE, 128)),
        ("airflow.pool.open_slots:-3|g", Told("airflow_pool_open_slots", (), Kind.GAUGE, -3, relative=True)),
        ("airflow.x,at=12:30:1|c", Told("airflow_x", (("at", "12:30"),), Kind.COUNTER, 1)),
        # The only counter of Airflow's that also goes down.
        ("airflow.dag_processing.processes:-1|c", Told("airflow_dag_processing_processes", (), Kind.GAUGE, -1, True)),
    ],
)
def test_a_line_is_read_as_what_it_says(line: str, read: Told) -> None:
    assert parsed(line) == read


@pytest.mark.parametrize("line", ["", "airflow", "airflow.a:|c", "airflow.a:1|h", "a:1.2.3|c", "a:e|g", "a:1|c|@0"])
def test_what_is_no_line_is_none(line: str) -> None:
    assert parsed(line) is None


def taken(*datagrams: bytes) -> Received:
    received = Received()
    for each in datagrams:
        received.take(each)
    return received


def text_of(received: Received) -> bytes:
    registry = CollectorRegistry()
    registry.register(received)
    return generate_latest(registry)


def test_counts_of_many_processes_add_up() -> None:
    """That is why it is StatsD: each task is a process of its own, and knows of no other."""
    received = taken(
        b"a.n,dag=x:1|c\na.n,dag=x:2|c", b"a.n,dag=y:1|c", b"a.t:500|ms", b"a.t:1500|ms", b"a.g:7|g\na.g:+2|g"
    )
    found = told_by(text_of(received))
    assert found.of("a_n_total") == {("x",): 3, ("y",): 1}
    assert (found["a_t_seconds_count",], found["a_t_seconds_sum",], found["a_g",]) == (2, 2.0, 9)
    assert promtool("check", "metrics", text=text_of(received)).returncode == 0


def test_what_is_lost_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """A sender that makes up names does not take the memory."""
    monkeypatch.setattr(statsd, "MOST_SERIES", 2)
    received = taken(b"\xff\xfe", b"a:1|c\nb:1|c\nc:1|c\na:1|c")
    found = told_by(text_of(received))
    assert found.of("tidemark_statsd_lost_lines_total") == {("unreadable",): 1, ("too many series",): 1}
    assert found["a_total",] == 2
    assert ("c_total",) not in found.names


@pytest.mark.parametrize("tags", ["=v", "__name__=v", "a-b=1,a.b=2", "9=v", "x,=v"])
def test_a_label_that_prometheus_would_not_read_takes_nothing_else_with_it(tags: str) -> None:
    received = taken(b"a:1|c", f"b,{tags}:1|c".encode())
    found = told_by(text_of(received))
    assert found.of("tidemark_statsd_lost_lines_total") == {("unreadable",): 1}
    assert found["a_total",] == 1


def test_what_airflows_own_client_sends_arrives() -> None:
    """By UDP, from the library that Airflow uses, until nobody listens any more; then sending is no error."""
    address = Address("127.0.0.1", free_port())
    with listening(address) as received:
        client = StatsClient(address.host, address.port, "airflow")
        client.incr("ti_successes")
        until = time.monotonic() + 10
        while not told_by(text_of(received)).of("airflow_ti_successes_total"):
            assert time.monotonic() < until
            time.sleep(0.01)
        with (
            pytest.raises(UsageError, match=r"TIDEMARK_STATSD=127.0.0.1:\d+: Address already in use"),
            listening(address),
        ):
            pass
    client.incr("ti_successes")


def test_addresses() -> None:
    """Of this machine alone, unless somebody says otherwise."""
    assert parse_address("9102", "X") == parse_address(":9102", "X") == Address("127.0.0.1", 9102)
    assert parse_address("0.0.0.0:9102", "X") == Address("0.0.0.0", 9102)
    assert parse_address("[::1]:9102", "X") == Address("::1", 9102)
    assert (str(Address("::1", 1)), Address("::1", 1).family) == ("[::1]:1", socket.AF_INET6)
    for wrong in ("", "here", "127.0.0.1", "127.0.0.1:port", "127.0.0.1:70000"):
        with pytest.raises(UsageError, match="is no address"):
            parse_address(wrong, "X")
