"""The result cache holds until an event or its age ends it."""

from tests.serving.recommend.test_arms import WatchingStages, watching


def test_a_cached_ranking_is_used_until_an_event_or_its_age_ends_it(make_world):
    world = make_world(cache_seconds=10)
    world.builder.change = watching
    world.point("2")
    world.check()
    asked = WatchingStages.asked
    asked.clear()
    wish = {"userId": "ann", "numResults": 3}
    for _ in range(3):
        world.post("/v1/recommendations", wish)
    assert len(asked) == 1
    hide = {"messageId": "h", "type": "hide", "userId": "ann", "itemId": "i1"}
    world.post("/v1/events", {"batch": [hide]})
    answer = world.post("/v1/recommendations", wish).json()
    assert [item["itemId"] for item in answer["items"]] == ["i0", "i2", "i4"]
    assert len(asked) == 2
    world.clock += 11
    world.post("/v1/recommendations", wish)
    assert len(asked) == 3
