"""Outcomes: every shown item has the gain of what followed it, and only of that."""

from dataclasses import replace

import numpy as np

from tailorbird.exposures.exposure import LIST
from tailorbird.exposures.outcomes import SETTLED_SECONDS, Shown, by_model
from tests.exposures.toy import exposure

WORTH = {"click": 1.0, "add_to_cart": 1.5, "hide": -1.0}


def test_the_best_that_followed_counts_and_a_hide_overrules_it() -> None:
    slate = replace(exposure(0), items=("a", "b", "c"))
    identity = slate.recommendation_id
    events = [
        (identity, "a", "click", 1.0),
        (identity, "a", "add_to_cart", 1.0),
        (identity, "a", "click", 1.0),
        (identity, "b", "hide", 1.0),
        (identity, "b", "click", 1.0),
        ("another", "c", "click", 1.0),
        (identity, "elsewhere", "click", 1.0),
        (identity, "c", "view", 1.0),
    ]
    shown = Shown.of([slate], events, worth=WORTH)
    assert shown.gains[0].tolist() == [1.5, -1.0, 0.0]
    assert Shown.of([slate], reversed(events), worth=WORTH).gains[0].tolist() == [1.5, -1.0, 0.0]


def test_slates_come_oldest_first_and_only_settled_ones_are_before_an_instant() -> None:
    early, late = replace(exposure(0), instant=1_000.0), replace(exposure(1), instant=90_000.0)
    shown = Shown.of([late, early], [], worth=WORTH)
    assert [each.instant for each in shown.exposures] == [1_000.0, 90_000.0]
    assert len(shown.before(90_000.0)) == 1
    assert len(shown.before(90_000.1 + SETTLED_SECONDS)) == 2
    assert (
        shown.digest
        != Shown.of(
            [late, early], [(late.recommendation_id, late.items[0], "click", 1.0)], worth=WORTH
        ).digest
    )


def test_what_lists_filled_in_is_not_the_models() -> None:
    slate = replace(
        exposure(0),
        items=("a", "b", "c"),
        source_names=("popularity", LIST + "popularity"),
        ranks=np.array([[0, -1], [-1, -1], [-1, 0]], np.int16),
    )
    assert by_model(slate) == 2
    assert by_model(replace(slate, ranks=np.full((3, 2), -1, np.int16))) == 3


def test_what_followed_later_was_not_known_before() -> None:
    slate = replace(exposure(0), instant=1_000.0, items=("a", "b", "c"))
    identity, later = slate.recommendation_id, 1_000.0 + 10 * SETTLED_SECONDS
    events = [
        (identity, "a", "click", 1_010.0),
        (identity, "a", "add_to_cart", later),
        (identity, "b", "click", later),
        (identity, "c", "click", 1_010.0),
        (identity, "c", "hide", later),
    ]
    shown = Shown.of([slate], events, worth=WORTH)
    assert shown.gains[0].tolist() == [1.5, 1.0, -1.0]
    assert shown.before(later).gains[0].tolist() == [1.0, 0.0, 1.0]
    assert shown.before(later + 1).gains[0].tolist() == [1.5, 1.0, -1.0]
    assert shown.before(later).before(later).gains[0].tolist() == [1.0, 0.0, 1.0]
