"""Where and with how much an asset is executed: what it needs of a machine, in which image, and in which pool.

Resources and a pool change no result, so they are no part of the code version. An image is: it says which packages the
asset's code meets. What is asked for here is given where Airflow runs on Kubernetes; elsewhere an asset runs like any
other.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from decimal import Decimal
from typing import Any

from tidemark.errors import DefinitionError, close

_QUANTITY = re.compile(r"(?P<number>\d+(?:\.\d+)?)(?P<unit>[a-zA-Z]*)")
_BYTES = {f"{letter}i": 1024**power for power, letter in enumerate("KMGTPE", 1)}
_BYTES |= {letter: 1000**power for power, letter in enumerate("kMGTPE", 1)} | {"": 1}

# Less than that a process of Python does not fit into: whoever writes it has left the unit out, or written "m".
_LEAST_MEMORY = 32 * 1024**2

# A name as registries take it: an optional host with a port, lower-case parts, then a tag, a digest, or both.
_HOST = r"(?:[a-zA-Z0-9](?:[a-zA-Z0-9.-]*[a-zA-Z0-9])?(?::\d+)?/)?"
_PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_IMAGE = re.compile(
    rf"{_HOST}{_PART}(?:/{_PART})*(?::(?P<tag>[A-Za-z0-9_][A-Za-z0-9_.-]{{0,127}}))?(?P<digest>@sha256:[0-9a-f]{{64}})?"
)

_LONGEST_POOL = 256


@dataclass(frozen=True)
class Resources:
    """What a task needs of a machine, in the quantities of Kubernetes.

    Both have to be said, for together they take the place of what the deployment gives to every task. The CPU is what
    is reserved, and more of it may be used while nobody else wants it; the memory is what is reserved and the most that
    may be used: a process that wants more is killed.

    Attributes:
        cpu: such as ``"500m"``, half a processor, or ``"2"``.
        memory: such as ``"512Mi"`` or ``"4Gi"``.

    """

    cpu: str = ""
    memory: str = ""

    def check(self, where: str) -> None:
        """Check that both are quantities that a task can have.

        Args:
            where: file, line and name of the asset, for messages.

        Raises:
            DefinitionError: one is none.

        """
        for name in ("cpu", "memory"):
            if getattr(self, name) == "":
                raise DefinitionError(
                    f"{where}: resources names no {name}: give both, they take the place of what every task is given"
                )
        self._check_cpu(where)
        self._check_memory(where)

    def _check_cpu(self, where: str) -> None:
        number, unit = _read(self.cpu)
        if number is None or unit not in ("", "m"):
            raise DefinitionError(
                f"{where}: resources: cpu={self.cpu!r}: write processors as '2' or '0.5', or as '500m'"
            )
        thousandths = number * (1 if unit == "m" else 1000)
        if thousandths < 1 or thousandths != int(thousandths):
            raise DefinitionError(
                f"{where}: resources: cpu={self.cpu!r}: a thousandth of a processor, '1m', is the least"
            )

    def _check_memory(self, where: str) -> None:
        number, unit = _read(self.memory)
        if number is None or unit not in _BYTES:
            meant = ", for 'm' means a thousandth of a byte" if unit == "m" else ""
            raise DefinitionError(f"{where}: resources: memory={self.memory!r}: write it as '512Mi' or '4Gi'{meant}")
        if number * _BYTES[unit] < _LEAST_MEMORY:
            raise DefinitionError(
                f"{where}: resources: memory={self.memory!r} is less than any task needs: write it as '512Mi' or '4Gi'"
            )


def resources_of(given: Resources | Mapping[str, Any] | None, where: str) -> Resources | None:
    """Return what a definition says of resources, checked.

    Raises:
        DefinitionError: it says something else than ``cpu`` and ``memory``, or not both, or no quantities.

    """
    if given is None:
        return None
    if not isinstance(given, Resources):
        given = _from_mapping(given, where)
    given.check(where)
    return given


def _from_mapping(given: object, where: str) -> Resources:
    known = [each.name for each in fields(Resources)]
    if not isinstance(given, Mapping):
        raise DefinitionError(f"{where}: resources={given!r}: write Resources(cpu='500m', memory='1Gi')")
    for name in given:
        if name not in known:
            raise DefinitionError(f"{where}: resources: {name!r} cannot be asked for{close(str(name), known)}")
    return Resources(**given)


def image_of(given: str | None, where: str) -> str | None:
    """Return the image of a definition, checked.

    Raises:
        DefinitionError: it is none, or can become another one without the definition being changed.

    """
    if given is None:
        return None
    found = _IMAGE.fullmatch(given) if isinstance(given, str) else None
    if found is None:
        raise DefinitionError(
            f"{where}: image={given!r} is no name of an image: write it as 'registry.example.org/team/forecast:1.4'"
        )
    if found["digest"] is None and found["tag"] in (None, "latest"):
        raise DefinitionError(
            f"{where}: image={given!r} can be another one tomorrow: name a version, as in "
            f"'{given.removesuffix(':latest')}:1.4', or a digest"
        )
    return given


def pool_of(given: str | None, where: str) -> str | None:
    """Return the pool of a definition, checked; whether Airflow has one of that name is not known here.

    Raises:
        DefinitionError: it is no name.

    """
    if given is None:
        return None
    if not isinstance(given, str) or not given.strip():
        raise DefinitionError(f"{where}: pool={given!r}: give the name of one of Airflow's pools")
    if len(given) > _LONGEST_POOL:
        said = f"{given[:40]}..."
        raise DefinitionError(f"{where}: pool={said!r}: no pool has a name of over {_LONGEST_POOL} characters")
    return given


def _read(quantity: object) -> tuple[Decimal | None, str]:
    """Return the number and the unit of a quantity; None: it is none."""
    found = _QUANTITY.fullmatch(quantity) if isinstance(quantity, str) else None
    return (Decimal(found["number"]), found["unit"]) if found else (None, "")
