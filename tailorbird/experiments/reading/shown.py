"""A readout as a program and as a person reads it: the JSON object, the table's rows and the plot."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from tailorbird.errors import UsageError
from tailorbird.experiments.reading.readout import Readout, Row
from tailorbird.experiments.reading.verdict import judge, words_of
from tailorbird.experiments.statistics.frequentist import Interval

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def as_json(readout: Readout) -> dict[str, Any]:
    """Everything, in camelCase; what is not known is null."""
    verdict, design = judge(readout), readout.design
    units, whole = sum(readout.counts.values()), sum(design.shares.values())
    return {
        "verdict": verdict.words,
        "decision": verdict.decision.value,
        "variant": verdict.variant,
        "units": units,
        "control": design.control,
        "variants": [
            {"variant": name, "units": count, "due": units * design.shares[name] / whole}
            for name, count in readout.counts.items()
        ],
        "srmPValue": readout.srm_p,
        "srmAlwaysValidPValue": readout.srm_always_valid_p,
        "confidence": design.confidence,
        "adjustment": design.adjustment,
        "decidesBy": "alwaysValidPValue" if design.looking else "pValue",
        "metrics": [
            {
                "metric": each.metric.name,
                "kind": each.metric.kind.value,
                "better": "lower" if each.metric.lower_is_better else "higher",
                "covariate": each.metric.before,
                "variants": [
                    _row(row) | {"verdict": words_of(row, each.metric, readout)} for row in each.rows
                ],
                "warnings": list(each.notes),
            }
            for each in readout.metrics
        ],
        "warnings": list(readout.notes),
    }


def table_rows(readout: Readout) -> list[dict[str, object]]:
    """A line for each variant of each metric."""
    rows: list[dict[str, object]] = []
    for metric in readout.metrics:
        for row in metric.rows:
            comparison = row.comparison
            rows.append(
                {
                    "metric": "" if comparison else metric.metric.name,
                    "variant": row.variant,
                    "units": f"{row.estimate.units:,}",
                    "mean": f"{row.estimate.mean:.4g}",
                    "lift": _signed(comparison.lift) if comparison else "",
                    f"{readout.design.confidence:.0%}": _ends(comparison.interval) if comparison else "",
                    "any look": _ends(row.always_valid[1]) if comparison else "",
                    "p": _p(comparison.p_value) if comparison else "",
                    "adjusted": _p(row.adjusted_p) if comparison else "",
                    "best": "-" if row.best is None else f"{row.best:.1%}",
                }
            )
    return rows


def lifts_figure(readout: Readout) -> "Figure":
    """Every lift with its two intervals."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    lines = [
        (f"{metric.metric.name}: {row.variant}", row)
        for metric in readout.metrics
        for row in metric.rows
        if row.comparison is not None and row.comparison.interval is not None
    ]
    figure = Figure(figsize=(8, 1.2 + 0.45 * max(1, len(lines))), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for at, (_, row) in enumerate(reversed(lines)):
        assert row.comparison is not None
        for interval, width in ((row.always_valid[1], 1.0), (row.comparison.interval, 3.0)):
            if interval is not None:
                axes.plot([100 * end for end in interval], [at, at], color="tab:blue", linewidth=width)
        axes.plot([100 * (row.comparison.lift or 0.0)], [at], "o", color="tab:blue")
    axes.axvline(0, color="black", linewidth=0.8)
    axes.set_yticks(range(len(lines)), [label for label, _ in reversed(lines)])
    axes.set_xlabel(f"lift beside {readout.design.control} in % (thin: however often one looks)")
    return figure


def draw(readout: Readout, path: Path) -> None:
    """Draw every lift with its two intervals. Raises UsageError: a suffix that no drawing has."""
    figure = lifts_figure(readout)
    figure.axes[0].set_title(judge(readout).words, fontsize=9, loc="left", wrap=True)
    try:
        figure.savefig(path)
    except ValueError as error:
        raise UsageError(f"--plot {path.name}: {error}", remedy="use .png, .svg or .pdf") from error


def _row(row: Row) -> dict[str, Any]:
    comparison = row.comparison
    absolute, relative = row.always_valid
    return {
        "variant": row.variant,
        "units": row.estimate.units,
        "missing": row.missing,
        "mean": _known(row.raw_mean),
        "adjustedMean": _known(row.estimate.mean),
        "standardError": _known(row.estimate.variance**0.5),
        "varianceSaved": row.estimate.saved,
        "difference": comparison and _known(comparison.difference),
        "differenceInterval": comparison and _both(comparison.difference_interval),
        "lift": comparison and comparison.lift,
        "interval": comparison and _both(comparison.interval),
        "pValue": comparison and comparison.p_value,
        "adjustedPValue": row.adjusted_p,
        "alwaysValidDifferenceInterval": _both(absolute),
        "alwaysValidInterval": _both(relative),
        "alwaysValidPValue": row.always_valid_p,
        "probabilityToBeBest": row.best,
    }


def _known(value: float) -> float | None:
    return value if value == value else None


def _both(interval: Interval | None) -> list[float] | None:
    return None if interval is None else list(interval)


def _signed(value: float | None) -> str:
    return "-" if value is None else f"{value:+.1%}"


def _ends(interval: Interval | None) -> str:
    return "-" if interval is None else f"{100 * interval[0]:+.1f}..{100 * interval[1]:+.1f}"


def _p(value: float | None) -> str:
    return "-" if value is None else f"{value:.2g}"
