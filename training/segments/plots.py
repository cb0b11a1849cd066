"""Plots of a search for segments: what the sizes say, and how a candidate lies among the people."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from tailorbird.segments.finding.comparing import Candidate
from tailorbird.segments.finding.finding import Found
from tailorbird.segments.model import SegmentModel

WIDTH = 9.0  # inches
MOST_POINTS = 3_000
"""People on the map."""


def figures_by_size(candidates: Sequence[Candidate], proposed: Candidate | None) -> Figure:
    """Silhouette, Davies-Bouldin and stability over the number of groups, a line a method; a ring around the proposal."""
    figure = Figure(figsize=(WIDTH, 3.2), layout="constrained")
    names = ("silhouette", "davies_bouldin", "stability")
    for place, name in enumerate(names, start=1):
        axes = figure.add_subplot(1, len(names), place)
        for method in dict.fromkeys(each.method.name for each in candidates):
            own = [each for each in candidates if each.method.name == method]
            axes.plot(
                [each.groups for each in own],
                [each.figures()[name] for each in own],
                "o",
                markersize=4,
                label=method,
                alpha=0.7,
            )
        if proposed is not None:
            axes.plot(
                proposed.groups, proposed.figures()[name], "o", markersize=11, fillstyle="none", color="black"
            )
        axes.set_xlabel("groups", fontsize=8)
        axes.set_title(name.replace("_", "-"), fontsize=9, loc="left")
        axes.grid(alpha=0.3)
    axes.legend(fontsize=7)
    return figure


def silhouettes(candidate: Candidate, model: SegmentModel) -> Figure:
    """The silhouette of each person of the sample, group by group: who is below zero lies nearer to another group."""
    figure = Figure(figsize=(WIDTH, 4.0), layout="constrained")
    axes, start = figure.add_subplot(), 0
    for group, name in enumerate(_names(candidate, model)):
        own = np.sort(candidate.silhouettes[candidate.labels == group])
        axes.fill_betweenx(np.arange(start, start + len(own)), 0, own, alpha=0.8)
        axes.text(0.0, start + len(own) / 2, f" {name}", va="center", fontsize=7)
        start += len(own) + max(1, len(candidate.labels) // 100)
    axes.axvline(candidate.silhouette, color="black", linewidth=1, linestyle="--")
    axes.set_xlabel("silhouette; the line is the mean")
    axes.set_yticks([])
    return figure


def map_of(found: Found, candidate: Candidate, model: SegmentModel) -> Figure:
    """Everybody in the two directions that tell most people apart."""
    y = found.coordinates(candidate)
    labels = candidate.gaussians.labels(y)
    shown = np.random.default_rng(0).permutation(len(y))[:MOST_POINTS]
    centred = y - y.mean(axis=0)
    directions = np.linalg.svd(centred[shown], full_matrices=False)[2][:2]
    flat = centred @ directions.T  # (n, 2), or (n, 1) of one coordinate
    flat = np.pad(flat, ((0, 0), (0, 2 - flat.shape[1])))
    figure = Figure(figsize=(WIDTH, 5.0), layout="constrained")
    axes = figure.add_subplot()
    for group, name in enumerate(_names(candidate, model)):
        own = shown[labels[shown] == group]
        axes.plot(flat[own, 0], flat[own, 1], ".", markersize=3, alpha=0.6, label=name)
    axes.legend(fontsize=7, markerscale=3, loc="center left", bbox_to_anchor=(1.0, 0.5))
    axes.set_xticks([])
    axes.set_yticks([])
    return figure


def heat_map(model: SegmentModel) -> Figure:
    """How far each segment lies from everybody's mean in each trait, in standard deviations."""
    traits = list(model.segments[0].traits)
    values = np.array([[segment.traits[trait] for trait in traits] for segment in model.segments])
    figure = Figure(figsize=(WIDTH, 1.2 + 0.32 * len(model.segments)), layout="constrained")
    axes = figure.add_subplot()
    image = axes.imshow(values, cmap="RdBu_r", vmin=-2.5, vmax=2.5, aspect="auto")
    axes.set_xticks(range(len(traits)), traits, rotation=60, ha="right", fontsize=7)
    axes.set_yticks(range(len(model.segments)), [segment.name for segment in model.segments], fontsize=7)
    figure.colorbar(image, ax=axes, shrink=0.8)
    return figure


def sizes(model: SegmentModel) -> Figure:
    """The share of the people in each segment."""
    figure = Figure(figsize=(WIDTH, 0.8 + 0.3 * len(model.segments)), layout="constrained")
    axes = figure.add_subplot()
    names = [segment.name for segment in model.segments][::-1]
    axes.barh(names, [segment.share for segment in model.segments][::-1])
    axes.set_xlabel("share of the people")
    axes.tick_params(labelsize=7)
    return figure


def _names(candidate: Candidate, model: SegmentModel) -> list[str]:
    return [segment.name for segment in model.segments] or [str(group) for group in range(candidate.groups)]
