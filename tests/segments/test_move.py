import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailorbird.errors import TailorbirdError
from tailorbird.events.rows import EVENTS
from tailorbird.events.schema import Event
from tailorbird.features.history.facts import ItemFacts
from tailorbird.features.items.counters import ItemCounters
from tailorbird.features.profile.folding import fold_all
from tailorbird.features.profile.replay import ReplayProfiles
from tailorbird.features.profile.state import UserState
from tailorbird.segments.move import RULES, SEGMENT, Move, move_id
from tests.features.toy import frame, random_shop
from tests.segments.moves import MOVED, moved, with_moves

CATALOG, EVENTS_THAT_HAPPENED = random_shop(users=6, items=20, events=300, days=3, seed=5)
FACTS = ItemFacts.of(CATALOG)
names = st.text(max_size=12)


@given(
    st.builds(
        Move,
        user_id=st.one_of(st.none(), st.text(min_size=1, max_size=9)),
        anonymous_id=st.text(min_size=1, max_size=9),
        model=names,
        from_segment=names,
        to_segment=names,
        segment=names,
        evidence=st.floats(-9, 9),
        reason=names,
        cause=names,
        at=st.integers(10**15, 2 * 10**15).map(lambda micros: micros / 1e6),
        rules_entered=st.lists(names, max_size=3).map(tuple),
        rules_left=st.lists(names, max_size=3).map(tuple),
    )
)
def test_a_move_comes_back_from_a_stored_event(move: Move) -> None:
    assert Move.of_event(EVENTS.from_row(EVENTS.to_row(move.to_event()))) == move


def test_the_id_is_that_of_what_made_it() -> None:
    assert moved(evidence=0.9, reason="other words").message_id == MOVED.message_id
    different = {"cause": "m2"}, {"model": "4"}, {"user_id": "bob"}, {"to_segment": "browser"}
    assert len({MOVED.message_id, *(moved(**said).message_id for said in different)}) == 5
    assert move_id("a", model="b", kind="c", cause='d"') != move_id("a", model='b"', kind="c", cause="d")
    assert MOVED.kind == SEGMENT
    assert moved(to_segment="browser").kind == RULES


def test_what_is_no_move_is_named() -> None:
    event = MOVED.to_event()
    for said in ({}, {**event.properties, "rules_left": "one"}, {**event.properties, "to": None}):
        with pytest.raises(TailorbirdError, match=f"{event.message_id}.*is no move"):
            Move.of_event(Event("x" + event.message_id, event.type, 1.0, 1.0, user_id="ann", properties=said))
    with pytest.raises(TailorbirdError, match="its type is 'view'"):
        Move.of_event(Event("m1", "view", 1.0, 1.0, user_id="ann", properties=event.properties))


def row_of(state: UserState) -> dict[str, object]:
    return {name: np.asarray(value).tobytes() for name, value in state.to_row().items() if name != "applied"}


def folded(events: list[Event], cuts: list[int]) -> tuple[dict[str, dict[str, object]], np.ndarray]:
    """Every person's stored row and the items' counters, of events that came in batches."""
    people = sorted({event.user_key for event in events})
    states = {person: UserState.empty(person) for person in people}
    counters = ItemCounters.empty(len(CATALOG))
    placed = list(enumerate(events, start=1))
    for start, end in zip([0, *cuts], [*cuts, len(events)], strict=True):
        own = [[each for each in placed[start:end] if each[1].user_key == person] for person in people]
        after, records = fold_all(
            [states[person] for person in people],
            [[event for _, event in each] for each in own],
            FACTS,
            places=[[(0, offset) for offset, _ in each] for each in own],
        )
        states = dict(zip(people, after, strict=True))
        known = records.take(records.rows >= 0)
        counters.fold(known.packed, known.rows)
    sums = np.concatenate([counters.sums.ravel(), counters.totals, counters.seen])
    return {person: row_of(state) for person, state in states.items()}, sums


@given(st.integers(0, 2**32 - 1))
def test_moves_count_in_no_profile_and_no_counter(seed: int) -> None:
    mixed = with_moves(EVENTS_THAT_HAPPENED, np.random.default_rng(seed))
    batches = sorted({len(mixed) // 3, len(mixed) // 2})
    # The same events in the same batches, whatever moves lie between them.
    plain = [sum(event.type != "segment_move" for event in mixed[:cut]) for cut in batches]
    rows, sums = folded(mixed, batches)
    rows_without, sums_without = folded(EVENTS_THAT_HAPPENED, plain)
    assert rows == rows_without
    np.testing.assert_array_equal(sums, sums_without)


def test_moves_count_in_no_profile_of_the_past() -> None:
    mixed = with_moves(EVENTS_THAT_HAPPENED, np.random.default_rng(1))
    assert len(mixed) > len(EVENTS_THAT_HAPPENED) + 50
    people = sorted({event.user_key for event in EVENTS_THAT_HAPPENED})
    instants = np.linspace(1_750_000_000.0, 1_750_300_000.0, len(people))
    beside_moves, alone = (
        ReplayProfiles.of_frame(frame(events), CATALOG).states_at(people, instants)
        for events in (mixed, EVENTS_THAT_HAPPENED)
    )
    assert [row_of(state) for state in beside_moves] == [row_of(state) for state in alone]
    assert sum(state.total for state in alone) > 50
