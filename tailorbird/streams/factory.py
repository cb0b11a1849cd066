"""Opens the streams of a workspace with the engine that its settings name: the only place that knows engines."""

import threading
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, TypeGuard

from tailorbird.errors import UsageError
from tailorbird.events.rows import EVENTS
from tailorbird.events.schema import Event
from tailorbird.plumbing.addresses import without_secret
from tailorbird.privacy.people.suppression import Suppressions
from tailorbird.settings import Settings
from tailorbird.streams.codec import Codec, Record
from tailorbird.streams.compaction import NOTHING, Compactable, Compacted, compact, compact_regularly
from tailorbird.streams.database import OlderFormatError
from tailorbird.streams.expiry import Which, expire
from tailorbird.streams.kafka.address import KafkaAddress
from tailorbird.streams.kafka.seals import Seals
from tailorbird.streams.kafka.stream import KafkaStream
from tailorbird.streams.position import Position
from tailorbird.streams.sqlite import SqliteStream
from tailorbird.streams.stream import Stream
from tailorbird.streams.upgrade import upgrade_events

if TYPE_CHECKING:
    from tailorbird.exposures.exposure import Exposure
    from tailorbird.privacy.people.book import Book

ENGINES = ("sqlite", "kafka://host:port")


def open_events(settings: Settings) -> Stream[Event]:
    """The stream of what people did; an append is on the disk before it returns."""
    try:
        return open_stream(settings, EVENTS, durable=True)
    except OlderFormatError:
        archive = settings.archive_folder / "events"
        if not isinstance(archive, Path):
            raise UsageError(
                f"the event log in {settings.folder} is of an older format, which is not upgraded to {archive}",
                remedy="run any command once without TAILORBIRD_STORAGE, then copy the folder archive to the bucket",
            ) from None
        upgrade_events(
            settings.folder / "events.db",
            archive=archive,
            old_archive=settings.folder / "log",
        )
        return open_stream(settings, EVENTS, durable=True)


def open_exposures(settings: Settings) -> "Stream[Exposure]":
    """The stream of what people were shown; a power cut may take the last moments, the end of a process nothing."""
    from tailorbird.exposures.rows import EXPOSURES  # knows the ranker's inputs, which not everybody needs

    return open_stream(settings, EXPOSURES, durable=False)


def open_stream(settings: Settings, codec: Codec[Record], *, durable: bool) -> Stream[Record]:
    """The stream of ``codec``'s records, named after them, in the workspace of ``settings``."""
    scheme, name = _known_scheme(settings), f"{codec.name}s"
    refuses = Suppressions.of(settings).refused
    if scheme == "kafka":
        address = KafkaAddress.parse(settings.events, password=settings.events_password)
        topic = address.topic(settings.workspace, name)
        return KafkaStream(
            address,
            topic,
            codec,
            seals=Seals(topic, _book_of(settings)) if settings.people else None,
            mirror=settings.folder / f"{name}.kafka.db",
            archive=settings.archive_folder / name,
            refuses=refuses,
        )
    return SqliteStream(
        settings.folder / f"{name}.db",
        codec,
        archive=settings.archive_folder / name,
        durable=durable,
        refuses=refuses,
    )


def compact_stream(stream: Stream[Record]) -> Compacted:
    """Move what can be moved to the archive, now; engines without a live part of their own have nothing to move."""
    return compact(stream) if _is_compactable(stream) else NOTHING


def expire_stream(stream: Stream[Record], which: Which) -> int:
    """Delete the records that meet ``which``, here and in the archive; how many (streams.expiry)."""
    if not _is_compactable(stream):
        raise UsageError(
            f"a {type(stream).__name__} deletes nothing by its age", remedy="see docs/adr/0009-streams.md"
        )
    return expire(stream, which)


def skip_offsets(stream: Stream[Record], *, through: Position) -> None:
    """Give no offset up to ``through`` to a new record; engines that do not choose their offsets are left alone."""
    if isinstance(stream, SqliteStream):
        stream.skip(through)


def compact_while_serving(settings: Settings, *, stop: threading.Event) -> None:
    """Keep the live parts of both streams small until ``stop``; of all processes that do, one works at a time."""
    with open_events(settings) as events, open_exposures(settings) as exposures:
        compact_regularly([each for each in (events, exposures) if _is_compactable(each)], stop=stop)


def _book_of(settings: Settings) -> "Callable[[], Book]":
    """The book of people, opened once somebody's record is met; keys are not made for it."""

    @cache
    def opened() -> "Book":
        from tailorbird.privacy.keys.keyring import keyring_file, open_keyring
        from tailorbird.privacy.keys.master import given_from_outside
        from tailorbird.privacy.people.book import Book  # which knows the catalogue, which knows streams

        if not keyring_file(settings).exists() and not given_from_outside(settings):
            raise UsageError(
                f"records of workspace {settings.workspace} are kept under people's own keys, and this machine has no master key",
                remedy="give it that of the machines which share the people (TAILORBIRD_MASTER_KEY)",
            )
        return Book.of(settings, open_keyring(settings))

    return opened


def _is_compactable(stream: object) -> TypeGuard[Compactable]:
    return isinstance(stream, SqliteStream | KafkaStream)


def _known_scheme(settings: Settings) -> str:
    scheme = settings.events.partition(":")[0]
    if scheme not in ("sqlite", "kafka"):
        raise UsageError(
            f"setting events = {without_secret(settings.events)!r}: there is no engine {without_secret(scheme)!r}",
            remedy=f"set TAILORBIRD_EVENTS to one of: {', '.join(ENGINES)}",
        )
    return scheme
