"""A landing zone on S3: keys that are no paths, and buckets that are wrong or closed."""

import logging
from typing import Any

import pytest

from tests.servers import KEYS_A_PAGE, credentials_checked
from tidemark.errors import Unavailable
from tidemark.landing.s3 import S3Landing


def deliver(client: Any, s3: str, *keys: str) -> None:
    for key in keys:
        client.put_object(Bucket=s3.removeprefix("s3://"), Key=key, Body=b"1")


def names(landing: S3Landing, prefix: str = "") -> list[str]:
    return [file.name for file in landing.files(prefix)]


def test_a_key_that_leads_out_of_its_folder_is_ignored_with_one_warning(
    s3: str, s3_client: Any, caplog: pytest.LogCaptureFixture
) -> None:
    deliver(s3_client, s3, "in/orders/1.csv", "in/orders/../../secret", "in/orders//2.csv", "in//3.csv")
    landing = S3Landing(f"{s3}/in")
    with caplog.at_level(logging.WARNING):
        assert names(landing) == names(landing) == ["orders/1.csv"]
    assert sorted(record.args[1] for record in caplog.records) == ["/3.csv", "orders/../../secret", "orders//2.csv"]


def test_the_mark_of_an_empty_folder_is_not_a_delivery(s3: str, s3_client: Any) -> None:
    deliver(s3_client, s3, "in/", "in/orders/", "in/orders/1.csv")
    assert names(S3Landing(f"{s3}/in")) == ["orders/1.csv"]


def test_a_neighbour_whose_name_begins_alike_is_not_shown(s3: str, s3_client: Any) -> None:
    deliver(s3_client, s3, "in/orders/1.csv", "in/orders-old/1.csv", "in-old/orders/1.csv")
    assert names(S3Landing(f"{s3}/in"), "orders") == ["orders/1.csv"]


def test_a_zone_may_be_a_whole_bucket(s3: str, s3_client: Any) -> None:
    deliver(s3_client, s3, "orders/1.csv")
    landing = S3Landing(s3)
    assert names(landing, "orders") == ["orders/1.csv"]
    assert landing.read("orders/1.csv")[0] == b"1"


def test_more_keys_than_one_answer_holds_are_all_shown(s3: str, s3_client: Any) -> None:
    deliver(s3_client, s3, *(f"in/{number:04}" for number in range(KEYS_A_PAGE + 3)))
    assert names(S3Landing(f"{s3}/in")) == [f"{number:04}" for number in range(KEYS_A_PAGE + 3)]


def test_a_file_on_s3_is_settled_at_once(s3: str, s3_client: Any) -> None:
    """Its ETag is of its content."""
    deliver(s3_client, s3, "1.csv")
    (file,) = S3Landing(s3).files("")
    assert file.modified is not None
    assert file.settled(file.modified)


def test_credentials_that_are_refused_are_said_plainly_without_the_secret(s3: str, s3_endpoint: str) -> None:
    with credentials_checked(s3_endpoint):
        for question in (S3Landing(s3).files, S3Landing(s3).read):
            with pytest.raises(Unavailable, match=r"the landing zone s3://.* correct AWS_ACCESS_KEY_ID") as refusal:
                question("orders")
            assert "testing-secret" not in str(refusal.value)
