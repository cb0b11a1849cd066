"""Looking into a backup, and putting one back where no workspace is."""

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pandas as pd

from tailorbird.backup.files import copied, copy
from tailorbird.backup.keys import KEYRING_FILE, KEYS_FOLDER, KeyCopy, opening
from tailorbird.backup.known import note_backups
from tailorbird.backup.making import FILES, UNFINISHED, USERS
from tailorbird.backup.manifest import MANIFEST_FILE, Manifest, backups_in
from tailorbird.backup.sealed import Ciphers, parts, read_sealed
from tailorbird.backup.streams import STREAMS, Advance, append_restored, keeps_places, read_stream
from tailorbird.catalog.catalog import Users
from tailorbird.errors import TailorbirdError, UsageError
from tailorbird.plumbing.alone import alone_if_free
from tailorbird.privacy.keys.keyring import Keyring, keyring_file, open_keyring
from tailorbird.privacy.keys.master import given_from_outside, master_file, private_folder
from tailorbird.privacy.people.book import Book
from tailorbird.privacy.people.suppression import Suppressions
from tailorbird.settings import Settings
from tailorbird.streams.factory import skip_offsets
from tailorbird.streams.position import Position

OF_PLACES = ("retraining.db",)
"""Files that say how far somebody has read, where records get new places."""


@dataclass(frozen=True)
class Looked:
    """What a backup gives back: ``readable`` records by what they are of, ``gone`` of people whose key is destroyed.

    ``wrong`` files are not as they were written.
    """

    manifest: Manifest
    readable: dict[str, int]
    gone: dict[str, int]
    wrong: list[str]


def find_backup(folder: Path) -> Path:
    """The backup that is meant: ``folder`` itself, or the newest of a folder of backups. Raises UsageError where there is none."""
    if (folder / KEYS_FOLDER).is_dir():
        found = backups_in(folder)
        if not found:
            raise UsageError(f"{folder} has no whole backup", remedy="`tailorbird backup make` makes one")
        return found[-1]
    return folder


def look_into(backup: Path, keyring: Keyring, *, advance: Advance = lambda records: None) -> Looked:
    """Read everything, and put it nowhere."""
    manifest, readable, gone = Manifest.read(backup), {}, {}
    genuine = [] if manifest.is_signed(keyring.receipts) else [MANIFEST_FILE]
    wrong = [*genuine, *manifest.wrong_files(backup)]
    if not wrong:
        ciphers = opening(backup.parent, keyring)
        for name in (*STREAMS, USERS):
            readable[name] = gone[name] = 0
            for path in parts(backup / name):
                opened = read_sealed(path, name=name, ciphers=ciphers)
                readable[name] += len(opened.lines)
                gone[name] += opened.gone
                advance(len(opened.lines) + opened.gone)
    return Looked(manifest, readable, gone, wrong)


def require_absent(settings: Settings) -> None:
    """Raise UsageError where the workspace is there already."""
    if settings.folder.exists():
        raise UsageError(
            f"workspace {settings.workspace!r} is there: {settings.folder}",
            remedy="restore under another name (--workspace), or move the folder away",
        )


def restore(
    settings: Settings,
    backup: Path,
    *,
    master_key: Path | None = None,
    advance: Advance = lambda records: None,
    stage: Callable[[str], object] = lambda words: None,
) -> Looked:
    """Make the workspace of ``settings`` from a backup; it is whole or not there. ``master_key``: a file, to be the workspace's own.

    Raises:
        UsageError: the workspace is there already, the key is not the one, or the backup is not as it was written.
    """
    manifest = Manifest.read(backup)
    require_absent(settings)
    if wrong := manifest.wrong_files(backup):
        raise UsageError(
            f"{backup} is not as it was written: {wrong[0]}{f' and {len(wrong) - 1} more' if wrong[1:] else ''}",
            remedy="use another backup",
        )
    # Whole or not there: in a home of its own beside, whose workspace is moved when it is done.
    staging = settings.home / f".{settings.workspace}{UNFINISHED}"
    lock = staging.with_suffix(".lock")
    with alone_if_free(lock) as mine:
        if not mine:
            raise TailorbirdError(
                f"workspace {settings.workspace!r} is being restored by another process", remedy="wait for it"
            )
        staged = type(settings).model_validate({**settings.model_dump(), "home": staging})
        try:
            require_absent(settings)  # again: another process may have ended a moment ago
            shutil.rmtree(staging, ignore_errors=True)
            looked = _restored(staged, backup, manifest, master_key=master_key, advance=advance, stage=stage)
            staged.folder.rename(settings.folder)
        finally:
            shutil.rmtree(staging, ignore_errors=True)
            lock.unlink(missing_ok=True)
    return looked


def _restored(
    settings: Settings,
    backup: Path,
    manifest: Manifest,
    *,
    master_key: Path | None,
    advance: Advance,
    stage: Callable[[str], object],
) -> Looked:
    keyring = _keyring(settings, backup, master_key)
    if keyring.fingerprint != manifest.fingerprint:
        raise UsageError(
            f"the keys beside {backup} are not its own", remedy="bring back those that were there"
        )
    if not manifest.is_signed(keyring.receipts):
        raise UsageError(
            f"{backup} is not as it was written: {MANIFEST_FILE} is not signed by its workspace",
            remedy="use another backup",
        )
    ciphers = opening(backup.parent, keyring)  # before anything is made there
    in_place = keeps_places(settings, manifest.ends)
    for file in copied(backup / FILES):
        if in_place or file.name not in OF_PLACES:
            copy(backup / FILES / file, settings.folder / file)
    note_backups(settings.folder, backup.parent)
    with closing(Book.of(settings, keyring)) as book, closing(KeyCopy(backup.parent)) as keys:
        _refuse_erased(settings, keys.destroyed(), book)
        book.take_in(keys.pages())
    readable, gone = {}, {}
    for name, (_, open_it) in STREAMS.items():
        stage(name)
        readable[name] = gone[name] = 0
        with open_it(settings) as stream:
            for table, lost in read_stream(name, backup / name, ciphers=ciphers):
                append_restored(stream, name, table, in_place=in_place)
                readable[name] += len(table)
                gone[name] += lost
                advance(len(table) + lost)
            if in_place:
                ends = {int(partition): offset for partition, offset in manifest.ends[name].items()}
                skip_offsets(stream, through=Position(ends))
    stage("users")
    readable[USERS], gone[USERS] = _restore_users(settings, backup, ciphers)
    return Looked(manifest, readable, gone, [])


def _keyring(settings: Settings, backup: Path, master_key: Path | None) -> Keyring:
    kept = backup.parent / KEYS_FOLDER / KEYRING_FILE
    if not kept.exists():
        raise UsageError(
            f"{kept} is not there",
            remedy="backups open with the keys beside them alone: bring the folder back",
        )
    private_folder(settings)
    copy(kept, keyring_file(settings))
    if master_key is not None:
        copy(master_key, master_file(settings))
        master_file(settings).chmod(0o600)
    try:
        return open_keyring(settings)
    except UsageError as error:
        outside = master_key is None or given_from_outside(settings)
        raise UsageError(
            f"{kept} does not open by {'the master key from outside' if outside else master_key}",
            remedy="give the one that was there when the backup was made: --master-key FILE, or "
            "TAILORBIRD_MASTER_KEY, _FILE or _COMMAND; nothing was changed",
        ) from error


def _refuse_erased(settings: Settings, people: set[str], book: Book) -> None:
    """Refuse whoever was erased since the backup, too; not those who came back meanwhile, to machines that share people."""
    with closing(Suppressions.of(settings)) as suppressions:
        suppressions.suppress(people - book.known(people), now=time.time())


def _restore_users(settings: Settings, backup: Path, ciphers: Ciphers) -> tuple[int, int]:
    rows, gone = list[dict[str, Any]](), 0
    for told, lost in _users(backup, ciphers):
        rows += told
        gone += lost
    if rows and not settings.catalog:
        Users.from_frame(pd.DataFrame(rows)).write(settings.catalog_folder)
    return len(rows), gone


def _users(backup: Path, ciphers: Ciphers) -> Iterator[tuple[list[dict[str, Any]], int]]:
    for path in parts(backup / USERS):
        opened = read_sealed(path, name=USERS, ciphers=ciphers)
        yield [orjson.loads(line) for line in opened.lines], opened.gone
