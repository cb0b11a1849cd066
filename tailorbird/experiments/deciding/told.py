"""A readout as it is told, whatever kind the experiment is of: its JSON, its table, its page and its figures."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tailorbird.experiments.deciding.own import read_experiment_out, read_interleaving_out, started
from tailorbird.experiments.deciding.question import Question
from tailorbird.settings import Settings

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Told:
    """What a command prints, an answer holds and a run of MLflow keeps; ``notes`` are what one should know before one believes it."""

    question: Question
    shown: Mapping[str, Any]
    rows: Sequence[dict[str, object]]
    notes: Sequence[str]
    page: Callable[[], str]
    figures: Callable[[], "Mapping[str, Figure]"]


def told_of(settings: Settings, key: str, *, adjustment: str = "holm") -> Told:
    """Read a started experiment of the workspace out. Raises UsageError as the readout of its kind does."""
    if started(settings, key).experiment.kind == "interleaving":
        return _of_preferences(settings, key)
    return _of_units(settings, key, adjustment=adjustment)


def _of_units(settings: Settings, key: str, *, adjustment: str) -> Told:
    from tailorbird.experiments.deciding.figures import figures_of
    from tailorbird.experiments.deciding.page import page_of
    from tailorbird.experiments.deciding.shown import as_json
    from tailorbird.experiments.reading.shown import table_rows

    found = read_experiment_out(settings, key, adjustment=adjustment)
    shown = as_json(found)
    return Told(
        found.question,
        shown,
        table_rows(found.reading),
        [*shown["warnings"], *(note for each in found.reading.metrics for note in each.notes)],
        lambda: page_of(found),
        lambda: figures_of(found),
    )


def _of_preferences(settings: Settings, key: str) -> Told:
    from tailorbird.experiments.interleaving.shown import as_json, page_of, table_rows

    found = read_interleaving_out(settings, key)
    return Told(found.question, as_json(found), table_rows(found), found.notes, lambda: page_of(found), dict)
