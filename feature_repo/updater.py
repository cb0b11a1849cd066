"""Keeps profiles live: folds events into the online rows the moment they are in the log, each exactly once."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from feature_repo.layout import APPLIED
from feature_repo.store import FeatureStoreRoom
from tailorbird.catalog.catalog import Catalog
from tailorbird.events.schema import Event
from tailorbird.events.valence import RatingScale
from tailorbird.features.facts import ItemFacts
from tailorbird.features.items import static_rows
from tailorbird.features.records import records_of
from tailorbird.features.state import UserState
from tailorbird.features.table import IGNORED_TYPES
from tailorbird.settings import Settings
from tailorbird.streams.factory import open_events
from tailorbird.streams.position import Position
from tailorbird.streams.stream import Entry, Stream

Logged = Sequence[Entry[Event]]
_CATCH_UP_AT_ONCE = 2_000


@dataclass(frozen=True)
class Applied:
    """What an update changed: profiles, events folded in (duplicates and serving's own left out), and the mark."""

    users: int
    events: int
    through: int


class ProfileUpdater:
    """Folds logged events into user and item rows, in one transaction a batch.

    The mark ``applied_offset`` commits with the rows it speaks of. A batch that does not follow the mark (another process
    logged events and has not applied them yet) is preceded by the missing ones, read from ``log`` (by default the
    workspace's): the rows always hold every event up to the mark and none beyond it.
    """

    def __init__(
        self, settings: Settings, *, room: FeatureStoreRoom | None = None, log: Stream[Event] | None = None
    ) -> None:
        self._settings = settings
        self._room = room or FeatureStoreRoom(settings)
        self._log = log
        self._stamp: int | None = None
        self._load_catalog()

    def apply(self, batch: Logged) -> Applied:
        """Fold in events with their log offsets. Raises FeatureStoreAwayError; nothing is half applied then."""
        config, online = self._room.config, self._room.online
        self._load_catalog()
        with online.transaction(config):
            mark = online.mark(config, APPLIED)
            todo = sorted((entry for entry in batch if entry.offset > mark), key=lambda entry: entry.offset)
            if not todo:
                return Applied(0, 0, mark)
            todo = [*self._missing(mark, todo), *todo]
            users, events = self._fold(todo)
            through = todo[-1].offset
            online.set_mark(config, APPLIED, through)
        return Applied(users, events, through)

    def catch_up(
        self, log: Stream[Event], *, on_events: Callable[[int], object] = lambda count: None
    ) -> Applied:
        """Fold in whatever the log holds past the mark."""
        users = events = 0
        mark = self._room.applied_offset()
        while batch := log.read(Position({0: mark}), limit=_CATCH_UP_AT_ONCE):
            applied = self.apply(batch.entries)
            users, events = users + applied.users, events + applied.events
            mark = applied.through
            on_events(len(batch.entries))
        return Applied(users, events, mark)

    def _missing(self, mark: int, batch: Logged) -> list[Entry[Event]]:
        """What the log holds between the mark and the batch, and in holes of the batch."""
        known = {entry.offset for entry in batch}
        last = batch[-1].offset
        if last - mark == len(known):
            return []
        if self._log is None:
            self._log = open_events(self._settings)
        missing: list[Entry[Event]] = []
        position = Position({0: mark})
        while position[0] < last and (chunk := self._log.read(position, limit=_CATCH_UP_AT_ONCE)):
            missing += [entry for entry in chunk.entries if entry.offset < last and entry.offset not in known]
            position = chunk.position
        return missing

    def _fold(self, batch: Logged) -> tuple[int, int]:
        by_user: dict[str, list[Entry[Event]]] = {}
        for entry in batch:
            if (
                entry.record.type not in IGNORED_TYPES
            ):  # serving logs a slate an answer: no profile changes by it
                by_user.setdefault(entry.record.user_key, []).append(entry)
        changed: list[UserState] = []
        fresh: list[Event] = []
        for state, entries in zip(self._room.online_parts(list(by_user)), by_user.values(), strict=True):
            places = [(entry.partition, entry.offset) for entry in entries]
            events = [entry.record for entry in entries]
            folded = state.fold(events, self._facts, places=places, length=self._settings.history_length)
            if folded is not state:
                changed.append(folded)
                added = folded.total - state.total
                if added:
                    fresh += events if added == len(events) else state.unapplied(events, places=places)
        if changed:
            self._room.online_write([state for state in changed if state.total or state.links])
        if fresh:
            self._count_items(fresh)
        return len(changed), len(fresh)

    def _count_items(self, events: Sequence[Event]) -> None:
        records = records_of(events, self._facts)
        known = records.take(records.rows >= 0)
        if not len(known):
            return
        rows, local = np.unique(known.rows, return_inverse=True)
        static = self._static.iloc[rows].to_dict("records")
        counters = self._room.item_counters([str(row["item_id"]) for row in static])
        counters.fold(known.packed, local)
        self._room.write_items(
            [
                {
                    **{str(name): value for name, value in row.items()},
                    "item_sums": counters.sums[place].tolist(),
                    "item_seen": int(counters.seen[place]),
                    "item_total": int(counters.totals[place]),
                }
                for place, row in enumerate(static)
            ]
        )

    def _load_catalog(self) -> None:
        """Read the catalogue again when its file has changed; without one, events count but say nothing of items."""
        file = self._settings.catalog_folder / "items.parquet"
        stamp = file.stat().st_mtime_ns if file.exists() else 0
        if stamp == self._stamp:
            return
        catalog = Catalog.read(self._settings.catalog_folder) if stamp else Catalog.of_ids([])
        scale = RatingScale.parse(self._settings.rating_scale)
        self._facts, self._static, self._stamp = (
            ItemFacts.of(catalog, scale=scale),
            static_rows(catalog),
            stamp,
        )
