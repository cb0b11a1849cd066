"""One replica of the admin application: its port, its routes, and what they need, made when it is first needed."""

import logging
import os
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from serving.admin.listener import Listener
from serving.heartbeat import beats_folder, live_beats
from serving.lasting import LastingThread
from serving.loopback import keep_on_this_machine
from serving.notice import Notice
from tailorbird.settings import Settings

log = logging.getLogger("ray.serve.tailorbird")
NICENESS = 10
"""Whoever asks for recommendations goes first."""
PAUSE_SECONDS = 5.0
"""Between an error of the deliverer or of an erasure, such as a full disk, and its next try."""
RETENTION_PAUSE_SECONDS = 300.0


class Admin:
    """Answers operators on a loopback port, which its replicas share."""

    def __init__(self, settings: dict[str, Any], *, folder: str, port: int) -> None:
        from feature_repo.portraits import Portraits
        from serving.admin.catalogue.arriving import sweep
        from serving.admin.catalogue.goods import Goods
        from serving.admin.guard import LoopbackGuard
        from serving.admin.models.moves import Moves
        from serving.admin.models.reach import RegistryReach
        from serving.admin.pages import Desk, build_admin
        from serving.http.access import Access
        from serving.privacy.erasures import open_erasing
        from serving.segments.live import LiveSegments
        from tailorbird.privacy.door.door import Door
        from tailorbird.segments.rules.file import RulesFile

        keep_on_this_machine()
        os.nice(NICENESS)
        self._settings = Settings(**settings)
        self._registry = RegistryReach(self._settings)
        beats, notice = beats_folder(Path(folder)), Notice(Path(folder))
        self._segments = LiveSegments(self._settings, noticed=notice.stamp)
        rules = RulesFile(self._settings.folder, clock=time.monotonic)
        sweep(self._settings.folder)
        door = Door.of(self._settings)
        desk = Desk(
            self._settings,
            registry=self._registry,
            moves=Moves(self._registry, notice=notice),
            beats=lambda: live_beats(beats, now=time.time()),
            goods=Goods(self._settings, door=door),
            portraits=Portraits(self._settings, segments=self._segments, rules=rules),
            segments=self._segments,
            rules=rules,
            erasing=open_erasing(self._settings),
            door=door,
        )
        app = LoopbackGuard(
            build_admin(desk),
            access=Access.of(self._settings),
            max_body_bytes=self._settings.max_body_bytes,
            max_upload_bytes=self._settings.max_upload_bytes,
        )
        self._listener = Listener(app, port=port)
        self._listener.wait()
        self._segments.start()
        self._stop = threading.Event()
        self._compaction = LastingThread(partial(_compact, self._settings, self._stop), name="compaction")
        self._folding = LastingThread(partial(_fold, self._settings, self._stop), name="catalogue-compaction")
        self._following = LastingThread(partial(_follow, self._settings, self._stop), name="shared-catalogue")
        self._delivering = LastingThread(
            partial(_deliver, self._settings, self._stop), name="triggers", pause_seconds=PAUSE_SECONDS
        )
        self._erasing = LastingThread(
            partial(_erase, self._settings, self._stop), name="erasures", pause_seconds=PAUSE_SECONDS
        )
        self._reaching = LastingThread(partial(_reach, self._settings, self._stop), name="erasures-elsewhere")
        self._retaining = LastingThread(
            partial(_retain, self._settings, self._stop),
            name="retention",
            pause_seconds=RETENTION_PAUSE_SECONDS,
        )
        self._guarding = LastingThread(
            partial(_guard, self._settings, self._stop, notice.give),
            name="experiments",
            pause_seconds=PAUSE_SECONDS,
        )
        threading.Thread(target=self._warm, name="admin-warm-up", daemon=True).start()

    def check_health(self) -> None:
        """Called by Ray Serve: a replica whose port is dead is replaced."""
        if not self._listener.alive:
            raise RuntimeError("the admin port does not answer")
        if not self._compaction.alive:
            raise RuntimeError("the thread that fills the archives has died")
        if not self._folding.alive:
            raise RuntimeError("the thread that folds patches into the catalogue has died")
        if not self._delivering.alive:
            raise RuntimeError("the thread that delivers triggers has died")
        if not self._erasing.alive:
            raise RuntimeError("the thread that erases people has died")
        if not self._reaching.alive:
            raise RuntimeError("the thread that follows other machines' erasures has died")
        if not self._retaining.alive:
            raise RuntimeError("the thread that lets go of what is old has died")
        if not self._guarding.alive:
            raise RuntimeError("the thread that ramps and stops experiments has died")
        if self._segments.thread is None or not self._segments.thread.alive:
            raise RuntimeError("the thread that follows the segment model has died")
        if self._settings.catalog and not self._following.alive:
            raise RuntimeError("the thread that follows the shared catalogue has died")

    def __del__(self) -> None:
        if hasattr(self, "_listener"):
            self._listener.close()
            self._stop.set()
            self._segments.close()

    def _warm(self) -> None:
        """Put the champion through the gates that open it, so that the first operator does not wait for imports."""
        from registry.gates.gatekeeper import serviceable
        from registry.gates.gates import gates_of

        try:
            champion = self._registry().alias("champion")
            if champion is not None:
                serviceable(champion, gates=gates_of(self._settings))
        except Exception as error:
            log.warning("admin starts cold: %s", error)


def _compact(settings: Settings, stop: threading.Event) -> None:
    from tailorbird.streams.factory import compact_while_serving

    compact_while_serving(settings, stop=stop)


def _fold(settings: Settings, stop: threading.Event) -> None:
    from tailorbird.catalog.store import fold_while_serving

    fold_while_serving(settings, stop=stop)


def _follow(settings: Settings, stop: threading.Event) -> None:
    from tailorbird.catalog.store import follow_while_serving

    follow_while_serving(settings, stop=stop)


def _guard(settings: Settings, stop: threading.Event, announce: Callable[[], object]) -> None:
    from registry.experiments.launching import launcher_of
    from tailorbird.experiments.canary.guard import EVERY_SECONDS, Guard

    guard = Guard(settings, launcher_of(settings, announce=announce), clock=time.time)
    while not stop.wait(EVERY_SECONDS):
        for done in guard.look():
            log.warning("experiment %s", done)


def _deliver(settings: Settings, stop: threading.Event) -> None:
    from serving.triggers.deliverer import Deliverer

    Deliverer(settings, stop=stop).run()


def _erase(settings: Settings, stop: threading.Event) -> None:
    from serving.privacy.erasures import erase_while_serving

    erase_while_serving(settings, stop=stop)


def _reach(settings: Settings, stop: threading.Event) -> None:
    from serving.privacy.erasures import follow_others_while_serving

    follow_others_while_serving(settings, stop=stop)


def _retain(settings: Settings, stop: threading.Event) -> None:
    from serving.privacy.retention import retain_while_serving

    retain_while_serving(settings, stop=stop)
