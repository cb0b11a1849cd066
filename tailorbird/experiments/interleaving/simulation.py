"""Two rankings before the people of a simulated shop: how many units an A/B test of them needs, and how many an interleaving."""

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri

from tailorbird.experiments.interleaving.counting import Preferences
from tailorbird.experiments.interleaving.drafting import NOBODY, OURS, draft
from tailorbird.experiments.interleaving.optimised import Mixture, mixture_of
from tailorbird.experiments.interleaving.reading import preferred_of
from tailorbird.experiments.statistics.frequentist import LEVEL
from tailorbird.experiments.statistics.power import POWER, units_needed
from tailorbird.simulator.reaction import PATIENCE, click_chances
from tailorbird.simulator.shop import Shop

PLACES = 10
ERROR = 1.5
"""Standard deviations by which a ranking is off, in the scale of what people want (an item of the shelf one looks for gains 3)."""
ALIKE = 0.8
"""How far the errors of both rankings are the same (their correlation): two versions of a model are off in much the same way."""
AT_ONCE = 500
DAY = 86_400.0
_WEEK = 7 * DAY
_DEPTH = 2 * PLACES
"""Items of a ranking that are kept: a drafted slate never reaches further down."""


@dataclass(frozen=True)
class Slates:
    """For each request (n,) the items of both rankings (n, 2, d), best first, and the chance (n, 2, d) that each is clicked once looked at."""

    units: np.ndarray
    items: np.ndarray
    chances: np.ndarray


@dataclass(frozen=True)
class Interleaved:
    """What telling the two apart takes by one way of interleaving, for a power of 80 % at 5 %.

    ``net``: of what tells. ``found``: of interleavings with so many ``units``, how many say that the better one is better; ``wrong`` how
    many say that the other is.
    """

    net: float
    units: int
    found: float
    wrong: float


@dataclass(frozen=True)
class Sensitivity:
    """The same for an A/B test, ``lift`` of clicks per slate, and for each way of interleaving."""

    lift: float
    ab_units: int
    drafted: Interleaved
    optimised: Interleaved

    def times(self, way: Interleaved) -> float:
        """How many times the units the A/B test needs."""
        return self.ab_units / way.units


def slates_of(shop: Shop, *, slates: int, better: float, seed: int) -> Slates:
    """``slates`` requests of every user in the shop's last week, ranked by what people want and an error.

    The second ranking's error is smaller by the share ``better``, and like the first one's, but not it: on many an item it is worse.
    """
    rng = np.random.default_rng([seed, 1])
    ids = np.repeat(shop.users.users["user_id"].to_numpy(object), slates)
    instants = shop.end - rng.random(len(ids)) * _WEEK
    items = np.empty((len(ids), 2, _DEPTH), np.int64)
    chances = np.empty(items.shape)
    for start in range(0, len(ids), AT_ONCE):
        some = slice(start, start + AT_ONCE)
        wants = shop.preferences(list(ids[some]), instants[some])
        off = ERROR * rng.standard_normal(wants.shape, np.float32)
        own = ERROR * rng.standard_normal(wants.shape, np.float32)
        for which, error in enumerate((off, (1 - better) * (ALIKE * off + math.sqrt(1 - ALIKE**2) * own))):
            items[some, which] = np.argsort(-(wants + error), axis=1)[:, :_DEPTH]
        for row, wanted in enumerate(wants):
            found = click_chances(wanted, items[start + row].ravel())
            chances[start + row] = found.reshape(2, _DEPTH)
    return Slates(np.repeat(np.arange(len(shop.users.users)), slates), items, chances)


def sensitivity_of(slates: Slates, mixed: "Mixed", *, repeats: int, trials: int, seed: int) -> Sensitivity:
    """Let people answer ``repeats`` times to each test, work out the units that it needs, and try interleavings of so many ``trials`` times."""
    rng = np.random.default_rng([seed, 2])
    clicks = np.stack([_clicks(slates, which, rng, repeats) for which in (0, 1)])  # (2, repeats, units)
    mean = clicks.mean(axis=(1, 2))
    control, treatment = (each.var() for each in clicks)
    ab_units = units_needed(
        float(mean[1] - mean[0]), control_variance=float(control), treatment_variance=float(treatment)
    )
    drafted, optimised = (
        _interleaved(answers, trials=trials, rng=rng)
        for answers in (_drafted(slates, rng, repeats), _optimised(mixed, rng, repeats))
    )
    return Sensitivity(float(mean[1] / mean[0] - 1), ab_units, drafted, optimised)


def _interleaved(answers: "Answers", *, trials: int, rng: np.random.Generator) -> Interleaved:
    won, lost = (np.stack(each) for each in zip(*answers, strict=True))  # (repeats, units)
    lead, tells = won - lost, won + lost
    net = float(lead.sum() / tells.sum())
    variance = float(np.var(lead - net * tells) / tells.mean() ** 2)
    reach = float(ndtri((1 + LEVEL) / 2) + ndtri(POWER))
    units = math.ceil(variance * (reach / net) ** 2)
    found, wrong = _tried(won.ravel(), lost.ravel(), units=units, better=net > 0, trials=trials, rng=rng)
    return Interleaved(net, units, found, wrong)


def false_positives(
    slates: Slates, mixed: "Mixed", *, units: int, repeats: int, trials: int, seed: int
) -> tuple[float, float]:
    """Of ``trials`` interleavings of ``units`` units, of rankings that are as good, how many prefer one at 5 %: drafted, and optimised.

    Which of the two is the treatment is drawn unit by unit: neither is better then, whatever chance made of their errors.
    """
    rng = np.random.default_rng([seed, 3])

    def called(answers: "Answers") -> float:
        won, lost = (np.concatenate(each) for each in zip(*answers, strict=True))
        turned = rng.random(len(won)) < 0.5
        won, lost = np.where(turned, lost, won), np.where(turned, won, lost)
        return sum(_tried(won, lost, units=units, better=True, trials=trials, rng=rng))

    return called(_drafted(slates, rng, repeats)), called(_optimised(mixed, rng, repeats))


def _tried(
    won: np.ndarray, lost: np.ndarray, *, units: int, better: bool, trials: int, rng: np.random.Generator
) -> tuple[float, float]:
    ones, said = np.ones(units), []
    for _ in range(trials):
        rows = rng.integers(0, len(won), units)
        found = preferred_of(Preferences(ones, ones, won[rows], lost[rows]), confidence=LEVEL)
        if found.p_value is not None and found.p_value < 1 - LEVEL:
            said.append((found.net.mean > 0) == better)
    return sum(said) / trials, (len(said) - sum(said)) / trials


def _clicks(slates: Slates, which: int, rng: np.random.Generator, repeats: int) -> np.ndarray:
    """(repeats, units) clicks per slate under one ranking."""
    chances = slates.chances[:, which, :PLACES]
    count = int(slates.units[-1]) + 1
    per_unit = np.bincount(slates.units)
    found = []
    for _ in range(repeats):
        clicked = _clicked(chances, rng)
        found.append(np.bincount(slates.units, clicked.sum(axis=1), count) / per_unit)
    return np.stack(found)


def _clicked(chances: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(n, k) whether each item is clicked: people look on from each place with PATIENCE, as in ``simulator.reaction``."""
    looks = rng.random(chances.shape) <= PATIENCE
    looks[:, 0] = True
    return np.logical_and.accumulate(looks, axis=1) & (rng.random(chances.shape) < chances)


Answers = Iterator[tuple[np.ndarray, np.ndarray]]
"""(units,) what the second ranking won and lost, drawn and answered anew each time: slates of a draft, credits of a mixture."""


def _drafted(slates: Slates, rng: np.random.Generator, repeats: int) -> Answers:
    ids = slates.items.astype(str)
    known = [
        dict(zip(items.ravel().tolist(), chances.ravel().tolist(), strict=True))
        for items, chances in zip(ids, slates.chances, strict=True)
    ]
    count = int(slates.units[-1]) + 1
    for _ in range(repeats):
        chances, sides = np.zeros((len(ids), PLACES)), np.zeros((len(ids), PLACES))
        tosses = rng.random((len(ids), PLACES)) < 0.5
        for row, (ours, theirs) in enumerate(ids):
            picks = draft(ours[:PLACES].tolist(), theirs[:PLACES].tolist(), coin=tosses[row].__getitem__)
            for place, pick in zip(range(PLACES), picks, strict=False):
                chances[row, place] = known[row][pick.item]
                sides[row, place] = 0 if pick.team == NOBODY else (-1 if pick.team == OURS else 1)
        lead = (sides * _clicked(chances, rng)).sum(axis=1)
        yield (
            np.bincount(slates.units, lead > 0, count),
            np.bincount(slates.units, lead < 0, count),
        )


@dataclass(frozen=True)
class Mixed:
    """Of each request (n,) the slates of its mixture (n, s): their ``chances``, and for each place the chance of a click and its ``credits`` (n, s, k).

    ``ms`` (n,) is how long it took to make one; ``unfair`` of them had no fair chances and are left out.
    """

    units: np.ndarray
    chances: np.ndarray
    clicks: np.ndarray
    credits: np.ndarray
    ms: np.ndarray
    unfair: int

    @classmethod
    def of(cls, slates: Slates) -> "Mixed":
        """Optimise each."""
        made: list[Mixture | None] = []
        ms = []
        for ours, theirs in slates.items[:, :, :PLACES].astype(str):
            began = time.perf_counter()
            made.append(mixture_of(ours.tolist(), theirs.tolist(), places=PLACES))
            ms.append(1_000 * (time.perf_counter() - began))
        rows = [row for row, each in enumerate(made) if each is not None]
        most = max(len(made[row].chances) for row in rows)  # type: ignore[union-attr]
        chances = np.zeros((len(rows), most))
        clicks, credits_ = np.zeros((len(rows), most, PLACES)), np.zeros((len(rows), most, PLACES))
        for place, row in enumerate(rows):
            each = made[row]
            assert each is not None
            known = dict(
                zip(
                    slates.items[row].ravel().astype(str).tolist(),
                    slates.chances[row].ravel().tolist(),
                    strict=True,
                )
            )
            of_item = np.array([known[item] for item in each.items])
            chances[place, : len(each.chances)] = each.chances
            clicks[place, : len(each.chances)] = of_item[each.slates]
            credits_[place, : len(each.chances)] = each.credits
        return cls(slates.units[rows], chances, clicks, credits_, np.array(ms), len(made) - len(rows))


def _optimised(mixed: Mixed, rng: np.random.Generator, repeats: int) -> Answers:
    count, rows = int(mixed.units[-1]) + 1, np.arange(len(mixed.units))
    until = mixed.chances.cumsum(axis=1)
    for _ in range(repeats):
        drawn = (rng.random(len(rows))[:, None] > until[:, :-1]).sum(axis=1)
        clicked = _clicked(mixed.clicks[rows, drawn], rng)
        lead = (mixed.credits[rows, drawn] * clicked).sum(axis=1)
        yield (
            np.bincount(mixed.units, np.maximum(lead, 0), count),
            np.bincount(mixed.units, np.maximum(-lead, 0), count),
        )
