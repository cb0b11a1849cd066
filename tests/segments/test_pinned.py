"""A pinned segment model places people as the live path does, and its features say so, whatever is promoted since."""

from pathlib import Path

import numpy as np

from tailorbird.features.history.facts import ItemFacts
from tailorbird.features.profile.folding import fold
from tailorbird.features.profile.state import UserState
from tailorbird.features.table import SEGMENT_FEATURES, SEGMENT_PLACES
from tailorbird.segments.pinned import Pin, PinnedSegments, Placed, segment_vector
from tests.features.toy import NOON, event, random_shop
from tests.segments.carters import CARTS, LOOKS, carters

CATALOG, HAPPENED = random_shop(users=6, items=20, events=400, days=3, seed=5)
FACTS = ItemFacts.of(CATALOG)
PINNED = PinnedSegments(Pin("toy.segments", "3", "abc"), carters())


def named(placed: Placed) -> dict[str, float]:
    return dict(zip(SEGMENT_FEATURES, segment_vector(placed).tolist(), strict=True))


def did(*kinds: str) -> UserState:
    events = [event(f"m{n}", kind, "i1", NOON + n) for n, kind in enumerate(kinds)]
    return fold(UserState.empty("user:ann"), events, FACTS)


def test_who_is_placed_is_where_the_live_path_has_them() -> None:
    for user in sorted({each.user_key for each in HAPPENED}):
        state = fold(UserState.empty(user), [each for each in HAPPENED if each.user_key == user], FACTS)
        placed, live = PINNED.placed(state), PINNED.model.assign(state)
        assert PINNED.key_of(placed) == live.key
        assert placed.lead == live.evidence
        if live.key:
            assert dict(zip(PINNED.model.keys, placed.shares.tolist(), strict=True)) == live.memberships


def test_features_say_segment_memberships_and_margin() -> None:
    placed = PINNED.placed(did("view", "view", "view", "view"))
    said = named(placed)
    assert PINNED.key_of(placed) == LOOKS
    assert (said["segment_known"], said["segment_in_1"], said["segment_in_2"]) == (1.0, 1.0, 0.0)
    assert said["segment_share_1"] > 0.5 > said["segment_share_2"] > 0.0
    assert np.isclose(said["segment_share_1"] + said["segment_share_2"], 1.0)
    assert np.isclose(said["segment_margin"], np.arcsinh(placed.lead))
    carted = named(PINNED.placed(did(*["add_to_cart"] * 4)))
    assert (carted["segment_in_1"], carted["segment_in_2"]) == (0.0, 1.0)


def test_of_whom_too_little_was_seen_every_feature_is_the_fill_value() -> None:
    assert not segment_vector(PINNED.placed(did("view"))).any()
    assert PINNED.key_of(PINNED.placed(did("view"))) == ""


def test_who_left_their_usual_segment_has_moved() -> None:
    assert named(Placed(1, 0, 2.0, np.array([0.3, 0.7])))["segment_moved"] == 1.0
    assert named(Placed(1, 1, 2.0, np.array([0.3, 0.7])))["segment_moved"] == 0.0


def test_segments_beyond_the_last_place_have_no_column_of_their_own() -> None:
    count = SEGMENT_PLACES + 3
    vector = segment_vector(Placed(count - 1, 0, 1.0, np.full(count, 1.0 / count)))
    said = dict(zip(SEGMENT_FEATURES, vector.tolist(), strict=True))
    assert said["segment_known"] == 1.0
    assert sum(said[f"segment_in_{n}"] for n in range(1, SEGMENT_PLACES + 1)) == 0.0
    assert np.isclose(said[f"segment_share_{SEGMENT_PLACES}"], 1.0 / count)


def test_what_is_saved_comes_back_with_its_version(tmp_path: Path) -> None:
    PINNED.save(tmp_path / "segments")
    found = PinnedSegments.load(tmp_path / "segments")
    assert found.pin == Pin("toy.segments", "3", "abc")
    state = did("view", "add_to_cart", "add_to_cart", "add_to_cart")
    assert found.key_of(found.placed(state)) == PINNED.key_of(PINNED.placed(state)) == CARTS
