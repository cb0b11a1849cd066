"""Why to retrain: how much is new since a version learned, and how far what people take has moved since."""

import datetime as dt
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from scipy.special import rel_entr

from tailorbird.events.schema import OWN_TYPES
from tailorbird.features.consent.consents import PERSONALIZATION
from tailorbird.features.consent.purposes import scan_for
from tailorbird.settings import Settings

WINDOW_DAYS = 28.0
"""Of what was learned, the newest so many days are what the newer events are held against."""
BUCKETS = 10
"""Items by how much they were taken, a tenth of the events each; items that are new are one more."""
LEAST_EVENTS = 500
"""Newer events below which a drift would be mostly chance: the index of equal samples is about BUCKETS / events."""
_OWN = pa.array(sorted(OWN_TYPES))


@dataclass(frozen=True)
class News:
    """What arrived after ``since``: events on items, and the drift; None where too few tell it."""

    events: int
    drift: float | None
    since: dt.datetime


def news_of(settings: Settings, since: dt.datetime) -> News:
    """Read the events that arrived after ``since``, and those of WINDOW_DAYS before; what comes later than that is not asked."""
    edge = since.timestamp()
    taken: Counter[str] = Counter()
    newer: Counter[str] = Counter()
    window = scan_for(
        settings,
        PERSONALIZATION,
        columns=["received_time", "type", "item_id"],
        start=edge - WINDOW_DAYS * 86_400.0,
    )
    for batch in window:
        speaks = pc.and_(pc.is_valid(batch["item_id"]), pc.invert(pc.is_in(batch["type"], _OWN)))
        batch = batch.filter(speaks)
        later = pc.greater(batch["received_time"], pa.scalar(since, batch["received_time"].type))
        for counts, mask in ((newer, later), (taken, pc.invert(later))):
            counts.update(batch["item_id"].filter(mask).to_pylist())
    events = newer.total()
    drift = population_stability(taken, newer) if events >= LEAST_EVENTS and taken else None
    return News(events, drift, since)


def population_stability(taken: Mapping[str, int], newer: Mapping[str, int]) -> float:
    """The population stability index of items: the symmetric divergence of two distributions over buckets of items.

    ``taken`` orders the items by how often they were, and cuts them into BUCKETS of about as many events each; items that are
    only in ``newer`` are one bucket more. 0 is no change; by custom more than 0.1 is some, more than 0.25 much (Siddiqi 2006).
    """
    items = sorted(taken, key=lambda item: (-taken[item], item))
    counts = np.array([taken[item] for item in items], float)
    bucket = np.minimum((np.cumsum(counts) - counts / 2) / counts.sum() * BUCKETS, BUCKETS - 1).astype(int)
    place = dict(zip(items, bucket.tolist(), strict=True))
    before, after = np.zeros(BUCKETS + 1), np.zeros(BUCKETS + 1)
    np.add.at(before, bucket, counts)
    for item, count in newer.items():
        after[place.get(item, BUCKETS)] += count
    # Half an event in each bucket: an empty one would make the index endless.
    p, q = ((each + 0.5) / (each + 0.5).sum() for each in (before, after))
    return float(rel_entr(p, q).sum() + rel_entr(q, p).sum())
