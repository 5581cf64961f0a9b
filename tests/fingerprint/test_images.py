"""Rule 2 for assets with an image of their own: its name stands for what is installed, in the planner and inside it."""

from tests.fingerprint.bundles import Files, MakeBundle, installed
from tidemark.fingerprint import SCHEME, Fingerprint, together
from tidemark.fingerprint.closure import Closure
from tidemark.fingerprint.distributions import with_dependencies
from tidemark.hashing import digest

TEXT = """
import hashlib

from tidemark import Resources, Weekly, asset

import helper

BIG = Resources(cpu="2", memory="4Gi")
VERSION = "1.4"

@asset(OPTIONS)
def prices() -> str:
    import fast_math
    from fast_math.sub import other
    return fast_math.run(helper.RATE) + other(hashlib.sha256(b""))
"""


def shop(options: str = "", rate: int = 2) -> Files:
    return {"prices.py": TEXT.replace("OPTIONS", options), "helper.py": f"RATE = {rate}\n"}


def code(bundle: MakeBundle, files: Files) -> Fingerprint:
    """The code version of the asset, as its pipeline has it."""
    made = bundle(files)
    with made.on_the_path():
        found: Fingerprint = made.load().prices.__tidemark__.code
        return found


def test_resources_and_a_pool_are_no_code(bundle: MakeBundle) -> None:
    """Neither what is asked for nor where it is written: more memory computes nothing again."""
    asked = [
        "",
        'resources={"cpu": "1", "memory": "1Gi"}',
        'resources=Resources(cpu="2", memory="4Gi"), pool="models"',
        "resources=BIG",
    ]
    assert len({code(bundle, shop(each)).digest for each in asked}) == 1


def test_without_an_image_a_code_version_is_what_it_was(bundle: MakeBundle) -> None:
    """The closure, the files and the distributions, and nothing else: no result of an earlier release runs again."""
    made = bundle({**shop(), **installed("fast-math", "1.0", module="fast_math")})
    with made.on_the_path():
        function = made.load().prices
        closure = Closure(function)
        packages = with_dependencies(sorted(closure.externals))
        found = function.__tidemark__.code
    assert packages == (("fast-math", "1.0"),)
    assert (found.distributions, found.image) == (packages, None)
    assert found.digest == digest(SCHEME, closure.digest(), [], packages)


def test_another_image_is_another_code(bundle: MakeBundle) -> None:
    images = ["", 'image="shop:1"', 'image="shop:2"', 'image=f"shop:{VERSION}"']
    found = [code(bundle, shop(each)) for each in images]
    assert [each.image for each in found] == [None, "shop:1", "shop:2", "shop:1.4"]
    assert len({each.digest for each in found}) == 4


def test_planner_and_container_come_to_one_code_version(bundle: MakeBundle) -> None:
    """The planner need not have the packages of the image, nor the same versions of those that both have."""
    there = [{}, installed("fast-math", "1.0", module="fast_math"), installed("fast-math", "2.0", module="fast_math")]
    found = [code(bundle, {**shop('image="shop:1"'), **each}) for each in there]
    assert len({each.digest for each in found}) == 1
    assert {each.distributions for each in found} == {()}
    without = [code(bundle, {**shop(), **each}) for each in there]
    assert len({each.digest for each in without}) == 3, "where it runs here, they count"


def test_code_counts_in_an_image_as_anywhere(bundle: MakeBundle) -> None:
    """An edit of a helper is seen, and told from one of the image."""
    before, after = (code(bundle, shop('image="shop:1"', rate)) for rate in (2, 3))
    assert before.digest != after.digest
    assert {each.label for each in before.components} == {each.label for each in after.components}


def test_a_model_and_its_search_are_in_one_image() -> None:
    one, two = (Fingerprint(name, (), (), "shop:1") for name in (b"a" * 32, b"b" * 32))
    assert together(one, two).image == "shop:1"
    assert together(Fingerprint(b"a" * 32, (), ())).image is None


MODEL = """
from tidemark import Search, Weekly, model

def off_by(alpha: float) -> float:
    import fast_math
    return fast_math.run(alpha)

@model(partitions=Weekly(), search=Search(off_by, {"alpha": {"low": 0.0, "high": 1.0}}), image="shop:1")
def prices(alpha: float) -> str:
    return str(alpha)
"""


def test_the_image_stands_for_the_packages_of_a_search_too(bundle: MakeBundle) -> None:
    """Else planner and container would never come to one code version, and nothing would run."""
    there = [{}, installed("fast-math", "1.0", module="fast_math"), installed("fast-math", "2.0", module="fast_math")]
    found = [code(bundle, {"prices.py": MODEL, **each}) for each in there]
    assert len({each.digest for each in found}) == 1
    assert {(each.distributions, each.image) for each in found} == {((), "shop:1")}
