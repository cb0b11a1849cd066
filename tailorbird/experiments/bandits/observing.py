"""What the units of a bandit did, period by period: each with the renewal, the cell and the chance that it was drawn by."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import orjson
import pyarrow as pa

from tailorbird.experiments.bandits.policy import SUMS
from tailorbird.experiments.measuring.metric import DeclaredMetric
from tailorbird.experiments.measuring.table import PER, Asked, NobodyError, Sources, UnitTable, unit_table
from tailorbird.experiments.measuring.workbench import SHOWN_SCHEMA
from tailorbird.experiments.running.assigning import allocations_now
from tailorbird.experiments.running.ledger import Entry
from tailorbird.experiments.running.renewals import Renewal
from tailorbird.exposures.record import BANDITS

LAG_SECONDS = 600.0
"""So long after a renewal somebody may still draw by the one before."""
_HOUR_SECONDS = 3_600.0
_EQUAL = 1e-6


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
) -> Observed:
    """All units whose window has passed at ``now``, of all periods until now; nothing where nobody came."""
    bandit = entry.experiment.bandit
    assert bandit is not None
    windowed = [
        replace(each, window_days=bandit.window_hours / 24, before_days=0.0, description="")
        for each in metrics
    ]
    closed = now if entry.stopped is None else min(now, entry.stopped)
    begins = [entry.started, *(each.at for each in renewals)]
    names = [entry.experiment.control, *(each.name for each in entry.experiment.treatments)]
    order = [each.name for each in entry.experiment.variants]
    sources = replace(sources, logins=cache(sources.logins))  # of a period they are those of all
    parts = []
    for period, begin in enumerate(begins):
        last = period + 1 == len(begins)
        until = closed if last else min(closed, begins[period + 1] + LAG_SECONDS)
        held = replace(entry, renewal=renewals[period - 1] if period else None)
        chances = np.array(allocations_now(held))[:, [order.index(name) for name in names]]
        asked = Asked(
            entry.key,
            tuple(f"{cell}/{name}" for cell in range(bandit.cells) for name in names),
            tuple(windowed),
            start=begin,
            end=min(now, until + bandit.window_hours * _HOUR_SECONDS),
            daily=False,
        )
        codes = {name: at for at, name in enumerate(names)}
        drawn = _Drawn(entry.key, period, chances, codes, sources.shown, until)
        try:
            table = unit_table(asked, replace(sources, shown=drawn.shown), memory_mb=memory_mb)
        except NobodyError:  # nobody came in this period
            continue
        parts.append(_of_table(table, windowed, period, chances))
    return joined(parts, [each.name for each in metrics], variants=len(names))


@dataclass(frozen=True)
class _Drawn:
    """Slates that one renewal drew: their variant is told with its cell; of all others none."""

    key: str
    renewal: int
    chances: np.ndarray
    codes: Mapping[str, int]
    source: Callable[[float, float], Iterable[pa.RecordBatch]]
    until: float

    def shown(self, start: float, end: float) -> Iterator[pa.RecordBatch]:
        """The slates from ``start`` on, before ``end`` and the end of the period."""
        at = SHOWN_SCHEMA.get_field_index("experiments")
        for batch in self.source(start, min(end, self.until)):
            said = [
                self._said(experiments, request)
                for experiments, request in zip(
                    batch["experiments"].to_pylist(), batch["request"].to_pylist(), strict=True
                )
            ]
            yield batch.set_column(at, SHOWN_SCHEMA.field(at), pa.array(said, pa.string()))

    def _said(self, experiments: str | None, request: str | None) -> str | None:
        if not experiments or not request or self.key not in experiments:
            return None
        name = orjson.loads(experiments).get(self.key)
        draw = orjson.loads(request).get(BANDITS, {}).get(self.key)
        if name not in self.codes or draw is None:
            return None
        renewal, cell, chance = draw
        if renewal != self.renewal or not 0 <= cell < len(self.chances):
            return None
        # What was drawn by another chance than the ledger has was drawn by another ledger.
        if abs(self.chances[cell, self.codes[name]] - chance) > _EQUAL:
            return None
        return orjson.dumps({self.key: f"{cell}/{name}"}).decode()


def _of_table(
    table: UnitTable, metrics: Sequence[DeclaredMetric], period: int, chances: np.ndarray
) -> Observed:
    variants = chances.shape[1]
    cells, codes = np.divmod(table.cohort.codes, variants)
    columns, read = table.units.columns, {each.name: each for each in table.metrics}
    old = table.exposed_days >= (metrics[0].window_days or 0.0)
    values, pers = {}, {}
    for each in metrics:
        value, cap = columns[each.name][old], read[each.name].cap
        values[each.name] = value if cap is None else np.minimum(value, cap)
        pers[each.name] = columns[each.name + PER][old] if each.per is not None else np.ones(int(old.sum()))
    return Observed(
        periods=np.full(int(old.sum()), period),
        codes=codes[old],
        cells=cells[old],
        chances=chances[cells, codes][old],
        first=table.cohort.first[old],
        values=values,
        pers=pers,
        due=chances[cells[old]].sum(axis=0),
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
