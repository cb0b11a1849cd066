"""The book of people: whose caller's id stands behind a pseudonym, and each person's own key. Both sealed, both destroyed at erasure.

The only place that can lead from a pseudonym to an id. A page is sealed under the person's key, which is wrapped by the
keyring: with the page the person's sealed texts are lost wherever copies of them lie.
"""

import threading
import weakref
from collections import Counter, OrderedDict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tailorbird.privacy.erasure.places import Row
from tailorbird.privacy.keys.keyring import Keyring
from tailorbird.privacy.keys.sealing import Key, SealError, new_key, seal, unseal
from tailorbird.privacy.people.pages import Page, Pages, PagesFile, Refused, book_file, unwrapped, wrapped
from tailorbird.privacy.people.shared_pages import shared_pages
from tailorbird.privacy.people.suppression import Suppressions
from tailorbird.settings import Settings

_REMEMBERED = 65_536


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
        known = self._book().callers_ids(people)
        for key in sorted(self._book().known(people)):
            words = (
                f"you are {known[key]!r}, and {key} to the platform"
                if key in known
                else f"you are {key} here"
            )
            yield {"key": key, "id": known.get(key), "words": words}

    verify = count


class _Held(NamedTuple):
    """A person's key, and whether their page has the caller's id."""

    key: Key
    met: bool


class Book:
    """Used by any number of threads and processes, on any machine that shares its pages. Whoever is suppressed gets no page."""

    def __init__(
        self, pages: Pages, keyring: Keyring, *, refused: Refused = lambda people: frozenset()
    ) -> None:
        self._pages, self._refused = pages, refused
        self._wrapping = AESGCM(keyring.people)
        self._known: OrderedDict[str, _Held] = OrderedDict()
        self._met: set[str] = set()
        self._numbered: dict[int, str] = {}
        self._guard = threading.Lock()
        self._turn = -1

    @classmethod
    def of(cls, settings: Settings, keyring: Keyring) -> "Book":
        """The workspace's book, or the one that its machines share, which a process has once.

        Raises:
            UsageError: the people of the shared one are named by other keys.
        """
        suppressions = Suppressions.of(settings)
        if not settings.people:
            return cls(PagesFile(book_file(settings)), keyring, refused=suppressions.refused)
        with _opening:
            asked = (settings.people, settings.folder, keyring.fingerprint)
            found = _shared.get(asked)
            if found is None:
                pages = shared_pages(settings, keyring)
                found = _shared[asked] = cls(pages, keyring, refused=suppressions.refused)
            return found

    def meet(self, people: Mapping[str, str]) -> None:
        """Give whoever is new a page with the caller's id that ``people`` gives, by person key.

        Raises:
            StreamAwayError: the pages cannot be read or written.
        """
        self._forget_destroyed()
        if not self._met.issuperset(people):
            self._held(people)

    def ciphers(self, people: Mapping[str, str]) -> dict[str, AESGCM]:
        """Each person's own cipher, by person key; who is new gets a page with the caller's id that ``people`` gives.

        Raises:
            StreamAwayError: the pages cannot be read or written.
        """
        return {person: held.key.cipher for person, held in self._held(people).items()}

    def keys(self, people: Collection[str]) -> dict[str, Key]:
        """Each person's own key, by person key; who is new gets a page without the caller's id, which follows once it is known.

        Raises:
            StreamAwayError: the pages cannot be read or written.
        """
        return {person: held.key for person, held in self._held(dict.fromkeys(people)).items()}

    def keys_named(self, wanted: Collection[tuple[str, bytes]]) -> dict[tuple[str, bytes], Key]:
        """The keys of people, by person key and the key's name, that are not destroyed.

        Raises:
            StreamAwayError: the pages cannot be read.
        """
        turn = self._forget_destroyed()
        found: dict[tuple[str, bytes], Key] = {}
        with self._guard:
            for person, name in wanted:
                held = self._known.get(person)
                if held is not None and held.key.name == name:
                    found[person, name] = held.key
        missing = sorted({person for person, name in wanted if (person, name) not in found})
        if missing:
            pages = self._pages.read(missing)
            found |= {
                asked: key
                for page in pages
                if (asked := (page.person, (key := self._key(page)).name)) in wanted
            }
            self._remember({page.person: self._of(page) for page in _counting(pages)}, turn=turn)
        return found

    def callers_ids(self, people: Iterable[str]) -> dict[str, str]:
        """The callers' own ids of those who have a page, by person key."""
        return {
            page.person: unseal(self._key(page).cipher, page.sealed, purpose=f"id {page.person}").decode(
                "utf-8", "surrogatepass"
            )
            for page in _counting(each for each in self._pages.read(list(people)) if each.sealed)
        }

    def opened(self, person: str, sealed: bytes) -> bytes | None:
        """What :func:`tailorbird.privacy.door.door.Door` sealed for a person; None where their key is destroyed."""
        for page in self._pages.read([person]):
            try:
                return unseal(self._key(page).cipher, sealed, purpose=f"event {person}")
            except SealError:
                continue
        return None

    def user_of_number(self, number: int) -> str | None:
        """The person key of the user whom devices know by a number (``stable_key`` of that key); None where none has a page."""
        person = self._numbered.get(number)
        if person is None:
            person = self._pages.user_of_number(number)
            if person is not None and len(self._numbered) < _REMEMBERED:
                self._numbered[number] = person
        return person

    def known(self, people: Iterable[str]) -> set[str]:
        """Those of them who have a page."""
        return {page.person for page in self._pages.read(list(people))}

    def everything(self) -> list[Page]:
        """Every page, as the keyring wraps it: what a backup keeps beside what it seals."""
        return self._pages.everything()

    def take_in(self, pages: Sequence[Page]) -> None:
        """Have pages of a backup, of people who have none here and are not suppressed."""
        self._pages.write(pages, refused=self._refused)

    def destroy(self, people: Iterable[str]) -> int:
        """Take out the pages of people, and their keys with them, for good; how many had one."""
        self._numbered.clear()
        return self._pages.destroy(sorted(set(people)))

    def close(self) -> None:
        """Release the pages; closing twice is fine."""
        self._pages.close()

    def _held(self, people: Mapping[str, str | None]) -> dict[str, "_Held"]:
        """Each person's key; ``people`` gives the caller's id of each, as far as it is known."""
        turn = self._forget_destroyed()
        with self._guard:
            found = {
                person: held
                for person, identifier in people.items()
                if (held := self._known.get(person)) is not None and (held.met or identifier is None)
            }
        missing = [person for person in people if person not in found]
        if missing:
            read = _counting(self._pages.read(missing))
            found |= {page.person: self._of(page) for page in read}
            self._meet([page for page in read if not page.sealed], people, found)
            new = {person: people[person] for person in missing if person not in found}
            refused = self._refused(list(new)) if new else frozenset()
            if welcome := {person: each for person, each in new.items() if person not in refused}:
                found |= self._written(welcome)
            self._remember({person: found[person] for person in missing if person in found}, turn=turn)
            # Nothing of theirs is stored; what is sealed until the log refuses it opens for nobody.
            found |= {person: _Held(Key.of(new_key()), met=True) for person in new if person not in found}
        return found

    def _meet(
        self, pages: Sequence[Page], people: Mapping[str, str | None], found: dict[str, "_Held"]
    ) -> None:
        """Write the caller's ids that ``people`` gives into pages that have none."""
        filled = [
            page._replace(sealed=_of_id(identifier, page.person, found[page.person].key))
            for page in pages
            if (identifier := people[page.person]) is not None
        ]
        if filled:
            self._pages.fill(filled)
            found |= {page.person: self._of(page) for page in filled}

    def _written(self, people: Mapping[str, str | None]) -> dict[str, "_Held"]:
        """Give people a page each, and none to who is suppressed; of two who do so at once the first counts, for both."""
        pages = []
        for person, identifier in people.items():
            secret = new_key()
            sealed = b"" if identifier is None else _of_id(identifier, person, Key.of(secret))
            pages.append(Page(person, wrapped(secret, person, self._wrapping), sealed))
        self._pages.write(pages, refused=self._refused)
        read = _counting(self._pages.read(list(people)))
        found = {page.person: self._of(page) for page in read}
        self._meet([page for page in read if not page.sealed], people, found)
        return found

    def _of(self, page: Page) -> "_Held":
        return _Held(self._key(page), met=bool(page.sealed))

    def _key(self, page: Page) -> Key:
        return Key.of(unwrapped(page, self._wrapping))

    def _remember(self, found: Mapping[str, "_Held"], *, turn: int) -> None:
        """Keep what was read after ``turn``, unless another thread has heard of keys that were destroyed since."""
        with self._guard:
            if turn == self._turn:
                self._known.update(found)
                self._met.update(person for person, held in found.items() if held.met)
            while len(self._known) > _REMEMBERED:
                self._met.discard(self._known.popitem(last=False)[0])

    def _forget_destroyed(self) -> int:
        """A key that another process destroyed must not be used from memory; up to which turn it was looked."""
        turn = self._pages.turn()
        if turn != self._turn:
            with self._guard:
                self._known.clear()
                self._met.clear()
                self._numbered.clear()
                self._turn = turn
        return turn


_shared: "weakref.WeakValueDictionary[tuple[str, Path, str], Book]" = weakref.WeakValueDictionary()
_opening = threading.Lock()


def _of_id(identifier: str, person: str, key: Key) -> bytes:
    """A caller's id as it stands on a page."""
    return seal(key.cipher, identifier.encode("utf-8", "surrogatepass"), purpose=f"id {person}")


def _counting(pages: Iterable[Page]) -> list[Page]:
    """The first page of each person."""
    first: dict[str, Page] = {}
    for page in pages:
        first.setdefault(page.person, page)
    return list(first.values())
