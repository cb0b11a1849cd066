"""The database in which machines share their people: the line of a process to it, its tables, and whose keys named the people."""

import json
import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from tailorbird.errors import UsageError
from tailorbird.plumbing.addresses import without_secret
from tailorbird.plumbing.postgres import PostgresAwayError, connect, make_tables
from tailorbird.settings import Settings
from tailorbird.streams.stream import StreamAwayError

if TYPE_CHECKING:
    from psycopg import Connection

STATEMENT_MS = 10_000
"""What takes longer is given up: events wait for it."""
LONG_SECONDS = 0.5
"""A refusal comes at once and costs nobody anything; whoever waits for longer is not to be followed by everybody."""
MARK_FILE = "privacy/shared.json"
_SCHEMA = """
CREATE TABLE IF NOT EXISTS tailorbird_people_turns (
  workspace text NOT NULL, what text NOT NULL, turn bigint NOT NULL, keyring text NOT NULL, PRIMARY KEY (workspace, what));
CREATE TABLE IF NOT EXISTS tailorbird_people (
  workspace text NOT NULL, person text NOT NULL, place integer NOT NULL, wrapped bytea NOT NULL, sealed bytea NOT NULL,
  number bigint, PRIMARY KEY (workspace, person, place));
CREATE INDEX IF NOT EXISTS tailorbird_people_numbers ON tailorbird_people (workspace, number) WHERE number IS NOT NULL;
CREATE TABLE IF NOT EXISTS tailorbird_suppressed (
  workspace text NOT NULL, person text NOT NULL, since double precision NOT NULL, PRIMARY KEY (workspace, person))
"""
What = Literal["pages", "suppressed"]


class OtherKeysError(StreamAwayError):
    """The people there are named by other keys: this machine would call everybody somebody else."""


class SharedPeople:
    """One line to the database, for one workspace's pages or its list; threads take turns.

    It is made with the first question. A database that does not even refuse is left alone for as long as it has kept somebody waiting.
    """

    def __init__(self, address: str, *, workspace: str, what: What, folder: Path) -> None:
        """``folder`` is the workspace's on this machine, which notes that it shares its people."""
        self.address, self.workspace, self.what, self._folder = address, workspace, what, folder
        self._turn = threading.Lock()
        self._line = _Line()
        self._away_until = 0.0
        self._keyring = ""
        weakref.finalize(self, self._line.drop)

    @contextmanager
    def asked(self) -> Iterator["Connection[tuple[Any, ...]]"]:
        """The connection, in our turn. Raises StreamAwayError where the database cannot be asked."""
        import psycopg

        where = f"the people in {without_secret(self.address)}"
        if not self._turn.acquire(timeout=STATEMENT_MS / 1_000):
            raise StreamAwayError(f"{where}: those before are not getting on", remedy="try again")
        try:
            yield self._connected(where)
        except psycopg.DataError as error:
            raise UsageError(f"{where}: this cannot be stored: {error}", remedy="correct the id") from error
        except psycopg.Error as error:
            self._line.drop()
            raise StreamAwayError(
                f"{where}: {str(error).strip()}", remedy="`tailorbird doctor` says whether it answers"
            ) from error
        finally:
            self._turn.release()

    def turn_of(self, connection: "Connection[tuple[Any, ...]]", how: str = "") -> int:
        """How often pages were destroyed, or the list changed; ``how`` locks it."""
        row = connection.execute(
            f"SELECT turn FROM tailorbird_people_turns WHERE workspace = %s AND what = %s {how}",  # noqa: S608
            (self.workspace, self.what),
        ).fetchone()
        if row is None:
            self._line.drop()  # the next question makes it
            raise StreamAwayError(
                f"workspace {self.workspace!r} was deleted in {without_secret(self.address)}",
                remedy="try again",
            )
        return int(row[0])

    def next_turn(self, connection: "Connection[tuple[Any, ...]]") -> None:
        """Have every machine look anew; until the transaction ends nobody else changes anything."""
        self.turn_of(connection, "FOR UPDATE")
        connection.execute(
            "UPDATE tailorbird_people_turns SET turn = turn + 1 WHERE workspace = %s AND what = %s",
            (self.workspace, self.what),
        )

    def require_keyring(self, connection: "Connection[tuple[Any, ...]]", fingerprint: str) -> None:
        """Note whose keys name these people; raise OtherKeysError where they are others. Asked once of each connection."""
        if self._keyring == fingerprint:
            return
        connection.execute(
            "UPDATE tailorbird_people_turns SET keyring = %s WHERE workspace = %s AND what = %s AND keyring = ''",
            (fingerprint, self.workspace, self.what),
        )
        row = connection.execute(
            "SELECT keyring FROM tailorbird_people_turns WHERE workspace = %s AND what = %s",
            (self.workspace, self.what),
        ).fetchone()
        if row is not None and row[0] != fingerprint:
            raise OtherKeysError(
                f"the people of workspace {self.workspace} in {without_secret(self.address)} are named by the keyring "
                f"{row[0]}, this machine has {fingerprint}: everybody would be somebody else",
                remedy="give it the master key of the machine that began (TAILORBIRD_MASTER_KEY); nothing was changed",
            )
        self._keyring = fingerprint

    def tidy(self) -> None:
        """Have the database let go of deleted rows now, not when it comes by; where it cannot, it comes by."""
        with suppress(Exception), closing(connect(self.address)) as connection:
            connection.execute("VACUUM (SKIP_LOCKED) tailorbird_people")

    def _connected(self, where: str) -> "Connection[tuple[Any, ...]]":
        found = self._line.connection
        if found is not None and not found.closed:
            return found
        started = time.monotonic()
        if started < self._away_until:
            raise StreamAwayError(f"{where}: the database was away a moment ago", remedy="try again")
        try:
            self._prepare()
            self._line.connection = connect(self.address, statement_ms=STATEMENT_MS)
        except PostgresAwayError as error:
            now = time.monotonic()
            if now - started > LONG_SECONDS:
                self._away_until = now + (now - started)
            raise StreamAwayError(f"{where}: {error.what}", remedy=error.remedy) from error
        self._keyring = ""
        return self._line.connection

    def _prepare(self) -> None:
        """Make the tables and this workspace's row where they are missing, and note here that people are shared."""
        with closing(connect(self.address, statement_ms=STATEMENT_MS)) as connection:
            make_tables(connection, self.address, _SCHEMA, last="tailorbird_suppressed", lock="people schema")
            connection.execute(
                "INSERT INTO tailorbird_people_turns VALUES (%s, %s, 0, '') ON CONFLICT DO NOTHING",
                (self.workspace, self.what),
            )
        mark = self._folder / MARK_FILE
        if not mark.exists():
            mark.parent.mkdir(parents=True, exist_ok=True)
            mark.write_text(json.dumps({"people": without_secret(self.address)}) + "\n", "utf-8")


class _Line:
    """A connection that is given up with whoever holds it."""

    def __init__(self) -> None:
        self.connection: Connection[tuple[Any, ...]] | None = None

    def drop(self) -> None:
        """Let it go; twice is fine."""
        if self.connection is not None:
            with suppress(Exception):
                self.connection.close()
            self.connection = None


_lines: "weakref.WeakValueDictionary[tuple[str, str, str, Path], SharedPeople]" = (
    weakref.WeakValueDictionary()
)
_making = threading.Lock()


def shared_people(settings: Settings, what: What) -> SharedPeople:
    """The line that this process has to the shared people for ``what``; it ends with the last who holds it."""
    asked = (settings.people, settings.workspace, what, settings.folder)
    with _making:
        found = _lines.get(asked)
        if found is None:
            found = _lines[asked] = SharedPeople(
                settings.people, workspace=settings.workspace, what=what, folder=settings.folder
            )
        return found


def require_shared_setting(settings: Settings) -> None:
    """Raise UsageError where this workspace shares its people and the setting is missing: who was erased would come back."""
    mark = settings.folder / MARK_FILE
    if not settings.people and mark.exists():
        raise UsageError(
            f"the people of {settings.folder} are shared by machines, and TAILORBIRD_PEOPLE is not set",
            remedy=f"set it; or delete {mark} to begin anew: nobody's own id is known then, and nobody who was erased refused",
        )
