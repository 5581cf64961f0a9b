"""Signs of life: the newest counts, and what is kept in mind beside it is none itself."""

from datetime import UTC, datetime

from tidemark.ledger import Ledger, heartbeats

NOON = datetime(2025, 1, 8, 12, tzinfo=UTC)


def test_the_newest_sign_of_life_counts(ledger: Ledger) -> None:
    """Under each name."""
    with ledger.write() as connection:
        assert heartbeats.read(connection, "watch") is None
        heartbeats.write(connection, "watch", {"holder": "a"}, at=NOON)
        heartbeats.write(connection, "other", {})
        assert heartbeats.read(connection, "watch") == heartbeats.Beat(NOON, {"holder": "a"})


def test_to_keep_something_in_mind_is_no_sign_of_life(ledger: Ledger) -> None:
    """Who looks at their age must not take one for the other."""
    with ledger.write() as connection:
        heartbeats.write(connection, "watch", {"holder": "a"}, at=NOON)
        heartbeats.remember(connection, "watch", "runs", {"since": "noon"})
        heartbeats.remember(connection, "watch", "runs", {"since": "one"})
        assert heartbeats.read(connection, "watch") == heartbeats.Beat(NOON, {"holder": "a", "runs": {"since": "one"}})
