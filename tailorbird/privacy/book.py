"""The book of people: whose caller's id stands behind a pseudonym, and each person's own key. Both sealed, both destroyed at erasure.

The only place that can lead from a pseudonym to an id. A page is sealed under the person's key, which is wrapped by the
keyring: with the page the person's sealed texts are lost wherever copies of them lie.
"""

import sqlite3
import threading
from collections import Counter, OrderedDict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tailorbird.catalog.keys import stable_key
from tailorbird.events.schema import USER
from tailorbird.privacy.keyring import Keyring
from tailorbird.privacy.master import secrets_folder
from tailorbird.privacy.places import Row
from tailorbird.privacy.sealing import SealError, new_key, seal, unseal
from tailorbird.privacy.suppression import Suppressions
from tailorbird.settings import Settings
from tailorbird.streams.database import Database

_FORMAT = 1
_SCRIPT = """
CREATE TABLE people (person TEXT PRIMARY KEY, wrapped BLOB NOT NULL, sealed BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE destroyed (turn INTEGER PRIMARY KEY, count INTEGER NOT NULL)
"""
_NUMBERS = "CREATE TABLE numbers (number INTEGER PRIMARY KEY, person TEXT NOT NULL)"
"""Users by the number that their devices know them by (tailorbird.events.devices)."""
_REMEMBERED = 65_536
_SLICE = 500
Refused = Callable[[Collection[str]], AbstractSet[str]]
"""Those of some people (person keys) who are suppressed."""


class BookPlace:
    """The book, as a place where people are kept; the last, as others ask it for the ids they look for."""

    name = "book of people"
    words = "the caller's own id and the person's key: what was sealed under it opens nowhere any more"
    claims = ("secrets/people.db*",)

    def __init__(self, book: Callable[[], "Book"]) -> None:
        self._book = book

    def count(self, people: Collection[str]) -> Mapping[str, int]:
        """Pages of each."""
        return Counter(self._book().known(people))

    def erase(self, people: Collection[str]) -> None:
        """Destroy the pages."""
        self._book().destroy(people)

    def read(self, people: Collection[str]) -> Iterator[Row]:
        """The callers' ids."""
        for key, identifier in self._book().callers_ids(people).items():
            yield {
                "key": key,
                "id": identifier,
                "words": f"you are {identifier!r}, and {key} to the platform",
            }

    verify = count


class Book:
    """One file, used by any number of threads and processes. Whoever is suppressed gets no page."""

    def __init__(
        self, path: Path, keyring: Keyring, *, refused: Refused = lambda people: frozenset()
    ) -> None:
        self._refused = refused
        self._database = Database(path, name="people", durable=True)
        self._database.create(_SCRIPT, version=_FORMAT)
        self._number_users()
        self._wrapping = AESGCM(keyring.people)
        self._known: OrderedDict[str, AESGCM] = OrderedDict()
        self._guard = threading.Lock()
        self._turn = self._destroyed()

    @classmethod
    def of(cls, settings: Settings, keyring: Keyring) -> "Book":
        """The workspace's book."""
        return cls(book_file(settings), keyring, refused=Suppressions(settings.folder).refused)

    def ciphers(self, people: Mapping[str, str]) -> dict[str, AESGCM]:
        """Each person's own cipher, by person key; who is new gets a page with the caller's id that ``people`` gives.

        Raises:
            StreamAwayError: the file cannot be read or written.
        """
        turn = self._forget_destroyed()
        with self._guard:
            found = {person: self._known[person] for person in people if person in self._known}
        missing = [person for person in people if person not in found]
        if missing:
            found |= self._read(missing)
            new = {person: people[person] for person in missing if person not in found}
            refused = self._refused(list(new)) if new else frozenset()
            if welcome := {person: each for person, each in new.items() if person not in refused}:
                found |= self._written(welcome)
            self._remember({person: found[person] for person in missing if person in found}, turn=turn)
            # Nothing of theirs is stored; what is sealed until the log refuses it opens for nobody.
            found |= {person: AESGCM(new_key()) for person in new if person not in found}
        return found

    def callers_ids(self, people: Iterable[str]) -> dict[str, str]:
        """The callers' own ids of those who have a page, by person key."""
        wanted = list(people)
        return {
            person: unseal(self._cipher(person, wrapped), sealed, purpose=f"id {person}").decode(
                "utf-8", "surrogatepass"
            )
            for person, wrapped, sealed in self._pages(wanted)
        }

    def opened(self, person: str, sealed: bytes) -> bytes | None:
        """What :func:`tailorbird.privacy.door.Door` sealed for a person; None where their key is destroyed."""
        found = self._read([person])
        if person not in found:
            return None
        try:
            return unseal(found[person], sealed, purpose=f"event {person}")
        except SealError:
            return None

    def user_of_number(self, number: int) -> str | None:
        """The person key of the user whom devices know by a number (``stable_key`` of that key); None where none has a page."""
        question = "SELECT person FROM numbers WHERE number = ?"
        found = self._database.ask(lambda connection: connection.execute(question, (number,)).fetchone())
        return str(found[0]) if found else None

    def known(self, people: Iterable[str]) -> set[str]:
        """Those of them who have a page."""
        return {person for person, _, _ in self._pages(list(people))}

    def destroy(self, people: Iterable[str]) -> int:
        """Take out the pages of people, and their keys with them, for good; how many had one."""
        wanted = sorted(set(people))
        gone = 0
        with self._database.transaction() as connection:
            for some in _slices(wanted):
                marks = ",".join("?" * len(some))
                statement = f"DELETE FROM people WHERE person IN ({marks})"  # noqa: S608
                gone += connection.execute(statement, some).rowcount
                numbers = [(number,) for number, _ in _numbers(some)]
                connection.executemany("DELETE FROM numbers WHERE number = ?", numbers)
            connection.execute("INSERT INTO destroyed (count) VALUES (?)", (gone,))
            connection.execute("DELETE FROM destroyed WHERE turn < (SELECT max(turn) FROM destroyed)")
        self._database.purge()  # a key that lies in an older state of the file is not destroyed
        return gone

    def close(self) -> None:
        """Release the file; closing twice is fine."""
        self._database.close()

    def _read(self, people: Sequence[str]) -> dict[str, AESGCM]:
        return {person: self._cipher(person, wrapped) for person, wrapped, _ in self._pages(people)}

    def _written(self, people: Mapping[str, str]) -> dict[str, AESGCM]:
        """Give people a page each, and none to who is suppressed; of two who do so at once the first counts, for both."""
        rows = {}
        for person, identifier in people.items():
            key = new_key()
            wrapped = seal(self._wrapping, key, purpose=f"key {person}")
            page = seal(AESGCM(key), identifier.encode("utf-8", "surrogatepass"), purpose=f"id {person}")
            rows[person] = (person, wrapped, page)
        with self._database.transaction() as connection:
            # In our turn to write: who is suppressed after this look has the page destroyed in a turn after ours.
            refused = self._refused(list(rows))
            welcome = [row for person, row in rows.items() if person not in refused]
            connection.executemany("INSERT INTO people VALUES (?, ?, ?) ON CONFLICT DO NOTHING", welcome)
            numbers = _numbers(row[0] for row in welcome)
            connection.executemany("INSERT INTO numbers VALUES (?, ?) ON CONFLICT DO NOTHING", numbers)
        return self._read(list(people))

    def _number_users(self) -> None:
        """Give a book of an older program its numbers."""
        question = "SELECT count(*) FROM sqlite_master WHERE name = 'numbers'"
        if self._database.ask(lambda connection: connection.execute(question).fetchone()[0]):
            return
        with self._database.transaction() as connection:
            if connection.execute(question).fetchone()[0]:
                return
            connection.execute(_NUMBERS)
            people = (row[0] for row in connection.execute("SELECT person FROM people").fetchall())
            connection.executemany(
                "INSERT INTO numbers VALUES (?, ?) ON CONFLICT DO NOTHING", _numbers(people)
            )

    def _pages(self, people: Sequence[str]) -> list[tuple[str, bytes, bytes]]:
        def look(connection: sqlite3.Connection) -> list[tuple[str, bytes, bytes]]:
            found: list[tuple[str, bytes, bytes]] = []
            for some in _slices(people):
                marks = ",".join("?" * len(some))
                statement = f"SELECT person, wrapped, sealed FROM people WHERE person IN ({marks})"  # noqa: S608
                found += connection.execute(statement, some).fetchall()
            return found

        return self._database.ask(look)

    def _cipher(self, person: str, wrapped: bytes) -> AESGCM:
        return AESGCM(unseal(self._wrapping, wrapped, purpose=f"key {person}"))

    def _remember(self, found: Mapping[str, AESGCM], *, turn: int) -> None:
        """Keep what was read after ``turn``, unless another thread has heard of keys that were destroyed since."""
        with self._guard:
            if turn == self._turn:
                self._known.update(found)
            while len(self._known) > _REMEMBERED:
                self._known.popitem(last=False)

    def _forget_destroyed(self) -> int:
        """A key that another process destroyed must not be used from memory; up to which turn it was looked."""
        turn = self._destroyed()
        if turn != self._turn:
            with self._guard:
                self._known.clear()
                self._turn = turn
        return turn

    def _destroyed(self) -> int:
        question = "SELECT coalesce(max(turn), 0) FROM destroyed"
        return int(self._database.ask(lambda connection: connection.execute(question).fetchone()[0]))


def book_file(settings: Settings) -> Path:
    """Where the book lies."""
    return secrets_folder(settings) / "people.db"


def _numbers(people: Iterable[str]) -> list[tuple[int, str]]:
    return [(stable_key(person), person) for person in people if person.startswith(USER)]


def _slices(people: Sequence[str]) -> Iterable[list[str]]:
    for start in range(0, len(people), _SLICE):
        yield list(people[start : start + _SLICE])
