"""Finding segments among people: from their histories to candidates, and from a chosen candidate to a model that assigns."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from tailorbird.errors import UsageError
from tailorbird.segments.assigning import assigned
from tailorbird.segments.comparing import Candidate, compare, propose
from tailorbird.segments.evidence import MEANS, NAMES, evidence, evidence_of_many
from tailorbird.segments.model import TOLD, SegmentModel, weights_from, weights_of
from tailorbird.segments.scaling import Scaling
from tailorbird.segments.words import described

FEWEST = 50
"""People that segments can be found among."""
LEAST_EVENTS = 5.0
"""Decayed events of which somebody's segment is told; with fewer it is not known yet."""
LEAST_TO_LEARN = 10.0
"""Decayed events of whoever segments are found among."""
SLOW_DAYS, FAST_DAYS = 21.0, 1.0
"""Half-lives of the two memories."""
FALSE_ALARMS = 0.005
"""Share of events at which the fast memory may overrule the slow one: the margin is set by it."""
TOLD_WEIGHT = 1.0
"""A standard deviation of what somebody told counts as so many of what they did."""
_DAY = 86_400.0


@dataclass(frozen=True)
class Crowd:
    """n people to find segments among: ``histories``, and ``told`` (n, 3) of what they told; ``evidence`` (n, F, 2)."""

    histories: Sequence[np.ndarray]
    told: np.ndarray
    evidence: np.ndarray
    halves: tuple[np.ndarray, np.ndarray]

    @classmethod
    def of(
        cls, histories: Sequence[np.ndarray], told: np.ndarray, *, least: float = LEAST_TO_LEARN
    ) -> "Crowd":
        """Those of whom enough was seen.

        Raises:
            UsageError: they are too few.
        """
        slow = [SLOW_DAYS * _DAY]
        evidence = evidence_of_many(histories, slow)[:, 0]
        seen = np.flatnonzero(evidence[:, 0, 1] >= least)
        if len(seen) < FEWEST:
            raise UsageError(
                f"of {len(histories):,} people {len(seen):,} did enough to tell what they are like",
                remedy=f"segments need {FEWEST} people with {least:g} events or more: collect or ingest more events",
            )
        chosen = [histories[place] for place in seen.tolist()]
        halves = [
            evidence_of_many([each[_visits(each) % 2 == turn] for each in chosen], slow)[:, 0]
            for turn in (0, 1)
        ]
        return cls(chosen, told[seen], evidence[seen], (halves[0], halves[1]))

    def __len__(self) -> int:
        return len(self.histories)


@dataclass(frozen=True)
class Found:
    """Candidates over one crowd, and the one proposed; None where nothing comes again in resamples."""

    crowd: Crowd
    scaling: Scaling
    candidates: Sequence[Candidate]
    with_told: frozenset[int]
    """Numbers of the candidates that people's own words took part in."""
    proposed: Candidate | None

    def coordinates(self, candidate: Candidate) -> np.ndarray:
        """(n, Q) coordinates in which a candidate was found."""
        return _coordinates(self.crowd, self.scaling, told=candidate.number in self.with_told)


def find(
    crowd: Crowd,
    *,
    sizes: range = range(2, 13),
    seed: int = 0,
    advance: Callable[[str], object] = lambda method: None,
) -> Found:
    """Compare groupings by behaviour alone and by behaviour with what people told; stability says which is proposed."""
    from dataclasses import replace

    scaling = Scaling.learn(crowd.evidence, crowd.halves, NAMES, means=MEANS)
    if not len(scaling.chosen):
        return Found(crowd, scaling, (), frozenset(), None)
    candidates = compare(_coordinates(crowd, scaling, told=False), sizes=sizes, seed=seed, advance=advance)
    with_told: frozenset[int] = frozenset()
    if np.isfinite(crowd.told).any():
        mixed = compare(
            _coordinates(crowd, scaling, told=True),
            sizes=sizes,
            seed=seed,
            advance=lambda method: advance(f"{method}, with what people told"),
        )
        mixed = [replace(each, number=len(candidates) + each.number) for each in mixed]
        with_told = frozenset(each.number for each in mixed)
        candidates = [*candidates, *mixed]
    return Found(crowd, scaling, candidates, with_told, propose(candidates))


def model_of(found: Found, candidate: Candidate, *, seed: int = 0) -> SegmentModel:
    """The model that assigns anybody to the groups of ``candidate``, with the margin that the crowd's own histories ask for."""
    crowd, scaling, groups = found.crowd, found.scaling, candidate.gaussians
    told = candidate.number in found.with_told
    labels = groups.labels(_coordinates(crowd, scaling, told=told))
    segments = described(
        labels,
        scaling.traits(crowd.evidence)[:, scaling.chosen],
        crowd.told,
        columns=scaling.kept,
        count=len(groups),
        seed=seed,
    )
    weights = weights_from(
        scaling,
        half_lives=(SLOW_DAYS * _DAY, FAST_DAYS * _DAY),
        told=_told_scaling(crowd.told) if told else (np.zeros(0), np.zeros(0)),
        means=groups.means,
        whitening=groups.whitening,
        bias=groups.bias,
        margin=np.inf,
        least=LEAST_EVENTS,
    )
    model = SegmentModel(
        segments,
        weights,
        method=candidate.method.words + (", with what people told" if told else ""),
        figures=candidate.figures(),
        dropped=scaling.dropped,
    )
    margin = _margin(model, crowd, seed=seed)
    return SegmentModel(
        segments,
        weights_of({**weights._asdict(), "margin": margin}),
        method=model.method,
        figures={**model.figures, "margin": margin, "people": float(len(crowd))},
        dropped=model.dropped,
    )


def _margin(model: SegmentModel, crowd: Crowd, *, seed: int, people: int = 500) -> float:
    """The lead that challengers reach at no more than FALSE_ALARMS of the events of some people."""
    rng = np.random.default_rng([seed, 5])
    leads = []
    for place in rng.permutation(len(crowd))[:people].tolist():
        history = crowd.histories[place]
        for end in range(int(LEAST_EVENTS), len(history) + 1):
            found = evidence(history[:end], model.weights.half_lives)
            leads.append(assigned(found, crowd.told[place], model.weights)[4])
    return max(0.5, float(np.quantile(leads, 1.0 - FALSE_ALARMS))) if leads else np.inf


def _coordinates(crowd: Crowd, scaling: Scaling, *, told: bool) -> np.ndarray:
    found = scaling.coordinates(crowd.evidence)
    if not told:
        return found
    center, factor = _told_scaling(crowd.told)
    return np.concatenate([found, np.nan_to_num((crowd.told - center) * factor)], axis=1)


def _told_scaling(told: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Center and factor (3,) of what people told; a column that nobody told or all told alike counts for nothing."""
    known = np.isfinite(told)
    center, factor = np.zeros(len(TOLD)), np.zeros(len(TOLD))
    for column in range(len(TOLD)):
        values = told[known[:, column], column]
        if len(values) and np.ptp(values) > 0:
            center[column], factor[column] = values.mean(), TOLD_WEIGHT / values.std()
    return center, factor


def _visits(history: np.ndarray) -> np.ndarray:
    """(n,) which visit, from 0, each event of a history belongs to."""
    if not len(history):
        return np.zeros(0, np.int64)
    session = history["session"]
    begins = np.concatenate([[False], (session[1:] != session[:-1]) | (session[1:] == 0)])
    return np.cumsum(begins)
