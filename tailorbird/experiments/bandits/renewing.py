"""Renews a bandit that runs: counts the rewards that are complete, and writes the allocation that follows into the ledger."""

import numpy as np

from tailorbird.experiments.bandits.observing import observed
from tailorbird.experiments.bandits.periods import LAG_SECONDS
from tailorbird.experiments.bandits.policy import Counted, allocations_of, counted_of
from tailorbird.experiments.design.experiment import Experiment
from tailorbird.experiments.measuring.declared import chosen, read_metrics
from tailorbird.experiments.measuring.metric import DeclaredMetric
from tailorbird.experiments.measuring.streams import sources_of
from tailorbird.experiments.running.entries import Entry
from tailorbird.experiments.running.launching import Launcher
from tailorbird.experiments.running.renewals import Allocations, Folded, Renewal
from tailorbird.settings import Settings

BANDIT = "job:bandit"
"""Who, in the ledger and the audit log."""
LATE_SECONDS = 86_400.0
"""So long after the last window of a period deeds may still arrive that were done in it."""
_HOUR_SECONDS = 3_600.0


def is_due(entry: Entry, *, now: float) -> bool:
    """Whether its time has come since the last renewal, or the start."""
    bandit = entry.experiment.bandit
    return bandit is not None and now - last_renewed(entry) >= bandit.every_hours * _HOUR_SECONDS


def last_renewed(entry: Entry) -> float:
    """When it got the allocation that holds, epoch seconds."""
    return entry.renewal.at if entry.renewal else entry.started


def renew(settings: Settings, launcher: Launcher, entry: Entry, *, now: float, who: str = BANDIT) -> Renewal:
    """Give a running bandit its next allocation, from all rewards whose window has passed.

    Raises:
        StateError: it does not run, or somebody renewed it meanwhile.
        UsageError: its metric is declared no more.
    """
    experiment = entry.experiment
    (metric,) = chosen(read_metrics(settings.folder), [experiment.metrics.primary])
    counted, folded = count(settings, launcher, entry, metric, now=now)
    number = entry.renewal.number + 1 if entry.renewal else 1
    made = Renewal(number, now, who, allocations(experiment, counted, metric=metric), counted)
    launcher.renew(entry.key, made, folded)
    return made


def count(
    settings: Settings, launcher: Launcher, entry: Entry, metric: DeclaredMetric, *, now: float
) -> tuple[Counted, Folded | None]:
    """What its policy needs of the rewards that are complete, and of that what is counted for good.

    A period is folded once the windows of all who were drawn in it have been over for LATE_SECONDS: it is not read again, so that the
    hundredth renewal reads and keeps no more than the tenth.
    """
    experiment = entry.experiment
    assert experiment.bandit is not None
    before = launcher.ledger.folded(entry.key)
    since = before.periods if before else 0
    renewals = launcher.ledger.renewals(entry.key, since=since)
    found = observed(
        entry,
        renewals,
        [metric],
        sources_of(settings, unit=experiment.unit),
        now=now,
        memory_mb=settings.readout_memory_mb,
        since=since,
    )
    later = [each.at for each in renewals if each.number > since]  # each begins the period after
    sums = found.sums(
        metric.name,
        periods=len(later) + 1,
        cells=experiment.bandit.cells,
        variants=len(experiment.variants),
    )
    sums = _as_declared(experiment, sums)
    window = experiment.bandit.window_hours * _HOUR_SECONDS
    over = sum(at + LAG_SECONDS + window + LATE_SECONDS <= now for at in later)
    known = before.counted if before else None
    folded = Folded(since + over, counted_of(experiment.bandit, sums[:over], known)) if over else before
    return counted_of(experiment.bandit, sums[over:], folded.counted if folded else None), folded


def allocations(experiment: Experiment, counted: Counted, *, metric: DeclaredMetric) -> Allocations:
    """The parts (cells, variants) that follow from what was counted: a line of the ledger says the same again."""
    assert experiment.bandit is not None
    found = allocations_of(
        experiment.bandit,
        counted,
        weights=[each.weight for each in experiment.variants],
        lower_is_better=metric.lower_is_better,
    )
    return tuple(tuple(each) for each in found)


def in_words(experiment: Experiment, made: Renewal) -> str:
    """Of a renewal, for the log: the parts on average over contexts, and of how many units."""
    parts = np.array(made.allocations).mean(axis=0)
    said = ", ".join(f"{each.name} {part:.1%}" for each, part in zip(experiment.variants, parts, strict=True))
    return f"renewal {made.number}: {said}, from {sum(made.counted['units']):,} units"


def _as_declared(experiment: Experiment, sums: np.ndarray) -> np.ndarray:
    """Sums whose variants stand in the order of the declaration; observations have control first."""
    names = [experiment.control, *(each.name for each in experiment.treatments)]
    return sums[:, :, [names.index(each.name) for each in experiment.variants]]
