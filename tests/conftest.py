"""Fixtures that all tests share."""

from tests.postgres import postgres, postgres_servers
from tests.scenario import shop
from tests.servers import ftp, host_key, s3, s3_client, s3_endpoint, sftp

__all__ = ["ftp", "host_key", "postgres", "postgres_servers", "s3", "s3_client", "s3_endpoint", "sftp", "shop"]
