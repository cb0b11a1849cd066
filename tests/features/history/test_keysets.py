"""Key sets: unions that do not care about order, batches or repetition, bounded by the oldest, packed without loss."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailorbird.features.history.keysets import DAY_US, NOTHING, KeySet

TOUCHES = st.lists(st.tuples(st.integers(-20, 20), st.integers(0, 30)), max_size=60)


def key_set(touches: list[tuple[int, int]], limit: int = 20_000) -> KeySet:
    keys, days = np.array(touches, np.int64).reshape(-1, 2).T
    return KeySet.of(keys, days * DAY_US, limit=limit)


def as_dict(found: KeySet) -> dict[int, int]:
    return dict(zip(found.keys.tolist(), found.days.tolist(), strict=True))


@given(TOUCHES, st.integers(1, 12), st.data())
def test_the_newest_keys_stay_in_whatever_order_they_come(
    touches: list[tuple[int, int]], limit: int, data: st.DataObject
) -> None:
    newest: dict[int, int] = {}
    for key, day in touches:
        newest[key] = max(day, newest.get(key, 0))
    wanted = dict(sorted(newest.items(), key=lambda entry: (entry[1], entry[0]))[-limit:])
    shuffled = data.draw(st.permutations(touches)) + data.draw(st.lists(st.sampled_from(touches or [(0, 0)])))
    if not touches:
        shuffled = []
    found = NOTHING
    while shuffled:
        size = data.draw(st.integers(1, len(shuffled)))
        batch, shuffled = shuffled[:size], shuffled[size:]
        found = found.joined(key_set(batch, limit), limit=limit)
        assert np.all(np.diff(found.keys) > 0)
    assert as_dict(found) == wanted


@given(TOUCHES, TOUCHES, TOUCHES, st.integers(1, 9))
def test_joining_is_commutative_associative_and_idempotent(
    a: list[tuple[int, int]], b: list[tuple[int, int]], c: list[tuple[int, int]], limit: int
) -> None:
    x, y, z = (key_set(touches, limit) for touches in (a, b, c))

    def join(left: KeySet, right: KeySet) -> KeySet:
        return left.joined(right, limit=limit)

    assert as_dict(join(x, y)) == as_dict(join(y, x))
    assert as_dict(join(join(x, y), z)) == as_dict(join(x, join(y, z)))
    assert as_dict(join(x, x)) == as_dict(x)


@pytest.mark.parametrize("count", [0, 1, 255, 4_095, 4_096, 20_000])
def test_packing_loses_nothing(count: int) -> None:
    rng = np.random.default_rng(count)
    keys = rng.integers(-(2**63), 2**63 - 1, count)
    found = KeySet.of(keys, rng.integers(0, 30_000, count) * DAY_US)
    again = KeySet.from_bytes(found.to_bytes())
    assert again.keys.tolist() == found.keys.tolist()
    assert again.days.tolist() == found.days.tolist()
    assert len(found.to_bytes()) <= 10 * count + 1


@pytest.mark.parametrize("packed", [b"", b"\0abc", b"\1abc", b"\2abc"])
def test_a_damaged_set_is_no_empty_set(packed: bytes) -> None:
    with pytest.raises(ValueError, match="set of item keys"):
        KeySet.from_bytes(packed)


def test_times_before_1970_and_after_2149_are_the_first_and_the_last_day() -> None:
    assert key_set([(1, -5), (2, 80_000)]).days.tolist() == [0, 65_535]
