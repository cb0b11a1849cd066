"""The admin application's own HTTP port: on the loopback interface alone, shared by its replicas (docs/adr/0012)."""

import socket
import threading
import time
from contextlib import closing

import uvicorn

from tailorbird.errors import TailorbirdError

LOOPBACK = "127.0.0.1"
START_SECONDS = 10.0
WAITING_CONNECTIONS = 64
IDLE_SECONDS = 60
"""How long a connection may idle, as at the proxy: programs that tell of items now and then keep theirs."""


def bound_socket(port: int) -> socket.socket:
    """A socket on ``port`` of the loopback interface, which other processes of this user may share.

    The kernel hands each connection to one of those that listen: when one replica dies, the others answer.
    """
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    try:
        bound.bind((LOOPBACK, port))
    except OSError:
        bound.close()
        raise
    return bound


def free_port(wanted: int) -> int:
    """``wanted`` where nothing of anybody's listens there, else any free port."""
    for port in (wanted, 0):
        with closing(socket.socket(socket.AF_INET, socket.SOCK_STREAM)) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((LOOPBACK, port))
            except (OSError, OverflowError):
                continue
            return int(probe.getsockname()[1])
    raise TailorbirdError("no free port on this machine", remedy="end some of the programs that listen")


class Listener:
    """Answers HTTP in a thread of its own; ``alive`` says whether it still does."""

    def __init__(self, app: object, *, port: int) -> None:
        config = uvicorn.Config(
            app,  # type: ignore[arg-type]
            log_level="warning",
            access_log=False,
            lifespan="off",
            backlog=WAITING_CONNECTIONS,
            timeout_keep_alive=IDLE_SECONDS,
            timeout_graceful_shutdown=2,
        )
        self._server = uvicorn.Server(config)
        self._socket = bound_socket(port)
        self._thread = threading.Thread(target=self._run, name="admin-listener", daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether requests are answered."""
        return self._server.started and self._thread.is_alive()

    def wait(self) -> None:
        """Wait until requests are answered.

        Raises:
            TailorbirdError: that takes too long.
        """
        deadline = time.monotonic() + START_SECONDS
        while not self.alive:
            if time.monotonic() > deadline or not self._thread.is_alive():
                raise TailorbirdError("the admin port does not answer", remedy="see the replica's log")
            time.sleep(0.01)

    def close(self) -> None:
        """Answer what has come, then stop."""
        self._server.should_exit = True
        self._thread.join(timeout=5)
        self._socket.close()

    def _run(self) -> None:
        self._server.run(sockets=[self._socket])
