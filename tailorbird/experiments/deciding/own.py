"""The readout of an experiment of a workspace: from its ledger, its metrics and its streams, with what the last one counted."""

import json
import secrets
import time
from dataclasses import dataclass, replace
from pathlib import Path

from tailorbird.errors import UsageError
from tailorbird.experiments.bandits.readout import read_bandit
from tailorbird.experiments.deciding.question import Question, question_of
from tailorbird.experiments.deciding.readout import OwnReadout, read_own
from tailorbird.experiments.interleaving.counting import preferences
from tailorbird.experiments.interleaving.reading import PreferenceReadout, read_preferences
from tailorbird.experiments.measuring.declared import read_metrics
from tailorbird.experiments.measuring.streams import Withheld, sources_of
from tailorbird.experiments.running.entries import Entry
from tailorbird.experiments.running.ledger import Ledger
from tailorbird.settings import Settings

FOLDER = "readouts"
"""Where the last count of each experiment is kept; of nobody, numbers alone."""


@dataclass(frozen=True)
class Counted:
    """How many units a readout counted, until which instant (epoch seconds)."""

    until: float
    units: int


def read_experiment_out(
    settings: Settings, key: str, *, now: float | None = None, adjustment: str = "holm"
) -> OwnReadout:
    """Read a started experiment of the workspace; people who were erased since the last readout are told of as a number.

    Raises:
        UsageError: it was never started, nobody is in it, or a metric is not declared.
    """
    question = replace(_question(settings, key, now=now), adjustment=adjustment)
    withheld = Withheld()
    sources = sources_of(settings, unit=question.unit, withheld=withheld)
    entry, memory_mb = started(settings, key), settings.readout_memory_mb
    if entry.experiment.bandit is None:
        found = read_own(question, sources, memory_mb=memory_mb)
    else:
        renewals = Ledger(settings.folder).renewals(key)
        instant = time.time() if now is None else now
        found = read_bandit(question, entry, renewals, sources, now=instant, memory_mb=memory_mb)
    notes = _changed_since(settings, question, units=found.units, withheld=withheld)
    return replace(found, notes=(*found.notes, *notes))


def read_interleaving_out(settings: Settings, key: str, *, now: float | None = None) -> PreferenceReadout:
    """Read a started interleaving of the workspace. Raises UsageError: it was never started, nobody is in it, or its metric has no events."""
    question, withheld = _question(settings, key, now=now), Withheld()
    counted = preferences(
        key,
        (question.control, question.treatments[0]),
        question.primary,
        sources_of(settings, unit=question.unit, withheld=withheld),
        start=question.start,
        end=question.end,
        memory_mb=settings.readout_memory_mb,
    )
    found = read_preferences(question, counted)
    return replace(
        found, notes=tuple(_changed_since(settings, question, units=found.units, withheld=withheld))
    )


def _question(settings: Settings, key: str, *, now: float | None) -> Question:
    instant = time.time() if now is None else now
    return question_of(started(settings, key), read_metrics(settings.folder), now=instant)


def _changed_since(settings: Settings, question: Question, *, units: int, withheld: Withheld) -> list[str]:
    """Who is not counted, and by how many units there are fewer than at the readout before; this one is remembered."""
    notes = []
    if withheld.slates:
        notes.append(
            f"{withheld.slates:,} slates of people who allow no analytics are not counted, nor what they did"
        )
    before = _counted(settings.folder, question.key)
    if before is not None and before.until <= question.end and units < before.units:
        notes.append(
            f"n changed: {before.units - units:,} units fewer than at the readout before: people were erased, "
            "refused analytics, or turned out to be one"
        )
    _count(settings.folder, question.key, Counted(question.end, units))
    return notes


def started(settings: Settings, key: str) -> Entry:
    """The ledger's entry of an experiment. Raises UsageError where it was never started."""
    entry = Ledger(settings.folder).get(key)
    if entry is None:
        raise UsageError(
            f"experiment {key!r} was never started",
            remedy="`tailorbird experiment list` names those that were",
        )
    return entry


def _counted(folder: Path, key: str) -> Counted | None:
    try:
        return Counted(**json.loads(_file(folder, key).read_text("utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def _count(folder: Path, key: str, counted: Counted) -> None:
    path = _file(folder, key)
    path.parent.mkdir(exist_ok=True)
    staged = path.with_name(f".{key}.{secrets.token_hex(4)}.tmp")  # two may read at once
    staged.write_text(json.dumps({"until": counted.until, "units": counted.units}), "utf-8")
    staged.replace(path)


def _file(folder: Path, key: str) -> Path:
    return folder / FOLDER / f"{key}.json"
