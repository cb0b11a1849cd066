"""Profiles of the past by replaying the event log once: exact, in memory, no feature store needed."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from tailorbird.catalog.catalog import Catalog
from tailorbird.events.schema import SAID_TYPES
from tailorbird.events.valence import FIVE_STARS, RatingScale
from tailorbird.features.consent.consents import PERSONALIZATION
from tailorbird.features.consent.handovers import ALWAYS
from tailorbird.features.consent.links import NO_LINKS, LinkTimelines
from tailorbird.features.consent.standing import COVERED, NEVER, standings_of
from tailorbird.features.history.facts import ItemFacts
from tailorbird.features.history.keysets import NOTHING, lasting_sets
from tailorbird.features.history.records import (
    MICROSECONDS,
    Records,
    behaviour,
    frame_microseconds,
    records_of,
    records_of_frame,
)
from tailorbird.features.history.sums import USER_SUMS
from tailorbird.features.profile.adding import add_records
from tailorbird.features.profile.merge import with_linked
from tailorbird.features.profile.state import UserState
from tailorbird.features.table import HISTORY_LENGTH
from tailorbird.streams.position import BEGINNING


class Timelines:
    """The events of many users as packed records, each user's by (time, message), each message once.

    ``names`` (u,) person keys; ``indptr`` (u + 1,) where each one's records begin; ``links``: who was linked to whom.
    """

    def __init__(
        self, records: Records, codes: np.ndarray, names: Sequence[str], links: LinkTimelines
    ) -> None:
        self.links = links
        order = np.lexsort((records.packed["message"], records.packed["time"], codes))
        packed, codes = records.packed[order], codes[order]
        keys = (packed["message"], packed["time"], codes)
        again = np.all([key[1:] == key[:-1] for key in keys], axis=0)
        fresh = np.concatenate([np.ones(min(1, len(order)), bool), ~again])
        self.records, self.names = records.take(order[fresh]), list(names)
        self.place_of = {name: place for place, name in enumerate(self.names)}
        counts = np.bincount(codes[fresh], minlength=len(self.names))
        self.indptr = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)

    @classmethod
    def of(
        cls, frames: Iterable[pd.DataFrame], facts: ItemFacts, *, taken_back: int = ALWAYS[0]
    ) -> "Timelines":
        """Pack frames of a log (columns of SCHEMA and ``user_key``), one after the other: memory holds the records only.

        Of what was before ``taken_back`` (epoch microseconds) no basis covers anything any more.
        """
        code_of: dict[str, int] = {}
        parts, codes = [records_of([], facts)], [np.zeros(0, np.int64)]
        standings = [np.zeros(0, np.int8)]
        said: list[pd.DataFrame] = []
        for whole in frames:
            said.append(whole[whole["type"].isin(SAID_TYPES)])
            frame = behaviour(whole)
            local, names = pd.factorize(frame["user_key"])
            known = np.array([code_of.setdefault(str(name), len(code_of)) for name in names], np.int64)
            codes.append(known[local])
            parts.append(records_of_frame(frame, facts))
            ended = np.minimum(parts[-1].packed["time"], _received(frame)) < taken_back
            standings.append(standings_of(_contexts(frame), PERSONALIZATION, taken_back=ended))
        said = [links for links in said if len(links)]
        links = LinkTimelines(pd.concat(said) if said else pd.DataFrame({"type": []}))
        records, owners = Records.concatenated(parts), np.concatenate(codes)
        # What may not serve, or what a person has refused since, is in no profile, of no instant.
        standing, since = np.concatenate(standings), links.since(list(code_of), PERSONALIZATION)
        kept = standing == COVERED if since is None else standing != NEVER
        if since is not None:
            kept &= records.packed["time"] >= since[owners, np.maximum(standing, 0)]
        if not kept.all():
            records, owners = records.take(kept), owners[kept]
        return cls(records, owners, list(code_of), links)

    def of_user(self, user_key: str) -> Records:
        """One user's records; none where the user is unknown."""
        place = self.place_of.get(user_key)
        start, end = (0, 0) if place is None else self.indptr[place : place + 2].tolist()
        return self.records.take(slice(start, end))


def _received(frame: pd.DataFrame) -> np.ndarray:
    """(n,) int64 epoch microseconds; what came is said to have come when it happened where nobody noted it."""
    return frame_microseconds(frame["received_time" if "received_time" in frame else "event_time"])


def _contexts(frame: pd.DataFrame) -> pd.Series:
    return frame["context"] if "context" in frame else pd.Series(None, frame.index, object)


class ReplayProfiles:
    """A :class:`~tailorbird.features.profile.source.ProfileSource` over packed events of the past."""

    def __init__(self, timelines: Timelines, facts: ItemFacts, *, length: int = HISTORY_LENGTH) -> None:
        self._timelines, self._facts, self._length = timelines, facts, length

    @classmethod
    def of_frame(
        cls,
        events: pd.DataFrame,
        catalog: Catalog,
        *,
        length: int = HISTORY_LENGTH,
        scale: RatingScale = FIVE_STARS,
    ) -> "ReplayProfiles":
        """Over a log's frame (columns of SCHEMA and ``user_key``)."""
        facts = ItemFacts.of(catalog, scale=scale)
        return cls(Timelines.of([events], facts), facts, length=length)

    def states_at(self, user_keys: Sequence[str], instants: np.ndarray) -> list[UserState]:
        """See ProfileSource."""

        def fetch(places: Sequence[int], keys: Sequence[str]) -> list[UserState]:
            return self.parts_at(keys, np.asarray(instants)[list(places)])

        return with_linked(self.parts_at(user_keys, instants), fetch, length=self._length)

    def parts_at(self, user_keys: Sequence[str], instants: np.ndarray) -> list[UserState]:
        """What was done under each key itself. One pass over its events, whatever the number of instants."""
        cuts = np.rint(np.asarray(instants, np.float64) * MICROSECONDS).astype(np.int64)
        states = [UserState.empty(str(key)) for key in user_keys]
        asked = pd.Series(np.arange(len(user_keys))).groupby(np.asarray(user_keys, object), sort=False)
        for user_key, places in asked.indices.items():
            distinct, which = np.unique(cuts[places], return_inverse=True)
            found = list(self._of_user(str(user_key), distinct))
            for place, state in zip(places, which.tolist(), strict=True):
                states[place] = found[state]
        if not self._timelines.links:
            return states
        return [
            replace(state, links=self._timelines.links.at(state.user_key, cut))
            for state, cut in zip(states, cuts.tolist(), strict=True)
        ]

    def histories_at(self, user_key: str, instants: np.ndarray) -> Iterator[np.ndarray]:
        """The histories alone of one person's profiles, at a fraction of their cost: no sum is rolled forward."""
        if user_key in self._timelines.links:
            yield from (state.history for state in self.states_at([user_key] * len(instants), instants))
            return
        records = self._timelines.of_user(user_key)
        records = records.take(records.packed["kept"] > 0)
        cuts = np.rint(np.asarray(instants, np.float64) * MICROSECONDS).astype(np.int64)
        ends = np.searchsorted(records.packed["time"], cuts, side="left")
        newest = np.maximum.accumulate(np.concatenate([[np.iinfo(np.int64).min], records.received]))
        for end, cut in zip(ends.tolist(), cuts.tolist(), strict=True):
            known = records.packed[:end]
            if newest[end] > cut:  # some of it was received later
                known = known[records.received[:end] <= cut]
            yield known[-self._length :]

    def _of_user(self, name: str, cuts: np.ndarray) -> Iterator[UserState]:
        """The profile at each of the ascending ``cuts`` (epoch microseconds)."""
        records = self._timelines.of_user(name)
        counts = np.searchsorted(records.packed["time"], cuts, side="left")
        newest = np.maximum.accumulate(np.concatenate([[np.iinfo(np.int64).min], records.received]))
        punctual = newest[counts] <= cuts
        wanted = np.unique(counts[punctual])
        rolled = dict(zip(wanted.tolist(), self._rolled(name, records, wanted), strict=True))
        for count, cut, whole in zip(counts.tolist(), cuts.tolist(), punctual.tolist(), strict=True):
            if whole:
                yield rolled[count]
            else:  # some of it was received later: the profile of then did not hold it
                heard = records.take(slice(0, count))
                heard = heard.take(heard.received <= cut)
                yield next(iter(self._rolled(name, heard, np.array([len(heard)]))))

    def _rolled(self, name: str, records: Records, counts: np.ndarray) -> Iterator[UserState]:
        return roll(name, records, self._facts, counts, length=self._length)


def roll(
    user_key: str,
    records: Records,
    facts: ItemFacts,
    counts: np.ndarray,
    *,
    length: int = HISTORY_LENGTH,
) -> Iterator[UserState]:
    """Yield the profile after the first ``count`` events, for each of the ascending ``counts``.

    The same sums as :func:`~tailorbird.features.profile.folding.fold`, for events already in order; without links.
    """
    packed = records.packed
    kept = np.flatnonzero(packed["kept"])
    kept_before = np.concatenate([[0], np.cumsum(packed["kept"], dtype=np.int64)])
    history = packed[kept]
    times = packed["time"]
    had, hidden = NOTHING, NOTHING
    sums, keys, affinity = np.zeros(USER_SUMS), np.zeros(0, np.int32), np.zeros(0)
    reference = int(times[0]) if len(times) else 0
    at = 0
    for count in counts.tolist():
        sums, keys, affinity, reference = add_records(
            sums,
            keys,
            affinity,
            packed[at:count],
            records.facts[at:count],
            reference=reference,
            items=facts.buckets,
        )
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
            affinity_keys=keys,
            affinity=affinity,
            had_set=had,
            hidden_set=hidden,
            links=NO_LINKS,
            first_seen=int(times[0]),
            last_seen=int(times[count - 1]),
            total=count,
            applied=BEGINNING,
        )
