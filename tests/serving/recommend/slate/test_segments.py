"""Answers by the learned segment: it is named, recorded and traced, and boosts and filters hold for its people alone."""

from pathlib import Path

import pytest

from tailorbird.catalog.log.told import Patch
from tests.segments.carters import CARTS, LOOKS, carters, register_segments
from tests.serving.recommend.request.test_asked import ask, ids
from tests.serving.world import World

RED = 'color = "red"'


@pytest.fixture
def told(world: World, tmp_path: Path) -> World:
    """The toy world with a promoted segment model, and its second and third items red."""
    register_segments(world.settings, carters(), tmp_path)
    world.segments.check()
    second, third = ids(ask(world))[1:3]
    world.tell(*(Patch.of_item(each, {"attributes": {"color": "red"}}) for each in (second, third)))
    return world


def deeds(world: World, kind: str, *items: str, user: str = "ann") -> None:
    """One person does the same to some items, now."""
    world.clock += 10
    batch = [
        {"messageId": f"{kind}-{item}-{world.clock}", "type": kind, "userId": user, "itemId": item}
        for item in items
    ]
    assert world.post("/v1/events", {"batch": batch}).status_code == 202


def fill_carts(world: World) -> None:
    deeds(world, "view", "i9", "i10", "i11")
    deeds(world, "add_to_cart", "i9", "i10", "i11")


def test_an_explained_answer_names_the_segment_and_moves_with_the_next_event(told: World) -> None:
    unknown = ask(told, explain=True).json()["segment"]
    assert unknown == {"key": "", "name": "not known yet"}
    deeds(told, "view", "i9", "i10", "i11")
    assert ask(told, explain=True).json()["segment"] == {"key": LOOKS, "name": "rarely fills a cart"}
    fill_carts(told)
    assert ask(told, explain=True).json()["segment"] == {"key": CARTS, "name": "fills carts"}
    assert "segment" not in ask(told).json()
    ranked = told.post("/v1/rank", {"userId": "ann", "itemIds": ["i1", "i2"], "explain": True})
    assert ranked.json()["segment"]["key"] == CARTS


def test_without_a_segment_model_the_answer_names_none(world: World) -> None:
    assert ask(world, explain=True).json()["segment"] is None
    assert ids(ask(world, segmentFilter=[{"filter": "price < 0", "segments": [LOOKS]}])) == ids(ask(world))


def test_the_trace_names_the_segment_of_then(told: World) -> None:
    deeds(told, "view", "i9", "i10", "i11")
    answer = ask(told, explain=True).json()
    told.exposures.close()  # everything that waits is stored
    fill_carts(told)
    trace = told.call("GET", f"/v1/recommendations/{answer['recommendationId']}/trace").json()
    assert trace["segment"] == {"key": LOOKS, "name": "rarely fills a cart", "model": "1"}


def test_a_boost_and_a_filter_of_a_request_hold_for_their_segment_alone(told: World) -> None:
    deeds(told, "view", "i9", "i10", "i11")
    plain = ids(ask(told))
    boost = [{"filter": RED, "by": 10.0, "segments": [CARTS]}]
    only = [{"filter": RED, "segments": [CARTS, "nobody's"]}]
    assert ids(ask(told, boost=boost)) == ids(ask(told, segmentFilter=only)) == plain
    fill_carts(told)
    red = ids(ask(told, filter=RED))
    assert len(red) == 2
    assert ids(ask(told, boost=boost))[:2] == red
    assert ids(ask(told, segmentFilter=only)) == red
    both = ask(told, segmentFilter=only, filter="not " + RED, boost=boost, explain=True)
    assert ids(both) == []
    (exposure,) = [
        each for each in told.stored() if each.recommendation_id == both.json()["recommendationId"]
    ]
    assert exposure.request["segmentFilter"] == [{"filter": RED, "segments": [CARTS, "nobody's"]}]
    assert exposure.request["boost"] == boost
    assert exposure.request["segment"] == {"key": CARTS, "name": "fills carts", "model": "1"}


def test_a_filter_of_the_segment_is_part_of_the_trace(told: World) -> None:
    fill_carts(told)
    answer = ask(told, segmentFilter=[{"filter": "not " + RED, "segments": [CARTS]}], explain=True).json()
    trace = told.call("GET", f"/v1/recommendations/{answer['recommendationId']}/trace").json()
    (removed,) = [each for each in trace["removed"] if each["rule"] == "filter"]
    assert removed["count"] == 2
    assert [each["because"] for each in trace["items"]]


def test_a_scenario_wishes_for_a_segment_and_health_names_one_that_nobody_is_in(told: World) -> None:
    fill_carts(told)
    red = ids(ask(told, filter=RED))
    file = told.settings.folder / "scenarios.toml"
    file.write_text(
        f"[strip]\nsegment_filter = [{{filter = '{RED}', segments = ['{CARTS}']}}]\n"
        f"[hot]\nboost = [{{filter = '{RED}', by = 10, segments = ['{CARTS}']}}, {{filter = 'price > 0', by = 0}}]\n"
    )
    told.clock += 2
    assert ids(ask(told, scenario="strip")) == red
    assert ids(ask(told, scenario="hot"))[:2] == red
    assert ids(ask(told, scenario="strip", userId="somebody-else")) != red
    assert told.call("GET", "/health/ready").json()["problems"] == []
    file.write_text("[strip]\nsegment_filter = [{filter = 'price > 0', segments = ['gone']}]\n")
    told.clock += 2
    ids(ask(told, scenario="strip"))
    (problem,) = told.call("GET", "/health/ready").json()["problems"]
    assert f"strip: nobody is in a segment 'gone': there are {CARTS}, {LOOKS}" in problem


def test_a_wish_for_a_segment_is_bounded_and_read(told: World) -> None:
    for wish in (
        {"segmentFilter": [{"filter": "price >", "segments": [CARTS]}]},
        {"segmentFilter": [{"filter": "prize > 1", "segments": [CARTS]}]},
        {"segmentFilter": [{"filter": "price > 1", "segments": []}]},
        {"segmentFilter": [{"filter": "price > 1"}]},
        {"boost": [{"filter": "price > 1", "by": 1.0, "segments": []}]},
        {"segmentFilter": [{"filter": "price > 1", "segments": ["x"] * 65}]},
    ):
        assert ask(told, **wish).status_code == 422, wish


def test_a_kept_ranking_is_of_its_segment(make_world, tmp_path: Path) -> None:
    """The profile is the same, and the segment another one: a model that calls the same people by another key is promoted."""
    world = make_world(cache_seconds=60.0)
    register_segments(world.settings, carters(), tmp_path)
    world.segments.check()
    fill_carts(world)
    plain = ids(ask(world))
    only = [{"filter": "price > 5", "segments": [CARTS]}]
    few = ids(ask(world, segmentFilter=only))
    assert 0 < len(few) < len(plain)
    register_segments(world.settings, carters(carts="other"), tmp_path)
    world.segments.check()
    assert ids(ask(world, segmentFilter=only)) == plain


def write_rules(world: World, text: str) -> None:
    (world.settings.folder / "rules.toml").write_text(text)
    world.clock += 2


LOOKED = '[looked]\nname = "looked lately"\nwhen = "views_1h >= 3"\n'


def test_a_rule_is_named_by_an_explained_answer_and_steers_wishes_without_a_model(world: World) -> None:
    write_rules(world, LOOKED)
    plain = ids(ask(world))
    only = [{"filter": "price > 5", "segments": ["looked"]}]
    assert ask(world, explain=True).json()["rules"] == []
    assert ids(ask(world, segmentFilter=only)) == plain
    deeds(world, "view", "i9", "i10", "i11")
    answer = ask(world, explain=True).json()
    assert (answer["rules"], answer["segment"]) == ([{"key": "looked", "name": "looked lately"}], None)
    assert "rules" not in ask(world).json()
    assert 0 < len(ids(ask(world, segmentFilter=only))) < len(ids(ask(world)))


def test_time_alone_ends_a_rule_and_a_kept_ranking_of_it_is_not_used(make_world) -> None:
    world = make_world(cache_seconds=100_000.0)
    write_rules(world, LOOKED)
    deeds(world, "view", "i9", "i10", "i11")
    only = [{"filter": "price > 5", "segments": ["looked"]}]
    few = ids(ask(world, segmentFilter=only))
    assert len(few) < len(ids(ask(world)))
    world.clock += 3_700
    assert len(ids(ask(world, segmentFilter=only))) > len(few)


def test_health_warns_of_a_rule_that_is_called_as_a_learned_segment_is(told: World) -> None:
    write_rules(told, LOOKED.replace("[looked]", f"[{CARTS}]"))
    told.clock += 2
    (problem,) = told.call("GET", "/health/ready").json()["problems"]
    assert f"learned segments are called {CARTS}, too" in problem


def test_health_says_what_is_wrong_with_the_rules_and_those_of_before_hold(world: World) -> None:
    write_rules(world, LOOKED)
    (world.settings.folder / "scenarios.toml").write_text(
        "[strip]\nsegment_filter = [{filter = 'price > 0', segments = ['looked']}]\n"
    )
    world.clock += 2
    ids(ask(world, scenario="strip"))
    assert world.call("GET", "/health/ready").json()["problems"] == []
    deeds(world, "view", "i9", "i10", "i11")
    write_rules(world, LOOKED.replace("views_1h", "view_1h"))
    (problem,) = world.call("GET", "/health/ready").json()["problems"]
    assert "looked.when: filter, character 1: there is no fact view_1h; did you mean views_1h" in problem
    assert [each["key"] for each in ask(world, explain=True).json()["rules"]] == ["looked"]
