"""The job that lets go of what has reached its age: stream by stream and place by place, whole or not at all, again where it broke off."""

import json
import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from pathlib import Path

import pyarrow.parquet as pq

from feature_repo.offline.rows import OfflineRows
from tailorbird.audit.record import RETENTION, record
from tailorbird.errors import TailorbirdError
from tailorbird.ingest.quarantine import quarantine_lock
from tailorbird.plumbing.alone import alone_if_free
from tailorbird.privacy.people.suppression import PRIVACY_FOLDER
from tailorbird.privacy.policy.policy import read_policy
from tailorbird.privacy.policy.retention import DEAD_LETTERS, EXPOSURES, PAST_PROFILES, QUARANTINE, Retention
from tailorbird.settings import Settings
from tailorbird.streams.expiry import count_due
from tailorbird.streams.factory import expire_stream, open_events, open_exposures
from tailorbird.triggers.queue import QUEUE_FILE, DeliveryQueue

log = logging.getLogger("tailorbird.privacy")
EVERY_SECONDS = 86_400.0
LOOK_SECONDS = 60.0
STATE_FILE = "retention.json"


@dataclass(frozen=True)
class _Place:
    """One place: ``due`` says what is too old, by kind; ``lapse`` deletes it, the bytes too, and may find nothing."""

    name: str
    due: Callable[[], Mapping[str, int]]
    lapse: Callable[[], object]


@dataclass(frozen=True)
class _Kept:
    """What is remembered between runs: when the ``last`` whole one began, and of one that is not finished when, and what is ``written`` down of it."""

    last: float = 0.0
    begun: float = 0.0
    written: Mapping[str, int] = field(default_factory=dict)


class Retaining:
    """The retention of one workspace. Any process may run it; one at a time does."""

    def __init__(self, settings: Settings, *, clock: Callable[[], float] = time.time) -> None:
        self._settings, self._clock = settings, clock
        self._state = settings.folder / PRIVACY_FOLDER / STATE_FILE

    @property
    def retention(self) -> Retention:
        """What the workspace decided, as its file says now."""
        return read_policy(self._settings).retention

    def due(self) -> dict[str, int]:
        """How much would go now, by place and kind; nothing is changed."""
        return self._due(self._clock())

    def _due(self, now: float) -> dict[str, int]:
        return {
            f"{place.name}: {kind}": count
            for place in self._places(now)
            for kind, count in sorted(place.due().items())
            if count
        }

    def run(self, *, who: str) -> dict[str, int] | None:
        """Let go of what is too old; what it was, as :meth:`due` says it. None where another process is at it.

        Raises:
            TailorbirdError: a place cannot be changed now; the others were, and the next run goes on.
        """
        if not self.retention:
            return {}
        with alone_if_free(self._state.with_name(".retention.lock")) as mine:
            return self._run(who) if mine else None

    def run_if_a_day_has_passed(self) -> dict[str, int] | None:
        """As :meth:`run`, once a day over all processes and restarts."""
        if not self.retention or self._clock() < self._kept().last + EVERY_SECONDS:
            return None
        return self.run(who="retention")

    def _run(self, who: str) -> dict[str, int]:
        kept, troubles = self._kept(), []
        begun = kept.begun if kept.begun <= self._clock() < kept.begun + EVERY_SECONDS else self._clock()
        found = self._due(begun)
        written = kept.written if begun == kept.begun else {}
        if any(count > written.get(name, 0) for name, count in found.items()):
            # Before anything goes: nothing happens unwritten. Tried again every few minutes, it is the same run.
            record(self._settings, who=who, what=RETENTION, detail={"due": found}, clock=self._clock)
            self._keep(replace(kept, begun=begun, written={**written, **found}))
        for place in self._places(begun):
            try:
                place.lapse()
            except (TailorbirdError, OSError) as error:
                troubles.append(
                    f"{place.name}: {error.what if isinstance(error, TailorbirdError) else error}"
                )
        if troubles:
            raise TailorbirdError(
                f"retention is not finished: {'; '.join(troubles)}",
                remedy="it is tried again; `tailorbird retention run` does it now",
            )
        self._keep(_Kept(last=begun))
        return found

    def _kept(self) -> "_Kept":
        try:
            told = json.loads(self._state.read_text("utf-8"))
            written = {str(name): int(count) for name, count in told.get("written", {}).items()}
            return _Kept(float(told["last"]), float(told.get("begun", 0.0)), written)
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return _Kept()

    def _keep(self, kept: "_Kept") -> None:
        staged = self._state.with_suffix(".tmp")
        staged.write_text(json.dumps(asdict(kept)), "utf-8")
        staged.replace(self._state)

    def _places(self, now: float) -> list[_Place]:
        retention, settings = self.retention, self._settings
        if not retention or not settings.folder.is_dir():
            return []
        places = [_events(settings, retention, now)]
        makers = {
            EXPOSURES: _exposures,
            QUARANTINE: _quarantine,
            DEAD_LETTERS: _dead_letters,
            PAST_PROFILES: _past_profiles,
        }
        for name, make in makers.items():
            before = retention.cutoff(name, now=now)
            if before is not None:
                places.append(make(settings, before))
        return places


def retain_while_serving(settings: Settings, *, stop: threading.Event) -> None:
    """Run the retention daily until ``stop``; of all processes that do, one works at a time.

    Raises:
        TailorbirdError: something cannot go now, or privacy.toml is wrong. Call it again.
    """
    retaining = Retaining(settings)
    while not stop.wait(LOOK_SECONDS):
        gone = retaining.run_if_a_day_has_passed()
        if gone:
            log.info("retention: %s", gone)


def _events(settings: Settings, retention: Retention, now: float) -> _Place:
    def due() -> Mapping[str, int]:
        with open_events(settings) as events:
            return count_due(events, retention.events(now=now, types=_types(events)), by="type")

    def lapse() -> None:
        with open_events(settings) as events:
            which = retention.events(now=now, types=_types(events))
            expire_stream(events, which)

    return _Place("events", due, lapse)


def _types(events) -> set[str]:  # type: ignore[no-untyped-def]
    found: set[str] = set()
    for batch in events.scan(columns=["type"]):
        found.update(batch["type"].unique().to_pylist())
    return found


def _exposures(settings: Settings, before: float) -> _Place:
    which = [[("instant", "<", before)]]

    def due() -> Mapping[str, int]:
        with open_exposures(settings) as exposures:
            return {"shown": sum(len(batch) for batch in exposures.scan(columns=["instant"], where=which[0]))}

    def lapse() -> None:
        with open_exposures(settings) as exposures:
            expire_stream(exposures, which)

    return _Place(EXPOSURES, due, lapse)


def _quarantine(settings: Settings, before: float) -> _Place:
    """Whole files: the rows of one were refused together."""

    def old() -> list[tuple[Path, int]]:
        found = []
        for path in sorted(settings.quarantine_folder.glob("*.parquet")):
            written = pq.read_table(path, columns=["quarantined_at"])["quarantined_at"].to_pylist()
            newest: datetime | None = max(written, default=None)
            if newest is None or newest.timestamp() < before:
                found.append((path, len(written)))
        return found

    def lapse() -> None:
        if settings.quarantine_folder.is_dir():
            with quarantine_lock(settings.quarantine_folder):
                for path, _ in old():
                    path.unlink(missing_ok=True)

    return _Place(QUARANTINE, lambda: {"rows": sum(rows for _, rows in old())}, lapse)


def _dead_letters(settings: Settings, before: float) -> _Place:
    def asked(question: Callable[[DeliveryQueue], int]) -> int:
        if not (settings.folder / QUEUE_FILE).exists():
            return 0
        with closing(DeliveryQueue(settings.folder)) as queue:
            return question(queue)

    return _Place(
        DEAD_LETTERS,
        lambda: Counter(given_up=asked(lambda queue: queue.dead_before(before))),
        lambda: asked(lambda queue: queue.lapse(before)),
    )


def _past_profiles(settings: Settings, before: float) -> _Place:
    rows = OfflineRows(settings)

    def asked(question: Callable[[float], int]) -> int:
        return question(before * 1e6) if rows.folder.is_dir() else 0

    return _Place(PAST_PROFILES, lambda: {"rows": asked(rows.count_before)}, lambda: asked(rows.drop_before))
