"""The profile behind an answer is rebuilt from what had been received by then."""

from dataclasses import replace

from tailorbird.exposures.profiles import DOUBTFUL, rebuild_profile
from tailorbird.features.profile.folding import fold
from tailorbird.features.profile.state import UserState
from tailorbird.features.table import HISTORY_LENGTH
from tests.features.toy import FACTS, NOON, event
from tests.segments.moves import moved

KEY = "user:u1"


def folded(events):
    return fold(UserState.empty(KEY), events, FACTS)


def rebuilt(events, *, instant, version):
    return rebuild_profile(
        KEY, events, FACTS, instant=instant, version=version, history_length=HISTORY_LENGTH
    )


def past(count):
    return [
        replace(event(f"m{n}", "view", "i1", NOON + n), user_id="u1", received_time=NOON + n)
        for n in range(count)
    ]


def test_it_is_the_state_that_the_answer_names():
    events = past(100)
    wanted = folded(events[:60])
    found = rebuilt(events, instant=NOON + 59.5, version=wanted.version)
    assert found.exact
    assert found.state.version == wanted.version
    assert len(found.events) == 60


def test_an_event_on_its_way_to_the_profile_is_not_counted():
    events = past(100)
    wanted = folded(events[:58])  # two more had been received, but were not folded in yet
    found = rebuilt(events, instant=NOON + 59.5, version=wanted.version)
    assert found.exact
    assert len(found.events) == 58


def test_an_event_that_was_received_later_is_not_counted():
    late = replace(past(1)[0], message_id="late", event_time=NOON - 50, received_time=NOON + 500)
    events = [*past(3), late]
    found = rebuilt(events, instant=NOON + 10, version=folded(events[:3]).version)
    assert found.exact
    assert late not in found.events


def test_what_came_after_its_basis_was_taken_back_is_in_it_only_where_it_was_in_the_live_one():
    first, *others = past(9)
    early = replace(first, message_id="early", event_time=NOON - 500, received_time=NOON - 400)
    late = replace(first, message_id="late", event_time=NOON - 500, received_time=NOON + 4.5)
    events = [early, *others[:4], late, *others[4:]]
    taken_back = round((NOON - 100) * 1e6)
    before = folded([early])
    for live, total in (
        (folded(events), 10),  # the policy did not say so yet
        (fold(before, events[1:], FACTS, taken_back=taken_back), 9),
        (fold(UserState.empty(KEY), events, FACTS, taken_back=taken_back), 8),  # made anew since
    ):
        found = rebuild_profile(
            KEY,
            events,
            FACTS,
            instant=NOON + 99,
            version=live.version,
            history_length=HISTORY_LENGTH,
            taken_back=taken_back,
        )
        assert found.exact
        assert (live.total, found.state.total) == (total, total)


def test_nothing_is_a_profile_too():
    found = rebuilt(past(5), instant=NOON - 1, version=UserState.empty(KEY).version)
    assert found.exact
    assert found.state.total == 0


def test_a_version_that_nothing_leads_to_is_not_claimed():
    found = rebuilt(past(DOUBTFUL + 9), instant=NOON + 1e6, version="7-0-0")
    assert not found.exact
    assert len(found.events) == DOUBTFUL + 9


def test_moves_are_not_among_what_may_have_been_on_its_way():
    events = past(100)
    wanted = folded(events[:58])
    moves = [moved(cause=f"m{n}", user_id="u1", at=NOON + 59).to_event() for n in range(2 * DOUBTFUL)]
    found = rebuilt(events + moves, instant=NOON + 59.5, version=wanted.version)
    assert found.exact
    assert len(found.events) == 58
