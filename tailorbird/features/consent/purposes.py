"""The door of whoever learns from events: it lets through only those that may serve a purpose, by every word that people said."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from tailorbird.catalog.keys import stable_key
from tailorbird.events.schema import ANONYMOUS, CONSENT, SAID_TYPES
from tailorbird.features.consent.consents import Consents
from tailorbird.features.consent.handovers import ALWAYS, Turn
from tailorbird.features.consent.links import NO_LINKS, Links, LinkTimelines
from tailorbird.features.consent.standing import BY_WORD, COVERED, NEVER, standings_of
from tailorbird.features.history.records import EVENT_COLUMNS
from tailorbird.plumbing.clock import clock_at
from tailorbird.privacy.policy.policy import read_policy
from tailorbird.settings import Settings
from tailorbird.streams.factory import open_exposures
from tailorbird.streams.position import Position
from tailorbird.streams.scan import scan

NEEDED = ("user_key", "event_time", "received_time", "type", "context")
"""What of an event decides which purposes it may serve."""
NEEDED_SHOWN = ("recommendation_id", "user_key", "instant", "context")
"""And of an exposure."""
_SAID = pa.array(sorted(SAID_TYPES))


class Refusals:
    """Which events may serve a purpose, by their age, their own contexts and all that people said.

    ``spans`` are per person key the stretches of time (epoch microseconds) of which no event may; ``given`` is from when on
    each key's events may that no basis covers; ``oldest`` is from when on anybody's may. Of what was before ``taken_back`` no basis
    covers anything any more.
    """

    def __init__(
        self,
        spans: Mapping[str, Sequence[Turn]],
        *,
        purpose: str,
        given: Mapping[str, int] | None = None,
        oldest: int = ALWAYS[0],
        taken_back: int = ALWAYS[0],
    ) -> None:
        self._spans = {key: tuple(own) for key, own in spans.items() if own}
        self._purpose, self._given = purpose, given or {}
        self._oldest, self._taken_back = oldest, taken_back

    @classmethod
    def of(
        cls, said: pd.DataFrame, *, purpose: str, oldest: int = ALWAYS[0], taken_back: int = ALWAYS[0]
    ) -> "Refusals":
        """From all that was ever said: rows of SAID_TYPES with EVENT_COLUMNS.

        A word under one key of a person is about all of them, in their own turns of a device.
        """
        timelines = LinkTimelines(said)
        links = {str(key): timelines.at(str(key), ALWAYS[1]) for key in timelines.everybody()}
        spans: dict[str, list[Turn]] = {}
        for key, own in links.items():
            spans.setdefault(key, []).append(Turn(ALWAYS[0], _since(own.consents, purpose)))
            if key.startswith(ANONYMOUS):
                continue
            # A profile remembers its newest devices alone; a refusal is about all of them.
            devices = {device: _turns(links.get(device, NO_LINKS), key) for device in timelines.devices(key)}
            consents = own.consents
            for device, turns in devices.items():
                consents = consents.joined(links.get(device, NO_LINKS).consents.within(turns))
            since = _since(consents, purpose)
            spans[key].append(Turn(ALWAYS[0], since))
            for device, turns in devices.items():
                theirs = [Turn(turn.start, min(turn.end, since)) for turn in turns]
                spans.setdefault(device, []).extend(theirs)
        return cls(
            {key: [turn for turn in own if turn.end > turn.start] for key, own in spans.items()},
            purpose=purpose,
            given={key: own.consents.since(purpose, covered=False) for key, own in links.items()},
            oldest=oldest,
            taken_back=taken_back,
        )

    def apart(self, other: "Refusals") -> set[str]:
        """The keys of people of whom ``other`` says something else."""
        theirs = {*other._spans, *other._given}
        return {
            key
            for key in {*self._spans, *self._given} | theirs
            if self._spans.get(key) != other._spans.get(key) or self._given.get(key) != other._given.get(key)
        }

    def kept_shown(self, batch: pa.RecordBatch) -> np.ndarray:
        """(n,) bool: the exposures (with NEEDED_SHOWN) that may serve; those that are nobody's always may."""
        nobody = pc.binary_join_element_wise(ANONYMOUS, batch["recommendation_id"], "")
        of_nobody = pc.equal(batch["user_key"], nobody).to_numpy(zero_copy_only=False)
        allowed: np.ndarray = self.kept(batch, instant="instant") | of_nobody
        return allowed

    def kept(self, batch: pa.RecordBatch, *, instant: str = "event_time") -> np.ndarray:
        """(n,) bool: the rows (with NEEDED, but for ``instant``) that may serve; what people said always may."""
        times = batch[instant].cast(pa.int64()).to_numpy()
        # A clock that ran ahead does not put what had come before a basis was taken back after that.
        came = batch["received_time"].cast(pa.int64()).to_numpy() if instant == "event_time" else times
        ended = np.minimum(times, came) < self._taken_back
        standing = standings_of(batch["context"], self._purpose, taken_back=ended)
        standing[times < self._oldest] = NEVER
        allowed: np.ndarray = standing == COVERED
        concerned = pc.is_in(batch["user_key"], pa.array(list(self._spans), pa.string()))
        doubtful = ~allowed | concerned.to_numpy(zero_copy_only=False)
        places = np.flatnonzero(doubtful)
        if not len(places):
            return allowed
        some = batch.take(pa.array(places))
        typed = "type" in batch.schema.names
        said = pc.is_in(some["type"], _SAID).to_pylist() if typed else [False] * len(places)
        for place, key, at, word in zip(
            places, some["user_key"].to_pylist(), times[places].tolist(), said, strict=True
        ):
            allowed[place] = word or self._serves(key, at, standing[place])
        return allowed

    def _serves(self, key: str, at: int, standing: int) -> bool:
        if standing == NEVER or (standing == BY_WORD and at < self._given.get(key, ALWAYS[1])):
            return False
        return not any(turn.start <= at < turn.end for turn in self._spans.get(key, ()))


def refusals_in(settings: Settings, *, purpose: str, through: Position | None = None) -> Refusals:
    """Whose events may not serve a purpose, by the words up to ``through``; which are too old for it, or under a basis that was taken back."""
    oldest, taken_back = bounds_in(settings, purpose)
    words = list(scan(settings, columns=EVENT_COLUMNS, types=[CONSENT], through=through))
    if not words:
        return Refusals({}, purpose=purpose, oldest=oldest, taken_back=taken_back)
    links = scan(settings, columns=EVENT_COLUMNS, types=sorted(SAID_TYPES - {CONSENT}), through=through)
    said = pa.Table.from_batches([*words, *links]).to_pandas()
    return Refusals.of(said, purpose=purpose, oldest=oldest, taken_back=taken_back)


def bounds_in(settings: Settings, purpose: str) -> tuple[int, int]:
    """By the policy of now, epoch microseconds: from when on anything may serve a purpose, and before when no basis covers it any more."""
    policy = read_policy(settings)
    since = policy.retention.useful_since(purpose, now=clock_at(settings.clock_at)())
    return ALWAYS[0] if since is None else round(since * 1e6), policy.taken_back_us(purpose)


def taken_back_in(settings: Settings, purpose: str) -> int:
    """Before which instant (epoch microseconds) no basis covers a purpose any more, by the policy of now."""
    return bounds_in(settings, purpose)[1]


def scan_for(
    settings: Settings,
    purpose: str,
    *,
    columns: Sequence[str],
    through: Position | None = None,
    **asked: Any,
) -> Iterator[pa.RecordBatch]:
    """What :func:`~tailorbird.streams.scan.scan` finds of events that may serve a purpose now.

    A refusal counts from the moment at which it is stored, for what was done before it, too. ``asked`` goes to ``scan``.
    """
    refusals = refusals_in(settings, purpose=purpose, through=through)
    for batch in scan(settings, columns=list(dict.fromkeys([*columns, *NEEDED])), through=through, **asked):
        allowed = refusals.kept(batch)
        kept = batch if allowed.all() else batch.filter(pa.array(allowed))
        yield kept.select(["partition", "offset", *columns])


def exposures_for(
    settings: Settings, purpose: str, *, columns: Sequence[str], **asked: Any
) -> Iterator[pa.RecordBatch]:
    """What of the exposures may serve a purpose now: those of people who let it, and those that are nobody's.

    ``asked`` goes to the stream's ``scan``.
    """
    if not settings.folder.is_dir():  # reading makes nothing
        return
    refusals = refusals_in(settings, purpose=purpose)
    with open_exposures(settings) as stream:
        for batch in stream.scan(columns=list(dict.fromkeys([*columns, *NEEDED_SHOWN])), **asked):
            kept = batch.filter(pa.array(refusals.kept_shown(batch)))
            yield kept.select(["partition", "offset", *columns])


def _since(consents: Consents, purpose: str) -> int:
    return ALWAYS[1] if consents.restricted else consents.since(purpose)


def _turns(device: Links, user: str) -> list[Turn]:
    return device.handovers.turns_of(stable_key(user)) if device.handovers else [Turn(*ALWAYS)]
