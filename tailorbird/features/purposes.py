"""The door of whoever learns from events: it lets through only those that may serve a purpose, by every word that people said."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from tailorbird.catalog.keys import stable_key
from tailorbird.events.schema import ANONYMOUS, CONSENT, SAID_TYPES
from tailorbird.features.handovers import ALWAYS, Turn
from tailorbird.features.links import NO_LINKS, Links, LinkTimelines
from tailorbird.features.records import EVENT_COLUMNS
from tailorbird.settings import Settings
from tailorbird.streams.position import Position
from tailorbird.streams.scan import scan

_SAID = pa.array(sorted(SAID_TYPES))


class Refusals:
    """Per person key the stretches of time (epoch microseconds) of which no event may serve a purpose."""

    def __init__(self, spans: Mapping[str, Sequence[Turn]]) -> None:
        self._spans = {key: tuple(own) for key, own in spans.items() if own}

    @classmethod
    def of(cls, said: pd.DataFrame, *, purpose: str) -> "Refusals":
        """From all that was ever said: rows of SAID_TYPES with EVENT_COLUMNS.

        A word under one key of a person is about all of them, in their own turns of a device.
        """
        timelines = LinkTimelines(said)
        links = {str(key): timelines.at(str(key), ALWAYS[1]) for key in timelines.everybody()}
        spans: dict[str, list[Turn]] = {}
        for key, own in links.items():
            spans.setdefault(key, []).append(Turn(ALWAYS[0], own.consents.since(purpose)))
            if key.startswith(ANONYMOUS):
                continue
            devices = {device: _turns(links.get(device, NO_LINKS), key) for device in own.keys}
            consents = own.consents
            for device, turns in devices.items():
                consents = consents.joined(links.get(device, NO_LINKS).consents.within(turns))
            since = consents.since(purpose)
            spans[key].append(Turn(ALWAYS[0], since))
            for device, turns in devices.items():
                theirs = [Turn(turn.start, min(turn.end, since)) for turn in turns]
                spans.setdefault(device, []).extend(theirs)
        return cls({key: [turn for turn in own if turn.end > turn.start] for key, own in spans.items()})

    def __bool__(self) -> bool:
        return bool(self._spans)

    def kept(self, batch: pa.RecordBatch) -> np.ndarray:
        """(n,) bool: the rows (with ``user_key``, ``event_time`` and ``type``) that may serve; what people said always may."""
        allowed = np.ones(len(batch), bool)
        concerned = pc.is_in(batch["user_key"], pa.array(list(self._spans), pa.string()))
        places = np.flatnonzero(concerned.to_numpy(zero_copy_only=False))
        if not len(places):
            return allowed
        some = batch.take(pa.array(places))
        times = some["event_time"].cast(pa.int64()).to_pylist()
        said = pc.is_in(some["type"], _SAID).to_pylist()
        for place, key, time, word in zip(places, some["user_key"].to_pylist(), times, said, strict=True):
            allowed[place] = word or not any(turn.start <= time < turn.end for turn in self._spans[key])
        return allowed


def refusals_in(settings: Settings, *, purpose: str, through: Position | None = None) -> Refusals:
    """Whose events may not serve a purpose, by the words up to ``through``."""
    words = list(scan(settings, columns=EVENT_COLUMNS, types=[CONSENT], through=through))
    if not words:
        return Refusals({})
    links = scan(settings, columns=EVENT_COLUMNS, types=sorted(SAID_TYPES - {CONSENT}), through=through)
    return Refusals.of(pa.Table.from_batches([*words, *links]).to_pandas(), purpose=purpose)


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
    if not refusals:
        yield from scan(settings, columns=columns, through=through, **asked)
        return
    needed = list(dict.fromkeys([*columns, "user_key", "event_time", "type"]))
    for batch in scan(settings, columns=needed, through=through, **asked):
        kept = batch.filter(pa.array(refusals.kept(batch)))
        yield kept.select(["partition", "offset", *columns])


def _turns(device: Links, user: str) -> list[Turn]:
    return device.handovers.turns_of(stable_key(user)) if device.handovers else [Turn(*ALWAYS)]
