"""Merging: two keys' profiles joined when read, as if it had all been done under one; parted as if never joined."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tailorbird.catalog.keys import stable_key
from tailorbird.events.schema import Event
from tailorbird.features.consent.links import MOST_LINKS, NO_LINKS, Link, Links
from tailorbird.features.history.facts import ItemFacts
from tailorbird.features.profile.folding import fold
from tailorbird.features.profile.merge import merge_all, merge_states, with_linked
from tailorbird.features.profile.replay import ReplayProfiles
from tailorbird.features.profile.state import UserState
from tailorbird.features.vectors.user import user_vector
from tests.features.profile.test_state import assert_same
from tests.features.toy import CATALOG, DAY, FACTS, NOON, event, frame, random_shop

A7, A8 = "anon:a7", "anon:a8"
SEEDS = st.integers(0, 10_000)


def anonymous(message_id: str, type_: str, item_id: str, time: float, name: str = "a7") -> Event:
    return event(message_id, type_, item_id, time, user_id=None, anonymous_id=name)


def link(message_id: str, kind: str, time: float, anonymous_id: str = "a7") -> Event:
    return event(message_id, kind, None, time, anonymous_id=anonymous_id)


def some_state(key: str, seed: int, *, events: int = 24) -> tuple[UserState, list[Event], ItemFacts]:
    catalog, made = random_shop(users=1, items=9, events=events, days=20, seed=seed)
    facts = ItemFacts.of(catalog)
    return fold(UserState.empty(key), made, facts, length=16), made, facts


def test_what_was_done_before_the_login_is_part_of_the_profile() -> None:
    before = fold(
        UserState.empty(A7),
        [anonymous("1", "click", "kettle", NOON), anonymous("2", "hide", "saw", NOON + 1)],
        FACTS,
    )
    after = fold(UserState.empty("user:ann"), [event("3", "click", "drill", NOON + DAY)], FACTS)
    merged = merge_states(before, after)
    assert merged.user_key == "user:ann"
    assert_same(
        merged,
        fold(
            UserState.empty("x"),
            [
                event("1", "click", "kettle", NOON),
                event("2", "hide", "saw", NOON + 1),
                event("3", "click", "drill", NOON + DAY),
            ],
            FACTS,
        ),
    )
    assert merged.hidden.tolist() == [stable_key("saw")]
    assert merged.version not in (before.version, after.version)


@settings(max_examples=40, deadline=None)
@given(SEEDS, st.integers(0, 24))
def test_merging_is_as_if_it_had_all_been_done_under_one_key(seed: int, cut: int) -> None:
    whole, events, facts = some_state("user:x", seed)
    one = fold(UserState.empty("user:x"), events[:cut], facts, length=16)
    other = fold(UserState.empty(A7), events[cut:], facts, length=16)
    merged = merge_states(one, other, length=16)
    assert_same(merged, whole)
    now = NOON + 30 * DAY
    np.testing.assert_allclose(user_vector(merged, now=now), user_vector(whole, now=now), rtol=0, atol=1e-6)


@settings(max_examples=40, deadline=None)
@given(SEEDS, st.permutations([0, 1, 2, 0, 2]))
def test_order_grouping_and_repetition_do_not_matter(seed: int, order: list[int]) -> None:
    keys = ("user:x", A7, A8)
    states = [some_state(key, seed + n, events=3 + 9 * n)[0] for n, key in enumerate(keys)]
    a, b, c = states
    left = merge_states(merge_states(a, b, length=16), c, length=16)
    right = merge_states(a, merge_states(c, b, length=16), length=16)
    assert_same(left, right)
    assert merge_states(a, b, length=16).sums.tobytes() == merge_states(b, a, length=16).sums.tobytes()
    assert_same(merge_all([states[n] for n in order], length=16), left)
    assert_same(merge_states(a, a, length=16), a)
    assert_same(merge_states(a, UserState.empty(A7), length=16), a)


WORDS = st.lists(
    st.tuples(
        st.sampled_from(["a7", "a8", "a9"]), st.integers(0, 5), st.sampled_from(["identify", "unlink"])
    ),
    max_size=8,
)


@given(WORDS, st.data())
def test_the_newest_word_on_an_id_counts_however_it_arrives(
    words: list[tuple[str, int, str]], data: st.DataObject
) -> None:
    events = [link(f"m{n}", kind, NOON + at, who) for n, (who, at, kind) in enumerate(words)]
    newest: dict[str, Link] = {}
    for each in events:
        said = Link(round(each.event_time * 1e6), stable_key(each.message_id), each.type == "identify")
        newest[each.anonymous_id] = max(said, newest.get(each.anonymous_id, said))
    first = {who: min(NOON + at for each, at, _ in words if each == who) for who in newest}
    newest = {
        who: said._replace(since=round(first[who] * 1e6) if round(first[who] * 1e6) < said.time else 0)
        for who, said in newest.items()
    }
    arrived = data.draw(st.permutations(events)) + (
        data.draw(st.lists(st.sampled_from(events))) if events else []
    )
    cut = data.draw(st.integers(0, len(arrived)))
    state = fold(fold(UserState.empty("user:ann"), arrived[:cut], FACTS), arrived[cut:], FACTS)
    assert dict(state.links.newest) == newest
    assert state.links.keys == tuple(f"anon:{who}" for who in sorted(newest) if newest[who].joined)
    assert Links.from_bytes(state.links.to_bytes()) == state.links
    assert state.total == 0  # a login is no behaviour


def test_links_stay_bounded_and_the_newest_remain() -> None:
    links = Links.of([link(f"m{n}", "identify", NOON + n, f"a{n}") for n in range(3 * MOST_LINKS)])
    assert len(links.newest) == MOST_LINKS
    assert f"a{3 * MOST_LINKS - 1}" in links.newest
    assert "a0" not in links.newest


def test_a_link_that_names_nobody_says_nothing() -> None:
    lone = event("1", "identify", None, NOON)
    assert Links.of([lone, anonymous("2", "identify", "kettle", NOON)]) is NO_LINKS


def test_a_new_link_is_a_new_version_and_so_is_its_end() -> None:
    state = fold(UserState.empty("user:ann"), [event("1", "view", "kettle", NOON)], FACTS)
    joined = fold(state, [link("2", "identify", NOON + 1)], FACTS)
    parted = fold(joined, [link("3", "unlink", NOON + 2)], FACTS)
    assert len({state.version, joined.version, parted.version}) == 3


def test_parted_profiles_are_as_if_never_joined() -> None:
    store = {A7: fold(UserState.empty(A7), [anonymous("1", "click", "kettle", NOON)], FACTS)}

    def fetch(places: list[int], keys: list[str]) -> list[UserState]:
        return [store[key] for key in keys]

    ann = fold(UserState.empty("user:ann"), [event("2", "view", "saw", NOON + 1)], FACTS)
    joined = fold(ann, [link("3", "identify", NOON + 2)], FACTS)
    assert with_linked([joined], fetch)[0].total == 2
    parted = fold(joined, [link("4", "unlink", NOON + 3)], FACTS)
    assert_same(with_linked([parted], fetch)[0], ann)


def test_a_replay_joins_at_the_login_and_parts_at_the_withdrawal() -> None:
    log = [
        anonymous("1", "click", "kettle", NOON),
        event("2", "view", "saw", NOON + 10),
        link("3", "identify", NOON + 20),
        anonymous("4", "view", "drill", NOON + 25),
        link("5", "unlink", NOON + 30),
    ]
    replay = ReplayProfiles.of_frame(frame(log), CATALOG)
    instants = np.array([NOON + 15, NOON + 20, NOON + 21, NOON + 26, NOON + 31])
    states = replay.states_at(["user:ann"] * 5, instants)
    assert [state.total for state in states] == [1, 1, 2, 3, 1]
    assert replay.states_at([A7], instants[4:])[0].total == 2


@pytest.mark.parametrize("stored", [b"{", b'{"a": 3}', b'{"a": [1]}'])
def test_damaged_links_are_no_empty_links(stored: bytes) -> None:
    with pytest.raises((ValueError, TypeError)):
        Links.from_bytes(stored)
