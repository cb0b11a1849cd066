"""How one schema column is made from a source's columns: the right-hand sides of a mapping file.

Every expression is lossless: a value that does not fit (a time that is no time) stays as it was found, so that
validation can quarantine the row and name the value.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import orjson
import pandas as pd

from tailorbird.errors import UsageError
from tailorbird.ingest.values import numbers, texts, times

Evaluate = Callable[[pd.DataFrame, Mapping[str, object]], pd.Series]
TIME_UNITS = ("s", "ms", "us", "ns")


@dataclass(frozen=True)
class Expression:
    """One right-hand side: its ``kind`` (the key that names it), that key's value, and the further options."""

    kind: str
    value: object
    options: Mapping[str, object] = field(default_factory=dict)

    def evaluate(self, frame: pd.DataFrame) -> pd.Series:
        """Compute the column; raises UsageError when the source lacks a column it needs."""
        for name in self.sources:
            if name not in frame:
                raise UsageError(
                    f"the source has no column {name!r}; it has {', '.join(map(str, frame.columns))}",
                    remedy="correct the mapping",
                )
        series = _EVALUATE[self.kind](frame, {"value": self.value, **self.options})
        if unless := self.options.get("unless"):
            series = series.astype(object).where(frame[str(unless)].isna(), None)
        return series

    @property
    def sources(self) -> list[str]:
        """The source's columns that this expression reads."""
        names: list[object] = [self.options["unless"]] if "unless" in self.options else []
        if self.kind in ("column", "split", "time") or (self.kind == "order" and self.value != "row"):
            names.append(self.value)
        elif self.kind in ("join", "product"):
            names.extend(self.value)  # type: ignore[arg-type]
        elif self.kind == "json":
            names.extend(_fields(self.value).values())
        elif self.kind == "cases":
            names.extend(case["column"] for case in self.value)  # type: ignore[attr-defined]
        return [str(name) for name in names]


def parse_expression(value: object, *, where: str) -> Expression:
    """Read one right-hand side; a plain text names a column. Raises UsageError on anything unknown."""
    if isinstance(value, str):
        return Expression("column", value)
    if not isinstance(value, dict):
        raise UsageError(
            f"{where} = {value!r} is no expression", remedy="name a column, or write { constant = … }"
        )
    kinds = [key for key in value if key in _EVALUATE]
    if len(kinds) != 1:
        raise UsageError(
            f"{where} = {value!r} needs exactly one of {', '.join(_EVALUATE)}", remedy="correct the mapping"
        )
    kind = kinds[0]
    options = {key: option for key, option in value.items() if key != kind}
    for key in options:
        if key not in _OPTIONS[kind] and key not in _COMMON:
            known = ", ".join([*_OPTIONS[kind], *_COMMON])
            raise UsageError(f"{where}: unknown key {key!r} beside {kind}", remedy=f"known keys: {known}")
    _check(kind, value[kind], options, where=where)
    return Expression(kind, value[kind], options)


def _column(frame: pd.DataFrame, options: Mapping[str, object]) -> pd.Series:
    series = frame[str(options["value"])]
    renamed = options.get("map")
    if isinstance(renamed, dict):
        # A value that the map does not name stays, so that validation can report it.
        names = texts(series)
        series = names.map(renamed).where(names.isin(list(renamed)), series)
    default = options.get("default")
    return series if default is None else series.astype(object).where(series.notna(), default)


def _constant(frame: pd.DataFrame, options: Mapping[str, object]) -> pd.Series:
    return pd.Series([options["value"]] * len(frame), index=frame.index, dtype=object)


def _join(frame: pd.DataFrame, options: Mapping[str, object]) -> pd.Series:
    by, prefix = str(options.get("by", " ")), str(options.get("prefix", ""))
    columns = [texts(frame[name]) for name in options["value"]]  # type: ignore[attr-defined]
    joined = [
        prefix + by.join(part for part in parts if part is not None) if any(parts) else None
        for parts in zip(*columns, strict=True)
    ]
    return pd.Series(joined, index=frame.index, dtype=object)


def _split(frame: pd.DataFrame, options: Mapping[str, object]) -> pd.Series:
    by = str(options.get("by", "|"))

    def parts(value: object) -> list[str]:
        if value is None or (isinstance(value, float) and np.isnan(value)):
            return []
        pieces = value.split(by) if isinstance(value, str) else list(value)  # type: ignore[call-overload]
        return [str(piece).strip() for piece in pieces if str(piece).strip()]

    return frame[str(options["value"])].map(parts)


def _time(frame: pd.DataFrame, options: Mapping[str, object]) -> pd.Series:
    unit, form = options.get("unit"), options.get("format")
    return times(
        frame[str(options["value"])],
        unit=None if unit is None else str(unit),
        form=None if form is None else str(form),
    )


def _order(frame: pd.DataFrame, options: Mapping[str, object]) -> pd.Series:
    # Positions only; the reader of tables turns them into instants, for it knows the users.
    if options["value"] == "row":
        return pd.Series(np.arange(len(frame), dtype=float), index=frame.index)
    return numbers(frame[str(options["value"])])


def _cases(frame: pd.DataFrame, options: Mapping[str, object]) -> pd.Series:
    result = pd.Series([options["otherwise"]] * len(frame), index=frame.index, dtype=object)
    for case in reversed(options["value"]):  # type: ignore[call-overload]
        column = frame[case["column"]]
        if "below" in case:
            hit = pd.to_numeric(column, errors="coerce") < case["below"]
        elif "at_most" in case:
            hit = pd.to_numeric(column, errors="coerce") <= case["at_most"]
        else:
            hit = texts(column) == str(case["equals"])
        result[hit] = case["then"]
    return result


def _product(frame: pd.DataFrame, options: Mapping[str, object]) -> pd.Series:
    factors = [pd.to_numeric(frame[name], errors="coerce") for name in options["value"]]  # type: ignore[attr-defined]
    return pd.Series(np.prod(factors, axis=0), index=frame.index)


def _json(frame: pd.DataFrame, options: Mapping[str, object]) -> pd.Series:
    fields = _fields(options["value"])
    rows = zip(*(_plain_numbers(frame[source]).to_numpy() for source in fields.values()), strict=True)
    return pd.Series(
        [_object(dict(zip(fields, row, strict=True))) for row in rows], index=frame.index, dtype=object
    )


def _plain_numbers(series: pd.Series) -> pd.Series:
    """Numbers that came as text (all of them, none with a leading zero) as numbers."""
    if series.dtype != object or series.astype(str).str.match(r"0\d").any():
        return series
    parsed = pd.to_numeric(series, errors="coerce")
    return series if (parsed.isna() & series.notna()).any() else parsed


def _object(values: dict[str, object]) -> str:
    present = {key: value for key, value in values.items() if value is not None and value == value}
    return orjson.dumps(
        present, default=str, option=orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_SORT_KEYS
    ).decode()


def _fields(value: object) -> dict[str, str]:
    return dict(value) if isinstance(value, dict) else {str(name): str(name) for name in value}  # type: ignore[attr-defined]


def _check(kind: str, value: object, options: Mapping[str, object], *, where: str) -> None:
    if kind == "time" and options.get("unit") not in (None, *TIME_UNITS):
        raise UsageError(f"{where}: unit {options['unit']!r}", remedy=f"use one of {', '.join(TIME_UNITS)}")
    if kind == "cases" and (
        "otherwise" not in options or not isinstance(value, list) or any(not _is_case(case) for case in value)
    ):
        raise UsageError(
            f"{where}: cases {value!r}",
            remedy='write cases = [{ column = "…", below = 0, then = "…" }], otherwise = "…"; '
            "a test is below, at_most or equals",
        )
    if kind in ("join", "product") and not _is_names(value):
        raise UsageError(f"{where}: {kind} = {value!r}", remedy="give a list of column names")


def _is_case(case: object) -> bool:
    tests: Sequence[str] = ("below", "at_most", "equals")
    return (
        isinstance(case, dict)
        and {"column", "then"} <= set(case)
        and sum(test in case for test in tests) == 1
    )


def _is_names(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(name, str) for name in value)


_EVALUATE: dict[str, Evaluate] = {
    "column": _column,
    "constant": _constant,
    "join": _join,
    "split": _split,
    "time": _time,
    "order": _order,
    "cases": _cases,
    "product": _product,
    "json": _json,
}
_OPTIONS: dict[str, tuple[str, ...]] = {
    "column": ("map", "default"),
    "constant": (),
    "join": ("by", "prefix"),
    "split": ("by",),
    "time": ("unit", "format"),
    "order": (),
    "cases": ("otherwise",),
    "product": (),
    "json": (),
}
_COMMON = ("unless", "aggregate")
