"""``tailorbird bench exploration``: what leaving places to chance costs, and how much sooner good new items get what they deserve."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import click
import numpy as np
import torch

from tailorbird.errors import UsageError
from tailorbird.plumbing.terminal import emit, progress, say, table
from tailorbird.recipes.recipe import load_recipe
from tailorbird.slate.exploration import NO_EXPLORATION, Exploration
from training.benchmarks.loop.closed_shop import DAY, ClosedShop
from training.benchmarks.loop.closing import DayFigures, Loop, Way, lived
from training.benchmarks.loop.loop import CHANGES, EXPLORATION, Compared
from training.benchmarks.planted import numbers

GOOD = 1.5
"""An item is good that the oracle shows so many times as often as an item gets on average."""
REACHED = 0.5
"""The part of the oracle's share at which an item has reached its own."""
FEWEST_DAYS = 3
"""Days that a new item is followed at least."""
NONE = "none"
EXPLORATIONS: Mapping[str, Exploration] = {
    NONE: NO_EXPLORATION,
    "softmax .03, newcomers .01, from place 3": EXPLORATION,
    "newcomers .05": Exploration(newcomers=0.05),
    "softmax .10": Exploration(softmax=0.10),
    "uniform .05": Exploration(uniform=0.05),
}


@dataclass(frozen=True)
class Followed:
    """Clicks per slate, all chance of clicking averaged out, and the days that each good new item took; inf: it did not get there."""

    clicks_per_slate: float
    days: tuple[float, ...]


def good_newcomers(world: ClosedShop, oracle: Sequence[DayFigures]) -> dict[str, tuple[int, float]]:
    """Items launched in the days to come that the oracle often shows: the day of the launch (from 0), and the share of places it gives."""
    launched = np.floor((world.shop.truth.goods.launched_at - world.start) / DAY)
    new = np.flatnonzero((launched >= 0) & (launched <= world.days - FEWEST_DAYS))
    found = {}
    for row in new.tolist():
        item, first = str(world.catalog.item_ids[row]), int(launched[row])
        share = _share(oracle[first:], item)
        if share >= GOOD / len(world.catalog):
            found[item] = (first, share)
    return found


def days_until(days: Sequence[DayFigures], item: str, *, first: int, share: float) -> float:
    """Whole days from the launch on day ``first`` until an item has had REACHED of ``share`` of the places since then; inf: never."""
    for last in range(first, len(days)):
        if _share(days[first : last + 1], item) >= REACHED * share:
            return float(last - first + 1)
    return float("inf")


def _share(days: Sequence[DayFigures], item: str) -> float:
    """Of the places of some days, what an item was shown at."""
    shown: Counter[str] = sum((day.shown for day in days), Counter())
    return shown[item] / max(shown.total(), 1)


def measure(size: int, *, seed: int, days: int, every: int) -> dict[str, Followed]:
    """Every exploration in the same shop; all begin with the same model and learn from what they show."""
    world = ClosedShop.make(size, seed=seed, days=days)
    recipe = load_recipe("quick").override({**CHANGES, "ranker.learn_from": "both"})
    oracle = list(Loop(world, Way("oracle")).run(learning_days=0))
    good = good_newcomers(world, oracle)
    ways = [Way(name, recipe, exploration) for name, exploration in EXPLORATIONS.items()]
    found = lived(world, ways, seed=seed, learning_days=days - 1, every=every)
    return {
        name: Followed(
            sum(day.expected for day in own) / max(sum(day.slates for day in own), 1),
            tuple(days_until(own, item, first=first, share=share) for item, (first, share) in good.items()),
        )
        for name, own in found.items()
    }


@click.command()
@click.option("--seeds", default="0-2", show_default=True, help="Shops to simulate: 3, or 0-9.")
@click.option("--size", type=click.IntRange(50), default=600, show_default=True, help="People of a shop.")
@click.option("--days", type=click.IntRange(4, 40), default=12, show_default=True, help="Days to live.")
@click.option(
    "--every",
    type=click.IntRange(1),
    default=2,
    show_default=True,
    help="Days from one training to the next.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON.")
def exploration(seeds: str, size: int, days: int, every: int, as_json: bool) -> None:
    r"""Price and gain of exploration, in simulated shops whose loop is closed.

    Price: clicks per slate against the same loop that leaves nothing to chance. Gain: days until a good new item (one that an
    oracle shows half as often again as an average item) has had half of the oracle's share of the places.

    \b
    Examples:
        tailorbird bench exploration
        tailorbird bench exploration --seeds 0-9 --size 1500 --json
    """
    wanted = numbers(seeds)
    if not wanted:
        raise UsageError(f"no seeds in {seeds!r}", remedy="give one, 3, or a range, 0-9")
    torch.set_num_threads(1)  # matrices this small gain nothing from more
    shops: list[dict[str, Followed]] = []
    with progress("shops", total=len(wanted)) as bar:
        for seed in wanted:
            shops.append(measure(size, seed=seed, days=days, every=every))
            lines = (f"{name} {each.clicks_per_slate:.3f}" for name, each in shops[-1].items())
            say(f"seed {seed}: " + ", ".join(lines))
            bar.advance()
    rows = {name: _summary(name, shops) for name in EXPLORATIONS}
    table([{"exploration": name, **row} for name, row in rows.items()])
    if as_json:
        emit({"explorations": rows, "shops": len(wanted)}, as_json=True)


def _summary(name: str, shops: Sequence[Mapping[str, Followed]]) -> dict[str, object]:
    """One row of the table: clicks, their ratio to no exploration, and how soon good new items got there."""
    own, plain = ([shop[which].clicks_per_slate for shop in shops] for which in (name, NONE))
    days = np.array([each for shop in shops for each in shop[name].days])
    median = float(np.median(days)) if len(days) else float("inf")
    return {
        "clicks per slate": f"{np.mean(own):.3f}",
        "over none": "" if name == NONE else str(Compared.of(own, plain)),
        "good new items": len(days),
        "reached their share": f"{np.isfinite(days).mean():.0%}" if len(days) else "",
        "median days": f"{median:.0f}" if np.isfinite(median) else "not reached",
    }
