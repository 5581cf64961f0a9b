"""A disk that fills is told of before it is full, one incident a disk."""

import errno
import shutil
from pathlib import Path

import pytest

from tests.incidents.story import open_incidents
from tests.scenario import Shop
from tidemark.watching.checks import act_on
from tidemark.watching.disks import Disks, Usage, folders_of
from tidemark.watching.options import Options

GIB = 2**30


class Disk:
    """A disk of 100 GiB, as full as a test says; five of them are kept for root."""

    def __init__(self, percent: float) -> None:
        self.percent = percent

    def __call__(self, folder: Path) -> Usage:
        used = int(self.percent * 95 * GIB / 100)
        return Usage(100 * GIB, used, 95 * GIB - used)


def test_it_is_told_from_the_warning_on_and_is_critical_later(shop: Shop) -> None:
    """Of what is kept for root nobody can use anything: it counts as neither free nor used."""
    disk = Disk(84)
    disks = Disks({"home folder": shop.home, "store": shop.home / "store"}, Options(), usage=disk)
    said = []
    with shop.deployment() as deployment:
        for percent in (84, 86, 87, 96, 90, 80):
            disk.percent = percent
            said.append(act_on(deployment, disks.look()))
            if percent == 86:
                one = open_incidents(shop)["home folder disk_filling"]
                assert one.severity == "warning"
                assert one.detail["why"] == f"86 % of {shop.home} is used, 13.3 GiB are free"
            if percent == 96:
                assert open_incidents(shop)["home folder disk_filling"].severity == "critical"
    line = "incident 1 {} (disk_filling): the disk of the home folder and the store is filling"
    assert said == [[], [line.format("opened")], [], [line.format("updated")], [], [line.format("resolved")]]


def test_one_that_goes_to_and_fro_about_a_limit_is_told_once(shop: Shop) -> None:
    """It is over, or no longer critical, two points below."""
    disk = Disk(80)
    disks = Disks({"home folder": shop.home}, Options(), usage=disk)
    said = []
    with shop.deployment() as deployment:
        for percent in (84.9, 85.1, 84.9, 85.1, 84.9, 95.1, 94.9, 95.1, 92.9, 83.1, 82.9):
            disk.percent = percent
            said += [line.partition(" (")[0] for line in act_on(deployment, disks.look())]
    assert said == ["incident 1 opened", "incident 1 updated", "incident 1 resolved"]


def test_how_long_it_lasts_is_said_only_where_the_pace_was_measured(shop: Shop) -> None:
    """Not from the first look, nor over minutes."""
    now = 0.0
    disk = Disk(86)
    disks = Disks({"home folder": shop.home}, Options(), usage=disk, clock=lambda: now)
    disks.look()
    now, disk.percent = 600.0, 88
    assert "pace" not in disks.look().conditions[0].why
    now, disk.percent = 7200.0, 90
    assert disks.look().conditions[0].why.endswith("; at the pace of the last 2 hours that lasts 5 hours")
    now = 7200.0 + 24 * 3600
    assert "pace" not in disks.look().conditions[0].why, "nothing has grown for a day"


def test_a_disk_that_cannot_be_measured_resolves_nothing(shop: Shop) -> None:
    """What cannot be seen may still be so."""
    disk = Disk(90)
    disks = Disks({"home folder": shop.home}, Options(), usage=disk)
    with shop.deployment() as deployment:
        act_on(deployment, disks.look())

        def broken(folder: Path) -> Usage:
            raise OSError(errno.EIO, "Input/output error")

        with pytest.raises(OSError, match="Input/output"):
            act_on(deployment, Disks({"home folder": shop.home}, Options(), usage=broken).look())
    assert list(open_incidents(shop)) == ["home folder disk_filling"]


def test_what_grows_on_this_machine_is_looked_at(shop: Shop) -> None:
    """The home folder, a store in a folder, an SQLite ledger, Airflow's logs; and this disk is measured as it is."""
    with shop.deployment() as deployment:
        folders = folders_of(deployment, shop.home / "logs")
    assert folders == {
        "home folder": shop.home,
        "store": shop.home / "store",
        "ledger": shop.home,
        "Airflow logs": shop.home / "logs",
    }
    shop.more = {"TIDEMARK_STORE_URL": "s3://bucket/store"}
    with shop.deployment() as deployment:
        assert "store" not in folders_of(deployment, None)
    _, used, free = shutil.disk_usage(shop.home)
    full = 100 * used / (used + free)
    assert not Disks(folders, Options(disk_warning=min(full + 1, 100), disk_critical=100)).look().conditions
    (wrong,) = Disks(folders, Options(disk_warning=max(full - 1, 0.1))).look().conditions
    assert wrong.summary == "the disk of the home folder and the store and the ledger and the Airflow logs is filling"
