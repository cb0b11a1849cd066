"""The segment model of one replica: follows the alias `champion` of the segment model, opens, verifies and warms, swaps one reference."""

import logging
import threading
import time
from collections.abc import Callable

from registry.following.follower import Follower
from registry.following.pointers import RegistryAwayError
from serving.lasting import LastingThread
from tailorbird.bundle import open_bundle
from tailorbird.errors import TailorbirdError
from tailorbird.features.profile.state import UserState
from tailorbird.segments.belonging import PromotedSegments
from tailorbird.segments.model import SegmentModel
from tailorbird.settings import Settings

log = logging.getLogger("ray.serve.tailorbird")
ALIAS = "champion"
RETRY_SECONDS = 30.0
"""A refused version is tried again after this long: a disk may have come back."""


class LiveSegments:
    """Call it for the segment model that is promoted now; None where none is, which costs nothing.

    What is promoted and cannot be opened leaves the former in place; ``trouble`` says so.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        follower: Follower | None = None,
        noticed: Callable[[], object] = lambda: None,
        notice_seconds: float = 0.1,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``noticed`` changes where an alias moved: then the registry is asked at once."""
        self._follower = follower or Follower(settings, name=settings.segments_name)
        self._poll_seconds, self._notice_seconds = settings.alias_poll_seconds, notice_seconds
        self._noticed, self._clock = noticed, clock
        self._current: PromotedSegments | None = None
        self._refused = ("", float("-inf"))  # a version, and until when it is left alone
        self._seen: object = None
        self._stop = threading.Event()
        self.trouble = ""
        """Why another version serves than the promoted one, or none; "" for nothing."""
        self.thread: LastingThread | None = None

    def __call__(self) -> PromotedSegments | None:
        """What steers people now."""
        return self._current

    @property
    def keys(self) -> tuple[str, ...]:
        """Keys of the segments that people can be in now."""
        return self._current.model.keys if self._current else ()

    def start(self) -> None:
        """Open what is promoted now, then keep watching."""
        self._seen = self._noticed()  # before the first look: a move in between is looked at again
        self.check()
        self.thread = LastingThread(self._watch, name="segment-watcher")

    def close(self) -> None:
        """Stop watching."""
        self._stop.set()
        if self.thread is not None:
            self.thread.join(timeout=5)

    def check(self) -> None:
        """Look at the alias once and swap where it points somewhere new. Never raises."""
        try:
            version = self._follower.look([ALIAS])[ALIAS]
            if version is None:
                self._current, self.trouble = None, ""
            elif self._current is None or self._current.version != version:
                self._open(version)
            else:
                self.trouble = ""
        except RegistryAwayError as error:
            self._say(f"the registry of segments is away: {error}")

    def _open(self, version: str) -> None:
        refused, until = self._refused
        if refused == version and self._clock() < until:
            return
        started = time.perf_counter()
        try:
            model = opened(self._follower, version)
        except RegistryAwayError:
            raise
        except Exception as error:
            self._refused = (version, self._clock() + RETRY_SECONDS)
            what = str(error) if isinstance(error, TailorbirdError) else repr(error)
            kept = f"version {self._current.version} goes on" if self._current else "people are in no segment"
            self._say(f"version {version} of the segment model is refused, {kept}: {what}")
            return
        log.info("segment model %r is loaded after %.2f s", version, time.perf_counter() - started)
        self._current, self.trouble = PromotedSegments(version, model), ""

    def _say(self, trouble: str) -> None:
        if trouble != self.trouble:
            log.warning("%s", trouble)
        self.trouble = trouble

    def _watch(self) -> None:
        looked = time.monotonic()
        while not self._stop.wait(min(self._notice_seconds, self._poll_seconds)):
            notice = self._noticed()
            if notice != self._seen or time.monotonic() - looked >= self._poll_seconds:
                looked, self._seen = time.monotonic(), notice
                self.check()


def opened(follower: Follower, version: str) -> SegmentModel:
    """The segment model of a version, every checksum verified, its machine code made.

    Raises:
        RegistryError: the registry is away, or the version is gone.
        BundleError: the bundle is missing or damaged.
        TailorbirdError: it holds something else, or was made for other traits than this version computes.
    """
    model = open_bundle(follower.fetch(ALIAS, version).folder).model
    if not isinstance(model, SegmentModel):
        raise TailorbirdError(
            f"version {version} holds a {type(model).__name__}, no segment model",
            remedy="promote a version that `tailorbird segments fit` registered",
        )
    model.assign(UserState.empty("warm-up"))
    return model
