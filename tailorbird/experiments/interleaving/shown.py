"""The readout of an interleaving as a program, a table and a page have it."""

import datetime as dt
from typing import Any

from tailorbird.experiments.deciding.page import about_of, framed, html_table
from tailorbird.experiments.interleaving.reading import PreferenceReadout, verdict_of
from tailorbird.experiments.statistics.frequentist import Interval


def as_json(readout: PreferenceReadout) -> dict[str, Any]:
    """Everything, in camelCase; what is not known is null. Nets are from -1, all for control, to 1."""
    question, found, verdict = readout.question, readout.preferred, verdict_of(readout)
    control, treatment = question.control, question.treatments[0]
    tells = found.won + found.lost
    return {
        "experiment": question.key,
        "kind": "interleaving",
        "hypothesis": question.hypothesis,
        "verdict": verdict.words,
        "decision": verdict.decision.value,
        "variant": verdict.variant,
        "unit": question.unit,
        "control": control,
        "from": dt.datetime.fromtimestamp(question.start, dt.UTC).isoformat(),
        "until": dt.datetime.fromtimestamp(question.end, dt.UTC).isoformat(),
        "days": round(question.days, 2),
        "plannedDays": question.planned_days,
        "minimumEffect": question.minimum_effect,
        "confidence": question.confidence,
        "metric": question.primary.name,
        "units": found.units,
        "slates": found.slates,
        "slatesFor": {control: found.lost, treatment: found.won},
        "unitsFor": {control: found.units_lost, treatment: found.units_won},
        "share": found.won / tells if tells else None,
        "net": found.net.mean if tells else None,
        "netOfAllSlates": found.per_slate,
        "interval": _ends(found.interval),
        "pValue": found.p_value,
        "alwaysValidInterval": _ends(found.always_interval),
        "alwaysValidPValue": found.always_p,
        "signPValue": found.sign_p,
        "alwaysValidSignPValue": found.always_sign_p,
        "draftPValue": found.draft_p,
        "decidesBy": _DECIDES_BY[readout.decides_by],
        "unitsNeeded": readout.units_needed,
        "daysMore": readout.days_more,
        "warnings": list(readout.notes),
    }


def table_rows(readout: PreferenceReadout) -> list[dict[str, object]]:
    """One line: who prefers what."""
    shown = as_json(readout)
    return [
        {
            "metric": shown["metric"],
            "units": f"{shown['units']:,}",
            "slates": f"{shown['slates']:,}",
            **{f"for {name}": f"{count:,}" for name, count in shown["slatesFor"].items()},
            "net": _number(shown["net"], "+.3f"),
            "interval": _between(shown["interval"]),
            "p": _number(shown["pValue"], ".2g"),
            "always": _between(shown["alwaysValidInterval"]),
            "always p": _number(shown["alwaysValidPValue"], ".2g"),
        }
    ]


def page_of(readout: PreferenceReadout) -> str:
    """A page of HTML that needs nothing else; every text of the experiment is escaped."""
    question = readout.question
    return framed(
        question.key,
        question.hypothesis,
        verdict_of(readout),
        about=about_of(question, units=readout.units),
        parts=[html_table(table_rows(readout))],
        warnings=readout.notes,
    )


def _ends(interval: Interval | None) -> list[float] | None:
    return list(interval) if interval else None


def _between(ends: list[float] | None) -> str:
    return f"{ends[0]:+.3f}..{ends[1]:+.3f}" if ends else "-"


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else f"{value:{form}}"


_DECIDES_BY = {
    "p_value": "pValue",
    "always_p": "alwaysValidPValue",
    "sign_p": "signPValue",
    "always_sign_p": "alwaysValidSignPValue",
}
