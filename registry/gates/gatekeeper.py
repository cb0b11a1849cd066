"""The gatekeeper: puts a version through the gates. It opens and asks the bundle; how good it is, evaluation has stored."""

import datetime as dt
from typing import TYPE_CHECKING

from registry.following.pointers import RegistryError
from registry.gates.finding import Finding
from registry.gates.gates import Gates
from registry.gates.off_policy import OFF_POLICY, off_policy_finding
from registry.gates.quality import first_finding, gate_of, quality_finding
from registry.versions.cases import NoCasesError, cases_of
from registry.versions.versions import Registered, Registry
from tailorbird.bundle.manifest import BundleError
from tailorbird.evaluation.verdict import Verdict

if TYPE_CHECKING:
    from tailorbird.bundle import Bundle

BUNDLE_GATE = "bundle verifies"


def judge(
    registry: Registry, candidate: Registered, *, champion: Registered | None, gates: Gates
) -> list[Finding]:
    """Put ``candidate`` through every gate, beside the version that the alias points at now, if any."""
    stored = candidate.tags.get(OFF_POLICY)
    return [
        *serviceable(candidate, gates=gates),
        _quality(registry, candidate, champion, gates=gates),
        *([off_policy_finding(stored, rules=gates.off_policy)] if stored else []),
    ]


def serviceable(version: Registered, *, gates: Gates) -> list[Finding]:
    """Whether a version can serve at all: its bundle is whole and loads, and made-up requests get sound answers."""
    found, bundle = _bundle(version)
    if bundle is None:
        return [found]
    from registry.gates.smoke import smoke_finding
    from tailorbird.models.hybrid.stages import recommender_of

    recommender = recommender_of(bundle.model, name=version.name, version=str(version.version))
    now = dt.datetime.fromisoformat(bundle.manifest.data_span[1] or bundle.manifest.created_at).timestamp()
    return [found, smoke_finding(recommender, smoke=gates.smoke, now=now)]


def fill_command(registry: Registry, one: Registered, other: Registered) -> str:
    """The command that asks the version with the older data the other's cases, as far as they are news to it."""
    older, newer = sorted((one, other), key=lambda version: version.tags.get("data_last", ""))
    return f"tailorbird evaluate --workspace {registry.workspace} --version {older.version} --cases-of {newer.version}"


def _bundle(version: Registered) -> "tuple[Finding, Bundle | None]":
    try:
        bundle = version.open()
    except (BundleError, RegistryError) as error:
        refused = Finding(BUNDLE_GATE, passed=False, found=error.what, remedy=error.remedy, final=True)
        return refused, None
    files = len(bundle.manifest.files)
    return Finding(BUNDLE_GATE, passed=True, found=f"{files} files match their SHA-256"), bundle


def _quality(
    registry: Registry, candidate: Registered, champion: Registered | None, *, gates: Gates
) -> Finding:
    quality = gates.quality
    if champion is None:
        return first_finding(quality)
    try:
        ours, theirs = cases_of(registry, candidate), cases_of(registry, champion)
    except NoCasesError as error:
        return Finding(
            gate_of(quality),
            passed=False,
            verdict=Verdict.CANNOT_TELL.value,
            found=error.what,
            remedy=error.remedy,
        )
    fill = fill_command(registry, candidate, champion)
    return quality_finding(ours, theirs, quality=quality, fill=fill)
