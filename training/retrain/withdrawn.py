"""Whether people whose data a version learned have refused that since: weights lose it only by being trained from nothing."""

import datetime as dt

import pyarrow as pa
import pyarrow.compute as pc

from tailorbird.events.schema import CONSENT, OWN_TYPES, SAID_TYPES
from tailorbird.features.consent.consents import PERSONALIZATION
from tailorbird.features.consent.handovers import ALWAYS
from tailorbird.features.consent.purposes import NEEDED, NEEDED_SHOWN, Refusals, taken_back_in
from tailorbird.features.history.records import EVENT_COLUMNS
from tailorbird.settings import Settings
from tailorbird.streams.factory import open_exposures
from tailorbird.streams.position import Position
from tailorbird.streams.scan import scan

LAG_SECONDS = 60.0
"""So long a word may have been on its way into the stream: what arrived shortly before the data was read may not be in it."""
_UNTOLD = pa.array(sorted(OWN_TYPES | SAID_TYPES))


def withdrawn(
    settings: Settings, read: float, *, through: Position | None = None, taken_back: int = ALWAYS[0]
) -> int:
    """How many events and slates that could be learned when the data was ``read`` (epoch seconds) may serve no more.

    ``through`` is up to where events were read; None takes those that had arrived. ``taken_back`` (epoch microseconds) is before when
    no basis covered anything then. Whoever refuses and was never learned from changes nothing: most who refuse do so at their first visit.
    """
    by_now = taken_back_in(settings, PERSONALIZATION)
    before, now = _refusals(settings, read, taken_back, by_now)
    keys = pa.array(sorted(now.apart(before)), pa.string())
    everybody = by_now > taken_back
    if not len(keys) and not everybody:
        return 0
    lost = 0
    for batch in scan(settings, columns=NEEDED, through=through):
        concerned = pc.invert(pc.is_in(batch["type"], _UNTOLD))
        if not everybody:
            concerned = pc.and_(concerned, pc.is_in(batch["user_key"], keys))
        if through is None:
            arrived = pc.less(batch["received_time"], _instant(batch, "received_time", read))
            concerned = pc.and_(concerned, arrived)
        batch = batch.filter(concerned)
        lost += int((before.kept(batch) & ~now.kept(batch)).sum())
    with open_exposures(settings) as stream:
        for batch in stream.scan(columns=[*NEEDED_SHOWN], where=[("instant", "<", read)]):
            if not everybody:
                batch = batch.filter(pc.is_in(batch["user_key"], keys))
            lost += int((before.kept_shown(batch) & ~now.kept_shown(batch)).sum())
    return lost


def _refusals(settings: Settings, read: float, taken_back: int, by_now: int) -> tuple[Refusals, Refusals]:
    """What refused what when the data was ``read``, and what does now."""
    words = list(scan(settings, columns=EVENT_COLUMNS, types=[CONSENT]))
    if not words:
        nobody = (Refusals({}, purpose=PERSONALIZATION, taken_back=each) for each in (taken_back, by_now))
        return next(nobody), next(nobody)
    links = scan(settings, columns=EVENT_COLUMNS, types=sorted(SAID_TYPES - {CONSENT}))
    said = pa.Table.from_batches([*words, *links])
    known = said.filter(pc.less(said["received_time"], _instant(said, "received_time", read - LAG_SECONDS)))
    now = Refusals.of(said.to_pandas(), purpose=PERSONALIZATION, taken_back=by_now)
    if len(known) == len(said) and by_now == taken_back:
        return now, now
    return Refusals.of(known.to_pandas(), purpose=PERSONALIZATION, taken_back=taken_back), now


def _instant(table: pa.Table | pa.RecordBatch, column: str, seconds: float) -> pa.Scalar:
    return pa.scalar(dt.datetime.fromtimestamp(seconds, dt.UTC), table.schema.field(column).type)
