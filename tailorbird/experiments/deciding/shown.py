"""A readout as a program reads it: one JSON object, in camelCase."""

import datetime as dt
from typing import Any

from tailorbird.experiments.deciding.readout import OwnReadout
from tailorbird.experiments.deciding.segments import warning_of
from tailorbird.experiments.deciding.verdict import verdict_of
from tailorbird.experiments.reading.shown import as_json as table_as_json
from tailorbird.experiments.statistics.power import POWER


def as_json(readout: OwnReadout) -> dict[str, Any]:
    """Everything; what is not known is null."""
    question, verdict = readout.question, verdict_of(readout)
    shown = table_as_json(readout.reading)
    shown |= {
        "experiment": question.key,
        "hypothesis": question.hypothesis,
        "verdict": verdict.words,
        "decision": verdict.decision.value,
        "variant": verdict.variant,
        "unit": question.unit,
        "from": _instant(question.start),
        "until": _instant(question.end),
        "days": round(question.days, 2),
        "plannedDays": question.planned_days,
        "minimumEffect": question.minimum_effect,
        "guardrails": dict(question.margins),
        "switched": readout.switched,
        "power": [
            {
                "variant": each.variant,
                "reached": each.power,
                "wanted": POWER,
                "smallestLift": each.tells,
                "unitsNeeded": each.units_needed,
                "daysMore": each.days,
            }
            for each in readout.progress
        ],
        "srmCourse": {
            "at": [_instant(each) for each in readout.course.instants],
            "units": list(readout.course.units),
            "pValue": list(readout.course.p_values),
        },
        "novelty": [
            {
                "variant": each.variant,
                "trend": each.trend
                and {
                    "liftADay": each.trend.slope,
                    "pValue": each.trend.p_value,
                    "days": each.trend.days,
                    "units": each.trend.units,
                },
                "days": [
                    {
                        "day": day.day,
                        "units": day.units,
                        "lift": day.lift,
                        "interval": list(day.interval(confidence=question.confidence)),
                    }
                    for day in each.lifts
                ],
            }
            for each in readout.days
        ],
        "segments": [
            {
                "attribute": each.attribute,
                "variant": each.variant,
                "pValue": each.p_value,
                "adjustedPValue": each.adjusted_p,
                "leftOut": each.left_out,
                "lifts": [
                    {
                        "segment": one.label,
                        "units": one.units,
                        "lift": one.lift,
                        "standardError": one.error,
                        "shrunkLift": one.shrunk.effect,
                        "interval": list(one.shrunk.interval),
                    }
                    for one in each.lifts
                ],
            }
            for each in readout.segments
        ],
        "factors": _factors(readout),
        "renewals": [
            {
                "number": each.number,
                "at": _instant(each.at),
                "who": each.who,
                "units": each.units,
                "parts": [
                    {"context": context, "variants": dict(parts)} for context, parts in each.parts.items()
                ],
            }
            for each in readout.allotted
        ],
        "warnings": warnings_of(readout),
    }
    return shown


def warnings_of(readout: OwnReadout) -> list[str]:
    """What one should know before one believes it."""
    found = [*readout.notes, *readout.reading.notes]
    for each in readout.days:
        if each.trend is not None and each.trend.p_value < 1 - readout.question.confidence:
            way = "wears off" if each.trend.slope < 0 else "grows"
            found.append(
                f"the effect of {each.variant} {way}: its lift moves by {100 * each.trend.slope:+.2g} points a day since a unit's "
                f"first slate (p = {each.trend.p_value:.2g}); its mean is not what will stay"
            )
    for segments in readout.segments:
        if segments.adjusted_p < 1 - readout.question.confidence:
            found.append(
                f"the effect of {segments.variant} differs by {segments.attribute} (p = {segments.adjusted_p:.2g}, adjusted)"
            )
    fishing = warning_of(readout.segments, confidence=readout.question.confidence)
    return [*found, fishing] if fishing else found


def _factors(readout: OwnReadout) -> dict[str, Any] | None:
    if readout.factors is None:
        return None
    return {
        "confounded": readout.factors.effects.confounded,
        "mean": readout.factors.base,
        "effects": [
            {
                "levels": dict(each.levels),
                "interaction": each.is_interaction,
                "effect": each.effect,
                "standardError": each.error,
                "interval": list(each.interval),
                "pValue": each.p_value,
                "adjustedPValue": p_value,
            }
            for each, p_value in zip(readout.factors.effects.effects, readout.factors.adjusted_p, strict=True)
        ],
    }


def _instant(seconds: float) -> str:
    return dt.datetime.fromtimestamp(seconds, dt.UTC).isoformat()
