"""A refusal ends the use of what was done before it, in whatever order words and deeds are heard, here and in a replay."""

import itertools
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tailorbird.errors import TailorbirdError
from tailorbird.events.schema import CONSENT, Event
from tailorbird.exposures.profiles import fold_parts, joined_parts
from tailorbird.features.consent.consents import MOST_WORDS, NO_CONSENTS, Consents, Word
from tailorbird.features.consent.handovers import ALWAYS
from tailorbird.features.consent.links import MOST_LINKS, Links
from tailorbird.features.consent.purposes import NEEDED, Refusals
from tailorbird.features.consent.standing import BASIS
from tailorbird.features.history.records import frame_microseconds
from tailorbird.features.profile.folding import fold
from tailorbird.features.profile.replay import ReplayProfiles, Timelines
from tailorbird.features.profile.state import UserState
from tests.features.profile.test_state import assert_same
from tests.features.toy import CATALOG, FACTS, NOON, event, frame

LENGTH = 64
LATER = NOON + 1_000


def word(message_id: str, given: bool, time: float, **who: object) -> Event:
    return event(message_id, CONSENT, None, time, context={"purposes": {"personalization": given}}, **who)


def said_in(*words: tuple[int, bool]) -> Consents:
    found = NO_CONSENTS
    for number, (time, allows) in enumerate(words):
        found = found.joined(Consents({"personalization": (Word(time, number, allows),)}))
    return found


def test_events_serve_from_the_consent_after_the_last_refusal_on() -> None:
    assert NO_CONSENTS.since("personalization") == said_in((5, True)).since("personalization") == ALWAYS[0]
    assert said_in((5, False)).since("personalization") == ALWAYS[1]
    assert said_in((5, False), (7, True), (9, True)).since("personalization") == 7
    assert said_in((5, False), (7, True), (9, False), (12, True)).since("personalization") == 12
    assert said_in((5, False)).since("analytics") == ALWAYS[0]
    assert said_in((7, True), (5, False)).now == {"personalization": True}


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 3), st.booleans()), max_size=8), st.randoms())
def test_words_are_a_union_and_survive_storing(words: list[tuple[int, int, bool]], random: object) -> None:
    each = [Links(consents=Consents({"analytics": (Word(*one),)})) for one in words]
    whole = Links()
    for one in each:
        whole = whole.joined(one)
    random.shuffle(each)  # type: ignore[attr-defined]
    again = Links()
    for one in [*each, *each]:
        again = again.joined(one)
    assert again == whole
    assert Links.from_bytes(whole.to_bytes()) == whole


def test_the_newest_words_are_remembered() -> None:
    many = said_in(*((time, bool(time % 2)) for time in range(MOST_WORDS + 6)))
    assert many.count == MOST_WORDS
    assert many.newest == MOST_WORDS + 5


@given(st.lists(st.booleans(), max_size=4), st.integers(0, 2 * MOST_WORDS))
def test_no_number_of_further_consents_brings_back_what_a_refusal_ended(
    early: list[bool], further: int
) -> None:
    words = list(enumerate([*early, True]))
    after = said_in(*words, *((len(words) + number, True) for number in range(further)))
    for covered in (True, False):
        assert after.since("personalization", covered=covered) == said_in(*words).since(
            "personalization", covered=covered
        )
    assert after.count <= MOST_WORDS + 2


def test_a_consent_that_says_nothing_is_refused() -> None:
    with pytest.raises(TailorbirdError, match="not which purposes"):
        Links.of([event("c", CONSENT, None, NOON, context={})])


def test_no_profile_is_left_and_none_is_written_until_the_next_consent() -> None:
    before = fold(UserState.empty("user:ann"), [event("a", "view", "kettle", NOON)], FACTS)
    refused = fold(before, [word("c1", False, NOON + 1)], FACTS)
    assert (before.total, refused.total, len(refused.history), len(refused.had)) == (1, 0, 0, 0)
    assert refused.version != before.version
    still = fold(refused, [event("b", "view", "drill", NOON + 2)], FACTS)
    assert (still.total, len(still.had_set)) == (0, 0)
    again = fold(still, [word("c2", True, NOON + 3), event("d", "view", "saw", NOON + 4)], FACTS)
    assert again.times.tolist() == [NOON + 4]


CONTEXTS: dict[str, dict[str, object]] = {
    "of no basis": {"basis": []},
    "of another basis": {"basis": ["advertising"], "device": "mobile"},
    "refused itself": {"purposes": {"personalization": False}},
    "agreed itself": {"purposes": {"personalization": True}, "basis": []},
    "consented": {"consent": {"personalization": True, "advertising": False}, "basis": []},
}
"""What views say of themselves."""
DEEDS = st.tuples(
    st.sampled_from(["view", "hide", "impression", *CONTEXTS, "yes", "no", "login", "part"]),
    st.sampled_from(["user", "device"]),
    st.sampled_from(["kettle", "drill", "novel"]),
)


def history_of(deeds: Sequence[tuple[str, str, str]]) -> list[Event]:
    found = []
    for number, (kind, under, item) in enumerate(deeds):
        time, message = NOON + number, f"m{number}"
        who: dict[str, object] = (
            {"user_id": "ann"} if under == "user" else {"user_id": None, "anonymous_id": "a7"}
        )
        if kind in ("yes", "no"):
            found.append(word(message, kind == "yes", time, **who))
        elif kind in ("login", "part"):
            both = {"user_id": "ann", "anonymous_id": "a7"}
            found.append(event(message, "identify" if kind == "login" else "unlink", None, time, **both))
        elif kind in CONTEXTS:
            found.append(event(message, "view", item, time, context=CONTEXTS[kind], **who))
        else:
            found.append(event(message, kind, item, time, **who))
    return found


def allowed(events: Sequence[Event]) -> list[Event]:
    """By the definition, as slowly as it can be said: what the words among ``events`` let be used of them at the end."""
    found: list[Event] = []
    state: bool | None = None
    for each in events:
        if each.type == CONSENT:
            state = each.context["purposes"]["personalization"]  # type: ignore[index]
            found = found if state else []
        elif each.type in ("view", "hide") and state is not False and by_itself(each) is not False:
            found += [each] if state or by_itself(each) else []
    return found


def by_itself(deed: Event) -> bool | None:
    """Whether a deed may be used before anybody said a word; None: only by one."""
    if deed.context in (CONTEXTS["of no basis"], CONTEXTS["of another basis"]):
        return None
    return deed.context != CONTEXTS["refused itself"]


def permitted_times(events: Sequence[Event]) -> list[float]:
    """What may be used of ann: what all words of hers allow, and those under the key itself as well."""
    joined = False
    for each in events:
        if each.type in ("identify", "unlink"):
            joined = each.type == "identify"
    own = [each for each in events if each.user_id == "ann"]
    device = [each for each in events if each.user_id is None] if joined else []
    mine = [each for each in events if each in own or each in device]
    by_key = [*allowed(own), *allowed(device)]
    return [each.event_time for each in allowed(mine) if each in by_key]


def heard_one_by_one(events: Sequence[Event]) -> UserState:
    parts: dict[str, UserState] = {}
    for each in events:
        parts = fold_parts(parts, [each], FACTS, history_length=LENGTH)
    return joined_parts(parts, "user:ann", history_length=LENGTH)


@settings(max_examples=150, deadline=None)
@given(st.lists(DEEDS, max_size=14), st.randoms())
def test_no_deed_without_its_purpose_is_in_any_profile(
    deeds: list[tuple[str, str, str]], random: object
) -> None:
    events = history_of(deeds)
    expected = permitted_times(events)
    parts = fold_parts({}, events, FACTS, history_length=LENGTH)
    whole = joined_parts(parts, "user:ann", history_length=LENGTH)
    assert whole.times.tolist() == expected
    # One by one, as they arrive, then all at once from the log, then in another order.
    one_by_one: dict[str, UserState] = {}
    for each in events:
        one_by_one = fold_parts(one_by_one, [each], FACTS, history_length=LENGTH)
    assert_same(joined_parts(one_by_one, "user:ann", history_length=LENGTH), whole)
    if events:
        replayed = ReplayProfiles.of_frame(frame(events), CATALOG, length=LENGTH)
        assert_same(replayed.states_at(["user:ann"], np.array([LATER]))[0], whole)
    shuffled = list(events)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    heard = heard_one_by_one(shuffled)
    # What comes before the consent that allows it, and after a refusal, is not used until the profile is made anew.
    assert set(heard.times.tolist()) <= set(expected)
    assert heard.links == whole.links
    heard = heard_one_by_one(sorted(shuffled, key=lambda each: each.type != CONSENT))
    assert (heard.times.tolist(), heard.links) == (expected, whole.links)
    if not expected and not any(each.type == "impression" for each in events):
        assert (heard.total, float(heard.sums.sum()), len(heard.had_set)) == (0, 0.0, 0)


def asked_of(told: pd.DataFrame) -> pa.RecordBatch:
    """What a reader asks of events, in a log's own units."""
    batch = pa.RecordBatch.from_pandas(told[list(NEEDED)], preserve_index=False)
    for name in ("event_time", "received_time"):
        own = batch[name].cast(pa.timestamp("us", tz="UTC"))
        batch = batch.set_column(batch.schema.get_field_index(name), name, own)
    return batch


@settings(max_examples=150, deadline=None)
@given(st.lists(DEEDS, max_size=14))
def test_whoever_learns_is_given_no_deed_without_its_purpose(deeds: list[tuple[str, str, str]]) -> None:
    events = history_of(deeds)
    if not events:
        return
    told = frame(events)
    batch = asked_of(told)
    refusals = Refusals.of(told, purpose="personalization")
    kept = told[refusals.kept(batch)]
    assert set(told.loc[told["type"].isin([CONSENT, "identify", "unlink"]), "message_id"]) <= set(
        kept["message_id"]
    )
    done = kept[kept["type"].isin(["view", "hide"])]
    joined = permitted_times(events)
    mine = done[done["user_key"] == "user:ann"]
    assert set(frame_microseconds(mine["event_time"]) / 1e6) <= set(joined)
    # And nothing that may be used is lost.
    assert set(joined) <= set(frame_microseconds(done["event_time"]) / 1e6)


def test_a_refusal_is_about_devices_that_no_profile_remembers_any_more() -> None:
    """A person of so many devices that their first one is forgotten: what was done there was theirs, and they refuse it."""
    many, events = 3 * MOST_LINKS, list[Event]()
    for number in range(many):
        device = {"anonymous_id": f"a{number}"}
        events.append(event(f"v{number}", "view", "kettle", NOON + number, user_id=None, **device))
        events.append(event(f"l{number}", "identify", None, NOON + number + 0.5, **device))
    others = event("other", "view", "kettle", NOON, user_id=None, anonymous_id="of-somebody-else")
    parted = event("p", "unlink", None, NOON + many, anonymous_id="a0")
    refusal = word("c", False, NOON + many + 1)

    def learned(*events: Event) -> set[str]:
        told = frame([*events])
        batch = asked_of(told)
        kept = told[Refusals.of(told, purpose="personalization").kept(batch)]
        return set(kept.loc[kept["type"] == "view", "message_id"])

    assert len(learned(*events, others)) == many + 1
    assert learned(*events, others, refusal) == {"other"}
    assert learned(*events, others, parted, refusal) == {"other", "v0"}


@settings(max_examples=100, deadline=None)
@given(
    st.lists(DEEDS, max_size=14), st.integers(0, 14), st.lists(st.integers(0, 3), min_size=14, max_size=14)
)
def test_a_basis_that_was_taken_back_is_as_if_it_had_never_been(
    deeds: list[tuple[str, str, str]], day: int, ahead: list[int]
) -> None:
    """For whoever learns, for profiles that are made anew, and for live ones that hear of it late; whatever a sender's clock said."""
    events, cut = history_of(deeds), NOON + day
    events = [
        each if each.type == CONSENT else replace(each, received_time=each.event_time - seconds)
        for each, seconds in zip(events, ahead, strict=False)
    ]
    if not events:
        return
    never = [
        replace(each, context={**each.context, BASIS: []})
        if min(each.event_time, each.received_time) < cut and each.type != CONSENT
        else each
        for each in events
    ]
    micros = round(cut * 1e6)
    kept = []
    for told, ends in ((frame(events), micros), (frame(never), ALWAYS[0])):
        batch = asked_of(told)
        refusals = Refusals.of(told, purpose="personalization", taken_back=ends)
        kept.append(refusals.kept(batch).tolist())
    assert kept[0] == kept[1]
    profiles = [
        ReplayProfiles(Timelines.of([told], FACTS, taken_back=ends), FACTS, length=LENGTH).states_at(
            ["user:ann"], np.array([LATER])
        )[0]
        for told, ends in ((frame(events), micros), (frame(never), ALWAYS[0]))
    ]
    assert_same(*profiles)
    live = [
        fold(
            UserState.empty("user:ann"),
            [each for each in told if each.user_key == "user:ann"],
            FACTS,
            length=LENGTH,
            taken_back=ends,
        )
        for told, ends in ((events, micros), (never, ALWAYS[0]))
    ]
    assert_same(*live)


def test_every_order_of_a_small_history_leads_to_the_same_profile() -> None:
    events = [
        event("a", "view", "novel", NOON),
        word("c1", False, NOON + 1),
        event("b", "view", "novel", NOON + 2),
        word("c2", True, NOON + 3),
        event("d", "view", "novel", NOON + 4),
    ]
    for order in itertools.permutations(events):
        state = UserState.empty("user:ann")
        for each in [*order, *order]:
            state = fold(state, [each], FACTS)
        assert (state.times.tolist(), state.total) == ([NOON + 4], 1)
