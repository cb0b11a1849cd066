"""The workbench of a readout: exposures and events stream into DuckDB as numbers, and quantities are aggregated there."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import duckdb
import numpy as np
import pyarrow as pa

from tailorbird.errors import TailorbirdError
from tailorbird.experiments.measuring.metric import Measure
from tailorbird.experiments.measuring.queries import Codes, Column, funnel, grouped, query

MEMORY_MB = 3_000
NONE = "(none)"
CLOCK_MICROSECONDS = 2_000_000
"""What is said of a clock that is off by more; less is the way."""
ATTRIBUTES = {
    "device": "context->>'$.device'",
    "referrer": "context->>'$.referrer'",
    "segment": "request->>'$.segment.key'",
}
"""What is known of a unit from its first slate of the test, and where a slate has it; effects are told by each."""
_KEY = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")

SHOWN_SCHEMA = pa.schema(
    [
        pa.field("recommendation_id", pa.string()),
        pa.field("instant", pa.timestamp("us", tz="UTC")),
        pa.field("unit_key", pa.string()),  # who was assigned, before logins join keys
        pa.field("scenario", pa.string()),
        pa.field("items", pa.list_(pa.string())),
        pa.field("fallback", pa.string()),
        pa.field("took_ms", pa.float32()),
        pa.field("experiments", pa.string()),  # JSON: variant by experiment; null for none
        pa.field("context", pa.string()),  # JSON objects
        pa.field("request", pa.string()),
    ]
)
DONE_SCHEMA = pa.schema(
    [
        pa.field("type", pa.string()),
        pa.field("unit_key", pa.string()),
        pa.field("session_id", pa.string()),
        pa.field("item_id", pa.string()),
        pa.field("recommendation_id", pa.string()),
        pa.field("value", pa.float64()),
        pa.field("event_time", pa.timestamp("us", tz="UTC")),
        pa.field("received_time", pa.timestamp("us", tz="UTC")),
    ]
)


@dataclass(frozen=True)
class Cohort:
    """The units of a test, each with one variant: ``codes`` (n,) into ``variants``, ``first`` (n,) epoch seconds of the first slate.

    ``attributes``: labels (n,) by name. ``switched`` are units that saw more than one variant and are left out; ``clocks`` events
    whose time could not be and was corrected.
    """

    variants: tuple[str, ...]
    codes: np.ndarray
    first: np.ndarray
    attributes: Mapping[str, np.ndarray]
    switched: int
    clocks: int = 0

    def __len__(self) -> int:
        return len(self.codes)


class Workbench:
    """Tables of one readout in memory: ``units``, ``slates``, ``done``; names of people are left behind with the streams."""

    def __init__(self, *, memory_mb: int = MEMORY_MB) -> None:
        # No folder for what does not fit: people's deeds would lie where no erasure looks.
        self._duck = duckdb.connect(
            config={"memory_limit": f"{memory_mb}MB", "temp_directory": "", "preserve_insertion_order": False}
        )
        self._duck.execute("SET enable_progress_bar = false")
        # It takes a stream of unknown length for short and would hold all of it: the right side of each join is the one to hold.
        self._duck.execute("SET disabled_optimizers = 'join_order,build_side_probe_side'")
        self._memory_mb = memory_mb
        self._codes = Codes({}, {})

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._duck.close()

    def take_logins(self, logins: Mapping[str, str]) -> None:
        """Who an anonymous key belongs to: what was done and shown under it is theirs."""
        self._put("logins", pa.table({"anonymous": list(logins), "person": list(logins.values())}, _LOGINS))

    def take_shown(
        self,
        batches: Iterable[pa.RecordBatch],
        *,
        experiment: str,
        variants: Sequence[str],
        scenarios: Sequence[str],
    ) -> None:
        """Read the slates (SHOWN_SCHEMA) and find the units of ``experiment``, which are those with one variant of it."""
        if not _KEY.fullmatch(experiment):
            raise ValueError(f"{experiment!r} is no key of an experiment")
        self._codes = Codes(self._codes.types, {name: at for at, name in enumerate(scenarios)})
        self._put("wanted_scenarios", _coded(scenarios))
        self._put("variants", _coded(variants))
        self._stream(
            "shown_stream",
            batches,
            SHOWN_SCHEMA,
            f"""CREATE TABLE shown AS
            SELECT hash(e.recommendation_id) AS rec, epoch_us(e.instant) AS instant,
                coalesce(l.person, e.unit_key) AS key, v.code AS variant,
                coalesce(s.code, -1)::SMALLINT AS scenario, e.fallback <> '' AS fallback,
                list_transform(e.items, lambda x: hash(x)) AS items, len(e.items)::SMALLINT AS places, e.took_ms,
                {", ".join(f"{where} AS {name}" for name, where in ATTRIBUTES.items())}
            FROM shown_stream e LEFT JOIN logins l ON e.unit_key = l.anonymous
            LEFT JOIN variants v ON e.experiments->>'$."{experiment}"' = v.name LEFT JOIN wanted_scenarios s ON e.scenario = s.name""",
        )
        labels = ", ".join(f"arg_min({name}, instant) AS {name}" for name in ATTRIBUTES)
        self._run(
            f"""CREATE TABLE people AS SELECT key, min(instant) AS began, min(variant) AS variant, max(variant) AS other,
            {labels} FROM shown WHERE variant IS NOT NULL GROUP BY key"""
        )
        self._run(
            """CREATE TABLE units AS SELECT (row_number() OVER (ORDER BY began, key) - 1)::INT AS unit, *
            FROM people WHERE variant = other"""
        )
        self._run(
            """CREATE TABLE slates AS SELECT u.unit, s.rec, s.instant - u.began AS rel, s.variant IS NOT NULL AS in_test,
            s.scenario, s.fallback, s.items, s.places, s.took_ms, s.instant FROM shown s JOIN units u ON s.key = u.key"""
        )
        self._run("DROP TABLE shown")

    def take_categories(self, categories: Mapping[str, str]) -> None:
        """Count the different categories of each slate, by the category of each item."""
        goods = pa.table({"item": list(categories), "category": list(categories.values())}, _GOODS)
        self._put("goods", goods)
        self._run("CREATE TABLE kinds AS SELECT hash(item) AS item, hash(category) AS category FROM goods")
        self._run(
            """CREATE OR REPLACE TABLE slates AS SELECT s.*, coalesce(c.categories, 0) AS categories FROM slates s
            LEFT JOIN (SELECT p.rec, count(DISTINCT k.category) AS categories FROM
                (SELECT rec, unnest(items) AS item FROM slates) p JOIN kinds k ON p.item = k.item GROUP BY p.rec) c
            ON s.rec = c.rec"""
        )

    def take_done(
        self,
        batches: Iterable[pa.RecordBatch],
        *,
        types: Sequence[str],
        since_days: float,
        names_slates: bool,
    ) -> None:
        """Read what units did (DONE_SCHEMA) from ``since_days`` before their first slate on.

        An event happened no later than it was received, and not before the slate that it names: clocks of browsers are wrong.
        """
        self._codes = Codes({name: at for at, name in enumerate(types)}, self._codes.scenarios)
        self._put("types", _coded(types))
        said = "epoch_us(least(e.event_time, e.received_time))"
        at = f"greatest({said}, coalesce(s.instant, 0))" if names_slates else said
        slate = (
            "LEFT JOIN slates s ON e.recommendation_id IS NOT NULL AND hash(e.recommendation_id) = s.rec AND s.unit = u.unit"
            if names_slates
            else ""
        )
        self._stream(
            "done_stream",
            batches,
            DONE_SCHEMA,
            f"""CREATE TABLE done AS
            SELECT u.unit, coalesce(t.code, -1)::SMALLINT AS type,
                CASE WHEN e.item_id IS NULL THEN NULL ELSE hash(e.item_id) END AS item,
                CASE WHEN e.recommendation_id IS NULL THEN NULL ELSE hash(e.recommendation_id) END AS rec,
                CASE WHEN e.session_id IS NULL THEN NULL ELSE hash(e.session_id) END AS session,
                coalesce(e.value, 0) AS value, {at} - u.began AS rel,
                abs({at} - epoch_us(e.event_time)) > {CLOCK_MICROSECONDS} AS moved
            FROM done_stream e LEFT JOIN logins l ON e.unit_key = l.anonymous
            JOIN units u ON coalesce(l.person, e.unit_key) = u.key
            LEFT JOIN types t ON e.type = t.name {slate}
            WHERE epoch_us(e.received_time) - u.began >= {round(-since_days * 86_400_000_000)}""",
        )
        self._run("ALTER TABLE units DROP COLUMN key")

    def cohort(self, variants: Sequence[str]) -> Cohort:
        """The units that were found."""
        rows = self._duck.sql(
            f"SELECT variant, began, {', '.join(ATTRIBUTES)} FROM units ORDER BY unit"
        ).to_arrow_table()
        attributes = {
            name: rows[name].fill_null(NONE).to_numpy(zero_copy_only=False).astype(object)
            for name in ATTRIBUTES
        }
        before = np.zeros(len(rows), bool)
        for unit in self._run("SELECT DISTINCT unit FROM done WHERE rel < 0").fetchnumpy()["unit"]:
            before[unit] = True
        attributes["visitor"] = np.where(before, "known", "new").astype(object)
        return Cohort(
            variants=tuple(variants),
            codes=rows["variant"].to_numpy().astype(np.int32),
            first=rows["began"].to_numpy() / 1e6,
            attributes=attributes,
            switched=self._one("SELECT count(*) FROM people WHERE variant <> other"),
            clocks=self._one("SELECT count(*) FROM done WHERE moved"),
        )

    def measure(self, columns: Sequence[Column]) -> list[np.ndarray]:
        """The number of every unit (n,) for each of ``columns``."""
        units = self._one("SELECT count(*) FROM units")
        found = [np.full(units, column.absent) for column in columns]
        plain = [at for at, column in enumerate(columns) if column.quantity.measure is not Measure.FUNNEL]
        for source, places in grouped([columns[at] for at in plain]).items():
            some = [plain[place] for place in places]
            rows = self._run(query(source, [columns[at] for at in some], codes=self._codes)).fetchnumpy()
            for name, at in enumerate(some):
                found[at][rows["unit"]] = np.asarray(rows[f"q{name}"], float)
        for at, column in enumerate(columns):
            if column.quantity.measure is Measure.FUNNEL:
                rows = self._run(funnel(column, codes=self._codes)).fetchnumpy()
                found[at][rows["unit"]] = 1.0
        return found

    def _stream(self, name: str, batches: Iterable[pa.RecordBatch], schema: pa.Schema, sql: str) -> None:
        self._duck.register(name, pa.RecordBatchReader.from_batches(schema, batches))
        try:
            self._run(sql)
        finally:
            self._duck.unregister(name)

    def _put(self, name: str, table: pa.Table) -> None:
        self._duck.register("given", table)
        self._run(f"CREATE TABLE {name} AS SELECT * FROM given")
        self._duck.unregister("given")

    def _one(self, sql: str) -> int:
        row = self._run(sql).fetchone()
        assert row is not None
        return int(row[0])

    def _run(self, sql: str) -> duckdb.DuckDBPyConnection:
        try:
            return self._duck.execute(sql)
        except duckdb.OutOfMemoryException as error:
            raise TailorbirdError(
                f"a readout needs more than {self._memory_mb:,} MB of memory",
                remedy="raise TAILORBIRD_READOUT_MEMORY_MB, or read fewer days or metrics",
            ) from error


_LOGINS = pa.schema([pa.field("anonymous", pa.string()), pa.field("person", pa.string())])
_GOODS = pa.schema([pa.field("item", pa.string()), pa.field("category", pa.string())])


def _coded(names: Sequence[str]) -> pa.Table:
    return pa.table({"name": pa.array(names, pa.string()), "code": pa.array(range(len(names)), pa.int16())})
