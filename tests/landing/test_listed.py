"""Claims about files as lines: they come back as they were, and those that differ are found."""

from hypothesis import given
from hypothesis import strategies as st

from tidemark.landing.listed import differing, line_of, name_in, packed, token_in, unpacked


def test_names_and_tokens_come_back_whatever_is_in_them() -> None:
    files = [("orders/a\tb.csv", "1-2-3"), ("orders/\n", "x y"), ("ä", "1"), ("\udce9", "2")]
    lines = [line_of(*each) for each in files]
    assert unpacked(packed(lines)) == lines
    assert [(name_in(line), token_in(line)) for line in lines] == files
    assert unpacked(packed([])) == []


ONES = st.lists(st.sampled_from([line_of(name, token) for name in "abc" for token in ("1", "11", "2")]), unique=True)


@given(ONES.map(sorted), ONES.map(sorted))
def test_lines_that_differ_are_found_wherever_they_are(before: list[str], now: list[str]) -> None:
    gone, new = differing(packed(before), packed(now))
    assert gone == sorted(set(before) - set(now))
    assert new == sorted(set(now) - set(before))
