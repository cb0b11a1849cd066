"""The card of a segment model: who is told apart, by what, how surely, and what that is worth."""

from registry.tracking.runs import DataIdentity
from tailorbird.segments.finding.finding import Found
from tailorbird.segments.model import SegmentModel


def segments_card(model: SegmentModel, found: Found, *, data: DataIdentity, git_commit: str) -> str:
    """Write the card as Markdown."""
    figures = model.figures
    rows = [
        "| segment | share | precision | recall | what sets it apart (standard deviations) |",
        "|---|---|---|---|---|",
        *(
            f"| {each.name} (`{each.key}`) | {each.share:.0%} | {each.precision:.2f} | {each.recall:.2f} | "
            + ", ".join(f"{trait} {value:+.1f}" for trait, value in list(each.traits.items())[:4])
            + " |"
            for each in model.segments
        ),
    ]
    parts = [
        f"# Segments of {data.name}",
        "Tells people apart by what they do, as far as that comes again from visit to visit.",
        "## Who",
        "\n".join(rows),
        "Precision and recall are those of the words as a rule: how many of whom it names are in the segment, and how many of the "
        "segment it names.",
        "## How sure",
        f"{model.method} on {len(found.crowd):,} people with enough events ({data.digest}): in resamples the groups come again "
        f"with an adjusted Rand index of {figures['stability']:.2f}; held-out people are assigned where the grouping puts them "
        f"in {figures['extension']:.0%}; mean silhouette {figures['silhouette']:.2f}, Davies-Bouldin index "
        f"{figures['davies_bouldin']:.2f}, {figures['noise']:.0%} in no group.",
        "## By what",
        "Used: " + ", ".join(found.scaling.kept) + ".",
        "Left out: "
        + (", ".join(f"{name} ({why})" for name, why in found.scaling.dropped.items()) or "nothing")
        + ".",
        "## Limits",
        "Groups are a way to speak of people, not kinds of people: a silhouette near 0 says that they flow into each other. Hours are "
        "UTC. Who did little is in no segment until more is seen.",
        f"Code {git_commit or 'unknown'}.",
    ]
    return "\n\n".join(parts) + "\n"
