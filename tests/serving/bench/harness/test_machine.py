"""What a figure was measured on, and what it took."""

import os

from serving.bench.harness.machine import Steps, memory_mb


def test_memory_that_is_shared_counts_once_among_those_who_share_it() -> None:
    found = memory_mb(os.getpid())
    assert 0 < found["pss"] <= found["rss"]
    assert memory_mb(2**22 + 1) == {}


def test_steps_that_come_twice_are_added_up() -> None:
    steps = Steps()
    for name in ("fitting", "publishing", "fitting", "made"):
        steps(name)
    assert list(steps.seconds) == ["starting", "fitting", "publishing"]
    assert steps.peak_mb > 0
