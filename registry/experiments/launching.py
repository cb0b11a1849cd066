"""Launching experiments with what the registry knows: which versions and aliases are there."""

from collections.abc import Callable, Collection, Sequence

from registry.following.pointers import open_pointers
from tailorbird.errors import TailorbirdError
from tailorbird.experiments.design.experiment import Experiment
from tailorbird.experiments.running.checking import Finding, Known
from tailorbird.experiments.running.launching import Launcher
from tailorbird.segments.rules.rules import RULES_FILE, read_rules
from tailorbird.settings import Settings


def launcher_of(
    settings: Settings,
    *,
    segments: Callable[[], Collection[str]] | None = None,
    announce: Callable[[], object] = lambda: None,
) -> Launcher:
    """The experiments of a workspace; ``segments`` gives the keys that people can be in where somebody follows them already."""
    pointers = open_pointers(settings, name=settings.model_name)
    known = Known(
        versions=lambda asked: {each for each in asked if pointers.source(each)},
        aliases=pointers.aliases,
        segments=segments or (lambda: segment_keys(settings)),
    )

    def past(experiment: Experiment) -> Sequence[Finding]:
        from tailorbird.experiments.running.past import past_of  # statistics: `list` need not wait for them

        return past_of(settings)(experiment)

    return Launcher(settings, known=known, past=past, announce=announce)


def segment_keys(settings: Settings) -> list[str]:
    """The keys of the written rules and of the promoted segment model, where there is one that opens."""
    from registry.following.follower import Follower
    from tailorbird.bundle import open_bundle
    from tailorbird.segments.model import SegmentModel

    keys = list(read_rules(settings.folder / RULES_FILE).keys)
    follower = Follower(settings, name=settings.segments_name)
    try:
        version = follower.look(["champion"])["champion"]
        if version is None:
            return keys
        model = open_bundle(follower.fetch("champion", version).folder).model
    except TailorbirdError:
        return keys
    return [*keys, *model.keys] if isinstance(model, SegmentModel) else keys
