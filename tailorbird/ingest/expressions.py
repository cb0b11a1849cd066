"""How one schema column is made from a source's columns: the right-hand sides of a mapping file.

Every expression is lossless: a value that does not fit (a time that is no time) stays as it was found, so that
validation can quarantine the row and name the value.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
import orjson
import pandas as pd

from tailorbird.errors import UsageError
from tailorbird.ingest.conditions import check_cases, filled, hits
from tailorbird.ingest.files import remedy_of_absent
from tailorbird.ingest.values import decimal_numbers, numbers, snake_name, texts, times

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
                    remedy=remedy_of_absent(frame.columns, otherwise="correct the mapping"),
                )
        series = _EVALUATE[self.kind](frame, {"value": self.value, **self.options})
        if unless := self.options.get("unless"):
            series = series.astype(object).where(frame[str(unless)].isna(), None)
        return series

    @property
    def sources(self) -> list[str]:
        """The source's columns that this expression reads."""
        names: list[object] = [self.options["unless"]] if "unless" in self.options else []
        if self.kind in ("column", "split", "time", "snake") or (
            self.kind == "order" and self.value != "row"
        ):
            names.append(self.value)
        elif self.kind == "join":
            names.extend(self.value)  # type: ignore[arg-type]
        elif self.kind == "cases":
            names.extend(case["column"] for case in self.value)  # type: ignore[attr-defined]
        for part in self._parts():
            names.extend(part.sources if isinstance(part, Expression) else [])
        return [str(name) for name in names]

    def _parts(self) -> Iterator[object]:
        """What stands within this expression: expressions, and plain values."""
        if self.kind in ("product", "first"):
            yield from self.value  # type: ignore[misc]
        elif self.kind == "json":
            yield from self.value.values()  # type: ignore[attr-defined]
        elif self.kind == "cases":
            yield from (case["then"] for case in self.value)  # type: ignore[attr-defined]
            yield self.options["otherwise"]


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
    if "otherwise" in options:
        options["otherwise"] = _inner(options["otherwise"], where=where)
    return Expression(kind, _with_inner(kind, value[kind], where=where), options)


def _with_inner(kind: str, value: object, *, where: str) -> object:
    """A kind's value with the expressions in it read."""
    if kind in ("product", "first"):
        return [parse_expression(part, where=where) for part in value]  # type: ignore[attr-defined]
    if kind == "json":
        fields = value if isinstance(value, dict) else {str(name): str(name) for name in value}  # type: ignore[attr-defined]
        return {key: parse_expression(part, where=f"{where}.{key}") for key, part in fields.items()}
    if kind == "cases":
        return [{**case, "then": _inner(case["then"], where=where)} for case in value]  # type: ignore[attr-defined]
    return value


def _inner(value: object, *, where: str) -> object:
    return parse_expression(value, where=where) if isinstance(value, dict) else value


def _column(frame: pd.DataFrame, options: Mapping[str, object]) -> pd.Series:
    series = frame[str(options["value"])]
    renamed = options.get("map")
    if isinstance(renamed, dict):
        # A value that the map does not name stays, so that validation can report it.
        names = texts(series)
        series = names.map(renamed).where(names.isin(list(renamed)), series)
    if options.get("decimal") == ",":
        series = decimal_numbers(series)
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

    def parts(value: object) -> list[str] | None:
        if value is None or (isinstance(value, float) and np.isnan(value)):
            return None
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
    result = _either(frame, options["otherwise"])
    for case in reversed(options["value"]):  # type: ignore[call-overload]
        hit = hits(frame[case["column"]], case)
        result = result.where(~hit, _either(frame, case["then"]))
    return result


def _either(frame: pd.DataFrame, value: object) -> pd.Series:
    """An expression's column, or the same value in every row; an empty text is nothing."""
    if isinstance(value, Expression):
        return value.evaluate(frame).astype(object)
    return _constant(frame, {"value": None if value == "" else value})


def _first(frame: pd.DataFrame, options: Mapping[str, object]) -> pd.Series:
    result = _constant(frame, {"value": None})
    for part in options["value"]:  # type: ignore[attr-defined]
        found = part.evaluate(frame).astype(object)
        result = result.where(filled(result), found.where(filled(found), None))
    return result


def _snake(frame: pd.DataFrame, options: Mapping[str, object]) -> pd.Series:
    renamed = options.get("map")
    named = renamed if isinstance(renamed, dict) else {}
    names = texts(frame[str(options["value"])])
    spelt = {name: named.get(name) or snake_name(name) for name in names.dropna().unique()}
    return pd.Series([spelt.get(name) for name in names], index=frame.index, dtype=object)


def _product(frame: pd.DataFrame, options: Mapping[str, object]) -> pd.Series:
    parts: list[Expression] = options["value"]  # type: ignore[assignment]
    factors = [pd.to_numeric(part.evaluate(frame), errors="coerce").astype(float) for part in parts]
    return pd.Series(np.prod(factors, axis=0), index=frame.index)


def _json(frame: pd.DataFrame, options: Mapping[str, object]) -> pd.Series:
    fields: dict[str, Expression] = options["value"]  # type: ignore[assignment]
    rows = zip(*(_plain_numbers(part.evaluate(frame)).to_numpy() for part in fields.values()), strict=True)
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


def _check(kind: str, value: object, options: Mapping[str, object], *, where: str) -> None:
    if kind == "time" and options.get("unit") not in (None, *TIME_UNITS):
        raise UsageError(f"{where}: unit {options['unit']!r}", remedy=f"use one of {', '.join(TIME_UNITS)}")
    if kind == "time" and (form := options.get("format")) is not None:
        _check_format(form, where=where)
    if options.get("decimal", ".") not in (".", ","):
        raise UsageError(f"{where}: decimal = {options['decimal']!r}", remedy='use "," or "."')
    if kind == "cases":
        check_cases(value, has_otherwise="otherwise" in options, where=where)
    if kind == "join" and not _is_names(value):
        raise UsageError(f"{where}: {kind} = {value!r}", remedy="give a list of column names")
    if kind in ("product", "first") and not (isinstance(value, list) and value):
        raise UsageError(
            f"{where}: {kind} = {value!r}", remedy="give a list of column names and of { column = … }"
        )


def _check_format(form: object, *, where: str) -> None:
    wrong = UsageError(
        f"{where}: format = {form!r} is no format of times",
        remedy='write it as strptime does: "%d.%m.%Y %H:%M"',
    )
    if not isinstance(form, str) or "%" not in form:
        raise wrong
    try:
        pd.to_datetime(pd.Series([""]), format=form, errors="coerce")
    except ValueError as error:
        raise wrong from error


def _is_names(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(name, str) for name in value)


_EVALUATE: dict[str, Evaluate] = {
    "column": _column,
    "constant": _constant,
    "join": _join,
    "split": _split,
    "time": _time,
    "order": _order,
    "first": _first,
    "snake": _snake,
    "cases": _cases,
    "product": _product,
    "json": _json,
}
_OPTIONS: dict[str, tuple[str, ...]] = {
    "column": ("map", "default", "decimal"),
    "constant": (),
    "join": ("by", "prefix"),
    "split": ("by",),
    "time": ("unit", "format"),
    "order": (),
    "first": (),
    "snake": ("map",),
    "cases": ("otherwise",),
    "product": (),
    "json": (),
}
_COMMON = ("unless", "aggregate")
