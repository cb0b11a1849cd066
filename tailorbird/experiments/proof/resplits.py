"""Tests of nothing on our own metrics: simulated shops whose units are measured once and split again and again."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from tailorbird.events.schema import USER
from tailorbird.experiments.deciding.question import Question
from tailorbird.experiments.measuring.declared import chosen, default_metrics
from tailorbird.experiments.measuring.metric import DAY_SECONDS
from tailorbird.experiments.measuring.table import Sources, UnitTable, unit_table
from tailorbird.experiments.measuring.workbench import DONE_SCHEMA, SHOWN_SCHEMA
from tailorbird.experiments.reading.readout import read_out
from tailorbird.simulator.shop import Shop

KEY, LEVEL = "nothing", 0.05
METRICS = [
    "conversion",
    "revenue_per_person",
    "purchases",
    "clicks_per_slate",
    "slate_click_rate",
    "conversion_of_shown",
    "add_to_cart",
    "session_minutes",
    "bounce_rate",
    "active_days",
]
HALF_DAYS = 30.0


@dataclass(frozen=True)
class Resplits:
    """Of ``trials`` tests of nothing the share that was called at 5 %, by metric, as the readout compares it; units of a test."""

    trials: int
    units: int
    called: dict[str, float]
    variance_saved: dict[str, float]


def resplit_trials(*, worlds: int, trials: int, size: int, seed: int = 5) -> Resplits:
    """Measure the people of each shop as a readout does, then draw who is in which variant anew for every trial."""
    rng = np.random.default_rng(seed)
    called = dict.fromkeys(METRICS, 0)
    saved: dict[str, list[float]] = {name: [] for name in METRICS}
    units = []
    for at in range(worlds):
        question, table = measured(Shop.make(size, seed + at))
        units.append(len(table.cohort))
        for _ in range(trials // worlds + (at < trials % worlds)):
            codes = rng.integers(0, 2, len(table.cohort)).astype(np.int32)
            found = read_out(replace(table.units, codes=codes), table.metrics, question.design)
            for metric in found.metrics:
                row = metric.rows[1]
                p_value = row.comparison.p_value if row.comparison is not None else None
                called[metric.metric.name] += p_value is not None and p_value < LEVEL
                saved[metric.metric.name].append(row.estimate.saved)
    return Resplits(
        trials,
        round(float(np.mean(units))),
        {name: count / trials for name, count in called.items()},
        {name: float(np.mean(each)) for name, each in saved.items()},
    )


def measured(shop: Shop) -> tuple[Question, UnitTable]:
    """A test of nothing in the second half of a shop's time: each visit begins with a slate of what was met in it."""
    events = shop.events()
    question = Question(
        key=KEY,
        shares={"a": 0.5, "b": 0.5},
        metrics=tuple(chosen(default_metrics(), METRICS)),
        start=shop.end - HALF_DAYS * DAY_SECONDS,
        end=shop.end,
    )
    slates = _slates(events, start=question.start)
    named = dict(zip(slates["session_id"], slates["recommendation_id"], strict=True))
    done = _done(events, named)
    sources = Sources(
        logins=dict,
        shown=lambda start, end: _shown(slates),
        done=lambda start, end, types: done if types is None else _of(done, types),
        categories=dict,
    )
    return question, unit_table(replace(question.asked, daily=False), sources)


def _slates(events: pd.DataFrame, *, start: float) -> pd.DataFrame:
    """One a session: who, when, what; outside of the test before ``start``."""
    met = events[events["item_id"].notna()].groupby("session_id", sort=False)
    slates = met.agg(
        user=("user_id", "first"), instant=("event_time", "min"), items=("item_id", list)
    ).reset_index()
    people = slates["user"].factorize()[0]
    inside = slates["instant"] >= pd.Timestamp(start, unit="s", tz="UTC")
    said = np.where(people % 2, f'{{"{KEY}":"b"}}', f'{{"{KEY}":"a"}}')
    slates["experiments"] = pd.Series(said, slates.index, dtype=object).where(inside, None)
    slates["recommendation_id"] = [f"r{number}" for number in range(len(slates))]
    return slates


def _shown(slates: pd.DataFrame) -> Sequence[pa.RecordBatch]:
    count = len(slates)
    columns = {
        "recommendation_id": slates["recommendation_id"],
        "instant": slates["instant"],
        "unit_key": USER + slates["user"],
        "scenario": ["home"] * count,
        "items": slates["items"],
        "fallback": [""] * count,
        "took_ms": np.full(count, 5.0, np.float32),
        "experiments": slates["experiments"],
        "context": [None] * count,
        "request": [None] * count,
    }
    return _batches(columns, SHOWN_SCHEMA)


def _done(events: pd.DataFrame, named: dict[str, str]) -> Sequence[pa.RecordBatch]:
    """The shop's events; clicks name the slate of their visit."""
    columns = {name: events[name] for name in DONE_SCHEMA.names if name in events}
    columns["unit_key"] = USER + events["user_id"]
    slate = events["session_id"].map(named)
    columns["recommendation_id"] = slate.where(events["type"] == "click", None)
    return _batches(columns, DONE_SCHEMA)


def _of(batches: Sequence[pa.RecordBatch], types: Sequence[str]) -> Sequence[pa.RecordBatch]:
    wanted = pa.array(types)
    return [batch.filter(pa.compute.is_in(batch["type"], wanted)) for batch in batches]


def _batches(columns: Mapping[str, Any], schema: pa.Schema) -> Sequence[pa.RecordBatch]:
    arrays = [pa.array(columns[field.name], from_pandas=True).cast(field.type) for field in schema]
    return pa.Table.from_arrays(arrays, schema=schema).to_batches()
