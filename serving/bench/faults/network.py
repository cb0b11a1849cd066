"""Several machines on one: network namespaces with addresses of their own, where nothing of this machine is reached but its engines."""

import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

from serving.proxy.keeper import DIES_WITH_US
from tailorbird.errors import TailorbirdError, UsageError

_RELAY = """defaults
    mode tcp
    timeout connect 5s
    timeout client 1h
    timeout server 1h
"""


@dataclass(frozen=True)
class Machine:
    """A namespace and its address."""

    name: str
    address: str


class Network:
    """Machines ``tb-1`` … ``tb-N`` on a bridge; in each, ``127.0.0.1:port`` of every engine leads to that port here.

    Raises:
        UsageError: this user may not make namespaces, or the system has none.
    """

    def __init__(self, count: int, *, ports: Sequence[int], haproxy: Path, folder: Path) -> None:
        self._ports, self._haproxy, self._folder = sorted(set(ports)), haproxy, folder
        self._prefix = f"tb{os.getpid()}"
        # Addresses of our own: two measurements may run beside each other.
        self._net = f"10.{64 + os.getpid() % 64}.{os.getpid() // 64 % 256}"
        self.machines = [Machine(f"{self._prefix}-{n}", f"{self._net}.{10 + n}") for n in range(1, count + 1)]
        self._started: dict[str, list[subprocess.Popen[bytes]]] = {each.name: [] for each in self.machines}
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        if os.geteuid() != 0 or shutil.which("ip") is None:
            raise UsageError(
                "machines of one's own are network namespaces: that takes root and the program `ip`",
                remedy="run it as root, with iproute2 installed",
            )
        clear_leftovers()
        try:
            self._make()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def start(self, machine: Machine, command: Sequence[str], *, env: Mapping[str, str], log: Path) -> None:
        """Run a command on a machine."""
        with log.open("ab") as sink:
            process = subprocess.Popen(  # noqa: S603
                ["ip", "netns", "exec", machine.name, *command],  # noqa: S607
                env={**os.environ, **env},
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=sink,
                start_new_session=True,
            )
        self._started[machine.name].append(process)

    def lose(self, machine: Machine) -> None:
        """A machine is gone from one instant to the next: nothing answers, nothing is refused."""
        _ip("link", "set", f"{machine.name}o", "down")
        self._kill(machine)

    def bring_back(self, machine: Machine) -> None:
        """The machine is there again, and nothing runs on it."""
        _ip("link", "set", f"{machine.name}o", "up")
        self._relay(machine)

    def _make(self) -> None:
        bridge = f"{self._prefix}-b"
        _ip("link", "add", bridge, "type", "bridge")
        self._stack.callback(_ip, "link", "del", bridge)
        _ip("addr", "add", f"{self._net}.1/24", "dev", bridge)
        _ip("link", "set", bridge, "up")
        self._run_relay("here", f"{self._net}.1", "127.0.0.1", within=[])
        for machine in self.machines:
            _ip("netns", "add", machine.name)
            self._stack.callback(_ip, "netns", "del", machine.name)
            self._stack.callback(self._kill, machine)
            outer, inner = f"{machine.name}o", f"{machine.name}i"
            _ip("link", "add", outer, "type", "veth", "peer", "name", inner, "netns", machine.name)
            _ip("link", "set", outer, "master", bridge)
            _ip("link", "set", outer, "up")
            inside = ("-n", machine.name)
            _ip(*inside, "link", "set", "lo", "up")
            _ip(*inside, "addr", "add", f"{machine.address}/24", "dev", inner)
            _ip(*inside, "link", "set", inner, "up")
            self._relay(machine)

    def _relay(self, machine: Machine) -> None:
        self._run_relay(
            machine.name, "127.0.0.1", f"{self._net}.1", within=["ip", "netns", "exec", machine.name]
        )

    def _run_relay(self, name: str, here: str, there: str, *, within: Sequence[str]) -> None:
        config = self._folder / f"relay-{name}.cfg"
        lists = (
            f"listen port-{port}\n    bind {here}:{port}\n    server it {there}:{port}\n"
            for port in self._ports
        )
        config.write_text(_RELAY + "".join(lists), "utf-8")
        process = subprocess.Popen(  # noqa: S603
            [*DIES_WITH_US, *within, str(self._haproxy), "-db", "-q", "-f", str(config)]
        )
        time.sleep(0.5)
        if process.poll() is not None:
            raise TailorbirdError(
                f"no way to ports {self._ports} for {name}", remedy="see what HAProxy said above"
            )
        if within:
            self._started[name].append(process)
        else:
            self._stack.callback(process.wait)
            self._stack.callback(process.kill)

    def _kill(self, machine: Machine) -> None:
        _kill_all(machine.name)
        for process in self._started[machine.name]:
            process.wait()
        self._started[machine.name].clear()


def clear_leftovers() -> None:
    """Remove what a killed measurement has left: namespaces with all that runs in them, bridges with the relay behind."""
    for found in re.finditer(
        r"\b(tb(\d+)-\w+)\b", _ip("netns", "list") + _ip("-br", "link", "show", "type", "bridge")
    ):
        name, owner = found[1], int(found[2])
        if psutil.pid_exists(owner):
            continue
        if name.endswith("-b"):
            _ip("link", "del", name)
        else:
            _kill_all(name)
            _ip("netns", "del", name)


def _kill_all(namespace: str) -> None:
    for _ in range(3):  # what was being started meanwhile, too
        for pid in _ip("netns", "pids", namespace).split():
            with suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)
        time.sleep(0.05)


def _ip(*words: str) -> str:
    ran = subprocess.run(["ip", *words], capture_output=True, text=True, check=False)  # noqa: S603, S607
    if ran.returncode:
        raise TailorbirdError(
            f"ip {' '.join(words)}: {ran.stderr.strip()}", remedy="is this user allowed to?"
        )
    return ran.stdout
