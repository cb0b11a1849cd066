"""Bandits over the sessions of a simulated shop: what a variant does to them is planted, all else is the shop's."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import orjson

from tailorbird.experiments.bandits.observing import Observed, joined
from tailorbird.experiments.bandits.policy import allocations_of, counted_of
from tailorbird.experiments.bandits.readout import weighted
from tailorbird.experiments.deciding.question import Question
from tailorbird.experiments.design.bandit import Bandit
from tailorbird.experiments.measuring.metric import DeclaredMetric, Measure, Quantity
from tailorbird.experiments.reading.metric import Kind
from tailorbird.experiments.reading.readout import Readout, read_out
from tailorbird.simulator.shop import Shop

DEVICES = ("mobile", "desktop")
REWARD = "bought"
BY_DEVICE = {"device": DEVICES}
_METRIC = DeclaredMetric(REWARD, Kind.PROPORTION, Quantity(Measure.EVENTS, ("purchase",)))


@dataclass(frozen=True)
class Sessions:
    """The sessions of a shop: whether somebody ``bought`` (n,), and on which device, by its place in DEVICES (n,); 2 for others."""

    bought: np.ndarray
    device: np.ndarray

    @classmethod
    def of(cls, shop: Shop) -> "Sessions":
        """All of them; the device of a session is that of its first event."""
        events = shop.events()
        events["bought"] = events["type"] == "purchase"
        events["device"] = [orjson.loads(each).get("device") if each else None for each in events["context"]]
        found = events.groupby("session_id").agg(bought=("bought", "max"), device=("device", "first"))
        place = {name: at for at, name in enumerate(DEVICES)}
        device = np.array([place.get(each, len(DEVICES)) for each in found["device"]])
        return cls(found["bought"].to_numpy(float), device)

    def chances(self, lifts: Sequence[Sequence[float]]) -> np.ndarray:
        """(n, variants) the chance that a session buys under each variant, whose ``lifts`` (variants, devices) are planted.

        Under a lift some of those who bought nothing do now, under a negative one some of those who bought do not.
        """
        mean = self.bought.mean()
        columns = []
        for lift in np.asarray(lifts, float):
            own = lift[self.device]
            more = own * mean / (1 - mean)
            columns.append(np.where(own >= 0, np.maximum(self.bought, more), self.bought * (1 + own)))
        return np.stack(columns, axis=1)


@dataclass(frozen=True)
class Played:
    """One bandit that was played: what was ``observed``, and the rewards that it lost (periods,) beside the best variant of each device."""

    observed: Observed
    lost: np.ndarray
    parts: np.ndarray
    """(periods, cells, variants) the allocations."""


def play(
    bandit: Bandit | None,
    sessions: Sessions,
    chances: np.ndarray,
    *,
    periods: int,
    units: int,
    rng: np.random.Generator,
) -> Played:
    """Let ``units`` sessions come in each period; None for a fixed split. Rewards count one period later."""
    variants, cells = chances.shape[1], bandit.cells if bandit else 1
    weights = [1 / variants] * variants
    values = np.stack([chances[sessions.device == at].mean(axis=0) for at in range(len(DEVICES))])
    parts, lost = [np.full((cells, variants), 1 / variants)], []
    seen: list[Observed] = []
    for period in range(periods):
        if period and bandit is not None:
            complete = joined(seen[: period - 1], [REWARD], variants=variants)
            sums = complete.sums(REWARD, periods=period, cells=cells, variants=variants)
            parts.append(np.array(allocations_of(bandit, counted_of(bandit, sums), weights=weights)))
        elif period:
            parts.append(parts[0])
        rows = rng.integers(0, len(chances), units)
        rows = rows[sessions.device[rows] < len(DEVICES)]
        device = sessions.device[rows]
        cell = device if cells > 1 else np.zeros_like(device)
        drawn = (rng.random(len(rows))[:, None] > parts[-1][cell].cumsum(axis=1)[:, :-1]).sum(axis=1)
        reward = (rng.random(len(rows)) < chances[rows, drawn]).astype(float)
        lost.append(float((values.max(axis=1)[device] - values[device, drawn]).sum()))
        seen.append(_observed(period, drawn, cell, parts[-1], reward))
    return Played(joined(seen, [REWARD], variants=variants), np.array(lost), np.array(parts))


def read(played: Played, *, until: int, names: Sequence[str], looking: bool) -> Readout:
    """What the readout says of the first ``until`` periods; the first of ``names`` is the control."""
    every = played.observed
    there = every.periods < until
    due = played.parts[every.periods[there], every.cells[there]].sum(axis=0)
    shares = dict(zip(names, (due / due.sum()).tolist(), strict=True))
    days = float(until)
    question = Question(
        "simulated", shares, (_METRIC,), 0.0, days * 86_400.0, planned_days=days + looking * 10_000.0
    )
    return read_out(*weighted(question, _some(every, there, due)), question.design)


def _observed(
    period: int, codes: np.ndarray, cells: np.ndarray, parts: np.ndarray, reward: np.ndarray
) -> Observed:
    return Observed(
        periods=np.full(len(codes), period),
        codes=codes,
        cells=cells,
        chances=parts[cells, codes],
        first=np.full(len(codes), float(period)),
        values={REWARD: reward},
        pers={REWARD: np.ones(len(codes))},
        due=parts[cells].sum(axis=0),
    )


def _some(every: Observed, there: np.ndarray, due: np.ndarray) -> Observed:
    def part(values: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {name: each[there] for name, each in values.items()}

    return Observed(
        every.periods[there],
        every.codes[there],
        every.cells[there],
        every.chances[there],
        every.first[there],
        part(every.values),
        part(every.pers),
        due,
    )
