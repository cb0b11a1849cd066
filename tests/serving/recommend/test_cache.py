"""The result cache holds until an event or its age ends it."""

from tests.serving.world import World
from tests.slate import toy


def test_a_cached_ranking_is_used_until_an_event_or_its_age_ends_it(tmp_path):
    asked = []
    world = World(tmp_path, cache_seconds=10)

    class Counting(toy.RowStages):
        def retrieve_one(self, query, *more):
            asked.append(query.state.user_key)
            return super().retrieve_one(query, *more)

    world.workspace.stages = Counting()
    world.alias.point_at("2")
    world.served.check()
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
    world.close()
