"""Adds events to a profile's decayed sums and affinities, one after the other: it runs for every event that arrives."""

import numpy as np

from tailorbird.features.records import MICROSECONDS, RECORD
from tailorbird.features.sums import AFFINITY_RATE, PRICE, RATING, USER_RATES, USER_SUMS, VALUE
from tailorbird.features.table import USER_HALF_LIVES
from tailorbird.plumbing.compiled import compiled

_PLACES = np.array([len(USER_HALF_LIVES), PRICE.start, VALUE.start, RATING])


def add_records(
    sums: np.ndarray,
    keys: np.ndarray,
    affinity: np.ndarray,
    packed: np.ndarray,
    places: np.ndarray,
    *,
    reference: int,
    indptr: np.ndarray,
    buckets: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
    """Sums and affinities with RECORDs ``packed`` (n,) added, and their new reference instant, in epoch microseconds.

    ``sums`` (USER_SUMS,) and ``affinity`` (m,) of buckets ``keys`` (m,) int32, ascending, are those at ``reference``;
    ``buckets`` of row p of ``indptr`` are those of the item at ``places`` (n,), where that is not negative. A later event moves
    the reference; an earlier one is added with what is left of it. The arrays given stay as they are.
    """
    return _add(
        sums,
        keys,
        affinity,
        packed,
        places,
        reference,
        indptr,
        buckets,
        USER_RATES,
        AFFINITY_RATE,
        _PLACES,
        MICROSECONDS,
    )


def add_nothing() -> None:
    """Have the compiled code loaded, which takes a second: the first event should not wait for that."""
    indptr, buckets = np.zeros(1, np.int64), np.zeros(0, np.int32)
    add_records(
        np.zeros(USER_SUMS),
        np.zeros(0, np.int32),
        np.zeros(0),
        np.zeros(0, RECORD),
        np.zeros(0, np.int64),
        reference=0,
        indptr=indptr,
        buckets=buckets,
    )


@compiled
def _add(  # type: ignore[no-untyped-def]
    before, keys, known, packed, places, now, indptr, buckets, rates, affinity_rate, layout, microseconds
):
    sums, affinity = before.copy(), known.copy()
    horizons, price, rated, rating = layout[0], layout[1], layout[2], layout[3]
    weights = np.ones(len(sums))
    for n in range(len(packed)):
        record = packed[n]
        strength, log_price, value = float(record.strength), float(record.log_price), float(record.value)
        code, time = int(record.type), int(record.time)
        late = max(0, now - time) / microseconds
        passed = max(0, time - now) / microseconds
        now = max(now, time)
        if passed > 0:
            sums *= 2.0 ** (-passed * rates)
            affinity *= 2.0 ** (-passed * affinity_rate)
        weights[:] = 2.0 ** (-late * rates)
        for cell in range(code * horizons, (code + 1) * horizons):
            sums[cell] += weights[cell]
        if strength > 0 and np.isfinite(log_price):
            sums[price] += weights[price] * strength
            sums[price + 1] += weights[price + 1] * strength * log_price
            sums[price + 2] += weights[price + 2] * strength * log_price * log_price
        if code == rating and np.isfinite(value):
            sums[rated] += weights[rated]
            sums[rated + 1] += weights[rated + 1] * value
            sums[rated + 2] += weights[rated + 2] * value * value
        if strength == 0 or places[n] < 0:
            continue
        strength *= 2.0 ** (-late * affinity_rate)
        for at in range(indptr[places[n]], indptr[places[n] + 1]):
            where = np.searchsorted(keys, buckets[at])
            if where == len(keys) or keys[where] != buckets[at]:
                more, wider = np.empty(len(keys) + 1, keys.dtype), np.empty(len(keys) + 1)
                more[:where], wider[:where] = keys[:where], affinity[:where]
                more[where], wider[where] = buckets[at], 0.0
                more[where + 1 :], wider[where + 1 :] = keys[where:], affinity[where:]
                keys, affinity = more, wider
            affinity[where] += strength
    return sums, keys, affinity, now
