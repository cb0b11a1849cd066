"""Wishes over HTTP: expressions, the only items, boosts, pins, caps and scenarios; what cannot be asked is a 422."""

import httpx
import pytest

from tailorbird.catalog.log.told import Patch
from tailorbird.slate.filtering.columns import MOST_ATTRIBUTES
from tests.serving.world import World


def ask(world: World, **body: object) -> httpx.Response:
    return world.post("/v1/recommendations", {"userId": "ann", "numResults": 12, **body})


def ids(answer: httpx.Response) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [item["itemId"] for item in answer.json()["items"]]


def test_wishes_shape_the_answer(world: World) -> None:
    plain = ids(ask(world))
    first, second, third, *_, last = plain
    world.tell(Patch.of_item(second, {"attributes": {"color": "red", "sizes": [38, 39]}}))
    assert ids(ask(world, filter='color = "red" and sizes in [39, 40]')) == [second]
    assert ids(ask(world, filter='not color = "red"')) == [each for each in plain if each != second]
    assert ids(ask(world, includeItemIds=[third, first])) == [first, third]
    assert ids(ask(world, pin=[{"itemId": last, "place": 1}]))[:2] == [last, first]
    assert ids(ask(world, boost=[{"filter": 'color = "red"', "by": 10}]))[0] == second
    assert len(ids(ask(world, maxPerCategory=1))) == 3
    (exposure, *_) = [each for each in world.stored() if "filter" in each.request]
    assert exposure.request["filter"] == 'color = "red" and sizes in [39, 40]'


def test_scenarios_hold_defaults_that_requests_replace(world: World) -> None:
    plain = ids(ask(world))
    (world.settings.folder / "scenarios.toml").write_text(
        f"[strip]\nnum_results = 3\nfilter = 'price > 4'\npin = [{{item_id = '{plain[-1]}', place = 1}}]\n"
    )
    world.clock += 2
    strip = world.post("/v1/recommendations", {"userId": "ann", "scenario": "strip"})
    assert len(ids(strip)) == 3
    own = ids(ask(world, scenario="strip", filter="price <= 4", pin=[]))
    assert set(own) & set(ids(strip)) == set()
    assert len(own) > 1
    (world.settings.folder / "scenarios.toml").write_text("[strip]\nnum = 3\n")
    world.clock += 2
    assert len(ids(world.post("/v1/recommendations", {"userId": "ann", "scenario": "strip"}))) == 3
    assert "scenarios.toml: strip.num" in world.call("GET", "/health/ready").text


def test_a_scenario_that_asks_for_what_filters_do_not_know_is_named(world: World) -> None:
    (world.settings.folder / "scenarios.toml").write_text("[strip]\nfilter = 'not recalled = true'\n")
    assert ids(world.post("/v1/recommendations", {"userId": "ann", "scenario": "strip"}))
    assert "recalled" not in world.call("GET", "/health/ready").text  # no item has it
    many = [Patch.of_item("i1", {"attributes": {f"x{n}": 1}}) for n in range(MOST_ATTRIBUTES)]
    world.tell(*many, Patch.of_item("i1", {"attributes": {"recalled": True}}))
    assert "strip: items have the attribute recalled" in world.call("GET", "/health/ready").text


def test_weights_of_what_the_model_does_not_foretell_are_named_and_change_nothing(world: World) -> None:
    plain = ids(ask(world))
    (world.settings.folder / "scenarios.toml").write_text("[strip]\nweights = {click = 1, hide = -2}\n")
    world.clock += 2
    assert ids(ask(world, scenario="strip")) == plain
    assert "strip: the model foretells no 'click'" in world.call("GET", "/health/ready").text
    weighed = [each for each in world.stored() if each.scenario == "strip"]
    assert [each.request["weights"] for each in weighed] == [{"click": 1.0, "hide": -2.0}]


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({"filter": "prize < 3"}, "did you mean price?"),
        ({"filter": "price < 3 / 0"}, "no arithmetic"),
        ({"filter": "(" * 4_000}, "within each other"),
        ({"filter": "price < 1 or " * 400}, "4096"),
        ({"filter": 'price = "x"'}, "price holds numbers"),
        ({"filter": ""}, "filter"),
        ({"filter": 3}, "filter"),
        ({"boost": [{"filter": "prize = 1", "by": 1}]}, "did you mean price?"),
        ({"boost": [{"filter": "price = 1", "by": 11}]}, "boost"),
        ({"pin": [{"itemId": "i1", "place": 0}]}, "pin"),
        ({"maxPerBrand": 0}, "maxPerBrand"),
    ],
)
def test_what_cannot_be_asked_is_refused_with_its_place(world: World, body: dict, says: str) -> None:
    refused = ask(world, **body)
    assert refused.status_code == 422, refused.text
    assert says in refused.text
