"""What a version must pass before an alias moves to it: its bundle verifies, it answers, it is not worse than the champion."""

import datetime as dt
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from registry.answers import HistoryRecommender
from tailorbird.bundle import Bundle
from tailorbird.bundle.manifest import BundleError
from tailorbird.evaluation.paired import paired

LEAST_COMMON = 100
"""Cases that candidate and champion must share (or all of the candidate's, where it has fewer)."""
METRIC = "ndcg@10"


@dataclass(frozen=True)
class Gate:
    """One condition: whether it holds and what was found."""

    name: str
    passed: bool
    found: str
    figures: dict[str, float] = field(default_factory=dict)

    def row(self) -> dict[str, object]:
        """The gate as a line of a table."""
        return {"gate": self.name, "passed": "yes" if self.passed else "NO", "found": self.found}


def bundle_gate(open_it: Callable[[], Bundle]) -> tuple[Gate, Bundle | None]:
    """The manifest verifies and the model loads."""
    try:
        bundle = open_it()
    except BundleError as error:
        return Gate("bundle verifies", passed=False, found=error.what), None
    files = len(bundle.manifest.files)
    return Gate("bundle verifies", passed=True, found=f"{files} files match their SHA-256"), bundle


def answer_gate(bundle: Bundle) -> Gate:
    """A newcomer, a visitor with a history and a request for more than the catalogue each get a sound answer."""
    name = "smoke request answers"
    model = bundle.model
    item_ids = [str(item) for item in model.catalog.item_ids]
    asker = HistoryRecommender(model, now=_last_event(bundle))
    history = item_ids[: min(5, len(item_ids) - 1)]
    requests: list[tuple[str, list[str], int]] = [
        ("a newcomer", [], 10),
        ("a visitor", history, 10),
        ("a request for more than there is", history, len(item_ids) + 10),
        ("an unknown item", ["no such item"], 10),
    ]
    for who, seen, k in requests:
        try:
            found = asker.rank([seen], k=k)
        except Exception as error:  # whatever breaks a request refuses the version
            return Gate(name, passed=False, found=f"{who}: {type(error).__name__}: {error}")
        trouble = _trouble(found.rows[0], found.scores[0], seen=model.catalog.rows(seen), items=len(item_ids))
        if trouble:
            return Gate(name, passed=False, found=f"{who}: {trouble}")
    return Gate(name, passed=True, found=f"{len(requests)} requests answered soundly")


def enough_common(candidate: pd.DataFrame, champion: pd.DataFrame) -> bool:
    """Whether the two tables share enough cases to compare them."""
    return int(candidate["case"].isin(champion["case"]).sum()) >= max(1, min(LEAST_COMMON, len(candidate)))


def quality_gate(candidate: pd.DataFrame, champion: pd.DataFrame | None) -> Gate:
    """The candidate is not worse than the champion beyond the interval, on the cases that both were asked.

    The tables have the columns of ``Measured.cases``; no champion means nothing to compare with.
    """
    name = f"not worse in {METRIC}"
    if champion is None:
        return Gate(name, passed=True, found="there is no champion yet")
    interval, common = paired(candidate, champion)
    if not enough_common(candidate, champion):
        least = min(LEAST_COMMON, len(candidate))
        return Gate(
            name, passed=False, found=f"only {common} common cases with the champion, {least} are needed"
        )
    figures = {
        "difference": interval.mean,
        "low": interval.low,
        "high": interval.high,
        "cases": float(common),
    }
    found = f"{interval.mean:+.4f} [{interval.low:+.4f}, {interval.high:+.4f}] on {common:,} common cases"
    return Gate(name, passed=interval.high >= 0, found=found, figures=figures)


def _trouble(rows: np.ndarray, scores: np.ndarray, *, seen: Sequence[int] | np.ndarray, items: int) -> str:
    """What is wrong with one answer; empty if nothing."""
    offered = rows[rows >= 0]
    if not len(offered):
        return "no item at all"
    if offered.max() >= items:
        return f"row {offered.max()} in a catalogue of {items}"
    if len(np.unique(offered)) < len(offered):
        return "an item twice"
    if not np.isfinite(scores[rows >= 0]).all():
        return "a score that is no number"
    if np.isin(offered, seen).any():
        return "an item the visitor has seen"
    return ""


def _last_event(bundle: Bundle) -> float:
    return dt.datetime.fromisoformat(bundle.manifest.data_span[1]).timestamp()
