"""Writing something down: the one function that others call."""

import getpass
import hmac
import os
import secrets
import time
from collections.abc import Callable, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

from tailorbird.audit.entry import Entry
from tailorbird.audit.log import AuditAwayError, AuditLog
from tailorbird.settings import Settings

AUDIT_FILE, KEY_FILE = "audit.db", "audit.key"
READ_PROFILE, EXPORT, ERASE, CONSENT = "profile.read", "person.export", "person.erase", "consent.change"
RESTRICT, OBJECT = "person.restrict", "person.object"
MERGE, PART = "person.merge", "person.part"
READ_QUARANTINE, READ_TRACE = "quarantine.read", "trace.read"
PROMOTE, ROLLBACK = "model.promote", "model.rollback"
KEY_NEW, KEY_ROTATE, KEY_REVOKE = "key.new", "key.rotate", "key.revoke"
EXPERIMENT = "experiment.change"
RETENTION = "retention.run"
BACKUP, RESTORE, DROP_BACKUP = "backup.make", "backup.restore", "backup.drop"
LONGEST = 512


def record(
    settings: Settings,
    *,
    who: str,
    what: str,
    whom: str = "",
    person: str = "",
    detail: Mapping[str, Any] | None = None,
    clock: Callable[[], float] = time.time,
) -> Entry:
    """Write down who did what; on the disk when this returns. Call it before what it is about, so that nothing happens unwritten.

    ``who`` is ``key:<id>`` (:func:`caller`) or ``login:<name>``, ``what`` a word of this module, ``whom`` what it was done to: a key, an
    alias, a version. A ``person`` is named by their key, of which a keyed hash is kept; ``detail`` must name none.

    Raises:
        AuditAwayError: it could not be written.
    """
    return log_of(settings).append(
        at=clock(),
        who=who[:LONGEST],
        what=what,
        whom=hash_of(settings, person) if person else whom[:LONGEST],
        detail=detail,
    )


def log_of(settings: Settings) -> AuditLog:
    """The audit log of a workspace."""
    return AuditLog(settings.folder / AUDIT_FILE)


def caller(key: str) -> str:
    """Who calls, by the id of their key; without one it is a program of this machine."""
    return f"key:{key}" if key else "local"


def at_this_terminal() -> str:
    """Who gives a command."""
    try:
        return f"login:{getpass.getuser()}"
    except (KeyError, OSError):
        return "login:unknown"


def hash_of(settings: Settings, person: str) -> str:
    """How the log names a person; without the workspace's own secret nobody can tell whom it means.

    Raises:
        AuditAwayError: the secret cannot be read or made.
    """
    try:
        secret = _secret(settings.folder / KEY_FILE)
    except OSError as error:
        raise AuditAwayError(
            f"{settings.folder / KEY_FILE} cannot be read: {error}", remedy="bring it back from a backup"
        ) from error
    return "person:" + hmac.new(secret, person.encode(), sha256).hexdigest()[:32]


def _secret(path: Path) -> bytes:
    """Made by whoever is first, whole or not at all."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(secrets.token_bytes(32))
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(new, path)
    except FileExistsError:
        pass
    finally:
        new.unlink()
    return path.read_bytes()
