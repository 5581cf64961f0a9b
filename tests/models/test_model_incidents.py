"""Claims about the incidents of models: written with what they are about, and over when that is."""

from tests.incidents.story import notices_of, open_incidents
from tests.models.conftest import Registry
from tests.models.selling import SALES, WEEK_1, begin, learn_anew, presented, promoted, reconciled
from tests.scenario import Shop

STRICT = SALES.replace("at_most(20", "at_most(1.5")


def test_a_candidate_that_does_not_pass_is_an_incident_until_one_does(shop: Shop) -> None:
    """The next that does not pass either is no second one."""
    begin(shop, STRICT)
    presented(shop)
    one = open_incidents(shop)["demand validation_failed"]
    assert (one.severity, one.detail["partitions"]) == ("warning", [WEEK_1])
    assert one.detail["why"] == "off_by is 1.829, and may be at most 1.5"
    assert one.detail["instead"] == "nothing: there is no champion"
    learn_anew(shop, base=120)
    presented(shop)
    assert open_incidents(shop)["demand validation_failed"].id == one.id
    shop.edit("at_most(1.5", "at_most(20")
    learn_anew(shop, base=100)
    presented(shop)
    assert open_incidents(shop) == {}
    assert notices_of(shop)[-1] == "resolved validation_failed"
    assert notices_of(shop).count("opened validation_failed") == 1


def test_a_champion_that_was_swapped_is_an_incident_until_a_person_says_otherwise(
    shop: Shop, registry: Registry
) -> None:
    """The alias is put right at once; who could write there is for a person to find out."""
    begin(shop)
    presented(shop)
    promoted(shop)
    learn_anew(shop, base=101)
    presented(shop)
    assert reconciled(shop) == []
    registry.client.set_registered_model_alias("demand", "champion", "2")
    assert len(reconciled(shop)) == 1
    one = open_incidents(shop)["demand champion_swapped"]
    assert one.severity == "critical"
    assert "was moved from version 1 to 2 by somebody else" in one.detail["why"]
    assert one.detail["link"] == f"{registry.url}/#/models/demand"
    assert reconciled(shop) == []
    registry.client.delete_registered_model_alias("demand", "champion")
    assert len(reconciled(shop)) == 1
    again = open_incidents(shop)["demand champion_swapped"]
    assert (again.id, again.happened) == (one.id, 2)
    assert notices_of(shop) == [
        "information model_promoted",
        "opened champion_swapped",
        "updated champion_swapped",
    ]
