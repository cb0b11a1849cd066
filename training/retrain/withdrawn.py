"""Whether people whose data a version learned have refused that since: weights lose it only by being trained from nothing."""

import datetime as dt

import pyarrow as pa
import pyarrow.compute as pc

from tailorbird.events.schema import CONSENT, OWN_TYPES, SAID_TYPES
from tailorbird.features.consents import PERSONALIZATION
from tailorbird.features.purposes import NEEDED, NEEDED_SHOWN, Refusals
from tailorbird.features.records import EVENT_COLUMNS
from tailorbird.settings import Settings
from tailorbird.streams.factory import open_exposures
from tailorbird.streams.position import Position
from tailorbird.streams.scan import scan

LAG_SECONDS = 60.0
"""So long a word may have been on its way into the stream: what arrived shortly before the data was read may not be in it."""
_UNTOLD = pa.array(sorted(OWN_TYPES | SAID_TYPES))


def withdrawn(settings: Settings, read: float, *, through: Position | None = None) -> int:
    """How many events and slates that could be learned when the data was ``read`` (epoch seconds) may serve no more.

    ``through`` is up to where events were read; None takes those that had arrived. Whoever refuses and was never learned from changes nothing: most who refuse do so at their first visit.
    """
    words = list(scan(settings, columns=EVENT_COLUMNS, types=[CONSENT]))
    if not words:
        return 0
    links = scan(settings, columns=EVENT_COLUMNS, types=sorted(SAID_TYPES - {CONSENT}))
    said = pa.Table.from_batches([*words, *links])
    known = said.filter(pc.less(said["received_time"], _instant(said, "received_time", read - LAG_SECONDS)))
    if len(known) == len(said):
        return 0
    before, now = (Refusals.of(each.to_pandas(), purpose=PERSONALIZATION) for each in (known, said))
    keys = pa.array(sorted(now.apart(before)), pa.string())
    if not len(keys):
        return 0
    lost = 0
    for batch in scan(settings, columns=[*NEEDED, "received_time"], through=through):
        concerned = pc.and_(pc.is_in(batch["user_key"], keys), pc.invert(pc.is_in(batch["type"], _UNTOLD)))
        if through is None:
            arrived = pc.less(batch["received_time"], _instant(batch, "received_time", read))
            concerned = pc.and_(concerned, arrived)
        batch = batch.filter(concerned)
        lost += int((before.kept(batch) & ~now.kept(batch)).sum())
    with open_exposures(settings) as stream:
        for batch in stream.scan(columns=[*NEEDED_SHOWN], where=[("instant", "<", read)]):
            batch = batch.filter(pc.is_in(batch["user_key"], keys))
            lost += int((before.kept_shown(batch) & ~now.kept_shown(batch)).sum())
    return lost


def _instant(table: pa.Table | pa.RecordBatch, column: str, seconds: float) -> pa.Scalar:
    return pa.scalar(dt.datetime.fromtimestamp(seconds, dt.UTC), table.schema.field(column).type)
