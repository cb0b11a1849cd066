"""Data without times gets a clock that keeps its order."""

from tests.training.benchmarks.toy import tables
from training.benchmarks.published.clock import ending_together, one_after_another


def test_sequences_without_times_end_together() -> None:
    rows = [("a", "click", "x", 0), ("a", "click", "y", 1), ("b", "click", "x", 0)]
    clocked = ending_together(tables(rows, ordered_only=True)).events["event_time"]
    assert clocked[1] == clocked[2]
    assert clocked[0] < clocked[1]


def test_sessions_without_times_follow_the_order_of_the_file() -> None:
    rows = [("z", "click", "x", 0), ("z", "click", "y", 1), ("a", "click", "x", 0)]
    clocked = one_after_another(tables(rows, ordered_only=True)).events["event_time"]
    assert clocked[0] < clocked[1] < clocked[2]
