import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailorbird.triggers.pace import BACKOFF, Backoff, TokenBucket


def test_waits_double_and_are_spread_from_nothing_to_the_bound() -> None:
    backoff, rng = Backoff(first_seconds=2.0, longest_seconds=20.0), random.Random(1)
    assert [backoff.bound(n) for n in (1, 2, 3, 4, 5, 99)] == [2, 4, 8, 16, 20, 20]
    waits = sorted(backoff.after(3, rng) for _ in range(1_000))
    assert 0.0 <= waits[0] < 0.1
    assert 7.9 < waits[-1] <= 8.0
    assert 3.7 < sum(waits) / len(waits) < 4.3


def test_eight_attempts_take_about_an_hour_at_most() -> None:
    assert 3_600 < sum(BACKOFF.bound(attempts) for attempts in range(1, 8)) < 4_200


def test_a_bucket_lets_a_second_through_at_once_and_then_its_rate() -> None:
    clock = [0.0]
    bucket = TokenBucket(4.0, clock=lambda: clock[0])
    assert [bucket.take() for _ in range(4)] == [0.0] * 4
    assert bucket.take() == pytest.approx(0.25)
    clock[0] = 0.25
    assert bucket.take() == 0.0
    assert bucket.take() == pytest.approx(0.25)
    clock[0] = 3_600.0  # a rest is not saved up
    assert [bucket.take() == 0.0 for _ in range(6)] == [True] * 4 + [False] * 2
    clock[0] = 0.0  # a clock that was set back takes nothing away
    assert bucket.take() > 0.0


def test_a_slow_bucket_lets_one_through_at_once() -> None:
    clock = [0.0]
    bucket = TokenBucket(0.1, clock=lambda: clock[0])
    assert bucket.take() == 0.0
    assert bucket.take() == pytest.approx(10.0)


@given(st.floats(0.05, 200.0), st.lists(st.floats(0.0, 5.0), min_size=1, max_size=60))
def test_never_more_than_its_rate_and_one_second_of_it(per_second: float, rests: list[float]) -> None:
    clock, taken = [0.0], 0
    bucket = TokenBucket(per_second, clock=lambda: clock[0])
    for rest in rests:
        clock[0] += rest
        taken += sum(bucket.take() == 0.0 for _ in range(5))
    assert taken <= max(1.0, per_second) + per_second * clock[0] + 1e-6
