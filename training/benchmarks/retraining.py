"""``tailorbird bench retrain``: what going on from a version costs and is worth beside training from nothing, as more events are new."""

import statistics
import time
from dataclasses import dataclass, replace

import click

from tailorbird.errors import UsageError
from tailorbird.evaluation.metrics import ndcg
from tailorbird.events.valence import RatingScale
from tailorbird.models.hybrid.model import HybridModel
from tailorbird.plumbing.terminal import emit, progress, say, table
from tailorbird.recipes.recipe import Recipe, load_recipe
from tailorbird.settings import Settings, load_settings
from training.benchmarks.planted import numbers
from training.data.dataset import Dataset, interactions_of
from training.data.training_set import training_set
from training.evaluation.measure import measure
from training.fit.plan import Plan
from training.fit.product import make_product

DAY = 86_400.0


@dataclass(frozen=True)
class Compared:
    """One amount of news: how many events, seconds of both ways and NDCG@10 of the three on the same cases.

    ``saved`` is the processor time from nothing ÷ going on: on a busy machine seconds of the clock say little.
    """

    days: float
    events: int
    cases: int
    full_seconds: float
    warm_seconds: float
    saved: float
    full: float
    warm: float
    stale: float


def until(dataset: Dataset, instant: float, *, scale: RatingScale, recipe: Recipe) -> Dataset:
    """The data set as it was at an instant (epoch seconds)."""
    events = dataset.events.where(dataset.events.times <= round(instant * 1e6))
    known = interactions_of(events, dataset.catalog, taste=recipe.taste, scale=scale)
    return replace(dataset, events=events, interactions=known)


def compare(dataset: Dataset, recipe: Recipe, *, days: float, settings: Settings, seed: int) -> Compared:
    """Train until ``days`` before the end, then go on from that, and train from nothing, over all of it.

    Both are measured by twins on the newer half of the news; profiles are fetched before the clocks run.
    """
    learned = float(dataset.events.times.max()) / 1e6 - days * DAY
    scale = RatingScale.parse(settings.rating_scale)
    before = Plan.of(
        until(dataset, learned, scale=scale, recipe=recipe), recipe, settings=settings, seed=seed
    )
    parent: HybridModel = make_product(before, recipe).model
    plan = Plan.of(dataset, recipe, settings=settings, seed=seed, learned=learned)
    test, anew = plan.protocol.test, replace(plan, learned=None)
    plan.warmed(test)
    anew.warmed(test)
    seconds, processor, found = {}, {}, {}
    for name, way in (("full", anew), ("warm", plan)):
        began, used = time.perf_counter(), time.process_time()
        product = make_product(way, recipe, parent=parent if name == "warm" else None)
        seconds[name], processor[name] = time.perf_counter() - began, time.process_time() - used
        found[name] = product.measured
    stale = measure(
        parent,
        test,
        dataset=dataset,
        profiles=plan.profiles,
        contexts=plan.contexts,
        shelf=plan.shelf,
        validation=plan.protocol.validation,
    )
    ranks = [each.cases["rank"].to_numpy() for each in (found["full"], found["warm"], stale)]
    full, warm, old = (float(ndcg(each, 10).mean()) for each in ranks)
    newer = int((dataset.interactions.times > learned).sum())
    return Compared(
        days=days,
        events=newer,
        cases=len(test.cases),
        full_seconds=seconds["full"],
        warm_seconds=seconds["warm"],
        saved=processor["full"] / processor["warm"],
        full=full,
        warm=warm,
        stale=old,
    )


@click.command("retrain")
@click.option("--workspace", help="Workspace; default TAILORBIRD_WORKSPACE or `shop`.")
@click.option(
    "--recipe", default="default", show_default=True, help="A recipe's name or the path of a TOML file."
)
@click.option("--days", default="1,2,4,8", show_default=True, help="Days of news to compare.")
@click.option("--seeds", default="0-2", show_default=True, help="Seeds of what draws: 3, or 0-2.")
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON.")
def retrain(workspace: str | None, recipe: str, days: str, seeds: str, as_json: bool) -> None:
    r"""Measure retraining on a workspace: seconds and NDCG@10 of a version that goes on, of one from nothing, of one that stays.

    Each is trained until some days before the end of the log, and again over all of it; nothing is registered.

    \b
    Examples:
        tailorbird bench retrain --recipe quick
        tailorbird bench retrain --workspace movielens-1m --days 1,7,30 --seeds 0 --json
    """
    try:
        wanted = [float(each) for each in days.split(",")]
    except ValueError as error:
        raise UsageError(f"--days {days!r} are no numbers", remedy="write them as 1,2,4") from error
    settings, chosen = load_settings(workspace=workspace), load_recipe(recipe)
    dataset = training_set(settings)
    found: list[Compared] = []
    with progress("retraining", total=len(wanted) * len(numbers(seeds))) as bar:
        for each in wanted:
            for seed in numbers(seeds):
                one = compare(dataset, chosen, days=each, settings=settings, seed=seed)
                found.append(one)
                say(
                    f"{one.events:,} events of {each:g} days, seed {seed}: {one.full_seconds:.1f} s from nothing, "
                    f"{one.warm_seconds:.1f} s going on (processor: {one.saved:.2f} times less); NDCG@10 {one.full:.4f}, {one.warm:.4f}, {one.stale:.4f} without"
                )
                bar.advance()
    rows = [_row([one for one in found if one.days == each]) for each in wanted]
    table(rows)
    emit({"events": len(dataset.interactions), "days": rows if as_json else len(rows)}, as_json=as_json)


def _row(ones: list[Compared]) -> dict[str, object]:
    """Medians over seeds."""

    def median(values: list[float]) -> float:
        return round(float(statistics.median(values)), 4)

    return {
        "days": f"{ones[0].days:g}",
        "newer events": ones[0].events,
        "cases": ones[0].cases,
        "seconds from nothing": median([one.full_seconds for one in ones]),
        "going on": median([one.warm_seconds for one in ones]),
        "processor full / warm": median([one.saved for one in ones]),
        "ndcg@10 warm / full": median([one.warm / one.full for one in ones]),
        "stale / full": median([one.stale / one.full for one in ones]),
    }
