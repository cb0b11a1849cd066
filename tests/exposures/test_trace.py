"""The trace says who brought each item, what pushed it and what was dropped, in words."""

from dataclasses import replace

import orjson
import pytest

from tailorbird.exposures.codec import pack, unpack
from tailorbird.exposures.record import exposure_of
from tailorbird.exposures.trace import MOST_EVENTS, trace_of
from tailorbird.features.demographics import demographics_of
from tailorbird.features.profile.state import UserState
from tailorbird.features.table import HISTORY_LENGTH
from tailorbird.slate.query import Query


@pytest.fixture(scope="module")
def answered(shop):
    """An answer to somebody with a past, as it comes out of the stream, and that past."""
    user, events = next(
        (user, events)
        for user, events in shop.by_user.items()
        if len(events) >= 20 and any(event.type == "view" for event in events)
    )
    query = shop.query(user, events, k=8, explain=True)
    slate = shop.recommender.recommend(query)
    exposure = exposure_of(
        slate,
        query,
        recommendation_id="r1",
        user_id=user,
        anonymous_id=None,
        session_id=None,
        scenario="home",
        arm="champion",
        item_ids=shop.catalog.item_ids,
    )
    return slate, unpack(pack(exposure)), events


def traced(shop, exposure, events, **changes):
    asked = {
        "events": events,
        "facts": shop.facts,
        "recommender": shop.recommender,
        "demographics": demographics_of(shop.users)[exposure.user_key],
        "history_length": HISTORY_LENGTH,
        **changes,
    }
    trace = trace_of(exposure, **asked)
    return orjson.loads(orjson.dumps(trace))


def test_every_item_has_its_sources_with_their_places(shop, answered):
    slate, exposure, events = answered
    trace = traced(shop, exposure, events)
    assert [item["itemId"] for item in trace["items"]] == [item.item_id for item in slate.items]
    for told, shown in zip(trace["items"], slate.items, strict=True):
        assert [source["name"] for source in told["sources"]] == list(shown.sources)
        assert all(f"number {source['place']} of" in source["words"] for source in told["sources"])
        assert told["words"].startswith(str(shop.catalog.items["title"][shop.catalog.row_of[shown.item_id]]))


def test_reasons_name_events_of_this_person_and_what_would_be_without_them(shop, answered):
    _, exposure, events = answered
    trace = traced(shop, exposure, events)
    assert trace["profile"] == {
        "version": exposure.profile_version,
        "events": len(events),
        "rebuilt": True,
    }
    assert trace["notes"] == []
    reasons = [because for item in trace["items"] for because in item["because"]]
    past = {event.message_id for event in events}
    assert reasons
    assert {event["messageId"] for because in reasons for event in because["events"]} <= past
    assert all("without it this item would" in because["words"] for because in reasons)
    assert len(orjson.dumps(trace)) < 100_000


def test_what_was_dropped_stands_beside_its_rule(shop, answered):
    slate, exposure, events = answered
    removed = traced(shop, exposure, events)["removed"]
    assert {part["rule"]: part["count"] for part in removed} == {
        part.reason: part.count for part in slate.removed
    }
    seen = next(part for part in removed if part["rule"] == "seen")
    assert "already had by this person" in seen["words"]
    assert set(seen["itemIds"]) <= {event.item_id for event in events}


def test_without_the_model_the_rest_is_told_and_the_gap_named(shop, answered):
    _, exposure, events = answered
    trace = traced(shop, exposure, events, recommender=None)
    assert all(item["sources"] and not item["because"] for item in trace["items"])
    assert "version 1 of the model is not loaded" in trace["notes"][0]


def test_a_past_that_is_gone_is_said_to_be_gone(shop, answered):
    _, exposure, _ = answered
    trace = traced(shop, exposure, [])
    assert not trace["profile"]["rebuilt"]
    assert "cannot be rebuilt" in trace["notes"][0]


def test_a_past_too_long_is_not_folded_again(shop, answered):
    _, exposure, events = answered
    many = [events[0]] * (MOST_EVENTS + 1)
    trace = traced(shop, exposure, many)
    assert "more than are folded again" in trace["notes"][0]
    assert trace["items"][0]["sources"]


def test_an_answer_from_lists_needs_no_profile(shop):
    lists = replace(shop.recommender, stages=None)
    asked = Query(UserState.empty("anon:a"), shop.end, k=3)
    made = exposure_of(
        lists.recommend(asked), asked, recommendation_id="r2", user_id=None, anonymous_id="a",
        session_id=None, scenario="home", arm="champion",
    )  # fmt: skip
    trace = trace_of(made, events=[], facts=shop.facts, recommender=None, history_length=HISTORY_LENGTH)
    assert trace["items"][0]["sources"][0]["words"].startswith("filled in, number 1 of what is popular")
    assert "the same for everybody" in trace["notes"][0]
