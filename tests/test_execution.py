"""Claims about what an asset may ask for of the place where it is executed."""

import re
from typing import Any

import pytest

from tests.definitions import defined
from tidemark import Resources, Weekly, asset, model
from tidemark.errors import DefinitionError

DIGEST = "@sha256:" + "0123456789abcdef" * 4


def figure(x: int = 1) -> str:
    return str(x)


def declared(**options: Any) -> Any:
    def answer() -> str:
        return "42"

    return defined(asset(**options)(answer))


def refused(**options: Any) -> str:
    """The message that a definition gives."""
    with pytest.raises(DefinitionError) as caught:
        asset(**options)(figure)
    return str(caught.value)


def test_an_asset_asks_for_nothing_unless_it_says_so() -> None:
    made = declared()
    assert (made.resources, made.image, made.pool) == (None, None, None)


@pytest.mark.parametrize("given", [Resources(cpu="500m", memory="1Gi"), {"cpu": "500m", "memory": "1Gi"}])
def test_resources_are_a_value_or_what_it_is_written_as(given: Any) -> None:
    assert declared(resources=given).resources == Resources("500m", "1Gi")


@pytest.mark.parametrize(
    ("cpu", "memory"), [("2", "4Gi"), ("0.5", "512Mi"), ("1.5", "1G"), ("1m", "32Mi"), ("100m", "64000000")]
)
def test_quantities_are_those_of_kubernetes(cpu: str, memory: str) -> None:
    assert declared(resources=Resources(cpu, memory)).resources == Resources(cpu, memory)


def test_a_model_asks_as_any_asset_does() -> None:
    def answers(x: int = 1) -> str:
        return "42"

    options: Any = {"resources": {"cpu": "2", "memory": "4Gi"}, "image": "ours/models:1.4", "pool": "models"}
    made = defined(model(partitions=Weekly(start="2025-01-06"), **options)(answers))
    assert (made.resources, made.image, made.pool) == (Resources("2", "4Gi"), "ours/models:1.4", "models")


@pytest.mark.parametrize(
    ("resources", "says"),
    [
        ("2Gi", r"resources='2Gi': write Resources\(cpu='500m', memory='1Gi'\)"),
        ({"cpu": "1"}, "resources names no memory: give both, they take the place of what every task is given"),
        ({"memory": "1Gi"}, "resources names no cpu: give both"),
        ({"cpu": "1", "memory": "1Gi", "gpu": "1"}, "resources: 'gpu' cannot be asked for: did you mean 'cpu'"),
        ({"cpu": "1", "memory": "1Gi", 3: "1"}, "resources: 3 cannot be asked for"),
        (Resources(cpu=2, memory="1Gi"), "cpu=2: write processors as '2' or '0.5', or as '500m'"),  # type: ignore[arg-type]
        (Resources(cpu="two", memory="1Gi"), "cpu='two': write processors as '2'"),
        (Resources(cpu="1Gi", memory="1Gi"), "cpu='1Gi': write processors as '2'"),
        (Resources(cpu="-1", memory="1Gi"), "cpu='-1'"),
        (Resources(cpu="0", memory="1Gi"), "cpu='0': a thousandth of a processor, '1m', is the least"),
        (Resources(cpu="0.0001", memory="1Gi"), "a thousandth of a processor, '1m', is the least"),
        (Resources(cpu="1", memory="1GB"), "memory='1GB': write it as '512Mi' or '4Gi'"),
        (Resources(cpu="1", memory="512m"), "memory='512m': .* for 'm' means a thousandth of a byte"),
        (Resources(cpu="1", memory="512"), "memory='512' is less than any task needs"),
        (Resources(cpu="1", memory="5Ki"), "less than any task needs"),
        (Resources(cpu="1", memory=""), "resources names no memory"),
        (Resources(cpu="1", memory="1Gi\n"), "write it as"),
    ],
)
def test_resources_that_are_none_are_refused_with_the_mend(resources: Any, says: str) -> None:
    """One sentence that begins with the file and the function."""
    message = refused(resources=resources)
    assert message.startswith("test_execution.py:"), message
    assert "figure()" in message
    assert "\n" not in message.replace("1Gi\\n", "")
    assert re.search(says, message), message


@pytest.mark.parametrize(
    "image",
    [
        "forecast:1.4",
        "team/forecast:2026-11-30",
        "registry.example.org/team/forecast:1.4",
        "registry.example.org:5000/team/sub/forecast:v1.4_rc-1",
        f"registry.example.org/forecast{DIGEST}",
        f"registry.example.org/forecast:1.4{DIGEST}",
        f"forecast:latest{DIGEST}",
    ],
)
def test_an_image_is_named_by_a_version_or_a_digest(image: str) -> None:
    assert declared(image=image).image == image


@pytest.mark.parametrize(
    ("image", "says"),
    [
        (
            "team/forecast",
            "image='team/forecast' can be another one tomorrow: name a version, as in 'team/forecast:1.4'",
        ),
        ("team/forecast:latest", "can be another one tomorrow: name a version, as in 'team/forecast:1.4', or a digest"),
        ("registry.example.org:5000/forecast", "can be another one tomorrow"),
        ("", "image='' is no name of an image"),
        ("Team/Forecast:1", "is no name of an image: write it as 'registry.example.org/team/forecast:1.4'"),
        ("forecast:1 4", "is no name of an image"),
        ("https://registry.example.org/forecast:1", "is no name of an image"),
        ("forecast@sha256:12", "is no name of an image"),
        ("{{ image }}:1", "is no name of an image"),
        (14, "image=14 is no name of an image"),
    ],
)
def test_an_image_that_can_change_or_is_none_is_refused(image: Any, says: str) -> None:
    assert says in refused(image=image)


def test_resources_that_name_one_of_two_are_refused_however_they_are_written() -> None:
    assert "resources names no memory: give both" in refused(resources=Resources(cpu="2"))
    assert "resources names no cpu: give both" in refused(resources=Resources(memory="1Gi"))


@pytest.mark.parametrize("pool", ["", "  ", 3, ["models"]])
def test_a_pool_is_a_name(pool: Any) -> None:
    assert "give the name of one of Airflow's pools" in refused(pool=pool)
    assert "no pool has a name of over 256 characters" in refused(pool="x" * 257)
    assert declared(pool="x" * 256).pool == "x" * 256
