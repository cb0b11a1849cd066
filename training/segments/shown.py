"""What the commands of segments show: versions, candidates, segments, rules, gates."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from tailorbird.plumbing.terminal import table
from tailorbird.segments.rules.rules import SegmentRules

if TYPE_CHECKING:
    from registry.promotion.promote import Promotion
    from registry.versions.versions import Registered
    from tailorbird.segments.model import SegmentModel

_SHORT = {
    "davies_bouldin": "D-B",
    "silhouette": "silh.",
    "stability": "stable",
    "extension": "ext.",
    "smallest": "least",
}
TOLD = " + told"
"""What is said of a method that also grouped by what people told."""
SHOWN = 12
"""Candidates in a table; --json has them all."""
FIGURES = ("groups", "silhouette", "davies_bouldin", "stability", "extension", "noise", "smallest")


def show_candidates(
    candidates: Iterable[tuple[int, str, Mapping[str, float], str]], *, title: str = ""
) -> None:
    """Candidates by number and method, with their figures and a note."""
    table(
        [{**_row(number, method, figures), "": note} for number, method, figures, note in candidates],
        title=title,
    )


def show_sizes(model: "SegmentModel", sizes: Mapping[str, int]) -> None:
    """How many people are in each segment, the largest first."""
    people = max(1, sum(sizes.values()))
    table(
        [
            {"segment": model.name_of(key), "people": count, "share": f"{count / people:.0%}"}
            for key, count in sorted(sizes.items(), key=lambda entry: -entry[1])
        ]
    )


def show_gates(done: "Promotion") -> None:
    """What the gates found of a version."""
    table(
        [
            {"gate": each.gate, "passed": "yes" if each.passed else "NO", "found": each.found}
            for each in done.findings
        ],
        title=f"version {done.version} ▸ {done.alias}",
    )


def show_segments(model: "SegmentModel") -> None:
    """A model's segments, the largest first."""
    table(
        [
            {
                "segment": each.name,
                "key": each.key,
                "share": f"{each.share:.0%}",
                "precision": f"{each.precision:.2f}",
                "recall": f"{each.recall:.2f}",
                "sets apart": ", ".join(
                    f"{name} {value:+.1f}" for name, value in list(each.traits.items())[:3]
                ),
            }
            for each in sorted(model.segments, key=lambda each: -each.share)
        ],
        title=f"Segments: {model.method}",
    )


def show_rules(rules: SegmentRules) -> None:
    """The written rules."""
    table([{"rule": each.name, "key": each.key, "when": each.when} for each in rules.rules], title="Rules")


def plain(segment: Any) -> dict[str, Any]:
    """A segment as JSON has it."""
    return {**asdict(segment), "words": list(segment.words)}


def _row(number: int, method: str, figures: Mapping[str, float]) -> dict[str, object]:
    return {
        "no": str(number),
        "method": method,
        **{
            _SHORT.get(name, name): f"{figures[name]:.0f}" if name == "groups" else f"{figures[name]:.2f}"
            for name in FIGURES
        },
    }


def version_of(registered: "Registered") -> dict[str, object]:
    """A version as JSON has it."""
    return {
        "model": registered.name,
        "version": registered.version,
        "method": registered.tags.get("method", ""),
        "stability": registered.tags.get("stability", ""),
    }
