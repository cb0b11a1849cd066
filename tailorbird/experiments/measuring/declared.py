"""Metrics as an operator declares them: the shipped ``default.toml`` and the workspace's ``metrics.toml`` over it."""

import tomllib
from collections.abc import Mapping
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StrictBool, TypeAdapter, ValidationError, model_validator

from tailorbird.errors import UsageError
from tailorbird.experiments.measuring.metric import (
    OF_EVENTS,
    OF_SLATES,
    Attribution,
    Credit,
    DeclaredMetric,
    Measure,
    Quantity,
)
from tailorbird.experiments.reading.metric import Kind

METRICS_FILE = "metrics.toml"
MOST_METRICS, MOST_DAYS = 64, 90
MOST_STEPS = 8
_REMEDY = "see docs/metrics.md for the keys"
NAME = r"^[a-z][a-z0-9_]{0,62}$"

Name = Annotated[str, Field(pattern=NAME)]
Texts = Annotated[list[Annotated[str, Field(min_length=1, max_length=64)]], Field(max_length=32)]
Days = Annotated[float, Field(ge=0, le=MOST_DAYS, allow_inf_nan=False)]
Hours = Annotated[float, Field(gt=0, le=24 * MOST_DAYS, allow_inf_nan=False)]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _QuantityTable(_Table):
    measure: Measure
    types: Texts = []
    scenarios: Texts = []
    attribution: Attribution = Attribution.UNIT
    credit: Credit | None = None
    window_hours: Hours | None = None
    away_hours: Hours | None = None

    @model_validator(mode="after")
    def _sensible(self) -> "_QuantityTable":
        measure, attributed = self.measure, self.attribution is not Attribution.UNIT
        if measure is Measure.FUNNEL and not 2 <= len(self.types) <= MOST_STEPS:
            raise ValueError(f"a funnel has 2 to {MOST_STEPS} types, its steps in order")
        if measure in OF_SLATES and (self.types or attributed):
            raise ValueError(f"{measure.value} are of slates: types and attribution say nothing of them")
        if measure is Measure.CREDITED_SLATES and not (attributed and self.types):
            raise ValueError("credited_slates wants types and an attribution: recommendation or item")
        if attributed and measure not in (*OF_EVENTS, Measure.CREDITED_SLATES):
            raise ValueError(f"{measure.value} are not attributed to slates")
        if self.scenarios and measure not in OF_SLATES and not attributed:
            raise ValueError("scenarios are of slates: give an attribution, or a measure of slates")
        by_item = self.attribution is Attribution.ITEM
        if not by_item and (self.credit is not None or self.window_hours is not None):
            raise ValueError("credit and window_hours are of attribution = 'item'")
        if self.away_hours is not None and measure is not Measure.DAYS_UNTIL_RETURN:
            raise ValueError("away_hours is of days_until_return")
        return self


class _MetricTable(_Table):
    kind: Kind
    of: _QuantityTable
    per: _QuantityTable | None = None
    window_days: Annotated[float, Field(gt=0, le=MOST_DAYS, allow_inf_nan=False)] | None = None
    before_days: Days = 14.0
    winsorise: Annotated[float, Field(gt=0.5, lt=1)] | None = None
    cap: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    lower_is_better: StrictBool = False
    description: Annotated[str, Field(max_length=500)] = ""

    @model_validator(mode="after")
    def _sensible(self) -> "_MetricTable":
        if (self.kind is Kind.RATIO) != (self.per is not None):
            raise ValueError("a ratio, and only it, has `per`")
        if self.kind is Kind.PROPORTION and (self.winsorise or self.cap):
            raise ValueError("a proportion has nothing to cap")
        if self.winsorise and self.cap:
            raise ValueError("winsorise and cap do the same: give one")
        if self.of.measure is Measure.DAYS_UNTIL_RETURN and self.window_days is None:
            raise ValueError(
                "days_until_return wants window_days: who has not returned by then counts as so many"
            )
        return self


_FILE = TypeAdapter(dict[Name, _MetricTable])


@cache
def default_metrics() -> Mapping[str, DeclaredMetric]:
    """The metrics that ship."""
    text = resources.files("tailorbird.experiments.measuring").joinpath("default.toml").read_text("utf-8")
    return metrics_of(tomllib.loads(text), where="default.toml")


def read_metrics(folder: Path) -> dict[str, DeclaredMetric]:
    """The shipped metrics and those of a workspace's folder, which win. Raises UsageError: a wrong file."""
    path = folder / METRICS_FILE
    try:
        values = tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return dict(default_metrics())
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"{path} cannot be read: {error}", remedy=_REMEDY) from error
    return {**default_metrics(), **metrics_of(values, where=str(path))}


def metrics_of(values: Mapping[str, Any], *, where: str) -> dict[str, DeclaredMetric]:
    """The metrics of a parsed file; ``where`` names it in errors. Raises UsageError."""
    try:
        tables = _FILE.validate_python(values)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(str(part) for part in first["loc"] if part != "[key]")
        said = first["msg"].removeprefix("Value error, ")
        raise UsageError(f"{where}: {key}: {said}", remedy=_REMEDY) from error
    if len(tables) > MOST_METRICS:
        raise UsageError(f"{where} declares {len(tables)} metrics, {MOST_METRICS} may be", remedy=_REMEDY)
    return {name: _metric(name, table) for name, table in tables.items()}


def chosen(metrics: Mapping[str, DeclaredMetric], names: list[str]) -> list[DeclaredMetric]:
    """The metrics of ``names``, each once, in their order. Raises UsageError: one is not declared."""
    unknown = [name for name in names if name not in metrics]
    if unknown:
        raise UsageError(
            f"no metric {unknown[0]!r} is declared",
            remedy=f"declare it in {METRICS_FILE}, or use one of {', '.join(sorted(metrics))}",
        )
    return [metrics[name] for name in dict.fromkeys(names)]


def _metric(name: str, table: _MetricTable) -> DeclaredMetric:
    return DeclaredMetric(
        name=name,
        kind=table.kind,
        of=_quantity(table.of),
        per=None if table.per is None else _quantity(table.per),
        window_days=table.window_days,
        before_days=table.before_days,
        winsorise=table.winsorise,
        cap=table.cap,
        lower_is_better=table.lower_is_better,
        description=table.description,
    )


def _quantity(table: _QuantityTable) -> Quantity:
    given = {
        name: value
        for name in ("credit", "window_hours", "away_hours")
        if (value := getattr(table, name)) is not None
    }
    return Quantity(
        measure=table.measure,
        types=tuple(table.types),
        scenarios=tuple(table.scenarios),
        attribution=table.attribution,
        **given,
    )
