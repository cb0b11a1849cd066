"""What must hold of a declaration as a whole, beyond its single values: ramps that grow, variants that fit the kind."""

from tailorbird.errors import UsageError
from tailorbird.experiments.design.bandit import require_renewable
from tailorbird.experiments.design.experiment import HELD, Experiment, Step


def require_growing(steps: tuple[Step, ...], *, begins: float) -> None:
    """A ramp only goes up. Raises UsageError."""
    before = Step(-1.0, begins)
    for step in steps:
        if step.hours <= before.hours or step.share < before.share:
            raise UsageError(
                f"ramp: {step.share:g} after {step.hours:g} hours follows {before.share:g} after {max(before.hours, 0):g}",
                remedy="a ramp goes up: later steps have more hours and no smaller share",
            )
        before = step


def require_kind(experiment: Experiment) -> None:
    """Each kind of experiment has variants of its own sort. Raises UsageError."""
    _require_bandit(experiment)
    names = {each.name for each in experiment.variants}
    changing = [each.name for each in experiment.variants if each.changes]
    if experiment.kind == "holdout":
        if HELD not in names or changing or len(names) != 2 or experiment.control == HELD:
            raise UsageError(
                f"a holdout has two variants that change nothing, control and {HELD!r}: here are {', '.join(names)}",
                remedy=f"write [variants.open] and [variants.{HELD}] with weights alone",
            )
        return
    if HELD in names:
        raise UsageError(
            f"a variant is called {HELD!r}", remedy='that name is for kind = "holdout"; choose another'
        )
    if not changing:
        raise UsageError(
            "no variant changes anything",
            remedy="give one an alias, a version, a slate, a scenario or a payload",
        )
    if experiment.kind in ("canary", "shadow", "interleaving") and len(experiment.variants) != 2:
        raise UsageError(
            f"a {experiment.kind} compares two variants: here are {', '.join(names)}",
            remedy="keep control and one more",
        )
    if experiment.kind in ("shadow", "interleaving"):
        _require_rankings(experiment)
    if experiment.kind == "interleaving":
        _require_one_figure(experiment)
    if experiment.kind == "shadow" and experiment.variant(experiment.control).changes:
        raise UsageError(
            f"the control of a shadow changes {', '.join(sorted(experiment.variant(experiment.control).changes))}",
            remedy="leave it empty: a shadow is compared with the champion",
        )


def _require_rankings(experiment: Experiment) -> None:
    """What shares a slate, or is asked what was asked, differs in the order of the same items."""
    beyond = sorted(part for part in experiment.changes if not _is_of_ranking(part))
    if beyond:
        raise UsageError(
            f"the variants of a test by {experiment.kind} change {', '.join(beyond)}: only rankings are compared",
            remedy='change a version, an alias, or the slate\'s depth, variety and rules; compare the rest by kind = "ab"',
        )


def _require_one_figure(experiment: Experiment) -> None:
    """Every unit of an interleaving sees both variants: only picks can be told apart."""
    if len({each.weight for each in experiment.variants}) > 1:
        raise UsageError(
            "the variants of an interleaving have weights",
            remedy="leave them out: every unit sees both, and each picks as often",
        )
    beside = [*(each.metric for each in experiment.metrics.guardrails), *experiment.metrics.others]
    if beside:
        raise UsageError(
            f"an interleaving is decided by one metric, and {', '.join(beside)} cannot be told apart: every unit sees both variants",
            remedy='leave guardrails and others out; watch them by kind = "ab" before the winner is promoted',
        )


def _is_of_ranking(part: str) -> bool:
    return part == "model" or (part.startswith("slate.") and part != "slate.exploration")


def _require_bandit(experiment: Experiment) -> None:
    """A bandit says how it is renewed, and it alone draws each request anew. Raises UsageError."""
    if (experiment.kind == "bandit") != (experiment.bandit is not None):
        raise UsageError(
            f"kind = {experiment.kind!r} {'with' if experiment.bandit else 'without'} a table [bandit]",
            remedy='the table belongs to kind = "bandit", and says how its allocation is renewed',
        )
    if experiment.bandit is not None:
        weights = {each.name: each.weight for each in experiment.variants}
        require_renewable(experiment.bandit, unit=experiment.unit, weights=weights)
    elif experiment.unit == "request":
        raise UsageError(
            f"unit = 'request' of kind = {experiment.kind!r}",
            remedy="a bandit alone draws each request anew; units of others are person, anonymous or session",
        )
