"""Whether learned segments help: the hybrid with and without them, and the lists that answer without a model, shop by shop."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import click
import numpy as np
from scipy import stats

from tailorbird.errors import UsageError
from tailorbird.evaluation.answers import Answers, answer_by_scores
from tailorbird.evaluation.bootstrap import Interval
from tailorbird.evaluation.cases import Cases, QuestionBatch
from tailorbird.evaluation.report import compare
from tailorbird.features.demographics import demographics_of, segments_of
from tailorbird.features.history.contexts import PastContexts
from tailorbird.features.profile.replay import ReplayProfiles
from tailorbird.ingest.sources import Tables
from tailorbird.models.hybrid.stages import recommender_of
from tailorbird.models.retrievers.popularity import Popularity
from tailorbird.plumbing.terminal import emit, say, table
from tailorbird.recipes.recipe import Recipe, load_recipe
from tailorbird.segments.finding.finding import Crowd, find, model_of
from tailorbird.segments.past import with_groups
from tailorbird.segments.pinned import Pin, PinnedSegments
from tailorbird.segments.told import told_of
from tailorbird.simulator.shop import Shop
from training.benchmarks.planted import numbers
from training.benchmarks.published.data import BenchmarkData, Question, cut
from training.benchmarks.published.run import Bench, answered, fit_model, open_bench
from training.evaluation.segments import segments_of_cases

WITHOUT, LISTS, FEATURES = "without", "popularity of segments", "and features"
EVERYBODY, TOLD, LEARNED = "list of everybody", "list by what was told", "list of the learned segment"
METRIC = "ndcg@10"


@dataclass(frozen=True)
class Ablation:
    """One shop: ``means`` of the metric by row, and how many ``segments`` were found in its training part."""

    seed: int
    segments: int
    means: Mapping[str, float]
    within: Mapping[str, Interval]
    """Differences to the row without, paired over the shop's cases: what one fit tells, the noise of fitting in it."""


@click.command()
@click.option("--seeds", default="300-304", show_default=True, help="Shops to simulate: 3, or 300-304.")
@click.option("--size", type=click.IntRange(200), default=2_000, show_default=True, help="People of a shop.")
@click.option("--recipe", default="default", show_default=True, help="Name of a recipe, or a TOML file.")
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON.")
def ablation(seeds: str, size: int, recipe: str, as_json: bool) -> None:
    r"""Measure whether learned segments help the hybrid, and the lists that answer without it.

    Each shop is simulated with planted behaviours; segments are found in its training part alone. The hybrid is fitted
    three times on the same events: without segments, with popularity of the learned segments, and with a ranker that reads
    segment, memberships and margin beside. Differences of NDCG@10 come with their t interval over the shops.

    \b
    Examples:
        tailorbird bench ablation
        tailorbird bench ablation --seeds 300-301 --size 1000 --recipe quick --json
    """
    chosen = load_recipe(recipe)
    found = [measured for seed in numbers(seeds) if (measured := measure_shop(size, chosen, seed=seed))]
    if not found:
        raise UsageError("no shop had segments that come again", remedy="simulate more people: --size")
    names = (WITHOUT, LISTS, FEATURES, EVERYBODY, TOLD, LEARNED)
    table(
        [
            {
                "seed": str(each.seed),
                "segments": str(each.segments),
                **{name: f"{each.means[name]:.4f}" for name in names},
            }
            for each in found
        ],
        title=METRIC,
    )
    pairs = ((LISTS, WITHOUT), (FEATURES, WITHOUT), (FEATURES, LISTS), (LEARNED, EVERYBODY), (LEARNED, TOLD))
    said = {
        f"{one} - {other}": over_shops([each.means[one] - each.means[other] for each in found]).to_dict()
        for one, other in pairs
    }
    shown = {
        name: f"{value['mean']:+.4f} [{value['low']:+.4f}, {value['high']:+.4f}]"
        for name, value in said.items()
    }
    emit(
        {
            "shops": len(found),
            **(said if as_json else shown),
            **({"of_each": [_plain(each) for each in found]} if as_json else {}),
        },
        as_json=as_json,
    )


def over_shops(differences: Sequence[float], *, level: float = 0.95) -> Interval:
    """The mean difference and its Student t interval; shops differ in people, items, and in what fitting draws."""
    values = np.asarray(differences, float)
    mean, count = float(values.mean()), len(values)
    if count < 2:
        return Interval(mean, np.nan, np.nan)
    half = float(stats.t.ppf((1 + level) / 2, count - 1) * values.std(ddof=1) / np.sqrt(count))
    return Interval(mean, mean - half, mean + half)


def measure_shop(size: int, recipe: Recipe, *, seed: int) -> Ablation | None:
    """Simulate one shop and fit the hybrid each way; None where no segments come again in its training part."""
    say(f"shop {seed}: {size:,} people with planted behaviours")
    bench = planted_bench(size, seed=seed)
    pinned = found_in_training(bench, seed=seed)
    if pinned is None:
        say(f"shop {seed}: no segments come again, left out")
        return None
    recipe = recipe.override({"exclude_seen": bench.cases.exclude_seen, "taste": "presence"})
    _measure_lists(bench, pinned, recipe)
    for name, given, reads in ((WITHOUT, None, False), (LISTS, pinned, False), (FEATURES, pinned, True)):
        fitted = fit_model(bench, recipe.override({"ranker.segments": reads}), pinned=given, seed=seed)
        events = bench.data.known_events(bench.split)
        bench.row(
            name,
            answered(
                recommender_of(fitted.model),
                bench.cases,
                profiles=ReplayProfiles.of_frame(events, bench.data.catalog),
                people=demographics_of(bench.data.users),
                contexts=PastContexts.of(events),
            ),
        )
    return Ablation(
        seed,
        len(pinned.model.segments),
        {name: report.mean(METRIC) for name, report in bench.reports.items()},
        {
            name: compare(bench.reports[name], bench.reports[WITHOUT], metric=METRIC, seed=seed)
            for name in (LISTS, FEATURES)
        },
    )


def planted_bench(size: int, *, seed: int) -> Bench:
    """The next click of a shop in which behaviours are planted."""
    shop = Shop.make(size, seed, behaviours=True)
    tables = Tables(events=shop.events(), items=shop.catalog, users=shop.users, ordered_only=False)
    data = BenchmarkData.of("shop", tables, asked=tables.events["type"] == "click")
    return open_bench(data, cut(data, Question("gts")), seed=seed)


def found_in_training(bench: Bench, *, seed: int) -> PinnedSegments | None:
    """The segments that are proposed for the people of the training part, as they were when it ended."""
    events, fit = bench.data.fit_events(bench.split), bench.split.fit
    keys = [str(fit.user_ids[user]) for user in np.unique(fit.users)]
    people = demographics_of(bench.data.users)
    profiles = ReplayProfiles.of_frame(events, bench.data.catalog)
    states = profiles.states_at(keys, np.full(len(keys), bench.split.until + 1.0))
    crowd = Crowd.of([state.history for state in states], np.stack([told_of(people[key]) for key in keys]))
    found = find(crowd, seed=seed)
    if found.proposed is None:
        return None
    return PinnedSegments(Pin("ablation", str(seed), ""), model_of(found, found.proposed, seed=seed))


def _measure_lists(bench: Bench, pinned: PinnedSegments, recipe: Recipe) -> None:
    """Add the rows of the lists alone: everybody's, of those who told the same, of the learned segment of the instant."""
    people = demographics_of(bench.data.users)
    fit = with_groups(
        bench.split.fit,
        pinned.model,
        profiles=ReplayProfiles.of_frame(bench.data.fit_events(bench.split), bench.data.catalog),
        people=people,
    )
    told = segments_of(bench.data.users, fit.user_ids)
    known = ReplayProfiles.of_frame(bench.data.known_events(bench.split), bench.data.catalog)
    learned = segments_of_cases(pinned, bench.cases, profiles=known, people=people)
    lists = {
        EVERYBODY: (Popularity(recipe.popularity), np.full(bench.cases.question_count, "")),
        TOLD: (Popularity(recipe.popularity, user_segments=told), told[bench.cases.users]),
        LEARNED: (Popularity(recipe.popularity, learned=pinned.model.keys), learned),
    }
    for name, (popularity, groups) in lists.items():
        popularity.fit(fit if name == LEARNED else bench.split.fit, bench.data.catalog)
        bench.row(name, partial(_answers_of_lists, popularity, groups, bench.cases))


def _answers_of_lists(
    popularity: Popularity, groups: np.ndarray, cases: Cases, advance: Callable[[int], object]
) -> Answers:
    """What the lists of ``groups`` (q,) say to every question."""

    def scores(batch: QuestionBatch) -> np.ndarray:
        rows = [popularity.segments.get(str(group), 0) for group in groups[batch.start : batch.stop]]
        return popularity.table[rows]

    return answer_by_scores(scores, cases, advance=advance)


def _plain(each: Ablation) -> dict[str, object]:
    within = {name: interval.to_dict() for name, interval in each.within.items()}
    return {"seed": each.seed, "segments": each.segments, METRIC: dict(each.means), "minus without": within}
