"""Examination: what made a click rarer further down is told apart from what was wanted less."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tailorbird.exposures.examination import ALWAYS, Looked, examination_of

PLACES = 8
TRUE = 0.8 ** np.arange(PLACES)


def looked(slates: int, *, uniform: float, seed: int = 0) -> Looked:
    """Slates of fifteen items by a score that says what is wanted, a share of the places drawn evenly, clicks by TRUE."""
    rng = np.random.default_rng(seed)
    scores, propensities, clicked = (np.zeros((slates, PLACES)) for _ in range(3))
    for slate in range(slates):
        left = np.sort(rng.normal(size=15))[::-1].tolist()
        for place in range(PLACES):
            drawn = rng.random() < uniform
            pick = int(rng.integers(len(left))) if drawn else 0
            propensities[slate, place] = uniform / len(left) + (1.0 - uniform) * (pick == 0)
            scores[slate, place] = left.pop(pick)
    wanted = 1.0 / (1.0 + np.exp(-(2.0 * scores - 1.0)))
    clicked = rng.random(scores.shape) < TRUE * wanted
    places = np.tile(np.arange(PLACES), slates)
    return Looked(places, clicked.ravel(), propensities.ravel(), scores.ravel())


def test_drawn_places_tell_it_whatever_the_ranking_did() -> None:
    found = examination_of(looked(6_000, uniform=0.5))
    assert found.how == "by chance"
    assert found.chances == pytest.approx(TRUE, abs=0.1)


def test_where_little_was_drawn_the_scores_tell_it() -> None:
    found = examination_of(looked(3_000, uniform=0.05))
    assert found.how == "by likelihood"
    assert found.chances == pytest.approx(TRUE, abs=0.1)
    naive = looked(3_000, uniform=0.05)
    rates = naive.clicked.reshape(-1, PLACES).mean(axis=0)
    assert np.abs(rates / rates[0] - TRUE).max() > 0.12  # what one would see without telling the two apart


def test_where_nothing_was_clicked_nothing_is_known() -> None:
    nothing = Looked(np.arange(3), np.zeros(3, bool), np.ones(3), np.zeros(3))
    assert examination_of(nothing) == ALWAYS
    assert ALWAYS.at(np.array([0, 9])).tolist() == [1.0, 1.0]


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 60), st.integers(1, 6), st.integers(0, 10**6))
def test_chances_begin_with_one_never_rise_and_never_vanish(slates: int, places: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    where = np.tile(np.arange(places), slates)
    size = len(where)
    found = examination_of(
        Looked(where, rng.random(size) < 0.2, rng.uniform(0.01, 1.0, size), rng.normal(size=size))
    )
    assert found.chances[0] == 1.0
    assert (np.diff(found.chances) <= 0).all()
    assert (found.chances > 0).all()
