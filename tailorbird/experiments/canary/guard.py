"""Watches what runs: stops a canary that is worse, ramps by schedule, renews bandits. One at a time for a workspace, whoever has its lock."""

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import orjson
import pyarrow as pa

from tailorbird.errors import TailorbirdError
from tailorbird.experiments.bandits.renewing import in_words, is_due, last_renewed, renew
from tailorbird.experiments.canary.counting import UNFAILED, Counts, Shown
from tailorbird.experiments.canary.judging import harms
from tailorbird.experiments.design.experiment import Experiment
from tailorbird.experiments.measuring.streams import UNIT_COLUMNS
from tailorbird.experiments.running.entries import Entry, StateError
from tailorbird.experiments.running.launching import Launcher
from tailorbird.features.consent.consents import ANALYTICS
from tailorbird.features.consent.purposes import exposures_for, scan_for
from tailorbird.plumbing.alone import alone_if_free
from tailorbird.settings import Settings
from tailorbird.streams.factory import open_events, open_exposures
from tailorbird.streams.position import BEGINNING, Position

log = logging.getLogger("ray.serve.tailorbird")
LOCK_FILE = ".experiments.lock"
EVERY_SECONDS = 30.0
LONGEST_SECONDS = 300.0
"""At most so long what could not be tended is left alone."""
SCHEDULE, CANARY = "job:schedule", "job:canary"
"""Who, in the ledger and the audit log."""
HOUR = 3_600.0
_SHOWN = ("recommendation_id", "experiments", "fallback", "took_ms", "items")


@dataclass(frozen=True)
class Failing:
    """What could not be tended: how often one after the other, and until when it is left alone."""

    times: int = 0
    until: float = 0.0

    def again(self, now: float) -> "Failing":
        """It failed once more: the first time it is tried at the next look, then after twice as long each time."""
        seconds = min(EVERY_SECONDS * 2.0**self.times, LONGEST_SECONDS) if self.times else 0.0
        return Failing(min(self.times + 1, 10), now + seconds)


_NEVER = Failing()


@dataclass
class Watched:
    """One canary: what was counted, and how far the streams were read."""

    counts: Counts
    exposures: Position = BEGINNING
    events: Position = BEGINNING


class Guard:
    """Looks at everything that runs; what it has counted it keeps, and counts anew from the streams after a restart."""

    def __init__(self, settings: Settings, launcher: Launcher, *, clock: Callable[[], float]) -> None:
        self._settings, self._launcher, self._clock = settings, launcher, clock
        self._watched: dict[str, Watched] = {}
        self._failing: dict[tuple[str, str], Failing] = {}  # by experiment and what could not be done

    def look(self) -> list[str]:
        """Stop, ramp and renew what is due; what was done, a line each. Nothing where another process is at it.

        Canaries come first, and of the bandits that are due one is renewed: the longest that a canary waits is one renewal.
        """
        with alone_if_free(self._settings.folder / LOCK_FILE) as free:
            if not free:
                return []
            running = self._launcher.ledger.entries(state="running")
            keys = {entry.key for entry in running}
            self._watched = {key: each for key, each in self._watched.items() if key in keys}
            self._failing = {duty: each for duty, each in self._failing.items() if duty[0] in keys}
            canaries = [entry for entry in running if entry.experiment.kind == "canary"]
            done = [self._watch(entry) for entry in canaries]
            done += [self._tended(entry, self._ramped) for entry in running if entry not in canaries]
            if bandit := self._next_bandit(running):
                done.append(self._tended(bandit, self._renewed))
            return [each for each in done if each]

    def _watch(self, entry: Entry) -> str:
        """Stop a canary, or else take the step of its ramp: a duty of its own, that may fail alone; none where it was not judged."""
        stopped = self._tended(entry, self._stopped)
        if stopped or (entry.key, self._stopped.__name__) in self._failing:
            return stopped
        return self._tended(entry, self._ramped)

    def _tended(self, entry: Entry, tend: Callable[[Entry], str]) -> str:
        """What was done for one experiment: whatever fails there is told, and keeps no other one waiting."""
        duty = (entry.key, tend.__name__)
        failing = self._failing.get(duty, _NEVER)
        if self._clock() < failing.until:
            return ""
        try:
            done = tend(entry)
        except StateError as error:  # somebody moved it at this moment: look again next time
            log.info("experiment %s: %s", entry.key, error)
            return ""
        except TailorbirdError as error:
            log.warning("experiment %s cannot be tended: %s", entry.key, error)
        except Exception:
            log.exception("experiment %s cannot be tended", entry.key)
        else:
            self._failing.pop(duty, None)
            return done
        self._failing[duty] = failing.again(self._clock())
        return ""

    def _next_bandit(self, running: Sequence[Entry]) -> Entry | None:
        """Of the bandits that are due and not left alone the one that failed least, then the one that waits longest."""

        def failing(entry: Entry) -> Failing:
            return self._failing.get((entry.key, self._renewed.__name__), _NEVER)

        now = self._clock()
        due = [entry for entry in running if is_due(entry, now=now) and failing(entry).until <= now]
        return min(due, key=lambda entry: (failing(entry).times, last_renewed(entry)), default=None)

    def _stopped(self, entry: Entry) -> str:
        """Stop a canary that is worse."""
        # Not kept until it is whole: where a stream is away in between, nothing is counted twice.
        watched = self._watched.pop(entry.key, None) or Watched(Counts(variants_of(entry.experiment)))
        self._read(entry, watched)
        self._watched[entry.key] = watched
        found = harms(watched.counts, entry.experiment.tolerance)
        if not found:
            return ""
        units = watched.counts.units
        reason = f"goes back after {units[watched.counts.variants[1]]:,} canary units: {'; '.join(each.words for each in found)}"
        self._launcher.stop(entry.key, who=CANARY, revision=entry.revision, reason=reason)
        return f"{entry.key} {reason}"

    def _renewed(self, entry: Entry) -> str:
        """Renew the allocation of a bandit."""
        made = renew(self._settings, self._launcher, entry, now=self._clock())
        return f"{entry.key} {in_words(entry.experiment, made)}"

    def _ramped(self, entry: Entry) -> str:
        """Take the step of the ramp that is due; a person who moved the share has taken it over."""
        by_hand = any(step.did == "ramp" and step.who != SCHEDULE for step in entry.steps)
        if by_hand or entry.experiment.kind == "holdout":  # a holdout's weights say who is held
            return ""
        due = [
            step.share
            for step in entry.experiment.ramp
            if self._clock() - entry.started >= step.hours * HOUR and step.share > entry.share + 1e-9
        ]
        if not due:
            return ""
        self._launcher.ramp(entry.key, due[-1], who=SCHEDULE, revision=entry.revision, reason="as declared")
        return f"{entry.key} has {due[-1]:g} of its layer now"

    def _read(self, entry: Entry, watched: Watched) -> None:
        """Count what came since the last look, of people who let themselves be measured."""
        with open_exposures(self._settings) as stream:
            shown = stream.end()
        answers = exposures_for(
            self._settings,
            ANALYTICS,
            columns=[*_SHOWN, UNIT_COLUMNS[entry.experiment.unit]],
            where=[("instant", ">=", entry.started)],
            after=watched.exposures,
            through=shown,
        )
        for batch in answers:
            watched.counts.show(_answers(batch, entry.experiment, watched.counts.variants))
        with open_events(self._settings) as log_of_events:
            done = log_of_events.end()
        clicks = scan_for(
            self._settings,
            ANALYTICS,
            columns=["recommendation_id"],
            types=["click"],
            start=entry.started,
            after=watched.events,
            through=done,
        )
        for batch in clicks:
            watched.counts.click(each for each in batch["recommendation_id"].to_pylist() if each)
        watched.exposures, watched.events = shown, done


def variants_of(experiment: Experiment) -> tuple[str, str]:
    """Control and the canary."""
    return experiment.control, experiment.treatments[0].name


def _answers(batch: pa.RecordBatch, experiment: Experiment, variants: tuple[str, str]) -> Iterator[Shown]:
    key, unit = experiment.key, UNIT_COLUMNS[experiment.unit]
    for row in batch.to_pylist():
        said = orjson.loads(row["experiments"]) if row["experiments"] else {}
        if said.get(key) in variants and row[unit]:
            yield Shown(
                row["recommendation_id"],
                row[unit],
                said[key],
                row["fallback"] not in UNFAILED,
                row["took_ms"],
                len(row["items"]),
            )
