"""The dashboard can be imported: every panel says what it shows, in which unit, from which data source."""

import re

from tests.monitoring.expressions import dashboard, expressions, panels

SOURCE = {"type": "prometheus", "uid": "${datasource}"}


def test_its_data_source_is_chosen_and_nothing_is_of_one_grafana() -> None:
    """It has no number of its own, so that an import makes a new one, and its two variables."""
    read = dashboard()
    assert "id" not in read
    assert read["uid"] == "tidemark"
    assert [(each["name"], each["type"]) for each in read["templating"]["list"]] == [
        ("datasource", "datasource"),
        ("environment", "query"),
    ]
    assert read["templating"]["list"][0]["query"] == "prometheus"
    assert read["templating"]["list"][1]["datasource"] == SOURCE


def test_every_panel_is_whole() -> None:
    for each in panels():
        assert each["title"]
        assert each["description"]
        assert each["fieldConfig"]["defaults"]["unit"] in ("short", "s", "bool_yes_no")
        assert each["datasource"] == SOURCE
        assert each["targets"]
        for target in each["targets"]:
            assert target["datasource"] == SOURCE
            assert target["expr"]
        assert len({target["refId"] for target in each["targets"]}) == len(each["targets"])


def test_no_two_panels_are_in_one_place() -> None:
    """Grafana has 24 columns; what overlaps is pushed elsewhere."""
    taken: dict[tuple[int, int], str] = {}
    numbers = [each["id"] for each in dashboard()["panels"]]
    assert len(set(numbers)) == len(numbers)
    for each in dashboard()["panels"]:
        place = each["gridPos"]
        assert place["x"] + place["w"] <= 24
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                assert taken.setdefault((x, y), each["title"]) == each["title"]


def test_a_backup_which_is_hours_old_by_design_is_never_held_to_be_a_sign_of_life() -> None:
    """In rules and panels: each asks for it alone, or for all but it. Thresholds are those of what is asked for."""
    asked = {
        where: re.findall(r"tidemark_heartbeat_timestamp_seconds(\{.*?\})?", text) for where, text in expressions()
    }
    labels = {where: found for where, found in asked.items() if found}
    alive = '{name!~"watch of .+|backup"}'
    assert labels == {
        "TidemarkHeartbeatMissing": [alive],
        "Since the last sign of life": [alive],
        "Since the newest backup of the ledger": ['{name="backup"}'],
    }
    steps = {each["title"]: each["fieldConfig"]["defaults"]["thresholds"]["steps"] for each in panels()}
    assert [each["value"] for each in steps["Since the last sign of life"]] == [None, 900]
    hours = [(each["color"], each["value"]) for each in steps["Since the newest backup of the ledger"]]
    assert hours == [("green", None), ("yellow", 26 * 3600), ("red", 50 * 3600)]
