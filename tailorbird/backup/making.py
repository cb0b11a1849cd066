"""Making a backup while everything goes on: a folder that is whole or not there, and the keys beside it."""

import shutil
import time
from collections.abc import Callable, Collection
from collections.abc import Set as AbstractSet
from contextlib import ExitStack, closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import orjson

from tailorbird import __version__
from tailorbird.backup.files import copied, copy
from tailorbird.backup.keys import KEYRING_FILE, KEYS_FOLDER, KeyCopy, sealing
from tailorbird.backup.known import note_backups
from tailorbird.backup.manifest import NAMES, Manifest, backups_in, digests, name_of
from tailorbird.backup.sealed import Ciphers, Gatherer, Written
from tailorbird.backup.streams import STREAMS, Advance, write_stream
from tailorbird.catalog.catalog import Users
from tailorbird.catalog.store import open_catalog
from tailorbird.errors import TailorbirdError, UsageError
from tailorbird.events.schema import USER
from tailorbird.plumbing.alone import alone_if_free
from tailorbird.plumbing.disk import fsync
from tailorbird.privacy.erasure.ledger import Ledger
from tailorbird.privacy.keys.keyring import keyring_file, open_keyring
from tailorbird.privacy.people.book import Book
from tailorbird.privacy.people.suppression import Suppressions
from tailorbird.settings import Settings

FILES, USERS = "files", "users"
UNFINISHED = ".part"


@dataclass(frozen=True)
class Made:
    """A backup, and how many records could not be sealed as their person has no key (any more)."""

    folder: Path
    manifest: Manifest
    without_key: int


def make_backup(
    settings: Settings,
    backups: Path,
    *,
    advance: Advance = lambda records: None,
    stage: Callable[[str], object] = lambda words: None,
    clock: Callable[[], float] = time.time,
) -> Made:
    """Put a new backup of a workspace into a folder of backups. Whoever serves goes on.

    Raises:
        UsageError: there is no such workspace, or the folder lies within it.
        TailorbirdError: another backup is being made there.
    """
    _check(settings, backups)
    backups.mkdir(parents=True, exist_ok=True, mode=0o700)
    with alone_if_free(backups / ".making.lock") as mine:
        if not mine:
            raise TailorbirdError(f"another backup is being made in {backups}", remedy="wait for it")
        _require_own(settings, backups)
        for left in backups.glob(f"{NAMES}{UNFINISHED}"):  # of a process that was killed
            shutil.rmtree(left)
        note_backups(settings.folder, backups)
        folder = backups / name_of(clock())
        if folder.exists():
            raise TailorbirdError(f"{folder} is there already", remedy="try again in a second")
        staged = folder.with_name(folder.name + UNFINISHED)
        staged.mkdir(mode=0o700)
        made = _made(settings, backups, staged, advance=advance, stage=stage, clock=clock)
        staged.rename(folder)
        fsync(backups)
    return Made(folder, made.manifest, made.without_key)


def _made(
    settings: Settings,
    backups: Path,
    staged: Path,
    *,
    advance: Advance,
    stage: Callable[[str], object],
    clock: Callable[[], float],
) -> Made:
    began, keyring = clock(), open_keyring(settings)
    if not settings.catalog:
        _fold(settings)
    with ExitStack() as opened:
        streams = {name: opened.enter_context(open_it(settings)) for name, (_, open_it) in STREAMS.items()}
        ends = {name: stream.end() for name, stream in streams.items()}
        # The keys after the ends: whoever is in a record has had a page before it.
        ciphers = _keys(settings, backups)
        written: dict[str, Written] = {}
        for name, stream in streams.items():
            stage(f"sealing {name}")
            written[name] = write_stream(
                stream, name, staged / name, through=ends[name], ciphers=ciphers, advance=advance
            )
    stage("users and files")
    written[USERS] = _write_users(settings, staged / USERS, ciphers=ciphers)
    for each in copied(settings.folder):
        copy(settings.folder / each, staged / FILES / each)
    manifest = Manifest(
        workspace=settings.workspace,
        made=began,
        program=__version__,
        fingerprint=keyring.fingerprint,
        counts={name: each.records for name, each in written.items()},
        ends={
            name: {str(partition): offset for partition, offset in end.offsets.items()}
            for name, end in ends.items()
        },
        files=digests(staged),
    ).signed(keyring.receipts)
    manifest.write(staged)
    return Made(staged, manifest, sum(each.without_key for each in written.values()))


def _check(settings: Settings, backups: Path) -> None:
    if not settings.folder.is_dir():
        raise UsageError(
            f"there is no workspace {settings.workspace!r} in {settings.home}", remedy="name another one"
        )
    if backups.resolve().is_relative_to(settings.folder.resolve()):
        raise UsageError(
            f"{backups} lies within the workspace", remedy="give a folder elsewhere, best on another disk"
        )


def _require_own(settings: Settings, backups: Path) -> None:
    """One keyring lies beside the backups, and opens them all: another one in its place would cost all before."""
    fingerprint = open_keyring(settings).fingerprint
    for other in backups_in(backups):
        manifest = Manifest.read(other)
        if manifest.workspace != settings.workspace:
            raise UsageError(
                f"{backups} holds backups of workspace {manifest.workspace!r}",
                remedy="give each workspace a folder of its own",
            )
        if manifest.fingerprint != fingerprint:
            raise UsageError(
                f"{backups} holds backups of another workspace {settings.workspace!r}, whose keys are others",
                remedy="restore the newest, or give another folder; nothing was changed there",
            )


def _fold(settings: Settings) -> None:
    """Have the tables hold what was told until now."""
    with closing(open_catalog(settings)) as store:
        if store.compact(now=time.time()) is None:
            raise TailorbirdError("another process is folding the catalogue", remedy="try again in a minute")


def _keys(settings: Settings, backups: Path) -> Ciphers:
    """Bring the keys beside the backups up to date; what they seal with."""
    keyring, suppressions = open_keyring(settings), Suppressions.of(settings)
    with closing(Book.of(settings, keyring)) as book, closing(KeyCopy(backups)) as keys:
        since = keys.turn()
        keys.follow(book, suppressed=suppressions.everybody(), erased=partial(_erased, settings))
    copy(keyring_file(settings), backups / KEYS_FOLDER / KEYRING_FILE)
    return sealing(backups, keyring, refused=suppressions.refused, since=since)


def _erased(settings: Settings, people: Collection[str]) -> AbstractSet[str]:
    """Those of some people, who came back, whom an erasure had reached; where machines share people another's may have, and all count."""
    if settings.people:
        return frozenset(people)
    return {key for receipt in Ledger(settings.folder).done() for key in receipt.people if key in people}


def _write_users(settings: Settings, folder: Path, *, ciphers: Ciphers) -> Written:
    gatherer = Gatherer(folder, name=USERS, ciphers=ciphers)
    if not settings.catalog:
        for row in Users.read(settings.catalog_folder).users.to_dict("records"):
            told = {str(name): None if value != value else value for name, value in row.items()}
            gatherer.add(f"{USER}{row['user_id']}", orjson.dumps(told))
    gatherer.flush()
    return gatherer.written
