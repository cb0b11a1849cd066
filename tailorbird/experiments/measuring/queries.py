"""The SQL of quantities: each is one aggregate column over the table that holds what it counts, filtered by its stretch of time."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tailorbird.experiments.measuring.metric import (
    DAY_SECONDS,
    OF_SESSIONS,
    OF_SLATES,
    Attribution,
    Credit,
    Measure,
    Quantity,
)

MICROSECONDS = 1_000_000
DAY = int(DAY_SECONDS) * MICROSECONDS
HOUR = 3_600 * MICROSECONDS


@dataclass(frozen=True)
class Stretch:
    """Microseconds from a unit's first slate of the test: from ``start`` on, before ``end``."""

    start: int
    end: int

    @classmethod
    def days(cls, start: float, end: float) -> "Stretch":
        """The same of days.

        >>> Stretch.days(-1, 0)
        Stretch(start=-86400000000, end=0)
        """
        return cls(round(start * DAY), round(end * DAY))


@dataclass(frozen=True)
class Column:
    """A quantity in a stretch of time: one number of every unit; units of which nothing is found get ``absent``."""

    quantity: Quantity
    within: Stretch

    @property
    def absent(self) -> float:
        """The number of a unit that did nothing."""
        if self.quantity.measure is Measure.DAYS_UNTIL_RETURN:
            return self.within.end / DAY
        return 0.0


@dataclass(frozen=True)
class Codes:
    """Numbers of the types and scenarios that quantities name: SQL holds numbers alone."""

    types: Mapping[str, int]
    scenarios: Mapping[str, int]


def grouped(columns: Sequence[Column]) -> dict[str, list[int]]:
    """The places of ``columns`` by the rows that they are aggregated of, an SQL source each."""
    by_source: dict[str, list[int]] = {}
    for at, column in enumerate(columns):
        by_source.setdefault(_source(column.quantity), []).append(at)
    return by_source


def query(source: str, columns: Sequence[Column], *, codes: Codes) -> str:
    """One row a unit with an aggregate for each of ``columns``, which all belong to ``source``."""
    found = [f"{_aggregate(column, codes=codes)} AS q{at}" for at, column in enumerate(columns)]
    return f"SELECT unit, {', '.join(found)} FROM ({source}) GROUP BY unit"


def funnel(column: Column, *, codes: Codes) -> str:
    """1 for each unit that went through all steps, one after the other."""
    within, steps = column.within, [codes.types[name] for name in column.quantity.types]
    parts = [
        f"s0 AS (SELECT unit, min(rel) AS t FROM done WHERE type = {steps[0]} AND {_in('rel', within)} GROUP BY unit)"
    ]
    for at, step in enumerate(steps[1:], start=1):
        parts.append(
            f"s{at} AS (SELECT d.unit, min(d.rel) AS t FROM done d JOIN s{at - 1} p ON d.unit = p.unit "
            f"WHERE d.type = {step} AND d.rel >= p.t AND {_in('d.rel', within)} GROUP BY d.unit)"
        )
    return f"WITH {', '.join(parts)} SELECT unit, 1 AS q0 FROM s{len(steps) - 1}"


def _source(quantity: Quantity) -> str:
    if quantity.measure in OF_SESSIONS:
        return (
            "SELECT unit, session, count(*) AS events, max(rel) - min(rel) AS lasted, "
            # The session in which the test began belongs to it.
            "CASE WHEN min(rel) < 0 AND max(rel) >= 0 THEN 0 ELSE min(rel) END AS rel "
            "FROM done WHERE session IS NOT NULL GROUP BY unit, session"
        )
    if quantity.measure is Measure.ITEMS_SEEN:
        return f"SELECT unit, rel, scenario, unnest(items) AS item FROM slates WHERE {_OWN_SLATES}"
    if quantity.measure in OF_SLATES:
        return f"SELECT * FROM slates WHERE {_OWN_SLATES}"
    if quantity.attribution is Attribution.RECOMMENDATION:
        return (
            "SELECT d.*, s.rel AS slate_rel, s.scenario, s.rec AS slate FROM done d "
            f"JOIN (SELECT * FROM slates WHERE {_OWN_SLATES}) s ON d.rec = s.rec AND d.unit = s.unit"
        )
    if quantity.attribution is Attribution.ITEM:
        order = {Credit.FIRST: "s.rel", Credit.LAST: "s.rel DESC", Credit.ALL: ""}[quantity.credit]
        once = f"QUALIFY row_number() OVER (PARTITION BY d.rowid ORDER BY {order}) = 1" if order else ""
        window = round(quantity.window_hours * HOUR)
        return (
            "SELECT * FROM (SELECT d.*, s.rel AS slate_rel, s.scenario, s.rec AS slate, s.in_test FROM done d "
            "JOIN (SELECT unit, rel, scenario, rec, in_test, unnest(items) AS item FROM slates) s "
            f"ON d.unit = s.unit AND d.item = s.item AND s.rel <= d.rel AND d.rel - s.rel < {window} {once}) "
            "WHERE in_test OR slate_rel < 0"
        )
    return "SELECT * FROM done"


_OWN_SLATES = "(in_test OR rel < 0) AND places > 0"
"""Slates outside of the test say nothing of it, once it has begun; an assignment for a page shows no item."""


def _aggregate(column: Column, *, codes: Codes) -> str:
    quantity, measure = column.quantity, column.quantity.measure
    conditions = [_in("rel", column.within)]
    if quantity.attribution is not Attribution.UNIT:
        conditions = [_in("slate_rel", column.within), f"rel < {column.within.end}"]
    if quantity.types:
        conditions.append(f"type IN ({', '.join(str(codes.types[name]) for name in quantity.types)})")
    if quantity.scenarios:
        known = ", ".join(str(codes.scenarios[name]) for name in quantity.scenarios)
        conditions.append(f"scenario IN ({known})")
    if measure is Measure.DAYS_UNTIL_RETURN:
        conditions.append(f"rel >= {round(quantity.away_hours * HOUR)}")
    filtered = f"{_SUMS[measure]} FILTER (WHERE {' AND '.join(conditions)})"
    if measure is Measure.DAYS_UNTIL_RETURN:
        return f"coalesce({filtered} / {DAY}.0, {column.within.end / DAY})"
    return f"coalesce({filtered}, 0)"


_SUMS: Mapping[Measure, str] = {
    Measure.EVENTS: "count(*)",
    Measure.VALUE: "sum(value)",
    Measure.ITEMS: "count(DISTINCT item)",
    Measure.ACTIVE_DAYS: f"count(DISTINCT rel // {DAY})",
    Measure.SESSIONS: "count(*)",
    Measure.SESSION_MINUTES: f"sum(lasted / {60 * MICROSECONDS}.0)",
    Measure.BOUNCES: "sum((events = 1)::INT)",
    Measure.SLATES: "count(*)",
    Measure.FALLBACKS: "sum(fallback::INT)",
    Measure.PLACES: "sum(places)",
    Measure.ITEMS_SEEN: "count(DISTINCT item)",
    Measure.CATEGORIES_SEEN: "sum(categories)",
    Measure.LATENCY_MS: "sum(took_ms)",
    Measure.CREDITED_SLATES: "count(DISTINCT slate)",
    Measure.DAYS_UNTIL_RETURN: "min(rel)",
}


def _in(column: str, within: Stretch) -> str:
    return f"{column} >= {within.start} AND {column} < {within.end}"
