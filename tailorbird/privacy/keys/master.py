"""The master key: from the environment, a file, or a command that asks a key service; by default the workspace makes its own."""

import base64
import binascii
import os
import shlex
import stat
import subprocess
from pathlib import Path

from tailorbird.errors import TailorbirdError, UsageError
from tailorbird.plumbing.disk import fsync
from tailorbird.privacy.keys.sealing import KEY_BYTES
from tailorbird.settings import Settings

_COMMAND_SECONDS = 30


def master_key(settings: Settings) -> bytes | None:
    """The key (32 bytes) where the settings or the workspace have one; None where none was made yet.

    Raises:
        UsageError: what is given is no key, or others may read the file.
        TailorbirdError: the command failed.
    """
    if settings.master_key:
        return decoded(settings.master_key, origin="TAILORBIRD_MASTER_KEY")
    if settings.master_key_command:
        return decoded(_told_by(settings.master_key_command), origin="TAILORBIRD_MASTER_KEY_COMMAND")
    path = master_file(settings)
    if not path.exists():
        if settings.master_key_file:
            raise UsageError(
                f"master_key_file = {path} does not exist",
                remedy="correct TAILORBIRD_MASTER_KEY_FILE, or make a key: `tailorbird secrets new-key > FILE; chmod 600 FILE`",
            )
        return None
    if stat.S_IMODE(path.stat().st_mode) & 0o077:
        raise UsageError(f"others may read the master key {path}", remedy=f"chmod 600 {path}")
    return decoded(path.read_text(encoding="ascii", errors="replace"), origin=str(path))


def master_file(settings: Settings) -> Path:
    """Where the master key lies unless the environment or a command gives it."""
    return (
        Path(settings.master_key_file)
        if settings.master_key_file
        else secrets_folder(settings) / "master.key"
    )


def secrets_folder(settings: Settings) -> Path:
    """What this workspace must keep to itself."""
    return settings.folder / "secrets"


def private_folder(settings: Settings) -> Path:
    """The folder of secrets, made where it is not there, open to this user alone."""
    folder = secrets_folder(settings)
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    return folder


def given_from_outside(settings: Settings) -> bool:
    """Whether an operator gives the key, so that this program must not write one."""
    return bool(settings.master_key or settings.master_key_command or settings.master_key_file)


def encoded(key: bytes) -> str:
    """A key as text, as the settings and the file have it."""
    return base64.b64encode(key).decode()


def decoded(text: str, *, origin: str) -> bytes:
    """The key in ``text``. Raises UsageError, which does not show it."""
    try:
        key = base64.b64decode(text.strip(), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != KEY_BYTES:
        raise UsageError(
            f"{origin} holds no key of {KEY_BYTES} bytes in base64 ({len(text.strip())} characters)",
            remedy="make one: tailorbird secrets new-key",
        )
    return key


def write_privately(path: Path, text: str) -> None:
    """Put ``text`` at ``path`` at once and for good, readable by this user alone."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    staged = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    handle = os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    staged.replace(path)
    fsync(path.parent)


def _told_by(command: str) -> str:
    try:
        done = subprocess.run(  # noqa: S603  the operator's own command, without a shell
            shlex.split(command), capture_output=True, text=True, timeout=_COMMAND_SECONDS, check=True
        )
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        raise TailorbirdError(
            f"master_key_command failed: {type(error).__name__}",
            remedy="run it by hand: it must print the key in base64, and nothing else, within 30 seconds",
        ) from error
    return done.stdout
