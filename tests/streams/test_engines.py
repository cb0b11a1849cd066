"""Every engine passes the laws, for every kind of record, with a full archive and with an empty one."""

import inspect
import pkgutil
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

import tailorbird.streams
from tailorbird.privacy.keys.keyring import Keyring
from tailorbird.privacy.people.book import Book
from tailorbird.privacy.people.pages import PagesFile
from tailorbird.streams.compaction import compact
from tailorbird.streams.kafka.address import KafkaAddress
from tailorbird.streams.kafka.seals import Seals
from tailorbird.streams.kafka.stream import KafkaStream
from tailorbird.streams.sqlite import SqliteStream
from tailorbird.streams.stream import Stream
from tests.streams.brokers import Broker, open_at
from tests.streams.laws import StreamLaws
from tests.streams.records import Kind
from tests.streams.toy import HolesStream

KEYRING = Keyring(b"p" * 32, b"k" * 32, b"r" * 32)


class TestSqliteStream(StreamLaws):
    engine = SqliteStream

    def open(self, folder: Path, kind: Kind, **options: Any) -> Stream[Any]:
        return SqliteStream(folder / "live.db", kind.codec, archive=folder / "archive", **options)


class TestArchivedSqliteStream(TestSqliteStream):
    def settle(self, stream: Stream[Any]) -> None:
        compact(stream)


class TestKafkaStream(StreamLaws):
    engine = KafkaStream

    @pytest.fixture(autouse=True)
    def _broker(self, kafka: Broker) -> None:
        self.url = kafka.url()

    def open(self, folder: Path, kind: Kind, **options: Any) -> Stream[Any]:
        return open_at(self.url, folder, kind.codec, **options)


class TestArchivedKafkaStream(TestKafkaStream):
    def settle(self, stream: Stream[Any]) -> None:
        compact(stream)


class TestSealedKafkaStream(TestKafkaStream):
    """Each record under its person's own key."""

    def open(self, folder: Path, kind: Kind, **options: Any) -> Stream[Any]:
        book = Book(PagesFile(folder / "people.db"), KEYRING)
        topic = KafkaAddress.parse(self.url).topic("test", kind.codec.name)
        return open_at(self.url, folder, kind.codec, seals=Seals(topic, lambda: book), **options)


class TestArchivedSealedKafkaStream(TestSealedKafkaStream):
    def settle(self, stream: Stream[Any]) -> None:
        compact(stream)


class TestThreePartitionsWithHoles(StreamLaws):
    engine = HolesStream

    def open(self, folder: Path, kind: Kind, **options: Any) -> Stream[Any]:
        return HolesStream(kind.codec, folder, **options)


def test_every_engine_passes_the_laws() -> None:
    wanted = {name for name in vars(Stream) if not name.startswith("_")}
    modules = [
        import_module(info.name)
        for info in pkgutil.walk_packages(tailorbird.streams.__path__, "tailorbird.streams.")
        if not info.ispkg
    ]
    engines = {
        cls
        for module in modules
        for _, cls in inspect.getmembers(module, inspect.isclass)
        if cls is not Stream and all(hasattr(cls, name) for name in wanted)
    }
    assert SqliteStream in engines
    assert engines | {HolesStream} <= {laws.engine for laws in StreamLaws.__subclasses__()}
