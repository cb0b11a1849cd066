"""Adds events to profiles, those of many people in one call: it runs for every event that arrives, and in every replay."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from tailorbird.features.history.facts import Items
from tailorbird.features.history.keysets import DAY_US
from tailorbird.features.history.records import MICROSECONDS, RECORD, Records
from tailorbird.features.history.sums import (
    AFFINITY_RATE,
    HIDE,
    PRICE,
    RATING,
    TYPE_PRESENCE,
    USER_RATES,
    USER_SUMS,
    VALUE,
)
from tailorbird.features.table import HISTORY_LENGTH, USER_HALF_LIVES
from tailorbird.plumbing.compiled import compiled

_PLACES = np.array([len(USER_HALF_LIVES), PRICE.start, VALUE.start, RATING])
_CONSTANTS = USER_RATES, AFFINITY_RATE, _PLACES, TYPE_PRESENCE > 0, HIDE, MICROSECONDS, DAY_US
_BYTES = np.dtype((np.void, RECORD.itemsize))


class Rows(NamedTuple):
    """Rows of different lengths, one after the other: row r is ``values[starts[r] : ends[r]]``; room may lie between them."""

    values: np.ndarray
    starts: np.ndarray
    ends: np.ndarray

    @classmethod
    def of(cls, rows: Sequence[np.ndarray]) -> "Rows":
        """Copy ``rows``, at least one, all of one type."""
        ends = np.cumsum([len(row) for row in rows])
        if rows[0].dtype == RECORD:  # as bytes: numpy copies the fields of a record one by one
            return cls(np.concatenate([row.view(_BYTES) for row in rows]).view(RECORD), _starts(ends), ends)
        return cls(np.concatenate(rows), _starts(ends), ends)

    def beside(self, rows: Sequence[np.ndarray]) -> "Rows":
        """Rows as long as these."""
        return Rows(np.concatenate(rows), self.starts, self.ends)

    def with_room(self, room: np.ndarray) -> "Rows":
        """Empty rows that may grow by ``room`` (n,) beyond the length of these."""
        ends = np.cumsum(self.ends - self.starts + room)
        starts = _starts(ends)
        return Rows(np.empty(ends[-1], self.values.dtype), starts, starts.copy())

    def row(self, place: int) -> np.ndarray:
        """One of them, not copied."""
        return self.values[self.starts[place] : self.ends[place]]


def _starts(ends: np.ndarray) -> np.ndarray:
    return np.concatenate([[0], ends[:-1]])


class Profiles(NamedTuple):
    """What events are added to, of n people: see UserState for the parts. ``now`` (n,) int64 is what ``sums`` stand at."""

    history: Rows
    sums: np.ndarray
    affinity_keys: Rows
    affinity: Rows
    had: Rows
    had_days: Rows
    hidden: Rows
    hidden_days: Rows
    now: np.ndarray


def known_messages(history: Rows, packed: np.ndarray, owners: np.ndarray) -> np.ndarray:
    """(n,) bool: which RECORDs ``packed`` (n,) of people ``owners`` (n,) have a message that is in the history."""
    return _known(history, packed, owners)


def add_to_all(
    before: Profiles, records: Records, ends: np.ndarray, items: Items, *, length: int = HISTORY_LENGTH
) -> Profiles:
    """The profiles with records added, person after person: p's end at ``ends[p]``, and are ascending by (time, message).

    A later event moves ``now``; an earlier one is added with what is left of it. What was given stays as it is.
    """
    counts = np.diff(ends, prepend=0)
    more = np.where(records.facts >= 0, items.indptr[records.facts + 1] - items.indptr[records.facts], 0)
    grown = np.concatenate([[0], np.cumsum(more)])
    buckets = grown[ends] - grown[ends - counts]
    after = Profiles(
        history=before.history.with_room(counts),
        sums=before.sums.copy(),
        affinity_keys=before.affinity_keys.with_room(buckets),
        affinity=before.affinity.with_room(buckets),
        had=before.had.with_room(counts),
        had_days=before.had_days.with_room(counts),
        hidden=before.hidden.with_room(counts),
        hidden_days=before.hidden_days.with_room(counts),
        now=before.now.copy(),
    )
    _add_to_all(before, after, records.packed, records.facts, ends, items, length, _CONSTANTS)
    return after


def add_records(
    sums: np.ndarray,
    keys: np.ndarray,
    affinity: np.ndarray,
    packed: np.ndarray,
    places: np.ndarray,
    *,
    reference: int,
    items: Items,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
    """Sums and affinities of one person with RECORDs ``packed`` (n,) added, and their new reference instant, in epoch microseconds.

    ``sums`` (USER_SUMS,) and ``affinity`` (m,) of buckets ``keys`` (m,) int32, ascending, are those at ``reference``;
    ``places`` (n,) are those of the records' items, negative where there is none. The arrays given stay as they are.
    """
    return _added(sums, keys, affinity, packed, places, reference, items, _CONSTANTS)


def add_nothing() -> None:
    """Have the compiled code loaded, which takes a second: the first event should not wait for that."""
    items = Items(np.zeros(1, np.int64), np.zeros(0, np.int32))
    keys, days = np.zeros(0, np.int64), np.zeros(0, np.uint16)
    record = np.zeros(1, RECORD)
    places = np.full(1, -1)
    history, had = Rows.of([record[:0]]), Rows.of([keys])
    buckets = Rows.of([np.zeros(0, np.int32)])
    profiles = Profiles(
        history=history,
        sums=np.zeros((1, USER_SUMS)),
        affinity_keys=buckets,
        affinity=buckets.beside([np.zeros(0)]),
        had=had,
        had_days=had.beside([days]),
        hidden=had,
        hidden_days=had.beside([days]),
        now=np.zeros(1, np.int64),
    )
    known_messages(history, record, np.zeros(1, np.int64))
    add_to_all(profiles, Records(record, places, places, places), np.ones(1, np.int64), items)


@compiled
def _known(history, packed, owners):  # type: ignore[no-untyped-def]
    known = np.zeros(len(packed), np.bool_)
    for n in range(len(packed)):
        for at in range(history.starts[owners[n]], history.ends[owners[n]]):
            if history.values[at].message == packed[n].message:
                known[n] = True
                break
    return known


@compiled
def _added(sums, keys, affinity, packed, places, now, items, constants):  # type: ignore[no-untyped-def]
    room = len(keys)
    for place in places:
        if place >= 0:
            room += items.indptr[place + 1] - items.indptr[place]
    sums, more, grown = sums.copy(), np.empty(room, keys.dtype), np.empty(room)
    more[: len(keys)], grown[: len(keys)] = keys, affinity
    held, now = _add(sums, more, grown, len(keys), packed, places, now, items, constants)
    return sums, more[:held], grown[:held], now


@compiled
def _add_to_all(before, after, packed, places, ends, items, length, constants):  # type: ignore[no-untyped-def]
    met, hide, day = constants[3], constants[4], constants[6]
    start = 0
    for p in range(len(ends)):
        end = ends[p]
        own = packed[start:end]
        _merge(before.history, after.history, own, p, length)
        keys, held = _copied(before.affinity_keys, after.affinity_keys, p)
        affinity, _ = _copied(before.affinity, after.affinity, p)
        held, after.now[p] = _add(
            after.sums[p], keys, affinity, held, own, places[start:end], after.now[p], items, constants
        )
        after.affinity_keys.ends[p] = after.affinity_keys.starts[p] + held
        after.affinity.ends[p] = after.affinity.starts[p] + held
        had, many = _copied(before.had, after.had, p)
        had_days, _ = _copied(before.had_days, after.had_days, p)
        hidden, few = _copied(before.hidden, after.hidden, p)
        hidden_days, _ = _copied(before.hidden_days, after.hidden_days, p)
        for n in range(len(own)):
            if own[n].item != 0:
                since = min(max(own[n].time // day, 0), 65_535)
                if met[own[n].type]:
                    many = _insert(had, had_days, many, own[n].item, since)
                if own[n].type == hide:
                    few = _insert(hidden, hidden_days, few, own[n].item, since)
        after.had.ends[p] = after.had_days.ends[p] = after.had.starts[p] + many
        after.hidden.ends[p] = after.hidden_days.ends[p] = after.hidden.starts[p] + few
        start = end


@compiled
def _copied(before, after, p):  # type: ignore[no-untyped-def]
    """Row p with its room in ``after``, what it holds of ``before`` put in, and how much that is."""
    last = len(after.values) if p + 1 == len(after.starts) else after.starts[p + 1]
    row = after.values[after.starts[p] : last]
    held = before.ends[p] - before.starts[p]
    row[:held] = before.values[before.starts[p] : before.ends[p]]
    return row, held


@compiled
def _insert(keys, days, held, key, day):  # type: ignore[no-untyped-def]
    """Put a key with its day among the ``held`` first, ascending ones; how many they are then."""
    where = np.searchsorted(keys[:held], key)
    if where < held and keys[where] == key:
        days[where] = max(days[where], day)
        return held
    for at in range(held, where, -1):
        keys[at], days[at] = keys[at - 1], days[at - 1]
    keys[where], days[where] = key, day
    return held + 1


@compiled
def _merge(before, after, own, p, length):  # type: ignore[no-untyped-def]
    """Write the last ``length`` of person p's history and of those of ``own`` that a history keeps, by (time, message)."""
    mine, end, theirs = before.starts[p], before.ends[p], 0
    at = after.starts[p]
    while mine < end or theirs < len(own):
        if theirs < len(own) and own[theirs].kept != 1:
            theirs += 1
            continue
        old, new = before.values[min(mine, end - 1)] if end > 0 else own[0], own[min(theirs, len(own) - 1)]
        if theirs == len(own) or (
            mine < end and (old.time < new.time or (old.time == new.time and old.message <= new.message))
        ):
            after.values[at] = before.values[mine]
            mine += 1
        else:
            after.values[at] = own[theirs]
            theirs += 1
        at += 1
    after.starts[p] = max(after.starts[p], at - length)
    after.ends[p] = at


@compiled
def _add(sums, keys, affinity, held, packed, places, now, items, constants):  # type: ignore[no-untyped-def]
    """Add in place; of ``keys`` and ``affinity`` the ``held`` first count, the rest is room. How many then, and the new instant."""
    rates, affinity_rate, layout, microseconds = constants[0], constants[1], constants[2], constants[5]
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
            affinity[:held] *= 2.0 ** (-passed * affinity_rate)
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
        for at in range(items.indptr[places[n]], items.indptr[places[n] + 1]):
            where = np.searchsorted(keys[:held], items.buckets[at])
            if where == held or keys[where] != items.buckets[at]:
                for place in range(held, where, -1):
                    keys[place], affinity[place] = keys[place - 1], affinity[place - 1]
                keys[where], affinity[where] = items.buckets[at], 0.0
                held += 1
            affinity[where] += strength
    return held, now
