"""Profiles of the past by replaying the event log once: exact, in memory, no feature store needed."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from tailorbird.catalog.catalog import Catalog
from tailorbird.events.valence import FIVE_STARS, RatingScale
from tailorbird.features.facts import ItemFacts
from tailorbird.features.keysets import NOTHING
from tailorbird.features.links import NO_LINKS, LinkTimelines
from tailorbird.features.merge import with_linked
from tailorbird.features.records import MICROSECONDS, Records, behaviour, microseconds, records_of_frame
from tailorbird.features.state import UserState, lasting_sets
from tailorbird.features.sums import AFFINITY_RATE, USER_RATES, USER_SUMS, user_contribution
from tailorbird.features.table import HISTORY_LENGTH
from tailorbird.streams.position import BEGINNING, Position


@dataclass(frozen=True)
class Timeline:
    """The events of one user, by (time, message)."""

    user_key: str
    records: Records


class ReplayProfiles:
    """A :class:`~tailorbird.features.profiles.ProfileSource` over a log's frame (columns of SCHEMA and ``user_key``)."""

    def __init__(
        self,
        events: pd.DataFrame,
        catalog: Catalog,
        *,
        length: int = HISTORY_LENGTH,
        scale: RatingScale = FIVE_STARS,
    ) -> None:
        self._facts = ItemFacts.of(catalog, scale=scale)
        self._length = length
        self._links = LinkTimelines(events)
        self._timelines = {timeline.user_key: timeline.records for timeline in timelines(events, self._facts)}

    def states_at(self, user_keys: Sequence[str], instants: np.ndarray) -> list[UserState]:
        """See ProfileSource. One pass over each user's events, whatever the number of instants."""

        def fetch(places: Sequence[int], keys: Sequence[str]) -> list[UserState]:
            return self._own(keys, np.asarray(instants)[list(places)])

        return with_linked(self._own(user_keys, instants), fetch, length=self._length)

    def _own(self, user_keys: Sequence[str], instants: np.ndarray) -> list[UserState]:
        """What was done under each key itself, strictly before its instant."""
        states = [UserState.empty(str(key)) for key in user_keys]
        cuts = [microseconds(float(instant)) for instant in instants]
        asked = pd.Series(np.arange(len(user_keys))).groupby(np.asarray(user_keys, object), sort=False)
        for user_key, places in asked.indices.items():
            name = str(user_key)
            records = self._timelines.get(name)
            if records is None:
                continue
            counts = np.searchsorted(records.packed["time"], [cuts[place] for place in places], side="left")
            wanted = np.unique(counts)
            rolled = roll(name, records, self._facts, wanted, length=self._length)
            by_count = dict(zip(wanted.tolist(), rolled, strict=True))
            for place, count in zip(places, counts.tolist(), strict=True):
                states[place] = by_count[count]
        if self._links:
            states = [
                replace(state, links=self._links.at(state.user_key, cut))
                for state, cut in zip(states, cuts, strict=True)
            ]
        return states


def timelines(events: pd.DataFrame, facts: ItemFacts) -> Iterator[Timeline]:
    """Split a log's frame into users, each message once, each user's events by (time, message)."""
    frame = behaviour(events)
    records = records_of_frame(frame, facts)
    codes, names = pd.factorize(frame["user_key"])
    order = np.lexsort((records.packed["message"], records.packed["time"], codes))
    records = records.take(order)
    ends = np.cumsum(np.bincount(codes, minlength=len(names)))
    start = 0
    for name, end in zip(names, ends.tolist(), strict=True):
        yield Timeline(str(name), Records(records.packed[start:end], records.rows[start:end]))
        start = end


def roll(
    user_key: str,
    records: Records,
    facts: ItemFacts,
    counts: np.ndarray,
    *,
    length: int = HISTORY_LENGTH,
    applied: Position = BEGINNING,
) -> Iterator[UserState]:
    """Yield the profile after the first ``count`` events, for each of the ascending ``counts``.

    The same sums as :meth:`UserState.fold`, for events already in order; without links.
    """
    packed, rows = records.packed, records.rows
    lists = [facts.affinity_of(row) for row in rows.tolist()]
    local, inverse = np.unique(np.concatenate([*lists, facts.affinity_keys[:0]]), return_inverse=True)
    bounds = np.concatenate([[0], np.cumsum([len(keys) for keys in lists])])
    kept = np.flatnonzero(packed["kept"])
    kept_before = np.concatenate([[0], np.cumsum(packed["kept"], dtype=np.int64)])
    history = packed[kept]
    times = packed["time"]
    steps = np.diff(times, prepend=times[:1]) / MICROSECONDS
    strengths = packed["strength"].tolist()
    fields = zip(
        packed["type"].tolist(),
        packed["log_price"].tolist(),
        packed["value"].tolist(),
        strengths,
        strict=True,
    )
    contributions = [
        user_contribution(code, log_price=price, value=value, strength=strength)
        for code, price, value, strength in fields
    ]
    decays = np.exp2(-steps * AFFINITY_RATE)
    had, hidden = NOTHING, NOTHING
    sums, affinity, touched = np.zeros(USER_SUMS), np.zeros(len(local)), np.zeros(len(local), bool)
    at = 0
    for count in counts.tolist():
        for event in range(at, count):
            sums = sums * np.exp2(USER_RATES * -steps[event]) + contributions[event]
            affinity *= decays[event]
            if strengths[event] != 0:
                own = inverse[bounds[event] : bounds[event + 1]]
                affinity[own] += strengths[event]
                touched[own] = True
        met, hides = lasting_sets(packed[at:count])
        had, hidden = had.joined(met), hidden.joined(hides)
        at = count
        if count == 0:
            yield UserState.empty(user_key)
            continue
        end = kept_before[count]
        yield UserState(
            user_key=user_key,
            history=history[max(0, end - length) : end],
            sums=sums,
            affinity_keys=local[touched].astype(np.int32),
            affinity=affinity[touched],
            had_set=had,
            hidden_set=hidden,
            links=NO_LINKS,
            first_seen=int(times[0]),
            last_seen=int(times[count - 1]),
            total=count,
            applied=applied,
        )
