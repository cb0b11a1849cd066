"""Where the pages of the book of people are kept: a file of this machine here, a database that machines share in shared_pages.py."""

import sqlite3
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import NamedTuple, Protocol, TypeVar

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tailorbird.catalog.keys import stable_key
from tailorbird.events.schema import USER
from tailorbird.privacy.keys.master import secrets_folder
from tailorbird.privacy.keys.sealing import seal, unseal
from tailorbird.settings import Settings
from tailorbird.streams.database import Database

_FORMAT = 1
_SCRIPT = """
CREATE TABLE people (person TEXT PRIMARY KEY, wrapped BLOB NOT NULL, sealed BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE destroyed (turn INTEGER PRIMARY KEY, count INTEGER NOT NULL)
"""
_NUMBERS = "CREATE TABLE numbers (number INTEGER PRIMARY KEY, person TEXT NOT NULL)"
"""Users by the number that their devices know them by (tailorbird.events.devices)."""
_SLICE = 500
Item = TypeVar("Item")
Refused = Callable[[Collection[str]], AbstractSet[str]]
"""Those of some people (person keys) who are suppressed."""


class Page(NamedTuple):
    """A person, their own key as the keyring wraps it, and the caller's id as that key seals it (empty where nobody told it yet)."""

    person: str
    wrapped: bytes
    sealed: bytes


class Pages(Protocol):
    """Pages by person, for any number of threads and processes. Every call raises StreamAwayError where they cannot be had."""

    def turn(self) -> int:
        """Another number whenever pages were destroyed, by whomever."""

    def read(self, people: Sequence[str]) -> list[Page]:
        """The pages of those who have one. The first of a person counts; others open what was sealed before it."""

    def everything(self) -> list[Page]:
        """Every page there is, the first of a person before others."""

    def write(self, pages: Sequence[Page], *, refused: Refused) -> None:
        """Keep pages of people who have none. Of two who write at once the first counts.

        ``refused`` is asked in our turn to write: who is suppressed after that has the page destroyed in a turn after ours.
        """

    def fill(self, pages: Sequence[Page]) -> None:
        """Give pages that have no caller's id the one that is ``sealed`` here; one that was destroyed, or has one, stays."""

    def destroy(self, people: Sequence[str]) -> int:
        """Take out the pages of people for good; how many of them had one."""

    def user_of_number(self, number: int) -> str | None:
        """The user whose person key has this ``stable_key``; None where none has a page."""

    def close(self) -> None:
        """Release what is open; closing twice is fine."""


class PagesFile:
    """The pages of one machine, in a file."""

    def __init__(self, path: Path) -> None:
        self._database = Database(path, name="people", durable=True)
        self._database.create(_SCRIPT, version=_FORMAT)
        self._number_users()

    def turn(self) -> int:
        """How often pages were destroyed."""
        question = "SELECT coalesce(max(turn), 0) FROM destroyed"
        return int(self._database.ask(lambda connection: connection.execute(question).fetchone()[0]))

    def read(self, people: Sequence[str]) -> list[Page]:
        """The pages of those who have one."""

        def look(connection: sqlite3.Connection) -> list[Page]:
            found: list[Page] = []
            for some in slices(people, of=_SLICE):
                marks = ",".join("?" * len(some))
                statement = f"SELECT person, wrapped, sealed FROM people WHERE person IN ({marks})"  # noqa: S608
                found += [Page(*row) for row in connection.execute(statement, some)]
            return found

        return self._database.ask(look)

    def everything(self) -> list[Page]:
        """Every page there is."""
        question = "SELECT person, wrapped, sealed FROM people"
        return self._database.ask(lambda connection: [Page(*row) for row in connection.execute(question)])

    def write(self, pages: Sequence[Page], *, refused: Refused) -> None:
        """Keep pages of people who have none."""
        with self._database.transaction() as connection:
            fallen = refused([page.person for page in pages])
            welcome = [page for page in pages if page.person not in fallen]
            connection.executemany("INSERT INTO people VALUES (?, ?, ?) ON CONFLICT DO NOTHING", welcome)
            numbers = _numbers(page.person for page in welcome)
            connection.executemany("INSERT INTO numbers VALUES (?, ?) ON CONFLICT DO NOTHING", numbers)

    def fill(self, pages: Sequence[Page]) -> None:
        """Write callers' ids into pages without one."""
        with self._database.transaction() as connection:
            connection.executemany(
                "UPDATE people SET sealed = ? WHERE person = ? AND wrapped = ? AND sealed = x''",
                [(page.sealed, page.person, page.wrapped) for page in pages],
            )

    def destroy(self, people: Sequence[str]) -> int:
        """Take out pages, and every older state of the file in which they stand."""
        gone = 0
        with self._database.transaction() as connection:
            for some in slices(people, of=_SLICE):
                marks = ",".join("?" * len(some))
                statement = f"DELETE FROM people WHERE person IN ({marks})"  # noqa: S608
                gone += connection.execute(statement, some).rowcount
                numbers = [(number,) for number, _ in _numbers(some)]
                connection.executemany("DELETE FROM numbers WHERE number = ?", numbers)
            connection.execute("INSERT INTO destroyed (count) VALUES (?)", (gone,))
            connection.execute("DELETE FROM destroyed WHERE turn < (SELECT max(turn) FROM destroyed)")
        self._database.purge()  # a key that lies in an older state of the file is not destroyed
        return gone

    def user_of_number(self, number: int) -> str | None:
        """The user whom devices know by a number."""
        question = "SELECT person FROM numbers WHERE number = ?"
        found = self._database.ask(lambda connection: connection.execute(question, (number,)).fetchone())
        return str(found[0]) if found else None

    def close(self) -> None:
        """Release the file."""
        self._database.close()

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


def book_file(settings: Settings) -> Path:
    """Where the book of one machine lies."""
    return secrets_folder(settings) / "people.db"


def number_of(person: str) -> int | None:
    """By which number devices know a user; anonymous people have none."""
    return stable_key(person) if person.startswith(USER) else None


def wrapped(key: bytes, person: str, wrapping: AESGCM) -> bytes:
    """A person's own key as a page has it, for that person alone."""
    return seal(wrapping, key, purpose=f"key {person}")


def unwrapped(page: Page, wrapping: AESGCM) -> bytes:
    """The key of a page. Raises SealError where it was wrapped by another keyring."""
    return unseal(wrapping, page.wrapped, purpose=f"key {page.person}")


def slices(each: Sequence[Item], *, of: int) -> Iterator[list[Item]]:
    """Some at a time: a statement has a limit."""
    for start in range(0, len(each), of):
        yield list(each[start : start + of])


def _numbers(people: Iterable[str]) -> list[tuple[int, str]]:
    return [(number, person) for person in people if (number := number_of(person)) is not None]
