"""The figures of a readout: lifts, days, segments, the sample ratio's course; each a matplotlib figure that nobody shows by itself."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from tailorbird.experiments.deciding.readout import OwnReadout
from tailorbird.experiments.reading.shown import lifts_figure
from tailorbird.experiments.statistics.srm import ALARM

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def figures_of(readout: OwnReadout) -> Mapping[str, "Figure"]:
    """The figures by name; one that has nothing to show is absent."""
    found = {"lifts": lifts_figure(readout.reading)}
    if any(len(each.lifts) > 1 for each in readout.days):
        found["days"] = _days(readout)
    if readout.segments:
        found["segments"] = _segments(readout)
    if len(readout.course.units) > 1:
        found["sample ratio"] = _course(readout)
    return found


def _days(readout: OwnReadout) -> "Figure":
    figure, axes = _figure(3.2)
    for each in readout.days:
        at = [day.day for day in each.lifts]
        middle = [100 * day.lift for day in each.lifts]
        ends = [day.interval(confidence=readout.question.confidence) for day in each.lifts]
        (line,) = axes.plot(at, middle, marker="o", label=each.variant)
        low, high = [100 * end[0] for end in ends], [100 * end[1] for end in ends]
        axes.fill_between(at, low, high, alpha=0.15, color=line.get_color())
    axes.axhline(0, color="black", linewidth=0.8)
    axes.set_xlabel("days since a unit's first slate")
    axes.set_ylabel(f"lift of {readout.question.primary.name}, %")
    axes.legend(frameon=False)
    return figure


def _segments(readout: OwnReadout) -> "Figure":
    lines = [
        (f"{each.variant}, {each.attribute}: {one.label}", one)
        for each in readout.segments
        for one in each.lifts
    ]
    figure, axes = _figure(1.0 + 0.28 * len(lines))
    for at, (_, one) in enumerate(reversed(lines)):
        axes.plot([100 * end for end in one.shrunk.interval], [at, at], color="tab:blue", linewidth=2.5)
        axes.plot([100 * one.shrunk.effect], [at], "o", color="tab:blue")
        axes.plot([100 * one.lift], [at], "x", color="tab:gray")
    axes.axvline(0, color="black", linewidth=0.8)
    axes.set_yticks(range(len(lines)), [label for label, _ in reversed(lines)], fontsize=8)
    axes.set_xlabel(f"lift of {readout.question.primary.name} in % (dot: shrunk, cross: by itself)")
    return figure


def _course(readout: OwnReadout) -> "Figure":
    figure, axes = _figure(2.4)
    course = readout.course
    axes.plot(course.units, [max(each, 1e-12) for each in course.p_values])
    axes.axhline(ALARM, color="tab:red", linewidth=0.8, linestyle=":")
    axes.set_yscale("log")
    axes.set_xlabel("units")
    axes.set_ylabel("sample ratio, p at any look")
    return figure


def _figure(height: float):  # type: ignore[no-untyped-def]
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.add_subplot()
