"""The readout of a bandit: every unit counts by one over the chance that it was drawn by, so that growing parts move no mean."""

from collections.abc import Sequence
from dataclasses import replace

from tailorbird.errors import UsageError
from tailorbird.experiments.bandits.cells import Cells
from tailorbird.experiments.bandits.observing import Observed, observed
from tailorbird.experiments.deciding.progress import progress_of
from tailorbird.experiments.deciding.question import Question
from tailorbird.experiments.deciding.readout import Allotted, Course, OwnReadout
from tailorbird.experiments.measuring.table import Sources
from tailorbird.experiments.reading.metric import Kind, Metric
from tailorbird.experiments.reading.readout import read_out
from tailorbird.experiments.reading.units import Units
from tailorbird.experiments.running.entries import Entry
from tailorbird.experiments.running.plans import allocations_now
from tailorbird.experiments.running.renewals import Renewal

_WEIGHT = " weight"


def read_bandit(
    question: Question,
    entry: Entry,
    renewals: Sequence[Renewal],
    sources: Sources,
    *,
    now: float,
    memory_mb: int,
) -> OwnReadout:
    """Compare the variants of a bandit. Raises UsageError: no unit's window has passed yet."""
    bandit = entry.experiment.bandit
    assert bandit is not None
    found = observed(entry, renewals, question.metrics, sources, now=now, memory_mb=memory_mb)
    if not len(found):
        raise UsageError(
            f"no unit of {question.key!r} has had its {bandit.window_hours:g} h yet"
            + (f": {found.young:,} are waiting" if found.young else ""),
            remedy="read it again when they are over; look at its audience where nobody waits",
        )
    question = replace(question, shares=dict(zip(question.shares, found.due / found.due.sum(), strict=True)))
    reading = read_out(*weighted(question, found), question.design)
    notes = [
        "every unit counts by one over its chance (inverse-probability weights), once for each renewal under which it came, "
        f"for what it did in {bandit.window_hours:g} h; there is no CUPED, and there are no days and segments"
    ]
    if found.young:
        notes.append(
            f"{found.young:,} units are not counted yet: their {bandit.window_hours:g} h are not over"
        )
    if found.switched:
        notes.append(f"{found.switched:,} units saw more than one variant under one renewal: left out")
    return OwnReadout(
        question=question,
        reading=reading,
        course=Course((), (), ()),
        progress=tuple(progress_of(question, reading, found.first)),
        days=(),
        segments=(),
        factors=None,
        switched=found.switched,
        notes=tuple(notes),
        allotted=tuple(_allotted(entry, renewals)),
    )


def weighted(question: Question, found: Observed) -> tuple[Units, list[Metric]]:
    """The units with their weights: each metric is a ratio of weighted sums (Hájek 1971), with the variance of one."""
    columns, metrics = {}, []
    for each in question.metrics:
        columns[each.name] = found.values[each.name] / found.chances
        columns[each.name + _WEIGHT] = found.pers[each.name] / found.chances
        metrics.append(
            Metric(
                each.name,
                Kind.RATIO,
                each.name + _WEIGHT,
                lower_is_better=each.lower_is_better,
                label=each.name,
            )
        )
    return Units(tuple(question.shares), found.codes, columns), metrics


def _allotted(entry: Entry, renewals: Sequence[Renewal]) -> list[Allotted]:
    bandit = entry.experiment.bandit
    assert bandit is not None
    cells, names = Cells(bandit), [each.name for each in entry.experiment.variants]

    def parts(held: Entry) -> dict[str, dict[str, float]]:
        rows = enumerate(allocations_now(held))
        return {cells.label(cell): dict(zip(names, row, strict=True)) for cell, row in rows}

    start = Allotted(0, entry.started, entry.steps[0].who, parts(replace(entry, renewal=None)), 0)
    return [
        start,
        *(
            Allotted(
                each.number,
                each.at,
                each.who,
                parts(replace(entry, renewal=each)),
                sum(each.counted.get("units", ())),
            )
            for each in renewals
        ),
    ]
