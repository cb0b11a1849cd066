"""The pages of the book of people that machines share, in PostgreSQL."""

from collections.abc import Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tailorbird.plumbing.alone import alone
from tailorbird.privacy.keys.keyring import Keyring
from tailorbird.privacy.keys.master import private_folder
from tailorbird.privacy.people.pages import Page, PagesFile, Refused, book_file, number_of, slices
from tailorbird.privacy.people.shared_people import OtherKeysError, SharedPeople, shared_people
from tailorbird.settings import Settings
from tailorbird.streams.stream import StreamAwayError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from psycopg import Connection

_AT_ONCE = 5_000


class SharedPages:
    """The pages of one workspace for all machines whose keyring has this ``fingerprint``.

    What this machine kept in a file of its ``own`` before is carried there. A person who has a page there already keeps that one;
    the one from here goes behind it, and opens what was sealed by it.
    """

    def __init__(self, people: SharedPeople, *, fingerprint: str, own: Path) -> None:
        self._people, self._fingerprint, self._own = people, fingerprint, own

    def meet(self) -> None:
        """See whether the people there are named by our keys; one that cannot be asked now is asked again by the next question.

        Raises:
            OtherKeysError: they are others'.
        """
        try:
            with self._asked():
                pass
        except OtherKeysError:
            raise
        except StreamAwayError:
            return

    def turn(self) -> int:
        """How often pages were destroyed, on any machine."""
        with self._asked() as connection:
            return self._people.turn_of(connection)

    def read(self, people: Sequence[str]) -> list[Page]:
        """The pages of those who have one."""
        found: list[Page] = []
        with self._asked() as connection:
            for some in slices(people, of=_AT_ONCE):
                rows = connection.execute(
                    "SELECT person, wrapped, sealed FROM tailorbird_people WHERE workspace = %s AND person = ANY(%s)"
                    " ORDER BY person, place",
                    (self._people.workspace, some),
                )
                found += [Page(*row) for row in rows]
        return found

    def everything(self) -> list[Page]:
        """Every page of the workspace, whichever machine brought it."""
        with self._asked() as connection:
            rows = connection.execute(
                "SELECT person, wrapped, sealed FROM tailorbird_people WHERE workspace = %s ORDER BY person, place",
                (self._people.workspace,),
            )
            return [Page(*row) for row in rows]

    def write(self, pages: Sequence[Page], *, refused: Refused) -> None:
        """Keep pages of people who have none."""
        with self._asked() as connection, connection.transaction():
            self._people.turn_of(connection, "FOR UPDATE")
            fallen = refused([page.person for page in pages])
            welcome = [page for page in pages if page.person not in fallen]
            for some in slices(welcome, of=_AT_ONCE):
                connection.execute(
                    "INSERT INTO tailorbird_people SELECT %s, person, 0, wrapped, sealed, number"
                    " FROM unnest(%s::text[], %s::bytea[], %s::bytea[], %s::bigint[])"
                    " AS given (person, wrapped, sealed, number) ON CONFLICT DO NOTHING",
                    (self._people.workspace, *_columns(some)),
                )

    def fill(self, pages: Sequence[Page]) -> None:
        """Write callers' ids into pages without one."""
        with self._asked() as connection, connection.transaction(), connection.cursor() as cursor:
            cursor.executemany(
                "UPDATE tailorbird_people SET sealed = %s WHERE workspace = %s AND person = %s AND wrapped = %s AND sealed = ''",
                [(page.sealed, self._people.workspace, page.person, page.wrapped) for page in pages],
            )

    def destroy(self, people: Sequence[str]) -> int:
        """Take out pages, those of other machines too."""
        with self._asked() as connection, connection.transaction():
            self._people.next_turn(connection)
            rows = connection.execute(
                "DELETE FROM tailorbird_people WHERE workspace = %s AND person = ANY(%s) RETURNING person",
                (self._people.workspace, list(people)),
            ).fetchall()
        self._people.tidy()
        return len({person for (person,) in rows})

    def user_of_number(self, number: int) -> str | None:
        """The user whom devices know by a number."""
        with self._asked() as connection:
            row = connection.execute(
                "SELECT person FROM tailorbird_people WHERE workspace = %s AND number = %s LIMIT 1",
                (self._people.workspace, number),
            ).fetchone()
        return str(row[0]) if row else None

    def count(self) -> tuple[int, int]:
        """How many people there are, and how many were erased."""
        with self._asked() as connection:
            row = connection.execute(
                "SELECT (SELECT count(*) FROM tailorbird_people WHERE workspace = %(workspace)s AND place = 0),"
                " (SELECT count(*) FROM tailorbird_suppressed WHERE workspace = %(workspace)s)",
                {"workspace": self._people.workspace},
            ).fetchone()
        assert row is not None
        return int(row[0]), int(row[1])

    def close(self) -> None:
        """The line ends with the last of this process who holds it."""

    @contextmanager
    def _asked(self) -> "Iterator[Connection[tuple[Any, ...]]]":
        with self._people.asked() as connection:
            self._people.require_keyring(connection, self._fingerprint)
            self._carry(connection)
            yield connection

    def _carry(self, connection: "Connection[tuple[Any, ...]]") -> None:
        """Put the pages of this machine's own book beside those that are there, but of nobody who was erased since."""
        if not self._own.exists():
            return
        with alone(self._own.with_name(".lock")):
            if not self._own.exists():
                return
            with closing(PagesFile(self._own)) as before:
                pages = before.everything()
            with connection.transaction():
                self._people.turn_of(connection, "FOR UPDATE")
                for some in slices(pages, of=_AT_ONCE):
                    self._carry_some(connection, some)
            for path in self._own.parent.glob(f"{self._own.name}*"):
                path.unlink()

    def _carry_some(self, connection: "Connection[tuple[Any, ...]]", pages: Sequence[Page]) -> None:
        connection.execute(
            "INSERT INTO tailorbird_people SELECT %(workspace)s, given.person, coalesce((SELECT max(place) + 1"
            " FROM tailorbird_people AS each WHERE each.workspace = %(workspace)s AND each.person = given.person), 0),"
            " wrapped, sealed, number"
            " FROM unnest(%(people)s::text[], %(wrapped)s::bytea[], %(sealed)s::bytea[], %(numbers)s::bigint[])"
            " AS given (person, wrapped, sealed, number)"
            " WHERE NOT EXISTS (SELECT FROM tailorbird_suppressed AS each WHERE each.workspace = %(workspace)s"
            " AND each.person = given.person)"
            " AND NOT EXISTS (SELECT FROM tailorbird_people AS each WHERE each.workspace = %(workspace)s"
            " AND each.person = given.person AND each.wrapped = given.wrapped)",
            dict(
                zip(("people", "wrapped", "sealed", "numbers"), _columns(pages), strict=True),
                workspace=self._people.workspace,
            ),
        )


def shared_pages(settings: Settings, keyring: Keyring) -> SharedPages:
    """The pages that the settings share with other machines.

    Raises:
        OtherKeysError: the people there are named by other keys.
    """
    private_folder(settings)
    pages = SharedPages(
        shared_people(settings, "pages"), fingerprint=keyring.fingerprint, own=book_file(settings)
    )
    pages.meet()
    return pages


def _columns(pages: Sequence[Page]) -> tuple[list[Any], ...]:
    return (
        [page.person for page in pages],
        [page.wrapped for page in pages],
        [page.sealed for page in pages],
        [number_of(page.person) for page in pages],
    )
