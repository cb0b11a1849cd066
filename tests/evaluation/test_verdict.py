"""Four verdicts with known answers, the promised rate of wrong ones, and the promised power."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailorbird.evaluation.verdict import POWER, Verdict, compare, mean_interval

MARGIN, CONFIDENCE = 0.05, 0.95


def verdict_of(candidate: np.ndarray, champion: np.ndarray, users: np.ndarray | None = None) -> Verdict:
    users = np.arange(len(champion)) if users is None else users
    return compare(candidate, champion, users=users, margin=MARGIN, confidence=CONFIDENCE).verdict


def pairs(
    rng: np.random.Generator, *, loss: float, users: int, cases: int, spread: float = 0.3
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Values of a champion of mean 1 and of a candidate that truly loses ``loss`` of it; a user's cases hang together."""
    whose = np.repeat(np.arange(users), cases)
    champion = 1.0 + 0.3 * rng.normal(size=users)[whose] + 0.3 * rng.normal(size=len(whose))
    drift = spread * rng.normal(size=users)[whose] / np.sqrt(2) + spread * rng.normal(
        size=len(whose)
    ) / np.sqrt(2)
    return champion - loss + drift, champion, whose


def test_toy_cases_have_the_verdict_anybody_would_give() -> None:
    rng = np.random.default_rng(0)
    champion = rng.uniform(0, 1, 400)
    noise = rng.normal(0, 0.02, 400)
    assert verdict_of(champion + 0.1 + noise, champion) is Verdict.BETTER
    assert verdict_of(champion + noise, champion) is Verdict.NOT_WORSE
    assert verdict_of(champion - 0.1 + noise, champion) is Verdict.WORSE
    assert verdict_of(rng.permutation(champion), champion) is Verdict.CANNOT_TELL


def test_a_small_certain_loss_within_the_margin_is_not_worse() -> None:
    champion = np.full(500, 0.5)
    candidate = champion - 0.01 + np.random.default_rng(1).normal(0, 0.02, 500)
    found = compare(candidate, champion, users=np.arange(500), margin=MARGIN, confidence=CONFIDENCE)
    assert found.difference.high < 0
    assert found.verdict is Verdict.NOT_WORSE


def test_the_same_answers_are_not_worse_even_where_nobody_was_helped() -> None:
    values = np.random.default_rng(2).uniform(0, 1, 30)
    assert verdict_of(values, values) is Verdict.NOT_WORSE
    assert verdict_of(np.zeros(30), np.zeros(30)) is Verdict.NOT_WORSE


def test_without_two_users_nobody_can_tell() -> None:
    assert verdict_of(np.zeros(0), np.zeros(0)) is Verdict.CANNOT_TELL
    assert verdict_of(np.ones(50), np.zeros(50), users=np.zeros(50)) is Verdict.CANNOT_TELL


def test_one_user_with_most_of_the_cases_widens_the_interval() -> None:
    rng = np.random.default_rng(3)
    values = rng.normal(size=1000)
    even = mean_interval(values, users=np.repeat(np.arange(100), 10), confidence=CONFIDENCE)
    lopsided = mean_interval(
        values, users=np.concatenate([np.zeros(901), np.arange(1, 100)]), confidence=CONFIDENCE
    )
    assert lopsided.high - lopsided.low > 2 * (even.high - even.low)


@pytest.mark.parametrize(("users", "cases"), [(200, 1), (60, 5), (25, 8)])
def test_a_model_that_loses_exactly_the_margin_passes_as_rarely_as_promised(users: int, cases: int) -> None:
    """Two-sided 95% means 2.5% of 2,000 simulated candidates; three standard errors of that are allowed."""
    rng, rounds, passed = np.random.default_rng(4), 2000, 0
    for _ in range(rounds):
        found = verdict_of(*pairs(rng, loss=MARGIN, users=users, cases=cases))
        passed += found in (Verdict.BETTER, Verdict.NOT_WORSE)
    promised = (1 - CONFIDENCE) / 2
    assert abs(passed / rounds - promised) < 3 * np.sqrt(promised * (1 - promised) / rounds)


def test_the_interval_covers_the_truth_as_often_as_it_says() -> None:
    rng, rounds, covered = np.random.default_rng(5), 2000, 0
    for _ in range(rounds):
        candidate, champion, whose = pairs(rng, loss=0.02, users=80, cases=4)
        interval = mean_interval(candidate - champion, users=whose, confidence=CONFIDENCE)
        covered += interval.low <= -0.02 <= interval.high
    assert abs(covered / rounds - CONFIDENCE) < 3 * np.sqrt(CONFIDENCE * (1 - CONFIDENCE) / rounds)


def test_as_many_cases_as_it_asks_for_tell_with_the_promised_power() -> None:
    """From a pilot that cannot tell, the number of cases for an equally good candidate; that many users then pass it."""
    rng = np.random.default_rng(6)
    asked = []
    while len(asked) < 40:
        candidate, champion, whose = pairs(rng, loss=0.0, users=60, cases=4)
        found = compare(candidate, champion, users=whose, margin=MARGIN, confidence=CONFIDENCE)
        if found.verdict is Verdict.CANNOT_TELL:
            assert found.enough_cases is not None
            assert found.enough_cases > found.cases
            asked.append(found.enough_cases)
    users = int(np.median(asked)) // 4
    rounds = 1000
    passed = sum(
        verdict_of(*pairs(rng, loss=0.0, users=users, cases=4)) in (Verdict.BETTER, Verdict.NOT_WORSE)
        for _ in range(rounds)
    )
    assert passed / rounds == pytest.approx(POWER, abs=0.08)


@given(
    st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1), st.integers(0, 5)), min_size=1, max_size=40),
    st.floats(0.01, 0.5),
)
def test_laws_of_every_verdict(rows: list[tuple[float, float, int]], margin: float) -> None:
    ours, theirs, users = (np.array(column, float) for column in zip(*rows, strict=True))
    found = compare(ours, theirs, users=users, margin=margin, confidence=CONFIDENCE)
    assert found.cases == len(rows)
    assert (found.verdict is Verdict.BETTER) == (found.difference.low > 0)
    if found.verdict is Verdict.WORSE:
        assert found.candidate < found.champion
    if found.enough_cases is not None:
        assert found.verdict is Verdict.CANNOT_TELL
        assert found.enough_cases > 0
    wider = compare(ours, theirs, users=users, margin=margin, confidence=0.99)
    assert wider.difference.low <= found.difference.low
