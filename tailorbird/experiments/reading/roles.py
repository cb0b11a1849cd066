"""A metric's numbers by the role they play in it: value, denominator, and both as they were before the test."""

import numpy as np

from tailorbird.errors import UsageError
from tailorbird.experiments.reading.metric import Kind, Metric
from tailorbird.experiments.reading.units import Units
from tailorbird.experiments.statistics import aggregates as named


def roles_of(units: Units, metric: Metric) -> tuple[dict[str, np.ndarray], np.ndarray, list[str]]:
    """The metric's numbers by role (m,), which units have them (n,), and what was done to them."""
    value = units.columns[metric.column]
    there = np.isfinite(value)
    if metric.per:
        there = there & np.isfinite(units.columns[metric.per])
    columns, notes = {named.VALUE: value[there]}, []
    if metric.kind is Kind.PROPORTION and not np.isin(columns[named.VALUE], (0.0, 1.0)).all():
        raise UsageError(
            f"{metric.column} holds other values than 0 and 1", remedy=f"read it as {metric.column}:mean"
        )
    if metric.cap is not None:
        above = int((columns[named.VALUE] > metric.cap).sum())
        columns[named.VALUE] = np.minimum(columns[named.VALUE], metric.cap)
        notes.append(f"{above:,} values of {metric.name} above {metric.cap:g} count as {metric.cap:g}")
    for role, name in (
        (named.PER, metric.per),
        (named.BEFORE, metric.before),
        (named.BEFORE_PER, metric.before_per),
    ):
        if name:
            columns[role] = units.columns[name][there]
    if metric.before:
        notes += _filled(columns, metric)
    return columns, there, notes


def _filled(columns: dict[str, np.ndarray], metric: Metric) -> list[str]:
    """Give the covariate's mean to units without one, such as new people: it says nothing of them, and they still count."""
    roles = [role for role in (named.BEFORE, named.BEFORE_PER) if role in columns]
    known = np.logical_and.reduce([np.isfinite(columns[role]) for role in roles])
    if known.all():
        return []
    for role in roles:
        columns[role] = np.where(known, columns[role], columns[role][known].mean() if known.any() else 0.0)
    return [f"{int((~known).sum()):,} units without {metric.before} were given its mean"]
