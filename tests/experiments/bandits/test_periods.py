"""A deed is a reward of the last draw before it, and of no other."""

import json

import numpy as np
import pyarrow as pa

from tailorbird.experiments.bandits.periods import _OF, Periods
from tailorbird.experiments.measuring.workbench import DONE_SCHEMA, SHOWN_SCHEMA
from tailorbird.exposures.record import BANDITS

BEGINS = np.array([1_000.0, 2_000.0, 3_000.0])


def deeds(*instants: float, person: str = "user:ann") -> pa.RecordBatch:
    rows = {name: [None] * len(instants) for name in DONE_SCHEMA.names}
    rows["unit_key"] = [person] * len(instants)
    rows["event_time"] = rows["received_time"] = [int(each * 1e6) for each in instants]
    return pa.RecordBatch.from_arrays(
        [pa.array(rows[each.name]).cast(each.type) for each in DONE_SCHEMA], schema=DONE_SCHEMA
    )


def test_a_deed_belongs_to_the_draw_that_its_person_saw_last() -> None:
    periods = Periods("k", BEGINS, 9_000.0, 5_000.0, ["a", "b"], np.full((3, 1, 2), 0.5))
    came = {hash(f"user:ann{_OF}0"): 1_100.0, hash(f"user:ann{_OF}1"): 2_500.0}
    found = periods._done(deeds(1_050.0, 1_200.0, 2_400.0, 2_600.0, 3_500.0), range(3), {}, came)
    # The first is before any draw; in the second period they come late; in the third they never come.
    assert found["unit_key"].to_pylist() == [f"user:ann{_OF}{period}" for period in (0, 0, 0, 1, 1)]
    first = periods._done(deeds(1_200.0, 2_600.0), range(1), {}, came)
    assert first["unit_key"].to_pylist() == [
        f"user:ann{_OF}0"
    ]  # the other is of a draw that another pass measures
    assert periods._done(deeds(1_200.0, person="user:bob"), range(3), {}, came).num_rows == 0


def slates(*drawn: tuple[float, int], person: str = "user:ann") -> pa.RecordBatch:
    """Of one person: when each was shown, and by which renewal it was drawn."""
    rows = {name: [None] * len(drawn) for name in SHOWN_SCHEMA.names}
    rows["unit_key"] = [person] * len(drawn)
    rows["instant"] = [int(at * 1e6) for at, _ in drawn]
    rows["experiments"] = [json.dumps({"k": "a"})] * len(drawn)
    rows["request"] = [json.dumps({BANDITS: {"k": [number, 0, 0.5]}}) for _, number in drawn]
    return pa.RecordBatch.from_arrays(
        [pa.array(rows[each.name]).cast(each.type) for each in SHOWN_SCHEMA], schema=SHOWN_SCHEMA
    )


def test_a_slate_counts_in_the_period_whose_chances_drew_it_also_where_that_is_folded() -> None:
    """Renewals 4 and 5 are read, 3 is folded: what a replica drew by 3 a minute after 4 began is no slate of 4."""
    periods = Periods("k", BEGINS[1:], 9_000.0, 5_000.0, ["a", "b"], np.full((2, 1, 2), 0.5), since=4)
    came: dict[int, float] = {}
    found = periods._shown(slates((2_060.0, 3), (2_100.0, 4), (3_060.0, 4), (3_100.0, 5)), range(2), {}, came)
    assert found["unit_key"].to_pylist() == [f"user:ann{_OF}{period}" for period in (-1, 0, 0, 1)]
    assert [each is not None for each in found["experiments"].to_pylist()] == [False, True, True, True]
    assert came == {hash(f"user:ann{_OF}0"): 2_100.0, hash(f"user:ann{_OF}1"): 3_100.0}
