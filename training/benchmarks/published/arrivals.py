"""Items that come after the model was fitted: who is answered with them, and which share of the first places they get."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from tailorbird.catalog.catalog import Catalog
from tailorbird.catalog.grown import GrownCatalog
from tailorbird.evaluation.protocols import global_time_split
from tailorbird.features.demographics import demographics_of
from tailorbird.features.history.contexts import PastContexts
from tailorbird.features.profile.replay import ReplayProfiles
from tailorbird.models.hybrid.fit import FittedHybrid
from tailorbird.models.hybrid.model import HybridModel
from tailorbird.models.hybrid.stages import recommender_of
from tailorbird.models.retrievers.content import Content
from tailorbird.recipes.recipe import Recipe
from tailorbird.simulator.shop import Shop
from training.benchmarks.published.data import BenchmarkData, cold_items
from training.benchmarks.published.run import (
    ALONE,
    HYBRID,
    Bench,
    answered,
    answered_alone,
    fit_model,
    open_bench,
)
from training.benchmarks.published.shop import ORACLE, measure_oracle

PLACES = 10
QUESTIONS = 2_000


def cold_last(data: BenchmarkData) -> BenchmarkData:
    """The same data with the cold items at the end of the catalogue, where new ones come."""
    order = np.argsort(cold_items(data.catalog), kind="stable")
    row_of = np.argsort(order)
    items = row_of[data.interactions.items].astype(data.interactions.items.dtype)
    return replace(
        data,
        catalog=Catalog(data.catalog.items.iloc[order].reset_index(drop=True)),
        interactions=replace(data.interactions, items=items),
    )


def fit_without_cold(bench: Bench, recipe: Recipe, *, seed: int) -> FittedHybrid:
    """Fit a model that has not heard of the cold items, and tell it of them."""
    catalog = bench.data.catalog
    cold = cold_items(catalog)
    known, new = (Catalog(catalog.items[mask].reset_index(drop=True)) for mask in (~cold, cold))
    fitted = fit_model(bench, recipe, catalog=known, seed=seed)
    return replace(fitted, model=fitted.model.grown(new, GrownCatalog.of(known, new)))


def measure_arrived(bench: Bench, model: HybridModel) -> None:
    """Add the rows of what can know the cold items: the content source, among all and among cold items, and the hybrid."""
    content = model.retrievers[Content.name]
    for row, offered in (
        (Content.name, None),
        (f"{Content.name}, cold items", cold_items(bench.data.catalog)),
    ):
        bench.row(f"{ALONE}{row}", answered_alone(content, bench.cases, offered=offered))
    events = bench.data.known_events(bench.split)
    bench.row(
        HYBRID,
        answered(
            recommender_of(model),
            bench.cases,
            profiles=ReplayProfiles.of_frame(events, bench.data.catalog),
            people=demographics_of(bench.data.users),
            contexts=PastContexts.of(events),
        ),
    )


def first_places(
    data: BenchmarkData, model: HybridModel, shop: Shop | None, *, seed: int
) -> Mapping[str, float]:
    """Which share of the first places the cold items get from the hybrid, from content alone and from who knows the truth.

    Asked are the requests of everybody, whatever they took next.
    """
    cold = cold_items(data.catalog)
    everybody = global_time_split(
        data.interactions, cold=cold, only_cold=False, asked=data.parts.get("asked")
    )
    bench = open_bench(data, everybody, most_cases=QUESTIONS, seed=seed)
    measure_arrived(bench, model)
    if shop is not None:
        measure_oracle(bench, shop)
    taken = {
        f"share of the first {PLACES}, {name}": _share(bench.answers[name].rankings, cold)
        for name in (HYBRID, f"{ALONE}{Content.name}", ORACLE)
        if name in bench.answers
    }
    clicked = float(cold[bench.cases.targets].mean())
    return {"share of the catalogue": float(cold.mean()), "share of what was taken": clicked, **taken}


def _share(rankings: np.ndarray, cold: np.ndarray) -> float:
    shown = rankings[:, :PLACES]
    return float(cold[shown[shown >= 0]].mean())
