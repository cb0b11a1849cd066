"""The readout of a shadow as a program, a table and a page have it."""

import datetime as dt
from typing import Any

from tailorbird.experiments.shadow.reading import ShadowReadout, Share, verdict_of

_DAY = 86_400.0
FIGURES = {
    "overlap": "places with the same item in both slates",
    "sameFirst": "the same item first",
    "rankCorrelation": "Kendall's tau of the items in both",
    "failed": "answers that failed",
    "controlFailed": "of the champion",
    "fallbacks": "answers that lists filled",
    "controlFallbacks": "of the champion",
    "ms": "processor's ms of an answer",
    "controlMs": "of the champion",
    "latencyRatio": "the shadow's time over the champion's",
    "typicalLatencyRatio": "the same of the typical answer",
}
"""The shares of a readout by their name in JSON, and what each says."""


def as_json(readout: ShadowReadout) -> dict[str, Any]:
    """Everything, in camelCase; what is not known is null."""
    experiment, verdict = readout.entry.experiment, verdict_of(readout)
    start = readout.entry.started
    return {
        "experiment": readout.entry.key,
        "kind": "shadow",
        "hypothesis": experiment.hypothesis,
        "verdict": verdict.words,
        "decision": verdict.decision.value,
        "variant": verdict.variant,
        "control": experiment.control,
        "from": dt.datetime.fromtimestamp(start, dt.UTC).isoformat(),
        "until": dt.datetime.fromtimestamp(readout.end, dt.UTC).isoformat(),
        "days": round(max(0.0, readout.end - start) / _DAY, 2),
        "plannedDays": experiment.days,
        "confidence": experiment.confidence,
        "asked": readout.asked,
        "dropped": readout.dropped,
        "missing": readout.missing,
        "compared": readout.compared,
        **{name: _share(share) for name, share in _shares(readout).items()},
        "warnings": notes_of(readout),
    }


def notes_of(readout: ShadowReadout) -> list[str]:
    """What one should know before one believes it."""
    notes = []
    whole = readout.asked + readout.dropped
    if readout.dropped > whole / 2:
        notes.append(
            f"{readout.dropped:,} of {whole:,} questions were dropped because the shadow was busy: a smaller share tells as much"
        )
    return notes


def table_rows(readout: ShadowReadout) -> list[dict[str, object]]:
    """A line for each figure."""
    return [
        {
            "figure": FIGURES[name],
            "value": "-" if share.value is None else f"{share.value:.4g}",
            "interval": f"{share.interval[0]:.4g}..{share.interval[1]:.4g}" if share.interval else "-",
        }
        for name, share in _shares(readout).items()
    ]


def _shares(readout: ShadowReadout) -> dict[str, Share]:
    values = (
        readout.overlap,
        readout.same_first,
        readout.correlation,
        readout.failed,
        readout.control_failed,
        readout.fallbacks,
        readout.control_fallbacks,
        readout.ms,
        readout.control_ms,
        readout.latency_ratio,
        readout.typical_ratio,
    )
    return dict(zip(FIGURES, values, strict=True))


def _share(share: Share) -> dict[str, Any]:
    return {"value": share.value, "interval": list(share.interval) if share.interval else None}
