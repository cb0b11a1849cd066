"""Quality: the figures that evaluation stored for the candidate and the present version, compared on their common cases."""

import math

import pandas as pd

from registry.gates.finding import Finding
from registry.gates.gates import Quality
from tailorbird.evaluation.metrics import METRICS
from tailorbird.evaluation.verdict import Comparison, Verdict, compare

FIRST = "first"
"""The verdict where there is no version to compare with."""


def gate_of(quality: Quality) -> str:
    """The gate's name."""
    return f"not worse in {quality.metric}"


def first_finding(quality: Quality) -> Finding:
    """Where an alias points nowhere there is nothing to be worse than."""
    found = "there is no version to compare with yet"
    return Finding(gate_of(quality), passed=True, found=found, verdict=FIRST)


def quality_finding(
    candidate: pd.DataFrame, champion: pd.DataFrame, *, quality: Quality, fill: str
) -> Finding:
    """Judge the candidate on the cases that both were asked; the tables have the columns of ``cases.COLUMNS``.

    ``fill`` is the command that would give them more common cases.
    """
    gate = gate_of(quality)
    both = candidate.merge(
        champion[["case", "rank"]], on="case", suffixes=("", "_champion"), validate="one_to_one"
    )
    if len(both) < quality.least_cases:
        return Finding(
            gate,
            passed=False,
            verdict=Verdict.CANNOT_TELL.value,
            found=f"only {len(both):,} common cases with the present version, {quality.least_cases:,} are needed",
            remedy=f"`{fill}` asks the cases that are missing",
            figures={"cases": float(len(both)), "enough_cases": float(quality.least_cases)},
        )
    name, cut = quality.name_and_cut
    ours, theirs = (METRICS[name](both[column].to_numpy(float), cut) for column in ("rank", "rank_champion"))
    found = compare(
        ours,
        theirs,
        users=both["user_id"].to_numpy(),
        margin=quality.margin,
        confidence=quality.confidence,
    )
    passed = found.verdict in (Verdict.BETTER, Verdict.NOT_WORSE)
    return Finding(
        gate,
        passed=passed,
        verdict=found.verdict.value,
        found=_words(found, quality),
        remedy="" if passed else _remedy(found, fill),
        figures=_figures(found),
    )


def _words(found: Comparison, quality: Quality) -> str:
    interval = found.difference
    words = (
        f"{found.champion:.4f} ▸ {found.candidate:.4f}: {interval.mean:+.4f} [{interval.low:+.4f}, {interval.high:+.4f}], "
        f"margin {-quality.margin * found.champion:+.4f}, on {found.cases:,} common cases of {found.users:,} users"
    )
    if found.verdict is not Verdict.CANNOT_TELL:
        return words
    if found.enough_cases is None:
        return f"{words}; no number of cases would tell"
    return f"{words}; {found.enough_cases:,} cases would most likely tell"


def _remedy(found: Comparison, fill: str) -> str:
    if found.verdict is Verdict.WORSE:
        return "train another; --force --reason TEXT overrides"
    return f"wait for newer events, then `{fill}` asks them; or widen quality.margin in the workspace's gates.toml"


def _figures(found: Comparison) -> dict[str, float]:
    figures = {
        "candidate": found.candidate,
        "champion": found.champion,
        "difference": found.difference.mean,
        "low": found.difference.low,
        "high": found.difference.high,
        "cases": float(found.cases),
        "users": float(found.users),
        "enough_cases": math.nan if found.enough_cases is None else float(found.enough_cases),
    }
    return {name: value for name, value in figures.items() if math.isfinite(value)}
