"""The features an answer used are those that the stream of events gives; where they are not, it is said which."""

from dataclasses import replace

import numpy as np
import pytest

from tailorbird.exposures.parity import COLUMNS, TOLERANCE, check_parity, read_sample
from tailorbird.exposures.past import events_of_person
from tailorbird.exposures.profiles import fold_parts, joined_parts, rebuild_profile
from tailorbird.exposures.record import exposure_of
from tailorbird.features.demographics import demographics_of, segment_of
from tailorbird.features.table import HISTORY_LENGTH, SEGMENT_FEATURES, USER_FEATURES
from tailorbird.segments.pinned import Pin, PinnedSegments, segment_vector
from tailorbird.settings import load_settings
from tailorbird.slate.query import Query
from tailorbird.streams.factory import compact_stream, open_events, open_exposures
from tests.segments.carters import carters

PEOPLE = 6


@pytest.fixture
def settings(tmp_path):
    return load_settings(home=tmp_path, workspace="w")


def answered(shop, events, user_key, *, n, at):
    """What serving stores of an answer to somebody whose profile holds ``events``."""
    parts = fold_parts({}, events, shop.facts, history_length=HISTORY_LENGTH)
    state = joined_parts(parts, user_key, history_length=HISTORY_LENGTH)
    person = demographics_of(shop.users).get(user_key)
    known = {} if person is None else {"demographics": person, "segment": segment_of(person)}
    query = Query(state, at, k=3, **known)
    slate = shop.recommender.recommend(query)
    return exposure_of(
        slate,
        query,
        recommendation_id=f"r{n:03d}",
        user_id=user_key.removeprefix("user:"),
        anonymous_id=None,
        session_id=None,
        scenario="home",
        arm="champion",
        inputs=shop.recommender.stages.inputs(query, slate.found),
    )


@pytest.fixture
def world(shop, settings):
    """Some people's past in the stream of events, and answers along it in the stream of exposures."""
    events, shown = open_events(settings), open_exposures(settings)
    n = 0
    for user in sorted(shop.by_user)[:PEOPLE]:
        past = sorted(shop.by_user[user], key=lambda event: event.received_time)
        events.append(past)
        for count in {1, len(past) // 2, len(past)}:
            at = past[count - 1].received_time
            ready = [event for event in past if event.received_time <= at]
            shown.append([answered(shop, ready, f"user:{user}", n=n, at=at + 0.5)])
            n += 1
    yield events, shown
    events.close()
    shown.close()


def parity(shop, world, sample=None, **options):
    events, shown = world
    return check_parity(
        read_sample(shown.scan(columns=COLUMNS), limit=1_000) if sample is None else sample,
        events_of=lambda user_key: events_of_person(events, user_key),
        facts=shop.facts,
        people=demographics_of(shop.users),
        history_length=HISTORY_LENGTH,
        **options,
    )


PINNED = PinnedSegments(Pin("toy.segments", "1", ""), carters())


def with_segments(shop, world, pinned):
    """The sample as of a model whose ranker reads the segments of ``pinned``."""
    sample = []
    for each in read_sample(world[1].scan(columns=COLUMNS), limit=1_000):
        events = events_of_person(world[0], each.user_key)
        rebuilt = rebuild_profile(
            each.user_key,
            events,
            shop.facts,
            instant=each.scored_at,
            version=each.profile_version,
            history_length=HISTORY_LENGTH,
        )
        placed = pinned.placed(rebuilt.state, demographics_of(shop.users)[each.user_key])
        vector = np.concatenate([each.vector, segment_vector(placed)])
        sample.append(replace(each, vector=vector, model_version="7"))
    return sample


def test_segments_are_proved_by_the_version_that_the_model_pins(shop, world):
    sample = with_segments(shop, world, PINNED)
    asked = []
    found = parity(shop, world, sample, pinned_by=lambda version: asked.append(version) or PINNED)
    assert found.holds, found
    assert asked == ["7"]
    assert any(each.vector[len(USER_FEATURES)] for each in sample)
    stale = PinnedSegments(
        PINNED.pin, replace(PINNED.model, weights=PINNED.model.weights._replace(least=99.0))
    )
    found = parity(shop, world, sample, pinned_by=lambda version: stale)
    assert not found.holds
    assert {each.feature for each in found.differing} <= set(SEGMENT_FEATURES)


def test_of_a_version_that_is_gone_the_other_features_are_proved(shop, world):
    sample = with_segments(shop, world, PINNED)
    assert parity(shop, world, sample, pinned_by=lambda version: None).holds
    sample[0] = replace(sample[0], vector=sample[0].vector + 1.0)
    assert len(parity(shop, world, sample, pinned_by=lambda version: None).differing) == 1


def test_what_answers_used_is_what_the_events_give(shop, world):
    found = parity(shop, world)
    assert found.checked >= 2 * PEOPLE
    assert found.holds, found
    assert found.worst <= TOLERANCE


def test_it_holds_after_compaction_too(shop, world):
    for stream in world:
        assert compact_stream(stream).records
    assert parity(shop, world).holds


def test_a_vector_that_is_off_is_found_with_its_feature(shop, world):
    sample = read_sample(world[1].scan(columns=COLUMNS), limit=1_000)
    place = USER_FEATURES.index("since_last")
    vector = sample[3].vector.copy()
    vector[place] += 1e-3
    sample[3] = replace(sample[3], vector=vector)
    found = parity(shop, world, sample)
    (difference,) = found.differing
    assert (difference.recommendation_id, difference.feature) == (sample[3].recommendation_id, "since_last")
    assert difference.by == pytest.approx(1e-3, rel=1e-3)
    assert not found.holds


def test_a_vector_that_is_no_number_is_off(shop, world):
    sample = read_sample(world[1].scan(columns=COLUMNS), limit=1)
    found = parity(shop, world, [replace(sample[0], vector=np.full_like(sample[0].vector, np.nan))])
    assert not found.holds


def test_a_profile_that_lost_its_events_is_unfounded(shop, world):
    events, _ = world
    user = sorted(shop.by_user)[0]
    events.forget(f"user:{user}")
    found = parity(shop, world)
    assert len(found.unfounded) >= 1
    assert not found.holds


def test_a_linked_profile_is_made_of_all_its_keys(shop, settings):
    user, other = sorted(shop.by_user)[:2]
    past = sorted(shop.by_user[user], key=lambda event: event.received_time)
    theirs = [
        replace(event, user_id=None, anonymous_id="visitor", message_id=f"a-{event.message_id}")
        for event in shop.by_user[other]
    ]
    end = max(event.received_time for event in [*past, *theirs])
    link = replace(
        past[-1], message_id="link", type="identify", anonymous_id="visitor", item_id=None,
        event_time=end, received_time=end, value=None,
    )  # fmt: skip
    every = sorted([*past, *theirs, link], key=lambda event: event.received_time)
    with open_events(settings) as events, open_exposures(settings) as shown:
        events.append(every)
        shown.append([answered(shop, every, f"user:{user}", n=0, at=end + 1)])
        found = parity(shop, (events, shown))
    assert (found.checked, found.holds) == (1, True), found


def test_only_the_newest_of_the_sample_are_read(shop, world):
    assert [
        each.recommendation_id for each in read_sample(world[1].scan(columns=COLUMNS), limit=2)
    ] == sorted(each.recommendation_id for each in read_sample(world[1].scan(columns=COLUMNS), limit=1_000))[
        -2:
    ]
