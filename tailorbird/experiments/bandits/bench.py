"""``tailorbird bench bandit``: what bandits lose, and when they are sure, beside a fixed split of the same sessions."""

import statistics
from collections.abc import Sequence

import click
import numpy as np

from tailorbird.experiments.bandits.simulation import BY_DEVICE, Played, Sessions, play, read
from tailorbird.experiments.design.bandit import Bandit
from tailorbird.plumbing.terminal import emit, progress
from tailorbird.simulator.shop import Shop

POLICIES: dict[str, Bandit | None] = {
    "split": None,
    "thompson": Bandit(),
    "linucb": Bandit("linucb", context=BY_DEVICE),
}
LIFTS: dict[str, Sequence[Sequence[float]]] = {
    "one best of four": [(0, 0), (0.05, 0.05), (0.1, 0.1), (-0.05, -0.05)],
    "another on each device": [(0, 0), (0.15, -0.15)],
    "all four the same": [(0, 0)] * 4,
}
"""What each variant does to sessions by device, the control first."""
ALPHA = 0.05


@click.command()
@click.option(
    "--size", default=2_000, show_default=True, type=click.IntRange(100), help="People of the shop."
)
@click.option("--periods", default=30, show_default=True, type=click.IntRange(3, 365), help="Renewals.")
@click.option(
    "--units", default=1_000, show_default=True, type=click.IntRange(100), help="Sessions a period."
)
@click.option("--trials", default=100, show_default=True, type=click.IntRange(2), help="Of each.")
@click.option("--seed", default=7, show_default=True, type=int, help="Of shop and draws.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def bandit(size: int, periods: int, units: int, trials: int, seed: int, as_json: bool) -> None:
    r"""Play bandits and a fixed split over sessions of a simulated shop: what each loses, and when its readout is sure.

    `lost_per_1000`: purchases lost beside the best variant of each device; `of_split` the median of trials. `sure`: trials whose readout, read after
    every period, calls a variant (where all are the same: calls wrongly); `units_until_sure` the median, null where most are not.

    \b
    Examples:
        tailorbird bench bandit
        tailorbird bench bandit --trials 20 --units 500 --json
    """
    sessions = Sessions.of(Shop.make(size, seed, behaviours=True))
    result: dict[str, object] = {}
    with progress("Playing", total=len(LIFTS) * len(POLICIES) * trials) as bar:
        for number, (name, lifts) in enumerate(LIFTS.items()):
            chances = sessions.chances(lifts)
            lost: dict[str, list[float]] = {}
            said: dict[str, dict[str, object]] = {}
            for policy, wanted in POLICIES.items():
                sure: list[int | None] = []
                best: list[float] = []
                for trial in range(trials):
                    rng = np.random.default_rng([seed, number, trial])
                    played = play(wanted, sessions, chances, periods=periods, units=units, rng=rng)
                    lost.setdefault(policy, []).append(float(played.lost.sum()))
                    best.append(float(played.parts[-1][:, chances.mean(axis=0).argmax()].mean()))
                    sure.append(sure_after(played, periods, variants=len(lifts)))
                    bar.advance()
                said[policy] = _summed(lost[policy], lost["split"], sure, best, periods=periods, units=units)
            result[name] = said
    emit(
        {"sessions": len(sessions.bought), "bought": round(float(sessions.bought.mean()), 3), **result},
        as_json=as_json,
    )


def sure_after(played: Played, periods: int, *, variants: int) -> int | None:
    """After how many periods a readout that is read after each calls any difference; None where none does."""
    names = [f"v{at}" for at in range(variants)]
    for until in range(1, periods + 1):
        rows = read(played, until=until, names=names, looking=True).metrics[0].rows
        if any(row.adjusted_p is not None and row.adjusted_p < ALPHA for row in rows[1:]):
            return until
    return None


def _summed(
    lost: Sequence[float],
    split: Sequence[float],
    sure: Sequence[int | None],
    best: Sequence[float],
    *,
    periods: int,
    units: int,
) -> dict[str, object]:
    waited = sorted(periods + 1 if each is None else each for each in sure)
    middle = waited[len(waited) // 2]
    ratios = [own / other for own, other in zip(lost, split, strict=True) if other > 0]
    return {
        "lost_per_1000": round(statistics.mean(lost) / (periods * units) * 1_000, 2),
        "of_split": round(statistics.median(ratios), 3) if ratios else None,
        "part_of_best_at_end": round(statistics.mean(best), 3),
        "sure": sum(each is not None for each in sure),
        "units_until_sure": middle * units if middle <= periods else None,
    }
