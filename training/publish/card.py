"""The model card: one page that says what a version is, what it was trained on, how good it is and where it is not."""

from collections.abc import Mapping

import numpy as np

from registry.tracking.runs import DataIdentity
from tailorbird.evaluation.bootstrap import Interval
from tailorbird.evaluation.report import Report, comparison_rows
from tailorbird.recipes.recipe import Recipe
from tailorbird.segments.pinned import Pin
from training.evaluation.measure import Measured

SHOWN = ("ndcg@10", "hr@10", "mrr@10", "recall@100", "coverage@10", "novelty@10")
WEAK = 0.5
"""A slice with less than this share of everybody's NDCG@10 is named as a weakness."""
FEW_CASES = 100


def model_card(
    *,
    name: str,
    recipe: Recipe,
    data: DataIdentity,
    measured: Measured,
    protocol: str,
    seconds: Mapping[str, float],
    git_commit: str,
    pin: Pin | None = None,
) -> str:
    """Write the card as Markdown."""
    profile = data.profile
    parts = [
        f"# {name}",
        "Recommends items to a person from what that person did, lately and ever, and from what the items say of themselves.",
        "## Data",
        f"`{data.name}` ({data.digest}): {profile['events']:,} events of {profile['users']:,} users on "
        f"{profile['items']:,} items, {profile['first_event']} to {profile['last_event']} (UTC).",
        "## How good it is",
        f"Measured on a twin of this model: {protocol}. This version learned from all events with the same recipe.",
        _table(comparison_rows(measured.reports, metrics=SHOWN)),
        "## For whom",
        _table(_slices(measured.report)),
        _weaknesses(measured.report),
        _segments(pin, recipe),
        "## Limits",
        "The figures say how often people's next choice was ranked high among all items by what was known before "
        "it. People chose among what they were shown then, so an item that was never shown counts as unwanted; whether "
        "people like the slates better is for an experiment to say.",
        "## Where its candidates come from",
        _table(
            measured.sources.replace({np.nan: None}).round(3).astype(object).to_dict("records")  # type: ignore[arg-type]
        ),
        "## How it was made",
        f"Recipe `{recipe.name}` ({recipe.digest}), code {git_commit or 'unknown'}; "
        + ", ".join(f"{what} {spent:,.0f} s" for what, spent in seconds.items())
        + ".",
        f"```toml\n{recipe.to_toml()}```",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def opening(card: str, *, most: int = 5000) -> str:
    """The card's first sections, as many as fit into ``most`` characters: MLflow's descriptions hold no more."""
    sections = card.split("\n## ")
    while len("\n## ".join(sections)) > most and len(sections) > 1:
        sections.pop()
    return "\n## ".join(sections)[:most]


def _segments(pin: Pin | None, recipe: Recipe) -> str:
    if pin is None:
        return ""
    read = "its ranker reads them" if recipe.ranker.segments else "its ranker does not read them"
    return (
        f"Segments are those of version {pin.version} of `{pin.name}` ({pin.digest[:12]}), of the instant of each case. Popularity and "
        f"fallback lists are of them; {read}. That model was found without looking at items, but among people of the test part too."
    )


def _slices(report: Report) -> list[dict[str, object]]:
    parts = {"everybody": report.overall, **dict(sorted(report.slices.items()))}
    return [
        {
            "slice": name,
            "cases": f"{figures.cases:,}",
            "users": f"{figures.users:,}",
            "ndcg@10": _interval(figures.metrics["ndcg@10"]),
            "hr@10": _interval(figures.metrics["hr@10"]),
        }
        for name, figures in parts.items()
    ]


def _weaknesses(report: Report) -> str:
    bar = WEAK * report.mean("ndcg@10")
    weak = [
        name
        for name, figures in sorted(report.slices.items())
        if figures.cases >= FEW_CASES and figures.metrics["ndcg@10"].high < bar
    ]
    return f"Clearly weaker than on average (under half): {', '.join(weak)}." if weak else ""


def _table(rows: list[dict[str, object]]) -> str:
    if not rows:
        return ""
    heads = list(rows[0])
    lines = [heads, ["---"] * len(heads), *([_cell(row[head]) for head in heads] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _interval(interval: Interval) -> str:
    return f"{interval.mean:.3f} [{interval.low:.3f}, {interval.high:.3f}]"


def _cell(value: object) -> str:
    return "" if value is None else str(value)
