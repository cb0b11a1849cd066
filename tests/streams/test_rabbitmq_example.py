"""The example of a third engine obeys the laws of every engine, on a real RabbitMQ."""

import importlib.util
import os
import secrets
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tailorbird.streams.stream import Refuses, Stream, nobody
from tests.streams.laws import StreamLaws
from tests.streams.records import Kind

EXAMPLE = Path(__file__).resolve().parents[2] / "docs" / "guides" / "examples" / "rabbitmq_stream.py"
URL = os.environ.get("TAILORBIRD_TEST_RABBITMQ", "amqp://127.0.0.1:5672/")


def example() -> Any:
    if "rabbitmq_stream" not in sys.modules:
        spec = importlib.util.spec_from_file_location("rabbitmq_stream", EXAMPLE)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        sys.modules["rabbitmq_stream"] = module
    return sys.modules["rabbitmq_stream"]


@pytest.fixture(scope="module")
def rabbitmq() -> Iterator[Any]:
    pika = pytest.importorskip("pika")
    try:
        connection = pika.BlockingConnection(pika.URLParameters(URL))
    except (OSError, pika.exceptions.AMQPError) as error:
        pytest.skip(f"no RabbitMQ at {URL}: {error!r}")
    yield connection.channel()
    connection.close()


class TestRabbitStream(StreamLaws):
    engine = type(None)  # the example is no part of the package

    @pytest.fixture(autouse=True)
    def _queue(self, rabbitmq: Any) -> Iterator[None]:
        self.queue = f"tailorbird-test-{secrets.token_hex(6)}"
        yield
        rabbitmq.queue_delete(self.queue)

    def open(self, folder: Path, kind: Kind, *, refuses: Refuses = nobody) -> Stream[Any]:
        mirror, archive = folder / "mirror.db", folder / "archive"
        return example().RabbitStream(
            URL, self.queue, kind.codec, mirror=mirror, archive=archive, refuses=refuses
        )


def test_the_example_is_short_enough_to_read() -> None:
    lines = EXAMPLE.read_text().splitlines()
    assert len([line for line in lines if line.strip()]) <= 180
