"""Plots of a training run: learning curves, the metric by segment, recall by source, what the search learned."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from tailorbird.evaluation.report import Report

WIDTH = 7.0  # inches


def learning_curves(curves: Mapping[str, Sequence[float]]) -> Figure:
    """One panel a curve, steps on the x axis."""
    shown = {name: values for name, values in curves.items() if len(values)}
    figure = Figure(figsize=(WIDTH, 2.2 * max(1, (len(shown) + 1) // 2)), layout="constrained")
    for place, (name, values) in enumerate(shown.items(), start=1):
        axes = figure.add_subplot((len(shown) + 1) // 2, 2, place)
        axes.plot(np.arange(1, len(values) + 1), values, marker="o", markersize=3)
        axes.set_title(name, fontsize=9, loc="left")
        axes.set_xlabel("step", fontsize=8)
        axes.grid(alpha=0.3)
    return figure


def metric_by_segment(report: Report, *, metric: str = "ndcg@10") -> Figure:
    """A bar for everybody and for each slice, with its interval and its number of cases."""
    parts = {"everybody": report.overall, **dict(sorted(report.slices.items()))}
    names = list(parts)[::-1]
    intervals = [parts[name].metrics[metric] for name in names]
    means = np.array([interval.mean for interval in intervals])
    errors = np.array([[i.mean - i.low for i in intervals], [i.high - i.mean for i in intervals]])
    figure = Figure(figsize=(WIDTH, 0.6 + 0.28 * len(names)), layout="constrained")
    axes = figure.add_subplot()
    colours = ["tab:blue" if name == "everybody" else "lightsteelblue" for name in names]
    axes.barh(names, means, xerr=np.maximum(np.nan_to_num(errors), 0), color=colours, capsize=2)
    for place, name in enumerate(names):
        axes.text(0, place, f" {parts[name].cases:,}", va="center", fontsize=7)
    axes.set_xlabel(f"{metric}, 95% interval over users; cases in the bar")
    axes.tick_params(labelsize=8)
    return figure


def recall_by_source(sources: pd.DataFrame) -> Figure:
    """Recall at every depth, a line a source and one for all together."""
    figure = Figure(figsize=(WIDTH, 3.5), layout="constrained")
    axes = figure.add_subplot()
    for name, rows in sources.groupby("source", sort=False):
        width, colour = (2.0, "black") if name == "union" else (1.2, None)
        axes.plot(
            rows["k"], rows["recall"], "o-", markersize=3, label=str(name), linewidth=width, color=colour
        )
    axes.set_xscale("log")
    axes.set_xticks(sources["k"].unique(), [str(k) for k in sources["k"].unique()])
    axes.set_xlabel("candidates of the source")
    axes.set_ylabel("share of targets among them")
    axes.legend(fontsize=8)
    axes.grid(alpha=0.3)
    return figure


def search_history(values: Mapping[int, float], *, metric: str) -> Figure:
    """The value of each trial and the best so far."""
    numbers, reached = np.array(list(values)), np.array(list(values.values()))
    figure = Figure(figsize=(WIDTH, 3.0), layout="constrained")
    axes = figure.add_subplot()
    axes.plot(numbers, reached, "o", label="trial")
    axes.step(numbers, np.maximum.accumulate(reached), where="post", label="best so far")
    axes.set_xlabel("trial")
    axes.set_ylabel(metric)
    axes.legend(fontsize=8)
    axes.grid(alpha=0.3)
    return figure


def importances(weights: Mapping[str, float]) -> Figure:
    """How much each key explains of the value."""
    ordered = sorted(weights.items(), key=lambda entry: entry[1])
    figure = Figure(figsize=(WIDTH, 0.6 + 0.28 * len(ordered)), layout="constrained")
    axes = figure.add_subplot()
    axes.barh([key for key, _ in ordered], [weight for _, weight in ordered])
    axes.set_xlabel("share of the value's variance explained (fANOVA)")
    axes.tick_params(labelsize=8)
    return figure
