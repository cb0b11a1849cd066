"""Experiments as people declare them: ``experiments/KEY.toml``, one file each; an unknown key is an error."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from tailorbird.errors import UsageError
from tailorbird.experiments.declared import NAME, SlateTable
from tailorbird.experiments.design.bandit import BanditTable
from tailorbird.experiments.design.experiment import (
    NO_METRICS,
    Audience,
    Experiment,
    Guardrail,
    Kind,
    Metrics,
    Step,
    Tolerance,
    Unit,
    Variant,
)
from tailorbird.experiments.design.factorial import Factor, Level, cells_of
from tailorbird.experiments.design.files import REMEDY, file_of, read_values
from tailorbird.experiments.design.rules import require_growing, require_kind
from tailorbird.experiments.scenarios import ScenarioTable
from tailorbird.slate.filtering.terms import FilterError

MOST_VARIANTS = 64
LARGEST_PAYLOAD = 16_384
"""Bytes of a variant's payload as JSON."""
_EQUAL = 1e-6

Key = Annotated[str, Field(pattern=NAME)]
Text = Annotated[str, Field(min_length=1, max_length=2_000)]
Name = Annotated[str, Field(min_length=1, max_length=256)]
Share = Annotated[float, Field(gt=0, le=1)]
Names = Annotated[list[Name], Field(max_length=64)]
Scalar = bool | float | str


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Change(_Table):
    alias: Key | None = None
    version: Annotated[str, Field(pattern=r"^[0-9]{1,10}$")] | None = None
    slate: SlateTable = SlateTable()
    scenario: ScenarioTable = ScenarioTable()
    payload: dict[Name, Any] = {}


class _VariantTable(_Change):
    weight: Annotated[float, Field(gt=0, le=1)] | None = None


class _GuardrailTable(_Table):
    metric: Name
    margin: Annotated[float, Field(ge=0, le=1)] = 0.0


class _MetricsTable(_Table):
    primary: Name
    minimum_effect: Annotated[float, Field(gt=0, le=10)]
    guardrails: Annotated[list[Name | _GuardrailTable], Field(max_length=32)] = []
    others: Names = []


class _AudienceTable(_Table):
    segments: Names = []
    scenarios: Names = []
    context: dict[Name, Annotated[list[Scalar], Field(min_length=1, max_length=64)]] = {}


class _StepTable(_Table):
    hours: Annotated[float, Field(ge=0, le=8_760)]
    share: Share


class _ToleranceTable(_Table):
    errors: Annotated[float, Field(gt=0, le=1)] = Tolerance.errors
    latency: Annotated[float, Field(gt=0, le=100)] = Tolerance.latency
    clicks: Annotated[float, Field(gt=0, le=1)] = Tolerance.clicks


class _ExperimentTable(_Table):
    hypothesis: Text
    kind: Kind = "ab"
    unit: Unit = "person"
    salt: Annotated[str, Field(min_length=1, max_length=128)] | None = None
    layer: Key | None = None
    share: Share = 1.0
    days: Annotated[int, Field(ge=1, le=365)] = 14
    confidence: Annotated[float, Field(ge=0.5, le=0.9999)] = 0.95
    control: Key | None = None
    metrics: _MetricsTable | None = None
    audience: _AudienceTable = _AudienceTable()
    variants: Annotated[dict[Key, _VariantTable], Field(max_length=MOST_VARIANTS)] = {}
    design: Literal["full", "fractional"] = "full"
    factors: Annotated[dict[Key, dict[Key, _Change]], Field(max_length=12)] = {}
    ramp: Annotated[list[_StepTable], Field(max_length=32)] = []
    tolerance: _ToleranceTable = _ToleranceTable()
    bandit: BanditTable | None = None


_FILE = TypeAdapter(_ExperimentTable)


def read_experiment(folder: Path, key: str) -> Experiment:
    """The experiment that ``experiments/KEY.toml`` declares.

    Raises:
        UsageError: the file is missing, is no TOML, or holds an unknown key or a value that cannot be.
    """
    return experiment_of(key, read_values(folder, key), where=str(file_of(folder, key)))


def experiment_of(key: str, values: Mapping[str, Any], *, where: str) -> Experiment:
    """The experiment of a parsed declaration; ``where`` names it in errors.

    Raises:
        UsageError: an unknown key, a value out of range, or weights that do not add up.
    """
    try:
        table = _FILE.validate_python(dict(values))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"] if part != "[key]")
        raise UsageError(f"{where}: {place} = {first['input']!r}: {first['msg']}", remedy=REMEDY) from error
    try:
        experiment = _experiment(key, table, digest=digest_of(values))
        for variant in experiment.variants:
            _ = variant.wishes.wishes
    except UsageError as error:
        raise UsageError(f"{where}: {error.what}", remedy=error.remedy or REMEDY) from error
    except FilterError as error:
        raise UsageError(f"{where}: {error.what}", remedy=error.remedy) from error
    return experiment


def digest_of(values: Mapping[str, Any]) -> str:
    """16 hexadecimal digits that name what a declaration says, however it is written."""
    said = json.dumps(values, sort_keys=True, ensure_ascii=True, separators=(",", ":"), default=str)
    return hashlib.sha256(said.encode()).hexdigest()[:16]


def _experiment(key: str, table: _ExperimentTable, *, digest: str) -> Experiment:
    variants = _variants(table)
    control = table.control or variants[0].name
    names = [each.name for each in variants]
    if control not in names:
        raise UsageError(
            f"control = {control!r} is none of the variants", remedy=f"name one of {', '.join(names)}"
        )
    steps = tuple(Step(each.hours, each.share) for each in table.ramp)
    require_growing(steps, begins=table.share)
    experiment = Experiment(
        key=key,
        hypothesis=table.hypothesis.strip(),
        variants=variants,
        control=control,
        metrics=_metrics(table),
        kind=table.kind,
        unit=table.unit,
        salt=table.salt or key,
        layer=table.layer or key,
        share=table.share,
        audience=Audience(
            tuple(table.audience.segments),
            tuple(table.audience.scenarios),
            {name: tuple(values) for name, values in table.audience.context.items()},
        ),
        days=table.days,
        confidence=table.confidence,
        ramp=steps,
        tolerance=Tolerance(**table.tolerance.model_dump()),
        bandit=table.bandit.bandit if table.bandit else None,
        digest=digest,
    )
    require_kind(experiment)
    return experiment


def _metrics(table: _ExperimentTable) -> Metrics:
    found = table.metrics
    if (found is None) != (table.kind == "shadow"):
        raise UsageError(
            f"kind = {table.kind!r} with{'out' if found is None else ''} metrics",
            remedy="every kind but a shadow is decided by a metric: write [metrics] with primary and minimum_effect; a shadow has none",
        )
    if found is None:
        return NO_METRICS
    guardrails = tuple(
        Guardrail(each) if isinstance(each, str) else Guardrail(each.metric, each.margin)
        for each in found.guardrails
    )
    return Metrics(found.primary, found.minimum_effect, guardrails, tuple(found.others))


def _variants(table: _ExperimentTable) -> tuple[Variant, ...]:
    if (table.kind == "multivariate") != bool(table.factors) or (table.factors and table.variants):
        raise UsageError(
            f"kind = {table.kind!r} with {len(table.factors)} factors and {len(table.variants)} variants",
            remedy='factors belong to kind = "multivariate", and take the place of variants',
        )
    if table.factors:
        factors = [
            Factor(name, tuple(Level(level, _changed(level, change)) for level, change in levels.items()))
            for name, levels in table.factors.items()
        ]
        return cells_of(factors, fractional=table.design == "fractional", most=MOST_VARIANTS)
    if len(table.variants) < 2:
        raise UsageError(
            f"variants: there are {len(table.variants)}, and a comparison needs two",
            remedy="add a table [variants.NAME]; the first is control",
        )
    weights = [each.weight for each in table.variants.values()]
    if all(each is None for each in weights):
        weights = [1 / len(weights)] * len(weights)
    if any(each is None for each in weights):
        raise UsageError(
            "variants: some have a weight and some none", remedy="give a weight to all or to none"
        )
    together = sum(each for each in weights if each is not None)
    if abs(together - 1) > _EQUAL:
        raise UsageError(
            f"variants: the weights add up to {together:g}, not to 1",
            remedy="a weight is a variant's part of the experiment; leave all out for equal ones",
        )
    return tuple(
        _changed(name, each, weight=weight or 0.0)
        for (name, each), weight in zip(table.variants.items(), weights, strict=True)
    )


def _changed(name: str, change: _Change, *, weight: float = 0.0) -> Variant:
    if change.alias and change.version:
        raise UsageError(
            f"{name}: alias = {change.alias!r} and version = {change.version!r}", remedy="name one of the two"
        )
    try:
        size = len(json.dumps(change.payload, allow_nan=False).encode())
    except (TypeError, ValueError) as error:
        raise UsageError(f"{name}.payload is not JSON: {error}", remedy="write dates as texts") from error
    if size > LARGEST_PAYLOAD:
        raise UsageError(
            f"{name}.payload has {size:,} bytes",
            remedy=f"at most {LARGEST_PAYLOAD:,}: name a file of the page",
        )
    return Variant(
        name,
        weight,
        alias=change.alias or "",
        version=change.version or "",
        slate=change.slate.settings,
        wishes=change.scenario.scenario,
        payload=change.payload,
    )
