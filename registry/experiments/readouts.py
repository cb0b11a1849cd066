"""Readouts in MLflow: an experiment is a run, each of its readouts a step of the run's figures, with the newest page beside them."""

from collections.abc import Mapping
from typing import Any

from registry.tracking.runs import Tracker
from tailorbird.experiments.deciding.told import Told
from tailorbird.settings import Settings

TAG = "tailorbird.experiment"
_FIGURES = (
    "mean",
    "lift",
    "pValue",
    "adjustedPValue",
    "alwaysValidPValue",
    "probabilityToBeBest",
    "varianceSaved",
)


def experiments_name(settings: Settings) -> str:
    """MLflow's experiment that holds the workspace's tests; no workspace has a full stop in its name."""
    return f"{settings.model_name}.experiments"


def keep_readout(settings: Settings, told: Told) -> str:
    """Write a readout into the run of its experiment, made with the first; the run's id."""
    import json

    shown = told.shown
    tracker = Tracker.open(settings, name=experiments_name(settings))
    before = tracker.latest(tag=TAG, value=told.key)
    made = (
        tracker.start(told.key, tags={TAG: told.key})
        if before is None
        else tracker.resume(str(before.info.run_id))
    )
    with made as run:
        if before is None:
            run.params(_asked(shown))
        run.tags(
            {
                name: shown[name]
                for name in ("verdict", "decision", "variant", "units", "until")
                if name in shown
            }
        )
        run.metrics(_figures(shown), step=told.hours)
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
    variants = (
        {"variants": ", ".join(each["variant"] for each in shown["variants"])} if "variants" in shown else {}
    )
    return {name: shown[name] for name in names if name in shown} | variants


def _figures(shown: Mapping[str, Any]) -> dict[str, object]:
    if "kind" in shown:  # no table of metrics by variant
        return _single(shown)
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


def _single(shown: Mapping[str, Any]) -> dict[str, object]:
    """The numbers of a readout that compares slates: those of its own, and the values of its shares."""
    found: dict[str, object] = {}
    for name, said in shown.items():
        value = said.get("value") if isinstance(said, dict) else said
        if isinstance(value, int | float):
            found[name] = value
    return found
