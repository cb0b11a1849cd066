"""A real Redis for tests: one a session, and as many more as a test wants to kill, empty or fill."""

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

BINARY = shutil.which("redis-server") or "/usr/bin/redis-server"


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@dataclass
class RedisServer:
    """A redis-server of a test's own; what it holds is gone when it ends, unless ``options`` say otherwise."""

    folder: Path
    options: tuple[str, ...] = ()
    port: int = field(default_factory=free_port)
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        command = [BINARY, "--bind", "127.0.0.1", "--port", str(self.port), "--dir", str(self.folder)]
        command += ["--save", "", "--daemonize", "no", "--logfile", str(self.folder / "log"), *self.options]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        give_up = time.monotonic() + 20
        while time.monotonic() < give_up:
            with socket.socket() as client:
                if client.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            assert self.process.poll() is None, (self.folder / "log").read_text()
            time.sleep(0.01)
        raise AssertionError(f"no redis-server at port {self.port}")

    def kill(self) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
            self.process = None

    def command(self, *words: object) -> Any:
        """Run one command."""
        import redis

        with redis.Redis(port=self.port) as client:
            return client.execute_command(*words)


def new_server(folder: Path, *options: str) -> RedisServer:
    """Start one; the test is skipped where there is no redis-server."""
    if not Path(BINARY).exists():
        pytest.skip("no redis-server: install Redis, or put the binary on the path")
    server = RedisServer(folder, options)
    try:
        server.start()
    except BaseException:
        server.kill()
        raise
    return server


def new_cluster(folder: Path) -> RedisServer:
    """A Redis Cluster of one node, which has all slots."""
    server = new_server(folder, "--cluster-enabled", "yes", "--cluster-port", str(free_port()))
    try:
        _take_all_slots(server)
    except BaseException:
        server.kill()
        raise
    return server


def _take_all_slots(server: RedisServer) -> None:
    server.command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
    give_up = time.monotonic() + 20
    while b"cluster_state:ok" not in server.command("CLUSTER", "INFO"):
        assert time.monotonic() < give_up
        time.sleep(0.05)


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a Redis that tests share, each with a prefix of its own: TAILORBIRD_TEST_REDIS, or a new one."""
    if given := os.environ.get("TAILORBIRD_TEST_REDIS"):
        yield given
        return
    server = new_server(tmp_path_factory.mktemp("redis"))
    yield server.url
    server.kill()


@pytest.fixture
def redis_server(tmp_path: Path) -> Iterator[RedisServer]:
    """A Redis of the test's own, which it may kill, empty or fill."""
    server = new_server(tmp_path / "redis")
    yield server
    server.kill()
