"""Machines made of namespaces reach the engines of this one and nothing else, and can be lost; the door leads to those that are ready."""

import http.server
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from serving.bench.faults.door import CONFIG, Door, door_config
from serving.bench.faults.machines import engine_ports, require_shared
from serving.bench.faults.network import Machine, Network, clear_leftovers
from serving.cluster import free_ports, haproxy
from tailorbird.errors import UsageError
from tailorbird.settings import load_settings

ASK = """
import socket, sys
try:
    with socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=2) as line:
        line.sendall(b"hello")
        print(line.recv(100).decode())
except OSError as error:
    print(type(error).__name__)
"""


@pytest.fixture
def engine() -> Iterator[int]:
    """A server on the loopback interface of this machine that says back what it hears."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = int(listener.getsockname()[1])

        def answer() -> None:
            while True:
                try:
                    line, _ = listener.accept()
                except OSError:
                    return
                with closing(line):
                    line.sendall(line.recv(100).upper())

        threading.Thread(target=answer, daemon=True).start()
        yield port
        listener.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def network(engine: int, tmp_path: Path) -> Iterator[Network]:
    if os.geteuid() != 0 or shutil.which("ip") is None:
        pytest.skip("network namespaces take root and the program `ip`")
    tried = subprocess.run(["ip", "netns", "add", "tb-try"], capture_output=True, text=True, check=False)
    if tried.returncode:
        pytest.skip(f"no network namespaces here: {tried.stderr}")
    subprocess.run(["ip", "netns", "del", "tb-try"], check=True)
    with Network(2, ports=[engine], haproxy=haproxy(), folder=tmp_path) as made:
        yield made


def heard(machine: Machine, host: str, port: int) -> str:
    command = ["ip", "netns", "exec", machine.name, sys.executable, "-c", ASK, host, str(port)]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout.strip()


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.server
def test_a_machine_reaches_engines_and_is_lost_with_all_that_runs_on_it(
    network: Network, engine: int, tmp_path: Path
) -> None:
    one, two = network.machines
    assert heard(one, "127.0.0.1", engine) == heard(two, "127.0.0.1", engine) == "HELLO"
    (other,) = free_ports(1)
    with socket.socket() as hidden:
        hidden.bind(("127.0.0.1", other))
        hidden.listen()
        assert heard(one, "127.0.0.1", other) == "ConnectionRefusedError"
    serve = [sys.executable, "-m", "http.server", "8000", "--bind", one.address]
    network.start(one, serve, env={}, log=tmp_path / "log")
    until(lambda: _listens(one.address))
    assert heard(two, one.address, 8000) != "ConnectionRefusedError"
    network.lose(one)
    assert heard(two, one.address, 8000) in ("TimeoutError", "OSError")  # nothing answers, nothing refuses
    network.bring_back(one)
    assert heard(two, one.address, 8000) == "ConnectionRefusedError"  # it is there, and nothing runs on it
    assert heard(one, "127.0.0.1", engine) == "HELLO"


def _listens(address: str) -> bool:
    try:
        socket.create_connection((address, 8000), timeout=1).close()
    except OSError:
        return False
    return True


class _Server(http.server.ThreadingHTTPServer):
    """A machine that may be ready or not, and may die of whatever it is asked."""

    ready, dies = True, False

    def __init__(self, name: str) -> None:
        super().__init__(("127.0.0.1", 0), _Machine)
        self.name, self.asked = name, list[str]()

    def handle_error(self, *request: object) -> None:
        """Callers go when a machine dies."""


class _Machine(http.server.BaseHTTPRequestHandler):
    """Answers as its server says."""

    server: _Server
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._answer(200 if self.server.ready else 503)

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.server.asked.append(self.path)
        if self.server.dies:
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        self._answer(200)

    def _answer(self, status: int) -> None:
        body = self.server.name.encode()
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *words: object) -> None:
        """Say nothing."""


@pytest.mark.server
def test_the_door_asks_another_machine_what_a_lost_one_was_asked_and_repeats_nothing_else(
    tmp_path: Path,
) -> None:
    import httpx

    with ExitStack() as stack:
        servers = []
        for name in ("one", "two"):
            server = _Server(name)
            threading.Thread(target=server.serve_forever, daemon=True).start()
            stack.callback(server.server_close)
            stack.callback(server.shutdown)
            servers.append(server)
        one, two = servers
        addresses = [f"127.0.0.1:{each.server_port}" for each in servers]
        door = stack.enter_context(Door(addresses, binary=haproxy(), folder=tmp_path))
        caller = stack.enter_context(httpx.Client(base_url=door.url, timeout=30))
        until(lambda: {caller.post("/v1/recommendations", json={}).text for _ in range(8)} == {"one", "two"})
        one.dies = True
        answers = [caller.post("/v1/events", json={}) for _ in range(20)]
        assert {(each.status_code, each.text) for each in answers} == {(200, "two")}
        before = len(one.asked) + len(two.asked)
        merges = [caller.post("/v1/users/u/merge", json={}) for _ in range(20)]
        assert len(one.asked) + len(two.asked) == before + 20
        assert {each.status_code for each in merges} <= {200, 502}
        one.dies, one.ready = False, False
        until(lambda: {caller.post("/v1/users/u/merge", json={}).text for _ in range(8)} == {"two"})
        one.ready = True
        until(lambda: {caller.post("/v1/users/u/merge", json={}).text for _ in range(8)} == {"one", "two"})


def test_the_shipped_door_is_what_is_measured(tmp_path: Path) -> None:
    text = CONFIG.read_text("utf-8")
    made = door_config(text, port=12_345, servers=["10.91.7.11:8000"])
    assert [line for line in made.splitlines() if line.startswith("    server ")] == [
        "    server machine-0 10.91.7.11:8000"
    ]
    kept = [line for line in text.splitlines() if not line.startswith("    server ") and "bind" not in line]
    assert [
        line for line in made.splitlines() if not line.startswith("    server ") and "bind" not in line
    ] == kept
    for name, config in (("shipped", text), ("made", made)):
        path = tmp_path / f"{name}.cfg"
        path.write_text(config)
        assert subprocess.run([haproxy(), "-c", "-q", "-f", path], check=False).returncode == 0


def test_what_machines_do_not_share_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    shared = {
        "events": "kafka://127.0.0.1:9092/",
        "online": "redis://127.0.0.1:6379/0",
        "tracking_uri": "postgresql://me@127.0.0.1:5432/mlflow",
        "storage": "s3://bucket/prefix",
        "catalog": "postgresql://127.0.0.1:5432/catalog",
    }
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9000")
    require_shared(load_settings(**shared))
    assert sorted(set(engine_ports(load_settings(**shared)))) == [5432, 6379, 9000, 9092]
    for name in shared:
        with pytest.raises(UsageError, match=f"TAILORBIRD_{name.upper()} names nothing"):
            require_shared(load_settings(**{key: value for key, value in shared.items() if key != name}))
    with pytest.raises(UsageError, match=r"redis\.internal:6379: the machines"):
        engine_ports(load_settings(**{**shared, "online": "rediss://redis.internal:6379/0"}))


@pytest.mark.server
def test_what_a_killed_measurement_left_is_removed_by_the_next(network: Network) -> None:
    command = [sys.executable, "-c", "import os; print(os.getpid())"]
    gone = int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    for words in (("netns", "add", f"tb{gone}-1"), ("link", "add", f"tb{gone}-b", "type", "bridge")):
        subprocess.run(["ip", *words], check=True)
    left = subprocess.Popen(["ip", "netns", "exec", f"tb{gone}-1", "sleep", "600"])
    until(
        lambda: (
            str(left.pid)
            in subprocess.run(["ip", "netns", "pids", f"tb{gone}-1"], capture_output=True, text=True).stdout
        )
    )
    clear_leftovers()
    assert left.wait(30) == -9
    names = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=True).stdout
    assert f"tb{gone}-1" not in names
    assert network.machines[0].name in names
    links = subprocess.run(["ip", "-br", "link"], capture_output=True, text=True, check=True).stdout
    assert f"tb{gone}-b" not in links
