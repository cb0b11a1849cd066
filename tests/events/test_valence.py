"""Valence: known answers on the scale, and one law, that events by themselves and in frames say the same."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailorbird.errors import UsageError
from tailorbird.events.valence import FIVE_STARS, PRESENCE, RatingScale, presences, strength, strengths

TYPES = [*PRESENCE, "hide", "impression", "search", "my_own"]
VALUES = st.one_of(st.none(), st.floats(-1e6, 1e6), st.just(float("nan")), st.just(float("inf")))


@pytest.mark.parametrize(
    ("value", "said"), [(1, -0.5), (2, 0), (3, 0.5), (4, 1), (5, 1.5), (9, 1.5), (None, 1)]
)
def test_stars_speak_for_an_item_from_two_up(value: float | None, said: float) -> None:
    assert strength("rating", value) == said


@pytest.mark.parametrize(("scale", "best", "worst"), [("0-100", 100, 0), ("0-1", 1, 0), ("1-10", 10, 1)])
def test_every_scale_has_the_same_ends_and_middle(scale: str, best: float, worst: float) -> None:
    it = RatingScale.parse(scale)
    said = [strength("rating", value, scale=it) for value in (worst, it.neutral, best)]
    assert said == [-0.5, 0.5, 1.5]


def test_a_return_takes_its_purchase_back_and_a_hide_speaks_against() -> None:
    assert strength("purchase", 12.0) + strength("purchase", -12.0) == 0
    assert strength("hide", None) < 0
    assert strength("hide", 5.0) < 0
    assert strength("impression", 1.0) == strength("my_own", 3.0) == 0


@pytest.mark.parametrize("text", ["5", "5-1", "a-b", "1-", "1-nan", "3-3"])
def test_what_is_no_scale_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        RatingScale.parse(text)


@given(st.lists(st.tuples(st.sampled_from(TYPES), VALUES), max_size=20))
def test_frames_say_what_events_say(events: list[tuple[str, float | None]]) -> None:
    types = pd.Series([kind for kind, _ in events], dtype=object)
    values = pd.Series([value for _, value in events], dtype=object)
    one_by_one = np.array([strength(kind, value) for kind, value in events], np.float32)
    assert strengths(types, values).tolist() == one_by_one.tolist()
    assert strengths(types, None).tolist() == [np.float32(strength(kind, None)) for kind, _ in events]
    assert presences(types).tolist() == [PRESENCE.get(kind, 0.0) for kind, _ in events]


@pytest.mark.parametrize(
    ("kind", "value", "counted"),
    [("rating", 3e38, 5.0), ("rating", -1e9, 1.0), ("rating", 2.5, 2.5), ("purchase", 3e4, 3e4)],
)
def test_a_rating_beyond_the_scale_counts_as_its_end(kind: str, value: float, counted: float) -> None:
    assert FIVE_STARS.rated(kind, value) == counted


@given(st.lists(st.tuples(st.sampled_from(TYPES), VALUES), max_size=20))
def test_frames_rate_as_events_do(events: list[tuple[str, float | None]]) -> None:
    types = pd.Series([kind for kind, _ in events], dtype=object)
    values = np.array([np.nan if value is None else value for _, value in events])
    one_by_one = [FIVE_STARS.rated(kind, value) for kind, value in events]
    np.testing.assert_array_equal(FIVE_STARS.rated_many(types, values), np.array(one_by_one))
