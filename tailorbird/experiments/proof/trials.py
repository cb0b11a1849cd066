"""Trials by the thousand: false positives of tests of nothing, coverage of planted effects, CUPED, power, looking, lost units."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tailorbird.experiments.proof.world import METRICS, PRIMARY, World, compared
from tailorbird.experiments.statistics.aggregates import aggregates
from tailorbird.experiments.statistics.frequentist import Estimate, estimates
from tailorbird.experiments.statistics.power import units_for_proportion, units_needed
from tailorbird.experiments.statistics.sequential import (
    FIRST_LOOK,
    always_valid_interval,
    always_valid_p_value,
)
from tailorbird.experiments.statistics.srm import ALARM, sequential_srm, srm_p_value

LEVEL = 0.05
LOOKS = 150
VARIANTS = ("A", "B")


@dataclass(frozen=True)
class Fixed:
    """Trials that are read once: shares by metric. ``saved`` is CUPED's variance over ``1 - rho^2`` (reported, and among trials)."""

    trials: int
    false_positives: dict[str, float]
    covered: dict[str, float]
    cuped_reported: float
    cuped_among_trials: float


@dataclass(frozen=True)
class Looking:
    """Trials of nothing that are looked at while people come: shares that were called by each look (looks,), and in the end."""

    trials: int
    units: list[int]
    always_valid: list[float]
    fixed: list[float]
    covered: float


@dataclass(frozen=True)
class Planned:
    """Of tests as large as the plan says for a chance of .8, how many found the effect."""

    units: int
    found: float


@dataclass(frozen=True)
class Lost:
    """Assignments of which the treatment lost a share, and sound ones: how often the alarm came."""

    found: float
    found_looking: float
    units_until_found: float
    false_alarms: float
    false_alarms_looking: float


def fixed_trials(worlds: Sequence[World], *, trials: int, lift: float = 0.1, seed: int = 0) -> Fixed:
    """Split each world again and again as it is; draw people like its own, and lift one half of them."""
    rng = np.random.default_rng(seed)
    false = dict.fromkeys(METRICS, 0)
    covered = dict.fromkeys(METRICS, 0)
    reported: list[float] = []
    raw: list[float] = []
    saved: list[float] = []
    for world, count in zip(worlds, _parts(trials, len(worlds)), strict=True):
        treated = world.moved(lift, rng=rng)
        left, expected = _left(world), 4 * float(np.var(world.columns["clicks"])) / world.people
        for _ in range(count):
            codes, rows = _split(world.people, rng), rng.integers(0, world.people, world.people)
            # With replacement: all people there could be are those of the world, so its truth is the effect on them.
            with_effect = _mixed(world.drawn(rows), treated.drawn(rows), codes)
            for name in METRICS:
                arms = _arms(world, codes, name)
                found = compared(name, *arms)
                false[name] += found.p_value is not None and found.p_value < LEVEL
                if name == "clicks":
                    raw.append(found.difference**2 / expected)
                if name == "clicks, CUPED":
                    saved.append(found.difference**2 / (expected * left))
                    reported.append(float(np.mean([1 - each.saved for each in arms])) / left)
                interval = compared(name, *_arms(with_effect, codes, name)).interval
                truth = treated.truth(name) / world.truth(name) - 1
                covered[name] += interval is not None and interval[0] <= truth <= interval[1]
    return Fixed(
        trials,
        {name: hits / trials for name, hits in false.items()},
        {name: hits / trials for name, hits in covered.items()},
        float(np.mean(reported)),
        float(np.mean(saved) / np.mean(raw)),
    )


def looking_trials(
    worlds: Sequence[World],
    *,
    trials: int,
    metric: str = "clicks",
    units: int = 10_000,
    tuned_units: int = 2_000,
    seed: int = 1,
) -> Looking:
    """Let ``units`` people like those of the worlds come one after the other, and look a hundred times and more, from the first look on."""
    rng = np.random.default_rng(seed)
    looks = list(range(2 * FIRST_LOOK + 2 * FIRST_LOOK // 5, units + 1, max(1, units // LOOKS)))
    called = {"always": np.zeros(len(looks)), "fixed": np.zeros(len(looks))}
    covered = 0
    for world, count in zip(worlds, _parts(trials, len(worlds)), strict=True):
        for _ in range(count):
            values = world.columns[METRICS[metric][0]][rng.integers(0, world.people, units)]
            always, fixed, inside = _looked(
                values, _split(units, rng), looks, metric=metric, tuned_units=tuned_units
            )
            called["always"] += always
            called["fixed"] += fixed
            covered += inside
    return Looking(
        trials,
        looks,
        (called["always"] / trials).tolist(),
        (called["fixed"] / trials).tolist(),
        covered / trials,
    )


def planned_trials(
    worlds: Sequence[World], *, trials: int, metric: str, lift: float = 0.1, seed: int = 2
) -> Planned:
    """Draw tests as large as planned of people like those of the worlds, lift one half, and count the finds."""
    rng = np.random.default_rng(seed)
    found, planned = 0, []
    for world, count in zip(worlds, _parts(trials, len(worlds)), strict=True):
        mean = world.truth(metric)
        if metric == PRIMARY:
            units = units_for_proportion(mean, lift=lift)
        else:
            spread = float(np.var(world.columns[metric], ddof=1))
            units = units_needed(
                lift * mean, control_variance=spread, treatment_variance=spread * (1 + lift) ** 2
            )
        planned.append(units)
        for _ in range(count):
            drawn = world.drawn(rng.integers(0, world.people, units))
            codes = _split(units, rng)
            arms = _arms(_mixed(drawn, drawn.moved(lift, rng=rng), codes), codes, metric)
            p_value = compared(metric, *arms).p_value
            found += p_value is not None and p_value < LEVEL
    return Planned(round(float(np.mean(planned))), found / trials)


def lost_trials(*, trials: int, units: int = 20_000, lost: float = 0.05, seed: int = 3) -> Lost:
    """Assign ``units`` evenly and lose a share of the treatment's, or none."""
    rng = np.random.default_rng(seed)
    looks = np.arange(units // 100, units + 1, units // 100)
    alarms = dict.fromkeys(("found", "found_looking", "false", "false_looking"), 0)
    until = []
    for _ in range(trials):
        for kind, share in (("false", 0.5), ("found", (1 - lost) / (2 - lost))):
            treated = np.cumsum(rng.random(units) < share)[looks - 1]
            counts = np.stack([looks - treated, treated], axis=1)
            p_values = sequential_srm(counts, [1, 1])
            level = ALARM if kind == "found" else LEVEL
            alarms[kind] += srm_p_value(counts[-1].tolist(), [1, 1]) < level
            alarms[f"{kind}_looking"] += p_values[-1] < level
            if kind == "found" and p_values[-1] < level:
                until.append(looks[int((p_values < level).argmax())])
    return Lost(
        alarms["found"] / trials,
        alarms["found_looking"] / trials,
        float(np.median(until)) if until else float("nan"),
        alarms["false"] / trials,
        alarms["false_looking"] / trials,
    )


def _looked(
    values: np.ndarray, codes: np.ndarray, looks: Sequence[int], *, metric: str, tuned_units: int
) -> tuple[np.ndarray, np.ndarray, bool]:
    """Whether each rule has called a winner by each look (looks,), and whether every always-valid interval held 0."""
    at = np.array(looks) - 1
    sums = {}
    for code in (0, 1):
        of_variant = codes == code
        kept = np.where(of_variant, values, 0.0)
        sums[code] = [np.cumsum(each)[at] for each in (of_variant, kept, kept * values)]
    called, inside = np.zeros((2, len(looks)), bool), True
    for look in range(len(looks)):
        arms = []
        for code in (0, 1):
            count, total, squares = (float(each[look]) for each in sums[code])
            spread = (squares - total**2 / count) / (count - 1)
            arms.append(Estimate(total / count, spread / count, int(count)))
        always, fixed = always_valid_p_value(*arms, tuned_units=tuned_units), compared(metric, *arms).p_value
        interval, _ = always_valid_interval(*arms, tuned_units=tuned_units)
        inside &= interval is None or interval[0] <= 0 <= interval[1]
        called[0, look] = always is not None and always < LEVEL
        called[1, look] = fixed is not None and fixed < LEVEL
    return np.logical_or.accumulate(called[0]), np.logical_or.accumulate(called[1]), inside


def _arms(world: World, codes: np.ndarray, metric: str) -> tuple[Estimate, Estimate]:
    arms = estimates(aggregates(codes, world.columns_of(metric), variants=VARIANTS))
    return arms["A"], arms["B"]


def _mixed(world: World, treated: World, codes: np.ndarray) -> World:
    """Those of the control as they are, those of the treatment as it makes them."""
    names = treated.columns
    return World(
        {
            name: np.where(
                codes == 1,
                names[name],
                world.columns["clicks" if name == "clicks_of_ratio" else name],
            )
            for name in names
        }
    )


def _split(people: int, rng: np.random.Generator) -> np.ndarray:
    return rng.integers(0, 2, people)


def _left(world: World) -> float:
    """1 - rho^2 of the covariate."""
    return float(1 - np.corrcoef(world.columns["clicks"], world.columns["clicks_before"])[0, 1] ** 2)


def _parts(whole: int, parts: int) -> list[int]:
    return [whole // parts + (at < whole % parts) for at in range(parts)]
