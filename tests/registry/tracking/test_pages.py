"""The MLflow pages answer, and end with their command and everything they started."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

import psutil
import pytest

from registry.tracking.pages import serve_pages
from tailorbird.errors import TailorbirdError
from tailorbird.settings import Settings, load_settings

pytestmark = pytest.mark.server


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def group_members(pid: int) -> list[str]:
    """Command lines of the processes whose command line names this port's server."""
    listed = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    return [line for line in listed.splitlines() if str(pid) in line and "ps -eo" not in line]


def listeners(pid: int) -> set[tuple[str, int]]:
    """Where the process and all it started listen."""
    process = psutil.Process(pid)
    held = [each.net_connections("tcp") for each in (process, *process.children(recursive=True))]
    return {tuple(c.laddr) for connections in held for c in connections if c.status == psutil.CONN_LISTEN}


def test_a_taken_port_is_named(settings: Settings) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        taken = load_settings(home=settings.home, mlruns=settings.mlruns, mlflow_port=port)
        with pytest.raises(TailorbirdError, match=f"port {port} on 127.0.0.1 is taken"):
            serve_pages(taken)


@pytest.mark.slow
def test_the_pages_answer_until_they_are_interrupted(settings: Settings) -> None:
    port = free_port()
    pages = subprocess.Popen(
        [sys.executable, "-m", "tailorbird", "mlflow", "--workspace", "test", "--port", str(port)],
        env={
            **os.environ,
            "TAILORBIRD_HOME": str(settings.home),
            "TAILORBIRD_MLRUNS": str(settings.mlruns),
            "TAILORBIRD_HOST": "0.0.0.0",
        },
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        deadline = time.monotonic() + 120
        answered = 0
        while not answered and time.monotonic() < deadline and pages.poll() is None:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5) as response:
                    answered = response.status
            except (urllib.error.URLError, OSError):
                time.sleep(0.3)
        assert answered == 200
        assert listeners(pages.pid) == {("127.0.0.1", port)}
        pages.send_signal(signal.SIGINT)
        _, stderr = pages.communicate(timeout=60)
    finally:
        pages.kill()
    assert pages.returncode == 130, stderr
    assert not group_members(port)
