"""The command as a person types it, in a small shop."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

import pytest

from tests.scenario import Shop, new_shop
from tidemark.cli import main

ORDERS = """
    orders = source("orders", files="orders/{partition}.csv", partitions=DAYS, expected=Calendar(),
                    due="1 day 02:00 UTC", schema={"item": str, "units": int, "price": float})

    @asset(partitions=DAYS, key=["item"])
    def lines(orders: pl.DataFrame) -> pl.DataFrame:
        return orders.with_columns(value=pl.col("units") * pl.col("price"))

    @asset(partitions=DAYS, inputs={"lines": trailing(days=2)}, key=["item"])
    def totals(lines: pl.DataFrame) -> pl.DataFrame:
        return lines.group_by("item").agg(pl.col("value").sum())

    @asset(partitions=DAYS)
    def label(lines: pl.DataFrame) -> str:
        return f"{lines.height} lines, naïve"
"""

DAYS = ["2025-01-05", "2025-01-06", "2025-01-07"]

# The morning after the last of these days, when its orders are due.
AS_OF = "2025-01-08T06:00Z"


@dataclass(frozen=True)
class Done:
    """A command that has ended."""

    code: int
    out: str
    err: str

    @property
    def data(self) -> Any:
        return json.loads(self.out)


class Command:
    """Runs the command in this process, as often as a test likes."""

    def __init__(self, captured: pytest.CaptureFixture[bytes]) -> None:
        self._captured = captured

    def __call__(self, *words: str) -> Done:
        """Run it; argparse leaves by an exception where it is asked for help or not understood."""
        self._captured.readouterr()
        try:
            code = main(words)
        except SystemExit as left:
            code = int(left.code or 0)
        out, err = self._captured.readouterr()
        return Done(code, out.decode(), err.decode())

    def json(self, *words: str) -> Any:
        """Run it with ``--json``, and return the data; all must be well."""
        done = self(*words, "--json")
        assert done.code == 0, done.err
        return done.data


def process(shop: Shop, *words: str, **environ: str) -> "subprocess.CompletedProcess[str]":
    """Run the command in a process of its own."""
    script = "import sys; from tidemark.cli import main; sys.exit(main())"
    path = os.pathsep.join(sys.path)
    return subprocess.run(
        [sys.executable, "-c", script, *words],
        env=os.environ | shop.environ | {"PYTHONPATH": path} | environ,
        capture_output=True,
        text=True,
        cwd=shop.home,
    )


def enter(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the command find a shop."""
    for name in [name for name in os.environ if name.startswith("TIDEMARK_")]:
        monkeypatch.delenv(name)
    for name, value in shop.environ.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("TIDEMARK_ACTOR", "ada")
    monkeypatch.chdir(shop.home)


@pytest.fixture
def tidemark(shop: Shop, monkeypatch: pytest.MonkeyPatch, capsysbinary: pytest.CaptureFixture[bytes]) -> Command:
    """The command, in the environment of the shop."""
    enter(shop, monkeypatch)
    return Command(capsysbinary)


def csv(*rows: str) -> str:
    """A delivery of orders."""
    return "".join(f"{row}\n" for row in ("item,units,price", *rows))


def stock(shop: Shop) -> None:
    """Write the shop's pipeline, and deliver three days of orders."""
    shop.define(ORDERS)
    for number, day in enumerate(DAYS, 1):
        shop.deliver("orders", day, csv(f"apple,{number},0.5", "pear,1,0.25"))


@pytest.fixture
def delivered(shop: Shop) -> Shop:
    """The shop with its deliveries, before any run."""
    stock(shop)
    return shop


@pytest.fixture
def open_shop(delivered: Shop, tidemark: Command) -> Shop:
    """The same after its first run."""
    assert tidemark("run", "shop", "--as-of", AS_OF).code == 0
    return delivered


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """One shop after its first run, for all tests of a file that change nothing in it."""
    shop = new_shop(tmp_path_factory.mktemp("standing") / "shop")
    with pytest.MonkeyPatch.context() as patch:
        enter(shop, patch)
        stock(shop)
        assert main(["run", "shop", "--as-of", AS_OF]) == 0
    return shop


@pytest.fixture
def look(standing: Shop, monkeypatch: pytest.MonkeyPatch, capsysbinary: pytest.CaptureFixture[bytes]) -> Command:
    """The command in the shop that stands."""
    enter(standing, monkeypatch)
    return Command(capsysbinary)
