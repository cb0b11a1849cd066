"""What the units of a bandit did, period by period: each with the renewal, the cell and the chance that it was drawn by."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np

from tailorbird.experiments.bandits.periods import Periods
from tailorbird.experiments.bandits.policy import SUMS
from tailorbird.experiments.measuring.metric import DeclaredMetric
from tailorbird.experiments.measuring.table import PER, Asked, NobodyError, Sources, UnitTable, unit_table
from tailorbird.experiments.running.entries import Entry
from tailorbird.experiments.running.plans import allocations_now
from tailorbird.experiments.running.renewals import Renewal

MOST_CODES = 30_000
"""Periods times contexts times variants that are measured in one pass over the streams."""
MOST_PERIODS = 48
"""Periods of one pass: who came in them is in memory."""
_HOUR_SECONDS = 3_600.0


@dataclass(frozen=True)
class Observed:
    """Units in periods (n,): ``codes`` into the variants (control first), ``cells``, ``chances``, ``first`` epoch seconds.

    ``values`` and ``pers``: numerator and denominator (n,) of each metric by name. A unit is there once for each period in which
    its window has passed. ``switched`` units saw two variants in a period, ``young`` ones have their window before them.
    """

    periods: np.ndarray
    codes: np.ndarray
    cells: np.ndarray
    chances: np.ndarray
    first: np.ndarray
    values: dict[str, np.ndarray]
    pers: dict[str, np.ndarray]
    due: np.ndarray
    """(variants,) how many units each variant was to get by the chances of all."""
    switched: int = 0
    young: int = 0

    def __len__(self) -> int:
        return len(self.codes)

    def sums(self, metric: str, *, periods: int, cells: int, variants: int) -> np.ndarray:
        """(periods, cells, variants, SUMS) as policies take them."""
        value, per = self.values[metric], self.pers[metric]
        place = (self.periods * cells + self.cells) * variants + self.codes
        columns = (np.ones(len(self)), value, per, value * value, value * per, per * per)
        found = [np.bincount(place, column, periods * cells * variants) for column in columns]
        return np.stack(found, axis=-1).astype(float).reshape(periods, cells, variants, SUMS)


def observed(
    entry: Entry,
    renewals: Sequence[Renewal],
    metrics: Sequence[DeclaredMetric],
    sources: Sources,
    *,
    now: float,
    memory_mb: int,
    since: int = 0,
) -> Observed:
    """All units whose window has passed at ``now``, of all periods until now; nothing where nobody came.

    With ``since`` the periods begin with that of the renewal of this number, the first of ``renewals``.
    """
    bandit = entry.experiment.bandit
    assert bandit is not None
    assert since == (renewals[0].number if since else 0)
    windowed = [
        replace(each, window_days=bandit.window_hours / 24, before_days=0.0, description="")
        for each in metrics
    ]
    names = [entry.experiment.control, *(each.name for each in entry.experiment.treatments)]
    order = [each.name for each in entry.experiment.variants]
    start: tuple[None, ...] = () if since else (None,)
    held = [replace(entry, renewal=each) for each in (*start, *renewals)]
    chances = np.array([allocations_now(each) for each in held])[..., [order.index(name) for name in names]]
    periods = Periods(
        entry.key,
        begins=np.array([entry.started if each.renewal is None else each.renewal.at for each in held]),
        closed=now if entry.stopped is None else min(now, entry.stopped),
        window_seconds=bandit.window_hours * _HOUR_SECONDS,
        names=names,
        chances=chances,
        since=since,
    )
    sources = replace(sources, logins=cache(sources.logins))
    parts = []
    at_once = max(1, min(MOST_PERIODS, MOST_CODES // chances[0].size))
    for first in range(0, len(held), at_once):
        some = range(first, min(first + at_once, len(held)))
        asked = Asked(
            entry.key,
            tuple(periods.codes(some)),
            tuple(windowed),
            start=float(periods.begins[first]),
            end=now,
            daily=False,
        )
        try:
            table = unit_table(asked, periods.sources(sources, some), memory_mb=memory_mb)
        except NobodyError:
            continue
        parts.append(_of_table(table, windowed, first, chances))
    return joined(parts, [each.name for each in metrics], variants=len(names))


def _of_table(
    table: UnitTable, metrics: Sequence[DeclaredMetric], first: int, chances: np.ndarray
) -> Observed:
    _, cells_each, variants = chances.shape
    places, codes = np.divmod(table.cohort.codes, variants)
    periods, cells = np.divmod(places, cells_each)
    periods = periods + first
    columns, read = table.units.columns, {each.name: each for each in table.metrics}
    old = table.exposed_days >= (metrics[0].window_days or 0.0)
    values, pers = {}, {}
    for each in metrics:
        value, cap = columns[each.name][old], read[each.name].cap
        values[each.name] = value if cap is None else np.minimum(value, cap)
        pers[each.name] = columns[each.name + PER][old] if each.per is not None else np.ones(int(old.sum()))
    return Observed(
        periods=periods[old],
        codes=codes[old],
        cells=cells[old],
        chances=chances[periods, cells, codes][old],
        first=table.cohort.first[old],
        values=values,
        pers=pers,
        due=chances[periods[old], cells[old]].sum(axis=0),
        switched=table.cohort.switched,
        young=int((~old).sum()),
    )


def joined(parts: Sequence[Observed], metrics: Sequence[str], *, variants: int) -> Observed:
    """All of them, one after the other; nothing of nothing."""

    def together(name: str, kind: type) -> np.ndarray:
        return np.concatenate([np.zeros(0, kind), *(getattr(each, name) for each in parts)])

    return Observed(
        periods=together("periods", int),
        codes=together("codes", int),
        cells=together("cells", int),
        chances=together("chances", float),
        first=together("first", float),
        values={
            name: np.concatenate([np.zeros(0), *(each.values[name] for each in parts)]) for name in metrics
        },
        pers={name: np.concatenate([np.zeros(0), *(each.pers[name] for each in parts)]) for name in metrics},
        due=np.sum([np.zeros(variants), *(each.due for each in parts)], axis=0),
        switched=sum(each.switched for each in parts),
        young=sum(each.young for each in parts),
    )
