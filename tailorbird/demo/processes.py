"""The commands that a demo starts: each in a session of its own, and every one of them ended, whatever happens."""

import ctypes
import os
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import httpx

from tailorbird.errors import TailorbirdError
from tailorbird.plumbing.terminal import say

READY_WITHIN_SECONDS = 300.0
STOP_WITHIN_SECONDS = 25.0
_SET_DEATH_SIGNAL = 1
"""prctl's PR_SET_PDEATHSIG."""


def require_alive(processes: Mapping[str, subprocess.Popen[bytes]]) -> None:
    """Raise TailorbirdError where one of them has ended."""
    for name, process in processes.items():
        if process.poll() is not None:
            raise TailorbirdError(
                f"`tailorbird {name}` ended with exit code {process.returncode}",
                remedy="its message is above; run the demo again",
            )


@contextmanager
def children(commands: Sequence[tuple[str, ...]]) -> Iterator[dict[str, subprocess.Popen[bytes]]]:
    """Start commands in sessions of their own, by name, and end every one of them, whatever happens."""
    processes: dict[str, subprocess.Popen[bytes]] = {}
    try:
        for argv in commands:
            command = [sys.executable, "-m", "tailorbird", *argv]
            processes[argv[0]] = subprocess.Popen(  # noqa: S603
                command, stdout=subprocess.DEVNULL, start_new_session=True, preexec_fn=_end_with_parent
            )
        yield processes
    finally:
        say("stopping ...")
        stop(list(processes.values()))
        say("stopped; everything this demo started has ended")


def stop(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    """Ask all to end, wait, and kill what has not; a second Ctrl-C does not leave half of them behind."""
    previous = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        for process in processes:
            if process.poll() is None:
                process.terminate()
        deadline = time.monotonic() + STOP_WITHIN_SECONDS
        for process in processes:
            try:
                process.wait(timeout=max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                _kill(process)
                process.wait()
    finally:
        signal.signal(signal.SIGINT, previous)


def _end_with_parent() -> None:
    """Have Linux ask this process to end when its parent is gone, killed or not."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_SET_DEATH_SIGNAL, signal.SIGTERM)


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End a command that does not end, and its children where it leads a session of its own."""
    if os.getpgid(process.pid) == process.pid:
        os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()


def wait_until_ready(
    url: str, processes: Mapping[str, subprocess.Popen[bytes]], *, verify: ssl.SSLContext | bool = True
) -> None:
    """Wait for a 200 at ``url`` while all processes live; raises TailorbirdError after READY_WITHIN_SECONDS."""
    deadline = time.monotonic() + READY_WITHIN_SECONDS
    while time.monotonic() < deadline:
        require_alive(processes)
        try:
            if httpx.get(url, timeout=2.0, verify=verify).status_code == httpx.codes.OK:
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.3)
    raise TailorbirdError(
        f"nothing was ready within {READY_WITHIN_SECONDS:.0f} s at {url}",
        remedy="see the messages above and run the demo again: what is prepared stays",
    )
