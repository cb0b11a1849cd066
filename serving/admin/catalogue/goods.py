"""The catalogue for programs of this machine: patches of items and users, deletions, whole files."""

import threading
import time
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path
from typing import TypeVar

from serving.admin.schemas import ItemOut, ItemsIn, ItemsTold, Refusal, Told, Uploaded
from serving.http.problems import ProblemError, shown
from tailorbird.catalog.log.schemas import UserTold, parted
from tailorbird.catalog.log.told import Patch
from tailorbird.catalog.store import CatalogStore, open_catalog
from tailorbird.errors import TailorbirdError
from tailorbird.ingest.mapping import Mapping, builtin_mappings, load_mapping
from tailorbird.ingest.upload import What, upload
from tailorbird.privacy.door.door import Door
from tailorbird.settings import Settings
from tailorbird.streams.stream import StreamAwayError

Answer = TypeVar("Answer")
MAPPINGS = "mappings"
"""Folder of a workspace with its own mapping files."""


class Goods:
    """Changes the catalogue of a workspace; opened when it is first needed."""

    def __init__(self, settings: Settings, *, door: Door, clock: Callable[[], float] = time.time) -> None:
        self._settings, self._door, self._clock = settings, door, clock
        self._opening = threading.Lock()
        self._opened: CatalogStore | None = None

    @property
    def store(self) -> CatalogStore:
        """The workspace's catalogue."""
        with self._opening:
            if self._opened is None:
                self._opened = open_catalog(self._settings)
            return self._opened

    def put_items(self, body: ItemsIn) -> ItemsTold:
        """Keep what a batch tells of items; each patch is judged by itself."""
        started = time.perf_counter()
        patches, refused = parted(body.items)
        stored = _kept(lambda: self.store.put(patches, now=self._clock(), batch_id=body.batch_id or ""))
        return ItemsTold(
            accepted=0 if stored.repeated else len(patches),
            repeated=stored.repeated,
            rejected=[Refusal(index=each.index, reason=each.reason) for each in refused],
            sequence=stored.sequence,
            took_ms=_since(started),
        )

    def delete_item(self, item_id: str) -> Told:
        """Show an item no more."""
        started = time.perf_counter()
        self.show_item(item_id)
        now = self._clock()
        stored = _kept(lambda: self.store.put([Patch.deletion(item_id, now=now)], now=now))
        return Told(sequence=stored.sequence, took_ms=_since(started))

    def show_item(self, item_id: str) -> ItemOut:
        """What is known of an item now."""
        found = _kept(lambda: self.store.find(item_id))
        if found is None:
            raise ProblemError(
                HTTPStatus.NOT_FOUND,
                "unknown-item",
                f"no item {shown(item_id)}",
                remedy="PUT /v1/items tells of it",
            )
        return ItemOut.of(found)

    def put_user(self, user_id: str, told: UserTold) -> Told:
        """Keep what is told of a user."""
        started = time.perf_counter()
        patch = self._door.user(Patch.of_user(user_id, told.told()))
        stored = _kept(lambda: self.store.put([patch], now=self._clock()))
        if stored.refused:
            raise ProblemError(
                HTTPStatus.CONFLICT,
                "erased",
                f"user {shown(user_id)} was erased: nothing of them is kept",
                remedy="a new consent of the person takes them off the list",
            )
        return Told(sequence=stored.sequence, took_ms=_since(started))

    def upload(self, path: Path, what: What, *, mapping: str = "") -> Uploaded:
        """Tell the catalogue what a file says, through a mapping of the program or of the workspace."""
        started = time.perf_counter()
        chosen = self._mapping(mapping) if mapping else None
        report = _kept(
            lambda: upload(
                path,
                what,
                store=self.store,
                settings=self._settings,
                door=self._door,
                now=self._clock(),
                mapping=chosen,
            )
        )
        return Uploaded.model_validate({**report.to_json(), "took_ms": _since(started)}, by_name=True)

    def _mapping(self, name: str) -> Mapping:
        own = self._settings.folder / MAPPINGS / f"{name}.toml"
        if not own.is_file() and name not in builtin_mappings():
            raise ProblemError(
                HTTPStatus.UNPROCESSABLE_ENTITY,
                "unknown-mapping",
                f"no mapping {shown(name)}",
                remedy=f"put it into {MAPPINGS}/ of the workspace, or use one of {', '.join(builtin_mappings())}",
            )
        return load_mapping(own if own.is_file() else name)


def _kept(work: Callable[[], Answer]) -> Answer:
    """What ``work`` answers; a catalogue that cannot be written now is 503, a file that cannot be read 422."""
    try:
        return work()
    except StreamAwayError as error:
        raise ProblemError(
            HTTPStatus.SERVICE_UNAVAILABLE,
            "catalogue-away",
            error.what,
            remedy=error.remedy,
            headers={"retry-after": "1"},
        ) from error
    except TailorbirdError as error:
        raise ProblemError(
            HTTPStatus.UNPROCESSABLE_ENTITY, "refused", error.what, remedy=error.remedy
        ) from error


def _since(started: float) -> float:
    return round((time.perf_counter() - started) * 1_000, 3)
