"""What Prometheus scrapes: how the ledger stands, and what Airflow has told of itself.

The ledger is asked and nothing else: no pipeline file is loaded, so that whoever watches needs none of their libraries.
Importing this costs nothing; ``prometheus_client`` comes with :mod:`tidemark.metrics.serving`.
"""
