"""The door before several machines, as deploy/haproxy.cfg has it, with addresses put in."""

import re
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from serving.cluster import free_ports
from serving.proxy.keeper import DIES_WITH_US
from tailorbird.errors import TailorbirdError

CONFIG = Path(__file__).parents[3] / "deploy" / "haproxy.cfg"


def door_config(text: str, *, port: int, servers: Sequence[str]) -> str:
    """The configuration ``text`` for ``servers`` (host:port each), on loopback ``port``."""
    lines = [line for line in text.splitlines() if not re.match(r"\s+server ", line)]
    named = [f"    server machine-{n} {server}" for n, server in enumerate(servers)]
    return "\n".join([*lines, *named]).replace("127.0.0.1:8080", f"127.0.0.1:{port}") + "\n"


class Door:
    """HAProxy before ``servers``, while the block runs."""

    def __init__(self, servers: Sequence[str], *, binary: Path, folder: Path) -> None:
        port = free_ports(1)[0]
        self.url = f"http://127.0.0.1:{port}"
        self._config = folder / "door.cfg"
        self._config.write_text(door_config(CONFIG.read_text("utf-8"), port=port, servers=servers), "utf-8")
        self._binary = binary
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self._process = subprocess.Popen([*DIES_WITH_US, self._binary, "-db", "-q", "-f", str(self._config)])  # noqa: S603
        time.sleep(2.0)  # two looks at each machine
        if self._process.poll() is not None:
            raise TailorbirdError(f"HAProxy refuses {CONFIG}", remedy="see what it said above")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
