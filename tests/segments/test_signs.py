"""Signs: each event shows one sign of each alphabet it speaks of, and the compiled sums are those of a plain loop."""

from itertools import pairwise

import numpy as np
import pytest

from tailorbird.features.history.sums import TYPE_CODE
from tailorbird.features.table import COUNTED_TYPES
from tailorbird.segments.assigning import usual_count
from tailorbird.segments.signs import ALPHABETS, GAP_STEP, PRICES, SIGNS, explained, price_edges, signs_of
from tests.segments.toy import history

FOREVER = 1e18
CHAIN = len(COUNTED_TYPES) + 1
HOUR, WEEKEND, DEVICE, REFERRER, AGAIN, GAP, PRICE = (start for start, _ in ALPHABETS[CHAIN:])


def plain(events: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """The same counts, as one would write them down."""
    found, met = np.zeros(SIGNS), set()
    code = TYPE_CODE
    begun = 0
    for place, event in enumerate(events):
        first = place == 0 or event["session"] != events[place - 1]["session"] or event["session"] == 0
        before = CHAIN - 1 if first else int(events[place - 1]["type"])
        found[before * CHAIN + event["type"]] += 1
        if first:
            if place:
                found[int(events[place - 1]["type"]) * CHAIN + CHAIN - 1] += 1
                hours = (event["time"] - begun) / 3.6e9
                found[GAP + min(9, int(np.log1p(hours) / GAP_STEP))] += 1
            begun = event["time"]
            instant = np.datetime64(int(event["time"]), "us").astype(object)
            found[HOUR + instant.hour // 3] += 1
            found[WEEKEND + (instant.weekday() >= 5)] += 1
            found[DEVICE + event["setting"] % 4] += 1
            found[REFERRER + event["setting"] // 4] += 1
        if event["type"] in (code["view"], code["click"]) and event["item"]:
            found[AGAIN + (event["item"] in met)] += 1
            met.add(event["item"])
        if event["type"] in (code["click"], code["add_to_cart"], code["purchase"]):
            found[PRICE + np.searchsorted(edges, event["log_price"])] += 1
    return found


@pytest.mark.parametrize("kind", [0, 1, 2])
def test_counts_are_those_of_a_plain_loop(kind: int) -> None:
    rng = np.random.default_rng(kind)
    events = history(kind, rng, visits=12)
    events["type"] = rng.integers(0, len(COUNTED_TYPES), len(events))
    events["setting"], events["item"] = rng.integers(0, 20, len(events)), rng.integers(0, 9, len(events))
    edges = price_edges([events])
    counts = signs_of(events, edges, half_life=FOREVER)
    assert counts == pytest.approx(plain(events, edges))
    chances = rng.normal(size=(3, SIGNS))
    assert explained(events, edges, chances).sum(axis=0) == pytest.approx(chances @ counts)


def test_alphabets_lie_side_by_side() -> None:
    assert all(end == start for (_, end), (start, _) in pairwise(ALPHABETS))
    assert (ALPHABETS[0][0], ALPHABETS[-1][1]) == (0, SIGNS)
    assert ALPHABETS[-1][1] - PRICE == PRICES


def test_what_is_usual_leaves_the_latest_visit_out() -> None:
    events = history(1, np.random.default_rng(0), visits=3)
    latest = int((events["session"] == 3).sum())
    assert usual_count(events, least=2) == len(events) - latest
    assert usual_count(events[events["session"] == 1], least=2) == 2, "a first visit: what it began with"
    assert usual_count(events[:0], least=2) == 0


def test_what_a_foreign_history_says_beyond_the_alphabets_stays_within_the_sums() -> None:
    events = history(1, np.random.default_rng(0))
    events["type"], events["setting"] = 255, 255
    counts = signs_of(events, price_edges([events]), half_life=FOREVER)
    visits = len(np.unique(events["session"]))
    assert counts[: CHAIN * CHAIN].sum() == pytest.approx(len(events) + visits - 1)
    assert counts[REFERRER:AGAIN].sum() == pytest.approx(visits)
    assert counts[DEVICE:REFERRER].sum() == pytest.approx(visits)
