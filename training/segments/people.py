"""The people of a workspace as segments see them: the history of each at the end of the events, and what they told."""

import datetime as dt
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from registry.tracking.runs import DataIdentity
from tailorbird.catalog.catalog import Catalog, Users
from tailorbird.errors import TailorbirdError
from tailorbird.events.rows import EVENTS
from tailorbird.events.schema import BESIDE_TYPES, LINK_TYPES, Event
from tailorbird.events.valence import RatingScale
from tailorbird.features.consent.consents import PERSONALIZATION
from tailorbird.features.consent.links import Links
from tailorbird.features.consent.purposes import scan_for
from tailorbird.features.demographics import NOBODY, demographics_of
from tailorbird.features.history.facts import ItemFacts
from tailorbird.features.history.records import EVENT_COLUMNS
from tailorbird.features.profile.replay import ReplayProfiles, Timelines
from tailorbird.features.profile.state import UserState
from tailorbird.segments.told import told_of
from tailorbird.settings import Settings
from tailorbird.streams.factory import open_events
from tailorbird.streams.position import BEGINNING, Position
from tailorbird.streams.scan import scan

MOST_PEOPLE = 100_000
"""People that segments are found among; of more a sample is taken, always the same."""
_BESIDE = pa.array(sorted(BESIDE_TYPES))
_FEW = 2_000
"""People whose events are looked up by their keys."""
_END = 4_000_000_000.0  # epoch seconds after every event


@dataclass(frozen=True)
class People:
    """n people: keys, histories, and ``told`` (n, 3) of what they told; ``identity`` names the data."""

    user_keys: Sequence[str]
    histories: Sequence[np.ndarray]
    told: np.ndarray
    identity: DataIdentity
    span: tuple[dt.datetime, dt.datetime]


def load_people(settings: Settings, *, most: int = MOST_PEOPLE) -> People:
    """Read a workspace's people; of more than ``most`` those whose keys' digests come first.

    Raises:
        TailorbirdError: nothing was ingested.
    """
    with open_events(settings) as events:
        through = events.end()
    known, first, last, count = _who(settings, through)
    known -= {key for links in links_until(settings, through=through).values() for key in links.keys}
    if not known:
        raise TailorbirdError(
            f"workspace {settings.workspace!r} has no events",
            remedy=f"run `tailorbird ingest --workspace {settings.workspace} ...` first",
        )
    chosen = sorted(known, key=_draw)[:most] if len(known) > most else sorted(known)
    states = states_of(settings, chosen, through=through)
    digest = hashlib.sha256(f"{through.to_text()} {count} {' '.join(chosen)}".encode()).hexdigest()[:16]
    return People(
        user_keys=chosen,
        histories=[state.history for state in states],
        told=told_by(settings, chosen),
        identity=DataIdentity(
            name=settings.workspace,
            digest=digest,
            source=settings.folder.as_uri(),
            profile={"events": count, "people": len(known), "sampled": len(chosen)},
        ),
        span=(_instant(first), _instant(last)),
    )


def states_of(settings: Settings, user_keys: Sequence[str], *, through: Position) -> list[UserState]:
    """The profiles of people with all events up to ``through``, joined as their links say, in that order."""
    catalog = Catalog.read_with_history(settings.catalog_folder)
    facts = ItemFacts.of(catalog, scale=RatingScale.parse(settings.rating_scale))
    links = links_until(settings, through=through)
    parts = {key for user in user_keys if user in links for key in links[user].keys}
    asked = sorted({*user_keys, *parts})
    users = asked if len(asked) <= _FEW else None  # more are quicker taken out of all events
    batches = scan_for(settings, PERSONALIZATION, columns=EVENT_COLUMNS, users=users, through=through)
    timelines = Timelines.of((batch.to_pandas() for batch in batches), facts)
    profiles = ReplayProfiles(timelines, facts, length=settings.history_length)
    return profiles.states_at(list(user_keys), np.full(len(user_keys), _END))


def links_until(settings: Settings, *, through: Position) -> dict[str, Links]:
    """Whom anonymous keys belong to, by user, with all events up to ``through``."""
    said: dict[str, list[Event]] = {}
    for batch in scan(settings, types=sorted(LINK_TYPES), through=through):
        for row in EVENTS.rows_of_table(pa.Table.from_batches([batch]).drop_columns(["partition", "offset"])):
            event = EVENTS.from_row(row)
            said.setdefault(event.user_key, []).append(event)
    return {user: Links.of(events) for user, events in said.items()}


def told_by(settings: Settings, user_keys: Sequence[str]) -> np.ndarray:
    """(n, 3) what people told of themselves (segments.model.TOLD)."""
    people = demographics_of(Users.read(settings.catalog_folder))
    return np.array([told_of(people.get(key, NOBODY)) for key in user_keys]).reshape(len(user_keys), 3)


def changed_since(settings: Settings, after: Position, *, through: Position) -> list[str]:
    """Keys of the people whose profiles events past ``after`` have changed, through what is linked to them too."""
    touched: set[str] = set()
    for batch in scan(settings, columns=["user_key"], after=after, through=through):
        touched.update(pc.unique(batch["user_key"]).to_pylist())
    links = links_until(settings, through=through)
    owners = {user for user, own in links.items() if not touched.isdisjoint(own.keys)}
    return sorted(touched | owners)


def _who(settings: Settings, through: Position) -> tuple[set[str], int, int, int]:
    """Everybody who did something, the first and the last instant (epoch microseconds), and how many events there are."""
    known: set[str] = set()
    first, last, count = np.iinfo(np.int64).max, 0, 0
    for batch in scan_for(
        settings,
        PERSONALIZATION,
        columns=["user_key", "type", "event_time"],
        after=BEGINNING,
        through=through,
    ):
        batch = batch.filter(pc.invert(pc.is_in(batch["type"], _BESIDE)))
        if len(batch):
            known.update(pc.unique(batch["user_key"]).to_pylist())
            times = batch["event_time"].cast("int64").to_numpy(zero_copy_only=False)
            first, last, count = min(first, int(times.min())), max(last, int(times.max())), count + len(batch)
    return known, first, last, count


def _draw(key: str) -> bytes:
    return hashlib.blake2b(key.encode(), digest_size=8).digest()


def _instant(micros: int) -> dt.datetime:
    return dt.datetime.fromtimestamp(micros / 1e6, dt.UTC)
