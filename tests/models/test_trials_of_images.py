"""A claim about the trials of a model that was trained in an image of its own, in the registry of models."""

import pytest

from tests.models.conftest import Registry
from tests.models.selling import SALES, begin, presented
from tests.scenario import Shop

SEARCHED = SALES.replace("Validation, at_least", "Search, Validation, at_least").replace(
    "    @model(\n",
    """    def steep(slope: float) -> float:
        return slope

    @model(
        image="shop:1",
        search=Search(steep, {"slope": {"choices": [1.0, 2.0]}}, trials=6),
""",
)


@pytest.mark.parametrize(("trained", "registered"), [("shop:1", ""), ("", "shop:1")])
def test_the_trials_are_with_the_model_whoever_registers_it(
    shop: Shop, registry: Registry, monkeypatch: pytest.MonkeyPatch, trained: str, registered: str
) -> None:
    """It is trained in the image, and judged and registered by a worker outside of it; or the other way round."""
    monkeypatch.setenv("TIDEMARK_IMAGE", trained)
    begin(shop, SEARCHED)
    monkeypatch.setenv("TIDEMARK_IMAGE", registered)
    presented(shop)
    names = sorted(str(each.info.run_name) for each in registry.runs())
    assert names[1:] == [f"trial {number}" for number in range(1, 7)]
