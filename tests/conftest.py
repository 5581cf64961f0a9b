"""Fixtures that all tests share."""

from tests.deliveries import real_deliveries
from tests.postgres import postgres, postgres_servers
from tests.scenario import shop
from tests.servers import ftp, host_key, mlflow_server, s3, s3_client, s3_endpoint, sftp

__all__ = [
    "ftp",
    "host_key",
    "mlflow_server",
    "postgres",
    "postgres_servers",
    "real_deliveries",
    "s3",
    "s3_client",
    "s3_endpoint",
    "sftp",
    "shop",
]
