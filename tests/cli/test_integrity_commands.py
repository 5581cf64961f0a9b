"""Claims about `tidemark store check` and `tidemark audit verify`."""

import sqlalchemy as sa

from tests.cli.conftest import DAYS, Command
from tests.scenario import Shop


def altered(shop: Shop, statement: str) -> None:
    """Do to the ledger what only somebody with its password can."""
    with shop.deployment() as deployment, deployment.ledger.write() as connection:
        connection.execute(sa.text(statement))


def lose(shop: Shop, asset: str, *keys: str) -> None:
    for key in keys:
        blob = shop.made(asset, key)[-1].blob
        assert blob is not None
        (shop.home / "store" / blob[:2] / blob[2:]).unlink()


def test_a_store_that_has_all_that_is_live_is_well(open_shop: Shop, tidemark: Command) -> None:
    done = tidemark("store", "check")
    assert (done.code, done.out) == (0, "the store has the data of all 12 live partitions\n")
    assert tidemark.json("store", "check") == {"live": 12, "lost": [], "mend": []}


def test_what_the_store_lacks_is_named_with_what_brings_it_back(open_shop: Shop, tidemark: Command) -> None:
    """All of a pipeline in one run, for one needs the other."""
    lose(open_shop, "orders", DAYS[0])
    lose(open_shop, "lines", DAYS[0], DAYS[1])
    lose(open_shop, "totals", DAYS[2])
    done = tidemark("store", "check")
    assert done.code == 1
    assert done.out.splitlines() == [
        "the store has no data of 4 of 12 live partitions:",
        f"  prod: lines {DAYS[0]}",
        f"  prod: lines {DAYS[1]}",
        f"  prod: orders {DAYS[0]}",
        f"  prod: totals {DAYS[2]}",
        "deliver the files of orders again, or touch them: the next run takes them in anew",
        f"tidemark run shop --force lines:{DAYS[0]} --force lines:{DAYS[1]} --force totals:{DAYS[2]}",
    ]
    open_shop.file("orders", DAYS[0]).touch()
    assert tidemark(*done.out.splitlines()[-1].split()[1:]).code == 0
    assert tidemark("store", "check").code == 0


def test_what_an_environment_of_its_own_has_made_is_checked_too(open_shop: Shop, tidemark: Command) -> None:
    open_shop.environment = "trial"
    open_shop.edit("naïve", "other")
    open_shop.run()
    lose(open_shop, "label", DAYS[0])
    done = tidemark("store", "check")
    assert f"  trial: label {DAYS[0]}" in done.out
    assert f"TIDEMARK_ENVIRONMENT=trial tidemark run shop --force label:{DAYS[0]}" in done.out


def test_an_audit_log_as_it_was_written_gives_a_mark(open_shop: Shop, tidemark: Command) -> None:
    assert tidemark("audit", "verify").out == "0 entries, unbroken\n"
    open_shop.hold("lines")
    open_shop.release("lines")
    mark = tidemark.json("audit", "verify")["mark"]
    assert tidemark("audit", "verify").out == f"2 entries, unbroken; mark: {mark}\n"
    assert mark.startswith("2:")
    open_shop.hold("label")
    assert tidemark("audit", "verify", "--mark", mark).code == 0


def test_an_entry_that_was_changed_or_removed_is_told(open_shop: Shop, tidemark: Command) -> None:
    for name in ("lines", "totals", "label"):
        open_shop.hold(name)
    mark = tidemark.json("audit", "verify")["mark"]
    altered(open_shop, "UPDATE audit_log SET actor = 'mallory' WHERE seq = 2")
    done = tidemark("audit", "verify")
    assert done.code == 1
    assert done.out == "entry 2 of the audit log is not as it was written, or the one before it is gone\n"
    altered(open_shop, "UPDATE audit_log SET actor = 'tester' WHERE seq = 2")
    assert tidemark("audit", "verify").code == 0
    altered(open_shop, "DELETE FROM audit_log WHERE seq = 3")
    assert tidemark("audit", "verify").code == 0  # the chain itself does not show it
    done = tidemark("audit", "verify", "--mark", mark)
    assert (done.code, done.out) == (1, "the audit log has no entry 3 any more: its end was removed\n")
    open_shop.hold("label", DAYS[0])
    done = tidemark("audit", "verify", "--mark", mark)
    assert (done.code, done.out) == (1, "entry 3 of the audit log is another one than when the mark was taken\n")


def test_a_mark_that_is_none_is_refused(open_shop: Shop, tidemark: Command) -> None:
    for mark in ("7", "0:" + "a" * 64, "7:abc", "7:" + "g" * 64):
        done = tidemark("audit", "verify", "--mark", mark)
        assert done.code == 2
        assert f"--mark {mark}: write NUMBER:DIGEST, as this command prints it" in done.err
