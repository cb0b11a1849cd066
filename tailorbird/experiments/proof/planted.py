"""Tests in which something is planted: an effect that wears off, one that differs by segment, factors that need each other."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from tailorbird.experiments.deciding.question import Question
from tailorbird.experiments.deciding.readout import OwnReadout, read_table
from tailorbird.experiments.measuring.declared import default_metrics
from tailorbird.experiments.measuring.metric import DAY_SECONDS
from tailorbird.experiments.measuring.table import UnitTable
from tailorbird.experiments.measuring.workbench import Cohort
from tailorbird.experiments.reading.metric import Kind, Metric
from tailorbird.experiments.reading.units import Units

DAYS = 14
SEGMENTS = 6
LEVEL = 0.05
FACTORS: Mapping[str, tuple[str, ...]] = {"headline": ("plain", "personal"), "layout": ("list", "grid")}
CELLS = {
    f"{one}.{other}": {"headline": one, "layout": other}
    for one in FACTORS["headline"]
    for other in FACTORS["layout"]
}
START = 1_700_000_000.0


@dataclass(frozen=True)
class Planted:
    """Shares of trials: of what was planted and found, and of nothing and called, both at 5 %; and of intervals that cover.

    ``segments_covered``: the shrunk intervals of segments whose effects are the same (0), and differ by so many points (the others).
    """

    trials: int
    novelty_found: float
    novelty_false: float
    segments_found: float
    segments_false: float
    segments_covered: dict[str, float]
    interaction_found: float
    interaction_false: float
    ratio_false_while_looking: float


def planted_trials(*, trials: int, units: int = 4_000, seed: int = 4) -> Planted:
    """Make so many tests of each kind and read them as ours are read."""
    rng = np.random.default_rng(seed)
    counts = dict.fromkeys(("novel", "still", "apart", "alike", "together", "alone", "ratio"), 0)
    covered: dict[str, list[bool]] = {}
    for _ in range(trials):
        for name, wears_off in (("novel", 0.6), ("still", 0.0)):
            found = _read(units, rng, wears_off=wears_off)
            trend = found.days[0].trend if found.days else None
            counts[name] += trend is not None and trend.p_value < LEVEL
            if name == "still":
                counts["ratio"] += found.course.p_values[-1] < LEVEL
        for name, spread in (("apart", 0.15), ("alike", 0.0)):
            lifts = 0.1 + spread * rng.standard_normal(SEGMENTS)
            found = _read(units, rng, lifts=lifts)
            own = next((each for each in found.segments if each.attribute == "segment"), None)
            if own is None:
                continue
            counts[name] += own.p_value < LEVEL
            inside = [
                one.shrunk.interval[0] <= lifts[int(one.label)] <= one.shrunk.interval[1] for one in own.lifts
            ]
            covered.setdefault(f"{100 * spread:g}", []).extend(inside)
        for name, both in (("together", 0.3), ("alone", 0.0)):
            found = _read_factors(units, rng, both=both)
            assert found.factors is not None
            last = found.factors.effects.effects[-1]
            counts[name] += last.is_interaction and last.p_value < LEVEL
    shares = {name: count / trials for name, count in counts.items()}
    return Planted(
        trials=trials,
        novelty_found=shares["novel"],
        novelty_false=shares["still"],
        segments_found=shares["apart"],
        segments_false=shares["alike"],
        segments_covered={name: float(np.mean(each)) for name, each in covered.items()},
        interaction_found=shares["together"],
        interaction_false=shares["alone"],
        ratio_false_while_looking=shares["ratio"],
    )


def _read(
    units: int, rng: np.random.Generator, *, wears_off: float = 0.0, lifts: np.ndarray | None = None
) -> OwnReadout:
    """Clicks of people who come when they like, lifted by a tenth: by more in the first days, or in each segment by its own."""
    codes, segment = rng.integers(0, 2, units), rng.integers(0, SEGMENTS, units)
    often = rng.gamma(2.0, 0.4, units)
    lift = np.full(units, 0.1) if lifts is None else lifts[segment]
    days = []
    for day in range(DAYS):
        more = lift + wears_off * np.exp(-day / 2)
        rate = often * (1.0 if day == 0 else 0.5) * np.where(codes == 1, 1 + more, 1.0)
        days.append(rng.poisson(rate).astype(float))
    first = START + np.sort(rng.uniform(0, 4 * DAY_SECONDS, units))
    table = _table(
        ("a", "b"),
        codes,
        np.sum(days, axis=0),
        first=first,
        days=tuple((day, None) for day in days),
        segment=segment.astype(str).astype(object),
    )
    return read_table(_question({"a": 0.5, "b": 0.5}), table)


def _read_factors(units: int, rng: np.random.Generator, *, both: float) -> OwnReadout:
    """A two by two test: each factor lifts by a twentieth, the two together by ``both`` more."""
    codes = rng.integers(0, len(CELLS), units)
    personal, grid = np.isin(codes, (2, 3)), np.isin(codes, (1, 3))
    rate = 2.0 * (1 + 0.05 * personal + 0.05 * grid + both * (personal & grid))
    values = rng.poisson(rng.gamma(3.0, rate / 3.0)).astype(float)
    first = START + np.sort(rng.uniform(0, 4 * DAY_SECONDS, units))
    table = _table(tuple(CELLS), codes, values, first=first)
    return read_table(_question(dict.fromkeys(CELLS, 0.25), factors=True), table)


def _question(shares: Mapping[str, float], *, factors: bool = False) -> Question:
    return Question(
        key="planted",
        shares=shares,
        metrics=(default_metrics()["purchases"],),
        start=START,
        end=START + 2 * DAYS * DAY_SECONDS,
        planned_days=2 * DAYS,
        levels=CELLS if factors else {},
        factors=FACTORS if factors else {},
    )


def _table(
    variants: tuple[str, ...],
    codes: np.ndarray,
    values: np.ndarray,
    *,
    first: np.ndarray,
    days: tuple[tuple[np.ndarray, None], ...] = (),
    segment: np.ndarray | None = None,
) -> UnitTable:
    question = _question(dict.fromkeys(variants, 1.0))
    attributes = {} if segment is None else {"segment": segment}
    return UnitTable(
        asked=question.asked,
        cohort=Cohort(variants, codes, first, attributes, switched=0),
        units=Units(variants, codes, {"purchases": values}),
        metrics=(Metric("purchases", Kind.MEAN),),
        daily=days,
        exposed_days=(question.end - first) / DAY_SECONDS,
    )
