"""One benchmark run: every row of the table (popularity, each retriever alone, the hybrid) on the same cases."""

import resource
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import numpy as np

from tailorbird.catalog.catalog import Catalog
from tailorbird.evaluation.answers import (
    Answers,
    answer_by_recommender,
    answer_by_retriever,
    answer_by_scores,
)
from tailorbird.evaluation.baselines import Habit, Popularity, tuned_recency
from tailorbird.evaluation.cases import Cases
from tailorbird.evaluation.protocols import Protocol, Split
from tailorbird.evaluation.report import Report, Yardstick, compare, evaluate_rankings
from tailorbird.events.columns import EventColumns
from tailorbird.features.demographics import Demographics, demographics_of
from tailorbird.features.history.contexts import PastContexts
from tailorbird.features.profile.replay import ReplayProfiles
from tailorbird.models.base import Retriever
from tailorbird.models.hybrid.fit import FittedHybrid, Progress, fit_hybrid
from tailorbird.models.hybrid.model import HybridModel
from tailorbird.models.hybrid.stages import recommender_of
from tailorbird.plumbing.terminal import Step, progress, say
from tailorbird.recipes.recipe import Recipe
from tailorbird.segments.past import with_groups
from tailorbird.segments.pinned import PinnedSegments
from tailorbird.slate.recommender import Recommender
from training.benchmarks.published.data import BenchmarkData, cold_items
from training.evaluation.measure import user_segments

HYBRID = "hybrid"
PLAIN = "hybrid without variety"
ALONE = "only "
"""Rows of one retriever alone are named ``only`` and its name."""


@dataclass
class Bench:
    """The rows measured so far, in the order of the table, with what each cost."""

    data: BenchmarkData
    split: Split
    cases: Cases
    yardstick: Yardstick
    reports: dict[str, Report] = field(default_factory=dict)
    answers: dict[str, Answers] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)

    def row(self, name: str, answer: Callable[[Callable[[int], object]], Answers]) -> None:
        """Compute one row with its progress bar."""
        started = time.perf_counter()
        with progress(f"rank: {name}", total=self.cases.question_count) as bar:
            answers = answer(bar.advance)
        self.seconds[f"rank {name}"] = time.perf_counter() - started
        self.add(name, answers)

    def add(self, name: str, answers: Answers) -> None:
        """Take the answers of one row and compute its figures."""
        self.answers[name] = answers
        self.reports[name] = evaluate_rankings(
            answers.rankings, self.cases, yardstick=self.yardstick, ranks=answers.ranks
        )

    @contextmanager
    def timed(self, step: str) -> Iterator[None]:
        """Record how long a step takes."""
        started = time.perf_counter()
        yield
        self.seconds[step] = time.perf_counter() - started

    def lead(self, *, metric: str = "ndcg@10", seed: int = 0) -> dict[str, dict[str, float]]:
        """How much better the hybrid is than each other row on the same cases, with intervals over users."""
        if HYBRID not in self.reports:
            return {}
        return {
            name: compare(self.reports[HYBRID], report, metric=metric, seed=seed).to_dict()
            for name, report in self.reports.items()
            if name != HYBRID
        }


def open_bench(
    data: BenchmarkData,
    protocol: Protocol,
    *,
    part: str = "test",
    most_cases: int | None = None,
    seed: int = 0,
) -> Bench:
    """Choose the split and at most ``most_cases`` of its cases, drawn by ``seed``, and the yardstick for them."""
    split = protocol.validation if part == "validation" else protocol.test
    cases = split.cases
    if most_cases is not None and most_cases < len(cases):
        mask = np.zeros(len(cases), bool)
        mask[np.random.default_rng(seed).choice(len(cases), most_cases, replace=False)] = True
        cases = cases.take(mask)
    yardstick = Yardstick.of(
        split.popularity,
        data.catalog,
        user_count=len(np.unique(split.fit.users)),
        segments=user_segments(data.users, list(cases.user_ids)),
        seed=seed,
    )
    return Bench(data, split, cases, yardstick)


def measure_baselines(bench: Bench, protocol: Protocol) -> None:
    """Add the rows of popularity ever, lately (the half-life is the best on validation) and of own habits."""
    fit = bench.split.fit
    # Sessions follow one another in their file: there the clock says which are the latest.
    ordered_only = bench.data.ordered_only and protocol.name != "sessions"
    ever = Popularity.ever(fit)
    bench.row("popularity", lambda advance: ever.answer(bench.cases, advance=advance))
    with bench.timed("tune recent popularity"):
        half_life = tuned_recency(protocol.validation, ordered_only=ordered_only)
    say(
        f"recent popularity: half-life {half_life:g} {'events' if ordered_only else 'days'}, chosen on validation"
    )
    recent = Popularity.recent(fit, half_life=half_life, ordered_only=ordered_only)
    bench.row("recent popularity", lambda advance: recent.answer(bench.cases, advance=advance))
    if not bench.cases.exclude_seen:
        habit = Habit(ever.counts)
        bench.row("own habit", lambda advance: answer_by_scores(habit, bench.cases, advance=advance))


def fit_model(
    bench: Bench,
    recipe: Recipe,
    *,
    catalog: Catalog | None = None,
    pinned: PinnedSegments | None = None,
    seed: int,
) -> FittedHybrid:
    """Fit the hybrid on the training part alone; nothing of the cases is in reach.

    ``catalog`` holds the first items of the data's, where the model is not to know the others. ``pinned`` segments must have
    been found in that part too.
    """
    events = bench.data.fit_events(bench.split)
    known = bench.data.catalog if catalog is None else catalog
    profiles, interactions = ReplayProfiles.of_frame(events, known), bench.split.fit
    if pinned is not None:
        people = demographics_of(bench.data.users)
        interactions = with_groups(interactions, pinned.model, profiles=profiles, people=people)
    with bench.timed("fit"), progress(f"fit: {recipe.name}") as bar:
        return fit_hybrid(
            replace(interactions, item_count=len(known)),
            known,
            bench.data.users,
            profiles,
            EventColumns.of_frame(events),
            recipe,
            contexts=PastContexts.of(events),
            pinned=pinned,
            seed=seed,
            on_progress=lambda news: _show(bar, news),
        )


def measure_model(bench: Bench, fitted: FittedHybrid, *, cold: bool = False) -> None:
    """Add the rows of each retriever alone, among cold items alone too where ``cold``, and of the hybrid."""
    for name, retriever in fitted.model.retrievers.items():
        bench.row(f"{ALONE}{name}", answered_alone(retriever, bench.cases, offered=None))
        if cold:
            offered = cold_items(bench.data.catalog)
            bench.row(f"{ALONE}{name}, cold items", answered_alone(retriever, bench.cases, offered=offered))
    events = bench.data.known_events(bench.split)
    profiles, contexts = ReplayProfiles.of_frame(events, bench.data.catalog), PastContexts.of(events)
    people = demographics_of(bench.data.users)
    for row, recommender in _served(fitted.model).items():
        bench.row(
            row, answered(recommender, bench.cases, profiles=profiles, people=people, contexts=contexts)
        )


def _served(model: HybridModel) -> dict[str, Recommender]:
    """The hybrid as it is served and, where its recipe asks for variety, without: what that costs."""
    served = recommender_of(model)
    rows = {HYBRID: served}
    if served.policy.max_category_share < 1.0:
        rows[PLAIN] = replace(served, policy=replace(served.policy, max_category_share=1.0))
    return rows


def answered(
    recommender: Recommender,
    cases: Cases,
    *,
    profiles: ReplayProfiles,
    people: Mapping[str, Demographics],
    contexts: PastContexts,
) -> Callable[[Callable[[int], object]], Answers]:
    """How a recommender answers every question."""
    return lambda advance: answer_by_recommender(
        recommender, cases, profiles=profiles, people=people, contexts=contexts, advance=advance
    )


def peak_memory_mb() -> float:
    """Return the largest resident memory this process ever had."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10


def answered_alone(
    retriever: Retriever, cases: Cases, *, offered: np.ndarray | None
) -> Callable[[Callable[[int], object]], Answers]:
    """How a retriever alone answers them."""
    return lambda advance: answer_by_retriever(retriever, cases, offered=offered, advance=advance)


def _show(bar: Step, news: Progress) -> None:
    place = [f"{news.step}/{news.total}"] if news.total else []
    figures = [f"{name} {value:.3f}" for name, value in list(news.figures.items())[-1:]]
    bar.update(description=f"fit: {news.stage}", figures="  ".join(place + figures))
