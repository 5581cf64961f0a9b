"""The demo's deliveries: what the senders have, what they have sent so far, and which days go wrong.

Invariants: the folder that a person names is only ever read. ``sent`` holds what the senders mean, complete and
right; what is in the landing zone differs from it only by what the story has not yet put right, so that at its end
the two are equal.
"""

import shutil
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from samples import simulate
from samples.unhappy import corrected_order, deliver
from tidemark.errors import UsageError

LONDON = ZoneInfo("Europe/London")
SAMPLE_DAYS, SAMPLE_END = 60, date(2011, 6, 30)
"""The sample ends where the real shop's data does; a fixed day gives the same story, to the byte, every time."""

SOURCES = ("orders", "fx_rates")
_RECENT = timedelta(30)  # base prices close after 35 days: what is put right must not lie before


@dataclass(frozen=True)
class Days:
    """Which days go wrong, and which instant the demo takes for now.

    Attributes:
        as_of: the morning after the newest delivery, at 06:00 in London.
        late: its rates come after the first run.
        unsent: its rates do not come.
        corrected: its orders come with a mistake first.
        malformed: its orders come again, broken.
        again: its orders come again, the same.

    """

    as_of: datetime
    late: date
    unsent: date
    corrected: date
    malformed: date
    again: date

    @property
    def last(self) -> date:
        """The day that today's price list is made from."""
        return self.as_of.date() - timedelta(1)

    @staticmethod
    def choose(orders: list[date], rates: list[date]) -> "Days":
        """Choose them among the newest deliveries, given the days of both in order.

        Raises:
            UsageError: there are not enough recent deliveries.

        """
        last = max(orders[-1], rates[-1])
        recent_orders, recent_rates = ([day for day in days if last - day < _RECENT] for days in (orders, rates))
        if len(recent_orders) < 12 or len(recent_rates) < 8:
            raise UsageError(
                f"the last 30 days before {last} hold {len(recent_orders)} files of orders and {len(recent_rates)} of "
                "rates: the story needs at least 12 and 8"
            )
        return Days(
            as_of=datetime.combine(last + timedelta(1), time(6), LONDON),
            late=recent_rates[-1],
            unsent=recent_rates[-7],
            corrected=recent_orders[-12],
            malformed=recent_orders[-3],
            again=recent_orders[-6],
        )


class Deliveries:
    """The two folders of files, by source and day.

    Args:
        folder: the demo's folder.

    """

    def __init__(self, folder: Path) -> None:
        self.sent = folder / "deliveries"
        self.landing = folder / "landing"

    def file(self, source: str, day: date) -> Path:
        """Where a delivery arrives."""
        return self.landing / source / f"{day}.csv"

    def content(self, source: str, day: date) -> bytes:
        """What the sender means to deliver."""
        return (self.sent / source / f"{day}.csv").read_bytes()

    def deliver(self, source: str, day: date, content: bytes | None = None) -> None:
        """Let a file arrive: the right one unless another is given."""
        deliver(self.file(source, day), self.content(source, day) if content is None else content)

    def days(self, source: str) -> list[date]:
        """The days that the sender has files of, in order."""
        return days_in(self.sent / source)

    def landed(self, source: str) -> list[date]:
        """The days that files are in the landing zone of, in order."""
        return days_in(self.landing / source)

    def make(self, given: Path | None) -> None:
        """Fill ``sent``: with a copy of a folder of real deliveries, or with simulated ones."""
        shutil.rmtree(self.sent, ignore_errors=True)
        shutil.rmtree(self.landing, ignore_errors=True)
        if given is None:
            simulate(self.sent, days=SAMPLE_DAYS, until=SAMPLE_END)
            return
        for source in SOURCES:
            (self.sent / source).mkdir(parents=True)
            for day in days_in(given / source):
                shutil.copyfile(given / source / f"{day}.csv", self.sent / source / f"{day}.csv")

    def open_landing(self, days: Days) -> None:
        """Fill the landing zone as it is before the story: two files have not come, and one holds a mistake."""
        shutil.rmtree(self.landing, ignore_errors=True)
        shutil.copytree(self.sent, self.landing)
        self.file("fx_rates", days.late).unlink()
        self.file("fx_rates", days.unsent).unlink()
        self.deliver("orders", days.corrected, corrected_order(self.content("orders", days.corrected)))


def days_in(folder: Path) -> list[date]:
    """Return the days of the files ``YYYY-MM-DD.csv`` in a folder, in order; other names are passed over."""
    found = []
    for file in folder.glob("*.csv"):
        try:
            day = date.fromisoformat(file.stem)
        except ValueError:
            continue
        if str(day) == file.stem:
            found.append(day)
    return sorted(found)


def check_folder(given: Path) -> None:
    """Refuse a folder that holds no deliveries.

    Raises:
        UsageError: the folder is not there, or lacks files of a source.

    """
    if not given.is_dir():
        raise UsageError(f"LANDING={given}: there is no such folder")
    lacking = [source for source in SOURCES if not (given / source).is_dir()]
    if lacking:
        raise UsageError(f"LANDING={given}: there is no folder {lacking[0]}/ in it; it needs orders/ and fx_rates/")
    empty = [source for source in SOURCES if not days_in(given / source)]
    if empty:
        raise UsageError(f"LANDING={given}: {empty[0]}/ holds no file named like 2011-06-30.csv")
