"""The training set of a workspace: what ingest accepted, as the tables and arrays that fitting and measuring need."""

import datetime as dt
import hashlib
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pandas as pd

from registry.tracking.runs import DataIdentity
from tailorbird.catalog.catalog import Catalog, Users
from tailorbird.errors import TailorbirdError
from tailorbird.evaluation.cases import Cases
from tailorbird.evaluation.protocols import Protocol, global_time_split
from tailorbird.events.interactions import Interactions
from tailorbird.events.valence import FIVE_STARS, RatingScale, Taste, presences, strengths
from tailorbird.settings import Settings
from tailorbird.streams.position import Position
from tailorbird.streams.scan import read_log

LEAST_EVENTS = 50
"""Fewer events than this cannot be divided into a training and a test part that mean anything."""


@dataclass(frozen=True)
class Dataset:
    """Items, users and everything that happened, in a fixed numbering of users and items.

    ``events`` is the log (columns of the event schema and ``user_key``), sorted by time; ``interactions`` the events that
    speak for an item of the catalogue.
    """

    name: str
    source: str
    catalog: Catalog
    users: Users
    events: pd.DataFrame
    interactions: Interactions

    @cached_property
    def times(self) -> np.ndarray:
        """(n,) epoch seconds of the log's events."""
        return epoch_seconds(self.events["event_time"])

    def events_before(self, instant: float) -> pd.DataFrame:
        """The log's events strictly before ``instant`` (epoch seconds)."""
        return self.events[self.times < instant]

    @cached_property
    def span(self) -> tuple[dt.datetime, dt.datetime]:
        """First and last event, UTC."""
        return instant(self.times.min()), instant(self.times.max())

    @cached_property
    def identity(self) -> DataIdentity:
        """Name, digest and size of the data; the digest changes with any event, item or user."""
        digest = hashlib.sha256()
        for frame, columns in (
            (self.events, ["message_id", "type", "user_key", "item_id", "event_time", "value"]),
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
    catalog, users = Catalog.read(settings.catalog_folder), Users.read(settings.catalog_folder)
    events = read_log(settings, through=through)
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
        events.reset_index(drop=True),
        interactions,
    )


def interactions_of(
    events: pd.DataFrame, catalog: Catalog, *, taste: Taste = "valence", scale: RatingScale = FIVE_STARS
) -> Interactions:
    """The events that speak for an item of ``catalog``, weighted by what they say (or, by presence, by their type)."""
    if taste == "presence":
        strength = presences(events["type"])
    else:
        strength = strengths(events["type"], events.get("value"), scale=scale)
    rows = events["item_id"].map(catalog.row_of).fillna(-1).to_numpy(np.int64)
    kept = (strength > 0) & (rows >= 0)
    codes, user_ids = pd.factorize(events["user_key"][kept], sort=True)
    return Interactions.of(
        users=codes,
        items=rows[kept],
        times=epoch_seconds(events["event_time"])[kept],
        weights=strength[kept],
        user_ids=np.asarray(user_ids, dtype=object),
        item_count=len(catalog),
    )


def split(
    dataset: Dataset,
    *,
    most_cases: int,
    exclude_seen: bool = True,
    baskets: bool = False,
    quantile: float = 0.9,
) -> Protocol:
    """Divide by time: learn before one instant, ask about what people took after it.

    ``test`` is the newest part, ``validation`` the part before it. With ``exclude_seen`` items that a user had are neither
    asked nor answered again; of ``baskets`` no item foretells another. At most ``most_cases`` cases each, the same ones for the same data.
    """
    protocol = global_time_split(
        dataset.interactions, quantile=quantile, exclude_seen=exclude_seen, baskets=baskets
    )
    validation, test = (
        replace(part, cases=limited(part.cases, most_cases, catalog=dataset.catalog))
        for part in (protocol.validation, protocol.test)
    )
    return replace(protocol, validation=validation, test=test)


def offered_columns(events: pd.DataFrame) -> pd.DataFrame:
    """The columns that item features are made of: what a plan carries to the cluster."""
    return events[["message_id", "type", "item_id", "value", "event_time"]]


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
