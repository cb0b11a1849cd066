"""The periods of a bandit in the streams: a unit of each period is one of its own, so that one pass measures all of them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import orjson
import pyarrow as pa

from tailorbird.events.contract import CLOCK_SKEW_SECONDS
from tailorbird.experiments.measuring.table import Sources
from tailorbird.experiments.measuring.workbench import DONE_SCHEMA, SHOWN_SCHEMA
from tailorbird.exposures.record import BANDITS

LAG_SECONDS = 600.0
"""So long after a renewal somebody may still draw by the one before."""
_OF = "\x1f"
"""Between the key of a unit and its period."""
_EQUAL = 1e-6
_MICROSECONDS = 1e6


@dataclass(frozen=True)
class Periods:
    """When each begins (periods,), until when anybody was drawn, and by which ``chances`` (periods, cells, variants); epoch seconds.

    The first of them is that of renewal ``since``; whoever was drawn before is nobody here.
    """

    key: str
    begins: np.ndarray
    closed: float
    window_seconds: float
    names: Sequence[str]
    chances: np.ndarray
    since: int = 0

    def codes(self, some: range) -> Iterator[str]:
        """What a slate of the periods ``some`` is told to be: period, cell and variant, in this order."""
        for period in some:
            for cell in range(self.chances.shape[1]):
                yield from (f"{period}/{cell}/{name}" for name in self.names)

    def sources(self, sources: Sources, some: range) -> Sources:
        """The same streams with units of periods: slates by the renewal that drew them, deeds by the last draw of whoever did them.

        What somebody does after another draw is a reward of that one alone, however long the window of the one before: two variants
        of one person would share it, and look alike. So slates are read until the windows of ``some`` have passed.
        """
        logins, came = sources.logins(), dict[int, float]()  # when each unit had its first slate of a period
        over = self.ends(some[-1])

        def shown(start: float, end: float) -> Iterator[pa.RecordBatch]:
            for batch in sources.shown(start, min(end, self.closed, over)):
                yield self._shown(batch, some, logins, came)

        def done(start: float, end: float, types: Sequence[str] | None) -> Iterator[pa.RecordBatch]:
            for batch in sources.done(start, min(end, over + CLOCK_SKEW_SECONDS), types):
                yield self._done(batch, some, logins, came)

        return replace(sources, logins=dict, shown=shown, done=done)

    def ends(self, period: int) -> float:
        """When the window of everybody who was drawn in a period has passed; never, of the one that runs."""
        if period + 1 == len(self.begins):
            return float("inf")
        return float(self.begins[period + 1]) + LAG_SECONDS + self.window_seconds

    def _shown(
        self, batch: pa.RecordBatch, some: range, logins: Mapping[str, str], came: dict[int, float]
    ) -> pa.RecordBatch:
        instants = batch["instant"].cast(pa.int64()).to_numpy() / _MICROSECONDS
        now = np.searchsorted(self.begins, instants, side="right") - 1
        units: list[str] = []
        told: list[str | None] = []
        for unit, instant, period, experiments, request in zip(
            batch["unit_key"].to_pylist(),
            instants.tolist(),
            now.tolist(),
            batch["experiments"].to_pylist(),
            batch["request"].to_pylist(),
            strict=True,
        ):
            drawn = self._drawn(experiments, request)
            units.append(f"{logins.get(unit, unit)}{_OF}{period if drawn is None else drawn[0]}")
            if drawn is None or drawn[0] not in some:
                told.append(None)
            else:
                told.append(orjson.dumps({self.key: f"{drawn[0]}/{drawn[1]}/{drawn[2]}"}).decode())
            if drawn is not None and drawn[0] >= some[0]:
                name = hash(units[-1])
                came[name] = min(instant, came.get(name, instant))
        return _with(batch, SHOWN_SCHEMA, unit_key=units, experiments=told)

    def _drawn(self, experiments: str | None, request: str | None) -> tuple[int, int, str] | None:
        """By which renewal and in which cell a slate got which variant; None where it is not of this bandit.

        What a renewal before the first period drew, as the slates of its last LAG_SECONDS, is of a period below 0, that nobody asks for.
        """
        if not experiments or not request or self.key not in experiments:
            return None
        name = orjson.loads(experiments).get(self.key)
        draw = orjson.loads(request).get(BANDITS, {}).get(self.key)
        if name not in self.names or draw is None:
            return None
        number, cell, chance = draw
        period = number - self.since
        if period < 0:
            return period, cell, name
        if not (period < len(self.chances) and 0 <= cell < self.chances.shape[1]):
            return None
        # What was drawn by another chance than the ledger has was drawn by another ledger.
        due = self.chances[period, cell, self.names.index(name)]
        return (period, cell, name) if abs(due - chance) <= _EQUAL else None

    def _done(
        self, batch: pa.RecordBatch, some: range, logins: Mapping[str, str], came: dict[int, float]
    ) -> pa.RecordBatch:
        """A deed of somebody who came: what its clock says may be wrong, its arrival is not."""
        happened, arrived = (
            batch[name].cast(pa.int64()).to_numpy() / _MICROSECONDS
            for name in ("event_time", "received_time")
        )
        done = np.minimum(happened, arrived)
        earliest = done - self.window_seconds - LAG_SECONDS
        first = np.maximum(np.searchsorted(self.begins, earliest, side="right") - 1, some[0])
        last = np.searchsorted(self.begins, arrived, side="right") - 1
        rows, units = [], []
        for row, (key, instant, begin, end) in enumerate(
            zip(batch["unit_key"].to_pylist(), done.tolist(), first.tolist(), last.tolist(), strict=True)
        ):
            person, found, of = logins.get(key, key), "", -1
            for period in range(end, begin - 1, -1):
                unit = f"{person}{_OF}{period}"
                began = came.get(hash(unit))
                if began is None:
                    continue
                found, of = unit, period
                if began <= instant:
                    break
            if of in some:  # nobody else's deeds are carried
                rows.append(row)
                units.append(found)
        return _with(batch.take(pa.array(rows, pa.int64())), DONE_SCHEMA, unit_key=units)


def _with(batch: pa.RecordBatch, schema: pa.Schema, **columns: Sequence[str | None]) -> pa.RecordBatch:
    arrays = [
        pa.array(columns[each.name], pa.string()) if each.name in columns else batch[each.name]
        for each in schema
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)
