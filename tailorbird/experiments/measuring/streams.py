"""The streams of a workspace as a readout takes them: what may serve analytics, by the key of whatever was assigned."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from tailorbird.catalog.catalog import Catalog
from tailorbird.catalog.store import bring_catalog
from tailorbird.events.schema import ANONYMOUS, BESIDE_TYPES, IDENTIFY, LINK_TYPES
from tailorbird.experiments.measuring.table import Sources
from tailorbird.experiments.measuring.workbench import DONE_SCHEMA, SHOWN_SCHEMA
from tailorbird.features.consent.consents import ANALYTICS
from tailorbird.features.consent.purposes import refusals_in, scan_for
from tailorbird.settings import Settings
from tailorbird.streams.factory import open_exposures
from tailorbird.streams.scan import scan

PERSON, ANONYMOUS_UNIT, SESSION, REQUEST = "person", "anonymous", "session", "request"
UNIT_COLUMNS = {
    PERSON: "user_key",
    ANONYMOUS_UNIT: "anonymous_id",
    SESSION: "session_id",
    REQUEST: "recommendation_id",
}
"""Where exposures and events have the unit of each kind."""
_SHOWN = (
    "recommendation_id",
    "instant",
    "user_key",
    "anonymous_id",
    "session_id",
    "scenario",
    "items",
    "fallback",
    "took_ms",
    "experiments",
    "context",
    "request",
)


@dataclass
class Withheld:
    """Slates that may not serve analytics, as they were met."""

    slates: int = 0


def shown_in(
    settings: Settings, *, unit: str, start: float, end: float, withheld: Withheld
) -> Iterator[pa.RecordBatch]:
    """Slates from ``start`` on and before ``end`` (epoch seconds) as SHOWN_SCHEMA, of people who do not refuse analytics."""
    if not settings.folder.is_dir():  # reading makes nothing
        return
    refusals = refusals_in(settings, purpose=ANALYTICS)
    with open_exposures(settings) as stream:
        where = [("instant", ">=", start), ("instant", "<", end)]
        for batch in stream.scan(columns=_SHOWN, where=where):
            allowed = refusals.kept_shown(batch)
            kept = batch if allowed.all() else batch.filter(pa.array(allowed))
            withheld.slates += len(batch) - len(kept)
            yield _with_unit(kept, unit=unit, schema=SHOWN_SCHEMA)


def done_in(
    settings: Settings, *, unit: str, start: float, end: float, types: Sequence[str] | None
) -> Iterator[pa.RecordBatch]:
    """Events as DONE_SCHEMA that were received before ``end``, of ``types`` (every deed of people, if None)."""
    columns = ["user_key", "anonymous_id", *(name for name in DONE_SCHEMA.names if name != "unit_key")]
    beside = pa.array(sorted(BESIDE_TYPES))
    found = scan_for(settings, ANALYTICS, columns=columns, start=start, received_before=end, types=types)
    for batch in found:
        aside = pc.is_in(batch["type"], beside)
        deeds = batch.filter(pc.invert(aside)) if types is None and pc.any(aside).as_py() else batch
        yield _with_unit(deeds, unit=unit, schema=DONE_SCHEMA)


def logins_in(settings: Settings) -> dict[str, str]:
    """The one person of each anonymous key: ids under which several people logged in stay by themselves."""
    newest: dict[tuple[str, str], tuple[int, bool]] = {}
    for batch in scan(
        settings,
        columns=["user_key", "user_id", "anonymous_id", "type", "event_time"],
        types=sorted(LINK_TYPES),
    ):
        rows = batch.to_pylist()
        times = batch["event_time"].cast(pa.int64()).to_pylist()
        for row, time in zip(rows, times, strict=True):
            if row["user_id"] and row["anonymous_id"]:
                pair = (ANONYMOUS + row["anonymous_id"], row["user_key"])
                newest[pair] = max(newest.get(pair, (0, False)), (time, row["type"] == IDENTIFY))
    people: dict[str, list[str]] = {}
    for (anonymous, person), (_, joined) in newest.items():
        if joined:
            people.setdefault(anonymous, []).append(person)
    return {anonymous: found[0] for anonymous, found in people.items() if len(found) == 1}


def categories_in(settings: Settings) -> Mapping[str, str]:
    """The first category of each item of the catalogue that has one."""
    bring_catalog(settings)
    items = Catalog.read(settings.catalog_folder).items
    return {
        item_id: str(categories[0])
        for item_id, categories in zip(items["item_id"], items["categories"], strict=True)
        if len(categories)
    }


def _with_unit(batch: pa.RecordBatch, *, unit: str, schema: pa.Schema) -> pa.RecordBatch:
    key = batch[UNIT_COLUMNS[unit]]
    columns = [key if field.name == "unit_key" else batch[field.name] for field in schema]
    made = pa.RecordBatch.from_arrays(columns, schema=schema)
    return made.filter(pc.is_valid(key)) if key.null_count else made


def sources_of(settings: Settings, *, unit: str, withheld: Withheld | None = None) -> Sources:
    """The streams of a workspace, for units of one kind."""
    kept = withheld or Withheld()
    return Sources(
        logins=lambda: logins_in(settings) if unit == PERSON else {},
        shown=lambda start, end: shown_in(settings, unit=unit, start=start, end=end, withheld=kept),
        done=lambda start, end, types: done_in(settings, unit=unit, start=start, end=end, types=types),
        categories=lambda: categories_in(settings),
    )
