"""Arrays that grow at their end."""

import numpy as np
import pytest

from tailorbird.plumbing.appended import appended


@pytest.mark.parametrize("shape", [(), (3,)])
def test_rows_follow_and_who_held_the_array_sees_no_change(shape: tuple[int, ...]) -> None:
    first = np.ones((4, *shape), np.float32)
    second = appended(first, np.full((2, *shape), 2.0))
    third = appended(second, np.full((1, *shape), 3.0))
    assert (len(first), len(second), len(third)) == (4, 6, 7)
    assert (third[:4] == 1).all()
    assert (third[4:6] == 2).all()
    assert (third[6:] == 3).all()
    assert third.dtype == np.float32


def test_what_grows_again_is_not_copied_again() -> None:
    once = appended(np.zeros(10), np.zeros(1))
    assert np.shares_memory(once, appended(once, np.ones(5)))


def test_two_that_grow_from_one_do_not_meet() -> None:
    one = appended(np.zeros(3), np.zeros(1))
    left, right = appended(one, np.array([1.0])), appended(one, np.array([2.0]))
    assert left.tolist() == [0, 0, 0, 0, 1]
    assert right.tolist() == [0, 0, 0, 0, 2]


def test_a_part_of_an_array_grows_by_itself() -> None:
    whole = appended(np.arange(6.0), np.array([6.0]))
    part = appended(whole[2:], np.array([9.0]))
    assert part.tolist() == [2, 3, 4, 5, 6, 9]
    assert whole.tolist() == [0, 1, 2, 3, 4, 5, 6]


def test_objects_are_appended_as_they_are() -> None:
    ids = appended(np.array(["a", "b"], object), np.array(["c"], object))
    assert ids.tolist() == ["a", "b", "c"]


def test_room_that_is_used_up_is_made_anew() -> None:
    grown = np.zeros(0)
    for number in range(3_000):
        grown = appended(grown, np.array([float(number)]))
    assert grown.tolist() == list(range(3_000))
