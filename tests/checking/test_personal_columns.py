"""Which columns' names look like personal data."""

import pytest

from tidemark.checking.personal import looks_personal


@pytest.mark.parametrize(
    "column",
    [
        *("customer_id", "CustomerID", "customerId", "customer", "email", "e_mail_address", "EmailAddress", "name"),
        *(
            "first_name",
            "lastName",
            "customer_name",
            "phone",
            "phone_number",
            "address",
            "ip_address",
            "postcode",
            "zip",
        ),
        *("date_of_birth", "birth_date", "BirthDate", "iban", "passport_no", "user_id", "USER_ID", "patient_number"),
    ],
)
def test_a_column_about_a_person_looks_personal(column: str) -> None:
    assert looks_personal(column)


@pytest.mark.parametrize(
    "column",
    [
        *("product_name", "country_name", "file_name", "filename", "customers", "item"),
        *(
            "StockCode",
            "InvoiceNo",
            "order_id",
            "Country",
            "currency",
            "units_sold",
            "mean_price_gbp",
            "partition",
            "id",
        ),
        *("orders", "date", "invoice_date", "named", "status_code", "zipped", "customer_segment", "addressed"),
    ],
)
def test_a_column_about_a_thing_does_not(column: str) -> None:
    assert not looks_personal(column)
