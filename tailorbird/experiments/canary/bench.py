"""``tailorbird bench canary``: how often canaries that are worse go back, how soon, and how often those that are no worse do."""

import statistics
from dataclasses import dataclass

import click
import numpy as np

from tailorbird.experiments.canary.counting import estimates_of
from tailorbird.experiments.canary.judging import harms
from tailorbird.experiments.design.experiment import Tolerance
from tailorbird.experiments.statistics.frequentist import Estimate
from tailorbird.plumbing.terminal import emit, progress

CANARY_UNITS = 2_000
"""Within how many canary units it must have gone back."""
LOOK_UNITS = 50
"""Canary units between two looks."""


@dataclass(frozen=True)
class Behaviour:
    """How units behave: failed answers, clicks per slate of a unit (Beta around it), slates of a unit, time of an answer."""

    errors: float = 0.01
    clicks: float = 0.2
    slates: float = 3.0
    latency_ms: float = 10.0
    spread: float = 4.0
    """Of the Beta: the smaller, the more units differ."""


USUAL = Behaviour()
KINDS = {
    "equal": USUAL,
    "errors": Behaviour(errors=USUAL.errors + 0.02),
    "clicks": Behaviour(clicks=USUAL.clicks * 0.75),
    "latency": Behaviour(latency_ms=USUAL.latency_ms * 1.5),
}


class Drawn:
    """The units of a simulated canary that came so far."""

    def __init__(self, codes: np.ndarray, sums: np.ndarray) -> None:
        self._codes, self._sums = codes, sums

    def estimates(self, measure: str) -> tuple[Estimate, Estimate] | None:
        """Both means."""
        return estimates_of(self._codes, self._sums, measure)


@click.command()
@click.option(
    "--equal",
    "equals",
    type=click.IntRange(10),
    default=1_000,
    show_default=True,
    help="Canaries that are no worse.",
)
@click.option(
    "--worse",
    "worses",
    type=click.IntRange(10),
    default=100,
    show_default=True,
    help="Canaries of each worse kind.",
)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of the draws.")
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON.")
def canary(equals: int, worses: int, seed: int, as_json: bool) -> None:
    r"""Simulate canaries and judge each every 50 canary units, up to 2,000: 1 % of answers fail and 20 % of slates are clicked in control.

    Worse ones fail 2 points more often, are clicked 25 % less, or answer half as slowly again.

    \b
    Examples:
        tailorbird bench canary
        tailorbird bench canary --equal 200 --worse 40 --json
    """
    result: dict[str, object] = {}
    with progress("Judging", total=equals + worses * (len(KINDS) - 1)) as bar:
        for kind, behaviour in KINDS.items():
            trials = equals if kind == "equal" else worses
            gone = []
            for n in range(trials):
                gone.append(goes_back_after(behaviour, np.random.default_rng([seed, len(result), n])))
                bar.advance()
            backed = sorted(each for each in gone if each is not None)
            result[kind] = {
                "canaries": trials,
                "rolled_back": len(backed),
                "median_units": statistics.median(backed) if backed else None,
                "p95_units": backed[int(0.95 * (len(backed) - 1))] if backed else None,
            }
    emit({"units": CANARY_UNITS, "look_units": LOOK_UNITS, **result}, as_json=as_json)


def goes_back_after(behaviour: Behaviour, rng: np.random.Generator) -> int | None:
    """After how many canary units a canary went back; None where it did not."""
    codes = np.tile(np.array([0, 1]), CANARY_UNITS)
    sums = np.zeros((2 * CANARY_UNITS, 6))
    for code, each in ((0, USUAL), (1, behaviour)):
        sums[codes == code] = _sums(each, CANARY_UNITS, rng)
    for units in range(LOOK_UNITS, CANARY_UNITS + 1, LOOK_UNITS):
        if harms(Drawn(codes[: 2 * units], sums[: 2 * units]), Tolerance()):
            return units
    return None


def _sums(behaviour: Behaviour, count: int, rng: np.random.Generator) -> np.ndarray:
    """(count, 6) answers, failures, milliseconds, timed answers, slates, clicks of units."""
    slates = rng.geometric(1 / behaviour.slates, count)
    rate = rng.beta(behaviour.clicks * behaviour.spread, (1 - behaviour.clicks) * behaviour.spread, count)
    shape = 4.0
    took = rng.gamma(shape * slates, behaviour.latency_ms / shape)
    failed, clicked = rng.binomial(slates, behaviour.errors), rng.binomial(slates, rate)
    return np.column_stack([slates, failed, took, slates, slates, clicked]).astype(float)
