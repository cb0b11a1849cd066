"""Slates of another policy: estimates cover what it earns, and a log that cannot tell says so."""

import numpy as np
import pytest

from tailorbird.experiments.off_policy.slates import SlateLog, evaluate_slates

ITEMS, PLACES = 4, 3
WANTED = np.linspace(0.6, 0.05, ITEMS)
GREEDY = (1, 0, 2)
"""The log's order; the target's is by what is wanted."""


def logged(slates: int, *, share: float, seed: int = 0, target: tuple[int, ...] = (0, 1, 2)) -> SlateLog:
    """People look on from each place with .7, and click what is wanted; a share of the log's places is drawn evenly."""
    rng = np.random.default_rng(seed)
    propensities, chances, rewards = (np.zeros((slates, PLACES)) for _ in range(3))
    for slate in range(slates):
        left, looks = list(range(ITEMS)), True
        for place in range(PLACES):
            best = next((item for item in GREEDY if item in left), left[0])
            theirs = next((item for item in target if item in left), left[0])
            pick = int(rng.choice(left)) if rng.random() < share else best
            propensities[slate, place] = share / len(left) + (1 - share) * (pick == best)
            chances[slate, place] = pick == theirs
            rewards[slate, place] = looks and rng.random() < WANTED[pick]
            looks = looks and rng.random() < 0.7
            left.remove(pick)
    return SlateLog(propensities, chances, rewards)


TRUTH = float(sum(WANTED[item] * 0.7**place for place, item in enumerate((0, 1, 2))))


def test_intervals_cover_what_the_target_earns() -> None:
    covered: dict[str, list[bool]] = {"ips": [], "snips": [], "dr": []}
    for seed in range(40):
        found = evaluate_slates(logged(2_000, share=0.6, seed=seed), clip=500.0)
        assert not found.refusal
        for estimate in found.estimates:
            low, high = estimate.interval
            covered[estimate.name].append(low <= TRUTH <= high)
    assert min(np.mean(each) for each in covered.values()) >= 0.85


def test_of_its_own_policy_a_log_says_what_it_earned() -> None:
    log = logged(400, share=0.3, target=GREEDY)
    own = SlateLog(log.propensities, log.propensities, log.rewards)
    found = evaluate_slates(own)
    for estimate in found.estimates:
        assert estimate.value == pytest.approx(log.rewards.sum(axis=1).mean(), abs=1e-2)
    assert (found.mean_weight, found.missing, found.effective_size) == (
        pytest.approx(1),
        0.0,
        pytest.approx(400),
    )


def test_a_log_that_never_shows_what_the_target_would_is_refused() -> None:
    certain = logged(500, share=0.0)
    found = evaluate_slates(certain)
    assert "at place 1" in found.refusal
    assert not found.estimates
    assert found.missing == 1.0


def test_a_log_that_shows_it_too_seldom_is_refused() -> None:
    found = evaluate_slates(logged(150, share=0.03))
    assert found.refusal
    assert "explore" in found.remedy
