"""Holds the listening socket and keeps an HAProxy on it: one that dies is followed by the next, and no caller is turned away."""

import logging
import os
import select
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Mapping
from pathlib import Path

from serving.lasting import LastingThread
from serving.proxy.config import LIMITS, Limits, render, write_troubles
from serving.proxy.replicas import Application, applications, with_empty
from tailorbird.access.certificate import Certificate
from tailorbird.errors import UsageError

log = logging.getLogger("tailorbird.proxy")
LOOK_SECONDS = 0.1
"""Between two looks at the list of replicas; a death is noticed at once."""
CRASH_SECONDS = 0.5
"""A proxy that lived shorter than this is not followed at once, but after as long."""
DRAIN_SECONDS = 2.0
DIES_WITH_US = ("setpriv", "--pdeathsig", "KILL") if shutil.which("setpriv") else ()
"""Before a command that must not outlive the thread that starts it, however that ends."""
RAYS_FILE = "haproxy.cfg"
LAST_LINE = "stats refresh 1s"
"""How Ray's configuration ends."""


def bind(host: str, port: int) -> socket.socket:
    """The address callers will use, held from now on but not yet listened on.

    Raises:
        UsageError: something listens on ``port`` already, or ``host`` is no address of this machine.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    held = socket.socket(family, socket.SOCK_STREAM)
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        held.bind((host, port))
    except OSError as error:
        held.close()
        raise UsageError(
            f"port {port} on {host} cannot be used: {error.strerror or error}",
            remedy=f"stop what listens there, or choose another: --port {port + 1 if port < 65535 else 8000}",
        ) from error
    return held


class ProxyKeeper:
    """Runs HAProxy on ``held`` for the replicas that Ray names in the configuration that it writes under ``source``.

    ``routes`` maps each application to its route prefix. Callers are let in once each of them has a replica; from then on an
    application that has lost all of its own answers 503 under its prefix, and never lets its callers fall to another one.

    A ``certificate`` that is renewed in its place is shown from then on.

    The socket belongs to this process: while no HAProxy runs, callers wait in its queue instead of being refused; where this
    process is killed, HAProxy dies with it. A changed list of replicas starts the next HAProxy beside the old one, which answers what it has and ends.
    """

    def __init__(
        self,
        held: socket.socket,
        *,
        binary: Path,
        source: Path,
        folder: Path,
        routes: Mapping[str, str],
        certificate: Certificate | None = None,
        limits: Limits = LIMITS,
    ) -> None:
        self._held, self._binary, self._source, self._folder = held, binary, source, folder
        self._routes = routes
        self._limits = limits
        self._config = folder / "haproxy.cfg"
        self._known: tuple[Application, ...] = ()
        self._stamp: tuple[object, ...] = ()
        self._process: subprocess.Popen[bytes] | None = None
        self._leaving: list[subprocess.Popen[bytes]] = []
        self._stop = threading.Event()
        self.restarts = 0
        self._started = 0.0
        folder.mkdir(mode=0o700, exist_ok=True)
        write_troubles(folder)
        self._certificate = certificate
        self._shown = _linked(certificate, folder / "tls") if certificate else None
        self._words = (folder / "haproxy.log").open("ab")
        self.thread = LastingThread(self._keep, name="proxy-keeper", pause_seconds=LOOK_SECONDS)

    @property
    def pid(self) -> int | None:
        """The process that answers callers now."""
        return self._process.pid if self._process else None

    @property
    def replicas(self) -> int:
        """How many replicas callers are led to."""
        return sum(len(each.replicas) for each in self._known)

    def close(self) -> None:
        """Let the proxy answer what it has, then end it."""
        self._stop.set()
        self.thread.join(timeout=5 + DRAIN_SECONDS)
        self._held.close()
        self._words.close()

    def _drain(self) -> None:
        """In the thread that started them: they would die with it."""
        running = [each for each in (self._process, *self._leaving) if each and each.poll() is None]
        for process in running:
            process.send_signal(signal.SIGUSR1)
        deadline = time.monotonic() + DRAIN_SECONDS
        for process in running:
            try:
                process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _keep(self) -> None:
        while not self._stop.is_set():
            self._leaving = [each for each in self._leaving if each.poll() is None]
            self._follow()
            if self._process is None:
                self._stop.wait(LOOK_SECONDS)
            elif _ended(self._process, within=LOOK_SECONDS) and not self._stop.is_set():
                log.warning("the proxy ended with %s; the next one starts", self._process.returncode)
                if time.monotonic() - self._started < CRASH_SECONDS:
                    self._stop.wait(CRASH_SECONDS)
                self.restarts += 1
                self._start()
        self._drain()

    def _follow(self) -> None:
        """Start the next proxy where the list of replicas has changed."""
        path = next(self._source.rglob(RAYS_FILE), None)  # in a folder named after the node
        if path is None:
            return
        stamp = (_stamp(path), *map(_stamp, self._certificate_files()))
        if stamp == self._stamp:
            return
        written = path.read_text("utf-8")
        if not written.rstrip().endswith(LAST_LINE):
            return  # Ray is still writing
        found = applications(written)
        renewed = bool(self._stamp) and stamp[1:] != self._stamp[1:]
        self._stamp = stamp
        if not self._known and {each.prefix for each in found} != set(self._routes.values()):
            return  # the last application is still starting
        found = with_empty(found, self._routes)
        if found == self._known and not renewed:
            return
        text = render(
            found,
            folder=self._folder,
            listener=self._held.fileno(),
            certificate=self._shown,
            limits=self._limits,
        )
        proposed = self._config.with_suffix(".next")
        proposed.write_text(text, "utf-8")
        checked = subprocess.run(  # noqa: S603
            [self._binary, "-c", "-q", "-f", proposed],
            pass_fds=[self._held.fileno()],
            capture_output=True,
            check=False,
        )
        if checked.returncode:
            log.error("HAProxy refuses its configuration, the old one stays: %s", checked.stderr.decode())
            return
        proposed.replace(self._config)
        self._known = found
        self._start()

    def _certificate_files(self) -> tuple[Path, ...]:
        return (self._certificate.chain, self._certificate.key) if self._certificate else ()

    def _start(self) -> None:
        before = self._process
        handover = []
        if before is not None and before.poll() is None:
            handover = ["-sf", str(before.pid)]
            self._leaving.append(before)
        self._process = subprocess.Popen(  # noqa: S603
            [*DIES_WITH_US, self._binary, "-db", "-q", "-f", self._config, *handover],
            pass_fds=[self._held.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=self._words,
            start_new_session=True,  # Ctrl-C is for us: it ends when we have let it drain
        )
        self._started = time.monotonic()


def _linked(certificate: Certificate, folder: Path) -> Path:
    """The certificate under a name beside which HAProxy finds its key; no copy of the key is made."""
    folder.mkdir(mode=0o700, exist_ok=True)
    shown = folder / "door.pem"
    shown.symlink_to(certificate.chain)
    if certificate.key != certificate.chain:
        shown.with_name(f"{shown.name}.key").symlink_to(certificate.key)
    return shown


def _stamp(path: Path) -> tuple[int, int]:
    """Changes with the file; one that is just being replaced has none."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return (0, 0)
    return found.st_mtime_ns, found.st_ino


def _ended(process: subprocess.Popen[bytes], *, within: float) -> bool:
    """Wait up to ``within`` seconds for the process to end; a fresh one that crashes is waited out."""
    try:
        descriptor = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return process.poll() is not None
    look = select.poll()  # select() knows no descriptor above 1023
    look.register(descriptor, select.POLLIN)
    try:
        look.poll(round(within * 1000))
    finally:
        os.close(descriptor)
    return process.poll() is not None
