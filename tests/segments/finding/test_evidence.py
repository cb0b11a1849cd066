"""Evidence: ratios that depend on what was done, not on the order in which it was heard of nor on the clock."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tailorbird.events.schema import Event
from tailorbird.features.profile.folding import fold
from tailorbird.features.profile.state import UserState
from tailorbird.segments.finding.evidence import NAMES, evidence
from tests.features.toy import FACTS, NOON

DAY = 86_400.0


def share(events: list[Event], trait: str, *, half_life: float = 1e12) -> float:
    state = fold(UserState.empty("user:ann"), events, FACTS)
    top, bottom = evidence(state.history, [half_life])[0, NAMES.index(trait)]
    return float(top / bottom)


def event(
    number: int, kind: str, *, item: str = "kettle", at: float = 0.0, session: str = "s", **context: str
) -> Event:
    return Event(
        f"m{number}",
        kind,
        NOON + at,
        NOON + at,
        user_id="ann",
        item_id=item,
        session_id=session,
        context=context,
    )


def test_each_trait_is_the_share_that_its_words_promise() -> None:
    story = [
        event(1, "view", at=0, device="mobile", referrer="email"),
        event(2, "click", at=10, item="kettle", device="mobile", referrer="email"),
        event(3, "click", at=20, item="drill", device="desktop", referrer="direct"),
        event(4, "add_to_cart", at=30, item="drill", device="desktop", referrer="direct"),
        event(5, "search", at=40, item="saw", device="desktop", referrer="search"),
        event(6, "view", at=3640, item="drill", session="t", device="desktop", referrer="search"),
    ]
    expected = {
        "searching": 1 / 6,
        "clicking": 2 / 4,
        "carting": 1 / 4,
        "finishing": 0.0,
        "mobile": 2 / 6,
        "from_email": 2 / 6,
        "from_search": 2 / 6,
        "brevity": 2 / 6,
        "returning": 2 / 4,
        "wandering": 1 / 3,
        "price": (2 * np.log1p(30.0) + 2 * np.log1p(90.0)) / 4,
        "absence": np.log1p(1.0),
        "pace": np.log1p(10.0),
    }
    for trait, value in expected.items():
        assert share(story, trait) == pytest.approx(value, rel=1e-6), trait


def test_what_lies_a_half_life_back_counts_half() -> None:
    story = [event(1, "click", at=0), event(2, "view", at=DAY)]
    assert share(story, "clicking", half_life=DAY) == pytest.approx(0.5 / 1.5)


@settings(max_examples=40, deadline=None)
@given(st.permutations(range(12)), st.lists(st.integers(0, 11), max_size=6))
def test_order_batches_and_repetition_change_nothing(order: list[int], again: list[int]) -> None:
    kinds = ("view", "click", "add_to_cart", "purchase", "search", "like")
    story = [
        event(n, kinds[n % 6], item=("kettle", "drill", "novel")[n % 3], at=n * 977.0, session=f"s{n // 4}")
        for n in range(12)
    ]
    punctual = fold(UserState.empty("user:ann"), story, FACTS)
    state = UserState.empty("user:ann")
    for n in [*order, *again]:
        state = fold(state, [story[n]], FACTS)
    lives = [DAY, 20 * DAY]
    assert np.array_equal(evidence(state.history, lives), evidence(punctual.history, lives))


def test_a_history_without_events_is_no_evidence() -> None:
    assert not evidence(UserState.empty("user:ann").history, [DAY, 9 * DAY]).any()
