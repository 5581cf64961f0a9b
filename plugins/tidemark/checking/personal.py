"""Columns whose names look like personal data. A name is a hint and no proof: a comment can say that it errs."""

import re
from itertools import pairwise

# What stands in a name for a person, and what of a person tells who it is.
_PERSONS = frozenset(
    {"applicant", "borrower", "buyer", "client", "contact", "customer", "driver", "employee", "guest", "holder"}
    | {"member", "patient", "payer", "person", "policyholder", "recipient", "student", "subscriber", "tenant"}
    | {"user", "visitor"}
)
_TELLING = frozenset({"id", "identifier", "key", "login", "name", "no", "nr", "num", "number", "ref", "username"})
_ALWAYS = frozenset(
    {"address", "birthdate", "birthday", "birthplace", "dob", "email", "emails", "fax", "firstname", "forename"}
    | {"fullname", "iban", "lastname", "maiden", "msisdn", "nino", "passport", "phone", "phones", "postcode", "ssn"}
    | {"street", "surname", "telephone", "username", "zip", "zipcode"}
)
_PAIRS = frozenset(
    {(kind, "name") for kind in ("first", "last", "full", "given", "family", "middle", "birth")}
    | {("birth", "date"), ("of", "birth"), ("post", "code"), ("postal", "code"), ("zip", "code")}
    | {("card", "number"), ("tax", "id"), ("national", "id"), ("social", "security")}
)
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")


def looks_personal(column: str) -> bool:
    """Return whether a column's name looks like personal data: ``customer_id``, ``CustomerID``, ``email``, ``name``."""
    words = [each.lower() for each in _WORD.findall(column)]
    if words == ["name"] or words in ([each] for each in _PERSONS):
        return True
    if not _ALWAYS.isdisjoint(words):
        return True
    pairs = set(pairwise(words))
    return bool(pairs & _PAIRS) or any(first in _PERSONS and second in _TELLING for first, second in pairs)
