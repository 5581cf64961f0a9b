"""The story that the demo plays: what happens to the deliveries, and what must come of it.

Invariants: a chapter's deed can be done twice, so that a demo that was stopped in the middle of one goes on with it.
What is expected is worked out from the deliveries (:mod:`demo.expected`), never from what happened.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date

from demo.deliveries import Days, Deliveries
from demo.expected import Delivery, Partitions
from samples.unhappy import with_text

PRICE_LIST, BEST_SELLERS = "price_list", "best_sellers"
FIRST_RUN = "first run"


@dataclass(frozen=True)
class Chapter:
    """Something that happens, and what must come of it.

    Attributes:
        name: what a person would call it.
        happens: what happens, in words.
        deed: makes it happen.
        because: why nothing else ran.
        arrives: which deliveries are other than before, as far as what was accepted goes.
        lacking: which deliveries are lacking from then on: not there, or rejected.
        by_arrival: the doorbell starts the run; otherwise the demo presses the button.
        red: the run fails.
        mails: the beginning of what each mail says that is sent about it, whatever its order.
        pipeline: whose run it is.

    """

    name: str
    happens: str
    deed: Callable[[], None]
    because: str
    arrives: Partitions
    lacking: frozenset[Delivery]
    by_arrival: bool = True
    red: bool = False
    mails: tuple[str, ...] = ()
    pipeline: str = PRICE_LIST


def chapters(
    deliveries: Deliveries,
    days: Days,
    *,
    declare_absent: Callable[[date], None],
    copy_second_dag: Callable[[], None],
    gone: frozenset[Delivery],
) -> Sequence[Chapter]:
    """Return the story in order.

    Args:
        deliveries: what arrives.
        days: which days go wrong.
        declare_absent: says, as a person would, that the rates of a day will not come.
        copy_second_dag: puts the second DAG's file into the folder of DAGs.
        gone: deliveries that are lacking from beginning to end.

    """
    late, unsent = ("fx_rates", days.late), ("fx_rates", days.unsent)
    broken = ("orders", days.malformed)
    all_but_two = {
        "orders": set(deliveries.days("orders")),
        "fx_rates": set(deliveries.days("fx_rates")) - {days.late, days.unsent},
    }

    def malformed() -> None:
        content = deliveries.content("orders", days.malformed)
        deliveries.deliver("orders", days.malformed, with_text(content, "Quantity", "six"))

    return [
        Chapter(
            FIRST_RUN,
            "two days' rates have not come",
            lambda: None,
            "",
            all_but_two,
            gone | {late, unsent},
            mails=_late(gone | {late, unsent}),
        ),
        Chapter(
            "nothing new",
            "a person presses Trigger",
            lambda: None,
            "nothing has changed",
            {},
            gone | {late, unsent},
            by_arrival=False,
        ),
        Chapter(
            "late rate",
            f"the rates of {days.late} arrive",
            lambda: deliveries.deliver(*late),
            "they read no rates of that day",
            {"fx_rates": {days.late}},
            gone | {unsent},
        ),
        Chapter(
            "corrected file",
            f"the orders of {days.corrected} come again, one line corrected",
            lambda: deliveries.deliver("orders", days.corrected),
            "nothing that they read came out different",
            {"orders": {days.corrected}},
            gone | {unsent},
        ),
        Chapter(
            "malformed file",
            f"the orders of {days.malformed} come again, broken",
            malformed,
            "the file was rejected, and its last good delivery is still used",
            {},
            gone | {unsent, broken},
            red=True,
            mails=(f"CRITICAL: orders {days.malformed}: ",),
        ),
        Chapter(
            "right file",
            f"the sender delivers the right orders of {days.malformed}",
            lambda: deliveries.deliver(*broken),
            "the content is the one used all along",
            {},
            gone | {unsent},
            mails=("Over after ",),
        ),
        Chapter(
            "no delivery",
            f'a person says: tidemark absent fx_rates {days.unsent} --why "the sender had a day off"',
            lambda: declare_absent(days.unsent),
            "missing and declared absent are the same to what was computed",
            {},
            gone,
            by_arrival=False,
            mails=() if any(source == "fx_rates" for source, _ in gone) else ("Over after ",),
        ),
        Chapter(
            "it came after all",
            f"the rates of {days.unsent} arrive, declared absent or not",
            lambda: deliveries.deliver(*unsent),
            "they read no rates of that day",
            {"fx_rates": {days.unsent}},
            gone,
        ),
        Chapter(
            "same file again",
            f"the orders of {days.again} come again, with a new time and the same content",
            lambda: deliveries.deliver("orders", days.again),
            "the content is the same",
            {},
            gone,
        ),
        Chapter(
            "second DAG",
            f"{BEST_SELLERS}.py, ten lines, is copied into the folder of DAGs; its DAG appears, and runs",
            copy_second_dag,
            "it reads what is there",
            {},
            gone,
            by_arrival=False,
            pipeline=BEST_SELLERS,
        ),
    ]


def _late(lacking: frozenset[Delivery]) -> tuple[str, ...]:
    """Return how the mail of each source begins that is late: it names the newest of its days."""
    sources = sorted({source for source, _ in lacking})
    return tuple(f"Warning: {each} {max(day for source, day in lacking if source == each)}" for each in sources)
