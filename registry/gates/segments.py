"""The gates of a segment model: its bundle is whole, it assigns soundly, its groups come again in resamples."""

import numpy as np

from registry.following.pointers import RegistryError
from registry.gates.finding import Finding
from registry.gates.gatekeeper import BUNDLE_GATE
from registry.gates.gates import Gates
from registry.versions.versions import Registered, Registry
from tailorbird.bundle.manifest import BundleError
from tailorbird.features.history.records import RECORD
from tailorbird.features.profile.state import UserState
from tailorbird.segments.finding.comparing import EXTENDS, STABLE
from tailorbird.segments.model import NOT_KNOWN, SegmentModel, state_of_history

MADE_UP = 64
"""Made-up people that a model is asked for."""


def judge_segments(
    registry: Registry, candidate: Registered, *, champion: Registered | None, gates: Gates
) -> list[Finding]:
    """Put a version of the segment model through its gates."""
    try:
        bundle = candidate.open()
    except (BundleError, RegistryError) as error:
        return [Finding(BUNDLE_GATE, passed=False, found=error.what, remedy=error.remedy, final=True)]
    model = bundle.model
    files = len(bundle.manifest.files)
    whole = Finding(BUNDLE_GATE, passed=True, found=f"{files} files match their SHA-256")
    if not isinstance(model, SegmentModel):
        found = f"it holds a {type(model).__name__}, no segment model"
        return [whole, Finding("assigns soundly", passed=False, found=found, final=True)]
    return [whole, _sound(model), _figure(model, "stability", STABLE), _figure(model, "extension", EXTENDS)]


def _sound(model: SegmentModel) -> Finding:
    """Whoever did nothing is in no segment; whoever did something in one, with memberships that are shares."""
    rng, wrong = np.random.default_rng(0), 0
    for length in rng.integers(1, 129, MADE_UP).tolist():
        history = np.zeros(length, RECORD)
        history["time"] = np.sort(rng.integers(0, 10**15, length))
        history["item"], history["session"] = rng.integers(1, 50, length), rng.integers(1, 9, length)
        history["type"], history["setting"] = rng.integers(0, 10, length), rng.integers(0, 20, length)
        history["log_price"] = rng.normal(3.0, 1.0, length)
        assigned = model.assign(state_of_history(history.tobytes()))
        shares = list(assigned.memberships.values())
        known = assigned.key in model.keys and abs(sum(shares) - 1.0) < 1e-6
        wrong += not (known or (assigned.key == NOT_KNOWN and not shares))
    nobody = model.assign(UserState.empty("nobody")).key
    passed = not wrong and nobody == NOT_KNOWN
    found = f"{MADE_UP - wrong} of {MADE_UP} made-up people are assigned, somebody unknown is in {nobody or 'no segment'}"
    return Finding("assigns soundly", passed=passed, found=found, final=True)


def _figure(model: SegmentModel, name: str, least: float) -> Finding:
    value = model.figures.get(name, 0.0)
    return Finding(
        name,
        passed=value >= least,
        found=f"{value:.2f}, {least:.2f} wanted",
        remedy="" if value >= least else "fit on more people, or choose a coarser candidate",
        figures={name: value},
    )
