"""Streams of a toy test: slates and deeds as plain objects, and the rows that a readout takes."""

import json
from dataclasses import dataclass, field

import pyarrow as pa

from tailorbird.experiments.measuring.table import Sources
from tailorbird.experiments.measuring.workbench import DONE_SCHEMA, SHOWN_SCHEMA

START = 1_700_000_000.0
KEY = "toy"


@dataclass
class Slate:
    key: str
    at: float  # seconds from START
    variant: str | None = None
    rec: str = ""
    items: tuple[str, ...] = ("i1", "i2")
    scenario: str = "home"
    fallback: str = ""
    took_ms: float = 5.0
    context: dict = field(default_factory=dict)
    segment: str | None = None


@dataclass
class Deed:
    key: str
    at: float
    type: str = "click"
    item: str | None = "i1"
    rec: str | None = None
    session: str | None = None
    value: float | None = None
    received: float | None = None


def shown(slates: list[Slate]) -> list[pa.RecordBatch]:
    rows = {
        "recommendation_id": [each.rec or f"r{at}" for at, each in enumerate(slates)],
        "instant": micros([each.at for each in slates]),
        "unit_key": [each.key for each in slates],
        "scenario": [each.scenario for each in slates],
        "items": [list(each.items) for each in slates],
        "fallback": [each.fallback for each in slates],
        "took_ms": [each.took_ms for each in slates],
        "experiments": [
            json.dumps({KEY: each.variant, "other": "x"}) if each.variant else None for each in slates
        ],
        "context": [json.dumps(each.context) if each.context else None for each in slates],
        "request": [
            json.dumps({"segment": {"key": each.segment}}) if each.segment else None for each in slates
        ],
    }
    return pa.table(rows, schema=SHOWN_SCHEMA).to_batches(max_chunksize=3)


def done(deeds: list[Deed]) -> list[pa.RecordBatch]:
    rows = {
        "type": [each.type for each in deeds],
        "unit_key": [each.key for each in deeds],
        "session_id": [each.session for each in deeds],
        "item_id": [each.item for each in deeds],
        "recommendation_id": [each.rec for each in deeds],
        "value": [each.value for each in deeds],
        "event_time": micros([each.at for each in deeds]),
        "received_time": micros([each.at if each.received is None else each.received for each in deeds]),
    }
    return pa.table(rows, schema=DONE_SCHEMA).to_batches(max_chunksize=3)


def sources(
    slates: list[Slate],
    deeds: list[Deed],
    *,
    logins: dict[str, str] | None = None,
    categories: dict[str, str] | None = None,
) -> Sources:
    return Sources(
        logins=lambda: logins or {},
        shown=lambda start, end: shown([each for each in slates if start <= START + each.at < end]),
        done=lambda start, end, types: done(
            [each for each in deeds if START + each.at >= start and (types is None or each.type in types)]
        ),
        categories=lambda: categories or {},
    )


def micros(seconds: list[float]) -> pa.Array:
    return pa.array([round((START + each) * 1e6) for each in seconds], pa.int64()).cast(
        pa.timestamp("us", tz="UTC")
    )
