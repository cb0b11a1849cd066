"""Watches what runs: ramps by schedule, renews bandits, stops a canary that is worse. One at a time for a workspace, whoever has its lock."""

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import orjson
import pyarrow as pa

from tailorbird.errors import TailorbirdError
from tailorbird.experiments.bandits.renewing import in_words, is_due, renew
from tailorbird.experiments.canary.counting import UNFAILED, Counts, Shown
from tailorbird.experiments.canary.judging import harms
from tailorbird.experiments.design.experiment import Experiment
from tailorbird.experiments.measuring.streams import UNIT_COLUMNS
from tailorbird.experiments.running.launching import Launcher
from tailorbird.experiments.running.ledger import Entry, StateError
from tailorbird.features.consents import ANALYTICS
from tailorbird.features.purposes import exposures_for, scan_for
from tailorbird.plumbing.alone import alone_if_free
from tailorbird.settings import Settings
from tailorbird.streams.factory import open_events, open_exposures
from tailorbird.streams.position import BEGINNING, Position

log = logging.getLogger("ray.serve.tailorbird")
LOCK_FILE = ".experiments.lock"
EVERY_SECONDS = 30.0
SCHEDULE, CANARY = "job:schedule", "job:canary"
"""Who, in the ledger and the audit log."""
HOUR = 3_600.0
_SHOWN = ("recommendation_id", "experiments", "fallback", "took_ms", "items")


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

    def look(self) -> list[str]:
        """Ramp and stop what is due; what was done, a line each. Nothing where another process is at it."""
        with alone_if_free(self._settings.folder / LOCK_FILE) as free:
            if not free:
                return []
            running = self._launcher.ledger.entries(state="running")
            self._watched = {
                entry.key: self._watched[entry.key] for entry in running if entry.key in self._watched
            }
            return [done for entry in running if (done := self._tended(entry))]

    def _tended(self, entry: Entry) -> str:
        try:
            found = self._stopped(entry) if entry.experiment.kind == "canary" else self._renewed(entry)
            return found or self._ramped(entry)
        except StateError as error:  # somebody moved it at this moment: look again next time
            log.info("experiment %s: %s", entry.key, error)
        except TailorbirdError as error:
            log.warning("experiment %s cannot be tended: %s", entry.key, error)
        return ""

    def _stopped(self, entry: Entry) -> str:
        """Stop a canary that is worse; "" where it is not known to be."""
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
        """Renew the allocation of a bandit where that is due."""
        now = self._clock()
        if not is_due(entry, now=now):
            return ""
        made = renew(self._settings, self._launcher, entry, now=now)
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
