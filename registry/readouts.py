"""Readouts in MLflow: an experiment is a run, each of its readouts a step of the run's figures, with the newest page beside them."""

from collections.abc import Mapping
from typing import Any

from registry.tracking.runs import Tracker
from tailorbird.experiments.deciding.told import Told
from tailorbird.settings import Settings

TAG = "tailorbird.experiment"
_HOUR = 3_600.0
_FIGURES = (
    "mean",
    "lift",
    "pValue",
    "adjustedPValue",
    "alwaysValidPValue",
    "probabilityToBeBest",
    "varianceSaved",
)
_OF_INTERLEAVED = (
    "units",
    "slates",
    "net",
    "netOfAllSlates",
    "share",
    "pValue",
    "alwaysValidPValue",
    "signPValue",
    "draftPValue",
)


def experiments_name(settings: Settings) -> str:
    """MLflow's experiment that holds the workspace's tests; no workspace has a full stop in its name."""
    return f"{settings.model_name}.experiments"


def keep_readout(settings: Settings, told: Told) -> str:
    """Write a readout into the run of its experiment, made with the first; the run's id."""
    import json

    shown, question = told.shown, told.question
    tracker = Tracker.open(settings, name=experiments_name(settings))
    before = tracker.latest(tag=TAG, value=question.key)
    made = (
        tracker.start(question.key, tags={TAG: question.key})
        if before is None
        else tracker.resume(str(before.info.run_id))
    )
    with made as run:
        if before is None:
            run.params(_asked(shown))
        run.tags({name: shown[name] for name in ("verdict", "decision", "variant", "units", "until")})
        step = round((question.end - question.start) / _HOUR)
        run.metrics(_figures(shown), step=step)
        run.text(told.page(), "readout.html")
        run.text(json.dumps(shown, indent=1), "readout.json")
        for name, figure in told.figures().items():
            run.figure(figure, f"{name.replace(' ', '_')}.png")
    return run.run_id


def _asked(shown: Mapping[str, Any]) -> dict[str, object]:
    names = (
        "hypothesis",
        "unit",
        "control",
        "plannedDays",
        "minimumEffect",
        "confidence",
        "adjustment",
        "guardrails",
    )
    variants = shown["slatesFor"] if _interleaved(shown) else [each["variant"] for each in shown["variants"]]
    return {name: shown[name] for name in names if name in shown} | {"variants": ", ".join(variants)}


def _figures(shown: Mapping[str, Any]) -> dict[str, object]:
    if _interleaved(shown):
        return {name: shown[name] for name in _OF_INTERLEAVED if shown[name] is not None}
    found: dict[str, object] = {"units": shown["units"], "srmPValue": shown["srmPValue"]}
    for metric in shown["metrics"]:
        for row in metric["variants"]:
            found |= {
                f"{metric['metric']}/{row['variant']}/{name}": row[name]
                for name in _FIGURES
                if row[name] is not None
            }
    for each in shown["power"]:
        found[f"power/{each['variant']}"] = each["reached"]
    return found


def _interleaved(shown: Mapping[str, Any]) -> bool:
    return shown.get("kind") == "interleaving"
