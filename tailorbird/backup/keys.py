"""The keys of people beside the backups: one copy for all of them, so that a key which is destroyed opens none of them.

A backup without it is sealed for good. It is brought up to date with every backup, and an erasure reaches it as it does the book.
"""

import os
import sqlite3
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import closing
from pathlib import Path

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tailorbird.backup.known import known_backups
from tailorbird.backup.sealed import NOBODY, Ciphers
from tailorbird.errors import TailorbirdError
from tailorbird.privacy.erasure.places import People, Row
from tailorbird.privacy.keys.keyring import Keyring
from tailorbird.privacy.keys.sealing import new_key
from tailorbird.privacy.people.book import Book
from tailorbird.privacy.people.pages import Page, Refused, slices, unwrapped, wrapped
from tailorbird.streams.database import Database

KEYS_FOLDER, PEOPLE_FILE, KEYRING_FILE = "keys", "people.db", "keyring.json"
_FORMAT = 1
_SCRIPT = """
CREATE TABLE people (
    person TEXT NOT NULL, wrapped BLOB NOT NULL, sealed BLOB, turn INTEGER PRIMARY KEY
);
CREATE INDEX of_person ON people (person);
CREATE TABLE destroyed (person TEXT UNIQUE NOT NULL, turn INTEGER PRIMARY KEY AUTOINCREMENT)
"""
"""``sealed`` is null where the key was made here, for somebody who has no page in the book: who only asked, for example.

``destroyed``: whose keys an erasure took, until they have a page again: a restored workspace refuses them, and no backup that is
under way gives one a key.
"""
_SELECT = "SELECT person, wrapped, sealed FROM people"
_INSERT = "INSERT INTO people (person, wrapped, sealed) VALUES (?, ?, ?)"
_DELETE = "DELETE FROM people WHERE person = ?"
_REMEMBER = "INSERT OR REPLACE INTO destroyed (person) VALUES (?)"
_SLICE = 500
AT_ONCE = 5_000
"""People of one look at what other machines erased."""
Erased = Callable[[Collection[str]], AbstractSet[str]]
"""Those of some people (person keys) whom an erasure has reached."""


class KeyCopy:
    """The copy in a folder of backups."""

    def __init__(self, backups: Path) -> None:
        (backups / KEYS_FOLDER).mkdir(parents=True, exist_ok=True, mode=0o700)
        self._database = Database(backups / KEYS_FOLDER / PEOPLE_FILE, name="keys of backups", durable=True)
        self._database.create(_SCRIPT, version=_FORMAT)

    @staticmethod
    def there(backups: Path) -> bool:
        """Whether the folder has one. One that the system cannot look into, such as a disk that went away, has none now."""
        return os.path.exists(backups / KEYS_FOLDER / PEOPLE_FILE)  # noqa: PTH110 - Path.exists raises there

    def follow(self, book: Book, *, suppressed: Collection[str], erased: Erased) -> int:
        """Hold the pages that the book holds now, and none of whoever is ``suppressed``; how many there are.

        Whoever has another page in the book than here was ``erased`` and came back, and loses the one here, or the book was lost:
        then it stays, as do the pages of those who have none in the book, so that the backups are not lost along. The book is read
        in our turn to write: who is erased meanwhile is taken out of here after us.
        """
        with self._database.transaction() as connection:
            held = {Page(*row) for row in connection.execute(f"{_SELECT} WHERE sealed IS NOT NULL")}
            pages = book.everything()
            named = {page.person for page in pages}
            new = [page for page in pages if page not in held]
            other = [page for page in held - set(pages) if page.person in named]
            back = erased({page.person for page in other}) if other else frozenset()
            met = {page.wrapped for page in new}  # the same key, whose page has the caller's id now
            lapsed = [page[:2] for page in other if page.person in back or page.wrapped in met]
            gone = connection.executemany(
                "DELETE FROM people WHERE person = ? AND wrapped = ?", lapsed
            ).rowcount
            gone += connection.executemany(_DELETE, [(person,) for person in suppressed]).rowcount
            connection.executemany(_INSERT, new)
            returned = named & {row[0] for row in connection.execute("SELECT person FROM destroyed")}
            connection.executemany("DELETE FROM destroyed WHERE person = ?", [(each,) for each in returned])
            connection.executemany(_REMEMBER, [(each,) for each in suppressed])
        if gone > 0:
            self._database.purge()
        return len(pages)

    def pages(self) -> list[Page]:
        """Those of the book."""
        return self._asked(f"{_SELECT} WHERE sealed IS NOT NULL ORDER BY turn", ())

    def known(self, people: Collection[str]) -> set[str]:
        """Those of some people who have a key here."""
        return {person for person, _, _ in self._of(people)}

    def destroy(self, people: Collection[str]) -> None:
        """Take their keys away, the bytes too."""
        with self._database.transaction() as connection:
            connection.executemany(_DELETE, [(each,) for each in people])
            connection.executemany(_REMEMBER, [(each,) for each in people])
        self._database.purge()

    def destroyed(self) -> set[str]:
        """Whose keys were taken, and who have no page since."""
        return self._database.ask(
            lambda connection: {row[0] for row in connection.execute("SELECT person FROM destroyed")}
        )

    def turn(self) -> int:
        """How often keys were taken."""
        question = "SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'destroyed'"
        return int(self._database.ask(lambda connection: connection.execute(question).fetchone()[0]))

    def opened(self, keyring: Keyring, people: Collection[str]) -> dict[str, list[AESGCM]]:
        """The ciphers of those of some people who have a key here, and of nobody."""
        wrapping = AESGCM(keyring.people)
        found: dict[str, list[AESGCM]] = {NOBODY: [keyring.quarantine]} if NOBODY in people else {}
        for page in self._of(people):
            found.setdefault(page.person, []).append(AESGCM(unwrapped(page, wrapping)))
        return found

    def made(
        self, keyring: Keyring, people: Collection[str], *, refused: Refused, since: int
    ) -> dict[str, list[AESGCM]]:
        """As :meth:`opened`; whoever has no key gets one, unless they are suppressed, or were erased after turn ``since`` and came back."""
        found = self.opened(keyring, people)
        if missing := sorted(set(people) - found.keys()):
            wrapping = AESGCM(keyring.people)
            with self._database.transaction() as connection:
                # In our turn to write: who is suppressed after this look has the key destroyed in a turn after ours.
                fallen = connection.execute(
                    "SELECT person FROM destroyed WHERE turn > ?", (since,)
                ).fetchall()
                welcome = sorted(set(missing) - refused(missing) - {person for (person,) in fallen})
                keys = {person: wrapped(new_key(), person, wrapping) for person in welcome}
                connection.executemany(_INSERT, [(person, key, None) for person, key in keys.items()])
            found |= self.opened(keyring, welcome)
        return found

    def close(self) -> None:
        """Release the file; closing twice is fine."""
        self._database.close()

    def _of(self, people: Collection[str]) -> list[Page]:
        found: list[Page] = []
        for some in slices(sorted(people), of=_SLICE):
            marks = ",".join("?" * len(some))
            found += self._asked(f"{_SELECT} WHERE person IN ({marks}) ORDER BY turn", some)
        return found

    def _asked(self, question: str, values: Sequence[str]) -> list[Page]:
        def look(connection: sqlite3.Connection) -> list[Page]:
            return [Page(*row) for row in connection.execute(question, values)]

        return self._database.ask(look)


def opening(backups: Path, keyring: Keyring) -> Ciphers:
    """What opens the backups of a folder. Raises TailorbirdError where there are no keys beside them."""
    if not KeyCopy.there(backups):
        raise TailorbirdError(
            f"there are no keys in {backups / KEYS_FOLDER}",
            remedy="bring that folder back: the backups open with it alone",
        )

    def ciphers(people: Collection[str]) -> Mapping[str, Sequence[AESGCM]]:
        with closing(KeyCopy(backups)) as keys:
            return keys.opened(keyring, people)

    return ciphers


def sealing(backups: Path, keyring: Keyring, *, refused: Refused, since: int) -> Ciphers:
    """What seals a new one; asked anew each time, so that a key which was destroyed seals nothing from memory.

    Whoever was erased after turn ``since``, which is before the first record is read, gets no key for what was read of them before.
    """

    def ciphers(people: Collection[str]) -> Mapping[str, Sequence[AESGCM]]:
        with closing(KeyCopy(backups)) as keys:
            return keys.made(keyring, people, refused=refused, since=since)

    return ciphers


class BackupsPlace:
    """Backups, as a place where people are kept: their keys, without which what was sealed opens nowhere."""

    name = "backups"
    words = "the person's key beside backups: what they hold of the person opens no more"
    claims = ()

    def __init__(self, workspace_folder: Path, *, shared: bool = False) -> None:
        """``shared``: other machines have backups of their own, and take the keys beside them away themselves (:class:`OthersErased`)."""
        self._folder = workspace_folder
        if shared:
            self.words += "; beside backups of other machines once their admin application runs, or with their next backup"

    def count(self, people: People) -> Mapping[str, int]:
        """Keys of each, one a folder of backups, of those that are there."""
        found: Counter[str] = Counter()
        for folder in known_backups(self._folder):
            if KeyCopy.there(folder):
                with closing(KeyCopy(folder)) as copy:
                    found.update(copy.known(people))
        return found

    def erase(self, people: People) -> None:
        """Destroy them. Raises TailorbirdError where a folder is not there now."""
        self._require_all()
        for folder in known_backups(self._folder):
            with closing(KeyCopy(folder)) as copy:
                copy.destroy(people)

    def verify(self, people: People) -> Mapping[str, int]:
        """Look again. Raises TailorbirdError where a folder is not there now."""
        self._require_all()
        return self.count(people)

    def read(self, people: People) -> Iterator[Row]:
        """That there are backups."""
        for person, count in sorted(self.count(people).items()):
            for _ in range(count):
                yield {
                    "key": person,
                    "words": "backups hold what you did and were shown, sealed under your key",
                }

    def _require_all(self) -> None:
        for folder in known_backups(self._folder):
            if not KeyCopy.there(folder):
                raise TailorbirdError(
                    f"the backups in {folder} are not there",
                    remedy=f"mount them; or, where they are gone for good, `tailorbird backup drop {folder}`",
                )


class OthersErased:
    """Takes away, beside this machine's backups, the keys of people whom other machines erased.

    It remembers in memory up to which list it looked: a process looks at everybody on it once, then at who is new.
    """

    def __init__(self, workspace_folder: Path) -> None:
        self._folder = workspace_folder
        self._looked: dict[Path, frozenset[str]] = {}

    def follow(self, listed: frozenset[str], *, but: Collection[str] = ()) -> int:
        """Look at most AT_ONCE people of a list further in each folder that is there; how many keys went.

        ``listed`` is whoever is suppressed, the same object as long as that is the same list; ``but``: whose erasure is at it itself.

        Raises:
            TailorbirdError: keys of a folder cannot be had now; those of the others are gone.
        """
        gone, trouble = 0, None
        for folder in known_backups(self._folder):
            try:
                gone += self._follow(folder, listed, but)
            except TailorbirdError as error:
                trouble = error
        if trouble is not None:
            raise trouble
        return gone

    def _follow(self, folder: Path, listed: frozenset[str], but: Collection[str]) -> int:
        before = self._looked.get(folder, frozenset())
        if before is listed or not KeyCopy.there(folder):
            return 0
        some = sorted(listed.difference(before, but))[:AT_ONCE]
        gone = _destroyed(folder, some) if some else 0
        # Whoever left the list is looked at again once they are back on it.
        seen = before.intersection(listed).union(some)
        self._looked[folder] = listed if len(seen) == len(listed) else seen
        return gone


def _destroyed(folder: Path, people: Collection[str]) -> int:
    """Take away the keys of those who have some; how many had."""
    with closing(KeyCopy(folder)) as copy:
        found = copy.known(people)
        if found:
            copy.destroy(found)
        return len(found)
