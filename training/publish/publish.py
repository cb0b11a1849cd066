"""From a fitted model to a registered version: the bundle, the run's record, plots and card, the registry entry."""

import datetime as dt
import json
import math
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from registry.gates.off_policy import OFF_POLICY
from registry.tracking.runs import Run, git_commit
from registry.versions.cases import CASES_FILE
from registry.versions.versions import Registered, Registry
from tailorbird.bundle import Fallbacks, Origin, write_bundle
from tailorbird.models.retrievers.popularity import Popularity
from tailorbird.recipes.recipe import Recipe
from training.data.dataset import Dataset, instant
from training.evaluation.measure import Measured
from training.publish.card import model_card, opening
from training.publish.plots import learning_curves, metric_by_segment, recall_by_source

FALLBACK_LENGTH = 500
ARRIVED, THROUGH = "data_arrived", "data_through"
"""The tags of a version with the instant at which the last event of its data arrived, and up to where the stream was read."""


@dataclass(frozen=True)
class Product:
    """A model ready to be published and what is known of it.

    ``measured`` are the figures of its twin, which saw no event from ``measured_before`` (epoch seconds) on; ``seconds`` says what
    took how long.
    """

    model: Any
    recipe: Recipe
    measured: Measured
    measured_before: float
    protocol: str
    curves: Mapping[str, Sequence[float]]
    seconds: Mapping[str, float]
    figures: Mapping[str, float] = field(default_factory=dict)
    off_policy: Mapping[str, Any] = field(default_factory=dict)
    """What the twin would have earned with our own answers; empty where nobody asked."""


def record(product: Product, *, dataset: Dataset, run: Run) -> str:
    """Write what the run is about to MLflow: parameters, data, figures, curves, plots, the card, every case.

    Returns the card.
    """
    measured = product.measured
    run.params({"recipe": product.recipe.name, **_parameters(product.recipe)})
    run.data(dataset.identity, context="training")
    run.metrics(measured.headline())
    run.metrics({"seconds": dict(product.seconds), "fit": dict(product.figures)})
    for name, report in measured.reports.items():
        if name != "model":
            run.metrics(
                {
                    f"beside/{name}/ndcg@10": report.mean("ndcg@10"),
                    f"beside/{name}/hr@10": report.mean("hr@10"),
                }
            )
    for name, figures in measured.report.slices.items():
        run.metrics({f"slice/{name}/ndcg@10": figures.metrics["ndcg@10"].mean})
    for name, values in product.curves.items():
        run.curve(f"curve/{name}", values)
    if any(len(values) for values in product.curves.values()):
        run.figure(learning_curves(product.curves), "plots/learning_curves.png")
    run.figure(metric_by_segment(measured.report), "plots/ndcg_by_segment.png")
    run.figure(recall_by_source(measured.sources), "plots/recall_by_source.png")
    run.text(product.recipe.to_toml(), "recipe.toml")
    card = model_card(
        name=f"tailorbird-{dataset.name}",
        recipe=product.recipe,
        data=dataset.identity,
        measured=measured,
        protocol=product.protocol,
        seconds=product.seconds,
        git_commit=git_commit(),
        pin=product.model.pinned.pin if product.model.pinned else None,
    )
    run.text(card, "card.md")
    run.tags({"mlflow.note.content": opening(card)})  # the description on the run's page
    with tempfile.TemporaryDirectory(prefix="tailorbird-") as scratch:
        path = Path(scratch) / CASES_FILE
        measured.cases.to_parquet(path, index=False)
        run.file(path)
    return card


def publish(
    product: Product,
    *,
    dataset: Dataset,
    run: Run,
    registry: Registry,
    now: dt.datetime,
    tags: Mapping[str, str],
) -> Registered:
    """Record the run, write the bundle and register it as the next version with ``tags``."""
    card = record(product, dataset=dataset, run=run)
    first, last = dataset.span
    with tempfile.TemporaryDirectory(prefix="tailorbird-") as scratch:
        folder = Path(scratch) / "bundle"
        manifest = write_bundle(
            product.model,
            folder,
            origin=Origin(
                name=registry.name,
                recipe=product.recipe.to_toml(),
                recipe_digest=product.recipe.digest,
                data_digest=dataset.identity.digest,
                first_event=first,
                last_event=last,
                measured_before=instant(product.measured_before),
                git_commit=git_commit(),
                segments=asdict(product.model.pinned.pin) if product.model.pinned else {},
            ),
            metrics=figures_of(product),
            fallbacks=fallbacks_of(product.model, dataset),
            now=now,
        )
        ndcg = product.measured.report.overall.metrics["ndcg@10"]
        return registry.register(
            folder,
            run=run,
            manifest=manifest,
            description=opening(card),
            tags={
                "recipe": product.recipe.name,
                "ndcg_at_10": f"{ndcg.mean:.4f} [{ndcg.low:.4f}, {ndcg.high:.4f}]",
                "cases": str(len(product.measured.cases)),
                ARRIVED: dataset.arrived.isoformat(),
                **({THROUGH: dataset.through.to_text()} if dataset.through is not None else {}),
                "measured_before": instant(product.measured_before).isoformat(timespec="seconds"),
                **({OFF_POLICY: json.dumps(dict(product.off_policy))} if product.off_policy else {}),
                **tags,
            },
        )


def figures_of(product: Product) -> dict[str, Any]:
    """The bundle's ``metrics.json``: everything measured, with None for what has no value."""
    measured = product.measured
    figures: dict[str, Any] = _plain(
        {
            "protocol": product.protocol,
            "model": measured.report.to_dict(),
            "beside": {
                name: report.overall.to_dict() for name, report in measured.reports.items() if name != "model"
            },
            "recall_by_source": measured.sources.to_dict("records"),
            "seconds": dict(product.seconds),
        }
    )
    return figures


def fallbacks_of(model: Any, dataset: Dataset) -> Fallbacks:
    """The lists that answer without the model: what is popular with everybody and in each segment."""
    popularity = model.popularity
    if popularity is None:
        learned = model.pinned.model.keys if model.pinned else ()
        popularity = Popularity(learned=learned).fit(dataset.interactions, dataset.catalog)
    ids = dataset.catalog.item_ids

    def best(segment: str) -> list[str]:
        return [str(ids[row]) for row in popularity.top(FALLBACK_LENGTH, segment=segment) if row >= 0]

    return Fallbacks(everyone=best(""), segments={name: best(name) for name in popularity.segments if name})


def _parameters(recipe: Recipe) -> dict[str, Any]:
    return {key: value for key, value in asdict(recipe.resolved).items() if key != "name"}


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    if hasattr(value, "item"):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value
