"""What units prefer, counted over slates: for each unit how many slates speak for either variant, by whose picks got the events."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import duckdb
import numpy as np
import pyarrow as pa

from tailorbird.errors import TailorbirdError, UsageError
from tailorbird.experiments.interleaving.pairing import INTERLEAVED
from tailorbird.experiments.measuring.metric import DeclaredMetric, Measure
from tailorbird.experiments.measuring.table import Sources
from tailorbird.experiments.measuring.workbench import DONE_SCHEMA, MEMORY_MB, SHOWN_SCHEMA

CREDITED = {
    Measure.EVENTS: "count(*)",
    Measure.VALUE: "sum(d.value)",
    Measure.ITEMS: "count(DISTINCT p.item)",
    Measure.CREDITED_SLATES: "1",
}
"""The measures of which a slate's picks can get credit, and how much of one slate's events a variant gets."""
_SLATES = """
CREATE TABLE slates AS SELECT hash(e.recommendation_id) AS rec, epoch_us(e.instant) / 1e6 AS instant,
    coalesce(l.person, e.unit_key) AS unit, e.items AS items, from_json(e.request -> '$.teams', '["VARCHAR"]') AS teams
FROM shown_stream e LEFT JOIN logins l ON e.unit_key = l.anonymous
WHERE json_extract_string(e.experiments, ?) = ?"""
_PICKS = """
CREATE TABLE picks AS SELECT rec, unit, hash(item) AS item, CASE team WHEN ? THEN -1 WHEN ? THEN 1 END AS side
FROM (SELECT rec, unit, unnest(items[:len(teams)]) AS item, unnest(teams) AS team FROM slates) WHERE team IN (?, ?)"""
_DONE = """
CREATE TABLE done AS SELECT hash(e.recommendation_id) AS rec, hash(e.item_id) AS item, coalesce(l.person, e.unit_key) AS unit,
    coalesce(e.value, 0) AS value
FROM done_stream e LEFT JOIN logins l ON e.unit_key = l.anonymous WHERE e.recommendation_id IS NOT NULL AND e.item_id IS NOT NULL"""
_LEADS = {
    measure: f"""
CREATE TABLE leads AS SELECT rec, any_value(unit) AS unit, sum(side * credit) AS lead
FROM (SELECT p.rec, p.unit, p.side, {credit} AS credit FROM picks p
    JOIN done d ON d.rec = p.rec AND d.item = p.item AND d.unit = p.unit GROUP BY p.rec, p.unit, p.side)
GROUP BY rec"""  # noqa: S608 - made of the words above
    for measure, credit in CREDITED.items()
}
_UNITS = """
SELECT s.unit, min(s.instant) AS first, count(*) AS slates, coalesce(sum((l.lead > 0)::INT), 0) AS won,
    coalesce(sum((l.lead < 0)::INT), 0) AS lost
FROM slates s LEFT JOIN leads l ON s.rec = l.rec GROUP BY s.unit ORDER BY first, s.unit"""
_BALANCE = """
SELECT coalesce(sum(ahead), 0), coalesce(sum(ahead * ahead), 0) FROM (SELECT sum(side) AS ahead FROM picks GROUP BY rec)"""


@dataclass(frozen=True)
class Preferences:
    """Of each unit (n,), in the order in which they came, what its slates say.

    ``first`` is when it came (epoch seconds), ``slates`` how many it saw, and of these the treatment ``won`` and ``lost``; the others are tied. ``ahead`` is by how many picks the treatment's are more than control's, over all slates,
    and ``ahead_squared`` the sum of its squares by slate: each is 1 at most.
    """

    first: np.ndarray
    slates: np.ndarray
    won: np.ndarray
    lost: np.ndarray
    ahead: float = 0.0
    ahead_squared: float = 0.0

    def __len__(self) -> int:
        return len(self.slates)


def require_credit(metric: DeclaredMetric) -> None:
    """Refuse a metric whose events cannot be some item's of a slate. Raises UsageError."""
    if metric.of.measure not in CREDITED or not metric.of.types:
        raise UsageError(
            f"{metric.name} counts {metric.of.measure.value}: no pick of a slate can get the credit",
            remedy="decide an interleaving by a metric of events on items, such as clicks_per_slate",
        )
    if metric.of.scenarios:
        raise UsageError(
            f"{metric.name} counts slates of {', '.join(metric.of.scenarios)} alone: an interleaving counts all that it drafted",
            remedy="name the scenarios in the audience of the experiment, and a metric without them",
        )


def preferences(
    experiment: str,
    teams: tuple[str, str],
    metric: DeclaredMetric,
    sources: Sources,
    *,
    start: float,
    end: float,
    memory_mb: int = MEMORY_MB,
) -> Preferences:
    """Read the slates and events between ``start`` and ``end`` (epoch seconds).

    A pick gets the credit of the metric's events that name its slate and its item and are of the unit that saw it, whatever the metric's
    attribution and ``per`` are. The variant with more credit wins the slate (Chapelle et al. 2012 count clicks so).

    Raises:
        UsageError: the metric is not one of events.
        TailorbirdError: it needs more than ``memory_mb``.
    """
    require_credit(metric)
    duck = duckdb.connect(
        config={"memory_limit": f"{memory_mb}MB", "temp_directory": "", "preserve_insertion_order": False}
    )
    try:
        duck.execute("SET enable_progress_bar = false")
        return _counted(duck, experiment, teams, metric, sources, start=start, end=end)
    except duckdb.OutOfMemoryException as error:
        raise TailorbirdError(
            f"a readout needs more than {memory_mb:,} MB of memory",
            remedy="raise TAILORBIRD_READOUT_MEMORY_MB, or read fewer days",
        ) from error
    finally:
        duck.close()


def _counted(
    duck: duckdb.DuckDBPyConnection,
    experiment: str,
    teams: tuple[str, str],
    metric: DeclaredMetric,
    sources: Sources,
    *,
    start: float,
    end: float,
) -> Preferences:
    _put_logins(duck, sources.logins())
    _stream(
        duck,
        "shown_stream",
        sources.shown(start, end),
        SHOWN_SCHEMA,
        _SLATES,
        [f'$."{experiment}"', INTERLEAVED],
    )
    duck.execute(_PICKS, [*teams, *teams])
    done = sources.done(start, end, list(metric.of.types))
    _stream(duck, "done_stream", done, DONE_SCHEMA, _DONE, [])
    duck.execute(_LEADS[metric.of.measure])
    units = duck.execute(_UNITS).fetchnumpy()
    balance = duck.execute(_BALANCE).fetchone()
    assert balance is not None
    won, lost = (np.asarray(units[name], float) for name in ("won", "lost"))
    if metric.lower_is_better:
        won, lost = lost, won
    return Preferences(
        np.asarray(units["first"], float),
        np.asarray(units["slates"], float),
        won,
        lost,
        float(balance[0]),
        float(balance[1]),
    )


def _put_logins(duck: duckdb.DuckDBPyConnection, logins: Mapping[str, str]) -> None:
    people = pa.table({"anonymous": list(logins), "person": list(logins.values())}, _LOGINS)
    duck.register("given", people)
    duck.execute("CREATE TABLE logins AS SELECT * FROM given")
    duck.unregister("given")


def _stream(
    duck: duckdb.DuckDBPyConnection,
    name: str,
    batches: Iterable[pa.RecordBatch],
    schema: pa.Schema,
    sql: str,
    values: list[str],
) -> None:
    duck.register(name, pa.RecordBatchReader.from_batches(schema, batches))
    try:
        duck.execute(sql, values)
    finally:
        duck.unregister(name)


_LOGINS = pa.schema([pa.field("anonymous", pa.string()), pa.field("person", pa.string())])
