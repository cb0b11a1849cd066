"""The suppression list that machines share, in PostgreSQL."""

from collections.abc import Collection, Iterator, Mapping
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

from tailorbird.plumbing.alone import alone
from tailorbird.privacy.people.shared_people import SharedPeople
from tailorbird.privacy.people.suppressed_file import SuppressedFile

if TYPE_CHECKING:
    from psycopg import Connection


class SharedSuppressed:
    """The list of one workspace for all machines. Who is on this machine's ``own`` list from before is put on it."""

    def __init__(self, people: SharedPeople, own: SuppressedFile) -> None:
        self._people, self._own = people, own

    def turn(self) -> int:
        """How often the list was changed, on any machine; one look-up."""
        with self._asked() as connection:
            return self._people.turn_of(connection)

    def everybody(self) -> frozenset[str]:
        """The whole list."""
        with self._asked() as connection:
            rows = connection.execute(
                "SELECT person FROM tailorbird_suppressed WHERE workspace = %s", (self._people.workspace,)
            ).fetchall()
        return frozenset(person for (person,) in rows)

    def add(self, people: Collection[str], *, now: float) -> None:
        """Put people on it, unless they are."""
        with self._asked() as connection:
            self._add(connection, dict.fromkeys(people, now))

    def remove(self, people: Collection[str]) -> int:
        """Take people off it; how many were on it."""
        with self._asked() as connection, connection.transaction():
            self._people.next_turn(connection)
            return connection.execute(
                "DELETE FROM tailorbird_suppressed WHERE workspace = %s AND person = ANY(%s)",
                (self._people.workspace, list(people)),
            ).rowcount

    def since(self, people: Collection[str]) -> Mapping[str, float]:
        """When those of ``people`` who are on it came onto it, epoch seconds."""
        with self._asked() as connection:
            rows = connection.execute(
                "SELECT person, since FROM tailorbird_suppressed WHERE workspace = %s AND person = ANY(%s)",
                (self._people.workspace, list(people)),
            ).fetchall()
        return {str(person): float(since) for person, since in rows}

    def close(self) -> None:
        """The line ends with the last of this process who holds it."""
        self._own.close()

    @contextmanager
    def _asked(self) -> "Iterator[Connection[tuple[Any, ...]]]":
        with self._people.asked() as connection:
            if self._own.exists:
                self._carry(connection)
            yield connection

    def _carry(self, connection: "Connection[tuple[Any, ...]]") -> None:
        with alone(self._own.path.with_name(".suppressed.lock")):
            if not self._own.exists:
                return
            with closing(SuppressedFile(self._own.path.parent.parent)) as before:
                self._add(connection, before.dates())
            for path in self._own.path.parent.glob(f"{self._own.path.name}*"):
                path.unlink()

    def _add(self, connection: "Connection[tuple[Any, ...]]", dates: Mapping[str, float]) -> None:
        with connection.transaction():
            self._people.next_turn(connection)
            connection.execute(
                "INSERT INTO tailorbird_suppressed SELECT %s, * FROM unnest(%s::text[], %s::double precision[])"
                " ON CONFLICT DO NOTHING",
                (self._people.workspace, list(dates), list(dates.values())),
            )
