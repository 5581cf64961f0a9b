"""Telling the metrics: as text, once, or to whoever scrapes them."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from prometheus_client import CollectorRegistry, generate_latest, start_http_server
from prometheus_client.parser import text_string_to_metric_families

from tidemark.deployment import Deployment
from tidemark.errors import UsageError
from tidemark.metrics.addresses import METRICS, STATSD, Address, address_of
from tidemark.metrics.collecting import LedgerMetrics
from tidemark.metrics.statsd import listening


def exposition(deployment: Deployment) -> bytes:
    """Return our metrics as the text that Prometheus reads."""
    registry = CollectorRegistry()
    registry.register(_metrics_of(deployment))
    return generate_latest(registry)


def samples(text: bytes) -> list[dict[str, object]]:
    """Return what such a text holds, as data: name, labels and value each."""
    found = [each for family in text_string_to_metric_families(text.decode()) for each in family.samples]
    return [{"name": each.name, "labels": each.labels, "value": each.value} for each in found]


def _metrics_of(deployment: Deployment) -> LedgerMetrics:
    return LedgerMetrics(deployment.ledger, deployment.settings.as_of)


@contextmanager
def serve(deployment: Deployment, address: Address, *, statsd: Address | None = None) -> Iterator[Address]:
    """Serve ``http://ADDRESS/metrics`` in threads of this process, until the block is left.

    Args:
        deployment: whose ledger is asked at each scrape.
        address: where to listen; port 0: any that is free.
        statsd: where Airflow's processes send theirs, to be served with ours; None: they are not.

    Yields:
        The address that is listened at.

    Raises:
        UsageError: nobody can listen there.

    """
    registry = CollectorRegistry()
    registry.register(_metrics_of(deployment))
    with ExitStack() as stack:
        if statsd is not None:
            registry.register(stack.enter_context(listening(statsd)))
        try:
            server, thread = start_http_server(address.port, address.host, registry)
        except OSError as problem:
            raise UsageError(f"{METRICS}={address}: {problem.strerror}: name another address") from problem
        try:
            yield Address(address.host, server.server_port)
        finally:
            server.shutdown()
            server.server_close()
            thread.join()


@contextmanager
def serve_if_asked(deployment: Deployment) -> Iterator[Address | None]:
    """Serve where ``TIDEMARK_METRICS`` and ``TIDEMARK_STATSD`` say, until the block is left; not set: nowhere.

    Yields:
        The address that is listened at, None where nobody asked.

    Raises:
        UsageError: a variable is no address, nobody can listen there, or there is no first for the second.

    """
    address, statsd = address_of(METRICS), address_of(STATSD)
    if address is None:
        if statsd is not None:
            raise UsageError(f"{STATSD} is set and {METRICS} is not: nobody could scrape what Airflow sends")
        yield None
        return
    with serve(deployment, address, statsd=statsd) as listened:
        yield listened
