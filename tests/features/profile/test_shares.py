"""A device that several people use: what was done before a login is the one's who logs in, and nobody reaches another's."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tailorbird.catalog.keys import stable_key
from tailorbird.errors import TailorbirdError
from tailorbird.events.devices import device_words
from tailorbird.events.schema import Event
from tailorbird.exposures.profiles import fold_parts, joined_parts
from tailorbird.features.consent.handovers import MOST_HANDOVERS, NOBODY, Handover, Handovers
from tailorbird.features.consent.links import Links
from tailorbird.features.profile.folding import fold
from tailorbird.features.profile.merge import whole_profile
from tailorbird.features.profile.replay import ReplayProfiles
from tailorbird.features.profile.shares import own_turn, share_of
from tailorbird.features.profile.state import UserState
from tests.features.profile.test_merge import A7, anonymous
from tests.features.profile.test_state import assert_same
from tests.features.toy import CATALOG, DAY, FACTS, NOON, event, frame

LENGTH = 16
PEOPLE = ("ann", "bob", "cleo")
FLAT = ("drill", "saw", "novel")
"""Items of one category each."""


def login(message_id: str, user: str, time: float) -> Event:
    return event(message_id, "identify", None, time, user_id=user, anonymous_id="a7")


def logout(message_id: str, time: float, user: str | None = None) -> Event:
    return event(message_id, "logout", None, time, user_id=user, anonymous_id="a7")


def log_of(events: Sequence[Event]) -> list[Event]:
    """What the doors store of them."""
    return [*events, *device_words(events)]


def whole(events: Sequence[Event], key: str, *, length: int = LENGTH) -> UserState:
    return joined_parts(fold_parts({}, events, FACTS, history_length=length), key, history_length=length)


def seen(state: UserState) -> list[int]:
    return state.history["message"].tolist()


def messages(*names: str) -> list[int]:
    return [stable_key(name) for name in names]


def test_three_people_on_one_device_do_not_become_one() -> None:
    log = log_of(
        [
            anonymous("1", "click", "saw", NOON),
            login("in ann", "ann", NOON + 10),
            anonymous("2", "view", "drill", NOON + 20),
            logout("out ann", NOON + 30, "ann"),
            anonymous("3", "hide", "novel", NOON + 40),
            login("in bob", "bob", NOON + 50),
            logout("out", NOON + 60),
            anonymous("4", "click", "drill", NOON + 70),
        ]
    )
    assert seen(whole(log, "user:ann")) == messages("1", "2")
    assert seen(whole(log, "user:bob")) == messages("3")
    assert whole(log, "user:bob").hidden.tolist() == [stable_key("novel")]
    assert whole(log, "user:ann").hidden.tolist() == []
    assert seen(whole(log, A7)) == messages("4")
    cleo = log_of([*log, login("in cleo", "cleo", NOON + 80)])
    assert seen(whole(cleo, "user:cleo")) == messages("4")


def test_a_second_login_without_a_logout_ends_the_first_ones_turn() -> None:
    log = log_of(
        [
            anonymous("1", "click", "saw", NOON),
            login("in ann", "ann", NOON + 10),
            anonymous("2", "view", "drill", NOON + 20),
            login("in bob", "bob", NOON + 30),
            anonymous("3", "click", "novel", NOON + 40),
        ]
    )
    assert seen(whole(log, "user:ann")) == messages("1", "2")
    assert seen(whole(log, "user:bob")) == seen(whole(log, A7)) == messages("3")


def test_a_device_of_one_person_is_theirs_however_often_they_log_in() -> None:
    events = [anonymous("first", "hide", "saw", NOON)]
    for day in range(1, 2 * MOST_HANDOVERS):
        events.append(login(f"in {day}", "ann", NOON + day * DAY))
        events.append(logout(f"out {day}", NOON + (day + 0.5) * DAY))
    ann = whole(log_of(events), "user:ann")
    assert (ann.total, ann.hidden.tolist()) == (1, [stable_key("saw")])
    assert ann.sums.tobytes() == whole(events[:1], A7).sums.tobytes()


def test_what_one_hid_stays_hidden_however_much_others_do_after_them() -> None:
    """Beyond the history, by the day on which it was last touched."""
    after = [anonymous(f"m{n}", "view", "drill", NOON + 10 * DAY + n) for n in range(3 * LENGTH)]
    log = log_of(
        [
            anonymous("1", "hide", "novel", NOON),
            login("in ann", "ann", NOON + 2 * DAY),
            login("in bob", "bob", NOON + 4 * DAY),
            *after,
        ]
    )
    assert whole(log, "user:ann").hidden.tolist() == [stable_key("novel")]
    assert whole(log, "user:bob").hidden.tolist() == []
    assert whole(log, "user:bob").had.tolist() == [stable_key("drill")]


def test_a_withdrawal_parts_and_gives_nothing_to_the_next() -> None:
    log = log_of(
        [
            anonymous("1", "click", "saw", NOON),
            login("in ann", "ann", NOON + 10),
            login("in bob", "bob", NOON + 20),
            event("no", "unlink", None, NOON + 30, anonymous_id="a7"),
        ]
    )
    assert whole(log, "user:ann").total == whole(log, "user:bob").total == 0
    again = log_of([*log, login("in again", "ann", NOON + 40)])
    assert seen(whole(again, "user:ann")) == messages("1")


DEEDS = st.lists(
    st.tuples(
        st.integers(0, 30),
        st.one_of(
            st.sampled_from(FLAT),
            st.sampled_from([("in", who) for who in PEOPLE]),
            st.sampled_from([("out", None), ("out", "ann")]),
        ),
    ),
    max_size=14,
)


def owner_of(time: float, words: Sequence[Event]) -> str | None:
    """Whose something at this instant is: by the newest word before it, or after a logout by the next one."""
    before = [word for word in words if word.event_time <= time]
    after = [word for word in words if word.event_time > time]
    if before and before[-1].type == "identify":
        return before[-1].user_id
    return after[0].user_id if after and after[0].type == "identify" else None


@settings(max_examples=150, deadline=None)
@given(DEEDS, st.data())
def test_each_event_is_one_persons_however_all_of_it_arrives(
    deeds: list[tuple[int, object]], data: st.DataObject
) -> None:
    events = []
    for n, (at, what) in enumerate(deeds):
        time, name = NOON + at * DAY / 8 + n / 1000, f"m{n}"
        if isinstance(what, str):
            events.append(anonymous(name, "click", what, time))
        else:
            kind, who = what
            events.append(login(name, who, time) if kind == "in" else logout(name, time, who))
    log = log_of(events)
    arrived = data.draw(st.permutations(log)) + data.draw(
        st.lists(st.sampled_from(log)) if log else st.just([])
    )
    cut = data.draw(st.integers(0, len(arrived)))
    parts = fold_parts({}, arrived[:cut], FACTS, history_length=LENGTH)
    parts = fold_parts(parts, arrived[cut:], FACTS, history_length=LENGTH)
    words = sorted((each for each in events if each.type != "click"), key=lambda each: each.event_time)
    linked = {each.user_id for each in words if each.type == "identify"}
    replay = ReplayProfiles.of_frame(frame(log), CATALOG, length=LENGTH) if log else None
    for who in PEOPLE:
        mine = [
            each
            for each in events
            if each.type == "click" and who in linked and owner_of(each.event_time, words) == who
        ]
        live = joined_parts(parts, f"user:{who}", history_length=LENGTH)
        alone = fold(UserState.empty("x"), mine, FACTS, length=LENGTH)
        assert_same(live, alone)
        if replay is not None:
            (past,) = replay.states_at([f"user:{who}"], np.array([NOON + 40 * DAY]))
            assert_same(past, live)
            assert past.version == live.version


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 3)), max_size=200), st.data())
def test_words_are_bounded_and_their_order_does_not_matter(
    said: list[tuple[int, int]], data: st.DataObject
) -> None:
    words = [Handover(time, n + 1, user) for n, (time, user) in enumerate(said)]
    whole_set = Handovers.of(words)
    cut = data.draw(st.integers(0, len(words)))
    shuffled = data.draw(st.permutations(words))
    assert Handovers.of(shuffled[:cut]).joined(Handovers.of(shuffled[cut:])) == whole_set
    assert len(whole_set.words) <= MOST_HANDOVERS + 1
    if words:
        stored = Links(handovers=whole_set)
        assert Links.from_bytes(stored.to_bytes()) == stored


def test_what_was_before_the_remembered_words_is_nobodys_on_a_device_of_many() -> None:
    words = [Handover(n, n, 1 + n % 2) for n in range(3 * MOST_HANDOVERS)]
    handovers = Handovers.of(words)
    first = handovers.words[0].time
    assert min(turn.start for user in (1, 2) for turn in handovers.turns_of(user)) == first
    assert handovers.turns_of(NOBODY + 3) == []


def test_a_handover_is_a_new_version_of_the_device_and_no_behaviour() -> None:
    device = fold(UserState.empty(A7), [anonymous("1", "click", "saw", NOON)], FACTS)
    handed = fold(device, device_words([login("in", "ann", NOON + 1)]), FACTS)
    assert (handed.total, own_turn(handed).total) == (1, 1)
    assert handed.version != device.version
    assert share_of(handed, "user:ann").links.handovers == Handovers()
    assert whole_profile(handed, []).version == handed.version


def test_a_login_that_does_not_say_whose_is_a_fault_with_a_remedy() -> None:
    (word,) = device_words([login("in", "ann", NOON)])
    with pytest.raises(TailorbirdError, match="only the platform"):
        Links.of([replace(word, context={})])


def test_the_word_under_the_device_names_nobody() -> None:
    (word,) = device_words([login("secret-message", "ann@example.org", NOON)])
    assert "ann" not in repr(word)
    assert "secret" not in repr(word)
    assert device_words([word, logout("alone", NOON), anonymous("1", "click", "saw", NOON)]) == []
