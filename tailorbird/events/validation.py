"""Validation: which rows are events, which go to quarantine and why, and what looks odd without being wrong."""

import json
from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import orjson
import pandas as pd

from tailorbird.events.contract import Fields, faults_of
from tailorbird.events.rows import MICROSECONDS, micros, user_keys
from tailorbird.events.schema import SCHEMA

_REASON = r"^((?:wrong type|bad time): (?:before 1990|\w+)|[^:;]*)"


@dataclass(frozen=True)
class Validated:
    """Every input row once: ``accepted`` with SCHEMA's columns and types, or ``quarantined`` with its ``reason``.

    Both keep the input's index. ``quarantined`` has the columns ``row`` (the index), ``reason`` (all reasons, joined by
    "; ") and ``raw`` (the row as JSON text).
    """

    accepted: pd.DataFrame
    quarantined: pd.DataFrame

    @property
    def reasons(self) -> dict[str, int]:
        """Rows by their first reason without its value, the most frequent first."""
        return {str(reason): int(count) for reason, count in self.first_reasons.value_counts().items()}

    @property
    def first_reasons(self) -> pd.Series:
        """Each quarantined row's first reason without its value; of a wrong type or time with the field: ``bad time: event_time``."""
        return self.quarantined["reason"].astype(str).str.extract(_REASON, expand=False)


def validate(
    df: pd.DataFrame,
    *,
    catalog_ids: Collection[str],
    now: float,
    max_events_per_minute: int = 600,
    raw: pd.DataFrame | None = None,
) -> Validated:
    """Part the rows of an event frame (SCHEMA's columns, any dtypes) into accepted and quarantined.

    Args:
        df: Events as a mapping made them. Absent optional columns count as empty.
        catalog_ids: Items that exist; an event of any other item is quarantined.
        now: The clock, epoch seconds; what happened later than now plus five minutes is quarantined.
        max_events_per_minute: A user with more events in any 60 seconds is a robot and those events are quarantined;
            0 switches the rule off.
        raw: The source's rows, with the same index, to keep beside the reason; by default ``df`` itself.
    """
    typed, reasons = _typed(df)
    _add(reasons, _faults(typed, catalog_ids=catalog_ids, now=now))
    _add(reasons, _duplicates(typed[reasons == ""]))
    if max_events_per_minute:
        good = typed[reasons == ""]
        reasons.loc[good.index[_too_fast(good, limit=max_events_per_minute)]] = (
            f"impossible rate: more than {max_events_per_minute} events of one user in a minute"
        )
    bad = reasons != ""
    accepted = typed[~bad]
    source = df if raw is None else raw
    quarantined = pd.DataFrame(
        {
            "row": df.index[bad],
            "reason": reasons[bad].to_numpy(),
            "raw": _raw_texts(source.loc[df.index[bad]]),
        }
    )
    return Validated(accepted, quarantined)


def _typed(df: pd.DataFrame) -> tuple[pd.DataFrame, pd.Series]:
    """The frame with SCHEMA's dtypes, and the reason of each row that has a value of a wrong type ("" for none)."""
    typed = pd.DataFrame(index=df.index)
    fit: pd.Series
    reasons = pd.Series("", index=df.index, dtype=object)
    for kind in SCHEMA:
        values = df[kind.name] if kind.name in df else pd.Series(None, index=df.index, dtype=object)
        if kind.name in ("event_time", "received_time"):
            fit = pd.to_datetime(values, format="ISO8601", utc=True, errors="coerce").astype(
                "datetime64[us, UTC]"
            )
            _name_lost(reasons, values, fit, f"bad time: {kind.name}")
        elif kind.name in ("position", "value"):
            fit = pd.to_numeric(values, errors="coerce").astype(float)
            _name_lost(reasons, values, fit, f"wrong type: {kind.name}")
        else:
            text = values.astype(object).where(values.notna(), None)
            fit = text
            if pd.api.types.infer_dtype(text, skipna=True) not in ("string", "empty"):
                fit = text.where(text.map(lambda value: isinstance(value, str)), None)
                _name_lost(reasons, text, fit, f"wrong type: {kind.name}")
        typed[kind.name] = fit
    # Whoever does not say when an event arrived gets it as prompt.
    prompt = typed["received_time"].isna() & (reasons == "")
    typed["received_time"] = typed["received_time"].mask(prompt, typed["event_time"])
    return typed, reasons


def _name_lost(reasons: pd.Series, before: pd.Series, after: pd.Series, what: str) -> None:
    lost = before.notna() & after.isna()
    if lost.any():
        _add(
            reasons,
            pd.Series([f"{what} {_short(value)}" for value in before[lost]], index=before.index[lost]),
        )


def _faults(typed: pd.DataFrame, *, catalog_ids: Collection[str], now: float) -> pd.Series:
    """The reasons of the rows that break the contract, by index."""
    columns = [_values(typed[name]) for name in SCHEMA.names]
    known = catalog_ids if isinstance(catalog_ids, (set, frozenset)) else frozenset(catalog_ids)
    found: dict[object, str] = {}
    for index, values in zip(typed.index, zip(*columns, strict=True), strict=True):
        faults = faults_of(Fields(*values), now=now, catalog_ids=known)
        if faults:
            found[index] = "; ".join(fault.reason for fault in faults)
    return pd.Series(found, dtype=object)


def _values(column: pd.Series) -> list[object]:
    """A typed column as the contract wants it: None for missing, times as epoch seconds."""
    if column.dtype == object:
        return column.tolist()
    plain = (
        micros(column) / MICROSECONDS if isinstance(column.dtype, pd.DatetimeTZDtype) else column.to_numpy()
    )
    values = plain.astype(object)
    values[column.isna().to_numpy()] = None
    return values.tolist()


def _add(reasons: pd.Series, more: pd.Series) -> None:
    if len(more):
        before = reasons.loc[more.index]
        reasons.loc[more.index] = (before + "; " + more).where(before != "", more)


def _duplicates(good: pd.DataFrame) -> pd.Series:
    """Reasons of the rows whose id a good row before them has; a bad row takes no id away."""
    again = good.loc[good["message_id"].duplicated(), "message_id"]
    return "duplicate message_id: " + again.astype(str)


def _too_fast(events: pd.DataFrame, *, limit: int) -> np.ndarray:
    """(n,) whether the event lies in a stretch of more than ``limit`` events of one user within 60 seconds."""
    users = pd.factorize(user_keys(events))[0]
    seconds = (
        events["event_time"].dt.tz_localize(None).to_numpy().astype("datetime64[us]").astype(np.int64) / 1e6
    )
    order = np.lexsort((seconds, users))
    users, seconds = users[order], seconds[order]
    fast = np.zeros(len(order), bool)
    if len(order) > limit:
        starts = np.flatnonzero(
            (users[limit:] == users[:-limit]) & (seconds[limit:] - seconds[:-limit] < 60.0)
        )
        marks = np.zeros(len(order) + 1, np.int64)
        np.add.at(marks, starts, 1)
        np.add.at(marks, starts + limit + 1, -1)
        fast[order] = np.cumsum(marks[:-1]) > 0
    return fast


def _raw_texts(rows: pd.DataFrame) -> Sequence[str]:
    return [_raw_text(row) for row in rows.to_dict("records")]


def _raw_text(row: Mapping[Hashable, object]) -> str:
    try:
        option = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS
        return orjson.dumps(row, default=str, option=option).decode()
    except orjson.JSONEncodeError:  # a whole number beyond 64 bits
        return json.dumps(row, default=str)


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "…'"
