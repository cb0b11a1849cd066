"""Reports: the figures of one set of rankings, with intervals, slices and plain tables for pages and plots."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from tailorbird.catalog.catalog import Catalog
from tailorbird.evaluation.bootstrap import DRAWS, Interval, clustered_intervals, paired_difference
from tailorbird.evaluation.cases import Cases
from tailorbird.evaluation.metrics import CUTS, grouped, per_question
from tailorbird.evaluation.ranks import ranks_in
from tailorbird.evaluation.slices import standard_slices
from tailorbird.evaluation.variety import ListDiversity, coverage, exposure_gini, novelty, popularity_bias

HEADLINE: tuple[str, ...] = ("hr@10", "ndcg@10")
"""The columns of a table on the screen that carry their interval."""
ASIDE: tuple[str, ...] = ("hr@20", "mrr@20", "recall@100", "coverage@10")
"""Further columns, means only; ``metrics.json`` holds all."""


@dataclass(frozen=True)
class Figures:
    """Metrics of some cases: ``{"ndcg@10": Interval, …}`` and how many cases and users they rest on."""

    metrics: Mapping[str, Interval]
    cases: int
    users: int

    def to_dict(self) -> dict[str, object]:
        """Return plain numbers, for JSON."""
        return {
            "cases": self.cases,
            "users": self.users,
            "metrics": {name: interval.to_dict() for name, interval in self.metrics.items()},
        }


@dataclass(frozen=True)
class Report:
    """All figures of one set of rankings.

    ``overall`` counts every case alike; ``slices`` does so within each slice; ``questions`` scores
    questions that have several right answers as one list (None where each has one). ``ranks`` (n,) is where
    each case's target stood; ``tied`` is the share of cases whose target shared its score with other items.
    """

    overall: Figures
    slices: Mapping[str, Figures]
    questions: Figures | None
    ranks: np.ndarray
    users: np.ndarray = field(repr=False)
    tied: float = 0.0

    def mean(self, metric: str) -> float:
        """Return the overall mean of ``metric``, for instance ``ndcg@10``."""
        return self.overall.metrics[metric].mean

    def to_dict(self) -> dict[str, object]:
        """Return plain numbers, for JSON."""
        return {
            **self.overall.to_dict(),
            "tied": self.tied,
            "slices": {name: figures.to_dict() for name, figures in self.slices.items()},
            **({"questions": self.questions.to_dict()} if self.questions else {}),
        }


@dataclass(frozen=True)
class Yardstick:
    """What figures are measured with: training popularity, the catalogue's texts, segments, the bootstrap.

    ``popularity`` (n_items,) training users of each item of ``user_count``; ``segments`` maps a name to
    (n,) labels of the cases.
    """

    popularity: np.ndarray
    user_count: int
    diversity: ListDiversity | None = None
    segments: Mapping[str, np.ndarray] = field(default_factory=dict)
    cuts: Sequence[int] = CUTS
    draws: int = DRAWS
    seed: int = 0

    @classmethod
    def of(
        cls, popularity: np.ndarray, catalog: Catalog, *, user_count: int, **options: object
    ) -> "Yardstick":
        """Build with the diversity of ``catalog``'s texts; ``options`` are the other fields."""
        return cls(popularity, user_count, ListDiversity.of(catalog), **options)  # type: ignore[arg-type]


def evaluate_rankings(
    rankings: np.ndarray,
    cases: Cases,
    *,
    yardstick: Yardstick,
    ranks: np.ndarray | None = None,
    scores: np.ndarray | None = None,
) -> Report:
    """Compute every figure of ``rankings``.

    ``rankings`` (q, k) catalogue rows, best first, -1 where empty, one row a question of ``cases``;
    ``ranks`` (n,) of the targets among all items where they are known (mid-ranks), else they are read from
    the rankings, ties shared where ``scores`` (q, k) are given.
    """
    listed = ranks_in(rankings, cases.targets, question=cases.question)
    if ranks is None:
        ranks = ranks_in(rankings, cases.targets, scores=scores, question=cases.question)
    users = cases.case_users
    columns = per_question(ranks, cuts=yardstick.cuts)
    lists = _list_columns(rankings, cases, yardstick=yardstick)
    names = [*columns, *lists]
    values = np.stack([*columns.values(), *(column[cases.question] for column in lists.values())], axis=1)
    overall = _figures(names, values, users, yardstick=yardstick)
    top = max(yardstick.cuts)
    counted = {
        f"{name}@{k}": Interval(value, value, value)
        for k in yardstick.cuts
        for name, value in (
            ("coverage", coverage(rankings, k, item_count=len(yardstick.popularity))),
            ("gini", exposure_gini(rankings, k, item_count=len(yardstick.popularity))),
        )
    }
    masks = standard_slices(cases, popularity=yardstick.popularity, segments=yardstick.segments)
    return Report(
        overall=Figures({**overall.metrics, **counted}, overall.cases, overall.users),
        slices={
            name: _figures(names, values[mask], users[mask], yardstick=yardstick)
            for name, mask in masks.items()
            if not mask.all()
        },
        questions=_question_figures(ranks, cases, yardstick=yardstick),
        ranks=ranks,
        users=users,
        tied=float(np.mean((ranks != listed) & (ranks <= top))) if len(ranks) else 0.0,
    )


def compare(challenger: Report, champion: Report, *, metric: str = "ndcg@10", seed: int = 0) -> Interval:
    """Compute how much better ``challenger`` is on the same cases: the paired difference, with its interval over users.

    Raises:
        ValueError: the two reports do not rest on the same cases.
    """
    if not np.array_equal(challenger.users, champion.users):
        raise ValueError("the two reports rest on different cases")
    name, k = metric.split("@")
    ours, theirs = (
        per_question(report.ranks, cuts=(int(k),))[f"{name}@{k}"] for report in (challenger, champion)
    )
    return paired_difference(ours, theirs, clusters=champion.users, seed=seed)


def comparison_rows(
    reports: Mapping[str, Report], *, metrics: Sequence[str] = HEADLINE, means: Sequence[str] = ASIDE
) -> list[dict[str, object]]:
    """Lay reports side by side, one row a model: ``mean [low, high]`` of ``metrics``, then the ``means``."""
    return [
        {
            "model": name,
            **{metric: _cell(report.overall.metrics[metric]) for metric in metrics},
            **{metric: _plain(report.mean(metric)) for metric in means},
        }
        for name, report in reports.items()
    ]


def slice_rows(report: Report, *, metrics: Sequence[str] = HEADLINE) -> list[dict[str, object]]:
    """Lay the slices of one report out for the screen, overall first."""
    return [
        {
            "cases of": name,
            "cases": figures.cases,
            "users": figures.users,
            **{metric: _cell(figures.metrics[metric]) for metric in metrics},
        }
        for name, figures in {"all": report.overall, **report.slices}.items()
    ]


def segment_frame(report: Report, *, metrics: Sequence[str] = ("hr@10", "ndcg@10")) -> pd.DataFrame:
    """Tabulate the slices: columns ``slice, cases, users, metric, mean, low, high``, overall first."""
    return pd.DataFrame(
        [
            {
                "slice": name,
                "cases": figures.cases,
                "users": figures.users,
                "metric": metric,
                **figures.metrics[metric].to_dict(),
            }
            for name, figures in {"all": report.overall, **report.slices}.items()
            for metric in metrics
        ]
    )


def source_frame(
    sources: Mapping[str, np.ndarray], cases: Cases, *, cuts: Sequence[int] = (10, 20, 50, 100, 200)
) -> pd.DataFrame:
    """Tabulate the recall of each source of candidates and of all together: columns ``source, k, recall, only_here``.

    ``sources`` maps a name to (q, k) catalogue rows, -1 where empty. ``only_here`` is the share of cases
    that no other source finds in its first k.
    """
    ranks = {name: ranks_in(rows, cases.targets, question=cases.question) for name, rows in sources.items()}
    table = []
    for k in cuts:
        found = {name: rank <= k for name, rank in ranks.items()}
        times = np.sum(list(found.values()), axis=0)
        table += [
            {"source": name, "k": k, "recall": hit.mean(), "only_here": (hit & (times == 1)).mean()}
            for name, hit in found.items()
        ]
        table.append({"source": "union", "k": k, "recall": (times > 0).mean(), "only_here": np.nan})
    return pd.DataFrame(table)


def learning_frame(curves: Mapping[str, Sequence[float]]) -> pd.DataFrame:
    """Tabulate learning curves: columns ``curve, step, value``."""
    return pd.DataFrame(
        [
            {"curve": name, "step": step, "value": float(value)}
            for name, values in curves.items()
            for step, value in enumerate(values)
        ],
        columns=["curve", "step", "value"],
    )


def _list_columns(rankings: np.ndarray, cases: Cases, *, yardstick: Yardstick) -> dict[str, np.ndarray]:
    popularity = yardstick.popularity
    chosen = float(popularity[cases.targets].mean()) if len(cases) else np.nan
    columns: dict[str, np.ndarray] = {}
    for k in yardstick.cuts:
        columns[f"novelty@{k}"] = novelty(rankings, k, popularity=popularity, user_count=yardstick.user_count)
        columns[f"popularity_bias@{k}"] = popularity_bias(rankings, k, popularity=popularity, chosen=chosen)
        if yardstick.diversity is not None:
            columns[f"diversity@{k}"] = yardstick.diversity(rankings, k)
    return columns


def _figures(names: Sequence[str], values: np.ndarray, users: np.ndarray, *, yardstick: Yardstick) -> Figures:
    intervals = clustered_intervals(values, clusters=users, draws=yardstick.draws, seed=yardstick.seed)
    return Figures(dict(zip(names, intervals, strict=True)), cases=len(values), users=len(np.unique(users)))


def _question_figures(ranks: np.ndarray, cases: Cases, *, yardstick: Yardstick) -> Figures | None:
    if len(cases) == cases.question_count:
        return None
    columns = per_question(grouped(ranks, cases.question), cuts=yardstick.cuts)
    return _figures(list(columns), np.stack(list(columns.values()), axis=1), cases.users, yardstick=yardstick)


def _cell(interval: Interval) -> str:
    return f"{_plain(interval.mean)} [{_plain(interval.low)}, {_plain(interval.high)}]"


def _plain(value: float) -> str:
    return f"{value:.3f}".removeprefix("0")
