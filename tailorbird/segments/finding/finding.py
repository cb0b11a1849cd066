"""Finding segments among people: from their histories to candidates, and from a chosen candidate to a model that assigns."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from tailorbird.errors import UsageError
from tailorbird.features.history.records import MICROSECONDS
from tailorbird.segments.assigning import assign
from tailorbird.segments.finding.comparing import Candidate, compare, propose
from tailorbird.segments.finding.evidence import MEANS, NAMES, evidence_of_many
from tailorbird.segments.finding.explaining import counted, counted_told, learn, scored
from tailorbird.segments.finding.scaling import Scaling
from tailorbird.segments.finding.words import described
from tailorbird.segments.model import SegmentModel, weights_of
from tailorbird.segments.signs import price_edges
from tailorbird.segments.told import TOLD, told_signs

FEWEST = 50
"""People that segments can be found among."""
LEAST_EVENTS = 5.0
"""Decayed events of which somebody's segment is told; with fewer it is not known yet."""
LEAST_TO_LEARN = 10.0
"""Decayed events of whoever segments are found among."""
SPAN_SHARE, FASTER = 2.5, 7.0
"""The slow memory's half-life is two fifths of the time that the people are known for (median), the fast one's a seventh of that."""
SHORTEST, LONGEST = 86_400.0, 365 * 86_400.0
"""Bounds of the slow half-life, in seconds."""
SLACK = 1.0
"""Nats by which what is usual must have changed, the latest visit included, before it names another segment within that visit."""
FALSE_ALARMS = 0.04
"""Share of events at which the fast memory may overrule the slow one: the margin is set by it."""
HELD_OUT = 0.2
"""Share of the people that chances are learned without, to see whether these are assigned the same."""
TOLD_WEIGHT = 1.0
"""A standard deviation of what somebody told counts as so many of what they did."""


@dataclass(frozen=True)
class Crowd:
    """n people to find segments among: ``histories``, and ``told`` (n, 3) of what they told; ``evidence`` (n, F, 2).

    ``half_lives`` (slow and fast, in seconds) are those of the memories.
    """

    histories: Sequence[np.ndarray]
    told: np.ndarray
    half_lives: tuple[float, float]
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
        half_lives = memories_of(histories)
        slow = half_lives[:1]
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
        return cls(chosen, told[seen], half_lives, evidence[seen], (halves[0], halves[1]))

    def __len__(self) -> int:
        return len(self.histories)


def memories_of(histories: Sequence[np.ndarray]) -> tuple[float, float]:
    """Half-lives in seconds, slow and fast, that fit the time over which these people are known."""
    spans = [
        (each["time"][-1] - each["time"][0]) / MICROSECONDS for each in histories if len(each) >= LEAST_EVENTS
    ]
    typical = float(np.median(spans)) if spans else 0.0
    slow = min(LONGEST, max(SHORTEST, typical / SPAN_SHARE))
    return slow, slow / FASTER


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
    """Segments that begin with the groups of ``candidate`` and explain events, with the margin that the crowd's histories ask for."""
    crowd, scaling = found.crowd, found.scaling
    told = counted_told(crowd.told) if candidate.number in found.with_told else None
    grouping = candidate.gaussians.labels(found.coordinates(candidate))
    edges = price_edges(crowd.histories)
    signs = counted(crowd.histories, edges, half_life=crowd.half_lives[0])
    log_chances, of_told, bias = learn(signs, told, grouping, groups=candidate.groups)
    labels = scored(signs, told, log_chances, of_told, bias).argmax(axis=1)
    segments = described(
        labels,
        scaling.traits(crowd.evidence)[:, scaling.chosen],
        crowd.told,
        columns=scaling.kept,
        count=candidate.groups,
        seed=seed,
    )
    weights = weights_of(
        {
            "half_lives": crowd.half_lives,
            "edges": edges,
            "log_chances": log_chances,
            "told": of_told,
            "bias": bias,
            "slack": SLACK,
            "margin": np.inf,
            "least": LEAST_EVENTS,
        }
    )
    model = SegmentModel(segments, weights)
    margin = _margin(model, crowd, seed=seed)
    return SegmentModel(
        segments,
        weights_of({**weights._asdict(), "margin": margin}),
        method=candidate.method.words + (", with what people told" if told is not None else ""),
        figures={
            **candidate.figures(),
            "extension": _extension(signs, told, labels, groups=candidate.groups, seed=seed),
            "agreement": float((labels == grouping).mean()),
            "margin": margin,
            "people": float(len(crowd)),
        },
        dropped=scaling.dropped,
    )


def _extension(
    signs: np.ndarray, told: np.ndarray | None, labels: np.ndarray, *, groups: int, seed: int
) -> float:
    """How many held-out people are assigned as by all, by chances that were learned without them."""
    out = np.random.default_rng([seed, 98]).random(len(signs)) < HELD_OUT
    if not out.any():
        return 1.0
    kept = None if told is None else told[~out]
    learned = learn(signs[~out], kept, labels[~out], groups=groups)
    asked = scored(signs[out], None if told is None else told[out], *learned).argmax(axis=1)
    return float((asked == labels[out]).mean())


def _margin(model: SegmentModel, crowd: Crowd, *, seed: int, people: int = 500) -> float:
    """The lead that challengers reach at no more than FALSE_ALARMS of the events of some people."""
    rng = np.random.default_rng([seed, 5])
    leads = []
    for place in rng.permutation(len(crowd))[:people].tolist():
        history, own = crowd.histories[place], told_signs(crowd.told[place])
        for end in range(int(LEAST_EVENTS), len(history) + 1):
            leads.append(assign(history[:end], own, model.weights)[4])
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
