"""Claims about what people do with incidents: each act says why and is audited, and what makes no sense is refused."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from tests.incidents.story import notices_of, open_incidents, told
from tests.incidents.test_troubles import BAD, DAYS, gated
from tests.scenario import Shop, on_both_ledgers
from tidemark.errors import UsageError
from tidemark.incidents import accounts, handling
from tidemark.incidents.handling import LONGEST, Scope, expiry
from tidemark.ledger import acts, incidents
from tidemark.ledger.schema import audit_log

NOW = datetime(2026, 10, 25, 0, 30, tzinfo=UTC)


def broken(shop: Shop) -> int:
    """A shop with one open incident: a file that its gate has stopped."""
    gated(shop)
    shop.deliver("orders", DAYS[0], BAD)
    (number,) = told(shop)
    return number


def events(shop: Shop, number: int) -> list[tuple[str, str, str]]:
    with shop.deployment() as deployment, deployment.ledger.read() as connection:
        return [(each.what, each.actor, each.said) for each in incidents.events(connection, number)]


def audited(shop: Shop) -> list[tuple[str, str, str]]:
    """The audit log: act, actor and reason; its chain holds."""
    with shop.deployment() as deployment, deployment.ledger.read() as connection:
        assert acts.first_broken_entry(connection) is None
        rows = connection.execute(audit_log.select().order_by(audit_log.c.seq))
        return [(row.act, row.actor, row.detail["why"]) for row in rows]


def acknowledge(shop: Shop, number: int, *, why: str = "on it", actor: str = "ann") -> None:
    with shop.deployment() as deployment:
        handling.acknowledge(deployment, number, why=why, actor=actor)


def resolve(shop: Shop, number: int, *, why: str = "it came by mail", actor: str = "ann") -> None:
    with shop.deployment() as deployment:
        handling.resolve(deployment, number, why=why, actor=actor)


def silence(shop: Shop, scope: Scope, hours: float = 4, *, why: str = "known", actor: str = "ann") -> tuple[int, int]:
    """Silence; returns the number of the silence, and how many open incidents it keeps quiet."""
    until = datetime.now(UTC) + timedelta(hours=hours)
    with shop.deployment() as deployment:
        made, quiet = handling.silence(deployment, scope, until=until, why=why, actor=actor)
    return made.id, len(quiet)


def lift(shop: Shop, number: int) -> int:
    with shop.deployment() as deployment:
        return len(handling.lift(deployment, number, why="mended", actor="bob")[1])


def standing(shop: Shop) -> str:
    with shop.deployment() as deployment:
        (line,) = accounts.overview(deployment, everything=True)
    return str(line["standing"])


# -- acknowledging


def test_who_takes_an_incident_on_is_known_and_it_stays_open(shop: Shop) -> None:
    number = broken(shop)
    acknowledge(shop, number)
    assert open_incidents(shop)["orders gate_failed"].acknowledged_at is not None
    assert events(shop, number)[-1] == ("acknowledged", "ann", "on it")
    assert audited(shop)[-1] == ("acknowledge incident", "ann", "on it")
    assert standing(shop) == "acknowledged by ann"
    assert notices_of(shop) == ["opened gate_failed"], "nobody is told once more"


@on_both_ledgers
def test_of_two_who_take_it_on_at_once_one_is_told_who_was_first(shop: Shop) -> None:
    number = broken(shop)

    def takes(who: str) -> str:
        try:
            acknowledge(shop.twin(), number, actor=who)
        except UsageError as problem:
            return str(problem)
        return ""

    with ThreadPoolExecutor() as people:
        answers = dict(zip(("ann", "bob"), people.map(takes, ("ann", "bob")), strict=True))
    (first,) = (who for who, said in answers.items() if not said)
    (late,) = (said for said in answers.values() if said)
    assert late.startswith(f"incident {number} was acknowledged already, by {first} at ")
    assert [each[0] for each in events(shop, number)] == ["opened", "acknowledged"]
    assert len(audited(shop)) == 1


# -- resolving


def test_who_calls_an_incident_over_tells_everybody_and_what_is_still_wrong_comes_again(shop: Shop) -> None:
    number = broken(shop)
    resolve(shop, number)
    assert open_incidents(shop) == {}
    assert events(shop, number)[-1] == ("resolved", "ann", "it came by mail")
    assert audited(shop)[-1] == ("resolve incident", "ann", "it came by mail")
    assert notices_of(shop) == ["opened gate_failed", "resolved gate_failed"]
    assert standing(shop).startswith("resolved 20")
    (again,) = told(shop)
    assert again != number


@pytest.mark.parametrize("act", [acknowledge, resolve])
def test_what_is_not_open_cannot_be_handled(shop: Shop, act: Callable[..., None]) -> None:
    number = broken(shop)
    with pytest.raises(UsageError, match=rf"no incident 77: .* shows them; open are {number}$"):
        act(shop, 77)
    with pytest.raises(UsageError, match="--why is empty"):
        act(shop, number, why=" ")
    shop.environment = "trial"
    with pytest.raises(UsageError, match=r"of the environment 'prod', and this is 'trial': set TIDEMARK_ENVIRONMENT"):
        act(shop, number)
    shop.environment = "prod"
    resolve(shop, number)
    with pytest.raises(UsageError, match=rf"incident {number} is over since 20"):
        act(shop, number)
    with pytest.raises(UsageError, match="none is open"):
        act(shop, 77)
    assert len(audited(shop)) == 1


# -- silencing


def test_a_silence_keeps_quiet_what_is_open_and_what_will_be_until_it_is_lifted(shop: Shop) -> None:
    number = broken(shop)
    scope = Scope("shop", "orders", "gate_failed")
    with shop.deployment() as deployment:
        assert handling.asked_scope(deployment, number, Scope()) == scope
        assert handling.asked_scope(deployment, None, Scope(asset="trend")) == Scope(asset="trend")
        with pytest.raises(UsageError, match="not both"):
            handling.asked_scope(deployment, number, Scope(asset="orders"))
    silenced, quiet = silence(shop, scope)
    assert quiet == 1
    assert standing(shop).startswith("open, silenced until 20")
    assert standing(shop).endswith(" UTC by ann")
    assert lift(shop, silenced) == 1
    assert standing(shop) == "open"
    assert [each[:2] for each in events(shop, number)[1:]] == [("silenced", "ann"), ("silence lifted", "bob")]
    assert audited(shop) == [("silence", "ann", "known"), ("lift silence", "bob", "mended")]
    with pytest.raises(UsageError, match=rf"no silence {silenced} is in force: there is none"):
        lift(shop, silenced)


def test_a_silence_may_be_for_what_is_not_wrong_yet(shop: Shop) -> None:
    gated(shop)
    assert silence(shop, Scope(asset="trend"))[1] == 0
    assert silence(shop, Scope(pipeline="shop", cause="deadline_missed"))[1] == 0
    with shop.deployment() as deployment:
        found = accounts.silences(deployment)
    assert [each["what"] for each in found] == ["everything of trend", "deadline_missed in shop"]


@pytest.mark.parametrize(
    ("scope", "said"),
    [
        (Scope(), "say what is to be silenced"),
        (Scope(cause="gate_fail"), "no cause class 'gate_fail': did you mean 'gate_failed'?"),
        (Scope(asset="ordres"), "no asset 'ordres' is known: did you mean 'orders'?"),
        (Scope(pipeline="shops"), "no pipeline 'shops' is known: did you mean 'shop'?"),
        (Scope(pipeline="other", asset="orders"), "orders is of the pipeline 'shop', not of 'other'"),
    ],
)
def test_what_nobody_knows_cannot_be_silenced(shop: Shop, scope: Scope, said: str) -> None:
    """A name that is misspelt would keep nothing quiet, or what nobody meant."""
    gated(shop)
    shop.define('@asset(partitions=Daily(start="2025-01-05"))\ndef tea() -> str:\n    return "x"', "other")
    shop.run("other")
    with pytest.raises(UsageError) as problem:
        silence(shop, scope)
    assert said in str(problem.value)
    assert audited(shop) == []


def test_a_silence_ends_and_not_too_far_away(shop: Shop) -> None:
    gated(shop)
    with pytest.raises(UsageError, match="which is over: it is 20"):
        silence(shop, Scope(asset="orders"), hours=-1)
    with pytest.raises(UsageError, match="it may last 90 days, until 20"):
        silence(shop, Scope(asset="orders"), hours=24 * 90 + 1)
    with pytest.raises(UsageError, match="--why is empty"):
        silence(shop, Scope(asset="orders"), why="")
    assert silence(shop, Scope(asset="orders"), hours=LONGEST.days * 24 - 1)


def test_what_is_silenced_for_as_long_already_is_not_silenced_twice(shop: Shop) -> None:
    gated(shop)
    number, _ = silence(shop, Scope(asset="orders"), hours=4)
    with pytest.raises(UsageError, match=rf"silenced already until .* by ann: 'tidemark incident lift {number} "):
        silence(shop, Scope(asset="orders"), hours=2, actor="bob")
    assert silence(shop, Scope(asset="orders"), hours=8, actor="bob")[0] != number


def test_an_end_is_said_as_a_length_or_as_an_instant() -> None:
    assert expiry("4 hours", None, NOW) == NOW + timedelta(hours=4)
    assert expiry(None, "2026-12-24T08:00+01:00", NOW) == datetime(2026, 12, 24, 7, tzinfo=UTC)


@pytest.mark.parametrize(
    ("lasts", "until", "said"),
    [
        (None, None, "a silence without an end is forgotten"),
        ("", "", "a silence without an end is forgotten"),
        ("4 hours", "2026-12-24T08:00Z", "both are given"),
        ("4 parsecs", None, "'4 parsecs' is no duration"),
        ("999999 weeks", None, "for how long: "),
        (None, "2026-12-24", "no time of day"),
        (None, "tomorrow", "until='tomorrow' is no instant"),
    ],
)
def test_an_end_that_cannot_be_understood_is_refused(lasts: str | None, until: str | None, said: str) -> None:
    with pytest.raises(UsageError) as problem:
        expiry(lasts, until, NOW)
    assert said in str(problem.value)
