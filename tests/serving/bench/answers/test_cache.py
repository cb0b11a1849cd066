"""What the benchmark of the result cache asks: nothing twice, but as much again as it says."""

import pytest

from serving.bench.answers.cache import AGO, Requests


@pytest.mark.parametrize("repeats", [0.0, 0.5, 0.9])
def test_so_many_requests_come_again(repeats: float) -> None:
    requests = Requests(["ann", "bob"], seed=7)
    bodies = requests.bodies(4_000, repeats=repeats)
    first = {body: place for place, body in reversed(list(enumerate(bodies)))}
    again = [place for place, body in enumerate(bodies) if first[body] != place]
    assert len(again) / (4_000 - AGO[1]) == pytest.approx(repeats, abs=0.03)
    assert all(place - first[bodies[place]] >= AGO[0] for place in again)


def test_what_is_asked_next_was_never_asked_before() -> None:
    requests = Requests(["ann"], seed=7)
    one, other = requests.bodies(1_000, repeats=0.9), requests.bodies(1_000, repeats=0.9)
    assert not set(one) & set(other)
