"""Heartbeats: every replica of recommend says once a second, in the cluster's folder, that it lives and what it serves."""

import json
import os
import socket
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from serving.lasting import LastingThread

BEAT_SECONDS = 1.0
GONE_SECONDS = 5.0
"""A replica that was silent for this long counts no more."""


@dataclass(frozen=True)
class ArmBeat:
    """An arm as one replica serves it; version "" where the champion answers in its place."""

    name: str
    alias: str
    version: str
    trouble: str


@dataclass(frozen=True)
class Beat:
    """What one replica says; ``at`` is epoch seconds."""

    replica: str
    at: float
    arms: Sequence[ArmBeat]
    exposures: Mapping[str, int]
    """What became of its exposures, and how many wait."""


class Heartbeat:
    """One replica's beat: a thread that writes it, at once where something changed."""

    def __init__(
        self,
        folder: Path,
        *,
        arms: Callable[[], Sequence[ArmBeat]],
        exposures: Callable[[], Mapping[str, int]],
        every_seconds: float = BEAT_SECONDS,
    ) -> None:
        self.replica = f"{socket.gethostname()}-{os.getpid()}"
        self._path = folder / f"{self.replica}.json"
        self._arms, self._exposures, self._every = arms, exposures, every_seconds
        self._stop, self._now = threading.Event(), threading.Event()
        self.thread: LastingThread | None = None

    def start(self) -> None:
        """Begin to beat."""
        self.thread = LastingThread(self._run, name="heartbeat")

    def now(self) -> None:
        """Beat without waiting for the next second."""
        self._now.set()

    def close(self) -> None:
        """Say goodbye: the replica counts no more."""
        self._stop.set()
        self._now.set()
        if self.thread is not None:
            self.thread.join(timeout=5)
        with suppress(OSError):
            self._path.unlink()

    def _run(self) -> None:
        while not self._stop.is_set():
            self._now.clear()
            with suppress(OSError):  # no room or no folder: this replica goes uncounted, and goes on serving
                self._write()
            self._now.wait(self._every)

    def _write(self) -> None:
        beat = Beat(self.replica, time.time(), list(self._arms()), dict(self._exposures()))
        self._path.parent.mkdir(mode=0o700, exist_ok=True)
        draft = self._path.with_suffix(".tmp")
        draft.write_text(json.dumps(asdict(beat)), "utf-8")
        draft.replace(self._path)


def beats_folder(folder: Path) -> Path:
    """Where the replicas of a cluster beat."""
    return folder / "replicas"


def live_beats(folder: Path, *, now: float) -> list[Beat]:
    """The last beat of every replica that lives, by the replica's name."""
    found = []
    for path in sorted(folder.glob("*.json")):
        try:
            raw: dict[str, Any] = json.loads(path.read_text("utf-8"))
            beat = Beat(
                raw["replica"], float(raw["at"]), [ArmBeat(**arm) for arm in raw["arms"]], raw["exposures"]
            )
        except (OSError, ValueError, KeyError, TypeError):
            continue
        if now - beat.at <= GONE_SECONDS:
            found.append(beat)
    return found
