"""PostgreSQL for those who share it between machines: connections that fail soon, and locks that end with their holder."""

import hashlib
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

from tailorbird.errors import TailorbirdError
from tailorbird.plumbing.addresses import without_secret

if TYPE_CHECKING:
    from psycopg import Connection

SCHEMES = ("postgresql://", "postgres://")
CONNECT_SECONDS = 5
LOCK_SECONDS = 300
"""How long somebody waits for another's schema, version or alias; each takes seconds."""


_NOTICE_A_LOST_PEER: dict[str, Any] = {
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}
_BE_NOTICED = {
    "tcp_keepalives_idle": 5,
    "tcp_keepalives_interval": 2,
    "tcp_keepalives_count": 3,
    "tcp_user_timeout": 10_000,
    "idle_in_transaction_session_timeout": 10_000,
}
"""Asked of the server: rows and locks of a machine that is lost, or stands still, are free within seconds, not hours."""


class PostgresAwayError(TailorbirdError):
    """The database does not answer, or refuses us."""


def is_postgres(address: str) -> bool:
    """Whether ``address`` names a PostgreSQL database."""
    return address.startswith(SCHEMES)


def sqlalchemy_address(address: str) -> str:
    """The address as SQLAlchemy wants it: with the driver's name, so that it looks for no other one."""
    return f"postgresql+psycopg://{address.split('://', 1)[1]}"


def connect(address: str, *, statement_ms: int = 0) -> "Connection[tuple[object, ...]]":
    """Connect within CONNECT_SECONDS; every statement is its own transaction, and ends after ``statement_ms`` (0: never).

    Raises:
        PostgresAwayError: nobody answers, or we may not come in.
        TailorbirdError: the driver is not installed.
    """
    try:
        import psycopg
    except ImportError as error:
        raise TailorbirdError(
            f"{without_secret(address)} needs a driver that is not installed ({error})",
            remedy="pip install 'tailorbird[postgres]'",
        ) from error
    asked = {"statement_timeout": statement_ms, **_BE_NOTICED}
    try:
        return psycopg.connect(
            address,
            autocommit=True,
            connect_timeout=CONNECT_SECONDS,
            application_name="tailorbird",
            options=" ".join(f"-c {name}={value}" for name, value in asked.items()),
            **_NOTICE_A_LOST_PEER,
        )
    except psycopg.Error as error:
        why = str(error).strip().replace(address, without_secret(address))
        raise PostgresAwayError(
            f"PostgreSQL at {without_secret(address)} does not let us in: {why}",
            remedy=_remedy(why),
        ) from error


def _remedy(why: str) -> str:
    signs = {
        "does not match host name": "name the host as its certificate does",
        "certificate verify failed": "give the authority of its certificate (TAILORBIRD_TLS_CA, or sslrootcert=), and see "
        "whether it is in date",
        "does not support SSL": "have it speak TLS (ssl = on); or TAILORBIRD_PLAIN_ENGINES=true vouches for the network",
    }
    other = "start it, correct the address, or give this user and password access (pg_hba.conf)"
    return next((remedy for sign, remedy in signs.items() if sign in why), other)


@contextmanager
def alone_in(address: str, name: str) -> Iterator[None]:
    """Hold lock ``name`` of the database while the block runs; on whichever machine, one at a time.

    The lock belongs to a connection of its own and ends with it, however this process ends.

    Raises:
        PostgresAwayError: the database is away, or another held the lock for LOCK_SECONDS.
    """
    import psycopg

    with closing(connect(address)) as connection:
        connection.execute(f"SET lock_timeout = '{LOCK_SECONDS}s'")
        try:
            connection.execute("SELECT pg_advisory_lock(%s)", (_key(name),))
        except psycopg.Error as error:
            raise PostgresAwayError(
                f"lock {name!r} in {without_secret(address)} cannot be had: {str(error).strip()}",
                remedy="SELECT * FROM pg_locks WHERE locktype = 'advisory' says who holds it",
            ) from error
        yield


@contextmanager
def alone_in_if_free(address: str, name: str) -> Iterator[bool]:
    """Hold lock ``name`` while the block runs and give True; give False, without waiting, where somebody else holds it."""
    with closing(connect(address)) as connection:
        row = connection.execute("SELECT pg_try_advisory_lock(%s)", (_key(name),)).fetchone()
        yield bool(row and row[0])


def make_tables(
    connection: "Connection[tuple[Any, ...]]", address: str, schema: str, *, last: str, lock: str
) -> None:
    """Run the statements of ``schema`` where its ``last`` table is missing; of machines that begin at once one does.

    Raises:
        PostgresAwayError: another held lock ``lock`` of the database for LOCK_SECONDS.
    """
    found = connection.execute("SELECT to_regclass(%s)", (last,)).fetchone()
    if found is None or found[0] is None:
        with alone_in(address, lock):
            for statement in schema.split(";"):
                connection.execute(statement)


def _key(name: str) -> int:
    """Advisory locks are named by a signed 64-bit number."""
    return int.from_bytes(hashlib.sha256(f"tailorbird {name}".encode()).digest()[:8], "big", signed=True)
