"""The profile: decayed sums with known answers, and the laws of folding."""

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tailorbird.catalog.keys import stable_key
from tailorbird.events.schema import Event
from tailorbird.features.history.facts import ItemFacts
from tailorbird.features.history.records import records_of, records_of_frame
from tailorbird.features.history.sums import PRICE, TYPE_CODE, VALUE
from tailorbird.features.profile.folding import fold
from tailorbird.features.profile.state import UserState
from tailorbird.features.table import USER_HALF_LIVES
from tailorbird.streams.position import Position
from tests.features.toy import CATALOG, DAY, FACTS, NOON, event, frame, random_shop

ANN = UserState.empty("ann")
HORIZONS = list(USER_HALF_LIVES)


def count(state: UserState, type_: str, horizon: str) -> float:
    return float(state.sums[TYPE_CODE[type_] * len(HORIZONS) + HORIZONS.index(horizon)])


def assert_same(left: UserState, right: UserState) -> None:
    assert left.history.tobytes() == right.history.tobytes()
    np.testing.assert_allclose(left.sums, right.sums, rtol=1e-9, atol=1e-9)
    assert left.affinity_keys.tolist() == right.affinity_keys.tolist()
    np.testing.assert_allclose(left.affinity, right.affinity, rtol=1e-9, atol=1e-9)
    assert left.had_set.to_bytes() == right.had_set.to_bytes()
    assert left.hidden_set.to_bytes() == right.hidden_set.to_bytes()
    assert (left.first_seen, left.last_seen, left.total) == (right.first_seen, right.last_seen, right.total)


def test_a_click_one_half_life_old_counts_half() -> None:
    state = fold(ANN, [event("1", "click", "kettle", NOON), event("2", "click", "drill", NOON + DAY)], FACTS)
    assert count(state, "click", "day") == pytest.approx(1.5)
    assert count(state, "click", "week") == pytest.approx(1 + 2 ** (-1 / 7))
    assert count(state, "click", "ever") == pytest.approx(2.0)


def test_affinity_follows_strength_and_knows_category_path_and_brand() -> None:
    state = fold(ANN, [event("1", "purchase", "kettle", NOON), event("2", "view", "saw", NOON)], FACTS)
    held = dict(zip(state.affinity_keys.tolist(), state.affinity.tolist(), strict=True))
    kettle, saw = (FACTS.affinity_of(CATALOG.row_of[name]).tolist() for name in ("kettle", "saw"))
    assert len(kettle) == 3  # home, kitchen, acme
    assert len(saw) == 1  # tools, no brand
    assert [held[key] for key in kettle] == [5.0, 5.0, 5.0]
    assert [held[key] for key in saw] == [1.0]


def test_price_and_rating_sums_take_only_what_is_known() -> None:
    events = [event("1", "view", "novel", NOON), event("2", "rating", "saw", NOON, value=4.0)]
    state = fold(ANN, events, FACTS)
    log_price = float(np.float32(np.log1p(15.0)))
    assert state.sums[PRICE].tolist() == pytest.approx([1.0, log_price, log_price**2])
    assert state.sums[VALUE].tolist() == [1.0, 4.0, 16.0]


def test_passive_events_count_but_leave_the_history() -> None:
    passive = [event(str(n), "impression", "kettle", NOON + n) for n in range(5)]
    state = fold(ANN, [*passive, event("h", "hover", "kettle", NOON)], FACTS)
    assert len(state.history) == 0
    assert count(state, "impression", "ever") == 5.0
    assert count(state, "other", "ever") == 1.0


def test_history_keeps_the_newest_by_the_time_they_happened() -> None:
    events = [event(str(n), "view", "kettle", NOON + n) for n in range(12)]
    state = fold(fold(ANN, events[4:], FACTS, length=8), events[:4], FACTS, length=8)
    assert state.times.tolist() == [NOON + n for n in range(4, 12)]
    assert state.total == 12
    assert count(state, "view", "ever") == 12.0


def test_what_was_had_or_hidden_outlasts_the_history() -> None:
    first = [
        event("1", "purchase", "kettle", NOON),
        event("2", "hide", "novel", NOON + 1),
        event("3", "rating", "saw", NOON + 2, value=1.0),
        event("4", "impression", "teapot", NOON + 3),
    ]
    later = [event(f"v{n}", "view", f"i{n}", NOON + 10 + n) for n in range(8)]
    state = fold(ANN, [*first, *later], FACTS, length=8)
    assert not {stable_key(name) for name in ("kettle", "novel", "saw")} & set(state.history["item"].tolist())
    assert state.hidden.tolist() == [stable_key("novel")]
    wanted = {stable_key(name) for name in ("kettle", "saw", *(f"i{n}" for n in range(8)))}
    assert (
        set(state.had.tolist()) == wanted
    )  # the disliked saw too: it was met; the teapot was only on the screen
    liked = fold(state, [event("5", "like", "novel", NOON + 99)], FACTS)
    assert liked.hidden.tolist() == [stable_key("novel")]  # nothing brings a hidden item back


def test_one_star_does_not_speak_for_its_item_and_a_return_takes_the_purchase_back() -> None:
    kettle = FACTS.affinity_of(CATALOG.row_of["kettle"]).tolist()

    def held(*events: Event) -> list[float]:
        state = fold(ANN, list(events), FACTS)
        found = dict(zip(state.affinity_keys.tolist(), state.affinity.tolist(), strict=True))
        return [found[key] for key in kettle]

    assert held(event("1", "rating", "kettle", NOON, value=1.0)) == [-0.5] * 3
    bought = event("1", "purchase", "kettle", NOON, value=30.0)
    assert held(bought, event("2", "purchase", "kettle", NOON, value=-30.0)) == [0.0] * 3


def test_an_unknown_item_is_remembered_by_key_without_affinity() -> None:
    state = fold(ANN, [event("1", "click", "unheard-of", NOON)], FACTS)
    assert state.history["item"].tolist() == state.had.tolist() == [stable_key("unheard-of")]
    assert len(state.affinity) == 0


def test_version_changes_with_every_event_even_a_late_one() -> None:
    first = fold(ANN, [event("1", "view", "kettle", NOON), event("2", "view", "saw", NOON + 9)], FACTS)
    late = fold(first, [event("3", "view", "drill", NOON + 5)], FACTS)
    assert len({ANN.version, first.version, late.version}) == 3


def test_folding_leaves_the_profile_it_started_from_alone() -> None:
    first = fold(ANN, [event("1", "purchase", "kettle", NOON)], FACTS)
    before = (first.sums.copy(), first.affinity.copy(), first.history.copy())
    fold(first, [event("2", "purchase", "teapot", NOON + 5), event("3", "view", "novel", NOON - 5)], FACTS)
    for kept, now in zip(before, (first.sums, first.affinity, first.history), strict=True):
        assert kept.tobytes() == now.tobytes()


def test_rows_round_trip_and_a_missing_row_is_an_empty_profile() -> None:
    state = fold(ANN, [event("1", "purchase", "kettle", NOON, value=2.0)], FACTS, places=[(1, 7)])
    again = UserState.from_row("ann", state.to_row())
    assert_same(again, state)
    assert again.applied == state.applied == Position({1: 7})
    assert UserState.from_row("ann", {"total": None}).total == 0


def test_what_was_applied_is_not_applied_again() -> None:
    first, second = event("1", "impression", "kettle", NOON), event("2", "impression", "saw", NOON)
    state = fold(ANN, [first, second], FACTS, places=[(0, 3), (2, 1)])
    assert state.applied == Position({0: 3, 2: 1})
    assert fold(state, [first, second], FACTS, places=[(0, 3), (2, 1)]) is state
    later = fold(state, [second, event("3", "impression", "saw", NOON)], FACTS, places=[(2, 1), (2, 9)])
    assert count(later, "impression", "ever") == 3.0


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10_000), data=st.data())
def test_order_batches_and_duplicates_do_not_matter(seed: int, data: st.DataObject) -> None:
    catalog, events = random_shop(users=1, items=6, events=30, days=20, seed=seed)
    facts = ItemFacts.of(catalog)
    punctual = fold(UserState.empty("x"), sorted(events, key=lambda e: e.event_time), facts, length=16)
    log = list(enumerate(data.draw(st.permutations(events)), start=1))  # in the order they were heard of
    cut = data.draw(st.integers(0, len(log)))
    again = sorted(data.draw(st.sets(st.integers(0, cut))))  # a reader that died sends some once more
    state = UserState.empty("x")
    for batch in (log[:cut], [log[n] for n in again if n < cut] + log[cut:]):
        state = fold(state, [e for _, e in batch], facts, places=[(0, n) for n, _ in batch], length=16)
    assert_same(state, punctual)


def test_keys_are_the_same_in_every_process() -> None:
    assert stable_key("kettle") == -6267887250103930856
    assert stable_key(None) == stable_key("") == 0


def test_frames_and_events_give_the_same_records() -> None:
    _, events = random_shop(users=3, items=6, events=50, days=2, seed=1)
    ordered = sorted(events, key=lambda e: e.event_time)
    one, other = records_of(ordered, FACTS), records_of_frame(frame(ordered), FACTS)
    assert one.packed.tobytes() == other.packed.tobytes()
    assert one.rows.tolist() == other.rows.tolist()


def test_compiled_code_sees_no_difference_between_a_stored_and_a_folded_profile() -> None:
    folded = fold(ANN, [event("1", "view", "kettle", NOON), event("2", "purchase", "saw", NOON + 1)], FACTS)
    stored = UserState.from_row("ann", folded.to_row())
    for name in ("history", "sums", "affinity_keys", "affinity"):  # else a replica would compile in a request
        kinds = {numba.typeof(getattr(state, name)) for state in (folded, stored, ANN)}
        assert len(kinds) == 1, name
