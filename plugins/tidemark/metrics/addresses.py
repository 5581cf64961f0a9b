"""Addresses to listen at, as settings spell them."""

import os
import socket
from dataclasses import dataclass

from tidemark.errors import UsageError

METRICS = "TIDEMARK_METRICS"
STATSD = "TIDEMARK_STATSD"

_HERE = "127.0.0.1"


@dataclass(frozen=True)
class Address:
    """A host and a port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def family(self) -> socket.AddressFamily:
        """The sort of sockets that can listen there."""
        return socket.AF_INET6 if ":" in self.host else socket.AF_INET


def parse_address(text: str, what: str) -> Address:
    """Read an address such as ``127.0.0.1:9102``, or a port of this machine alone, ``9102``.

    Args:
        text: the address.
        what: who says so, for messages.

    Raises:
        UsageError: it is none.

    """
    host, _, port = text.strip().rpartition(":")
    if not port.isdecimal() or int(port) > 65_535:
        raise UsageError(
            f"{what}={text!r} is no address: write 127.0.0.1:9102, or 9102 for a port of this machine alone"
        )
    return Address(host.removeprefix("[").removesuffix("]") or _HERE, int(port))


def address_of(variable: str) -> Address | None:
    """Return the address that a variable names, None where it is not set.

    Raises:
        UsageError: it is none.

    """
    given = os.environ.get(variable)
    return parse_address(given, variable) if given else None
