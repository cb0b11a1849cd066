"""Optimised interleaving: every slate begins as a ranking would, chances add up, and whoever clicks at random prefers neither."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tailorbird.experiments.interleaving.optimised import mixture_of

LETTERS = "abcdefgh"


@settings(max_examples=60, deadline=None)
@given(ours=st.permutations(LETTERS), theirs=st.permutations(LETTERS), places=st.integers(1, 6))
def test_chances_are_fair_at_every_depth_and_slates_are_of_both(
    ours: list[str], theirs: list[str], places: int
) -> None:
    found = mixture_of(ours, theirs, places=places)
    assert found is not None
    assert found.chances.sum() == pytest.approx(1.0)
    assert found.chances @ np.cumsum(found.credits, axis=1) == pytest.approx(np.zeros(places), abs=1e-6)
    for slate, worth in zip(found.slates, found.credits, strict=True):
        items = [found.items[each] for each in slate]
        assert len(set(items)) == places
        for place, (item, credit) in enumerate(zip(items, worth, strict=True)):
            above = set(items[:place])
            assert item in {next(each for each in ranking if each not in above) for ranking in (ours, theirs)}
            assert credit == ours.index(item) - theirs.index(item)


def test_of_two_that_are_alike_nothing_is_told() -> None:
    found = mixture_of(LETTERS, LETTERS, places=4)
    assert found is not None
    assert found.slates.tolist() == [[0, 1, 2, 3]]
    assert not found.credits.any()


def test_of_two_that_are_turned_round_each_begins_as_often() -> None:
    found = mixture_of("ab", "ba", places=2)
    assert found is not None
    assert sorted(zip(found.slates.tolist(), found.chances.tolist(), strict=True)) == [
        ([0, 1], pytest.approx(0.5)),
        ([1, 0], pytest.approx(0.5)),
    ]


def test_of_nothing_there_is_no_mixture() -> None:
    assert mixture_of([], [], places=3) is None
