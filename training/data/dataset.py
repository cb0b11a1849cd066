"""The training set of a workspace: what ingest accepted, as the tables and arrays that fitting and measuring need."""

import datetime as dt
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from registry.tracking.runs import DataIdentity
from tailorbird.catalog.catalog import Catalog, Users
from tailorbird.errors import TailorbirdError
from tailorbird.evaluation.cases import Cases
from tailorbird.evaluation.protocols import Protocol, global_time_split
from tailorbird.events.columns import COLUMNS, EventColumns
from tailorbird.events.interactions import Interactions
from tailorbird.events.schema import OWN_TYPES
from tailorbird.events.valence import FIVE_STARS, RatingScale, Taste, presences, strengths
from tailorbird.features.consent.consents import PERSONALIZATION
from tailorbird.features.consent.handovers import ALWAYS
from tailorbird.features.consent.purposes import scan_for, taken_back_in
from tailorbird.features.history.contexts import NO_CONTEXTS, PastContexts
from tailorbird.settings import Settings
from tailorbird.streams.factory import open_events
from tailorbird.streams.position import Position

LEAST_EVENTS = 50
"""Fewer events than this cannot be divided into a training and a test part that mean anything."""
_OWN = pa.array(sorted(OWN_TYPES))


@dataclass(frozen=True)
class Dataset:
    """Items, users and everything that happened, in a fixed numbering of users and items.

    ``events`` is the log as compact columns; ``interactions`` the events that speak for an item of the catalogue;
    ``contexts`` the devices and referrers behind them.
    """

    name: str
    source: str
    catalog: Catalog
    users: Users
    events: EventColumns
    interactions: Interactions
    contexts: PastContexts = NO_CONTEXTS
    through: Position | None = None
    """Up to where the stream of events was read; None where they are of none."""
    taken_back: int = ALWAYS[0]
    """Before which instant (epoch microseconds) no basis covered personalization any more, when reading began."""

    @cached_property
    def span(self) -> tuple[dt.datetime, dt.datetime]:
        """First and last event, UTC."""
        return instant(self.events.times.min() / 1e6), instant(self.events.times.max() / 1e6)

    @cached_property
    def arrived(self) -> dt.datetime:
        """When the last of the events arrived, UTC."""
        return instant(self.events.received.max() / 1e6)

    @cached_property
    def identity(self) -> DataIdentity:
        """Name, digest and size of the data; the digest changes with any event, item or user."""
        digest = hashlib.sha256(self.events.digest.encode())
        for frame, columns in (
            (self.catalog.items, ["item_id", "title", "text", "brand", "price", "stock", "launched_at"]),
            (self.users.users, ["user_id", "age", "gender", "country"]),
        ):
            digest.update(pd.util.hash_pandas_object(frame[columns], index=False).to_numpy().tobytes())
        digest.update(repr(self.catalog.items["categories"].tolist()).encode())
        first, last = self.span
        return DataIdentity(
            name=self.name,
            digest=digest.hexdigest()[:16],
            source=self.source,
            profile={
                "events": len(self.events),
                "interactions": len(self.interactions),
                "users": self.interactions.user_count,
                "items": len(self.catalog),
                "first_event": first.isoformat(),
                "last_event": last.isoformat(),
            },
        )


def load_dataset(settings: Settings, *, through: Position | None = None) -> Dataset:
    """Read a workspace; with ``through``, events up to that position of the stream.

    Raises:
        TailorbirdError: nothing was ingested, or too little to learn from.
    """
    if not (settings.catalog_folder / "items.parquet").is_file():
        raise TailorbirdError(
            f"workspace {settings.workspace!r} has no catalogue in {settings.catalog_folder}",
            remedy=f"run `tailorbird ingest --workspace {settings.workspace} ...` first",
        )
    # Before anything is read: what is taken back meanwhile is found by whoever compares, also where it was heeded already.
    taken_back = taken_back_in(settings, PERSONALIZATION)
    if through is None:
        with open_events(settings) as stream:
            through = stream.end()
    catalog = Catalog.read_with_history(settings.catalog_folder)
    users = Users.read(settings.catalog_folder)
    events, contexts = read_events(settings, through=through)
    interactions = interactions_of(events, catalog, scale=RatingScale.parse(settings.rating_scale))
    if len(interactions) < LEAST_EVENTS:
        raise TailorbirdError(
            f"workspace {settings.workspace!r} has {len(interactions)} events that speak for an item, {LEAST_EVENTS} are needed",
            remedy="ingest more events",
        )
    return Dataset(
        settings.workspace,
        settings.folder.as_uri(),
        catalog,
        users,
        events,
        interactions,
        contexts,
        through,
        taken_back,
    )


def read_events(settings: Settings, *, through: Position | None = None) -> tuple[EventColumns, PastContexts]:
    """Read the log once, batch by batch: the events that may serve as compact columns, and the contexts behind them."""
    contexts: list[PastContexts] = []

    def batches() -> Iterator[pa.RecordBatch]:
        for batch in scan_for(settings, PERSONALIZATION, columns=[*COLUMNS, "context"], through=through):
            batch = batch.filter(pc.invert(pc.is_in(batch["type"], _OWN)))
            spoken = batch.select(["user_key", "event_time", "context"]).filter(pc.is_valid(batch["context"]))
            if len(spoken):
                contexts.append(PastContexts.of(spoken.to_pandas()))
            yield batch

    events = EventColumns.of(batches())
    return events, PastContexts.joined(contexts)


def interactions_of(
    events: EventColumns, catalog: Catalog, *, taste: Taste = "valence", scale: RatingScale = FIVE_STARS
) -> Interactions:
    """The events that speak for an item of ``catalog``, weighted by what they say (or, by presence, by their type)."""
    rows = events.rows(catalog.row_of)
    strength = np.zeros(len(events), np.float32)
    for part in events.chunks():
        types = events.names_of_types(part)
        strength[part] = (
            presences(types)
            if taste == "presence"
            else strengths(types, pd.Series(events.values[part]), scale=scale)
        )
    kept = np.flatnonzero((strength > 0) & (rows >= 0))
    used, codes = np.unique(events.users[kept], return_inverse=True)
    order = np.argsort(events.user_keys[used])
    place = np.empty(len(used), np.int32)
    place[order] = np.arange(len(used), dtype=np.int32)
    return Interactions.of(
        users=place[codes],
        items=rows[kept].astype(np.int32),
        times=events.times[kept] / 1e6,
        weights=strength[kept],
        user_ids=events.user_keys[used][order],
        item_count=len(catalog),
        received=events.received[kept] / 1e6,
    )


def split(
    dataset: Dataset,
    *,
    most_cases: int,
    exclude_seen: bool = True,
    baskets: bool = False,
    quantile: float = 0.9,
    learned: float | None = None,
) -> Protocol:
    """Divide by time: learn before one instant, ask about what people took after it.

    Where a model goes on that has ``learned`` until an instant (epoch seconds), the newer half of what is newer is asked.

    ``test`` is the newest part, ``validation`` the part before it. With ``exclude_seen`` items that a user had are neither
    asked nor answered again; of ``baskets`` no item foretells another. At most ``most_cases`` cases each, the same ones for the same data.
    """
    cut = None
    if learned is not None:
        newer = dataset.interactions.times[dataset.interactions.times > learned]
        cut = float(np.floor(np.quantile(newer, 0.5))) if len(newer) else float(np.ceil(learned))
    protocol = global_time_split(
        dataset.interactions, quantile=quantile, cut=cut, exclude_seen=exclude_seen, baskets=baskets
    )
    validation, test = (
        replace(part, cases=limited(part.cases, most_cases, catalog=dataset.catalog))
        for part in (protocol.validation, protocol.test)
    )
    return replace(protocol, validation=validation, test=test)


def limited(cases: Cases, most: int, *, catalog: Catalog) -> Cases:
    """Keep ``most`` cases, chosen by their names: the same cases whatever else the data holds."""
    if len(cases) <= most:
        return cases
    mask = np.zeros(len(cases), bool)
    mask[np.argsort(case_names(cases, catalog=catalog), kind="stable")[:most]] = True
    return cases.take(mask)


def case_names(cases: Cases, *, catalog: Catalog) -> np.ndarray:
    """(n,) int64 names of cases: who asked when for what; equal in any data set that holds the case."""
    asked = zip(
        cases.user_ids,
        np.rint(cases.now[cases.question] * 1e6).astype(np.int64),
        catalog.item_ids[cases.targets],
        strict=True,
    )
    digests = b"".join(
        hashlib.blake2b(f"{user}|{micros}|{item}".encode(), digest_size=8).digest()
        for user, micros, item in asked
    )
    return np.frombuffer(digests, np.int64)


def epoch_seconds(times: pd.Series) -> np.ndarray:
    """UTC timestamps as float64 epoch seconds, whatever their unit."""
    return times.dt.as_unit("us").astype("int64").to_numpy() / 1e6


def instant(seconds: float) -> dt.datetime:
    """Epoch seconds as a UTC time."""
    return dt.datetime.fromtimestamp(float(seconds), dt.UTC)
