"""A readout as it is told, whatever kind the experiment is of: its JSON, its table, its page and its figures."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tailorbird.experiments.deciding.own import read_experiment_out, read_interleaving_out, started
from tailorbird.experiments.running.entries import Entry
from tailorbird.settings import Settings

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Told:
    """What a command prints, an answer holds and a run of MLflow keeps; ``notes`` are what one should know before one believes it."""

    key: str
    hours: int
    """From the start until what was read last."""
    shown: Mapping[str, Any]
    rows: Sequence[dict[str, object]]
    notes: Sequence[str]
    page: Callable[[], str]
    figures: Callable[[], "Mapping[str, Figure]"]


def told_of(settings: Settings, key: str, *, adjustment: str = "holm") -> Told:
    """Read a started experiment of the workspace out. Raises UsageError as the readout of its kind does."""
    entry = started(settings, key)
    if entry.experiment.kind == "shadow":
        return _of_shadow(settings, entry)
    if entry.experiment.kind == "interleaving":
        return _of_preferences(settings, key)
    return _of_units(settings, key, adjustment=adjustment)


def _hours(start: float, end: float) -> int:
    return round((end - start) / 3_600.0)


def _of_units(settings: Settings, key: str, *, adjustment: str) -> Told:
    from tailorbird.experiments.deciding.figures import figures_of
    from tailorbird.experiments.deciding.page import page_of
    from tailorbird.experiments.deciding.shown import as_json
    from tailorbird.experiments.reading.shown import table_rows

    found = read_experiment_out(settings, key, adjustment=adjustment)
    shown = as_json(found)
    return Told(
        key,
        _hours(found.question.start, found.question.end),
        shown,
        table_rows(found.reading),
        [*shown["warnings"], *(note for each in found.reading.metrics for note in each.notes)],
        lambda: page_of(found),
        lambda: figures_of(found),
    )


def _of_preferences(settings: Settings, key: str) -> Told:
    from tailorbird.experiments.interleaving.shown import as_json, page_of, table_rows

    found = read_interleaving_out(settings, key)
    hours = _hours(found.question.start, found.question.end)
    return Told(key, hours, as_json(found), table_rows(found), found.notes, lambda: page_of(found), dict)


def _of_shadow(settings: Settings, entry: Entry) -> Told:
    from tailorbird.experiments.deciding.page import framed, html_table
    from tailorbird.experiments.shadow.reading import read_shadow, verdict_of
    from tailorbird.experiments.shadow.shown import as_json, table_rows
    from tailorbird.experiments.shadow.tallies import Tallies

    found = read_shadow(entry, Tallies(settings.folder).of(entry.key), now=time.time())
    shown, rows = as_json(found), table_rows(found)
    about = [f"{found.asked:,} questions", f"{shown['days']:g} of {shown['plannedDays']:g} days"]

    def page() -> str:
        return framed(
            entry.key,
            entry.experiment.hypothesis,
            verdict_of(found),
            about=about,
            parts=[html_table(rows)],
            warnings=shown["warnings"],
        )

    return Told(entry.key, _hours(entry.started, found.end), shown, rows, shown["warnings"], page, dict)
