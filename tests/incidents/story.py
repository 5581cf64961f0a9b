"""What stories about incidents share: a shop whose runs tell what they came to, and what the ledger then says."""

from tests.scenario import Shop
from tidemark.incidents.troubles import tell_verdict
from tidemark.ledger import incidents, notices
from tidemark.ledger.incidents import Incident

LINK = "http://airflow.test/dags/shop/runs/1"


def told(shop: Shop, pipeline: str = "shop", **options: object) -> list[int]:
    """Run a pipeline, and tell its verdict as Airflow's task does; returns the incidents that changed."""
    verdict = shop.run(pipeline, **options)
    with shop.deployment() as deployment:
        return tell_verdict(deployment, shop.pipelines[pipeline], verdict, link=LINK, actor="tester")


def open_incidents(shop: Shop) -> dict[str, Incident]:
    """The open incidents, each as ``asset cause``."""
    with shop.deployment() as deployment, deployment.ledger.read() as connection:
        return {f"{one.asset} {one.cause}": one for one in incidents.open_ones(connection, shop.environment)}


def notices_of(shop: Shop) -> list[str]:
    """What people are to be told, oldest first: each as ``kind topic``."""
    with shop.deployment() as deployment, deployment.ledger.read() as connection:
        return [f"{each.kind} {each.topic}" for each in notices.unrouted(connection, 1000)]
