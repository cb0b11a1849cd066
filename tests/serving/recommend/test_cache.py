"""The result cache holds until an event or its age ends it."""

from serving.recommend.cache import RankingCache
from tailorbird.slate.query import Ranking
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


def test_what_is_too_old_is_dropped_before_what_is_not():
    cache, ranking = RankingCache(seconds=10, capacity=3), Ranking(None, None, None)
    for n in range(100):
        cache.put(key(n), ranking, now=n * 100.0)
        assert len(cache) == 1
    for n in range(100, 103):
        cache.put(key(n), ranking, now=9_905.0)
    assert [cache.get(key(n), now=9_905.0) for n in range(99, 103)] == [None, ranking, ranking, ranking]
    assert cache.get(key(102), now=9_916.0) is None
    assert len(cache) == 0


def test_a_clock_that_is_set_back_leaves_nothing_that_never_ages():
    cache, ranking = RankingCache(seconds=10), Ranking(None, None, None)
    cache.put(key(1), ranking, now=1_000.0)
    assert cache.get(key(1), now=500.0) is None
    cache.put(key(2), ranking, now=500.0)
    assert (cache.get(key(2), now=505.0), len(cache)) == (ranking, 1)


def test_a_large_request_takes_no_more_of_the_cache_than_a_small_one(make_world):
    world = make_world(cache_seconds=10, body=1_000_000)
    for n in range(3):
        excluded = [f"{n}-{m}-{'x' * 80}" for m in range(5_000)]
        world.post("/v1/recommendations", {"userId": "ann", "excludeItemIds": excluded})
    cache = world.drawer._cache
    assert len(cache) == 3
    assert max(len(part) for each in cache._kept for part in each) < 100


def key(n):
    return ("champion", f"user:u{n}", "1", "1", b"digest")
