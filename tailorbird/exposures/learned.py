"""What of the exposures of a workspace may be learned from: shown to people who may be known, joined with what followed."""

from collections import deque
from collections.abc import Iterator, Mapping, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from tailorbird.exposures.exposure import Exposure
from tailorbird.exposures.outcomes import Followed, Shown
from tailorbird.exposures.rows import EXPOSURES
from tailorbird.features.consent.consents import PERSONALIZATION
from tailorbird.features.consent.purposes import exposures_for, scan_for
from tailorbird.settings import Settings

DAY = 86_400.0
NOT_RANKED = ("rank", "similar")
"""Scenarios whose slates are a caller's list, or for nobody in particular."""
_FOLLOWED = ("recommendation_id", "item_id", "type", "received_time")


def read_shown(
    settings: Settings, *, worth: Mapping[str, float], days: float, most: int, purpose: str = PERSONALIZATION
) -> Shown:
    """The newest ``most`` slates of the newest ``days``, with the ``worth`` of the types of events that followed.

    Neither a slate nor an event of somebody who refuses the purpose is among them, whenever it was.
    """
    kept = read_exposures(settings, most=most, purpose=purpose)
    newest = max((each.instant for each in kept), default=0.0)
    kept = [each for each in kept if each.instant >= newest - days * DAY]
    return Shown.of(kept, read_followed(settings, types=sorted(worth), purpose=purpose), worth=worth)


def read_exposures(
    settings: Settings, *, most: int, purpose: str = PERSONALIZATION, start: float | None = None
) -> list[Exposure]:
    """The newest ``most`` slates from ``start`` (epoch seconds) on that were ranked for people who may be known, oldest first; reading makes nothing."""
    where = [] if start is None else [("instant", ">=", start)]
    kept: deque[Exposure] = deque(maxlen=most)
    for batch in exposures_for(settings, purpose, columns=EXPOSURES.schema.names, where=where):
        rows = pa.Table.from_batches([batch]).drop_columns(["partition", "offset"])
        kept.extend(
            exposure
            for exposure in map(EXPOSURES.from_row, EXPOSURES.rows_of_table(rows))
            if exposure.scenario not in NOT_RANKED and exposure.items
        )
    return sorted(kept, key=lambda each: each.instant)


def read_followed(
    settings: Settings, *, types: Sequence[str], purpose: str = PERSONALIZATION, start: float | None = None
) -> Iterator[Followed]:
    """The events that name an answer they followed, where that was given at ``start`` (epoch seconds) or later."""
    earliest = None if start is None else start - DAY  # clocks of devices go wrong
    for batch in scan_for(settings, purpose, columns=_FOLLOWED, types=types, start=earliest):
        found = batch.filter(pc.and_(pc.is_valid(batch["recommendation_id"]), pc.is_valid(batch["item_id"])))
        received = found["received_time"].cast(pa.int64()).to_numpy() / 1e6
        named = (found[name].to_pylist() for name in _FOLLOWED[:-1])
        yield from zip(*named, received.tolist(), strict=True)
