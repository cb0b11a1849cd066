"""Measuring a fitted model on cases it was not fitted on: its report, what stands beside it, and each case by name."""

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from tailorbird.catalog.catalog import Users
from tailorbird.evaluation.answers import answer_by_recommender, answer_by_retriever
from tailorbird.evaluation.baselines import Popularity, tuned_recency
from tailorbird.evaluation.cases import Cases
from tailorbird.evaluation.metrics import ndcg
from tailorbird.evaluation.protocols import Protocol, Split
from tailorbird.evaluation.report import Report, Yardstick, evaluate_rankings, source_frame
from tailorbird.events.schema import id_of
from tailorbird.features.demographics import demographics_of
from tailorbird.features.history.contexts import PastContexts
from tailorbird.features.profile.source import ProfileSource
from tailorbird.models.hybrid.model import HybridModel
from tailorbird.models.hybrid.stages import recommender_of
from tailorbird.slate.shelf import Shelf
from training.data.dataset import Dataset, case_names
from training.evaluation.segments import LEARNED, segments_of_cases

MOST_CASES = 4000
"""Cases a model is measured on, at most: enough for an interval of about a hundredth."""
RECALL_DEPTH = 200
DRAWS_BESIDE = 200  # bootstrap draws of what stands beside the model, for orientation
RECENCY_CASES = 1500  # enough to choose one of five half-lives
AGE_BANDS = (18, 25, 35, 45, 55, 65)
RARE_COUNTRY = 0.02  # countries with a smaller share of the cases are one segment together


@dataclass(frozen=True)
class Measured:
    """A model's figures: ``reports`` by name, the model first; ``sources`` as source_frame; ``cases`` one row a case.

    ``cases`` has the columns ``case, user_id, target, rank``: two models measured at different times are compared on the cases
    that both have.
    """

    reports: Mapping[str, Report]
    sources: pd.DataFrame
    cases: pd.DataFrame

    @property
    def report(self) -> Report:
        """The model's own report."""
        return next(iter(self.reports.values()))

    def headline(self) -> dict[str, float]:
        """Few figures that say how good the model is."""
        return {
            **{
                name: interval.mean
                for name, interval in self.report.overall.metrics.items()
                if name.endswith("@10")
            },
            "recall@100": self.report.mean("recall@100"),
            "cases": len(self.cases),
        }


def measure(
    model: HybridModel,
    split: Split,
    *,
    dataset: Dataset,
    profiles: ProfileSource,
    contexts: PastContexts,
    shelf: Shelf,
    validation: Split | None = None,
    advance: Callable[[int], object] = lambda questions: None,
) -> Measured:
    """Ask every case of ``split`` as serving would answer with ``model``, and beside it popularity and each source alone."""
    cases = split.cases
    segments = {
        name: labels[cases.question]
        for name, labels in user_segments(dataset.users, cases.known.user_ids[cases.users]).items()
    }
    people = demographics_of(dataset.users)
    if model.pinned is not None:
        learned = segments_of_cases(model.pinned, cases, profiles=profiles, people=people)
        segments[LEARNED] = learned[cases.question]
    learned_from = len(np.unique(split.fit.users))
    yardstick = Yardstick.of(split.popularity, dataset.catalog, user_count=learned_from, segments=segments)
    answers = answer_by_recommender(
        recommender_of(model, shelf=shelf),
        cases,
        profiles=profiles,
        people=people,
        contexts=contexts,
        advance=advance,
    )
    ours = evaluate_rankings(answers.rankings, cases, yardstick=yardstick, ranks=answers.ranks)
    reports = {"model": ours}
    beside = replace(yardstick, segments={}, draws=DRAWS_BESIDE)
    sources: dict[str, np.ndarray] = {}
    for name, retriever in model.retrievers.items():
        alone = answer_by_retriever(retriever, cases, k=RECALL_DEPTH)
        sources[name] = alone.rankings
        reports[name] = evaluate_rankings(alone.rankings[:, :100], cases, yardstick=beside, ranks=alone.ranks)
    half_life = tuned_recency(validation, most=RECENCY_CASES) if validation else 7.0
    for name, list_for_all in (
        ("all-time popularity", Popularity.ever(split.fit)),
        (f"recent popularity ({half_life:g} d)", Popularity.recent(split.fit, half_life=half_life)),
    ):
        plain = list_for_all.answer(cases)
        reports[name] = evaluate_rankings(plain.rankings, cases, yardstick=beside, ranks=plain.ranks)
    return Measured(reports, source_frame(sources, cases), case_table(cases, ours.ranks, dataset=dataset))


def value_of(
    model: HybridModel,
    cases: Cases,
    *,
    users: Users,
    profiles: ProfileSource,
    contexts: PastContexts,
    shelf: Shelf,
) -> float:
    """NDCG@10 of what ``model`` would serve on ``cases``: what a study maximises."""
    answers = answer_by_recommender(
        recommender_of(model, shelf=shelf),
        cases,
        profiles=profiles,
        people=demographics_of(users),
        contexts=contexts,
        k=10,
    )
    return float(ndcg(answers.ranks, 10).mean())


def case_table(cases: Cases, ranks: np.ndarray, *, dataset: Dataset) -> pd.DataFrame:
    """One row a case: its name, the user, the target and where the model ranked it (inf: not at all)."""
    return pd.DataFrame(
        {
            "case": case_names(cases, catalog=dataset.catalog),
            "user_id": cases.user_ids.astype(str),
            "target": dataset.catalog.item_ids[cases.targets].astype(str),
            "rank": ranks,
        }
    )


def user_segments(users: Users, user_ids: Sequence[str]) -> dict[str, np.ndarray]:
    """Segments of people for slices: gender, age band and country where they are known; (n,) labels, empty if not.

    ``user_ids`` are person keys.
    """
    known = users.users.set_index("user_id").reindex([id_of(key) for key in user_ids])
    segments: dict[str, np.ndarray] = {}
    age = known["age"].to_numpy(float)
    if np.isfinite(age).any():
        names = np.array([f"under {AGE_BANDS[0]}", *_bands(), f"{AGE_BANDS[-1]}+"])
        segments["age"] = np.where(
            np.isfinite(age), names[np.searchsorted(AGE_BANDS, np.nan_to_num(age), side="right")], ""
        )
    for name in ("gender", "country"):
        labels = known[name].fillna("").to_numpy(dtype=str)
        values, counts = np.unique(labels, return_counts=True)
        rare = values[counts < RARE_COUNTRY * max(len(labels), 1)]
        segments[name] = np.where(np.isin(labels, rare) & (labels != ""), "other", labels)
    return {name: labels for name, labels in segments.items() if (labels != "").any()}


def _bands() -> list[str]:
    return [f"{low}-{high - 1}" for low, high in itertools.pairwise(AGE_BANDS)]


def protocol_words(protocol: Protocol) -> str:
    """Say in one line how the figures came about."""
    test = protocol.test
    return (
        f"learned from {test.fit_mask.sum():,} events, asked {len(test.cases):,} times afterwards what "
        f"{len(np.unique(test.cases.case_users)):,} users took next"
        + (" for the first time" if test.cases.exclude_seen else "")
        + ", among all items"
    )
