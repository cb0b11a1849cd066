"""What stands between figures and a verdict: too few units, nothing that varies, values lost by variant, one unit that is a thousand."""

import math
from collections.abc import Mapping

import numpy as np
from scipy.stats import chi2_contingency

from tailorbird.experiments.reading.metric import Kind, Metric
from tailorbird.experiments.reading.units import Units
from tailorbird.experiments.statistics import aggregates as named
from tailorbird.experiments.statistics.frequentist import Comparison, Estimate, compare_means, estimates
from tailorbird.experiments.statistics.srm import ALARM

LEAST_EACH = 5
"""Successes and failures that each variant must be due before the z of a proportion says anything (Cochran 1954)."""
LEAST_UNITS = 30
"""Units of a variant below which a mean is not compared: Student's t wants more of data that are no bell."""
OUTLIER_SHARE = 0.2
"""Share of a variant's squared deviations that one unit makes, from which on it is named."""


def broken_by(
    units: Units, missing: Mapping[str, int], columns: Mapping[str, np.ndarray], there: np.ndarray
) -> str:
    """Why variants may not be compared in this metric, "" for nothing: what is missing or was before differs by variant."""
    lost = np.array([[missing[name], count - missing[name]] for name, count in units.counts.items()])
    due = lost.sum(axis=1) * min(lost.sum(axis=0)) / lost.sum()
    many = lost[due >= LEAST_EACH]  # of few, chi-square says too much
    if len(many) > 1 and many.sum(axis=0).all() and chi2_contingency(many).pvalue < ALARM:
        return "values are missing more often in one variant than in another"
    if named.BEFORE in columns:
        codes = units.codes[there]
        before = {named.VALUE: columns[named.BEFORE]}
        if named.BEFORE_PER in columns:
            before[named.PER] = columns[named.BEFORE_PER]
        arms = list(estimates(named.aggregates(codes, before, variants=units.variants)).values())
        largest = max(arms, key=lambda each: each.units)
        p_values = [compare_means(largest, each).p_value for each in arms if each is not largest]
        if any(p is not None and p * len(p_values) < ALARM for p in p_values):
            return "the covariate differs by variant, so it is not from before the test, or the assignment is off"
    return ""


def too_little(metric: Metric, control: Estimate, treatment: Estimate, comparison: Comparison) -> str:
    """Why these units are not enough for a verdict, whatever the p-value; "" for nothing."""
    fewest = min(control.units, treatment.units)
    if metric.kind is Kind.PROPORTION:
        rate = (control.mean * control.units + treatment.mean * treatment.units) / (
            control.units + treatment.units
        )
        if fewest * min(rate, 1 - rate) < LEAST_EACH:
            return f"cannot tell: too few units, {metric.name} is the same for nearly all of them"
    elif fewest < LEAST_UNITS:
        return f"cannot tell: a variant of {fewest} unit{'s' if fewest > 1 else ''} says too little"
    if not math.isfinite(comparison.difference):
        return f"cannot tell: {metric.per} adds up to nothing in one of the variants"
    if comparison.p_value is None:
        return f"cannot tell: {metric.name} does not vary"
    if metric.kind is not Kind.PROPORTION and not (control.variance > 0 and treatment.variance > 0):
        return f"cannot tell: {metric.name} does not vary within one of the variants"
    return ""


def outliers(units: Units, metric: Metric, columns: Mapping[str, np.ndarray], there: np.ndarray) -> list[str]:
    """Name units that make so much of a variant's spread that its mean is about them."""
    if metric.kind is Kind.PROPORTION:
        return []
    codes, values, notes = units.codes[there], columns[named.VALUE], []
    for at, name in enumerate(units.variants):
        of_variant = values[codes == at]
        if len(of_variant) < LEAST_UNITS:
            continue
        squares = (of_variant - of_variant.mean()) ** 2
        most = int(squares.argmax())
        if squares[most] > OUTLIER_SHARE * squares.sum() > 0:
            notes.append(
                f"one unit of {name} with {of_variant[most]:,g} makes {squares[most] / squares.sum():.0%} of the spread "
                f"of {metric.column} there: cap it (--cap {metric.name}=…), or find out who it is"
            )
    return notes
