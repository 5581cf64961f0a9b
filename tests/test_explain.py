"""Claims about what differs between two code versions, and between two sets of parameters."""

from tidemark.explain import Edited, changed_parameters, edited, other_distributions
from tidemark.fingerprint import Component


def component(label: str, says: str, file: str = "shop.py", line: int = 1) -> Component:
    return Component(label, file, line, says.encode())


def test_definitions_are_changed_added_or_removed() -> None:
    """Of what is gone the place is told where it was; of all else where it is."""
    before = [component("shop.f", "1"), component("shop.g", "2"), component("shop.old", "3", line=9)]
    now = [component("shop.new", "4", line=5), component("shop.f", "other", line=7), component("shop.g", "2", line=8)]
    assert edited(before, now) == [
        Edited("changed", "shop.f", "shop.py", 7),
        Edited("added", "shop.new", "shop.py", 5),
        Edited("removed", "shop.old", "shop.py", 9),
    ]


def test_a_definition_that_moved_to_another_file_did_not_change() -> None:
    before, now = [component("shop.f", "1")], [component("helpers.f", "1", file="helpers.py")]
    assert edited(before, now) == []
    assert [each.what for each in edited(before, [component("helpers.f", "2")])] == ["added", "removed"]


def test_a_new_name_counts_though_it_says_the_same() -> None:
    assert [each.what for each in edited([component("shop.f", "1")], [component("shop.g", "1")])] == [
        "added",
        "removed",
    ]


def test_one_of_several_definitions_of_a_name_is_seen() -> None:
    before = [component("shop.f", "1"), component("shop.f", "2")]
    assert edited(before, before[::-1]) == []
    assert [each.what for each in edited(before, before[:1])] == ["changed"]


def test_packages_are_told_with_both_versions() -> None:
    assert other_distributions([("a", "1"), ("b", "1"), ("c", "1")], [("a", "1"), ("b", "2"), ("d", "1")]) == [
        ("b", "1", "2"),
        ("c", "1", None),
        ("d", None, "1"),
    ]


def test_a_parameter_of_another_type_is_another_one() -> None:
    """As in the action key: 1 and 1.0 and True are equal to Python, and not to a recipe."""
    assert changed_parameters({"a": 1, "b": 1, "c": 1}, {"a": 1.0, "b": True, "c": 1}) == ["a", "b"]
    assert changed_parameters({"a": 1}, {"b": None}) == ["a", "b"]
