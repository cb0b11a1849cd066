"""What an event's context says of its purposes is the same one by one and in columns, and what nobody can read serves nothing."""

import numpy as np
import orjson
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailorbird.features.consent.consents import PURPOSES
from tailorbird.features.consent.standing import BY_WORD, COVERED, NEVER, noted, standing_of, standings_of

TRUTH = st.dictionaries(st.sampled_from([*PURPOSES, "research"]), st.booleans())
CONTEXT = st.fixed_dictionaries(
    {},
    optional={
        "purposes": TRUTH,
        "consent": st.one_of(st.booleans(), TRUTH, st.just("yes")),
        "basis": st.one_of(st.lists(st.sampled_from(PURPOSES)), st.none(), st.integers(0, 9)),
        "device": st.just("mobile"),
    },
)


@pytest.mark.parametrize(
    ("context", "personal", "advertising"),
    [
        ({}, COVERED, BY_WORD),
        ({"basis": []}, BY_WORD, BY_WORD),
        ({"basis": ["advertising"]}, BY_WORD, COVERED),
        ({"basis": 7}, BY_WORD, BY_WORD),
        ({"purposes": {"personalization": False}}, NEVER, BY_WORD),
        ({"basis": [], "purposes": {"personalization": True}}, COVERED, BY_WORD),
        ({"basis": [], "consent": True}, COVERED, BY_WORD),
        ({"consent": False}, NEVER, NEVER),
        ({"basis": [], "consent": {"advertising": True}}, BY_WORD, COVERED),
        ({"purposes": {"personalization": False}, "consent": True}, NEVER, BY_WORD),
    ],
)
def test_the_words_of_an_event_count_before_its_basis(
    context: dict[str, object], personal: int, advertising: int
) -> None:
    assert standing_of(context, "personalization") == personal
    assert standing_of(context, "advertising") == advertising


@given(st.lists(st.tuples(st.none() | CONTEXT, st.booleans())), st.sampled_from([*PURPOSES, "research"]))
def test_columns_say_what_each_says(said: list[tuple[dict[str, object] | None, bool]], purpose: str) -> None:
    texts = [None if each is None else orjson.dumps(each).decode() for each, _ in said]
    expected = [standing_of(each or {}, purpose) for each, _ in said]
    assert standings_of(pd.Series(texts, dtype=object), purpose).tolist() == expected
    assert standings_of(pa.array(texts, pa.string()), purpose).tolist() == expected
    ended = np.array([each for _, each in said], bool)
    expected = [standing_of(each or {}, purpose, taken_back=gone) for each, gone in said]
    assert standings_of(pa.array(texts, pa.string()), purpose, taken_back=ended).tolist() == expected


def test_a_basis_that_was_taken_back_covers_nothing_and_words_stay_words() -> None:
    for context in ({}, {"basis": ["analytics"]}, {"basis": []}):
        assert standing_of(context, "analytics", taken_back=True) == BY_WORD
    assert standing_of({"consent": True}, "analytics", taken_back=True) == COVERED
    assert standing_of({"purposes": {"analytics": False}}, "analytics", taken_back=True) == NEVER


def test_what_nobody_can_read_serves_nothing_without_a_word() -> None:
    assert standings_of(pa.array(['{"basis":', '["basis"]', "null"]), "analytics").tolist() == [0, 0, 1]


def test_of_the_usual_basis_nothing_is_noted() -> None:
    assert noted(["analytics", "personalization"]) is None
    assert noted([]) == []
    assert noted(PURPOSES) == ["advertising", "analytics", "personalization"]
