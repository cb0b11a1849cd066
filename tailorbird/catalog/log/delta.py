"""What changed in the catalogue since one last looked: small and typed, for replicas and for the updater of profiles."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tailorbird.catalog.files import ITEMS_FILE, USERS_FILE, read_stamp
from tailorbird.catalog.log.log import LOG_FILE, PAGE, PatchLog
from tailorbird.catalog.log.told import DELETED, Told, latest
from tailorbird.plumbing.disk import identity


@dataclass(frozen=True)
class CatalogDelta:
    """What was told of ``items`` and ``users`` up to the patch ``sequence``, each once, by the names of the tables' columns.

    A column that is absent is as it was; None says that it is not known any more, and of ``attributes`` each is told by
    itself. An item with ``deleted_at`` (epoch seconds) is deleted, with None there again. An item nobody knows is new: all
    there is to know of it was told. ``replaced`` says that the tables were written anew as a whole: read them again.
    """

    sequence: int
    items: Mapping[str, Told] = field(default_factory=dict)
    users: Mapping[str, Told] = field(default_factory=dict)
    replaced: bool = False

    @property
    def deleted(self) -> frozenset[str]:
        """The items that are there no more."""
        return frozenset(key for key, told in self.items.items() if told.get(DELETED) is not None)


class CatalogFollower:
    """Tells what changed in a catalogue since it last told. Make it before you read the tables: then nothing falls between.

    ``from_table`` begins with what the table of items does not hold yet, for whoever reads the file alone. A look costs two questions to the file system and one to the log, whatever the size of the catalogue.
    """

    def __init__(self, folder: Path, *, from_table: bool = False) -> None:
        self._folder = Path(folder)
        self._log: PatchLog | None = None
        self._log_file: tuple[int, int] | None = None
        self._files = self._identities()
        self._generations = self._read_generations()
        self._open()
        self.sequence = self._log.end() if self._log else 0
        if self._log is not None and from_table:
            # What the log let go of is in the tables, also where it was of users and the items' stamp says less.
            held = read_stamp(self._folder / ITEMS_FILE).held(self._log.name)
            self.sequence = max(held, self._log.begin())

    def changes(self) -> CatalogDelta | None:
        """What was told since the last look, at most so much at a time; None for nothing.

        Raises:
            StreamAwayError: the log cannot be read at present.
        """
        replaced = self._tables_replaced()
        self._open()
        log = self._log
        entries = []
        if log is not None and log.end() != self.sequence:
            if log.begin() > self.sequence or log.end() < self.sequence:
                replaced, self.sequence = True, log.end()  # too far behind, or another log: read the tables
            entries = log.read(self.sequence, limit=PAGE)
        if not entries and not replaced:
            return None
        self.sequence = entries[-1].sequence if entries else self.sequence
        items = latest((each.patch.key, each.patch.told) for each in entries if each.patch.kind == "item")
        users = latest((each.patch.key, each.patch.told) for each in entries if each.patch.kind == "user")
        return CatalogDelta(self.sequence, items, users, replaced)

    def close(self) -> None:
        """Release the log."""
        if self._log is not None:
            self._log.close()

    def _tables_replaced(self) -> bool:
        files = self._identities()
        if files == self._files:
            return False
        self._files, before = files, self._generations
        self._generations = self._read_generations()
        return self._generations != before

    def _open(self) -> None:
        """Open the log where there is one, again where another file took its place."""
        path = self._folder / LOG_FILE
        found = identity(path)
        if found == self._log_file:
            return
        self.close()
        self._log, self._log_file = (PatchLog(path) if found else None), found

    def _identities(self) -> tuple[tuple[int, int, int] | None, ...]:
        return tuple(_looks(self._folder / name) for name in (ITEMS_FILE, USERS_FILE))

    def _read_generations(self) -> tuple[str, ...]:
        return tuple(read_stamp(self._folder / name).generation for name in (ITEMS_FILE, USERS_FILE))


def _looks(path: Path) -> tuple[int, int, int] | None:
    """What differs where a file was replaced: a number that is free again may be given to the next file."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_ino, status.st_mtime_ns, status.st_size
