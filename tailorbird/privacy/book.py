"""The book of people: whose caller's id stands behind a pseudonym, and each person's own key. Both sealed, both destroyed at erasure.

The only place that can lead from a pseudonym to an id. A page is sealed under the person's key, which is wrapped by the
keyring: with the page the person's sealed texts are lost wherever copies of them lie.
"""

import threading
from collections import Counter, OrderedDict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tailorbird.privacy.keyring import Keyring
from tailorbird.privacy.pages import Page, Pages, PagesFile, Refused, book_file
from tailorbird.privacy.places import Row
from tailorbird.privacy.sealing import SealError, new_key, seal, unseal
from tailorbird.privacy.shared_pages import shared_pages
from tailorbird.privacy.suppression import Suppressions
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
        for key, identifier in self._book().callers_ids(people).items():
            yield {
                "key": key,
                "id": identifier,
                "words": f"you are {identifier!r}, and {key} to the platform",
            }

    verify = count


class Book:
    """Used by any number of threads and processes, on any machine that shares its pages. Whoever is suppressed gets no page."""

    def __init__(
        self, pages: Pages, keyring: Keyring, *, refused: Refused = lambda people: frozenset()
    ) -> None:
        self._pages, self._refused = pages, refused
        self._wrapping = AESGCM(keyring.people)
        self._known: OrderedDict[str, AESGCM] = OrderedDict()
        self._numbered: dict[int, str] = {}
        self._guard = threading.Lock()
        self._turn = -1

    @classmethod
    def of(cls, settings: Settings, keyring: Keyring) -> "Book":
        """The workspace's book, or the one that its machines share.

        Raises:
            UsageError: the people of the shared one are named by other keys.
        """
        suppressions = Suppressions.of(settings)
        pages = shared_pages(settings, keyring) if settings.people else PagesFile(book_file(settings))
        return cls(pages, keyring, refused=suppressions.refused)

    def ciphers(self, people: Mapping[str, str]) -> dict[str, AESGCM]:
        """Each person's own cipher, by person key; who is new gets a page with the caller's id that ``people`` gives.

        Raises:
            StreamAwayError: the pages cannot be read or written.
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
        return {
            page.person: unseal(self._cipher(page), page.sealed, purpose=f"id {page.person}").decode(
                "utf-8", "surrogatepass"
            )
            for page in _counting(self._pages.read(list(people)))
        }

    def opened(self, person: str, sealed: bytes) -> bytes | None:
        """What :func:`tailorbird.privacy.door.Door` sealed for a person; None where their key is destroyed."""
        for page in self._pages.read([person]):
            try:
                return unseal(self._cipher(page), sealed, purpose=f"event {person}")
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

    def _read(self, people: Sequence[str]) -> dict[str, AESGCM]:
        return {page.person: self._cipher(page) for page in _counting(self._pages.read(people))}

    def _written(self, people: Mapping[str, str]) -> dict[str, AESGCM]:
        """Give people a page each, and none to who is suppressed; of two who do so at once the first counts, for both."""
        pages = []
        for person, identifier in people.items():
            key = new_key()
            wrapped = seal(self._wrapping, key, purpose=f"key {person}")
            sealed = seal(AESGCM(key), identifier.encode("utf-8", "surrogatepass"), purpose=f"id {person}")
            pages.append(Page(person, wrapped, sealed))
        self._pages.write(pages, refused=self._refused)
        return self._read(list(people))

    def _cipher(self, page: Page) -> AESGCM:
        return AESGCM(unseal(self._wrapping, page.wrapped, purpose=f"key {page.person}"))

    def _remember(self, found: Mapping[str, AESGCM], *, turn: int) -> None:
        """Keep what was read after ``turn``, unless another thread has heard of keys that were destroyed since."""
        with self._guard:
            if turn == self._turn:
                self._known.update(found)
            while len(self._known) > _REMEMBERED:
                self._known.popitem(last=False)

    def _forget_destroyed(self) -> int:
        """A key that another process destroyed must not be used from memory; up to which turn it was looked."""
        turn = self._pages.turn()
        if turn != self._turn:
            with self._guard:
                self._known.clear()
                self._numbered.clear()
                self._turn = turn
        return turn


def _counting(pages: Iterable[Page]) -> list[Page]:
    """The first page of each person."""
    first: dict[str, Page] = {}
    for page in pages:
        first.setdefault(page.person, page)
    return list(first.values())
