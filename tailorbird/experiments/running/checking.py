"""What is looked at before an experiment starts: what would refuse it, and what is worth knowing."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Literal

from tailorbird.errors import TailorbirdError, UsageError
from tailorbird.experiments.arm import CHAMPION
from tailorbird.experiments.design.experiment import Experiment, Variant
from tailorbird.experiments.measuring.declared import chosen, read_metrics
from tailorbird.experiments.running.buckets import Range
from tailorbird.experiments.running.entries import Entry
from tailorbird.experiments.running.slots import resized
from tailorbird.features.consent.consents import ANALYTICS
from tailorbird.privacy.policy.policy import Policy

MOST_RUNNING = 100
MOST_JOINED_ARMS = 64
"""Arms that variants of different layers may make together: each is a group of its own in every batch and every metric."""
Level = Literal["refused", "warning", "fine"]


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at: what it is about, and what was found, in words."""

    level: Level
    about: str
    words: str
    remedy: str = ""


@dataclass(frozen=True)
class Known:
    """What the rest of the platform knows: None where it could not be asked."""

    versions: Callable[[Collection[str]], Collection[str]]
    """Of some versions those that are there."""
    aliases: Callable[[], Mapping[str, str]]
    """The version that each points at."""
    segments: Callable[[], Collection[str]]
    """Keys of the learned segments and of the written rules."""


def structural(
    experiment: Experiment, running: Sequence[Entry], *, held: Sequence[Range] = ()
) -> list[Finding]:
    """What the ledger alone says against it; looked at again when it starts.

    ``held``: the buckets of its layer that others hold, also what runs and cannot be read.
    """
    others = [each for each in running if each.key != experiment.key]
    found: list[Finding] = []
    if len(others) >= MOST_RUNNING:
        found.append(
            Finding(
                "refused", "ledger", f"{len(others)} experiments run, {MOST_RUNNING} may", "stop one first"
            )
        )
    for entry in others:
        if entry.experiment.layer == experiment.layer and entry.experiment.unit != experiment.unit:
            found.append(
                Finding(
                    "refused",
                    "layer",
                    f"layer {experiment.layer!r} assigns by {entry.experiment.unit} (experiment {entry.key!r}), not by "
                    f"{experiment.unit}: they would not exclude each other",
                    "choose the same unit or another layer",
                )
            )
            break
    for entry, both in overlaps(experiment, others):
        found.append(
            Finding(
                "refused",
                "overlap",
                f"experiment {entry.key!r} of layer {entry.experiment.layer!r} changes {', '.join(sorted(both))}, too",
                f"put both into one layer: layer = {entry.experiment.layer!r}, or wait until it is stopped",
            )
        )
    if experiment.kind == "interleaving":
        for entry in others:
            if entry.experiment.kind == "interleaving" and entry.experiment.layer != experiment.layer:
                found.append(
                    Finding(
                        "refused",
                        "interleaving",
                        f"experiment {entry.key!r} of layer {entry.experiment.layer!r} interleaves, too: a slate is of two rankings",
                        f"put both into one layer: layer = {entry.experiment.layer!r}",
                    )
                )
    joined = _joined_arms([*(each.experiment for each in others), experiment])
    if joined > MOST_JOINED_ARMS:
        found.append(
            Finding(
                "refused",
                "arms",
                f"variants of different layers would make {joined} arms together, {MOST_JOINED_ARMS} may be",
                "put experiments that change answers into one layer",
            )
        )
    try:
        own = [
            each for entry in others if entry.experiment.layer == experiment.layer for each in entry.buckets
        ]
        held = [*held, *own]
        resized((), experiment.share, others=held, layer=experiment.layer)
        if experiment.ramp:
            resized((), experiment.ramp[-1].share, others=held, layer=experiment.layer)
    except UsageError as error:
        found.append(Finding("refused", "layer", error.what, error.remedy))
    return found


def overlaps(experiment: Experiment, running: Sequence[Entry]) -> list[tuple[Entry, frozenset[str]]]:
    """Running experiments of other layers that change the same as ``experiment``, and what that is."""
    found = []
    for entry in running:
        other = entry.experiment
        both = _touched(experiment) & _touched(other)
        if "shadow" in (experiment.kind, other.kind):  # it changes nothing that anybody sees
            continue
        if other.key != experiment.key and other.layer != experiment.layer and both:
            found.append((entry, both))
    return found


def of_platform(experiment: Experiment, known: Known) -> list[Finding]:
    """What registry and segments say: versions that are not there, aliases that may move, an audience of nobody."""
    found = []
    versions = {each.version for each in experiment.variants if each.version}
    aliases = {each.alias for each in experiment.variants if each.alias}
    for version in sorted(versions - set(known.versions(versions))) if versions else ():
        found.append(
            Finding(
                "refused",
                "version",
                f"version {version} is not in the registry, or was deleted",
                "`GET /v1/models` of admin lists the versions",
            )
        )
    there = known.aliases() if aliases or versions else {}
    for alias in sorted(aliases):
        if alias not in there:
            found.append(
                Finding(
                    "refused",
                    "version",
                    f"no version has the alias {alias}",
                    "name a version, or promote one to it",
                )
            )
        else:
            found.append(
                Finding(
                    "warning",
                    "version",
                    f"the alias {alias} may move while the experiment runs, and the variant with it",
                    "name the version instead",
                )
            )
    answering = {each.name: _answering(each, there) for each in experiment.variants}
    for each in experiment.treatments:
        version = answering[each.name][0] if each.version or each.alias else ""
        if version and answering[each.name] == answering[experiment.control]:
            champion = ", the champion already" if version == there.get(CHAMPION) else ""
            found.append(
                Finding(
                    "warning",
                    "version",
                    f"variant {each.name!r} answers by version {version}{champion}, as {experiment.control!r} does: nothing would differ",
                    "name another version, or what else the variant changes",
                )
            )
    asked = experiment.audience.segments
    missing = [key for key in asked if key not in known.segments()] if asked else []
    if missing:
        everybody = len(missing) == len(asked)
        found.append(
            Finding(
                "refused" if everybody else "warning",
                "audience",
                f"nobody is in a segment {', '.join(repr(key) for key in missing)}",
                "admin's /v1/segments lists segments and rules",
            )
        )
    return found


def _answering(variant: Variant, there: Mapping[str, str]) -> tuple[str, object]:
    """By what a variant answers as the aliases point now: the version, and what it changes beside it."""
    version = variant.version or there.get(variant.alias or CHAMPION, "")
    return version, (variant.slate, variant.wishes, dict(variant.payload))


def of_metrics(experiment: Experiment, folder: Path) -> list[Finding]:
    """What the workspace's metrics say: one that is declared nowhere, or a declaration that cannot be read."""
    try:
        chosen(read_metrics(folder), list(experiment.metrics.names))
    except TailorbirdError as error:
        return [Finding("refused", "metrics", error.what, error.remedy)]
    return []


def of_consent(policy: Policy) -> list[Finding]:
    """Whether what people do may be counted where they said nothing."""
    if ANALYTICS in policy.covers.purposes:
        return []
    return [
        Finding(
            "warning",
            "consent",
            f"no legal basis covers {ANALYTICS}: what people do and are shown counts only where they said yes to it",
            f"declare [basis] with {ANALYTICS} in privacy.toml, or ask people for their consent (docs/privacy.md)",
        )
    ]


def refusal(findings: Sequence[Finding]) -> UsageError | None:
    """The first thing that refuses, as an error."""
    for each in findings:
        if each.level == "refused":
            return UsageError(f"{each.about}: {each.words}", remedy=each.remedy)
    return None


def _joined_arms(experiments: Sequence[Experiment]) -> int:
    """How many arms there may be: of each layer one of its variants that change answers, or none."""
    layers: dict[str, int] = {}
    for experiment in experiments:
        if experiment.kind == "shadow":
            continue
        changing = sum(each.changes_answers for each in experiment.variants)
        layers[experiment.layer] = layers.get(experiment.layer, 0) + changing
    return prod(count + 1 for count in layers.values())


def _touched(experiment: Experiment) -> frozenset[str]:
    """What is another in its answers: an interleaving also ends what the arms explore."""
    exploring = {"slate.exploration"} if experiment.kind == "interleaving" else set[str]()
    return experiment.changes | exploring
