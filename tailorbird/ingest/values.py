"""Turns columns as they were found into text, numbers, instants and JSON; what does not fit stays as it was found."""

import re
import unicodedata

import numpy as np
import orjson
import pandas as pd

from tailorbird.errors import UsageError

_is_decimal = re.compile(r"\s*[+-]?(\d+|[1-9]\d{0,2}(\.\d{3})+)(,\d+)?\s*").fullmatch


def texts(series: pd.Series) -> pd.Series:
    """Identifiers and names as text: whole numbers without a decimal point, missing and empty values as None."""
    try:
        codes, values = pd.factorize(series, use_na_sentinel=True)
    except TypeError:  # lists cannot be factorized
        codes, values = pd.factorize(series.map(_hashable), use_na_sentinel=True)
    names = np.array([*_without_points([_text(value) for value in values]), None], dtype=object)
    return pd.Series(names[codes], index=series.index, dtype=object)


def snake_name(name: str) -> str:
    """``Signed Up`` ▸ ``signed_up``; a name without a Latin letter stays, so that validation can report it."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    parted = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", plain).lower()
    return re.sub(r"[^a-z0-9]+", "_", parted).strip("_")[:64] or name


def numbers(series: pd.Series) -> pd.Series:
    """Numbers as float64; if any value is not a number, the column stays as found."""
    parsed = pd.to_numeric(series, errors="coerce")
    return series if (parsed.isna() & series.notna()).any() else parsed.astype(float)


def decimal_numbers(series: pd.Series) -> pd.Series:
    """Texts with a decimal comma as numbers, where dots may group thousands: ``1.234,50``; others stay as found."""
    fits = series.map(lambda value: isinstance(value, str) and bool(_is_decimal(value)))
    plain = series[fits].str.strip().str.replace(".", "", regex=False).str.replace(",", ".", regex=False)
    found = series.astype(object)
    found[fits] = pd.to_numeric(plain)
    return found


def json_texts(series: pd.Series) -> pd.Series:
    """Objects as JSON text; text stays as it is, and nothing is None."""
    found = [_json_text(value) for value in series] if series.notna().any() else [None] * len(series)
    return pd.Series(found, index=series.index, dtype=object)


def times(series: pd.Series, *, unit: str | None = None, form: str | None = None) -> pd.Series:
    """Instants as UTC timestamps with microseconds; values that are no time stay as found."""
    if isinstance(series.dtype, pd.DatetimeTZDtype):
        return series.dt.tz_convert("UTC").astype("datetime64[us, UTC]")
    if pd.api.types.is_datetime64_dtype(series):
        return series.dt.tz_localize("UTC").astype("datetime64[us, UTC]")
    if unit is not None:
        parsed = _epoch(pd.to_numeric(series, errors="coerce"), unit)
    elif pd.api.types.is_numeric_dtype(series) and series.notna().any():
        raise _no_unit(series)
    else:
        parsed = pd.to_datetime(series, format=form or "ISO8601", utc=True, errors="coerce")
        if len(parsed) and parsed.isna().all() and pd.to_numeric(series, errors="coerce").notna().all():
            raise _no_unit(series)
    parsed = parsed.astype("datetime64[us, UTC]")
    lost = parsed.isna() & series.notna()
    return parsed.astype(object).where(~lost, series) if lost.any() else parsed


def _hashable(value: object) -> object:
    if isinstance(value, list | np.ndarray):
        return " ".join(map(str, value))
    return str(value) if isinstance(value, dict | set) else value


def _without_points(names: list[str | None]) -> list[str | None]:
    """Ids that went through a float column: when every value ends in ``.0``, none of them means it."""
    if names and all(name is None or (name.endswith(".0") and name[:-2].isdigit()) for name in names):
        return [name and name[:-2] for name in names]
    return names


def _text(value: object) -> str | None:
    if isinstance(value, float | np.floating) and float(value).is_integer():
        return str(int(value))
    return str(value) or None


def _json_text(value: object) -> object:
    if isinstance(value, dict):
        return orjson.dumps(
            value, default=str, option=orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_SORT_KEYS
        ).decode()
    return None if value is None or value != value else value


def _no_unit(series: pd.Series) -> UsageError:
    return UsageError(
        f"column {series.name!r} holds numbers, not times",
        remedy='say their unit: { time = "…", unit = "s" }',
    )


def _epoch(numeric: pd.Series, unit: str) -> pd.Series:
    microseconds = numeric.astype(float) * {"s": 1e6, "ms": 1e3, "us": 1.0, "ns": 1e-3}[unit]
    # Beyond the year 2262 a timestamp overflows; such a number is no time.
    sane = microseconds.abs() < 9.2e15
    instants = np.full(len(numeric), np.datetime64("NaT", "us"))
    instants[sane.to_numpy()] = (
        microseconds[sane].round().astype(np.int64).to_numpy().astype("datetime64[us]")
    )
    return pd.Series(instants, index=numeric.index).dt.tz_localize("UTC")
