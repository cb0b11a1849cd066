"""Anomalies: what looks odd in accepted events without being wrong. Reported to a person, never dropped."""

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import pandas as pd

from tailorbird.events.rows import user_keys

ONE_ITEM_SHARE = 0.2
ONE_USER_SHARE = 0.05
DAY_FACTOR = 10.0
LATE_SECONDS = 86_400.0
ENOUGH = 100
"""Fewer events say nothing about shares."""


@dataclass(frozen=True)
class Anomaly:
    """Something odd: its ``kind``, how much of it, and a sentence for a person."""

    kind: str
    value: float
    message: str


def find_anomalies(events: pd.DataFrame, *, catalog_ids: Collection[str]) -> list[Anomaly]:
    """Look at accepted events (SCHEMA's columns) for what a person should know before training on them."""
    if len(events) < ENOUGH:
        return []
    found = [
        _dominant(events["item_id"].dropna(), share=ONE_ITEM_SHARE, kind="dominant item"),
        _dominant(user_keys(events), share=ONE_USER_SHARE, kind="dominant user"),
        _loud_day(events["event_time"]),
        _late(events),
        _untouched(events["item_id"], catalog_ids),
        _outliers(events["value"]),
    ]
    return [anomaly for anomaly in found if anomaly is not None]


def _dominant(names: pd.Series, *, share: float, kind: str) -> Anomaly | None:
    counts = names.value_counts()
    # With few names a large share is what one expects.
    if counts.empty or len(counts) < 2 / share:
        return None
    top = float(counts.iloc[0] / len(names))
    if top <= share:
        return None
    return Anomaly(kind, top, f"{counts.index[0]!r} alone has {top:.0%} of the events")


def _loud_day(instants: pd.Series) -> Anomaly | None:
    days = instants.dt.date.value_counts()
    usual = float(days.median())
    if len(days) < 7 or days.iloc[0] <= DAY_FACTOR * usual:
        return None
    factor = float(days.iloc[0] / usual)
    return Anomaly(
        "loud day", factor, f"{days.index[0]} has {days.iloc[0]:,} events, {factor:.0f} times the median day"
    )


def _late(events: pd.DataFrame) -> Anomaly | None:
    lag = (events["received_time"] - events["event_time"]).dt.total_seconds()
    late = float((lag > LATE_SECONDS).mean())
    if late <= 0.01:
        return None
    return Anomaly(
        "late events", late, f"{late:.1%} of the events arrived more than a day after they happened"
    )


def _untouched(item_ids: pd.Series, catalog_ids: Collection[str]) -> Anomaly | None:
    missing = len(set(catalog_ids) - set(item_ids.dropna().unique()))
    share = missing / max(1, len(catalog_ids))
    if share <= 0.1:
        return None
    return Anomaly(
        "untouched items", float(missing), f"{missing:,} items ({share:.0%} of the catalogue) have no event"
    )


def _outliers(values: pd.Series) -> Anomaly | None:
    values = values.dropna()
    if len(values) < ENOUGH:
        return None
    low, middle, high = np.quantile(values, [0.25, 0.5, 0.75])
    # Ten interquartile ranges: prices are skewed, so a common boxplot fence would cry at every sale.
    far = (values - middle).abs() > 10 * max(high - low, 1e-9)
    count = int(far.sum())
    if not count or high == low:
        return None
    return Anomaly(
        "outlying values",
        float(count),
        f"{count:,} values lie far outside, up to {values[far].abs().max():,.2f}",
    )
