"""Suites as files: when two have equal rules, and what is said of one that is missing or malformed."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.gates import SUITES, rule, write_suite
from tidemark.errors import DefinitionError
from tidemark.suites import find_suite, read_suite, suite_digest

NOT_NULL = "expect_column_values_to_not_be_null"
BETWEEN = "expect_column_values_to_be_between"
PRICE = rule(BETWEEN, column="price", min_value=0, strict_min=True)
CODE = rule(NOT_NULL, column="code")


def digest_of(folder: Path, *rules: dict[str, Any]) -> bytes:
    return suite_digest(write_suite(folder, *rules))


# --- the digest


@pytest.mark.parametrize("indent", [None, 1, "\t"])
def test_formatting_does_not_count(tmp_path: Path, indent: int | str | None) -> None:
    """White space, the order of keys and a byte-order mark change nothing."""
    path = write_suite(tmp_path, PRICE, CODE)
    before = suite_digest(path)
    suite = json.loads(path.read_text())
    suite["expectations"] = [dict(reversed(each.items())) for each in suite["expectations"]]
    path.write_text(json.dumps(dict(reversed(suite.items())), indent=indent), encoding="utf-8-sig")
    assert suite_digest(path) == before


def test_what_great_expectations_and_people_add_does_not_count(tmp_path: Path) -> None:
    """Ids, meta, notes, descriptions, the order of rules, 0.0 for 0 and a severity that is the default anyway."""
    before = digest_of(tmp_path, PRICE, {"type": NOT_NULL, "kwargs": {"column": "code"}})
    dressed = {**CODE, "id": "8b6f", "meta": {"owner": "pricing"}, "notes": "why", "description": "in our words"}
    path = write_suite(tmp_path, dressed, {**PRICE, "kwargs": {**PRICE["kwargs"], "min_value": 0.0}})
    path.write_text(
        json.dumps({**json.loads(path.read_text()), "id": "1", "meta": {"great_expectations_version": "1"}})
    )
    assert suite_digest(path) == before


@pytest.mark.parametrize(
    "changed",
    [
        [PRICE],
        [PRICE, CODE, CODE],
        [PRICE, {**CODE, "severity": "warning"}],
        [PRICE, rule(NOT_NULL, column="product")],
        [PRICE, rule("expect_column_values_to_be_null", column="code")],
        [rule(BETWEEN, column="price", min_value=0.01, strict_min=True), CODE],
        [rule(BETWEEN, column="price", min_value=0), CODE],
        [rule(BETWEEN, column="price", min_value="0", strict_min=True), CODE],
        [PRICE, rule(NOT_NULL, column="code", mostly=0.9)],
    ],
)
def test_every_change_of_a_rule_counts(tmp_path: Path, changed: list[dict[str, Any]]) -> None:
    """A rule more or less, another severity, column, type, limit or share."""
    assert digest_of(tmp_path, *changed) != digest_of(tmp_path, PRICE, CODE)


def test_digests_are_of_32_bytes_and_cost_no_import() -> None:
    """Planning reads suites: it must not load Great Expectations, pandas or pyarrow for it."""
    script = (
        "import sys, pathlib; from tidemark.gate import Gate, find_suite, suite_digest; "
        f"folder = pathlib.Path({str(SUITES)!r}); Gate(folder, None); "
        "assert all(len(suite_digest(find_suite(path.stem, folder))) == 32 for path in folder.glob('*.json')); "
        "print(*{'great_expectations', 'pandas', 'pyarrow'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


# --- what is wrong, where, and the mend


def test_a_missing_suite_is_named_with_the_nearest(tmp_path: Path) -> None:
    """The message has the path that was looked for, and a suite that was perhaps meant."""
    write_suite(tmp_path, CODE, name="order_lines")
    with pytest.raises(DefinitionError, match=r"order_line\.json; did you mean 'order_lines'\?"):
        find_suite("order_line", tmp_path)
    with pytest.raises(DefinitionError, match=r"'zebra': there is no suite .*; suites there: order_lines\."):
        find_suite("zebra", tmp_path)
    with pytest.raises(DefinitionError, match=r"suites there: none"):
        find_suite("zebra", tmp_path / "nowhere")


@pytest.mark.parametrize("name", ["../secrets", "/etc/passwd", "", ".hidden", "a b"])
def test_a_name_cannot_leave_the_folder(tmp_path: Path, name: str) -> None:
    """A gate names a suite, not a path."""
    with pytest.raises(DefinitionError, match="is no name of a suite"):
        find_suite(name, tmp_path)


def test_broken_json_is_shown_by_line_and_column(tmp_path: Path) -> None:
    """As an editor shows it."""
    (tmp_path / "prices.json").write_text(
        '{"name": "prices",\n "expectations": [\n  {"type": "x"}\n  {"type": "y"}\n]}'
    )
    with pytest.raises(DefinitionError, match=r"prices\.json, line 4, column 3: not JSON: Expecting ',' delimiter"):
        find_suite("prices", tmp_path)


def test_another_encoding_is_shown_by_line(tmp_path: Path) -> None:
    """Latin-1 from an old editor."""
    (tmp_path / "prices.json").write_bytes('{"name": "prices",\n "notes": "café"}'.encode("latin-1"))
    with pytest.raises(DefinitionError, match=r"prices\.json, line 2: not UTF-8 text; save the file as UTF-8"):
        find_suite("prices", tmp_path)


MALFORMED = {
    "a list": ([], "a suite is an object"),
    "no expectations": ({"name": "prices"}, "a suite is an object"),
    "none of them": ({"name": "prices", "expectations": []}, "everything would pass"),
    "another's name": ({"name": "price", "expectations": [CODE]}, "its \"name\" is 'price'; it must be the file's"),
    "a misspelt key": ({"name": "prices", "expectation": [], "expectations": [CODE]}, "did you mean 'expectations'"),
    "a text": ({"name": "prices", "expectations": [CODE, "not null"]}, "expectation 2: an expectation is an object"),
    "an unknown type": (
        {"name": "prices", "expectations": [CODE, rule("expect_column_values_to_not_be_nul", column="code")]},
        r"expectation 2 \(expect_column_values_to_not_be_nul\).*did you mean 'expect_column_values_to_not_be_null'\?",
    ),
    "an unknown severity": (
        {"name": "prices", "expectations": [{**CODE, "severity": "fatal"}]},
        "severity 'fatal' is none of critical, warning, info",
    ),
    "arguments outside kwargs": (
        {"name": "prices", "expectations": [{"type": NOT_NULL, "column": "code"}]},
        "unknown key 'column'",
    ),
    "arguments that are none": (
        {"name": "prices", "expectations": [{"type": NOT_NULL, "kwargs": "code"}]},
        '"kwargs" must be an object',
    ),
    "a parameter": (
        {"name": "prices", "expectations": [rule(BETWEEN, column="price", max_value={"$PARAMETER": "now()"})]},
        "must follow from the suite and the data alone",
    ),
}


@pytest.mark.parametrize("what", MALFORMED)
def test_a_malformed_suite_is_refused_with_the_mend(tmp_path: Path, what: str) -> None:
    """The message names the file, the expectation by its number, and what would be right."""
    content, said = MALFORMED[what]
    (tmp_path / "prices.json").write_text(json.dumps(content))
    with pytest.raises(DefinitionError, match=rf"prices\.json.*{said}"):
        find_suite("prices", tmp_path)


def test_an_unreadable_file_is_a_definition_error(tmp_path: Path) -> None:
    """Whatever keeps it from being read."""
    with pytest.raises(DefinitionError, match="cannot be read: Is a directory"):
        read_suite(tmp_path)
