"""The readout of an experiment of a workspace: from its ledger, its metrics and its streams, with what the last one counted."""

import json
import secrets
import time
from dataclasses import dataclass, replace
from pathlib import Path

from tailorbird.errors import UsageError
from tailorbird.experiments.deciding.question import question_of
from tailorbird.experiments.deciding.readout import OwnReadout, read_own
from tailorbird.experiments.measuring.declared import read_metrics
from tailorbird.experiments.measuring.streams import Withheld, sources_of
from tailorbird.experiments.running.ledger import Entry, Ledger
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
    entry = started(settings, key)
    instant = time.time() if now is None else now
    question = replace(question_of(entry, read_metrics(settings.folder), now=instant), adjustment=adjustment)
    withheld = Withheld()
    found = read_own(
        question,
        sources_of(settings, unit=question.unit, withheld=withheld),
        memory_mb=settings.readout_memory_mb,
    )
    notes = list(found.notes)
    if withheld.slates:
        notes.append(
            f"{withheld.slates:,} slates of people who refuse analytics are not counted, nor what they did"
        )
    before = _counted(settings.folder, key)
    if before is not None and before.until <= question.end and found.units < before.units:
        notes.append(
            f"n changed: {before.units - found.units:,} units fewer than at the readout before: people were erased, "
            "refused analytics, or turned out to be one"
        )
    _count(settings.folder, key, Counted(question.end, found.units))
    return replace(found, notes=tuple(notes))


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
