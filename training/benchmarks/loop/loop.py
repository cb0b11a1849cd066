"""``tailorbird bench loop``: what closing the loop is worth, clicks per slate after some days of learning from what was shown."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import click
import numpy as np
import torch
from scipy.stats import t as student

from tailorbird.errors import UsageError
from tailorbird.plumbing.terminal import emit, progress, say, table
from tailorbird.recipes.recipe import load_recipe
from tailorbird.slate.exploration import Exploration
from training.benchmarks.loop.closed_shop import ClosedShop
from training.benchmarks.loop.closing import Way, lived
from training.benchmarks.planted import numbers

MEASURED_DAYS = 2
"""Days after the learning in which clicks per slate are compared."""
LEARNS, EVENTS, NEVER, ORACLE = "exposures", "events only", "never", "oracle"
EXPLORATION = Exploration(softmax=0.03, newcomers=0.01, first_place=3)
"""Of the loop that learns from what it showed."""
CHANGES: Mapping[str, object] = {
    "sources": ["cooccurrence", "content", "popularity"],
    "ranker.cases": 3_000,
    "ranker.negatives": 40,
    "ranker.epochs": 16,
}
"""What makes the demo's recipe quick enough to train some hundred times."""


@dataclass(frozen=True)
class Compared:
    """The ratio of two ways' clicks per slate: geometric mean over shops and its 95 % interval (Student's, of logarithms)."""

    ratio: float
    low: float
    high: float

    @classmethod
    def of(cls, ours: Sequence[float], theirs: Sequence[float]) -> "Compared":
        """Of (n,) clicks per slate in the same n shops; of one shop there is no interval."""
        logs = np.log(np.asarray(ours) / np.asarray(theirs))
        mean, half = float(logs.mean()), np.inf
        if len(logs) > 1:
            half = float(student.ppf(0.975, len(logs) - 1) * logs.std(ddof=1) / np.sqrt(len(logs)))
        return cls(float(np.exp(mean)), float(np.exp(mean - half)), float(np.exp(mean + half)))

    def __str__(self) -> str:
        return f"{self.ratio:.3f} ({self.low:.3f} to {self.high:.3f})"


def ways() -> list[Way]:
    """The loops that are compared: one recipe, but for what the ranker learns from."""
    recipe = load_recipe("quick").override(CHANGES)
    return [
        Way(LEARNS, recipe.override({"ranker.learn_from": "both"}), EXPLORATION),
        Way(EVENTS, recipe),
        Way(NEVER, recipe, retrains=False),
        Way(ORACLE),
    ]


def measure_loops(size: int, *, seed: int, days: int, every: int) -> dict[str, list[float]]:
    """Clicks per slate by way and day, all chance of clicking averaged out: of the days of learning, then of those measured."""
    world = ClosedShop.make(size, seed=seed, days=days + MEASURED_DAYS)
    found = lived(world, ways(), seed=seed, learning_days=days, every=every)
    return {name: [day.expected / max(day.slates, 1) for day in own] for name, own in found.items()}


@click.command()
@click.option("--seeds", default="0-9", show_default=True, help="Shops to simulate: 3, or 0-9.")
@click.option("--size", type=click.IntRange(50), default=1_000, show_default=True, help="People of a shop.")
@click.option("--days", type=click.IntRange(1, 40), default=10, show_default=True, help="Days of learning.")
@click.option(
    "--every",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="Days from one training to the next.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON.")
def loop(seeds: str, size: int, days: int, every: int, as_json: bool) -> None:
    r"""Close the loop in simulated shops: people answer slates, and a model learns of it, or does not.

    Compares a loop that learns from what it showed, with exploration, with one that learns from events only, one that never trains
    again, and an oracle that knows what everybody wants. The figure is clicks per slate in two days after the learning.

    \b
    Examples:
        tailorbird bench loop --days 10 --seeds 0-9
        tailorbird bench loop --days 4 --seeds 0-1 --size 300 --every 2 --json
    """
    wanted = numbers(seeds)
    if not wanted:
        raise UsageError(f"no seeds in {seeds!r}", remedy="give one, 3, or a range, 0-9")
    torch.set_num_threads(1)  # matrices this small gain nothing from more
    daily: list[dict[str, list[float]]] = []
    with progress("shops", total=len(wanted)) as bar:
        for seed in wanted:
            daily.append(measure_loops(size, seed=seed, days=days, every=every))
            last = {name: float(np.mean(each[-MEASURED_DAYS:])) for name, each in daily[-1].items()}
            say(f"seed {seed}: " + ", ".join(f"{name} {value:.3f}" for name, value in last.items()))
            bar.advance()
    after = {name: [float(np.mean(each[name][-MEASURED_DAYS:])) for each in daily] for name in daily[0]}
    during = {name: [float(np.mean(each[name][:-MEASURED_DAYS])) for each in daily] for name in daily[0]}
    table(
        [
            {
                "loop": name,
                "clicks per slate": f"{np.mean(after[name]):.3f}",
                "while learning": f"{np.mean(during[name]):.3f}",
                "over events only": str(Compared.of(after[name], after[EVENTS])) if name != EVENTS else "",
                "of the oracle": f"{np.mean(after[name]) / np.mean(after[ORACLE]):.1%}",
            }
            for name in after
        ]
    )
    won = Compared.of(after[LEARNS], after[EVENTS])
    result: dict[str, object] = {"ratio": won.ratio, "low": won.low, "high": won.high, "shops": len(wanted)}
    if as_json:
        result |= {"clicksPerSlate": after, "whileLearning": during, "daily": daily}
    emit(result, as_json=as_json)
