"""Claims about backups on a real cluster: made and restored by the Jobs of the chart, as `docs/install.md` says.

The last of the tests on a cluster: after it, Airflow knows nothing of what came after the backup.
"""

import psycopg2
import pytest
from install_page import blocks
from installing import Installation

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(2400)]


def test_what_was_backed_up_is_there_again_after_every_database_was_lost(published: Installation) -> None:
    """By the Jobs of the chart; a run that comes after finds nothing to do."""
    before = published.heads("price_list"), published.computed(["price_list", "base_prices", "order_lines"])
    assert before[0]
    play = published.administrator.play
    upgrade = 'helm upgrade "$RELEASE" helm/tidemark --namespace "$NAMESPACE" --values helm/tidemark/values-small.yaml'
    play(f"{upgrade} --values mine.yaml --set backup.once=before --wait --timeout 15m", namespace=published.namespace)
    play(
        "kubectl wait --for=condition=complete --timeout=10m job/$RELEASE-backup-before", namespace=published.namespace
    )
    published.lose_everything()
    with pytest.raises(psycopg2.errors.UndefinedTable):
        published.heads("price_list")
    for block in blocks()["Restore"]:
        play(block, namespace=published.namespace)
    assert (published.heads("price_list"), published.computed(["price_list", "base_prices", "order_lines"])) == before
    published.wait_until_reached()
    run = published.trigger("price_list")
    assert run.state == "success", run.told()
    assert run.states["order_lines"] == "skipped"
    assert published.heads("price_list") == before[0]
