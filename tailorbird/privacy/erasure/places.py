"""The places where a workspace keeps something of people, and how each of them counts, erases and looks for itself.

Here are those that need nothing but files and streams; serving/privacy/places.py has the others, and all of them together.
"""

import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, closing
from pathlib import Path
from typing import Any, Protocol

import orjson
import pyarrow as pa

from tailorbird.catalog.catalog import Users
from tailorbird.catalog.files import USERS_FILE, Stamp, new_generation, read_stamp, write_table
from tailorbird.catalog.log.log import KEPT_SECONDS, LOG_FILE, PatchLog
from tailorbird.catalog.store import open_catalog, writing_tables
from tailorbird.errors import TailorbirdError
from tailorbird.events.schema import USER, id_of
from tailorbird.privacy.export.saying import instant_of
from tailorbird.settings import Settings
from tailorbird.streams.stream import Stream
from tailorbird.triggers.queue import QUEUE_FILE, DeliveryQueue

People = Collection[str]
"""Person keys."""
Row = dict[str, Any]
"""JSON values by name."""


READ_ROWS = 1_000
"""Records told at a time."""


class Place(Protocol):
    """One place.

    All of it may be called again at any time: what a killed process began is finished by the next.
    """

    @property
    def name(self) -> str:
        """How receipts call it."""

    @property
    def words(self) -> str:
        """What lies there, for a person."""

    @property
    def claims(self) -> tuple[str, ...]:
        """Its files in the workspace, as globs."""

    def count(self, people: People) -> Mapping[str, int]:
        """How much there is of each of ``people``; those of whom there is nothing may be left out."""

    def erase(self, people: People) -> None:
        """Take away all that is there of ``people``, the bytes of it too. Raises TailorbirdError where that must wait."""

    def verify(self, people: People) -> Mapping[str, int]:
        """Look again how much is left of each."""

    def read(self, people: People) -> Iterator[Row]:
        """All that is there of ``people``, a row for each thing that is counted, in bounded memory."""


class StreamPlace:
    """A stream: what is live and what is archived."""

    def __init__(
        self,
        name: str,
        words: str,
        *,
        open_stream: Callable[[], AbstractContextManager[Stream[Any]]],
        said: Callable[[pa.Table], Iterable[Row]],
        claims: tuple[str, ...],
    ) -> None:
        """``said`` tells a table of records to a person."""
        self.name, self.words, self.claims = name, words, claims
        self._open, self._said = open_stream, said

    def count(self, people: People) -> Mapping[str, int]:
        """Records of each."""
        found: Counter[str] = Counter()
        with self._open() as stream:
            for batch in stream.scan(columns=["user_key"], where=[("user_key", "in", list(people))]):
                found.update(batch["user_key"].to_pylist())
        return found

    def erase(self, people: People) -> None:
        """One pass over the archive, whoever they are."""
        with self._open() as stream:
            stream.forget_all(people)

    def read(self, people: People) -> Iterator[Row]:
        """Every record."""
        with self._open() as stream:
            for batch in stream.scan(where=[("user_key", "in", list(people))]):
                for start in range(0, len(batch), READ_ROWS):
                    yield from self._said(pa.Table.from_batches([batch.slice(start, READ_ROWS)]))

    verify = count


class UsersPlace:
    """The catalogue of users and what was told of them since."""

    name = "users"
    words = "what was told of the person: age, gender, country, attributes"
    claims = (f"catalog/{USERS_FILE}", f"catalog/{LOG_FILE}*")

    def __init__(self, settings: Settings) -> None:
        self._settings, self._folder = settings, settings.catalog_folder

    def count(self, people: People) -> Mapping[str, int]:
        """A row, and each patch that waits for the table or for those who follow."""
        ids = _user_ids(people)
        found: Counter[str] = Counter()
        if (self._folder / USERS_FILE).exists():
            users = Users.read_stored(self._folder).users["user_id"]
            found.update(users[users.isin(list(ids))].tolist())
        if (self._folder / LOG_FILE).exists():
            with closing(PatchLog(self._folder / LOG_FILE)) as log:
                found.update(log.count_of("user", ids))
        return Counter({f"{USER}{name}": count for name, count in found.items()})

    def erase(self, people: People) -> None:
        """Write the table without them, and drop their patches."""
        ids = _user_ids(people)
        if not ids or not self.count(people):
            return
        if self._settings.catalog:
            self._fold_all()
        with writing_tables(self._settings) as publish:
            self._erase(ids)
            publish()

    def read(self, people: People) -> Iterator[Row]:
        """The row, then the patches in the order in which they were told."""
        ids = sorted(_user_ids(people))
        if (self._folder / USERS_FILE).exists():
            users = Users.read_stored(self._folder).users
            for row in users[users["user_id"].isin(ids)].to_dict("records"):
                told = {str(name): None if value != value else value for name, value in row.items()}
                yield {**told, "words": "what was told of you, as it stands"}
        if (self._folder / LOG_FILE).exists():
            with closing(PatchLog(self._folder / LOG_FILE)) as log:
                for name in ids:
                    for patch in log.of("user", name):
                        yield {"user_id": name, **patch.told, "words": "told of you lately"}

    verify = count

    def _erase(self, ids: Collection[str]) -> None:
        """The caller holds the tables."""
        log_name = ""
        if (self._folder / LOG_FILE).exists():
            with closing(PatchLog(self._folder / LOG_FILE)) as log:
                log.forget("user", ids)
                log_name = log.name
        if not (self._folder / USERS_FILE).exists():
            return
        users = Users.read_stored(self._folder).users
        kept = users[~users["user_id"].isin(list(ids))].reset_index(drop=True)
        if len(kept) < len(users):
            held = read_stamp(self._folder / USERS_FILE).held(log_name)
            # Another generation: whoever has read the table reads it again, and keeps nothing of before.
            stamp = Stamp(new_generation(), log_name, held)
            write_table(kept, self._folder / USERS_FILE, stamp=stamp)

    def _fold_all(self) -> None:
        """Where machines share the catalogue, have its tables hold every patch and let go of the patches."""
        with closing(open_catalog(self._settings)) as store:
            if store.compact(now=_long_after()) is None:
                raise TailorbirdError(
                    "another process is folding the shared catalogue", remedy="it is tried again"
                )


class DeliveriesPlace:
    """What triggers are still to tell of people, and what was given up."""

    name = "deliveries"
    words = "moves that wait to be told to subscribers, and dead letters"
    claims = (f"{QUEUE_FILE}*",)

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def count(self, people: People) -> Mapping[str, int]:
        """Deliveries and dead letters of each."""
        if not (self._folder / QUEUE_FILE).exists():
            return {}
        with closing(DeliveryQueue(self._folder)) as queue:
            return queue.count_of(people)

    def erase(self, people: People) -> None:
        """Nobody is told of them any more."""
        if (self._folder / QUEUE_FILE).exists():
            with closing(DeliveryQueue(self._folder)) as queue:
                queue.forget_all(people)

    def read(self, people: People) -> Iterator[Row]:
        """What would be told to whom."""
        if not (self._folder / QUEUE_FILE).exists():
            return
        with closing(DeliveryQueue(self._folder)) as queue:
            for each, died in queue.of(people):
                yield {
                    "subscriber": each.target,
                    "at": instant_of(each.created),
                    "tells": orjson.loads(each.body),
                    "words": "waits to be told" if died is None else f"was given up: {each.reason}",
                }

    verify = count


def _user_ids(people: People) -> set[str]:
    return {id_of(key) for key in people if key.startswith(USER)}


def _long_after() -> float:
    return time.time() + 2 * KEPT_SECONDS
