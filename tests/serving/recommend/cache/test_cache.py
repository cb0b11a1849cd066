"""The result cache holds until an event, a window of the profile or its age ends it; only what a model reads parts requests."""

import pytest

from serving import metrics
from serving.recommend.cache.memory import Found, Kept, Key, RankingCache
from serving.recommend.cache.results import request_digest
from tailorbird.features.table import LIVE_WINDOW_S
from tailorbird.slate.query import Ranking
from tests.serving.recommend.arms.test_arms import WatchingStages, watching
from tests.slate import toy

WISH = {"userId": "ann", "numResults": 3}
RANKING = Ranking(None, None, None)


@pytest.fixture
def world(make_world):
    """A shop whose model says how often it was asked: ``asked`` has an entry each time."""
    made = make_world(cache_seconds=10, body=1_000_000)
    made.builder.change = watching
    made.point("2")
    made.check()
    WatchingStages.asked.clear()
    return made


def asked():
    return len(WatchingStages.asked)


def test_a_cached_ranking_is_used_until_an_event_or_its_age_ends_it(world):
    for _ in range(3):
        world.post("/v1/recommendations", WISH)
    assert asked() == 1
    hide = {"messageId": "h", "type": "hide", "userId": "ann", "itemId": "i1"}
    world.post("/v1/events", {"batch": [hide]})
    answer = world.post("/v1/recommendations", WISH).json()
    assert [item["itemId"] for item in answer["items"]] == ["i0", "i2", "i4"]
    assert asked() == 2
    world.clock += 11
    world.post("/v1/recommendations", WISH)
    assert asked() == 3


def test_an_event_that_leaves_the_live_window_ends_it(world):
    view = {"messageId": "v", "type": "view", "userId": "ann", "itemId": "i3"}
    world.post("/v1/events", {"batch": [view]})
    world.clock += LIVE_WINDOW_S - 4
    world.post("/v1/recommendations", WISH)
    world.clock += 3.9
    world.post("/v1/recommendations", WISH)
    assert asked() == 1
    world.clock += 0.2
    world.post("/v1/recommendations", WISH)
    assert asked() == 2


def test_what_a_model_reads_of_the_context_parts_requests_and_nothing_else(world):
    contexts = [
        {"device": "mobile", "referrer": "search"},
        {"device": "MOBILE", "referrer": "search", "theme": "dark", "consent": True},
        {"referrer": "search", "device": "mobile", "visit": 7},
    ]
    for context in contexts:
        world.post("/v1/recommendations", {**WISH, "context": context, "sessionId": f"s{len(context)}"})
    assert asked() == 1
    for context in ({"device": "desktop", "referrer": "search"}, {"device": "mobile"}, {}):
        world.post("/v1/recommendations", {**WISH, "context": context})
    assert asked() == 4
    world.post("/v1/recommendations", {**WISH, "context": {"device": "fridge"}})
    assert asked() == 4
    world.post("/v1/recommendations", {**WISH, "numResults": 4})
    assert asked() == 5
    world.clock += 3_600 - world.clock % 3_600  # the hour that features read
    world.post("/v1/recommendations", WISH)
    assert asked() == 6


def test_hits_misses_ages_and_invalidations_are_counted(world):
    def figures():
        arm = "champion"
        counters = (metrics.cache_hits, metrics.cache_misses, metrics.cache_invalidations)
        return [
            *(each.labels(arm)._value.get() for each in counters),
            metrics.cache_age_seconds.labels(arm)._sum.get(),
        ]

    before = figures()
    world.post("/v1/recommendations", WISH)
    world.clock += 4
    world.post("/v1/recommendations", WISH)
    world.post("/v1/events", {"batch": [{"messageId": "v", "type": "view", "userId": "ann", "itemId": "i3"}]})
    world.post("/v1/recommendations", WISH)
    world.clock += 20
    world.post("/v1/recommendations", WISH)
    assert [now - then for now, then in zip(figures(), before, strict=True)] == [1, 3, 1, 4.0]


def test_a_visitor_without_an_id_takes_no_place(world):
    for _ in range(3):
        world.post("/v1/recommendations", {"numResults": 3})
    assert (asked(), len(world.drawer._cache._rankings)) == (3, 0)


def test_a_digest_is_of_what_is_asked_however_it_is_written():
    one = request_digest(b'{"userId": "ann", "numResults": 3, "scenario": "home"}', b"")
    assert one == request_digest(
        b'{"scenario":"home","anonymousId":"x","context":{"a":1},"numResults":3}', b""
    )
    assert one != request_digest(b'{"userId": "ann", "numResults": 4, "scenario": "home"}', b"")
    assert one != request_digest(b'{"userId": "ann", "numResults": 3, "scenario": "home"}', b"its defaults")


def test_what_is_too_old_is_dropped_before_what_is_not():
    cache = RankingCache(capacity=3)
    for n in range(100):
        put(cache, n, now=n * 100.0)
        assert len(cache) == 1
    for n in range(100, 103):
        put(cache, n, now=9_905.0)
    assert [get(cache, n, now=9_905.0) for n in range(99, 103)] == [False, True, True, True]
    assert not get(cache, 102, now=9_916.0)
    assert len(cache) == 0


def test_each_ranking_has_its_own_end_and_its_own_version_of_the_person():
    cache = RankingCache()
    put(cache, 1, now=0.0)
    put(cache, 2, now=0.0, seconds=2.0)
    assert [get(cache, n, now=3.0) for n in (1, 2)] == [True, False]
    assert cache.get_many([(key(1), "v2")], now=3.0, catalog=toy.CATALOG) == [Found(moved=True)]


def test_a_clock_that_is_set_back_leaves_nothing_that_never_ages():
    cache = RankingCache()
    put(cache, 1, now=1_000.0)
    assert not get(cache, 1, now=500.0)
    put(cache, 2, now=500.0)
    assert (get(cache, 2, now=505.0), len(cache)) == (True, 1)


def test_a_large_request_takes_no_more_of_the_cache_than_a_small_one(world):
    for n in range(3):
        excluded = [f"{n}-{m}-{'x' * 80}" for m in range(5_000)]
        world.post("/v1/recommendations", {"userId": "ann", "excludeItemIds": excluded})
    kept = world.drawer._cache._rankings._kept
    assert len(kept) == 3
    assert max(len(part) for each in kept for part in each) < 100


def key(n):
    return Key(b"settings", f"user:u{n}", "1", "", b"digest")


def put(cache, n, *, now, seconds=10.0):
    cache.put_many([(key(n), Kept("v1", RANKING, now, now + seconds))], now=now, catalog=toy.CATALOG)


def get(cache, n, *, now):
    (found,) = cache.get_many([(key(n), "v1")], now=now, catalog=toy.CATALOG)
    return found.ranking is RANKING
